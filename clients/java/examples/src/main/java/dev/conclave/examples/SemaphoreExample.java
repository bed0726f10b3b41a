package dev.conclave.examples;

import dev.conclave.client.Client;
import dev.conclave.client.Semaphore;
import dev.conclave.client.Session;

/** Takes one of three permits. */
public final class SemaphoreExample {
  private SemaphoreExample() {}

  /**
   * Runs the example against the servers of {@code ETCDCTL_ENDPOINTS}.
   *
   * @param args none
   */
  public static void main(String[] args) {
    try (Client client = Client.fromEnv();
        Session session = client.session();
        Semaphore.Permit permit = session.semaphore("examples/semaphore", 3).acquire()) {
      System.out.println("one of three, token " + permit.token());
    }
  }
}
