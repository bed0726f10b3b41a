package dev.conclave.examples;

import dev.conclave.client.Client;
import dev.conclave.client.Session;
import java.util.concurrent.CompletableFuture;

/** Begins and ends together with another one. */
public final class DoubleBarrierExample {
  private DoubleBarrierExample() {}

  /**
   * Runs the example against the servers of {@code ETCDCTL_ENDPOINTS}.
   *
   * @param args none
   */
  public static void main(String[] args) {
    try (Client client = Client.fromEnv();
        Session one = client.session();
        Session other = client.session()) {
      CompletableFuture<Void> entering = one.doubleBarrier("examples/double_barrier", 2).enterAsync();
      other.doubleBarrier("examples/double_barrier", 2).enter();
      entering.join();
      System.out.println("both have begun");
      CompletableFuture<Void> leaving = one.doubleBarrier("examples/double_barrier", 2).leaveAsync();
      other.doubleBarrier("examples/double_barrier", 2).leave();
      leaving.join();
      System.out.println("both have ended");
    }
  }
}
