package dev.conclave.bench;

import com.google.protobuf.ByteString;
import dev.conclave.client.Client;
import dev.conclave.client.ConclaveException;
import dev.conclave.client.Lock;
import dev.conclave.client.Mutex;
import dev.conclave.client.Session;
import dev.conclave.client.Watch;
import dev.conclave.client.api.Event;
import dev.conclave.client.api.PutRequest;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/** The benchmark with the client of this folder, with its default options. */
final class Main implements Library {
  private final Client client;
  private final ByteString value = ByteString.copyFrom(new byte[256]);

  private Main(String endpoint) {
    client = Client.builder().endpoints(endpoint).build();
  }

  public static void main(String[] args) {
    Bench.main(args, Library.version(Client.class), Main::new);
  }

  @Override
  public CompletableFuture<Long> count(String prefix) {
    return client.kv().listAsync(prefix).thenApply(answer -> answer.getCount());
  }

  @Override
  public CompletableFuture<?> put(String key) {
    PutRequest request = PutRequest.newBuilder().setKey(ByteString.copyFromUtf8(key)).setValue(value).build();
    return client.kv().putAsync(request);
  }

  @Override
  public CompletableFuture<Contender> contender(String name) {
    return client.sessionAsync(Duration.ofSeconds(10)).thenApply(session -> contender(session, session.mutex(name)));
  }

  private static Contender contender(Session session, Mutex mutex) {
    return new Contender() {
      private Lock held;

      @Override
      public CompletableFuture<?> lock() {
        return mutex.lockAsync().thenAccept(lock -> held = lock);
      }

      @Override
      public CompletableFuture<?> unlock() {
        return held.releaseAsync();
      }

      @Override
      public CompletableFuture<?> close() {
        return session.closeAsync();
      }
    };
  }

  @Override
  public CompletableFuture<?> watch(String key, Runnable event) {
    return client
        .watchAsync(key, 0)
        .thenAccept(
            watch ->
                watch.listen(
                    new Watch.Listener() {
                      @Override
                      public void events(List<Event> events) {
                        events.forEach(ignored -> event.run());
                      }

                      @Override
                      public void ended(Optional<ConclaveException> why) {
                        // The event of this watch is then missing, which fails the run.
                        why.ifPresent(Throwable::printStackTrace);
                      }
                    }));
  }

  @Override
  public void close() {
    client.close();
  }
}
