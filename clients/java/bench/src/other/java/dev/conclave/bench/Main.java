package dev.conclave.bench;

import io.etcd.jetcd.ByteSequence;
import io.etcd.jetcd.Client;
import io.etcd.jetcd.lease.LeaseKeepAliveResponse;
import io.etcd.jetcd.options.GetOption;
import io.etcd.jetcd.options.WatchOption;
import io.etcd.jetcd.support.CloseableClient;
import io.grpc.stub.StreamObserver;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.CompletableFuture;

/** The benchmark with jetcd, with its default options and its asynchronous calls. */
final class Main implements Library {
  private static final WatchOption WITH_CREATION = WatchOption.builder().withCreateNotify(true).build();

  private final Client client;
  private final ByteSequence value = ByteSequence.from(new byte[256]);

  private Main(String endpoint) {
    client = Client.builder().endpoints(endpoint).build();
  }

  public static void main(String[] args) {
    Bench.main(args, Library.version(Client.class), Main::new);
  }

  private static ByteSequence bytes(String text) {
    return ByteSequence.from(text, StandardCharsets.UTF_8);
  }

  @Override
  public CompletableFuture<Long> count(String prefix) {
    GetOption all = GetOption.builder().isPrefix(true).build();
    return client.getKVClient().get(bytes(prefix), all).thenApply(answer -> answer.getCount());
  }

  @Override
  public CompletableFuture<?> put(String key) {
    return client.getKVClient().put(bytes(key), value);
  }

  @Override
  public CompletableFuture<Contender> contender(String name) {
    return client.getLeaseClient().grant(10).thenApply(grant -> contender(grant.getID(), bytes(name)));
  }

  /** A session is a lease with a keep-alive; the lock is the API's {@code Lock} call, which waits in the server. */
  private Contender contender(long lease, ByteSequence name) {
    CloseableClient keepAlive = client.getLeaseClient().keepAlive(lease, new Ignored());
    return new Contender() {
      private ByteSequence held;

      @Override
      public CompletableFuture<?> lock() {
        return client.getLockClient().lock(name, lease).thenAccept(answer -> held = answer.getKey());
      }

      @Override
      public CompletableFuture<?> unlock() {
        return client.getLockClient().unlock(held);
      }

      @Override
      public CompletableFuture<?> close() {
        keepAlive.close();
        return client.getLeaseClient().revoke(lease);
      }
    };
  }

  /** An observer of keep-alives. A lease that is lost fails the next lock. */
  private static final class Ignored implements StreamObserver<LeaseKeepAliveResponse> {
    @Override
    public void onNext(LeaseKeepAliveResponse answer) {}

    @Override
    public void onError(Throwable failure) {
      failure.printStackTrace();
    }

    @Override
    public void onCompleted() {}
  }

  @Override
  public CompletableFuture<?> watch(String key, Runnable event) {
    CompletableFuture<Void> created = new CompletableFuture<>();
    client
        .getWatchClient()
        .watch(
            bytes(key),
            WITH_CREATION,
            response -> {
              if (response.isCreatedNotify()) {
                created.complete(null);
              }
              response.getEvents().forEach(ignored -> event.run());
            },
            created::completeExceptionally);
    return created;
  }

  @Override
  public void close() {
    client.close();
  }
}
