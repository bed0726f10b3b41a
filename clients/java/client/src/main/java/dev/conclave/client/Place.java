package dev.conclave.client;

import com.google.protobuf.ByteString;
import dev.conclave.client.api.KeyValue;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.function.Function;

/**
 * The one place of a session at a key: among the contenders of a name, in a group, or at a double barrier. Belongs to the core's
 * thread.
 *
 * <pre>
 *         acquire                 the turn has come
 *   IDLE ─────────▶ ACQUIRING ─────────────────────▶ HELD
 *    ▲ │                │ the last waiter has gone     │ the last handle is released
 *    │ │ a late copy    ▼                              │
 *    │ └──────────▶ LEAVING ◀──────────────────────────┘
 *    └──────────────────┘
 *        key deleted
 * </pre>
 *
 * <p>Acquisition does not belong to the operation that began it: others of the same session may wait for it, too.
 */
final class Place {
  /** The use of a place. */
  enum Kind {
    /** A lock, which is released as often as it was taken. */
    LOCK,
    /** A permit of a semaphore. */
    PERMIT,
    /** A candidate of an election, or its leader. */
    CANDIDATE,
    /** A member of a group, which can join again with another value. */
    MEMBER,
    /** One that has entered a double barrier. */
    VISITOR;

    boolean isReentrant() {
      return this == LOCK || this == MEMBER;
    }

    boolean isRevocable() {
      return this == LOCK || this == PERMIT;
    }

    /** False if the user has no handle that says whether the key is held. */
    boolean isWatched() {
      return this != MEMBER && this != VISITOR;
    }
  }

  /** The way in which a contender waits for its turn. */
  interface Turn {
    /** Completes when it has come; false if the own key has gone meanwhile. */
    CompletableFuture<Boolean> await(Op op, long revision);

    /** Null, or what the release of this revision must wait for; its caller does not. */
    default CompletableFuture<Void> beforeLeaving(long revision) {
      return null;
    }
  }

  /** What a contender puts, and how it waits. */
  record Entry(Kind kind, ByteString value, Turn turn) {}

  private enum State {
    IDLE,
    ACQUIRING,
    HELD,
    LEAVING
  }

  private final Session session;
  private final ByteString key;
  private final List<CompletableFuture<Ownership>> waiters = new ArrayList<>();
  private final List<Runnable> freed = new ArrayList<>();
  private State state = State.IDLE;
  private Entry entry;

  /** The operation that acquires, unless it only tries. */
  private Op work;

  /** The put of the key. */
  private CompletableFuture<Long> entering;

  /** The key's create revision; 0 if it is not known. */
  private long revision;

  private Ownership owned;
  private int holders;

  /** Ends when the deletion does, with the error that left the key there, or null. */
  private CompletableFuture<ConclaveException> leaving;

  /** The server refused to delete the key: it is there until it is released again or the session ends. */
  private boolean undeleted;

  /** The key is watched for late copies of its put. */
  private boolean watched;

  /** The key as it was last seen by that watch, until it is known whether it is a late copy. */
  private KeyValue seen;

  Place(Session session, ByteString key) {
    this.session = session;
    this.key = key;
  }

  /** The entry of one that waits for all keys of a prefix that are before its own. */
  Entry queued(Kind kind, ByteString prefix, ByteString value) {
    return new Entry(kind, value, (op, revision) -> Contention.turn(session, op, prefix, key, revision));
  }

  /** The ownership of the session at this key. */
  Optional<Ownership> held() {
    return state == State.HELD && owned.isValid() ? Optional.of(owned) : Optional.empty();
  }

  /** Waits until the session has what it contends for. */
  CompletableFuture<Ownership> acquire(Op op, Entry wanted) {
    session.bind(op);
    return join(op, wanted).whenComplete((done, failure) -> session.unbind(op));
  }

