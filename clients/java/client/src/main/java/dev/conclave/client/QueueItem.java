package dev.conclave.client;

import com.google.protobuf.ByteString;
import dev.conclave.client.api.KeyValue;
import java.util.concurrent.CompletableFuture;

/** An item of a queue that a session has claimed. Closing it without an acknowledgement gives it back. */
public final class QueueItem implements AutoCloseable {
  private final Session session;
  private final ByteString item;
  private final ByteString claim;
  private final long token;
  private final ByteString value;
  private volatile boolean done;

  QueueItem(Session session, ByteString item, ByteString claim, long token, KeyValue content) {
    this.session = session;
    this.item = item;
    this.claim = claim;
    this.token = token;
    this.value = content.getValue();
  }

  /**
   * Returns the item.
   *
   * @return as it was put
   */
  public ByteString value() {
    return value;
  }

  /**
   * Returns the item as text.
   *
   * @return as it was put, as UTF-8
   */
  public String text() {
    return value.toStringUtf8();
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
    return token;
  }

  /** Gives the item back in the background, for as long as the session lives. */
  void abandon() {
    Contention.abandon(session, claim, token);
  }

  private Core.Running<Boolean> ending(boolean remove) {
    Txn end = Txn.when(Compares.owner(claim, token)).then(Ops.delete(claim));
    Txn all = remove ? end.then(Ops.delete(item)) : end;
    return session.core()
        .call(
            remove ? "an acknowledgement" : "giving an item back",
            op ->
                Contention.txn(session.calls(), op, all, Calls.Mode.WRITE)
                    .thenApply(
                        answer -> {
                          done = true;
                          return answer.getSucceeded();
                        }));
  }
}
