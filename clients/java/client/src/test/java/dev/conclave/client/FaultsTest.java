package dev.conclave.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.Test;

class FaultsTest {
  @Test
  void reads_go_on_while_one_member_is_paused_and_one_after_it_is_silent_skips_it() {
    try (Cluster cluster = Cluster.start(3);
        Client client = cluster.client()) {
      client.kv().put("a", "1");
      cluster.member(1).pause();
      try {
        for (int i = 0; i < 6; i++) {
          assertEquals("1", client.kv().withTimeout(Duration.ofSeconds(15)).get("a").orElseThrow().getValue().toStringUtf8());
        }
        long before = System.nanoTime();
        for (int i = 0; i < 6; i++) {
          client.kv().get("a");
        }
        assertTrue(System.nanoTime() - before < Server.SILENCE, "the paused member is still asked");
      } finally {
        cluster.member(1).resume();
      }
    }
  }

  @Test
  void a_write_goes_to_the_next_endpoint_only_if_it_was_not_sent() throws Exception {
    int nobody = Cluster.freePorts(1).get(0);
    try (Cluster cluster = Cluster.start(1);
        Client client =
            Client.builder()
                .endpoints("http://127.0.0.1:" + nobody, cluster.endpoints()[0])
                .timeout(Duration.ofSeconds(3))
                .build()) {
      for (int i = 0; i < 4; i++) {
        assertEquals(i + 1, client.counter("n").add(1));
      }
      cluster.member(0).pause();
      CompletableFuture<Long> sent = client.counter("n").addAsync(1);
      try {
        // The read of the counter has no answer either, so nothing has happened.
        assertFalse(Eventually.failure(ErrorKind.DEADLINE, sent).mayHaveHappened());
        CompletableFuture<?> put = client.kv().putAsync("a", "1");
        assertTrue(Eventually.failure(ErrorKind.MAYBE, put).mayHaveHappened());
      } finally {
        cluster.member(0).resume();
      }
    }
  }

  @Test
  void a_killed_server_leaves_writes_in_doubt_and_comes_back() {
    try (Cluster cluster = Cluster.start(1);
        Client client = cluster.client()) {
      client.kv().put("a", "1");
      cluster.member(0).pause();
      CompletableFuture<?> put = client.kv().putAsync("a", "2");
      Eventually.until("it is sent", () -> ((Core.OpFuture<?>) put).sent());
      cluster.member(0).kill();
      assertTrue(Eventually.failure(ErrorKind.MAYBE, put).mayHaveHappened());
      cluster.member(0).start();
      assertTrue(client.kv().withTimeout(Duration.ofSeconds(20)).get("a").isPresent());
    }
  }

  @Test
  void a_mutex_is_waited_for_across_a_restart_of_the_server() {
    try (Cluster cluster = Cluster.start(1);
        Client client = cluster.client();
        Session holder = client.session(Duration.ofSeconds(30));
        Session other = client.session(Duration.ofSeconds(30))) {
      Lock lock = holder.mutex("m").lock();
      CompletableFuture<Lock> waiting = other.mutex("m").lockAsync();
      Eventually.until("it waits", () -> client.mutex("m").contenders().size() == 2);
      cluster.member(0).kill();
      cluster.member(0).start();
      cluster.ready(cluster.member(0));
      assertTrue(lock.isHeld());
      lock.unlock();
      assertTrue(Eventually.of(waiting).isHeld());
    }
  }

  @Test
  void a_cache_reports_the_differences_after_a_compaction_that_it_has_missed() {
    try (Cluster cluster = Cluster.start(3);
        Client watcher = Client.builder().endpoints(cluster.endpoints()[0]).build();
        Client writer = Client.builder().endpoints(cluster.endpoints()[1], cluster.endpoints()[2]).build()) {
      writer.kv().put("c/a", "1");
      writer.kv().put("c/b", "1");
      List<String> events = new CopyOnWriteArrayList<>();
      try (Cache cache =
          watcher.cache(
              "c/",
              new Cache.Listener() {
                @Override
                public void put(dev.conclave.client.api.KeyValue kv) {
                  events.add(kv.getKey().toStringUtf8() + "=" + kv.getValue().toStringUtf8());
                }

                @Override
                public void delete(com.google.protobuf.ByteString key) {
                  events.add("-" + key.toStringUtf8());
                }
              })) {
        cluster.member(0).kill();
        Kv patient = writer.kv().withTimeout(Duration.ofSeconds(20));
        patient.get("c/a");
        writer.kv().delete("c/a");
        writer.kv().put("c/b", "2");
        writer.kv().put("c/b", "3");
        long last = writer.kv().put("x", "1").getHeader().getRevision();
        writer.kv().compact(last);
        CompletableFuture<Void> seen = cache.atLeastAsync(last);
        cluster.member(0).start();
        Eventually.until("all differences are told", () -> events.equals(List.of("-c/a", "c/b=3")));
        Eventually.of(seen);
        assertEquals(1, cache.list().size());
        writer.kv().put("c/d", "1");
        Eventually.until("it follows again", () -> events.contains("c/d=1"));
      }
    }
  }
}