  private CompletableFuture<Ownership> join(Op op, Entry wanted) {
    if (op.isStopped()) {
      return op.guard(new CompletableFuture<>());
    }
    switch (state) {
      case LEAVING:
        return op.guard(leaving).thenCompose(left -> join(op, wanted));
      case HELD:
        return again(op, wanted)
            .thenCompose(
                held -> held.isPresent() ? CompletableFuture.completedFuture(held.get()) : join(op, wanted));
      case ACQUIRING:
        return isShared(wanted) ? waiting(op) : CompletableFuture.failedFuture(refusal());
      default:
        CompletableFuture<Ownership> mine = waiting(op);
        if (!mine.isDone()) {
          begin(wanted);
        }
        return mine;
    }
  }

  /** Holds it once more. Empty: somebody has deleted the key, or it was released meanwhile. */
  private CompletableFuture<Optional<Ownership>> again(Op op, Entry wanted) {
    Ownership present = owned;
    return present.isOurs(op)
        .thenApply(
            ours -> {
              if (state != State.HELD || owned != present) {
                return Optional.empty();
              }
              if (!ours) {
                present.gone();
                forget();
                return Optional.empty();
              }
              if (!isShared(wanted)) {
                throw refusal();
              }
              if (entry.kind == Kind.LOCK) {
                holders++;
              }
              return Optional.of(present);
            });
  }

  private boolean isShared(Entry wanted) {
    return entry.kind == wanted.kind && entry.kind.isReentrant();
  }

  private ConclaveException refusal() {
    return ConclaveException.invalid(
        "this session holds " + key.toStringUtf8() + " or contends with it already; open another session for another one");
  }

  private CompletableFuture<Ownership> waiting(Op op) {
    CompletableFuture<Ownership> mine = new CompletableFuture<>();
    waiters.add(mine);
    Runnable unhook =
        op.onStop(
            why -> {
              waiters.remove(mine);
              mine.completeExceptionally(why);
              if (waiters.isEmpty() && state == State.ACQUIRING && work != null) {
                giveUp();
              }
            });
    return mine.whenComplete((done, failure) -> unhook.run());
  }

  private void giveUp() {
    if (revision != 0) {
      work.stop(ConclaveException.cancelled(false));
      return;
    }
    // The put goes on: a deletion beside it could be executed before it.
    work = null;
    leaveAfter(entering.handle((entered, failure) -> failure == null ? entered : 0));
  }

  private void begin(Entry wanted) {
    acquiring(wanted);
    Core.Running<Void> running =
        session.core()
            .internal(
                "waiting for " + key.toStringUtf8(),
                null,
                true,
                op -> {
                  work = op;
                  session.bind(op);
                  return contend(op).whenComplete((done, failure) -> session.unbind(op));
                });
    running.result()
        .whenComplete(
            (done, failure) -> {
              if (work != running.op()) {
                // It was given up while the key was put.
                return;
              }
              if (failure == null && !waiters.isEmpty()) {
                hold(0);
              } else {
                // It was given up, or cannot be had.
                delete(revision);
                logUndeleted();
                fail(failure);
              }
            });
  }

  private void acquiring(Entry wanted) {
    state = State.ACQUIRING;
    entry = wanted;
    work = null;
    undeleted = false;
    revision = 0;
    session.keep(key, this);
  }

  private void idle() {
    state = State.IDLE;
    // Another place of the same key must not own what a handle or the watch of this one may yet delete.
    if (!watched && !undeleted) {
      session.forget(key);
    }
    judge();
  }

  private CompletableFuture<Void> contend(Op op) {
    return Loop.until(
            () -> {
              revision = 0;
              entering =
                  Contention.enter(session, op, key, entry.value)
                      .whenComplete((entered, failure) -> watchIfUnsettled(op));
              return entering
                  .thenCompose(
                      entered -> {
                        if (work != op) {
                          throw ConclaveException.cancelled(false);
                        }
                        revision = entered;
                        return entry.turn.await(op, entered);
                      })
                  // A key that somebody deleted is queued again, at the end.
                  .thenApply(own -> own ? Optional.of(own) : Optional.empty());
            })
        .thenApply(own -> null);
  }

