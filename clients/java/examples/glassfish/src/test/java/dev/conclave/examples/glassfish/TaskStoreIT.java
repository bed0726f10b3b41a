package dev.conclave.examples.glassfish;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.conclave.client.Client;
import dev.conclave.client.Leadership;
import dev.conclave.client.Session;
import java.nio.file.Path;
import java.util.Optional;
import java.util.OptionalLong;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;

/** Rules of the store, tested without an application server. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class TaskStoreIT {
  private Members members;
  private Client client;
  private TaskStore store;
  private Session session;

  @BeforeAll
  void start(@TempDir Path dir) {
    members = new Members(dir, 1);
    members.start();
    client = members.client().build();
    store = new TaskStore(client);
  }

  @BeforeEach
  void empty() {
    client.kv().deletePrefix(Keys.ALL);
    session = client.session();
  }

  @AfterEach
  void end() {
    session.close();
  }

  @AfterAll
  void stop() {
    client.close();
    members.close();
  }

  private Leadership lead(Session session) {
    return session.election(Keys.ELECTION).campaign("test");
  }

  private OptionalLong handOut(Leadership leadership) {
    return store.handOut(leadership.owner(), leadership.token());
  }

  @Test
  void numbersFollowEachOtherAcrossLeaders() {
    Leadership first = lead(session);
    assertEquals(OptionalLong.of(1), handOut(first));
    assertEquals(OptionalLong.of(2), handOut(first));
    first.resign();
    try (Session other = client.session()) {
      Leadership second = lead(other);
      assertTrue(second.token() > first.token());
      assertEquals(OptionalLong.empty(), handOut(first));
      assertFalse(store.beginTerm(first, "test"));
      assertEquals(OptionalLong.of(3), handOut(second));
      assertTrue(store.beginTerm(second, "test"));
    }
  }

  @Test
  void onlyTheNewestDoneTasksAreKept() {
    Leadership leader = lead(session);
    assertEquals(OptionalLong.of(1), handOut(leader));
    assertTrue(store.done(store.claim(session, "w", 1).orElseThrow(), "w"));
    for (long number = 2; number <= 1000; number++) {
      assertEquals(OptionalLong.of(number), handOut(leader));
    }
    assertEquals(1, client.kv().list(Keys.DONE).getKvsCount());
    assertEquals(OptionalLong.of(1001), handOut(leader));
    assertEquals(0, client.kv().list(Keys.DONE).getKvsCount());
  }

  @Test
  void oneWorkerHasATaskUntilItIsDone() {
    handOut(lead(session));
    TaskStore.Claim claim = store.claim(session, "w1", 1).orElseThrow();
    try (Session other = client.session()) {
      assertEquals(Optional.empty(), store.claim(other, "w2", 1));
      assertTrue(store.done(claim, "w1"));
      assertEquals(Optional.empty(), store.claim(other, "w2", 1));
    }
  }

  /** As after an answer that was lost: nobody knows whether the first attempt took effect. */
  @Test
  void attemptsCanBeRepeated() {
    handOut(lead(session));
    TaskStore.Claim claim = store.claim(session, "w1", 1).orElseThrow();
    assertEquals(Optional.of(claim), store.claim(session, "w1", 1));
    assertTrue(store.done(claim, "w1"));
    assertFalse(store.done(claim, "w1"));
    assertEquals(1, client.kv().list(Keys.DONE).getKvs(0).getVersion());
  }

  @Test
  void taskOfALostSessionIsDoneByAnother() {
    handOut(lead(session));
    Session lost = client.session();
    TaskStore.Claim old = store.claim(lost, "w1", 1).orElseThrow();
    lost.close();
    TaskStore.Claim taken = store.claim(session, "w2", 1).orElseThrow();
    assertFalse(store.done(old, "w1"));
    assertTrue(store.done(taken, "w2"));
  }

  @Test
  void unknownTaskCannotBeTaken() {
    assertEquals(Optional.empty(), store.claim(session, "w", 7));
  }
}
