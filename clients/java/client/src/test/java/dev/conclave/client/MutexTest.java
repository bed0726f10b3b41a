package dev.conclave.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

class MutexTest {
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

  private static void contenders(String name, int count) {
    Eventually.until(
        count + " contend for " + name, () -> client.mutex(name).contenders().size() == count);
  }

  @Test
  void it_is_fair_and_its_tokens_grow() {
    List<Session> sessions = new ArrayList<>();
    List<CompletableFuture<Lock>> locks = new ArrayList<>();
    for (int i = 0; i < 4; i++) {
      sessions.add(client.session());
      locks.add(sessions.get(i).mutex("fair").lockAsync());
      contenders("fair", i + 1);
    }
    long last = 0;
    for (int i = 0; i < 4; i++) {
      Lock lock = Eventually.of(locks.get(i));
      assertTrue(lock.token() > last);
      last = lock.token();
      for (int j = i + 1; j < 4; j++) {
        assertFalse(locks.get(j).isDone());
      }
      assertEquals("fair/" + Long.toHexString(sessions.get(i).lease()), lock.key().toStringUtf8());
      lock.unlock();
      assertFalse(lock.isHeld());
    }
    sessions.forEach(Session::close);
  }

  @Test
  void it_is_reentrant_for_its_session() {
    try (Session session = client.session();
        Session other = client.session()) {
      Lock first = session.mutex("re").lock();
      Lock second = session.mutex("re").lock();
      assertEquals(first.token(), second.token());
      first.unlock();
      first.unlock();
      assertTrue(second.isHeld());
      assertTrue(other.mutex("re").tryLock().isEmpty());
      second.unlock();
      assertTrue(other.mutex("re").tryLock().isPresent());
    }
  }

  @Test
  void a_try_leaves_nothing_behind() {
    try (Session holder = client.session();
        Session other = client.session()) {
      Lock lock = holder.mutex("try").tryLock().orElseThrow();
      assertTrue(other.mutex("try").tryLock().isEmpty());
      assertEquals(1, client.mutex("try").contenders().size());
      lock.unlock();
      try (Lock taken = other.mutex("try").tryLock().orElseThrow()) {
        assertTrue(taken.isHeld());
      }
    }
  }

  @Test
  void giving_up_frees_the_place() {
    try (Session holder = client.session();
        Session other = client.session();
        Session third = client.session()) {
      Lock lock = holder.mutex("give").lock();
      Eventually.failure(ErrorKind.DEADLINE, () -> other.mutex("give").lock(Duration.ofMillis(200)));
      contenders("give", 1);
      CompletableFuture<Lock> cancelled = other.mutex("give").lockAsync();
      contenders("give", 2);
      CompletableFuture<Lock> last = third.mutex("give").lockAsync();
      contenders("give", 3);
      cancelled.cancel(true);
      contenders("give", 2);
      lock.unlock();
      Eventually.of(last).unlock();
      // Again at once, by the session that had given up.
      Eventually.of(other.mutex("give").lockAsync()).unlock();
    }
  }

  @Test
  void one_of_two_waiters_of_a_session_gives_up() {
    try (Session holder = client.session();
        Session other = client.session()) {
      Lock lock = holder.mutex("two").lock();
      CompletableFuture<Lock> stays = other.mutex("two").lockAsync();
      CompletableFuture<Lock> goes = other.mutex("two").lockAsync();
      contenders("two", 2);
      goes.cancel(true);
      lock.unlock();
      Eventually.of(stays).unlock();
      contenders("two", 0);
    }
  }

  @Test
  void a_guarded_write_takes_effect_only_while_it_is_held() {
    try (Session session = client.session()) {
      Lock lock = session.mutex("fence").lock();
      Txn write = Txn.when(lock.owner()).then(Ops.put(Keys.bytes("fenced"), Keys.bytes("1")));
      assertTrue(client.kv().txn(write).getSucceeded());
      lock.unlock();
      try (Lock next = session.mutex("fence").lock()) {
        assertFalse(client.kv().txn(write).getSucceeded());
        assertTrue(next.token() > lock.token());
      }
    }
  }

  @Test
  void an_owner_is_asked_to_give_up() {
    try (Session session = client.session()) {
      assertFalse(client.mutex("revoke").revoke());
      Lock lock = session.mutex("revoke").lock();
      CompletableFuture<Void> asked = new CompletableFuture<>();
      lock.onRevoke(() -> asked.complete(null));
      assertTrue(client.mutex("revoke").revoke());
      Eventually.of(asked);
      assertTrue(lock.isHeld());
      lock.unlock();
      contenders("revoke", 0);
    }
  }

  @Test
  void a_deleted_key_is_a_lost_lock_and_the_session_goes_on() {
    try (Session session = client.session()) {
      Lock lock = session.mutex("deleted").lock();
      CompletableFuture<Void> lost = new CompletableFuture<>();
      lock.onLost(() -> lost.complete(null));
      client.kv().delete(lock.key().toStringUtf8());
      Eventually.of(lost);
      assertFalse(lock.isHeld());
      assertTrue(session.isAlive());
      try (Lock again = session.mutex("deleted").lock()) {
        assertTrue(again.token() > lock.token());
      }
    }
  }

  @Test
  void a_lock_whose_key_was_just_deleted_is_not_taken_again() {
    try (Session session = client.session()) {
      Lock first = session.mutex("gone").lock();
      client.kv().delete(first.key().toStringUtf8());
      Lock second = session.mutex("gone").lock();
      assertTrue(second.token() > first.token());
      assertFalse(first.isHeld());
      client.kv().delete(second.key().toStringUtf8());
      assertTrue(session.mutex("gone").tryLock().orElseThrow().token() > second.token());
    }
  }

  @Test
  void a_foreign_key_in_its_place_is_replaced() {
    try (Session session = client.session()) {
      client.kv().put("foreign/" + Long.toHexString(session.lease()), "other");
      Lock lock = session.mutex("foreign").lock();
      assertTrue(client.kv().txn(Txn.when(Compares.lease(lock.key(), session.lease()))).getSucceeded());
      lock.unlock();
      contenders("foreign", 0);
    }
  }

  @Test
  void a_deletion_is_noticed_after_a_compaction() {
    try (Session session = client.session()) {
      Lock lock = session.mutex("compacted").lock();
      client.kv().delete(lock.key().toStringUtf8());
      long now = client.kv().put("x", "1").getHeader().getRevision();
      client.kv().compact(now);
      CompletableFuture<Void> lost = new CompletableFuture<>();
      lock.onLost(() -> lost.complete(null));
      Eventually.of(lost);
    }
  }

  @Test
  void a_session_remembers_no_name_that_it_has_left() {
    try (Session session = client.session()) {
      for (int i = 0; i < 20; i++) {
        session.mutex("many/" + i).lock().unlock();
        session.rwLock("many/" + i).write().release();
        session.election("many/" + i).campaign("a").resign();
      }
      assertEquals(0, session.places());
    }
  }
}
