package dev.conclave.client;

import java.util.ArrayDeque;
import java.util.Deque;

/** Callbacks of one listener, in order. One that blocks delays only those behind it here. */
final class Serial {
  private final Core core;
  private final Deque<Runnable> waiting = new ArrayDeque<>();
  private boolean running;

  Serial(Core core) {
    this.core = core;
  }

  void run(Runnable callback) {
    synchronized (waiting) {
      waiting.add(callback);
      if (running) {
        return;
      }
      running = true;
    }
    core.callback(this::next);
  }

  private void next() {
    Runnable callback;
    synchronized (waiting) {
      callback = waiting.remove();
    }
    try {
      callback.run();
    } catch (RuntimeException | Error failure) {
      core.log("a callback failed", failure);
    }
    synchronized (waiting) {
      if (waiting.isEmpty()) {
        running = false;
        return;
      }
    }
    core.callback(this::next);
  }
}
