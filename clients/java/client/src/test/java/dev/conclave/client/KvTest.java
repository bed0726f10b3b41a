package dev.conclave.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.conclave.client.api.Compare.CompareResult;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

class KvTest {
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
  void a_key_is_written_read_and_deleted() {
    long revision = client.kv().put("kv/a", "1").getHeader().getRevision();
    assertEquals(revision, client.kv().get("kv/a").orElseThrow().getModRevision());
    assertEquals(1, client.kv().list("kv/").getKvsCount());
    assertEquals(1, client.kv().delete("kv/a").getDeleted());
    assertTrue(client.kv().get("kv/a").isEmpty());
  }

  @Test
  void the_async_forms_do_the_same() {
    Eventually.of(client.kv().putAsync("async/a", "1"));
    assertEquals("1", Eventually.of(client.kv().getAsync("async/a")).orElseThrow().getValue().toStringUtf8());
    assertEquals(1, Eventually.of(client.kv().deletePrefixAsync("async/")).getDeleted());
    assertEquals(0, Eventually.of(client.kv().listAsync("async/")).getKvsCount());
  }

  @Test
  void a_transaction_takes_one_of_two_ways() {
    var key = Keys.bytes("txn/a");
    Txn create = Txn.when(Compares.absent(key)).then(Ops.put(key, Keys.bytes("1"))).otherwise(Ops.get(key));
    assertTrue(client.kv().txn(create).getSucceeded());
    assertFalse(client.kv().txn(create).getSucceeded());
    Txn value = Txn.when(Compares.value(key, CompareResult.EQUAL, Keys.bytes("1"))).then(Ops.delete(key));
    assertTrue(Eventually.of(client.kv().txnAsync(value)).getSucceeded());
  }

  @Test
  void wrong_arguments_are_refused() {
    Eventually.failure(ErrorKind.INVALID, () -> client.kv().put("", "1"));
    Eventually.failure(ErrorKind.INVALID, client.kv().getAsync(""));
    Eventually.failure(ErrorKind.INVALID, () -> client.session(Duration.ofSeconds(-1)));
    Eventually.failure(ErrorKind.INVALID, () -> client.watch("a", -1));
  }

  @Test
  void the_servers_errors_have_their_names() {
    ConclaveException error = Eventually.failure(ErrorKind.API, () -> client.kv().compact(1_000_000));
    assertEquals("FutureRev", error.error().orElseThrow().id());
    assertFalse(error.mayHaveHappened());
  }

  @Test
  void a_cancelled_future_is_cancelled() {
    cluster.member(0).pause();
    try {
      CompletableFuture<?> put = client.kv().putAsync("cancel/a", "1");
      Eventually.until("the write is sent", () -> put.isDone() || sent(put));
      put.cancel(true);
      assertTrue(put.isCancelled());
      assertTrue(Eventually.failure(ErrorKind.CANCELLED, put).mayHaveHappened());
      CompletableFuture<?> get = client.kv().getAsync("cancel/a");
      get.cancel(true);
      assertFalse(Eventually.failure(ErrorKind.CANCELLED, get).mayHaveHappened());
    } finally {
      cluster.member(0).resume();
    }
  }

  private static boolean sent(CompletableFuture<?> future) {
    return future instanceof Core.OpFuture<?> own && own.sent();
  }

  @Test
  void a_silent_server_ends_a_read_with_deadline_and_a_write_with_maybe() {
    client.kv().put("silent/a", "1");
    cluster.member(0).pause();
    try {
      Kv quick = client.kv().withTimeout(Duration.ofMillis(300));
      assertFalse(Eventually.failure(ErrorKind.DEADLINE, () -> quick.get("silent/a")).mayHaveHappened());
      assertTrue(Eventually.failure(ErrorKind.MAYBE, () -> quick.put("silent/a", "2")).mayHaveHappened());
    } finally {
      cluster.member(0).resume();
    }
  }

  @Test
  void an_interrupt_cancels_and_stays() throws Exception {
    cluster.member(0).pause();
    try {
      CompletableFuture<ConclaveException> failed = new CompletableFuture<>();
      CompletableFuture<Boolean> still = new CompletableFuture<>();
      Thread caller =
          new Thread(
              () -> {
                try {
                  client.kv().get("interrupt/a");
                } catch (ConclaveException failure) {
                  still.complete(Thread.currentThread().isInterrupted());
                  failed.complete(failure);
                }
              });
      caller.start();
      caller.interrupt();
      assertEquals(ErrorKind.CANCELLED, Eventually.of(failed).kind());
      assertTrue(Eventually.of(still));
    } finally {
      cluster.member(0).resume();
    }
  }
}
