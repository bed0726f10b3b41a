package dev.conclave.client;

import com.google.protobuf.ByteString;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** A queue (K10) as its producers see it. See {@link Session#queue} to take items. */
public class Queue {
  /** Greatest priority number, which comes last. */
  public static final int PRIORITY_MAX = 99_999;

  static final SecureRandom RANDOM = new SecureRandom();

  private final Calls calls;
  private final String name;

  Queue(Calls calls, String name) {
    this.calls = calls;
    this.name = Keys.name(name);
  }

  final String name() {
    return name;
  }

  /**
   * Puts an item into the queue, with priority 0 and no delay.
   *
   * @param value the item
   */
  public void put(String value) {
    put(value, 0, Duration.ZERO);
  }

  /**
   * Puts an item into the queue.
   *
   * @param value the item
   * @param priority 0 to {@link #PRIORITY_MAX}; lower ones come first
   * @param delay the time after which the item can be taken, by the clocks of this machine and of the taker
   */
  public void put(String value, int priority, Duration delay) {
    calls.core().await(putting(value, priority, delay));
  }

  /**
   * Puts an item into the queue.
   *
   * @param value the item
   * @param priority 0 to {@link #PRIORITY_MAX}; lower ones come first
   * @param delay the time after which the item can be taken, by the clocks of this machine and of the taker
   * @return completes when it is there
   */
  public CompletableFuture<Void> putAsync(String value, int priority, Duration delay) {
    return calls.core().publish(putting(value, priority, delay));
  }

  private Core.Running<Void> putting(String value, int priority, Duration delay) {
    return calls.core()
        .call(
            "a put to a queue",
            op -> {
              if (priority < 0 || priority > PRIORITY_MAX) {
                throw ConclaveException.invalid("the priority must be 0 to " + PRIORITY_MAX + ", and is " + priority);
              }
              if (Keys.given(delay, "a delay").isNegative()) {
                throw ConclaveException.invalid("the delay is negative: " + delay);
              }
              long due = delay.isZero() ? 0 : System.currentTimeMillis() + TimeUnit.NANOSECONDS.toMillis(Op.nanos(delay));
              String tail = "%05d-%013d-%016x".formatted(priority, due, RANDOM.nextLong());
              ByteString key = Keys.bytes(name + "/items/" + tail);
              // The key is this item's alone. A copy that is executed late is an item that is done once more.
              Txn put = Txn.when(Compares.absent(key)).then(Ops.put(key, Keys.bytes(value)));
              return Contention.txn(calls, op, put, Calls.Mode.IDEMPOTENT).thenApply(done -> null);
            });
  }
}
