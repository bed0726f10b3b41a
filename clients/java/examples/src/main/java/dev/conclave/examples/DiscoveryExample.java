package dev.conclave.examples;

import dev.conclave.client.Client;
import dev.conclave.client.Membership;
import dev.conclave.client.Service;
import dev.conclave.client.ServiceAddress;
import dev.conclave.client.Session;
import io.grpc.NameResolverProvider;

/** Registers an address, and finds it. Channels of gRPC follow the service by its target. */
public final class DiscoveryExample {
  private DiscoveryExample() {}

  /**
   * Runs the example against the servers of {@code ETCDCTL_ENDPOINTS}.
   *
   * @param args none
   */
  public static void main(String[] args) {
    try (Client client = Client.fromEnv();
        Session session = client.session();
        Membership registration =
            session.service("examples/discovery").register(new ServiceAddress("127.0.0.1:8080", "{\"zone\":\"a\"}"))) {
      System.out.println(registration.key().toStringUtf8());
      client.service("examples/discovery").list().forEach(System.out::println);
      NameResolverProvider resolver = Service.resolver(client);
      System.out.println(resolver.getDefaultScheme() + " resolves " + client.service("examples/discovery").target());
    }
  }
}
