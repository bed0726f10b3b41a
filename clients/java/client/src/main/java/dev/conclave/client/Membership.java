package dev.conclave.client;

import com.google.protobuf.ByteString;
import java.util.concurrent.CompletableFuture;

/** A key that shows something while the session lives: a member of a group, or an address of a service. */
public final class Membership implements AutoCloseable {
  private final Ownership ownership;

  private Membership(Ownership ownership) {
    this.ownership = ownership;
  }

  static CompletableFuture<Membership> put(Session session, Op op, ByteString key, ByteString value) {
    Place.Turn atOnce = (joining, entered) -> CompletableFuture.completedFuture(true);
    return session.place(key)
        .acquire(op, new Place.Entry(Place.Kind.MEMBER, value, atOnce))
        .thenApply(Membership::new);
  }

  /**
   * Returns the key.
   *
   * @return the key
   */
  public ByteString key() {
    return ownership.key();
  }

  /** Leaves. Has no effect if the key is gone, another session has it, or this one has joined again. */
  public void leave() {
    core().await(leaving());
  }

  /**
   * Leaves. Has no effect if the key is gone, another session has it, or this one has joined again.
   *
   * @return completes when it is done
   */
  public CompletableFuture<Void> leaveAsync() {
    return core().publish(leaving());
  }

  /** Leaves. The same as {@link #leave()}. */
  @Override
  public void close() {
    leave();
  }

  private Core.Running<Void> leaving() {
    return ownership.isLost() ? core().done(null) : core().call("leaving", ownership::release);
  }

  private Core core() {
    return ownership.session().core();
  }
}
