package dev.conclave.client;

import com.google.protobuf.ByteString;
import dev.conclave.client.api.Event;
import dev.conclave.client.api.KeyValue;
import dev.conclave.client.api.RangeRequest;
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;

/** A semaphore (K5): at most so many permits are held at the same time. Fair. */
public final class Semaphore {
  private static final ConclaveException NONE_FREE = ConclaveException.invalid("no permit is free");

  private final Session session;
  private final Core core;
  private final String name;
  private final int permits;
  private final ByteString prefix;
  private final ByteString value;

  Semaphore(Session session, String name, int permits) {
    if (permits < 1) {
      throw ConclaveException.invalid("a semaphore has at least one permit, and not " + permits);
    }
    this.session = session;
    this.core = session.core();
    this.name = name;
    this.permits = permits;
    this.prefix = Keys.bytes(name + "/");
    this.value = Keys.bytes(Integer.toString(permits));
  }

  /**
   * Waits for a permit.
   *
   * @return the permit; fails with {@link ErrorKind#INVALID} if the holders have another number of permits
   */
  public Permit acquire() {
    return core.await(acquiring(null));
  }

  /**
   * Waits for a permit for at most a time.
   *
   * @param timeout the time, after which it fails with {@link ErrorKind#DEADLINE}
   * @return the permit
   */
  public Permit acquire(Duration timeout) {
    return core.await(acquiring(Client.positive(timeout)));
  }

  /**
   * Waits for a permit. Cancelling the future gives up the place in the queue.
   *
   * @return the permit
   */
  public CompletableFuture<Permit> acquireAsync() {
    return core.publish(acquiring(null));
  }

  /**
   * Waits for a permit for at most a time.
   *
   * @param timeout the time, after which it fails with {@link ErrorKind#DEADLINE}
   * @return the permit
   */
  public CompletableFuture<Permit> acquireAsync(Duration timeout) {
    return core.publish(acquiring(Client.positive(timeout)));
  }

  /**
   * Takes a permit if there is one.
   *
   * @return the permit, if there was one
   */
  public Optional<Permit> tryAcquire() {
    return core.await(trying());
  }

  /**
   * Takes a permit if there is one.
   *
   * @return the permit, if there was one
   */
  public CompletableFuture<Optional<Permit>> tryAcquireAsync() {
    return core.publish(trying());
  }

  private Core.Running<Permit> acquiring(Duration timeout) {
    return core.wait("waiting for a permit", timeout, op -> acquire(op, true));
  }

  private Core.Running<Optional<Permit>> trying() {
    return core.call(
        "trying a semaphore",
        op -> {
          // Looked at first, so that a mere attempt does not delay others.
          RangeRequest count = Kv.prefixRange(prefix).setCountOnly(true).build();
          return Contention.range(session.calls(), op, count)
              .thenCompose(
                  answer ->
                      answer.getCount() >= permits
                          ? CompletableFuture.<Permit>failedFuture(NONE_FREE)
                          : acquire(op, false))
              .handle(
                  (permit, failure) -> {
                    if (failure == null) {
                      return Optional.of(permit);
                    }
                    ConclaveException why = ConclaveException.of(failure);
                    if (why == NONE_FREE) {
                      return Optional.<Permit>empty();
                    }
                    throw why;
                  });
        });
  }

  private CompletableFuture<Permit> acquire(Op op, boolean wait) {
    ByteString key = Keys.bytes(name + "/" + session.id() + "/" + session.nextPermit());
    Place.Turn turn = (waiting, entered) -> Loop.until(() -> look(waiting, key, entered, wait));
    return session.place(key).acquire(op, new Place.Entry(Place.Kind.PERMIT, value, turn)).thenApply(Permit::new);
  }

  /** True: the contender has a permit. False: its key has gone. Empty: something has changed. */
  private CompletableFuture<Optional<Boolean>> look(Op op, ByteString key, long entered, boolean wait) {
    RangeRequest earlier = Contention.ordered(prefix).toBuilder().setMaxCreateRevision(entered - 1).build();
    Txn look = Txn.when(Compares.owner(key, entered)).then(Ops.range(earlier));
    return Contention.txn(session, op, look)
        .thenCompose(
            answer -> {
              if (!answer.getSucceeded()) {
                return CompletableFuture.completedFuture(Optional.of(false));
              }
              List<KeyValue> before = Kv.found(answer, 0);
              check(before);
              if (before.size() < permits) {
                return CompletableFuture.completedFuture(Optional.of(true));
              }
              if (!wait) {
                throw NONE_FREE;
              }
              return departures(op, before, answer.getHeader().getRevision() + 1).thenApply(gone -> Optional.empty());
            });
  }

  private void check(List<KeyValue> before) {
    for (KeyValue holder : before.subList(0, Math.min(permits, before.size()))) {
      // A holder that is asked for its permit has that as its value.
      if (!holder.getValue().equals(value) && !holder.getValue().equals(Ownership.REVOKE)) {
        throw ConclaveException.invalid(
            "the holders of " + name + " have " + holder.getValue().toStringUtf8() + " permits, and not " + permits);
      }
    }
  }

  /** Waits until so few keys are before the own one that it has a permit. Holders leave in any order. */
  private CompletableFuture<Void> departures(Op op, List<KeyValue> before, long from) {
    Set<ByteString> left = new HashSet<>();
    before.forEach(kv -> left.add(kv.getKey()));
    CompletableFuture<Void> free = new CompletableFuture<>();
    WatchStream[] watch = new WatchStream[1];
    watch[0] =
        WatchStream.open(
            session.calls(),
            WatchStream.Range.prefix(prefix).deletesOnly(),
            from,
            new WatchStream.Sink() {
              @Override
              public void events(List<Event> events) {
                watch[0].consumed();
                events.forEach(event -> left.remove(event.getKv().getKey()));
                if (left.size() < permits) {
                  free.complete(null);
                }
              }

              @Override
              public void ended(ConclaveException why) {
                if (why.kind() == ErrorKind.COMPACTED) {
                  free.complete(null);
                } else {
                  free.completeExceptionally(why);
                }
              }
            });
    return op.guard(free).whenComplete((done, failure) -> watch[0].close());
  }

  /** A permit that is held. Closing it releases it. */
  public static final class Permit extends Handle {
    Permit(Ownership ownership) {
      super(ownership);
    }
  }
}
