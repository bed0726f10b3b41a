package dev.conclave.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.conclave.client.api.KeyValue;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

class RecipesTest {
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
  void a_barrier_holds_until_it_is_released() {
    Barrier barrier = client.barrier("barrier");
    barrier.await();
    barrier.hold();
    barrier.hold();
    Eventually.failure(ErrorKind.DEADLINE, () -> barrier.await(Duration.ofMillis(50)));
    CompletableFuture<Void> waiting = barrier.awaitAsync();
    barrier.release();
    Eventually.of(waiting);
  }

  @Test
  void a_double_barrier_is_for_one_round_after_the_other() {
    List<Session> sessions = List.of(client.session(), client.session(), client.session());
    for (int round = 0; round < 3; round++) {
      List<CompletableFuture<Void>> entering = new ArrayList<>();
      for (Session session : sessions) {
        assertTrue(entering.stream().noneMatch(CompletableFuture::isDone));
        entering.add(session.doubleBarrier("double", 3).enterAsync());
        int entered = entering.size();
        Eventually.until(
            entered + " are there", () -> client.kv().list("double/waiters/").getKvsCount() == entered);
      }
      entering.forEach(Eventually::of);
      CompletableFuture<Void> first = sessions.get(0).doubleBarrier("double", 3).leaveAsync();
      CompletableFuture<Void> second = sessions.get(1).doubleBarrier("double", 3).leaveAsync();
      Eventually.until("one is left", () -> client.kv().list("double/waiters/").getKvsCount() == 1);
      assertFalse(first.isDone());
      sessions.get(2).doubleBarrier("double", 3).leave();
      Eventually.of(first);
      Eventually.of(second);
    }
    sessions.forEach(Session::close);
    Eventually.until("nothing is left", () -> client.kv().list("double/").getKvsCount() == 0);
  }

  @Test
  void a_double_barrier_recovers_from_a_round_that_nobody_left() {
    Session lost = client.session();
    lost.doubleBarrier("lost", 1).enter();
    lost.close();
    try (Session session = client.session()) {
      session.doubleBarrier("lost", 1).enter(Duration.ofSeconds(10));
      session.doubleBarrier("lost", 1).leave(Duration.ofSeconds(10));
    }
  }

  @Test
  void a_latch_is_counted_down() {
    Latch latch = client.latch("latch");
    Eventually.failure(ErrorKind.INVALID, latch::countDown);
    Eventually.failure(ErrorKind.INVALID, () -> latch.await());
    Eventually.failure(ErrorKind.INVALID, () -> latch.create(-1));
    assertTrue(latch.create(2));
    assertFalse(latch.create(5));
    CompletableFuture<Void> waiting = latch.awaitAsync();
    assertEquals(1, latch.countDown());
    Eventually.failure(ErrorKind.DEADLINE, () -> latch.await(Duration.ofMillis(50)));
    assertEquals(0, latch.countDown());
    assertEquals(0, latch.countDown());
    Eventually.of(waiting);
  }

  @Test
  void a_counter_adds_what_all_add() {
    Counter counter = client.counter("counter");
    List<CompletableFuture<Long>> adding = new ArrayList<>();
    for (int i = 0; i < 20; i++) {
      adding.add(counter.addAsync(2));
    }
    adding.forEach(Eventually::of);
    assertEquals(40, counter.get());
    assertFalse(counter.compareAndSet(1, 2));
    assertTrue(counter.compareAndSet(40, Long.MAX_VALUE));
    Eventually.failure(ErrorKind.INVALID, () -> counter.add(1));
    client.kv().put("no number", "x");
    Eventually.failure(ErrorKind.INVALID, () -> client.counter("no number").get());
  }

  @Test
  void a_value_is_swapped_if_it_is_unchanged() {
    Value value = client.value("value");
    List<Optional<String>> seen = new CopyOnWriteArrayList<>();
    try (Registration listener =
        value.listen(kv -> seen.add(kv.map(one -> one.getValue().toStringUtf8())))) {
      assertTrue(value.get().isEmpty());
      long first = value.compareAndSet(0, "a").orElseThrow();
      assertTrue(value.compareAndSet(0, "b").isEmpty());
      assertEquals(first, value.get().orElseThrow().getModRevision());
      assertTrue(value.compareAndSet(first, "b").isPresent());
      value.set("c");
      Eventually.until(
          "all are seen",
          () -> seen.equals(List.of(Optional.empty(), Optional.of("a"), Optional.of("b"), Optional.of("c"))));
    }
  }

  @Test
  void a_queue_has_an_order_and_keeps_what_is_not_acknowledged() {
    Queue queue = client.queue("queue");
    queue.put("second");
    queue.put("third");
    queue.put("first", 0, Duration.ZERO);
    client.kv().deletePrefix("queue/");
    queue.put("low", 9, Duration.ZERO);
    queue.put("a", 1, Duration.ZERO);
    queue.put("b", 1, Duration.ZERO);
    Session lost = client.session();
    assertEquals("a", lost.queue("queue").take().text());
    try (Session session = client.session()) {
      QueueItem b = session.queue("queue").take();
      assertEquals("b", b.text());
      lost.close();
      QueueItem again = session.queue("queue").take();
      assertEquals("a", again.text());
      assertTrue(again.ack());
      assertTrue(b.release());
      assertFalse(b.ack());
      QueueItem b2 = session.queue("queue").take();
      assertEquals("b", b2.text());
      assertTrue(b2.ack());
      try (QueueItem low = session.queue("queue").take()) {
        assertEquals("low", low.text());
      }
      assertTrue(session.queue("queue").take().ack());
      assertEquals(0, client.kv().list("queue/").getKvsCount());
      Eventually.failure(ErrorKind.DEADLINE, () -> session.queue("queue").take(Duration.ofMillis(50)));
      CompletableFuture<QueueItem> waiting = session.queue("queue").takeAsync();
      queue.put("later", 0, Duration.ofMillis(300));
      long before = System.nanoTime();
      assertEquals("later", Eventually.of(waiting).text());
      assertTrue(System.nanoTime() - before > Duration.ofMillis(250).toNanos());
    }
    Eventually.failure(ErrorKind.INVALID, () -> queue.put("x", -1, Duration.ZERO));
    Eventually.failure(ErrorKind.INVALID, () -> queue.put("x", 0, Duration.ofSeconds(-1)));
  }

