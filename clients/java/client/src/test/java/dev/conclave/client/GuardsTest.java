package dev.conclave.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.conclave.client.Relay.Fate;
import dev.conclave.client.api.KeyValue;
import dev.conclave.client.api.TxnRequest;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.function.Predicate;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/** Single attempts that are held, refused or executed without an answer (R8). */
class GuardsTest {
  private static Cluster cluster;
  private static Client direct;
  private static Session other;
  private Relay relay;
  private Client client;
  private Session session;

  @BeforeAll
  static void startCluster() {
    cluster = Cluster.start(1);
    direct = cluster.client();
    other = direct.session(Duration.ofSeconds(60));
  }

  @AfterAll
  static void stopCluster() {
    direct.close();
    cluster.close();
  }

  @BeforeEach
  void start() {
    relay = new Relay(cluster.endpoints()[0]);
    client = Client.builder().endpoints(relay.endpoint()).timeout(Duration.ofSeconds(4)).build();
    session = client.session(Duration.ofSeconds(60));
  }

  @AfterEach
  void stop() {
    client.close();
    relay.close();
  }

  private void pass() {
    relay.next(txn -> false);
  }

  /** Deletes with a first attempt that is held, and a second one that is refused. */
  private void refused(String key, Executable deletion) {
    relay.next(txn -> Relay.DELETIONS.test(txn) && txn.toString().contains(key), Fate.HOLD, Fate.REFUSE);
    assertTrue(Eventually.failure(ErrorKind.API, deletion).mayHaveHappened());
    pass();
  }

  private int keys(String prefix) {
    return direct.kv().list(prefix).getKvsCount();
  }

  private KeyValue key(Handle handle) {
    return direct.kv().get(handle.key().toStringUtf8()).orElseThrow();
  }

  @Test
  void a_late_deletion_removes_no_lock_that_was_entered_again() {
    Lock former = session.mutex("late").lock();
    refused("late/", former::unlock);
    Lock lock = session.mutex("late").lock();
    assertEquals(former.token(), lock.token());
    relay.executeHeld();
    assertTrue(other.mutex("late").tryLock().isEmpty());
    refused("late/", lock::unlock);
    Lock tried = session.mutex("late").tryLock().orElseThrow();
    relay.executeHeld();
    assertTrue(other.mutex("late").tryLock().isEmpty());
    tried.unlock();
    assertEquals(0, keys("late/"));
    assertEquals(0, session.places());
  }

  @Test
  void a_late_deletion_removes_no_member_that_has_joined_again() {
    Membership former = session.group("left").join("a", "1");
    refused("left/", former::leave);
    Membership member = session.group("left").join("a", "1");
    relay.executeHeld();
    assertEquals(Map.of("a", "1"), direct.group("left").members());
    // Taken over by another session and back, its key keeps the create revision.
    other.group("left").join("a", "2");
    relay.next(Relay.DELETIONS, Fate.HOLD, Fate.PASS);
    member.leave();
    member = session.group("left").join("a", "3");
    relay.executeHeld();
    assertEquals(Map.of("a", "3"), direct.group("left").members());
    member.leave();
    assertEquals(Map.of(), direct.group("left").members());
  }

  @Test
  void a_revoked_lock_is_released() {
    Lock lock = session.mutex("asked").lock();
    assertTrue(direct.mutex("asked").revoke());
    lock.unlock();
    assertEquals(0, keys("asked/"));
  }

  @Test
  void a_failed_try_leaves_a_key_to_its_former_handle() {
    Lock former = session.mutex("behind").lock();
    refused("behind/", former::unlock);
    direct.kv().delete(former.key().toStringUtf8());
    direct.kv().put("behind/0", "");
    // Behind another contender, so that it is not taken.
    Txn put = Txn.when().then(Ops.put(former.key(), Keys.bytes(""), session.lease()));
    assertTrue(direct.kv().txn(put).getSucceeded());
    assertTrue(session.mutex("behind").tryLock().isEmpty());
    assertEquals(1, session.places());
  }

  @Test
  void a_revocation_between_two_attempts_is_reported() {
    for (boolean tries : new boolean[] {false, true}) {
      String name = "revoked-" + tries;
      relay.next(Relay.PUTS, Fate.SWALLOW, Fate.PASS);
      Mutex mutex = session.mutex(name);
      CompletableFuture<Lock> locking =
          tries ? mutex.tryLockAsync().thenApply(taken -> taken.orElseThrow()) : mutex.lockAsync();
      Eventually.until("the key is put", () -> keys(name + "/") == 1);
      assertTrue(direct.mutex(name).revoke());
      Lock lock = Eventually.of(locking);
      CompletableFuture<Void> asked = new CompletableFuture<>();
      lock.onRevoke(() -> asked.complete(null));
      Eventually.of(asked);
      KeyValue kv = key(lock);
      assertEquals(Ownership.REVOKE, kv.getValue());
      assertEquals(3, kv.getVersion());
      lock.unlock();
      assertEquals(0, keys(name + "/"));
    }
  }