  /** Holds the key for those that wait, and {@code others}. */
  private Ownership hold(int others) {
    state = State.HELD;
    Ownership mine = new Ownership(session, key, revision, entry, this::release);
    owned = mine;
    List<CompletableFuture<Ownership>> all = new ArrayList<>(waiters);
    waiters.clear();
    holders = entry.kind == Kind.LOCK ? all.size() + others : 1;
    all.forEach(waiter -> waiter.complete(mine));
    judge();
    return mine;
  }

  private void fail(Throwable failure) {
    List<CompletableFuture<Ownership>> all = new ArrayList<>(waiters);
    waiters.clear();
    all.forEach(waiter -> waiter.completeExceptionally(failure));
  }

  /** Takes a lock that is free. {@code take} puts the key if nobody is before it, and returns its revision or 0. */
  CompletableFuture<Optional<Ownership>> tryAcquire(Op op, Entry wanted, Function<Op, CompletableFuture<Long>> take) {
    session.bind(op);
    return attempt(op, wanted, take).whenComplete((done, failure) -> session.unbind(op));
  }

  private CompletableFuture<Optional<Ownership>> attempt(
      Op op, Entry wanted, Function<Op, CompletableFuture<Long>> take) {
    if (op.isStopped()) {
      return op.guard(new CompletableFuture<>());
    }
    switch (state) {
      case LEAVING:
        return op.guard(leaving).thenCompose(left -> attempt(op, wanted, take));
      case HELD:
        return again(op, wanted)
            .thenCompose(
                held -> held.isPresent() ? CompletableFuture.completedFuture(held) : attempt(op, wanted, take));
      case ACQUIRING:
        return CompletableFuture.completedFuture(Optional.empty());
      default:
        acquiring(wanted);
        return take.apply(op).handle((taken, failure) -> attempted(op, taken, failure));
    }
  }

  private Optional<Ownership> attempted(Op op, Long taken, Throwable failure) {
    watchIfUnsettled(op);
    if (failure != null) {
      idle();
      fail(failure);
      throw ConclaveException.of(failure);
    }
    if (taken != 0) {
      revision = taken;
      return Optional.of(hold(1));
    }
    if (waiters.isEmpty()) {
      idle();
    } else {
      // Those that came while it was only tried go on to wait.
      begin(entry);
    }
    return Optional.empty();
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
        CompletableFuture<Void> delay = entry.turn.beforeLeaving(revision);
        if (delay != null) {
          leaveAfter(delay.thenApply(done -> revision));
          return Handle.done();
        }
        delete(revision);
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

  /** Deletes the key of a create revision, once that is known. */
  private void leaveAfter(CompletableFuture<Long> known) {
    state = State.LEAVING;
    CompletableFuture<ConclaveException> mine = new CompletableFuture<>();
    leaving = mine;
    known.thenAccept(
        which -> {
          delete(which);
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
                boolean unanswered = why.kind() == ErrorKind.DEADLINE && !op.waiting();
                throw unanswered ? ConclaveException.maybe("a release", why) : why;
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

  /** Deletes the key of a create revision, for as long as it takes: others wait for it. 0: nothing was put. */
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
    if (which == 0 || !session.isAlive()) {
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

  /** An attempt of the put may yet be executed: deletes what it leaves there. */
  private void watchIfUnsettled(Op op) {
    if (op.isUnsettled() && !watched) {
      watched = true;
      LateCopies.watch(
          session,
          key,
          kv -> {
            seen = kv;
            judge();
          });
    }
  }

  /** Deletes the key that was seen if it is not what the session holds. Waits while it may become that, or is deleted. */
  private void judge() {
    if (seen == null || state == State.ACQUIRING || state == State.LEAVING || !session.isAlive()) {
      return;
    }
    long created = seen.getCreateRevision();
    seen = null;
    if (state == State.HELD) {
      if (created <= owned.token()) {
        return;
      }
      // The key that was held is gone, or there would be no later one.
      owned.gone();
      forget();
    }
    delete(created);
  }
}
