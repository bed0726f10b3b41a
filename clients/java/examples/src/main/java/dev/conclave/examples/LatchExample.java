package dev.conclave.examples;

import dev.conclave.client.Client;
import dev.conclave.client.Latch;

/** Waits until two parts are done. */
public final class LatchExample {
  private LatchExample() {}

  /**
   * Runs the example against the servers of {@code ETCDCTL_ENDPOINTS}.
   *
   * @param args none
   */
  public static void main(String[] args) {
    try (Client client = Client.fromEnv()) {
      Latch latch = client.latch("examples/latch/" + System.nanoTime());
      latch.create(2);
      System.out.println(latch.countDown() + " left");
      System.out.println(latch.countDown() + " left");
      latch.await();
    }
  }
}
