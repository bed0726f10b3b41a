package dev.conclave.client;

import com.google.protobuf.ByteString;
import dev.conclave.client.api.RangeRequest;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/** A barrier (K7): whoever waits goes on when it is released. It holds until then, whatever becomes of its holder. */
public final class Barrier {
  private final Calls calls;
  private final Core core;
  private final ByteString key;

  Barrier(Calls calls, String name) {
    this.calls = calls;
    this.core = calls.core();
    this.key = Keys.bytes(Keys.name(name));
  }

  /**
   * Makes the barrier hold. Has no effect if it does.
   *
   * <p>If the answer is lost this fails with {@link ErrorKind#MAYBE}. It is not sent again, because the first attempt could then be
   * executed after a release.
   */
  public void hold() {
    core.await(holding());
  }

  /**
   * Makes the barrier hold. Has no effect if it does.
   *
   * @return completes when it holds; as {@link #hold()}
   */
  public CompletableFuture<Void> holdAsync() {
    return core.publish(holding());
  }

  /** Lets all go on that wait. Fails with {@link ErrorKind#MAYBE} if the answer is lost. */
  public void release() {
    core.await(releasing());
  }

  /**
   * Lets all go on that wait.
   *
   * @return completes when it is released
   */
  public CompletableFuture<Void> releaseAsync() {
    return core.publish(releasing());
  }

  /** Waits until the barrier does not hold. */
  public void await() {
    core.await(waiting(null));
  }

  /**
   * Waits until the barrier does not hold, for at most a time.
   *
   * @param timeout the time, after which it fails with {@link ErrorKind#DEADLINE}
   */
  public void await(Duration timeout) {
    core.await(waiting(Client.positive(timeout)));
  }

  /**
   * Waits until the barrier does not hold.
   *
   * @return completes then
   */
  public CompletableFuture<Void> awaitAsync() {
    return core.publish(waiting(null));
  }

  /**
   * Waits until the barrier does not hold, for at most a time.
   *
   * @param timeout the time, after which it fails with {@link ErrorKind#DEADLINE}
   * @return completes then
   */
  public CompletableFuture<Void> awaitAsync(Duration timeout) {
    return core.publish(waiting(Client.positive(timeout)));
  }

  private Core.Running<Void> holding() {
    Txn hold = Txn.when(Compares.absent(key)).then(Ops.put(key, ByteString.EMPTY));
    return core.call(
        "a barrier", op -> Contention.txn(calls, op, hold, Calls.Mode.WRITE).thenApply(done -> null));
  }

  private Core.Running<Void> releasing() {
    return core.call(
        "releasing a barrier",
        op ->
            Contention.txn(calls, op, Txn.when().then(Ops.delete(key)), Calls.Mode.WRITE)
                .thenApply(done -> null));
  }

  private Core.Running<Void> waiting(Duration timeout) {
    RangeRequest look = RangeRequest.newBuilder().setKey(key).setKeysOnly(true).build();
    return core.wait("waiting at a barrier", timeout, op -> absent(calls, op, look).thenApply(gone -> null));
  }

  /** Waits until a key does not exist. */
  static CompletableFuture<Boolean> absent(Calls calls, Op op, RangeRequest look) {
    return Loop.until(
        () ->
            Contention.range(calls, op, look)
                .thenCompose(
                    answer ->
                        answer.getKvsCount() == 0
                            ? CompletableFuture.completedFuture(Optional.of(true))
                            : WatchStream.deletion(
                                    calls, op, answer.getKvs(0).getKey(), answer.getHeader().getRevision() + 1)
                                .thenApply(gone -> Optional.<Boolean>empty())));
  }
}
