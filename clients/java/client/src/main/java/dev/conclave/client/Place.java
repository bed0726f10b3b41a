package dev.conclave.client;

import com.google.protobuf.ByteString;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/**
 * The one place of a session among the contenders of a name. Belongs to the core's thread.
 *
 * <pre>
 *         acquire                 the turn has come
 *   IDLE ─────────▶ ACQUIRING ─────────────────────▶ HELD
 *    ▲                  │ the last waiter has gone     │ the last handle is released
 *    │   key deleted    ▼                              │
 *    └────────────── LEAVING ◀─────────────────────────┘
 * </pre>
 *
 * <p>Acquisition does not belong to the operation that began it: others of the same session may wait for it, too.
 */
final class Place {
  /** The way in which a contender waits for its turn. */
  interface Turn {
    /** Completes when it has come; false if the own key has gone meanwhile. */
    CompletableFuture<Boolean> await(Op op, long revision);

    /** Null, or what the release of this revision must wait for; its caller does not. */
    default CompletableFuture<Void> beforeLeaving(long revision) {
      return null;
    }
  }

  private enum State {
    IDLE,
    ACQUIRING,
    HELD,
    LEAVING
  }

  /** After this, no server has a request in hand that was given up: etcd's limit is 7 s. */
  private static final long STRAGGLERS = TimeUnit.SECONDS.toNanos(10);

  private final Session session;
  private final String id;
  private final ByteString key;
  private final boolean reentrant;
  private final boolean revocable;
  private final Turn turn;
  private final List<CompletableFuture<Ownership>> waiters = new ArrayList<>();
  private final List<Runnable> freed = new ArrayList<>();
  private State state = State.IDLE;
  private Op work;
  private long revision;
  private Ownership owned;
  private int holders;
  /** A deletion of what may yet be created is still to come. */
  private boolean stragglers;

  /** Ends when the deletion does, with the error that left the key there, or null. */
  private CompletableFuture<ConclaveException> leaving;

  /** The server refused to delete the key: it is there until it is released again or the session ends. */
  private boolean undeleted;

  Place(Session session, String id, ByteString key, boolean reentrant, boolean revocable, Turn turn) {
    this.session = session;
    this.id = id;
    this.key = key;
    this.reentrant = reentrant;
    this.revocable = revocable;
    this.turn = turn;
  }

  /** A place that waits for all keys of a prefix that are before its own. */
  static Place queued(Session session, String id, ByteString prefix, ByteString own, boolean reentrant) {
    return new Place(
        session,
        id,
        own,
        reentrant,
        reentrant,
        (op, revision) -> Contention.turn(session, op, prefix, own, revision));
  }

  /** The ownership of the session at this key. */
  Optional<Ownership> held() {
    return state == State.HELD && owned.isValid() ? Optional.of(owned) : Optional.empty();
  }

  /** Waits until the session has what it contends for. */
  CompletableFuture<Ownership> acquire(Op op, ByteString value) {
    session.bind(op);
    CompletableFuture<Ownership> acquired = join(op, value);
    return acquired.whenComplete((done, failure) -> session.unbind(op));
  }

  private CompletableFuture<Ownership> join(Op op, ByteString value) {
    if (op.isStopped()) {
      return op.guard(new CompletableFuture<>());
    }
    switch (state) {
      case LEAVING:
        return op.guard(leaving).thenCompose(left -> join(op, value));
      case HELD:
        if (!owned.isValid()) {
          forget();
          return join(op, value);
        }
        if (reentrant) {
          holders++;
          return CompletableFuture.completedFuture(owned);
        }
        return refused();
      case ACQUIRING:
        return reentrant ? waiting(op) : refused();
      default:
        CompletableFuture<Ownership> mine = waiting(op);
        if (!mine.isDone()) {
          begin(value);
        }
        return mine;
    }
  }

  private static <T> CompletableFuture<T> refused() {
    return CompletableFuture.failedFuture(
        ConclaveException.invalid("this session is a candidate already; open another session for another one"));
  }

  private CompletableFuture<Ownership> waiting(Op op) {
    CompletableFuture<Ownership> mine = new CompletableFuture<>();
    waiters.add(mine);
    Runnable unhook =
        op.onStop(
            why -> {
              waiters.remove(mine);
              mine.completeExceptionally(why);
              if (waiters.isEmpty() && state == State.ACQUIRING) {
                work.stop(ConclaveException.cancelled(false));
              }
            });
    return mine.whenComplete((done, failure) -> unhook.run());
  }

  private void begin(ByteString value) {
    acquiring();
    session.core()
        .internal(
            "waiting for " + key.toStringUtf8(),
            null,
            true,
            op -> {
              work = op;
              session.bind(op);
              return contend(op, value).whenComplete((done, failure) -> session.unbind(op));
            })
        .result()
        .whenComplete(
            (done, failure) -> {
              if (failure == null && !waiters.isEmpty()) {
                hold();
              } else {
                // Nobody waits for it any more, or it cannot be had.
                leave(true);
                logUndeleted();
                fail(failure);
              }
            });
  }

  private void acquiring() {
    state = State.ACQUIRING;
    undeleted = false;
    revision = 0;
    session.keep(id, this);
  }

  private void idle() {
    state = State.IDLE;
    // Another place of the same key must not own what a handle of this one may yet delete.
    if (!stragglers && !undeleted) {
      session.forget(id);
    }
  }

  private CompletableFuture<Void> contend(Op op, ByteString value) {
    return Loop.until(
            () ->
                Contention.enter(session, op, key, value)
                    .thenCompose(
                        entered -> {
                          revision = entered;
                          return turn.await(op, entered);
                        })
                    // A key that somebody deleted is queued again, at the end.
                    .thenApply(own -> own ? Optional.of(own) : Optional.empty()))
        .thenApply(own -> null);
  }

