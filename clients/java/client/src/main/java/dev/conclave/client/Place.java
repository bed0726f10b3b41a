package dev.conclave.client;

import com.google.protobuf.ByteString;
import dev.conclave.client.api.KeyValue;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

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

  /** The operation that puts or deletes the key, or was the last one to do so. */
  private volatile Op writer;

  /** The put of the key. */
  private CompletableFuture<KeyValue> entering;

  /** The key as it was put; null until that is known. */
  private KeyValue present;

  /** Ends when a member's value has been changed by the join that does so now; null if there is none. */
  private CompletableFuture<Void> changing;

  private Ownership owned;
  private int holders;

  /** Ends when the deletion does, with the error that left the key there, or null. */
  private CompletableFuture<ConclaveException> leaving;

  /** The key, if the server refused to delete it: it is there until it is released again or the session ends. */
  private KeyValue undeleted;

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
        return untilLeft(op).thenCompose(left -> join(op, wanted));
      case HELD:
        return again(op, wanted)
            .thenCompose(
                held -> held.isPresent() ? CompletableFuture.completedFuture(held.get()) : join(op, wanted));
      case ACQUIRING:
        if (!isShared(wanted)) {
          return CompletableFuture.failedFuture(refusal());
        }
        // A member has a value of its own, and replaces the one that joins now.
        return wanted.kind == Kind.MEMBER ? waiting(op).thenCompose(held -> join(op, wanted)) : waiting(op);
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
    if (entry.kind == Kind.MEMBER && wanted.kind == Kind.MEMBER) {
      return replace(op, wanted);
    }
    Ownership before = owned;
    return before.isOurs(op)
        .thenApply(
            ours -> {
              if (state != State.HELD || owned != before) {
                return Optional.empty();
              }
              if (!ours) {
                before.gone();
                forget();
                return Optional.empty();
              }
              if (!isShared(wanted)) {
                throw refusal();
              }
              if (entry.kind == Kind.LOCK) {
                holders++;
              }
              return Optional.of(before);
            });
  }

  /** Joins again: the former membership no longer removes the member. Empty: it has left or lost the key meanwhile. */
  private CompletableFuture<Optional<Ownership>> replace(Op op, Entry wanted) {
    if (changing != null) {
      // One after the other, so that the last one to put the value is the one that can remove it.
      return op.guard(changing).thenApply(changed -> Optional.empty());
    }
    Ownership before = owned;
    CompletableFuture<Void> mine = new CompletableFuture<>();
    changing = mine;
    return before.set(op, wanted.value)
        .thenApply(
            isOurs -> {
              if (state != State.HELD || owned != before) {
                return Optional.<Ownership>empty();
              }
              if (!isOurs) {
                forget();
                return Optional.<Ownership>empty();
              }
              before.released();
              owned = new Ownership(session, before.present(), wanted.kind, this::release);
              return Optional.of(owned);
            })
        .whenComplete(
            (done, failure) -> {
              changing = null;
              mine.complete(null);
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
    op.writing(this::isWriting);
    Runnable unhook =
        op.onStop(
            why -> {
              waiters.remove(mine);
              mine.completeExceptionally(unfinished(op, why, isWriting()));
              if (waiters.isEmpty() && state == State.ACQUIRING && work != null) {
                giveUp();
              }
            });
    return mine.whenComplete(
        (done, failure) -> {
          op.writing(null);
          unhook.run();
        });
  }

  /** True if an attempt to put or delete the key is under way, or its fate is unknown. */
  private boolean isWriting() {
    Op present = writer;
    return present != null && present.sent();
  }

  /** The error of one that waits no longer. {@code sent}: a write for it was sent, and goes on in the background. */
  private static ConclaveException unfinished(Op op, ConclaveException why, boolean sent) {
    if (sent) {
      return op.inDoubt(why);
    }
    return why.kind() == ErrorKind.DEADLINE && !op.waiting() ? ConclaveException.unavailable(op.what(), null) : why;
  }

  private CompletableFuture<ConclaveException> untilLeft(Op op) {
    return op.guard(leaving)
        .exceptionally(
            failure -> {
              throw unfinished(op, ConclaveException.of(failure), false);
            });
  }

  private void giveUp() {
    if (present != null) {
      work.stop(ConclaveException.cancelled(false));
      return;
    }
    // The put goes on: a deletion beside it could be executed before it.
    work = null;
    leaveAfter(entering.handle((entered, failure) -> failure == null ? entered : null));
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
                  writer = op;
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
                boolean inDoubt = present == null && running.op().isUnsettled();
                delete(present);
                logUndeleted();
                fail(inDoubt ? ConclaveException.of(failure).maybeIf(true) : failure);
              }
            });
  }

  private void acquiring(Entry wanted) {
    state = State.ACQUIRING;
    entry = wanted;
    work = null;
    present = null;
    session.keep(key, this);
  }

  private void idle() {
    state = State.IDLE;
    // Another place of the same key must not own what a handle or the watch of this one may yet delete.
    if (!watched && undeleted == null) {
      session.forget(key);
    }
    judge();
  }

  private CompletableFuture<Void> contend(Op op) {
    return Loop.until(
            () -> {
              present = null;
              entering =
                  Contention.enter(session, op, key, entry)
                      .whenComplete((entered, failure) -> watchIfUnsettled(op));
              return entering
                  .thenCompose(
                      entered -> {
                        if (work != op) {
                          throw ConclaveException.cancelled(false);
                        }
                        present = entered;
                        return entry.turn.await(op, entered.getCreateRevision());
                      })
                  // A key that somebody deleted is queued again, at the end.
                  .thenApply(own -> own ? Optional.of(own) : Optional.empty());
            })
        .thenApply(own -> null);
  }

  /** Holds the key for those that wait, and {@code others}. */
  private Ownership hold(int others) {
    state = State.HELD;
    // If a release has left the key there, it is held again now.
    undeleted = null;
    Ownership mine = new Ownership(session, present, entry.kind, this::release);
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

  /** Takes a lock that is free: the prefix has no other key. */
  CompletableFuture<Optional<Ownership>> tryAcquire(Op op, Entry wanted, ByteString contenders) {
    session.bind(op);
    return attempt(op, wanted, contenders).whenComplete((done, failure) -> session.unbind(op));
  }

  private CompletableFuture<Optional<Ownership>> attempt(Op op, Entry wanted, ByteString contenders) {
    if (op.isStopped()) {
      return op.guard(new CompletableFuture<>());
    }
    switch (state) {
      case LEAVING:
        return untilLeft(op).thenCompose(left -> attempt(op, wanted, contenders));
      case HELD:
        return again(op, wanted)
            .thenCompose(
                held -> held.isPresent() ? CompletableFuture.completedFuture(held) : attempt(op, wanted, contenders));
      case ACQUIRING:
        return isShared(wanted)
            ? CompletableFuture.completedFuture(Optional.empty())
            : CompletableFuture.failedFuture(refusal());
      default:
        acquiring(wanted);
        writer = op;
        return Contention.take(session, op, contenders, key, wanted)
            .handle((taken, failure) -> attempted(op, taken, failure));
    }
  }

  private Optional<Ownership> attempted(Op op, Optional<KeyValue> taken, Throwable failure) {
    watchIfUnsettled(op);
    if (failure == null && taken.isPresent()) {
      present = taken.get();
      return Optional.of(hold(1));
    }
    if (waiters.isEmpty()) {
      idle();
    } else {
      // Those that came while it was only tried go on to wait.
      begin(entry);
    }
    if (failure != null) {
      throw ConclaveException.of(failure);
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
        CompletableFuture<Void> delay = entry.turn.beforeLeaving(owned.token());
        if (delay != null) {
          leaveAfter(delay.thenApply(done -> which.present()));
          return Handle.done();
        }
        delete(owned.present());
        return left(op);
      case LEAVING:
        return left(op);
      case IDLE:
        if (undeleted != null) {
          delete(undeleted);
          return left(op);
        }
        return Handle.done();
      default:
        return Handle.done();
    }
  }

  /** Deletes the key once it is known. */
  private void leaveAfter(CompletableFuture<KeyValue> known) {
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
    op.writing(this::isWriting);
    return op.guard(leaving)
        .handle(
            (refused, failure) -> {
              boolean isWriting = isWriting();
              op.writing(null);
              if (failure != null) {
                // The release goes on in the background.
                throw unfinished(op, ConclaveException.of(failure), isWriting);
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

  /** Deletes the key, for as long as it takes: others wait for it. Null: nothing was put. */
  private void delete(KeyValue which) {
    state = State.LEAVING;
    CompletableFuture<ConclaveException> mine = new CompletableFuture<>();
    leaving = mine;
    deleting(which)
        .whenComplete(
            (done, failure) -> {
              // Without its session the key goes all the same.
              boolean isThere = failure != null && session.isAlive();
              boolean inDoubt = isThere && writer.isUnsettled();
              if (isThere) {
                undeleted = which;
              } else if (which != null) {
                undeleted = null;
              }
              idle();
              ConclaveException why = isThere ? ConclaveException.of(failure) : null;
              mine.complete(inDoubt ? why.maybeIf(true) : why);
              free();
            });
  }

  private CompletableFuture<Void> deleting(KeyValue which) {
    if (which == null || !session.isAlive()) {
      return Handle.done();
    }
    return session.core()
        .internal(
            "a release",
            null,
            true,
            op -> {
              writer = op;
              session.bind(op);
              return Contention.delete(session, op, which)
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
          },
          this::unwatched);
    }
  }

  /** The user may no longer read the key. The next put without an answer begins another watch. */
  private void unwatched() {
    watched = false;
    if (state == State.IDLE) {
      idle();
    }
  }

  /** Deletes the key that was seen if it is not what the session holds. Waits while it may become that, or is deleted. */
  private void judge() {
    if (seen == null || state == State.ACQUIRING || state == State.LEAVING || !session.isAlive()) {
      return;
    }
    KeyValue copy = seen;
    seen = null;
    if (state == State.HELD) {
      if (copy.getCreateRevision() <= owned.token()) {
        return;
      }
      // The key that was held is gone, or there would be no later one.
      owned.gone();
      forget();
    }
    delete(copy);
  }
}
