package dev.conclave.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.conclave.client.api.HealthCheckRequest;
import dev.conclave.client.api.HealthGrpc;
import io.grpc.ManagedChannel;
import io.grpc.NameResolverProvider;
import io.grpc.NameResolverRegistry;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

class DiscoveryTest {
  @Test
  void addresses_are_registered_as_in_etcds_naming() {
    try (Cluster cluster = Cluster.start(1);
        Client client = cluster.client();
        Session session = client.session()) {
      List<List<ServiceAddress>> seen = new CopyOnWriteArrayList<>();
      Registration listener = client.service("svc").listen(seen::add);
      Membership first = session.service("svc").register("h:1");
      session.service("svc").register(new ServiceAddress("h:0", "{\"zone\":\"<a>\"}"));
      assertEquals(
          "{\"Op\":0,\"Addr\":\"h:1\",\"Metadata\":null}",
          client.kv().get("svc/h:1").orElseThrow().getValue().toStringUtf8());
      List<ServiceAddress> both =
          List.of(new ServiceAddress("h:0", "{\"zone\":\"<a>\"}"), new ServiceAddress("h:1", "null"));
      assertEquals(both, client.service("svc").list());
      client.kv().put("svc/foreign", "no JSON");
      client.kv().put("svc/number", "{\"Op\":0,\"Addr\":5}");
      client.kv().put("svc/list", "{\"Op\":0,\"Addr\":[\"h:2\"]}");
      assertEquals(both, client.service("svc").list());
      first.leave();
      Eventually.until("the last change is told", () -> !seen.isEmpty() && seen.get(seen.size() - 1).size() == 1);
      assertEquals(List.of(), seen.get(0));
      listener.close();
      Eventually.failure(
          ErrorKind.INVALID, () -> session.service("svc").register(new ServiceAddress("h:2", "{")));
    }
  }

  @Test
  void channels_of_grpc_follow_a_service() {
    try (Cluster cluster = Cluster.start(1);
        Client client = cluster.client();
        Session session = client.session()) {
      NameResolverProvider provider = Service.resolver(client);
      NameResolverRegistry.getDefaultRegistry().register(provider);
      ManagedChannel channel = NettyChannelBuilder.forTarget(client.service("self").target()).usePlaintext().build();
      try {
        HealthGrpc.HealthBlockingStub stub = HealthGrpc.newBlockingStub(channel);
        String address = cluster.endpoints()[0].substring("http://".length());
        Membership registration = session.service("self").register(address);
        stub.withWaitForReady()
            .withDeadlineAfter(20, TimeUnit.SECONDS)
            .check(HealthCheckRequest.getDefaultInstance());
        registration.leave();
        Eventually.until("the address is gone", () -> fails(stub));
        assertTrue(client.service("self").list().isEmpty());
      } finally {
        channel.shutdownNow();
        NameResolverRegistry.getDefaultRegistry().deregister(provider);
      }
    }
  }

  private static boolean fails(HealthGrpc.HealthBlockingStub stub) {
    try {
      stub.withDeadlineAfter(5, TimeUnit.SECONDS).check(HealthCheckRequest.getDefaultInstance());
      return false;
    } catch (StatusRuntimeException unavailable) {
      return true;
    }
  }
}
