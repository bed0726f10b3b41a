package dev.conclave.examples;

import dev.conclave.client.Client;

/** Moves an amount from one key to the other. */
public final class StmExample {
  private StmExample() {}

  /**
   * Runs the example against the servers of {@code ETCDCTL_ENDPOINTS}.
   *
   * @param args none
   */
  public static void main(String[] args) {
    try (Client client = Client.fromEnv()) {
      client.kv().put("examples/stm/a", "10");
      long left =
          client.stm(
              tx -> {
                long a = Long.parseLong(tx.get("examples/stm/a").orElse("0")) - 1;
                long b = Long.parseLong(tx.get("examples/stm/b").orElse("0")) + 1;
                tx.put("examples/stm/a", Long.toString(a));
                tx.put("examples/stm/b", Long.toString(b));
                return a;
              });
      System.out.println(left + " left");
    }
  }
}
