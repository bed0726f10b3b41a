package dev.conclave.client;

import com.google.protobuf.ByteString;
import dev.conclave.client.api.KeyValue;
import dev.conclave.client.api.RangeResponse;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;

/** Follows the leader of an election. Belongs to the core's thread. */
final class Observer {
  private final Client client;
  private final ByteString prefix;
  private final Consumer<Leader> listener;
  private final Serial queue;
  private Op op;
  private Leader last;
  private boolean stopped;

  Observer(Client client, ByteString prefix, Consumer<Leader> listener) {
    this.client = client;
    this.prefix = prefix;
    this.listener = listener;
    this.queue = client.core().serial();
  }

  void start() {
    if (stopped || client.core().isClosed()) {
      return;
    }
    Runnable forget = client.track(this::stop);
    client.core()
        .internal(
            "observing an election",
            null,
            true,
            running -> {
              op = running;
              return Loop.until(this::step);
            })
        .result()
        .whenComplete(
            (done, failure) -> {
              forget.run();
              if (!stopped) {
                client.core().log("an election can no longer be observed", failure);
              }
            });
  }

  void stop() {
    stopped = true;
    if (op != null) {
      op.stop(ConclaveException.cancelled(false));
    }
  }

  /** Reports the leader if it is new, and waits until it may have changed. */
  private CompletableFuture<Optional<Void>> step() {
    return Contention.range(client.calls(), op, Contention.first(prefix))
        .thenCompose(this::changed)
        .thenApply(again -> Optional.empty());
  }

  private CompletableFuture<Void> changed(RangeResponse answer) {
    long next = answer.getHeader().getRevision() + 1;
    if (answer.getKvsCount() == 0) {
      return WatchStream.first(client.calls(), op, WatchStream.Range.prefix(prefix), next);
    }
    KeyValue first = answer.getKvs(0);
    Leader leader = ElectionView.leader(first);
    if (!leader.equals(last)) {
      last = leader;
      queue.run(
          () -> {
            if (!stopped) {
              listener.accept(leader);
            }
          });
    }
    return WatchStream.first(client.calls(), op, WatchStream.Range.key(first.getKey()), next);
  }
}
