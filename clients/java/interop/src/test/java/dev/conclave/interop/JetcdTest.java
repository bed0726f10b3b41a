package dev.conclave.interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.conclave.client.Client;
import dev.conclave.client.Cluster;
import dev.conclave.client.Leadership;
import dev.conclave.client.Lock;
import dev.conclave.client.Session;
import io.etcd.jetcd.ByteSequence;
import io.etcd.jetcd.election.CampaignResponse;
import io.etcd.jetcd.lock.LockResponse;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Shares a mutex and an election with jetcd, which uses the API's Lock and Election calls, in one process. */
class JetcdTest {
  private static Cluster cluster;
  private static Client client;
  private static io.etcd.jetcd.Client jetcd;

  @BeforeAll
  static void start() {
    cluster = Cluster.start(1);
    client = Client.builder().endpoints(cluster.endpoints()).build();
    jetcd = io.etcd.jetcd.Client.builder().endpoints(cluster.endpoints()).build();
  }

  @AfterAll
  static void stop() {
    jetcd.close();
    client.close();
    cluster.close();
  }

  private static ByteSequence bytes(String text) {
    return ByteSequence.from(text, StandardCharsets.UTF_8);
  }

  private static <T> T of(CompletableFuture<T> future) throws Exception {
    return future.get(20, TimeUnit.SECONDS);
  }

  private static void until(BooleanSupplier condition) {
    long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
    while (!condition.getAsBoolean()) {
      assertTrue(System.nanoTime() - end < 0, "not in time");
      LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(5));
    }
  }

  private static long lease() throws Exception {
    return of(jetcd.getLeaseClient().grant(30)).getID();
  }

  @Test
  void a_mutex_is_shared() throws Exception {
    try (Session session = client.session()) {
      Lock ours = session.mutex("shared").lock();
      CompletableFuture<LockResponse> waiting = jetcd.getLockClient().lock(bytes("shared"), lease());
      until(() -> client.mutex("shared").contenders().size() == 2);
      CompletableFuture<Lock> next;
      try (Session other = client.session()) {
        next = other.mutex("shared").lockAsync();
        until(() -> client.mutex("shared").contenders().size() == 3);
        assertFalse(waiting.isDone());
        ours.unlock();
        ByteSequence theirs = of(waiting).getKey();
        assertEquals(theirs.toString(StandardCharsets.UTF_8), client.mutex("shared").contenders().get(0));
        assertFalse(next.isDone());
        of(jetcd.getLockClient().unlock(theirs));
        assertTrue(of(next).isHeld());
      }
    }
  }

  @Test
  void an_election_is_shared() throws Exception {
    try (Session session = client.session()) {
      CampaignResponse theirs = of(jetcd.getElectionClient().campaign(bytes("led"), lease(), bytes("jetcd")));
      assertEquals("jetcd", client.election("led").leader().orElseThrow().text());
      CompletableFuture<Leadership> campaign = session.election("led").campaignAsync("ours");
      until(() -> client.election("led").contenders().size() == 2);
      assertFalse(campaign.isDone());
      of(jetcd.getElectionClient().resign(theirs.getLeader()));
      Leadership ours = of(campaign);
      assertEquals(
          "ours",
          of(jetcd.getElectionClient().leader(bytes("led"))).getKv().getValue().toString(StandardCharsets.UTF_8));
      ours.resign();
    }
  }
}
