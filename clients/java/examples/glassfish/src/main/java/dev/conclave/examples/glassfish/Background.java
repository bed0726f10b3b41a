package dev.conclave.examples.glassfish;

import jakarta.enterprise.concurrent.ManagedThreadFactory;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.logging.Level;
import java.util.logging.Logger;

/**
 * A thread that runs a step again and again until it is closed, with a pause after a failure.
 *
 * <p>GlassFish's executors can end a task for good that first runs while the application is being deployed: they ask for an
 * application of that name too early. A thread of the container's factory does not have that trouble.
 */
final class Background implements AutoCloseable {
  private static final Logger LOG = Logger.getLogger(Background.class.getName());
  private static final long PAUSE_MILLIS = 500;

  /** One step; an interrupt asks it to end. */
  @FunctionalInterface
  interface Step {
    void run() throws InterruptedException;
  }

  private final String name;
  private final Step step;
  private final Consumer<RuntimeException> onFailure;
  private final Thread thread;
  private volatile boolean closed;

  /** {@code threads} is the container's: its threads have the application's class loader and naming context. */
  Background(ManagedThreadFactory threads, String name, Step step, Consumer<RuntimeException> onFailure) {
    this.name = name;
    this.step = step;
    this.onFailure = onFailure;
    this.thread = threads.newThread(this::repeat);
    thread.setName(name);
    thread.start();
  }

  private void repeat() {
    String logged = null;
    while (!closed) {
      try {
        try {
          step.run();
          logged = null;
        } catch (RuntimeException failure) {
          if (closed) {
            return;
          }
          onFailure.accept(failure);
          // The same failure for minutes is one line in the log.
          if (!String.valueOf(failure.getMessage()).equals(logged)) {
            logged = String.valueOf(failure.getMessage());
            LOG.log(Level.WARNING, name + " failed and is tried again: " + logged);
          }
          TimeUnit.MILLISECONDS.sleep(PAUSE_MILLIS);
        }
      } catch (InterruptedException ended) {
        // Only close() interrupts this thread.
        return;
      }
    }
  }

  @Override
  public void close() {
    closed = true;
    thread.interrupt();
    try {
      thread.join(Duration.ofSeconds(10).toMillis());
    } catch (InterruptedException hurry) {
      Thread.currentThread().interrupt();
    }
  }
}
