package dev.conclave.client;

import com.google.protobuf.ByteString;
import java.util.concurrent.CompletableFuture;

/** A key that shows something while the session lives: a member of a group, or an address of a service. */
public final class Membership implements AutoCloseable {
  private final Session session;
  private final ByteString key;

  private Membership(Session session, ByteString key) {
    this.session = session;
    this.key = key;
  }

  static CompletableFuture<Membership> put(Session session, Op op, ByteString key, ByteString value) {
    session.bind(op);
    Txn put = Txn.when().then(Ops.put(key, value, session.lease()));
    CompletableFuture<?> written =
        op.isStopped() ? op.guard(new CompletableFuture<>()) : Contention.txn(session, op, put);
    return written
        .whenComplete((done, failure) -> session.unbind(op))
        .thenApply(done -> new Membership(session, key));
  }

  /**
   * Returns the key.
   *
   * @return the key
   */
  public ByteString key() {
    return key;
  }

  /** Leaves. Has no effect if the key is gone, or another session has it. */
  public void leave() {
    session.core().await(leaving());
  }

  /**
   * Leaves. Has no effect if the key is gone, or another session has it.
   *
   * @return completes when it is done
   */
  public CompletableFuture<Void> leaveAsync() {
    return session.core().publish(leaving());
  }

  /** Leaves. The same as {@link #leave()}. */
  @Override
  public void close() {
    leave();
  }

  private Core.Running<Void> leaving() {
    if (!session.isAlive()) {
      return session.core().done(null);
    }
    return session.core()
        .call("leaving", op -> Contention.delete(session, op, key, 0).thenApply(done -> null));
  }
}
