package dev.conclave.client;

import java.util.concurrent.TimeUnit;

/** Pauses between rounds of attempts: 25 ms, twice as long each time, up to 500 ms (R2). */
final class Pauses {
  private static final long MIN = TimeUnit.MILLISECONDS.toNanos(25);
  private static final long MAX = TimeUnit.MILLISECONDS.toNanos(500);

  private long next = MIN;

  long next() {
    long pause = next;
    next = Math.min(2 * pause, MAX);
    return pause;
  }

  void reset() {
    next = MIN;
  }
}