  @Test
  void a_member_that_has_joined_twice_is_removed_by_the_second_membership() {
    SessionGroup group = session.group("twice");
    Membership first = group.join("a", "1");
    Membership second = group.join("a", "2");
    first.leave();
    assertEquals(Map.of("a", "2"), group.members());
    Membership third = group.join("a", "2");
    second.leave();
    assertEquals(Map.of("a", "2"), group.members());
    CompletableFuture<Membership> fourth = group.joinAsync("a", "4");
    Membership fifth = group.join("a", "5");
    Eventually.of(fourth).leave();
    third.leave();
    assertEquals(Map.of("a", "5"), group.members());
    fifth.leave();
    assertEquals(Map.of(), group.members());
  }

  private void inDoubt(String key, Executable write) {
    Predicate<TxnRequest> puts = putsOf(key);
    relay.next(puts, Fate.HOLD, Fate.REFUSE);
    assertTrue(Eventually.failure(ErrorKind.API, write).mayHaveHappened());
    relay.next(puts, Fate.REFUSE);
    assertFalse(Eventually.failure(ErrorKind.API, write).mayHaveHappened());
  }

  private static Predicate<TxnRequest> putsOf(String key) {
    return txn -> Relay.PUTS.test(txn) && txn.toString().contains(key);
  }

  @Test
  void an_error_after_an_attempt_without_an_answer_leaves_a_write_in_doubt() {
    Leadership leads = session.election("doubt").campaign("a");
    Membership member = session.group("doubt-members").join("a", "1");
    inDoubt("doubt/", () -> leads.proclaim("b"));
    inDoubt("doubt-members/a", () -> session.group("doubt-members").join("a", "2"));
    inDoubt("doubt-members/b", () -> session.group("doubt-members").join("b", "1"));
    inDoubt("doubt-mutex/", () -> session.mutex("doubt-mutex").tryLock());
    refused("doubt/", leads::resign);
    refused("doubt-members/a", member::leave);
    relay.next(putsOf("/done"), Fate.HOLD, Fate.REFUSE);
    assertTrue(Eventually.failure(ErrorKind.API, () -> session.once("doubt-once").run(() -> "1")).mayHaveHappened());
  }

  @Test
  void a_result_that_was_written_before_the_loss_is_in_doubt() throws Exception {
    relay.next(putsOf("/done"), Fate.SWALLOW, Fate.PASS);
    CompletableFuture<Once.Result> running = session.once("once").runAsync(() -> "1");
    Eventually.until("it is written", () -> keys("once/done") == 1);
    direct.kv().deletePrefix("once/lock/");
    assertTrue(Eventually.failure(ErrorKind.SESSION_LOST, running).mayHaveHappened());
  }

  @Test
  void an_item_that_is_acknowledged_may_be_gone_when_its_session_is_lost() {
    direct.queue("ack").put("item");
    QueueItem item = session.queue("ack").take();
    relay.next(Relay.DELETIONS, Fate.HOLD);
    CompletableFuture<Boolean> ack = item.ackAsync();
    Eventually.until("it is sent", () -> relay.held() == 1);
    session.closeAsync();
    assertTrue(Eventually.failure(ErrorKind.MAYBE, ack).mayHaveHappened());
    direct.kv().deletePrefix("ack/");
  }

  @Test
  void one_name_has_one_place_for_a_mutex_and_an_election() {
    Lock lock = session.mutex("name").lock();
    Eventually.failure(ErrorKind.INVALID, () -> session.election("name").campaign("a"));
    lock.unlock();
    Leadership leads = session.election("name").campaign("a");
    Eventually.failure(ErrorKind.INVALID, () -> session.mutex("name").lock());
    Eventually.failure(ErrorKind.INVALID, () -> session.mutex("name").tryLock());
    leads.resign();
    Lock before = other.mutex("name").lock();
    CompletableFuture<Leadership> campaign = session.election("name").campaignAsync("a");
    Eventually.until("it waits", () -> keys("name/") == 2);
    Eventually.failure(ErrorKind.INVALID, () -> session.mutex("name").lock());
    Eventually.failure(ErrorKind.INVALID, () -> session.mutex("name").tryLock());
    before.unlock();
    Eventually.of(campaign).resign();
  }

