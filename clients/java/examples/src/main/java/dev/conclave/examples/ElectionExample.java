package dev.conclave.examples;

import dev.conclave.client.Client;
import dev.conclave.client.Registration;
import dev.conclave.client.Session;

/** Leads, and tells the others how to reach the leader. */
public final class ElectionExample {
  private ElectionExample() {}

  /**
   * Runs the example against the servers of {@code ETCDCTL_ENDPOINTS}.
   *
   * @param args none
   * @throws Exception if it fails
   */
  public static void main(String[] args) throws Exception {
    try (Client client = Client.fromEnv();
        Session session = client.session();
        Registration observer =
            client.election("examples/election").observe(leader -> System.out.println("the leader is " + leader.text()))) {
      String result =
          session.election("examples/election")
              .whileLeader(
                  "10.0.0.1:8080",
                  leadership -> {
                    // This thread is interrupted if the leadership is lost.
                    leadership.proclaim("10.0.0.1:8081");
                    return "led with token " + leadership.token();
                  });
      System.out.println(result);
    }
  }
}
