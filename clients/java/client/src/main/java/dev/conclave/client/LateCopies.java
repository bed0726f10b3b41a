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
  private final Runnable ended;
  private final Runnable sessionEnded = this::close;
  private boolean closed;
  private WatchStream watch;

  private LateCopies(Session session, ByteString key, Consumer<KeyValue> found, Runnable ended) {
    this.session = session;
    this.key = key;
    this.found = found;
    this.ended = ended;
  }

  /**
   * Reports each state of the key in which it has the session's lease, from the present one on, until the session ends. {@code
   * ended} runs if the watch ends before, because its user may no longer read the key.
   */
  static LateCopies watch(Session session, ByteString key, Consumer<KeyValue> found, Runnable ended) {
    LateCopies copies = new LateCopies(session, key, found, ended);
    session.whenEnded(copies.sessionEnded);
    copies.read();
    return copies;
  }

  void close() {
    closed = true;
    session.forgetDependent(sessionEnded);
    if (watch != null) {
      watch.close();
    }
  }

  private void end() {
    if (!closed) {
      close();
      ended.run();
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
    reading.result()
        .whenComplete(
            (answer, failure) -> {
              if (failure != null) {
                end();
              } else if (!closed) {
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
                } else {
                  end();
                }
              }
            });
  }

  private void report(KeyValue kv) {
    if (!closed && kv.getLease() == session.lease()) {
      found.accept(kv);
    }
  }
}
