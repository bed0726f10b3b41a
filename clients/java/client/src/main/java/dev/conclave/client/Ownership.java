package dev.conclave.client;

import com.google.protobuf.ByteString;
import dev.conclave.client.api.Event;
import dev.conclave.client.api.KeyValue;
import dev.conclave.client.api.TxnResponse;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.function.BiFunction;

/**
 * A key that owns something, from its acquisition to its release or loss. Several handles share one if the owner is reentrant.
 * Belongs to the core's thread, except for {@link #isValid()}.
 */
final class Ownership {
  /** The value by which an owner is asked to release (K3). */
  static final ByteString REVOKE = ByteString.copyFromUtf8("revoke");

  /** A critical section shorter than this has no watch on its key, which costs a stream. */
  private static final long WATCH_AFTER = TimeUnit.MILLISECONDS.toNanos(100);

  private final Session session;
  private final ByteString key;
  private final long token;

  /** Mod revision of the put with which the session has entered. */
  private final long entered;

  private final boolean revocable;
  private final BiFunction<Op, Ownership, CompletableFuture<Void>> release;
  private final List<Runnable> lostListeners = new ArrayList<>();
  private final List<Runnable> revokeListeners = new ArrayList<>();
  private final Runnable sessionEnded = this::lose;
  private final Future<?> watchLater;
  private WatchStream watch;
  private boolean asked;

  /** The key as the session has last put or read it. */
  private KeyValue present;

  private volatile boolean lost;
  private volatile boolean released;

  Ownership(
      Session session,
      KeyValue put,
      Place.Kind kind,
      BiFunction<Op, Ownership, CompletableFuture<Void>> release) {
    this.session = session;
    this.key = put.getKey();
    this.token = put.getCreateRevision();
    this.entered = put.getModRevision();
    this.present = put;
    this.revocable = kind.isRevocable();
    this.asked = revocable && put.getValue().equals(REVOKE);
    this.release = release;
    this.watchLater =
        kind.isWatched()
            ? session.core().after(WATCH_AFTER, this::watch)
            : CompletableFuture.completedFuture(null);
    session.whenEnded(sessionEnded);
  }

  Session session() {
    return session;
  }

  ByteString key() {
    return key;
  }

  long token() {
    return token;
  }

  boolean isValid() {
    return !lost && !released && session.isAlive();
  }

  /** True if its key is gone or goes with its session, so that nothing is left to release. */
  boolean isLost() {
    return lost || !session.isAlive();
  }

  void onLost(Runnable listener) {
    if (lost) {
      session.core().callback(listener);
      return;
    }
    session.core().execute(
        () -> {
          if (lost) {
            session.core().callback(listener);
          } else {
            lostListeners.add(listener);
            watch();
          }
        });
  }

  void onRevoke(Runnable listener) {
    session.core().execute(
        () -> {
          revokeListeners.add(listener);
          if (asked) {
            session.core().callback(listener);
          }
          watch();
        });
  }

  CompletableFuture<Void> release(Op op) {
    return release.apply(op, this);
  }

  /** Reads whether the key is still there and the session's. */
  CompletableFuture<Boolean> isOurs(Op op) {
    return isValid()
        ? Contention.txn(session, op, Txn.when(Contention.isOurs(session, key, token)))
            .thenApply(TxnResponse::getSucceeded)
        : CompletableFuture.completedFuture(false);
  }

  KeyValue present() {
    return present;
  }

  /**
   * Changes the key's value. False: the key is lost.
   *
   * <p>Each attempt is guarded by the last change, so that one that is executed late does not undo a later one (R8).
   */
  CompletableFuture<Boolean> set(Op op, ByteString next) {
    Txn put =
        Txn.when(Contention.isUnchanged(session, present))
            .then(Ops.put(key, next, session.lease()), Ops.get(key))
            .otherwise(Ops.get(key));
    return Contention.txn(session, op, put)
        .thenCompose(
            answer -> {
              Optional<KeyValue> own = Contention.found(session, present, answer, answer.getSucceeded() ? 1 : 0);
              if (own.isEmpty()) {
                gone();
                return CompletableFuture.completedFuture(false);
              }
              present = own.get();
              return answer.getSucceeded() ? CompletableFuture.completedFuture(true) : set(op, next);
            });
  }

  /** Ends it without a loss: its last handle is released. */
  void released() {
    released = true;
    end();
  }

  private void end() {
    watchLater.cancel(false);
    session.forgetDependent(sessionEnded);
    if (watch != null) {
      watch.close();
    }
  }

  /** The key is gone. Either the lease is, too, of which the session should learn, or somebody deleted the key. */
  void gone() {
    session.check();
    lose();
  }

  private void lose() {
    if (lost || released) {
      return;
    }
    lost = true;
    end();
    lostListeners.forEach(session.core()::callback);
    lostListeners.clear();
  }

  /** Watches the key, from its put on: nothing is missed, however late this is. */
  private void watch() {
    if (watch == null && !lost && !released) {
      watch(entered + 1);
    }
  }

  private void watch(long from) {
    watch =
        WatchStream.open(
            session.calls(),
            WatchStream.Range.key(key),
            from,
            new WatchStream.Sink() {
              @Override
              public void events(List<Event> events) {
                watch.consumed();
                events.forEach(Ownership.this::happened);
              }

              @Override
              public void ended(ConclaveException why) {
                if (why.kind() == ErrorKind.COMPACTED) {
                  rewatch();
                } else {
                  session.core().log("the key of a lock can no longer be watched", why);
                }
              }
            });
  }

  /** The history since the put is compacted: looks at the key itself, and watches from there. */
  private void rewatch() {
    Txn look = Txn.when(Compares.owner(key, token)).then(Ops.get(key));
    Core.Running<TxnResponse> looking =
        session.core()
            .internal("looking at a lock", null, true, op -> {
              session.bind(op);
              return Contention.txn(session.calls(), op, look, Calls.Mode.READ)
                  .whenComplete((answer, failure) -> session.unbind(op));
            });
    looking.result()
        .thenAccept(
            answer -> {
              if (lost || released) {
                return;
              }
              if (!answer.getSucceeded()) {
                gone();
                return;
              }
              if (revocable && Kv.found(answer, 0).get(0).getValue().equals(REVOKE)) {
                revoke();
              }
              watch(answer.getHeader().getRevision() + 1);
            });
  }

  private void revoke() {
    asked = true;
    revokeListeners.forEach(session.core()::callback);
  }

  private void happened(Event event) {
    if (lost || released) {
      return;
    }
    if (event.getType() == Event.EventType.DELETE) {
      gone();
    } else if (revocable && event.getKv().getValue().equals(REVOKE)) {
      revoke();
    }
  }
}
