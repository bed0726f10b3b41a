package dev.conclave.client;

import com.google.protobuf.ByteString;
import java.util.concurrent.CompletableFuture;

/** A counter (K11): a signed number of 64 bits that all share. 0 until it is first changed. */
public final class Counter {
  private final Calls calls;
  private final Core core;
  private final ByteString key;

  Counter(Calls calls, String name) {
    this.calls = calls;
    this.core = calls.core();
    this.key = Keys.bytes(Keys.name(name));
  }

  /**
   * Adds to the counter.
   *
   * @param delta what to add; may be negative
   * @return the counter afterwards
   */
  public long add(long delta) {
    return core.await(adding(delta));
  }

  /**
   * Adds to the counter.
   *
   * @param delta what to add; may be negative
   * @return the counter afterwards
   */
  public CompletableFuture<Long> addAsync(long delta) {
    return core.publish(adding(delta));
  }

  /**
   * Reads the counter.
   *
   * @return its value
   */
  public long get() {
    return core.await(reading());
  }

  /**
   * Reads the counter.
   *
   * @return its value
   */
  public CompletableFuture<Long> getAsync() {
    return core.publish(reading());
  }

  /**
   * Sets the counter if it has an expected value.
   *
   * @param expected the value that it must have
   * @param value the value that it gets
   * @return false if it has another value
   */
  public boolean compareAndSet(long expected, long value) {
    return core.await(setting(expected, value));
  }

  /**
   * Sets the counter if it has an expected value.
   *
   * @param expected the value that it must have
   * @param value the value that it gets
   * @return false if it has another value
   */
  public CompletableFuture<Boolean> compareAndSetAsync(long expected, long value) {
    return core.publish(setting(expected, value));
  }

  private Core.Running<Long> adding(long delta) {
    return core.call(
        "a counter",
        op ->
            Number.change(
                calls,
                op,
                key,
                true,
                before -> {
                  try {
                    return Math.addExact(before, delta);
                  } catch (ArithmeticException overflow) {
                    throw ConclaveException.invalid(before + " + " + delta + " is beyond 64 bits");
                  }
                }));
  }

  private Core.Running<Long> reading() {
    return core.call("a counter", op -> Number.read(calls, op, key).thenApply(read -> read.value().orElse(0)));
  }

  private Core.Running<Boolean> setting(long expected, long value) {
    return core.call(
        "a counter",
        op ->
            Loop.until(
                () ->
                    Number.read(calls, op, key)
                        .thenCompose(
                            read ->
                                read.value().orElse(0) != expected
                                    ? CompletableFuture.completedFuture(java.util.Optional.of(false))
                                    : Number.write(calls, op, key, read.revision(), value)
                                        .thenApply(
                                            done ->
                                                done
                                                    ? java.util.Optional.of(true)
                                                    : java.util.Optional.<Boolean>empty()))));
  }
}
