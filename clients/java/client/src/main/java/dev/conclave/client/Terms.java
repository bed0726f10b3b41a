package dev.conclave.client;

/** Runs a function under a leadership, and interrupts its thread if that is lost. */
final class Terms {
  private Terms() {}

  static <T> T run(Leadership leadership, Election.Term<T> term) throws Exception {
    Thread thread = Thread.currentThread();
    Object guard = new Object();
    boolean[] running = {true};
    boolean[] interrupted = {false};
    leadership.onLost(
        () -> {
          synchronized (guard) {
            if (running[0]) {
              interrupted[0] = true;
              thread.interrupt();
            }
          }
        });
    try {
      return term.lead(leadership);
    } finally {
      synchronized (guard) {
        running[0] = false;
        if (interrupted[0]) {
          // It was meant for the function, and not for what its caller does next.
          Thread.interrupted();
        }
      }
    }
  }
}
