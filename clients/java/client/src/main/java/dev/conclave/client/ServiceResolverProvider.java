package dev.conclave.client;

import io.grpc.EquivalentAddressGroup;
import io.grpc.NameResolver;
import io.grpc.NameResolverProvider;
import io.grpc.Status;
import io.grpc.StatusOr;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.URI;
import java.util.Collection;
import java.util.List;
import java.util.Set;

/** Resolves {@code conclave:///service} for gRPC. */
final class ServiceResolverProvider extends NameResolverProvider {
  static final String SCHEME = "conclave";

  private final Client client;

  ServiceResolverProvider(Client client) {
    this.client = client;
  }

  @Override
  protected boolean isAvailable() {
    return true;
  }

  @Override
  protected int priority() {
    return 5;
  }

  @Override
  public String getDefaultScheme() {
    return SCHEME;
  }

  @Override
  public Collection<Class<? extends SocketAddress>> getProducedSocketAddressTypes() {
    return Set.of(InetSocketAddress.class);
  }

  @Override
  public NameResolver newNameResolver(URI target, NameResolver.Args args) {
    if (!SCHEME.equals(target.getScheme()) || target.getPath() == null || target.getPath().length() < 2) {
      return null;
    }
    return new Resolver(client.service(target.getPath().substring(1)));
  }

  private static final class Resolver extends NameResolver {
    private final Service service;
    private Registration registration;
    private boolean over;

    Resolver(Service service) {
      this.service = service;
    }

    @Override
    public String getServiceAuthority() {
      return "localhost";
    }

    @Override
    public void start(Listener2 listener) {
      service
          .listenAsync(addresses -> tell(listener, addresses))
          .whenComplete(
              (following, failure) -> {
                if (failure != null) {
                  ConclaveException why = ConclaveException.of(failure);
                  Status status = Status.UNAVAILABLE.withDescription(why.getMessage()).withCause(why);
                  listener.onResult(result(StatusOr.fromStatus(status)));
                } else {
                  keep(following);
                }
              });
    }

    private synchronized void keep(Registration following) {
      if (over) {
        following.close();
      } else {
        registration = following;
      }
    }

    private static void tell(Listener2 listener, List<ServiceAddress> addresses) {
      List<EquivalentAddressGroup> groups =
          addresses.stream().map(one -> new EquivalentAddressGroup(socket(one.address()))).toList();
      StatusOr<List<EquivalentAddressGroup>> resolved =
          groups.isEmpty()
              ? StatusOr.fromStatus(Status.UNAVAILABLE.withDescription("the service has no address"))
              : StatusOr.fromValue(groups);
      listener.onResult(result(resolved));
    }

    private static ResolutionResult result(StatusOr<List<EquivalentAddressGroup>> addresses) {
      return ResolutionResult.newBuilder().setAddressesOrError(addresses).build();
    }

    private static SocketAddress socket(String address) {
      int colon = address.lastIndexOf(':');
      String host = colon < 0 ? address : address.substring(0, colon);
      int port = colon < 0 ? 80 : Integer.parseInt(address.substring(colon + 1));
      return new InetSocketAddress(host.replaceAll("[\\[\\]]", ""), port);
    }

    @Override
    public synchronized void shutdown() {
      over = true;
      if (registration != null) {
        registration.close();
      }
    }
  }
}
