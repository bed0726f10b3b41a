package dev.conclave.examples.glassfish;

import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;

/** Waiting for conditions, with a deadline. */
final class Eventually {
  /** For everything but the start of a server; generous, for machines that are busy. */
  static final Duration LIMIT = Duration.ofSeconds(60);

  private Eventually() {}

  static void until(String what, BooleanSupplier condition) {
    get(what, () -> condition.getAsBoolean() ? Optional.of(true) : Optional.empty());
  }

  /** Waits until there is something. */
  static <T> T get(String what, Supplier<Optional<T>> source) {
    return get(what, LIMIT, source);
  }

  static <T> T get(String what, Duration limit, Supplier<Optional<T>> source) {
    long end = System.nanoTime() + limit.toNanos();
    while (true) {
      Optional<T> found = source.get();
      if (found.isPresent()) {
        return found.get();
      }
      if (System.nanoTime() - end > 0) {
        throw new AssertionError("not in time: " + what);
      }
      LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(20));
    }
  }
}
