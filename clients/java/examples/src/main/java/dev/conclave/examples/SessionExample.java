package dev.conclave.examples;

import dev.conclave.client.Client;
import dev.conclave.client.Registration;
import dev.conclave.client.Session;
import java.time.Duration;

/** Opens a session and follows its state. */
public final class SessionExample {
  private SessionExample() {}

  /**
   * Runs the example against the servers of {@code ETCDCTL_ENDPOINTS}.
   *
   * @param args none
   */
  public static void main(String[] args) {
    try (Client client = Client.fromEnv();
        Session session = client.session(Duration.ofSeconds(5));
        Registration listener = session.onState(state -> System.out.println("the session is " + state))) {
      System.out.println("lease " + Long.toHexString(session.lease()) + " for " + session.ttl().toSeconds() + " s");
      session.onState(
          state -> {
            // LOST comes before the server gives the session's locks to others: stop what they protect.
          });
    }
  }
}