  @Test
  void a_group_shows_who_is_there() {
    List<Map<String, String>> seen = new CopyOnWriteArrayList<>();
    try (Registration listener = client.group("group").listen(seen::add);
        Session a = client.session()) {
      Session b = client.session();
      Membership member = a.group("group").join("a", "1");
      b.group("group").join("b", "2");
      assertEquals(Map.of("a", "1", "b", "2"), client.group("group").members());
      b.close();
      assertEquals(Map.of("a", "1"), client.group("group").members());
      member.leave();
      member.leave();
      Eventually.until("all are seen", () -> seen.size() == 5);
      assertEquals(Map.of("a", "1", "b", "2"), seen.get(2));
      assertEquals(Map.of(), seen.get(4));
    }
  }

  @Test
  void a_member_that_joins_again_replaces_its_value_or_that_of_another_session() {
    try (Session a = client.session();
        Session b = client.session()) {
      Membership first = a.group("again").join("m", "1");
      Membership second = a.group("again").join("m", "2");
      assertEquals(Map.of("m", "2"), client.group("again").members());
      Membership other = b.group("again").join("m", "2");
      first.leave();
      second.leave();
      assertEquals(Map.of("m", "2"), client.group("again").members());
      a.group("again").join("m", "3");
      other.leave();
      assertEquals(Map.of("m", "3"), client.group("again").members());
    }
  }

  @Test
  void a_session_enters_a_double_barrier_once() {
    try (Session session = client.session()) {
      DoubleBarrier alone = session.doubleBarrier("alone", 1);
      alone.enter();
      Eventually.failure(ErrorKind.INVALID, alone::enter);
      alone.leave();
      alone.enter();
      alone.leave();
      alone.leave();
      assertEquals(0, client.kv().list("alone/").getKvsCount());
    }
  }

  @Test
  void a_cache_follows_without_a_gap() {
    client.kv().put("cache/a", "1");
    List<String> events = new CopyOnWriteArrayList<>();
    try (Cache cache =
        client.cache(
            "cache/",
            new Cache.Listener() {
              @Override
              public void put(KeyValue kv) {
                events.add("put " + kv.getKey().toStringUtf8());
              }

              @Override
              public void delete(com.google.protobuf.ByteString key) {
                events.add("delete " + key.toStringUtf8());
              }
            })) {
      assertEquals("1", cache.get("cache/a").orElseThrow().getValue().toStringUtf8());
      client.kv().put("cache/b", "1");
      client.kv().delete("cache/a");
      // A write elsewhere: the cache learns of its revision all the same.
      long revision = client.kv().put("elsewhere", "1").getHeader().getRevision();
      cache.atLeast(revision, Eventually.LIMIT);
      assertTrue(cache.get("cache/a").isEmpty());
      assertEquals(1, cache.list().size());
      Eventually.until("all are told", () -> events.equals(List.of("put cache/b", "delete cache/a")));
    }
  }

  @Test
  void transactions_in_memory_lose_nothing() {
    client.kv().put("stm/a", "100");
    client.kv().put("stm/b", "0");
    List<CompletableFuture<Long>> running = new ArrayList<>();
    for (int i = 0; i < 20; i++) {
      running.add(
          client.stmAsync(
              tx -> {
                long a = Long.parseLong(tx.get("stm/a").orElseThrow()) - 1;
                long b = Long.parseLong(tx.get("stm/b").orElseThrow()) + 1;
                tx.put("stm/a", Long.toString(a));
                tx.put("stm/b", Long.toString(b));
                return a + b;
              }));
    }
    running.forEach(one -> assertEquals(100, Eventually.of(one)));
    assertEquals("80", client.stm(tx -> tx.get("stm/a").orElseThrow()));
    client.stm(
        tx -> {
          tx.delete("stm/a");
          assertTrue(tx.get("stm/a").isEmpty());
          return null;
        });
    assertTrue(client.kv().get("stm/a").isEmpty());
  }

  @Test
  void what_is_done_once_has_one_result() throws Exception {
    AtomicInteger runs = new AtomicInteger();
    List<CompletableFuture<Once.Result>> all = new ArrayList<>();
    List<Session> sessions = new ArrayList<>();
    for (int i = 0; i < 4; i++) {
      sessions.add(client.session());
      all.add(sessions.get(i).once("once").runAsync(() -> "run " + runs.incrementAndGet()));
    }
    all.forEach(one -> assertEquals("run 1", Eventually.of(one).value()));
    assertEquals(1, all.stream().filter(one -> one.join().ran()).count());
    assertEquals(new Once.Result("run 1", false), sessions.get(0).once("once").run(() -> "other"));
    assertThrows(
        java.io.IOException.class,
        () ->
            sessions.get(0)
                .once("fails")
                .run(
                    () -> {
                      throw new java.io.IOException("not this time");
                    }));
    assertTrue(sessions.get(1).once("fails").run(() -> "now").ran());
    sessions.forEach(Session::close);
  }
}
