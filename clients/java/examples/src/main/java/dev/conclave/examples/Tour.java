package dev.conclave.examples;

// tour: begin
import dev.conclave.client.Client;
import dev.conclave.client.ConclaveException;
import dev.conclave.client.Leadership;
import dev.conclave.client.Lock;
import dev.conclave.client.Ops;
import dev.conclave.client.Session;
import dev.conclave.client.Txn;
import dev.conclave.client.Watch;
import com.google.protobuf.ByteString;
import java.time.Duration;

/** A tour of the client in two minutes. */
public final class Tour {
  private Tour() {}

  /** Runs the tour against the servers of {@code ETCDCTL_ENDPOINTS}. */
  public static void main(String[] args) {
    // Does not connect yet. All endpoints of the cluster, so that one can be down.
    try (Client client = Client.fromEnv()) {

      // Keys and values. Each call has a deadline, 5 s if not set.
      client.kv().put("config/a", "1");
      System.out.println(client.kv().get("config/a").orElseThrow().getValue().toStringUtf8());

      // A lease that is kept alive. LOST comes before the server gives its locks to others.
      Session session = client.session(Duration.ofSeconds(5));
      session.onState(state -> System.out.println("the session is " + state));

      // A fair mutex. Its token fences what is written under it.
      try (Lock lock = session.mutex("locks/a").lock(Duration.ofSeconds(10))) {
        ByteString key = ByteString.copyFromUtf8("config/a");
        Txn write = Txn.when(lock.owner()).then(Ops.put(key, ByteString.copyFromUtf8("2")));
        System.out.println("still the owner: " + client.kv().txn(write).getSucceeded());
      }

      // An election. Every blocking call has a form that returns a CompletableFuture.
      Leadership leadership = session.election("leaders/a").campaignAsync("10.0.0.1:8080").join();
      System.out.println("the leader is " + client.election("leaders/a").leader().orElseThrow().text());
      leadership.resign();

      // A watch misses nothing, and goes on by itself when a connection breaks.
      try (Watch watch = client.watchPrefix("config/", 0)) {
        client.kv().put("config/b", "3");
        watch.next().forEach(event -> System.out.println(event.getKv().getKey().toStringUtf8() + " has changed"));
      }
    } catch (ConclaveException error) {
      // The kind says what to do; a write of the kind MAYBE may have happened.
      System.err.println(error.kind() + ": " + error.getMessage());
      System.exit(1);
    }
  }
}
// tour: end
