package dev.conclave.client;

import com.google.protobuf.ByteString;
import dev.conclave.client.api.Event;
import dev.conclave.client.api.KeyValue;
import dev.conclave.client.api.RangeRequest;
import dev.conclave.client.api.RangeResponse;
import java.util.List;
import java.util.function.Consumer;

/**
 * Finds copies of a put that are executed late (R8).
 *
 * <p>The put of a session's key is sent again if an attempt hangs in a connection. That attempt may be executed when the key has
 * been released, or the wait for it given up: then the key exists again, and no contender knows of it. No comparison prevents it,
 * because the store keeps nothing of a deleted key. But it can be seen: after such a put the key is watched until the session
 * ends. Belongs to the core's thread.
 */
final class LateCopies {
  private final Session session;
  private final ByteString key;
  private final Consumer<KeyValue> found;
  private WatchStream watch;

  private LateCopies(Session session, ByteString key, Consumer<KeyValue> found) {
    this.session = session;
    this.key = key;
    this.found = found;
  }

  /** Reports each state of the key in which it has the session's lease, from the present one on, until the session ends. */
  static void watch(Session session, ByteString key, Consumer<KeyValue> found) {
    LateCopies copies = new LateCopies(session, key, found);
    session.whenEnded(copies::close);
    copies.read();
  }

  private void close() {
    if (watch != null) {
      watch.close();
    }
  }

  private void read() {
    RangeRequest get = RangeRequest.newBuilder().setKey(key).build();
    Core.Running<RangeResponse> reading =
        session.core()
            .internal(
                "looking for late copies",
                null,
                true,
                op -> {
                  session.bind(op);
                  return Contention.range(session.calls(), op, get)
                      .whenComplete((answer, failure) -> session.unbind(op));
                });
    // After an error there is no more to do: the session has ended, or its user may no longer read the key.
    reading.result()
        .thenAccept(
            answer -> {
              if (session.isAlive()) {
                answer.getKvsList().forEach(this::report);
                watch(answer.getHeader().getRevision() + 1);
              }
            });
  }

  private void watch(long from) {
    watch =
        WatchStream.open(
            session.calls(),
            WatchStream.Range.key(key).putsOnly(),
            from,
            new WatchStream.Sink() {
              @Override
              public void events(List<Event> events) {
                watch.consumed();
                events.forEach(event -> report(event.getKv()));
              }

              @Override
              public void ended(ConclaveException why) {
                if (why.kind() == ErrorKind.COMPACTED) {
                  read();
                }
              }
            });
  }

  private void report(KeyValue kv) {
    if (kv.getLease() == session.lease()) {
      found.accept(kv);
    }
  }
}
