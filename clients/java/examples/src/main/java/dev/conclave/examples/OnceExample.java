package dev.conclave.examples;

import dev.conclave.client.Client;
import dev.conclave.client.Once;
import dev.conclave.client.Session;

/** Does something once, whoever comes first. */
public final class OnceExample {
  private OnceExample() {}

  /**
   * Runs the example against the servers of {@code ETCDCTL_ENDPOINTS}.
   *
   * @param args none
   * @throws Exception if it fails
   */
  public static void main(String[] args) throws Exception {
    try (Client client = Client.fromEnv();
        Session session = client.session()) {
      Once.Result result = session.once("examples/once").run(() -> "made by process " + ProcessHandle.current().pid());
      System.out.println(result.value() + (result.ran() ? ", by this one" : ", by another one"));
    }
  }
}
