package dev.conclave.client;

import com.google.protobuf.ByteString;
import dev.conclave.client.api.KeyValue;
import java.util.concurrent.CompletableFuture;

/** An item of a queue that a session has claimed. Closing it without an acknowledgement gives it back. */
public final class QueueItem implements AutoCloseable {
  private final Session session;
  private final KeyValue item;
  private final KeyValue claim;
  private Runnable removed = () -> {};
  private volatile boolean done;

  QueueItem(Session session, KeyValue item, KeyValue claim) {
    this.session = session;
    this.item = item;
    this.claim = claim;
  }

  /**
   * Returns the item.
   *
   * @return as it was put
   */
  public ByteString value() {
    return item.getValue();
  }

  /**
   * Returns the item as text.
   *
   * @return as it was put, as UTF-8
   */
  public String text() {
    return item.getValue().toStringUtf8();
  }

  /**
   * Removes the item from the queue: it is done.
   *
   * @return false if the claim was lost meanwhile, so that another one may have the item
   */
  public boolean ack() {
    return session.core().await(ending(true));
  }

  /**
   * Removes the item from the queue: it is done.
   *
   * @return false if the claim was lost meanwhile, so that another one may have the item
   */
  public CompletableFuture<Boolean> ackAsync() {
    return session.core().publish(ending(true));
  }

  /**
   * Gives the item back to the queue.
   *
   * @return false if the claim was lost meanwhile
   */
  public boolean release() {
    return session.core().await(ending(false));
  }

  /**
   * Gives the item back to the queue.
   *
   * @return false if the claim was lost meanwhile
   */
  public CompletableFuture<Boolean> releaseAsync() {
    return session.core().publish(ending(false));
  }

  /** Gives the item back to the queue, unless it is acknowledged or given back. */
  @Override
  public void close() {
    if (!done && session.isAlive()) {
      release();
    }
  }

  long token() {
    return claim.getCreateRevision();
  }

  /** Runs when the item is acknowledged. */
  void whenRemoved(Runnable action) {
    removed = action;
  }

  /** Gives the item back in the background, for as long as the session lives. */
  void abandon() {
    Contention.abandon(session, claim);
  }

  private Core.Running<Boolean> ending(boolean remove) {
    Txn end = Txn.when(Compares.owner(claim.getKey(), token())).then(Ops.delete(claim.getKey()));
    Txn all = remove ? end.then(Ops.delete(item.getKey())) : end;
    return session.core()
        .call(
            remove ? "an acknowledgement" : "giving an item back",
            op ->
                Contention.txn(session.calls(), op, all, Calls.Mode.WRITE)
                    .thenApply(
                        answer -> {
                          done = true;
                          if (remove && answer.getSucceeded()) {
                            removed.run();
                          }
                          return answer.getSucceeded();
                        }));
  }
}
