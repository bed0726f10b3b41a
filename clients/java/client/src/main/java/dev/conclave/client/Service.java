package dev.conclave.client;

import com.google.protobuf.ByteString;
import dev.conclave.client.api.KeyValue;
import io.grpc.NameResolverProvider;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;
import java.util.stream.StreamSupport;

/** A service (K14) as its callers see it: the addresses at which it is. */
public class Service {
  private final Client client;
  private final String name;
  private final ByteString prefix;

  Service(Client client, String name) {
    this.client = client;
    this.name = Keys.name(name);
    this.prefix = Keys.bytes(name + "/");
  }

  final ByteString prefix() {
    return prefix;
  }

  /**
   * Lists the addresses.
   *
   * @return the addresses, sorted
   */
  public List<ServiceAddress> list() {
    return client.core().await(listing());
  }

  /**
   * Lists the addresses.
   *
   * @return the addresses, sorted
   */
  public CompletableFuture<List<ServiceAddress>> listAsync() {
    return client.core().publish(listing());
  }

  private Core.Running<List<ServiceAddress>> listing() {
    return client.core()
        .call(
            "a service",
            op ->
                Contention.range(client.calls(), op, Kv.prefixRange(prefix).build())
                    .thenApply(answer -> addresses(answer.getKvsList())));
  }

  private static List<ServiceAddress> addresses(Iterable<KeyValue> all) {
    return StreamSupport.stream(all.spliterator(), false)
        .map(kv -> ServiceAddress.decode(kv.getValue()))
        .flatMap(Optional::stream)
        .sorted(Comparator.comparing(ServiceAddress::address))
        .toList();
  }

  /**
   * Notifies a listener of the present addresses, and of all addresses after every change.
   *
   * @param listener runs on the client's callback executor
   * @return ends the notifications when closed
   */
  public Registration listen(Consumer<List<ServiceAddress>> listener) {
    return client.core().await(listening(listener));
  }

  /**
   * Notifies a listener of the present addresses, and of all addresses after every change.
   *
   * @param listener runs on the client's callback executor
   * @return ends the notifications when closed
   */
  public CompletableFuture<Registration> listenAsync(Consumer<List<ServiceAddress>> listener) {
    return client.core().publish(listening(listener));
  }

  private Core.Running<Registration> listening(Consumer<List<ServiceAddress>> listener) {
    Keys.given(listener, "a listener");
    return client.core()
        .call("a service", op -> Snapshots.follow(client, op, prefix, all -> listener.accept(addresses(all))));
  }

  /**
   * Returns a resolver of names for gRPC. Register it, and make a channel to {@link #target()}: its connections follow the
   * service's addresses.
   *
   * @param client the client that it asks
   * @return the provider, for {@code NameResolverRegistry.register}
   */
  public static NameResolverProvider resolver(Client client) {
    return new ServiceResolverProvider(Keys.given(client, "a client"));
  }

  /**
   * Returns the service as a target of gRPC.
   *
   * @return {@code conclave:///name}
   */
  public String target() {
    return ServiceResolverProvider.SCHEME + ":///" + name;
  }
}
