package dev.conclave.client;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;

class SemaphoreTest {
  @Test
  void permits_are_limited_and_fair() {
    try (Cluster cluster = Cluster.start(1);
        Client client = cluster.client();
        Session a = client.session();
        Session b = client.session()) {
      Semaphore.Permit first = a.semaphore("s", 2).acquire();
      Semaphore.Permit second = a.semaphore("s", 2).acquire();
      assertTrue(b.semaphore("s", 2).tryAcquire().isEmpty());
      Eventually.failure(ErrorKind.INVALID, () -> b.semaphore("s", 3).acquire());
      Eventually.failure(ErrorKind.DEADLINE, () -> b.semaphore("s", 2).acquire(Duration.ofMillis(100)));
      Eventually.until("only the holders are left", () -> client.kv().list("s/").getKvsCount() == 2);
      CompletableFuture<Semaphore.Permit> third = b.semaphore("s", 2).acquireAsync();
      Eventually.until("it waits", () -> client.kv().list("s/").getKvsCount() == 3);
      CompletableFuture<Semaphore.Permit> fourth = b.semaphore("s", 2).acquireAsync();
      Eventually.until("it waits", () -> client.kv().list("s/").getKvsCount() == 4);
      // The first of the holders, which is not the key before.
      first.release();
      Semaphore.Permit held = Eventually.of(third);
      assertTrue(held.token() > second.token());
      assertFalse(fourth.isDone());
      second.release();
      held.release();
      Eventually.of(fourth).release();
      Eventually.until("nothing is left", () -> client.kv().list("s/").getKvsCount() == 0);
    }
  }
}