  @Test
  void a_try_returns_at_once_while_the_session_waits() {
    Lock lock = other.mutex("busy").lock();
    CompletableFuture<Lock> waiting = session.mutex("busy").lockAsync();
    Eventually.until("it waits", () -> keys("busy/") == 2);
    assertTrue(session.mutex("busy").tryLock().isEmpty());
    lock.unlock();
    Eventually.of(waiting).unlock();
  }

  @Test
  void nothing_is_in_doubt_if_nothing_was_sent() {
    Lock lock = session.mutex("refused").lock();
    relay.close();
    // Until the client has noticed it, a request may be sent, whose time is up.
    Executable get = () -> client.kv().get("a");
    Eventually.until(
        "the client has noticed it",
        () -> assertThrows(ConclaveException.class, get).kind() == ErrorKind.UNAVAILABLE);
    for (Executable write :
        new Executable[] {
          () -> session.group("refused-members").join("a", "1"),
          () -> session.mutex("refused-mutex").tryLock(),
          lock::unlock,
        }) {
      assertFalse(Eventually.failure(ErrorKind.UNAVAILABLE, write).mayHaveHappened());
    }
  }

  @Test
  void entries_without_an_answer_end_with_their_deadline() {
    relay.next(Relay.PUTS, Fate.HOLD);
    CompletableFuture<?> joining = session.group("unanswered").joinAsync("a", "1");
    CompletableFuture<?> trying = session.mutex("unanswered-mutex").tryLockAsync();
    assertTrue(Eventually.failure(ErrorKind.MAYBE, joining).mayHaveHappened());
    assertTrue(Eventually.failure(ErrorKind.MAYBE, trying).mayHaveHappened());
    pass();
    // The join has put its key by now or will, and takes it back.
    Eventually.until("nothing is left", () -> session.group("unanswered").members().isEmpty());
  }

  @Test
  void entries_end_with_their_session() {
    relay.next(Relay.PUTS, Fate.HOLD);
    CompletableFuture<?> joining = session.group("bounded").joinAsync("a", "1");
    CompletableFuture<?> trying = session.mutex("bounded-mutex").tryLockAsync();
    Eventually.until("they are sent", () -> relay.held() == 2);
    session.closeAsync();
    Eventually.failure(ErrorKind.CLOSED, joining);
    Eventually.failure(ErrorKind.CLOSED, trying);
  }

  @Test
  void the_claim_of_a_take_that_was_cancelled_is_given_back() {
    direct.queue("cancelled").put("item");
    relay.next(Relay.PUTS, Fate.SWALLOW, Fate.PASS);
    CompletableFuture<QueueItem> taking = session.queue("cancelled").takeAsync();
    Eventually.until("it is claimed", () -> keys("cancelled/claims/") == 1);
    taking.cancel(true);
    relay.next(Relay.DELETIONS, Fate.HOLD, Fate.HOLD, Fate.PASS);
    Eventually.until("it is given back", () -> keys("cancelled/claims/") == 0);
    // Delivered to one that has gone meanwhile.
    QueueItem item = session.queue("cancelled").take();
    relay.next(Relay.DELETIONS, Fate.HOLD, Fate.PASS);
    client.core().execute(() -> client.core().discard(item));
    Eventually.until("it is given back", () -> keys("cancelled/claims/") == 0);
  }

  @Test
  void the_watch_of_a_claim_ends_when_the_item_is_acknowledged() {
    direct.queue("done").put("item");
    relay.next(Relay.PUTS, Fate.SWALLOW, Fate.PASS);
    QueueItem item = session.queue("done").take();
    pass();
    Eventually.until("the claim is watched", () -> relay.watches() == 1);
    assertTrue(item.ack());
    Eventually.until("it is no longer watched", () -> relay.watches() == 0);
  }

  @Test
  void late_copies_are_watched_for_again_after_a_permission_was_missing() {
    relay.refuseReads(true);
    relay.next(Relay.PUTS, Fate.SWALLOW, Fate.PASS);
    session.mutex("again").lock().unlock();
    pass();
    Eventually.until("the watch has ended", () -> session.places() == 0);
    relay.refuseReads(false);
    relay.next(Relay.PUTS, Fate.HOLD, Fate.PASS);
    session.mutex("again").lock().unlock();
    pass();
    assertEquals(1, session.places());
    relay.executeHeld();
    Eventually.until("the copy is deleted", () -> keys("again/") == 0);
  }
}
