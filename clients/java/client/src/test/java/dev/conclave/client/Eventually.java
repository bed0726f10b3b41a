package dev.conclave.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.fail;

import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.function.Executable;

/** Waiting for conditions, with a deadline. */
final class Eventually {
  static final Duration LIMIT = Duration.ofSeconds(20);

  private Eventually() {}

  static void until(String what, BooleanSupplier condition) {
    long end = System.nanoTime() + LIMIT.toNanos();
    while (!condition.getAsBoolean()) {
      if (System.nanoTime() - end > 0) {
        fail("not in time: " + what);
      }
      LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(5));
    }
  }

  static <T> T of(CompletableFuture<T> future) {
    try {
      return future.get(LIMIT.toMillis(), TimeUnit.MILLISECONDS);
    } catch (ExecutionException failure) {
      throw ConclaveException.of(failure);
    } catch (InterruptedException | TimeoutException late) {
      throw new AssertionError("not in time", late);
    }
  }

  static ConclaveException failure(ErrorKind kind, Executable action) {
    ConclaveException failure = assertThrows(ConclaveException.class, action);
    assertEquals(kind, failure.kind(), failure.toString());
    return failure;
  }

  static ConclaveException failure(ErrorKind kind, CompletableFuture<?> future) {
    return failure(kind, () -> {
      try {
        future.get(LIMIT.toMillis(), TimeUnit.MILLISECONDS);
      } catch (ExecutionException | java.util.concurrent.CancellationException failure) {
        throw ConclaveException.of(failure);
      }
    });
  }
}
