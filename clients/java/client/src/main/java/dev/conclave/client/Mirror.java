package dev.conclave.client;

import com.google.protobuf.ByteString;
import dev.conclave.client.api.Event;
import dev.conclave.client.api.KeyValue;
import dev.conclave.client.api.RangeRequest;
import dev.conclave.client.api.RangeResponse;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentSkipListMap;

/**
 * A copy of a range that follows it: listed at a revision, then watched from the next, so that there is no gap. After a compaction
 * it lists again and reports the differences. Belongs to the core's thread, except for reading.
 */
final class Mirror {
  /** Notifications of changes. */
  interface Sink {
    void put(KeyValue kv);

    void delete(ByteString key);
  }

  private record Waiter(long revision, CompletableFuture<Void> seen) {}

  private final Client client;
  private final Calls calls;
  private final WatchStream.Range range;
  private final Sink sink;
  private final Map<ByteString, KeyValue> content =
      new ConcurrentSkipListMap<>(ByteString.unsignedLexicographicalComparator());
  private final List<Waiter> waiters = new ArrayList<>();
  private WatchStream watch;
  private Runnable forget = () -> {};
  private ConclaveException end;
  private volatile long revision;

  private Mirror(Client client, WatchStream.Range range, Sink sink) {
    this.client = client;
    this.calls = client.calls();
    this.range = range;
    this.sink = sink;
  }

  /** Opens a mirror; completes when it has listed the range. Nothing of that is reported to the sink. */
  static CompletableFuture<Mirror> open(Client client, Op op, WatchStream.Range range, Sink sink) {
    Mirror mirror = new Mirror(client, range, sink);
    return Contention.range(mirror.calls, op, mirror.all())
        .thenApply(
            answer -> {
              answer.getKvsList().forEach(kv -> mirror.content.put(kv.getKey(), kv));
              mirror.forget = client.track(() -> mirror.end(ConclaveException.closed("the client")));
              mirror.follow(answer);
              return mirror;
            });
  }

  private RangeRequest all() {
    return RangeRequest.newBuilder().setKey(range.key()).setRangeEnd(range.end()).build();
  }

  private void follow(RangeResponse listed) {
    seen(listed.getHeader().getRevision());
    watch = WatchStream.open(calls, range, revision + 1, new Follower());
  }

  private final class Follower implements WatchStream.Sink {
    @Override
    public void events(List<Event> events) {
      watch.consumed();
      for (Event event : events) {
        KeyValue kv = event.getKv();
        if (event.getType() == Event.EventType.PUT) {
          content.put(kv.getKey(), kv);
          sink.put(kv);
        } else {
          content.remove(kv.getKey());
          sink.delete(kv.getKey());
        }
      }
      seen(events.get(events.size() - 1).getKv().getModRevision());
    }

    @Override
    public void progress(long at) {
      seen(at);
    }

    @Override
    public void ended(ConclaveException why) {
      if (why.kind() == ErrorKind.COMPACTED) {
        relist();
      } else {
        client.core().log("a range can no longer be followed", why);
        end(why);
      }
    }
  }

  private void relist() {
    client.core()
        .internal("listing again", null, true, op -> Contention.range(calls, op, all()))
        .result()
        .whenComplete(
            (answer, failure) -> {
              if (end != null) {
                return;
              }
              if (failure != null) {
                end(ConclaveException.of(failure));
                return;
              }
              differences(answer.getKvsList());
              follow(answer);
            });
  }

  private void differences(List<KeyValue> now) {
    Set<ByteString> present = new HashSet<>();
    now.forEach(kv -> present.add(kv.getKey()));
    for (ByteString key : new ArrayList<>(content.keySet())) {
      if (!present.contains(key)) {
        content.remove(key);
        sink.delete(key);
      }
    }
    for (KeyValue kv : now) {
      KeyValue before = content.put(kv.getKey(), kv);
      if (before == null || before.getModRevision() != kv.getModRevision()) {
        sink.put(kv);
      }
    }
  }

  private void seen(long at) {
    revision = Math.max(revision, at);
    List<Waiter> done = waiters.stream().filter(waiter -> waiter.revision <= revision).toList();
    // Completing one runs what follows from it, which may change the list.
    waiters.removeAll(done);
    done.forEach(waiter -> waiter.seen.complete(null));
  }

  /** Waits until the mirror has seen a revision. */
  CompletableFuture<Void> atLeast(Op op, long wanted) {
    if (end != null) {
      return CompletableFuture.failedFuture(end);
    }
    if (wanted <= revision) {
      return Handle.done();
    }
    Waiter waiter = new Waiter(wanted, new CompletableFuture<>());
    waiters.add(waiter);
    ask(op, waiter, new Pauses());
    return op.guard(waiter.seen).whenComplete((done, failure) -> waiters.remove(waiter));
  }

  /** A change elsewhere is no event here: the server is asked how far it is, until it is far enough. */
  private void ask(Op op, Waiter waiter, Pauses pauses) {
    if (waiter.seen.isDone() || op.isStopped()) {
      return;
    }
    watch.askForProgress();
    op.pause(pauses.next())
        .whenComplete(
            (done, failure) -> {
              if (failure == null) {
                ask(op, waiter, pauses);
              }
            });
  }

  void close() {
    end(ConclaveException.closed("the cache"));
  }

  private void end(ConclaveException why) {
    if (end != null) {
      return;
    }
    end = why;
    forget.run();
    watch.close();
    List<Waiter> all = List.copyOf(waiters);
    waiters.clear();
    all.forEach(waiter -> waiter.seen.completeExceptionally(why));
  }

  long revision() {
    return revision;
  }

  Map<ByteString, KeyValue> content() {
    return content;
  }
}
