package dev.conclave.examples.glassfish;

import dev.conclave.client.Client;
import jakarta.enterprise.context.ApplicationScoped;
import jakarta.enterprise.inject.Disposes;
import jakarta.enterprise.inject.Produces;
import jakarta.inject.Singleton;

/** Makes the application's one client. */
@ApplicationScoped
public class ClientProducer {
  /**
   * Makes the client from {@code ETCDCTL_ENDPOINTS} and etcdctl's other variables. It connects when it is first used, so the
   * application can be deployed while no member is reachable; settings that cannot be right fail the deployment.
   */
  @Produces
  // Not @ApplicationScoped, which needs a proxy, and the client's class is final.
  @Singleton
  static Client client() {
    return Client.fromEnv();
  }

  static void close(@Disposes Client client) {
    client.close();
  }
}
