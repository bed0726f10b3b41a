package dev.conclave.client;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

class RwLockTest {
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

  private static void keys(String name, int count) {
    Eventually.until(count + " keys", () -> client.kv().list(name + "/").getKvsCount() == count);
  }

  @Test
  void readers_share_and_a_writer_is_alone() {
    try (Session a = client.session();
        Session b = client.session();
        Session c = client.session()) {
      Lock first = a.rwLock("rw").read();
      Lock second = b.rwLock("rw").read();
      CompletableFuture<Lock> writer = c.rwLock("rw").writeAsync();
      keys("rw", 3);
      second.release();
      keys("rw", 2);
      // A reader that comes after a writer waits for it.
      CompletableFuture<Lock> third = b.rwLock("rw").readAsync();
      keys("rw", 3);
      assertTrue(b.rwLock("rw").tryWrite().isEmpty());
      assertFalse(writer.isDone());
      first.release();
      Lock written = Eventually.of(writer);
      assertFalse(third.isDone());
      assertTrue(a.rwLock("rw").tryRead().isEmpty());
      written.release();
      Eventually.of(third).release();
      assertTrue(a.rwLock("rw").tryWrite().isPresent());
    }
  }

  @Test
  void a_writer_downgrades_before_a_writer_that_waits() {
    try (Session a = client.session();
        Session b = client.session()) {
      Lock write = a.rwLock("down").write();
      CompletableFuture<Lock> other = b.rwLock("down").writeAsync();
      keys("down", 2);
      Lock read = a.rwLock("down").read();
      write.release();
      Eventually.until("the writer waits for the reader", () -> client.kv().list("down/").getKvsCount() == 3);
      assertFalse(other.isDone());
      assertTrue(read.isHeld());
      read.release();
      Eventually.of(other).release();
      keys("down", 0);
    }
  }

  @Test
  void a_downgrade_lets_readers_in_if_no_writer_waits() {
    try (Session a = client.session();
        Session b = client.session()) {
      Lock write = a.rwLock("open").write();
      Lock read = a.rwLock("open").read();
      write.release();
      Eventually.of(b.rwLock("open").readAsync()).release();
      read.release();
    }
  }

  @Test
  void an_upgrade_is_refused() {
    try (Session a = client.session()) {
      try (Lock read = a.rwLock("up").read()) {
        Eventually.failure(ErrorKind.INVALID, () -> a.rwLock("up").write());
        assertTrue(read.isHeld());
      }
    }
  }
}
