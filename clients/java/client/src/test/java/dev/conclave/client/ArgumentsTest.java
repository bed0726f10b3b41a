package dev.conclave.client;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import dev.conclave.client.api.PutRequest;
import dev.conclave.client.api.RequestOp;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

class ArgumentsTest {
  private static final Duration FOREVER = Duration.ofSeconds(Long.MAX_VALUE);
  private static final ByteString KEY = Keys.bytes("a");

  private static Cluster cluster;
  private static Client client;
  private static Session session;

  @BeforeAll
  static void start() {
    cluster = Cluster.start(1);
    client = cluster.client();
    session = client.session();
  }

  @AfterAll
  static void stop() {
    client.close();
    cluster.close();
  }

  private static void invalid(Executable... actions) {
    for (Executable action : actions) {
      ConclaveException refused = Eventually.failure(ErrorKind.INVALID, action);
      assertFalse(refused.getMessage().contains("the client failed"), refused.getMessage());
    }
  }

  @Test
  void null_is_refused_when_a_client_is_made() {
    invalid(
        () -> Client.builder().endpoints((String) null),
        () -> Client.builder().endpoints((String[]) null),
        () -> Client.builder().endpoints((List<String>) null),
        () -> Client.builder().endpoints(Arrays.asList("a:1", null)),
        () -> Client.builder().timeout(null),
        () -> Client.builder().user(null, "secret"),
        () -> Client.builder().user("alice", null),
        () -> Client.builder().tls(null),
        () -> Client.builder().callbacks(null),
        () -> Client.builder().log(null),
        () -> Client.builder().environment(null),
        () -> Client.builder().environment(Map.of("ETCDCTL_CACERT", "a\0b")),
        () -> Tls.trusting(null),
        () -> Tls.trusting(Path.of("ca")).presenting(null, Path.of("key")));
  }

  @Test
  void null_is_refused_as_a_key_or_a_value() {
    invalid(
        () -> client.kv().get(null),
        () -> client.kv().getAsync(null),
        () -> client.kv().list(null),
        () -> client.kv().put("a", null),
        () -> client.kv().put(null, "1"),
        () -> client.kv().put((PutRequest) null),
        () -> client.kv().delete((String) null),
        () -> client.kv().deletePrefix(null),
        () -> client.kv().range(null),
        () -> client.kv().txn(null),
        () -> client.call(null, PutRequest.getDefaultInstance()),
        () -> Txn.when().then((RequestOp) null),
        () -> Txn.when(Compares.absent(KEY), null),
        () -> Ops.put(KEY, null),
        () -> Ops.put(null, KEY),
        () -> Ops.range(null),
        () -> Compares.absent(null),
        () -> client.watch(null, 0),
        () -> client.watchPrefix(null, 0),
        () -> client.cache(null),
        () -> client.cache("a", null),
        () -> client.value("a").set(null),
        () -> client.value("a").compareAndSet(1, null),
        () -> client.queue("a").put(null),
        () -> client.queue("a").put("1", 0, null),
        () -> client.mutex(null),
        () -> session.election("a").campaign(null),
        () -> session.group("a").join(null, "1"),
        () -> session.group("a").join("a", null),
        () -> session.service("a").register((ServiceAddress) null),
        () -> session.service("a").register(new ServiceAddress(null, null)),
        () -> session.onState(null),
        () -> client.group("a").listen(null),
        () -> client.stm(null));
  }

  @Test
  void a_time_is_neither_null_nor_zero() {
    for (Duration refused : Arrays.asList(null, Duration.ZERO, Duration.ofSeconds(-1))) {
      invalid(
          () -> client.kv().withTimeout(refused),
          () -> client.session(refused),
          () -> session.mutex("t").lock(refused),
          () -> session.rwLock("t").read(refused),
          () -> session.semaphore("t", 1).acquire(refused),
          () -> session.election("t").campaign("a", refused),
          () -> client.barrier("t").await(refused),
          () -> client.latch("t").await(refused),
          () -> session.doubleBarrier("t", 1).enter(refused),
          () -> session.queue("t").take(refused));
    }
    invalid(() -> client.session(FOREVER));
  }

  @Test
  void a_time_of_centuries_is_as_good_as_no_limit() {
    client.kv().withTimeout(FOREVER).put("long", "1");
    session.mutex("long").lock(FOREVER).unlock();
    client.queue("queue").put("1", 0, FOREVER);
    try (Client patient = Client.builder().endpoints(cluster.endpoints()).timeout(FOREVER).build();
        Session other = patient.session();
        Lock lock = other.mutex("long").lock()) {
      assertTrue(lock.isHeld());
    }
  }

  @Test
  void half_of_a_surrogate_pair_is_no_text() {
    for (String half : List.of("a\ud800", "\udc00a", "\ud800\ud800")) {
      invalid(
          () -> client.kv().put(half, "1"),
          () -> client.kv().put("a", half),
          () -> client.kv().get(half),
          () -> client.value(half),
          () -> session.mutex(half),
          () -> Client.builder().user(half, "secret"),
          () -> Client.builder().user("alice", half));
    }
    client.kv().put("\ud83d\ude00", "1");
    assertTrue(client.kv().get("\ud83d\ude00").isPresent());
  }
}
