package dev.conclave.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.conclave.client.api.LeaseGrpc;
import dev.conclave.client.api.LeaseRevokeRequest;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Test;

class SessionTest {
  private static List<SessionState> states(Session session) {
    List<SessionState> states = new CopyOnWriteArrayList<>();
    session.onState(states::add);
    return states;
  }

  @Test
  void a_session_outlives_its_ttl() {
    try (Cluster cluster = Cluster.start(1);
        Client client = cluster.client();
        Session session = client.session(Duration.ofSeconds(2))) {
      List<SessionState> states = states(session);
      long end = System.nanoTime() + Duration.ofSeconds(5).toNanos();
      Eventually.until("twice the TTL has passed", () -> System.nanoTime() - end > 0);
      assertTrue(session.isAlive());
      assertEquals(List.of(SessionState.CONNECTED), states);
    }
  }

  @Test
  void a_pause_of_the_server_suspends_and_then_loses_it() {
    try (Cluster cluster = Cluster.start(1);
        Client client = cluster.client();
        Session session = client.session(Duration.ofSeconds(5))) {
      List<SessionState> states = states(session);
      Lock lock = session.mutex("m").lock();
      CompletableFuture<Void> lost = new CompletableFuture<>();
      lock.onLost(() -> lost.complete(null));
      cluster.member(0).pause();
      try {
        Eventually.until("suspended", () -> session.state() == SessionState.SUSPENDED);
        assertTrue(lock.isHeld());
        cluster.member(0).resume();
        Eventually.until("reconnected", () -> session.state() == SessionState.RECONNECTED);
        cluster.member(0).pause();
        Eventually.of(lost);
        assertFalse(lock.isHeld());
        assertEquals(SessionState.LOST, session.state());
        Eventually.until("all states are told", () -> states.size() == 5);
        assertEquals(
            List.of(
                SessionState.CONNECTED,
                SessionState.SUSPENDED,
                SessionState.RECONNECTED,
                SessionState.SUSPENDED,
                SessionState.LOST),
            states);
      } finally {
        cluster.member(0).resume();
      }
    }
  }

  @Test
  void a_revoked_lease_loses_it_and_its_waiters() {
    try (Cluster cluster = Cluster.start(1);
        Client client = cluster.client();
        Session holder = client.session();
        Session session = client.session(Duration.ofSeconds(3))) {
      holder.mutex("m").lock();
      CompletableFuture<Lock> waiting = session.mutex("m").lockAsync();
      Eventually.until("it waits", () -> client.mutex("m").contenders().size() == 2);
      client.call(
          LeaseGrpc.getLeaseRevokeMethod(), LeaseRevokeRequest.newBuilder().setID(session.lease()).build());
      Eventually.failure(ErrorKind.SESSION_LOST, waiting);
      Eventually.failure(ErrorKind.SESSION_LOST, () -> session.mutex("n").lock());
      assertEquals(SessionState.LOST, session.state());
    }
  }

  @Test
  void a_blocking_listener_does_not_stop_the_renewal() {
    CountDownLatch release = new CountDownLatch(1);
    try (Cluster cluster = Cluster.start(1);
        Client client = cluster.client();
        Session session = client.session(Duration.ofSeconds(2))) {
      CompletableFuture<Void> blocked = new CompletableFuture<>();
      session.onState(
          state -> {
            blocked.complete(null);
            try {
              release.await();
            } catch (InterruptedException ended) {
              Thread.currentThread().interrupt();
            }
          });
      Eventually.of(blocked);
      List<SessionState> others = states(session);
      long end = System.nanoTime() + Duration.ofSeconds(3).toNanos();
      Eventually.until("more than the TTL has passed", () -> System.nanoTime() - end > 0);
      assertTrue(session.isAlive());
      assertEquals(List.of(SessionState.CONNECTED), others);
      release.countDown();
    }
  }

  @Test
  void it_moves_when_a_member_is_paused() {
    try (Cluster cluster = Cluster.start(3);
        Client client = cluster.client();
        Session session = client.session(Duration.ofSeconds(6))) {
      List<SessionState> states = states(session);
      for (int m = 0; m < 3; m++) {
        cluster.member(m).pause();
        long end = System.nanoTime() + Duration.ofSeconds(5).toNanos();
        Eventually.until("nearly the TTL has passed", () -> System.nanoTime() - end > 0);
        cluster.member(m).resume();
        assertTrue(session.isAlive(), states::toString);
      }
    }
  }

  @Test
  void closing_revokes_the_lease() {
    try (Cluster cluster = Cluster.start(1);
        Client client = cluster.client()) {
      Session session = client.session();
      session.mutex("m").lock();
      session.close();
      session.close();
      assertEquals(List.of(), client.mutex("m").contenders());
      Eventually.failure(ErrorKind.CLOSED, () -> session.mutex("m").lock());
    }
  }
}
