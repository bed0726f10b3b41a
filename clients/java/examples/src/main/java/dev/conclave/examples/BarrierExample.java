package dev.conclave.examples;

import dev.conclave.client.Barrier;
import dev.conclave.client.Client;
import java.util.concurrent.CompletableFuture;

/** Holds others back until something is ready. */
public final class BarrierExample {
  private BarrierExample() {}

  /**
   * Runs the example against the servers of {@code ETCDCTL_ENDPOINTS}.
   *
   * @param args none
   */
  public static void main(String[] args) {
    try (Client client = Client.fromEnv()) {
      Barrier barrier = client.barrier("examples/barrier");
      barrier.hold();
      CompletableFuture<Void> waiting = barrier.awaitAsync();
      System.out.println("waiting");
      barrier.release();
      waiting.join();
      System.out.println("released");
    }
  }
}
