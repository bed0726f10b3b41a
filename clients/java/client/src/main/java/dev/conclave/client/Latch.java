package dev.conclave.client;

import com.google.protobuf.ByteString;
import dev.conclave.client.api.RangeRequest;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/** A latch (K9): whoever waits goes on when it has been counted down to zero. */
public final class Latch {
  private final Calls calls;
  private final Core core;
  private final ByteString key;

  Latch(Calls calls, String name) {
    this.calls = calls;
    this.core = calls.core();
    this.key = Keys.bytes(Keys.name(name));
  }

  /**
   * Creates the latch if it does not exist.
   *
   * @param count to count down from; at least 0
   * @return false if it exists
   */
  public boolean create(long count) {
    return core.await(creating(count));
  }

  /**
   * Creates the latch if it does not exist.
   *
   * @param count to count down from; at least 0
   * @return false if it exists
   */
  public CompletableFuture<Boolean> createAsync(long count) {
    return core.publish(creating(count));
  }

  /**
   * Counts down by one, if it is not zero.
   *
   * @return the count that is left
   */
  public long countDown() {
    return core.await(counting());
  }

  /**
   * Counts down by one, if it is not zero.
   *
   * @return the count that is left
   */
  public CompletableFuture<Long> countDownAsync() {
    return core.publish(counting());
  }

  /** Waits for zero. Fails with {@link ErrorKind#INVALID} if the latch does not exist. */
  public void await() {
    core.await(waiting(null));
  }

  /**
   * Waits for zero, for at most a time.
   *
   * @param timeout the time, after which it fails with {@link ErrorKind#DEADLINE}
   */
  public void await(Duration timeout) {
    core.await(waiting(Client.positive(timeout)));
  }

  /**
   * Waits for zero.
   *
   * @return completes then
   */
  public CompletableFuture<Void> awaitAsync() {
    return core.publish(waiting(null));
  }

  /**
   * Waits for zero, for at most a time.
   *
   * @param timeout the time, after which it fails with {@link ErrorKind#DEADLINE}
   * @return completes then
   */
  public CompletableFuture<Void> awaitAsync(Duration timeout) {
    return core.publish(waiting(Client.positive(timeout)));
  }

  private Core.Running<Boolean> creating(long count) {
    return core.call(
        "a latch",
        op -> {
          if (count < 0) {
            throw ConclaveException.invalid("a latch cannot count down from " + count);
          }
          Txn create = Txn.when(Compares.absent(key)).then(Ops.put(key, Keys.bytes(Long.toString(count))));
          return Contention.txn(calls, op, create, Calls.Mode.WRITE).thenApply(answer -> answer.getSucceeded());
        });
  }

  private Core.Running<Long> counting() {
    return core.call(
        "a latch", op -> Number.change(calls, op, key, false, before -> Math.max(0, before - 1)));
  }

  private Core.Running<Void> waiting(Duration timeout) {
    RangeRequest look = RangeRequest.newBuilder().setKey(key).build();
    return core.wait(
        "waiting for a latch",
        timeout,
        op ->
            Loop.until(
                    () ->
                        Contention.range(calls, op, look)
                            .thenCompose(
                                answer -> {
                                  long left =
                                      Number.parse(answer.getKvsList())
                                          .value()
                                          .orElseThrow(
                                              () ->
                                                  ConclaveException.invalid(
                                                      "the latch " + key.toStringUtf8() + " does not exist; create it first"));
                                  if (left <= 0) {
                                    return CompletableFuture.completedFuture(Optional.of(true));
                                  }
                                  return WatchStream.first(
                                          calls,
                                          op,
                                          WatchStream.Range.key(key),
                                          answer.getHeader().getRevision() + 1)
                                      .thenApply(changed -> Optional.<Boolean>empty());
                                }))
                .thenApply(zero -> null));
  }
}
