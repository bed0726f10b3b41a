package dev.conclave.client;

import com.google.protobuf.ByteString;
import dev.conclave.client.api.KeyValue;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;

/** Tells a listener all keys of a prefix: the present ones, and all of them again after every change. */
final class Snapshots {
  private Snapshots() {}

  static CompletableFuture<Registration> follow(
      Client client, Op op, ByteString prefix, Consumer<List<KeyValue>> listener) {
    Serial queue = client.core().serial();
    Mirror[] mirror = new Mirror[1];
    Runnable tell =
        () -> {
          List<KeyValue> all = List.copyOf(mirror[0].content().values());
          queue.run(() -> listener.accept(all));
        };
    Mirror.Sink sink =
        new Mirror.Sink() {
          @Override
          public void put(KeyValue kv) {
            tell.run();
          }

          @Override
          public void delete(ByteString key) {
            tell.run();
          }
        };
    return Mirror.open(client, op, WatchStream.Range.prefix(prefix), sink)
        .thenApply(
            open -> {
              mirror[0] = open;
              tell.run();
              return () -> client.core().execute(open::close);
            });
  }
}
