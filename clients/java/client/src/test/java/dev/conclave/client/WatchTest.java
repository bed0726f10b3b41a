package dev.conclave.client;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.conclave.client.api.Event;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.Test;

class WatchTest {
  private static List<Long> take(Watch watch, int count) {
    List<Long> revisions = new ArrayList<>();
    while (revisions.size() < count) {
      for (Event event : watch.next(Eventually.LIMIT)) {
        revisions.add(event.getKv().getModRevision());
      }
    }
    return revisions;
  }

  @Test
  void a_watch_goes_on_after_the_server_is_killed() {
    try (Cluster cluster = Cluster.start(3);
        Client client = cluster.client();
        Watch watch = client.watchPrefix("w/", 0)) {
      List<Long> written = new ArrayList<>();
      for (int i = 0; i < 3; i++) {
        written.add(client.kv().put("w/" + i, "1").getHeader().getRevision());
      }
      assertEquals(written, take(watch, 3));
      for (int m = 0; m < 3; m++) {
        cluster.member(m).kill();
        Eventually.until(
            "a write succeeds",
            () -> {
              try {
                written.add(client.kv().put("w/" + written.size(), "1").getHeader().getRevision());
                return true;
              } catch (ConclaveException again) {
                return false;
              }
            });
        cluster.member(m).start();
        cluster.ready(cluster.member(m));
      }
      // A write whose answer was lost may be among them, so the truth is the history.
      List<Long> truth =
          client.kv().list("w/").getKvsList().stream().map(kv -> kv.getModRevision()).sorted().skip(3).toList();
      assertEquals(truth, take(watch, truth.size()));
    }
  }

  @Test
  void history_that_is_gone_ends_a_watch() {
    try (Cluster cluster = Cluster.start(1);
        Client client = cluster.client()) {
      long revision = 0;
      for (int i = 0; i < 5; i++) {
        revision = client.kv().put("a", "" + i).getHeader().getRevision();
      }
      client.kv().compact(revision);
      try (Watch watch = client.watch("a", 2)) {
        ConclaveException end = Eventually.failure(ErrorKind.COMPACTED, () -> watch.next(Eventually.LIMIT));
        assertEquals(revision, end.revision());
      }
      try (Watch watch = client.watch("a", revision)) {
        assertEquals(List.of(revision), take(watch, 1));
      }
    }
  }

  @Test
  void a_listener_gets_batches_in_order_and_the_end() {
    List<String> failures = new CopyOnWriteArrayList<>();
    try (Cluster cluster = Cluster.start(1);
        Client client =
            Client.builder().endpoints(cluster.endpoints()).log((text, cause) -> failures.add(text)).build()) {
      List<Long> seen = new CopyOnWriteArrayList<>();
      CompletableFuture<Optional<ConclaveException>> end = new CompletableFuture<>();
      Watch watch = client.watch("a", 0);
      watch.listen(
          new Watch.Listener() {
            @Override
            public void events(List<Event> events) {
              events.forEach(event -> seen.add(event.getKv().getModRevision()));
              throw new IllegalStateException("a mistake of the user");
            }

            @Override
            public void ended(Optional<ConclaveException> why) {
              end.complete(why);
            }
          });
      List<Long> written = new ArrayList<>();
      for (int i = 0; i < 200; i++) {
        written.add(client.kv().put("a", "" + i).getHeader().getRevision());
      }
      Eventually.until("all are seen", () -> seen.equals(written));
      Eventually.until("the mistakes are reported", () -> failures.size() == 200);
      watch.close();
      assertEquals(Optional.empty(), Eventually.of(end));
    }
  }

  @Test
  void a_slow_watch_delays_no_other_and_no_call() {
    try (Cluster cluster = Cluster.start(1);
        Client client = cluster.client();
        Watch slow = client.watch("a", 0);
        Watch quick = client.watch("a", 0)) {
      String large = "x".repeat(100_000);
      for (int i = 0; i < 200; i++) {
        client.kv().put("a", large);
      }
      assertEquals(200, take(quick, 200).size());
      client.kv().withTimeout(Duration.ofSeconds(2)).get("a");
      assertEquals(200, take(slow, 200).size());
    }
  }
}
