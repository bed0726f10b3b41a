package dev.conclave.client;

import com.google.protobuf.ByteString;
import dev.conclave.client.api.Compare;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicBoolean;

/** Something that is held while the session lives: a lock, a permit or a leadership. Closing it releases it. */
public abstract class Handle implements AutoCloseable {
  private final Ownership ownership;
  private final AtomicBoolean released = new AtomicBoolean();

  Handle(Ownership ownership) {
    this.ownership = ownership;
  }

  /**
   * Returns true while it is held. Looks at the clock.
   *
   * @return false once it is released, its session is lost, or its key was deleted
   */
  public boolean isHeld() {
    return !released.get() && ownership.isValid();
  }

  /**
   * Returns the fencing token: the create revision of the key. It grows with every owner.
   *
   * @return the token
   */
  public long token() {
    return ownership.token();
  }

  /**
   * Returns the key that exists while it is held.
   *
   * @return the key
   */
  public ByteString key() {
    return ownership.key();
  }

  /**
   * Returns the session that it depends on.
   *
   * @return the session
   */
  public Session session() {
    return ownership.session();
  }

  /**
   * Returns the condition that it is held, for transactions. A write under this condition takes effect only while it is held.
   *
   * @return the condition
   */
  public Compare owner() {
    return Compares.owner(key(), token());
  }

  /**
   * Notifies a listener, once, when it is lost without having been released.
   *
   * @param listener runs on the client's callback executor; at once if it is lost already
   */
  public void onLost(Runnable listener) {
    Keys.given(listener, "a listener");
    ownership.onLost(
        () -> {
          if (!released.get()) {
            listener.run();
          }
        });
  }

  /**
   * Notifies a listener when somebody asks for it to be released. Nothing is taken by force.
   *
   * @param listener runs on the client's callback executor
   */
  public void onRevoke(Runnable listener) {
    Keys.given(listener, "a listener");
    ownership.onRevoke(
        () -> {
          if (!released.get()) {
            listener.run();
          }
        });
  }

  /**
   * Releases it. Has no effect if it is released or lost. If the server refuses it this fails: it is no longer held then, but
   * others wait for it until it is released once more or the session ends.
   */
  public void release() {
    core().await(releasing());
  }

  /**
   * Releases it.
   *
   * @return completes when it is released
   */
  public CompletableFuture<Void> releaseAsync() {
    return core().publish(releasing());
  }

  /** Releases it. */
  @Override
  public void close() {
    release();
  }

  private Core.Running<Void> releasing() {
    if (ownership.isLost()) {
      // Nothing is left to release, maybe not even the client.
      released.set(true);
      return core().done(null);
    }
    return core().call("a release", op -> released.compareAndSet(false, true) ? release(op) : done());
  }

  private CompletableFuture<Void> release(Op op) {
    return ownership.release(op)
        .whenComplete(
            (done, failure) -> {
              if (failure != null) {
                released.set(false);
              }
            });
  }

  final Core core() {
    return ownership.session().core();
  }

  final Ownership ownership() {
    return ownership;
  }

  static CompletableFuture<Void> done() {
    return CompletableFuture.completedFuture(null);
  }
}