  private void hold() {
    state = State.HELD;
    owned = new Ownership(session, key, revision, revocable, this::release);
    List<CompletableFuture<Ownership>> all = new ArrayList<>(waiters);
    waiters.clear();
    holders = all.size();
    all.forEach(waiter -> waiter.complete(owned));
  }

  private void fail(Throwable failure) {
    List<CompletableFuture<Ownership>> all = new ArrayList<>(waiters);
    waiters.clear();
    all.forEach(waiter -> waiter.completeExceptionally(failure));
  }

  /** Takes what is free, if it is. {@code take} queues the key if nobody is before it, and returns its revision or 0. */
  CompletableFuture<Optional<Ownership>> tryAcquire(
      Op op, java.util.function.Function<Op, CompletableFuture<Long>> take) {
    if (state == State.LEAVING) {
      return op.guard(leaving).thenCompose(left -> tryAcquire(op, take));
    }
    if (state == State.HELD && owned.isValid()) {
      if (reentrant) {
        holders++;
        return CompletableFuture.completedFuture(Optional.of(owned));
      }
      return refused();
    }
    if (state == State.ACQUIRING) {
      return CompletableFuture.completedFuture(Optional.empty());
    }
    if (state == State.HELD) {
      forget();
    }
    session.bind(op);
    acquiring();
    work = op;
    return take.apply(op)
        .handle(
            (taken, failure) -> {
              session.unbind(op);
              if (failure != null) {
                leave(true);
                logUndeleted();
                fail(failure);
                throw ConclaveException.of(failure);
              }
              if (taken == 0) {
                idle();
                retryWaiters();
                return Optional.<Ownership>empty();
              }
              revision = taken;
              hold();
              holders++;
              return Optional.of(owned);
            });
  }

  /** Those that came while it was only tried go on to wait. */
  private void retryWaiters() {
    if (!waiters.isEmpty()) {
      begin(ByteString.EMPTY);
    }
  }

  private CompletableFuture<Void> release(Op op, Ownership which) {
    if (which != owned) {
      // It is lost, and what the place has now belongs to others.
      return Handle.done();
    }
    switch (state) {
      case HELD:
        if (--holders > 0) {
          return Handle.done();
        }
        if (!owned.isValid()) {
          forget();
          return Handle.done();
        }
        owned.released();
        CompletableFuture<Void> delay = turn.beforeLeaving(revision);
        if (delay != null) {
          leaveAfter(delay);
          return Handle.done();
        }
        leave(false);
        return left(op);
      case LEAVING:
        return left(op);
      case IDLE:
        if (undeleted) {
          delete(revision);
          return left(op);
        }
        return Handle.done();
      default:
        return Handle.done();
    }
  }

  private void leaveAfter(CompletableFuture<Void> delay) {
    state = State.LEAVING;
    CompletableFuture<ConclaveException> mine = new CompletableFuture<>();
    leaving = mine;
    delay.whenComplete(
        (done, failure) -> {
          delete(revision);
          logUndeleted();
          leaving.thenAccept(mine::complete);
        });
  }

  /** Waits until the key is deleted; fails if it was not. */
  private CompletableFuture<Void> left(Op op) {
    return op.guard(leaving)
        .handle(
            (refused, failure) -> {
              if (failure != null) {
                ConclaveException why = ConclaveException.of(failure);
                // The release goes on in the background.
                throw why.kind() == ErrorKind.DEADLINE ? ConclaveException.maybe("a release", why) : why;
              }
              if (refused != null) {
                throw refused;
              }
              return null;
            });
  }

  /** For a deletion that nobody waits for. */
  private void logUndeleted() {
    leaving.thenAccept(
        refused -> {
          if (refused != null) {
            session.core().log("a key was not deleted; others wait for it until its session ends", refused);
          }
        });
  }

  /** Runs when what is held now is released or lost. */
  void whenFree(Runnable action) {
    if (held().isEmpty()) {
      action.run();
    } else {
      freed.add(action);
    }
  }

  private void free() {
    List<Runnable> all = new ArrayList<>(freed);
    freed.clear();
    all.forEach(Runnable::run);
  }

  private void forget() {
    free();
    holders = 0;
    owned = null;
    idle();
  }

  /** Deletes the key, for as long as it takes: others wait for it. {@code uncertain}: it may yet be created. */
  private void leave(boolean uncertain) {
    stragglers |= uncertain && revision == 0;
    delete(uncertain ? 0 : revision);
    if (uncertain && revision == 0) {
      leaving.thenRun(() -> session.core().after(STRAGGLERS, this::deleteStraggler));
    }
  }

  private void delete(long which) {
    state = State.LEAVING;
    CompletableFuture<ConclaveException> mine = new CompletableFuture<>();
    leaving = mine;
    deleting(which)
        .whenComplete(
            (done, failure) -> {
              // Without its session the key goes all the same.
              undeleted = failure != null && session.isAlive();
              idle();
              mine.complete(undeleted ? ConclaveException.of(failure) : null);
              free();
            });
  }

  private CompletableFuture<Boolean> deleting(long which) {
    if (!session.isAlive()) {
      return CompletableFuture.completedFuture(true);
    }
    return session.core()
        .internal(
            "a release",
            null,
            true,
            op -> {
              session.bind(op);
              return Contention.delete(session, op, key, which)
                  .whenComplete((done, failure) -> session.unbind(op));
            })
        .result();
  }

  /** A request that was given up can still have been executed, after the deletion. */
  private void deleteStraggler() {
    stragglers = false;
    if (state == State.IDLE && session.isAlive()) {
      delete(0);
    } else if (state == State.IDLE) {
      idle();
    }
  }
}
