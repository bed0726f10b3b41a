package dev.conclave.examples;

import dev.conclave.client.Client;

/** Counts. */
public final class CounterExample {
  private CounterExample() {}

  /**
   * Runs the example against the servers of {@code ETCDCTL_ENDPOINTS}.
   *
   * @param args none
   */
  public static void main(String[] args) {
    try (Client client = Client.fromEnv()) {
      System.out.println("now " + client.counter("examples/counter").add(1));
    }
  }
}
