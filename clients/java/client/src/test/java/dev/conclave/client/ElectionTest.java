package dev.conclave.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

class ElectionTest {
  private static Cluster cluster;
  private static Client client;

  @BeforeAll
  static void start() {
    cluster = Cluster.start(1);
    client = cluster.client();
  }

  @AfterAll
  static void stop() {
    client.close();
    cluster.close();
  }

  @Test
  void candidates_lead_one_after_the_other() {
    try (Session a = client.session();
        Session b = client.session()) {
      List<String> seen = new CopyOnWriteArrayList<>();
      Registration observer = client.election("e").observe(leader -> seen.add(leader.text()));
      assertTrue(client.election("e").leader().isEmpty());
      Leadership first = a.election("e").campaign("a");
      CompletableFuture<Leadership> second = b.election("e").campaignAsync("b");
      Eventually.until("two contend", () -> client.election("e").contenders().equals(List.of("a", "b")));
      Eventually.until("a is seen", () -> seen.equals(List.of("a")));
      first.proclaim("a2");
      Eventually.until("a2 is seen", () -> seen.equals(List.of("a", "a2")));
      Leader leader = client.election("e").leader().orElseThrow();
      assertEquals("a2", leader.text());
      assertEquals(first.token(), leader.token());
      Eventually.failure(ErrorKind.INVALID, () -> a.election("e").campaign("again"));
      first.resign();
      assertTrue(Eventually.of(second).token() > first.token());
      Eventually.until("b is seen", () -> seen.equals(List.of("a", "a2", "b")));
      observer.close();
      Eventually.failure(ErrorKind.API, () -> first.proclaim("late"));
    }
  }

  @Test
  void values_that_are_proclaimed_at_once_are_all_proclaimed() {
    try (Session a = client.session()) {
      Leadership leads = a.election("p").campaign("0");
      // Another one changes the value, too.
      client.kv().txn(Txn.when().then(Ops.putKeepingLease(leads.key(), Keys.bytes("foreign"))));
      List<CompletableFuture<Void>> all = new ArrayList<>();
      for (int i = 1; i <= 4; i++) {
        all.add(leads.proclaimAsync(Integer.toString(i)));
      }
      all.forEach(Eventually::of);
      assertEquals(leads.token(), client.election("p").leader().orElseThrow().token());
      client.kv().delete(leads.key().toStringUtf8());
      Eventually.failure(ErrorKind.API, () -> leads.proclaim("late"));
      assertFalse(leads.isHeld());
      assertTrue(client.kv().get(leads.key().toStringUtf8()).isEmpty());
    }
  }

  @Test
  void a_candidate_withdraws() {
    try (Session a = client.session();
        Session b = client.session()) {
      Leadership leads = a.election("w").campaign("a");
      Eventually.failure(
          ErrorKind.DEADLINE, () -> b.election("w").campaign("b", Duration.ofMillis(100)));
      Eventually.until("one is left", () -> client.election("w").contenders().size() == 1);
      leads.close();
    }
  }

  @Test
  void a_latch_leads_again_after_its_key_was_deleted() {
    try (Session a = client.session()) {
      List<Boolean> changes = new CopyOnWriteArrayList<>();
      try (LeaderLatch latch = a.election("l").latch("a")) {
        latch.onChange(changes::add);
        Leadership first = latch.await(Eventually.LIMIT);
        assertTrue(latch.isLeader());
        client.kv().delete(first.key().toStringUtf8());
        Eventually.until("it leads again", () -> changes.size() >= 3 && latch.isLeader());
        assertEquals(List.of(true, false, true), changes.subList(changes.size() - 3, changes.size()));
      }
      assertTrue(client.election("l").leader().isEmpty());
    }
  }

  @Test
  void a_latch_campaigns_again_after_an_error_that_another_attempt_can_cure() {
    try (Session a = client.session()) {
      java.util.Queue<ConclaveException> errors =
          new java.util.concurrent.ConcurrentLinkedQueue<>(
              List.of(ConclaveException.unavailable("login", null), ConclaveException.maybe("a put", null)));
      Election election = a.election("again");
      try (LeaderLatch latch =
          new LeaderLatch(
              client.core(),
              () ->
                  errors.isEmpty()
                      ? election.campaignAsync("a")
                      : CompletableFuture.failedFuture(errors.remove()))) {
        assertTrue(Eventually.of(latch.leadershipAsync()).isHeld());
      }
      ConclaveException refused = ConclaveException.invalid("no election");
      try (LeaderLatch latch = new LeaderLatch(client.core(), () -> CompletableFuture.failedFuture(refused))) {
        Eventually.failure(ErrorKind.INVALID, latch.leadershipAsync());
      }
    }
  }

  @Test
  void a_term_ends_with_the_leadership() throws Exception {
    try (Session a = client.session()) {
      assertEquals("done", a.election("t").whileLeader("a", leadership -> "done"));
      assertTrue(client.election("t").leader().isEmpty());
      CompletableFuture<Leadership> leading = new CompletableFuture<>();
      CompletableFuture<String> term =
          a.election("t")
              .whileLeaderAsync(
                  "a",
                  leadership -> {
                    leading.complete(leadership);
                    new CountDownLatch(1).await();
                    return "never";
                  });
      client.kv().delete(Eventually.of(leading).key().toStringUtf8());
      assertThrows(java.util.concurrent.ExecutionException.class, term::get);
      assertFalse(Eventually.of(leading).isHeld());
    }
  }
}
