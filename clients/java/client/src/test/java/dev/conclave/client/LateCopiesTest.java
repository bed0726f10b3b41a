package dev.conclave.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import dev.conclave.client.api.KeyValue;
import dev.conclave.client.api.PutRequest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.function.IntFunction;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Copies of a write that are executed late (R8). A member that is paused holds first attempts: of six calls at once, two. */
class LateCopiesTest {
  private static final int CALLS = 6;
  private static Cluster cluster;
  private Client client;
  private Session session;

  @BeforeAll
  static void startCluster() {
    cluster = Cluster.start(3);
  }

  @AfterAll
  static void stopCluster() {
    cluster.close();
  }

  @BeforeEach
  void start() {
    client = Client.builder().endpoints(cluster.endpoints()).timeout(Duration.ofSeconds(10)).build();
    session = client.session(Duration.ofSeconds(60));
    // A connection to each member, so that calls are sent to the one that is paused later.
    for (int i = 0; i < 3; i++) {
      client.kv().get("a");
    }
  }

  @AfterEach
  void stop() {
    client.close();
  }

  private static void whileOneIsSilent(Runnable actions) {
    cluster.member(1).pause();
    try {
      actions.run();
    } finally {
      cluster.member(1).resume();
    }
    cluster.ready(cluster.member(1));
  }

  private static <T> List<CompletableFuture<T>> each(IntFunction<CompletableFuture<T>> call) {
    List<CompletableFuture<T>> all = new ArrayList<>();
    for (int i = 0; i < CALLS; i++) {
      all.add(call.apply(i));
    }
    return all;
  }

  private void put(ByteString key, ByteString value) {
    client.kv().put(PutRequest.newBuilder().setKey(key).setValue(value).setLease(session.lease()).build());
  }

  private int keys(String prefix) {
    return client.kv().list(prefix).getKvsCount();
  }

  @Test
  void a_copy_that_is_executed_after_the_release_is_deleted() {
    List<ByteString> keys = new ArrayList<>();
    whileOneIsSilent(
        () ->
            each(i -> session.mutex("late/" + i).lockAsync())
                .forEach(
                    locking -> {
                      Lock lock = Eventually.of(locking);
                      keys.add(lock.key());
                      lock.unlock();
                    }));
    // The others were answered at once, so that they have no copies.
    int watched = session.places();
    assertTrue(watched > 0, "no attempt was sent to the silent member");
    keys.forEach(key -> put(key, ByteString.EMPTY));
    Eventually.until("the copies are deleted", () -> keys("late/") == CALLS - watched);
    // The session can lock again, and keeps what it holds.
    List<CompletableFuture<Lock>> again = each(i -> session.mutex("late/" + i).lockAsync());
    again.forEach(locking -> put(Eventually.of(locking).key(), ByteString.EMPTY));
    again.forEach(locking -> assertTrue(locking.join().isHeld()));
    assertEquals(CALLS, keys("late/"));
    again.forEach(locking -> locking.join().unlock());
    assertEquals(0, keys("late/"));
    assertEquals(watched, session.places());
  }

  @Test
  void a_put_that_was_given_up_leaves_no_key() {
    whileOneIsSilent(
        () -> {
          List<CompletableFuture<Lock>> locking = each(i -> session.mutex("given-up/" + i).lockAsync());
          Eventually.until("some are answered", () -> locking.stream().anyMatch(CompletableFuture::isDone));
          locking.forEach(one -> one.cancel(true));
          locking.stream().filter(one -> !one.isCancelled()).forEach(one -> one.join().unlock());
        });
    Eventually.until("nothing is left", () -> keys("given-up/") == 0);
  }

  @Test
  void a_copy_of_a_claim_is_deleted() {
    for (int i = 0; i < CALLS; i++) {
      client.queue("late-queue/" + i).put("item");
    }
    List<KeyValue> claims = new ArrayList<>();
    whileOneIsSilent(
        () -> {
          List<CompletableFuture<QueueItem>> taking = each(i -> session.queue("late-queue/" + i).takeAsync());
          taking.forEach(Eventually::of);
          client.kv().list("late-queue/").getKvsList().stream()
              .filter(kv -> kv.getKey().toStringUtf8().contains("/claims/"))
              .forEach(claims::add);
          assertEquals(CALLS, claims.size());
          // Given back: a claim of an item that is acknowledged cannot be executed.
          taking.forEach(item -> assertTrue(item.join().release()));
        });
    claims.forEach(claim -> put(claim.getKey(), claim.getValue()));
    Eventually.until("a copy is deleted", () -> keys("late-queue/") < 2 * CALLS);
  }

  @Test
  void a_value_is_not_proclaimed_by_a_copy() {
    List<Leadership> leads = new ArrayList<>();
    each(i -> session.election("late-election/" + i).campaignAsync("a")).forEach(one -> leads.add(Eventually.of(one)));
    whileOneIsSilent(
        () -> {
          each(i -> leads.get(i).proclaimAsync("b")).forEach(Eventually::of);
          leads.forEach(one -> one.proclaim("c"));
        });
    for (int i = 0; i < 9; i++) {
      client.kv()
          .list("late-election/")
          .getKvsList()
          .forEach(kv -> assertEquals("c", kv.getValue().toStringUtf8()));
    }
  }

  @Test
  void a_copy_of_ready_opens_no_later_round() {
    whileOneIsSilent(
        () -> {
          each(i -> session.doubleBarrier("late-double/" + i, 1).enterAsync()).forEach(Eventually::of);
          each(i -> session.doubleBarrier("late-double/" + i, 1).leaveAsync()).forEach(Eventually::of);
        });
    Eventually.until("nothing is left", () -> keys("late-double/") == 0);
  }

  @Test
  void a_barrier_is_not_held_twice() {
    whileOneIsSilent(
        () -> {
          List<CompletableFuture<Void>> holding = each(i -> client.barrier("late-barrier/" + i).holdAsync());
          long unanswered =
              holding.stream()
                  .filter(one -> one.handle((done, failure) -> failure != null).join())
                  .peek(one -> Eventually.failure(ErrorKind.MAYBE, one))
                  .count();
          assertEquals(CALLS / 3, unanswered);
        });
  }
}
