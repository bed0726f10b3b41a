package dev.conclave.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class ClientTest {
  @ParameterizedTest
  @ValueSource(
      strings = {"", "   ", "ftp://a:1", "http://", "http://a", "http://:1", "http://a:0", "http://a:99999", "a", "unix://a", "unix:///",
        "unix:////", "http://a:1/b", "http://a:1//", "http://u@a:1", "http://a:1?b", "http://a b:1", "https://a:1", "HTTPS://a:1",
        "unixs:///a", "http://a,b:1", "http://%zz:1", "unix:///a\0b"})
  void an_endpoint_of_another_form_is_refused(String endpoint) {
    ConclaveException error =
        Eventually.failure(ErrorKind.INVALID, () -> Client.builder().endpoints(endpoint).build());
    assertTrue(error.getMessage().contains(endpoint), error.getMessage());
  }

  @Test
  void the_empty_list_of_endpoints_is_refused() {
    Eventually.failure(ErrorKind.INVALID, () -> Client.builder().build());
  }

  @Test
  void endpoints_are_parsed() {
    assertEquals(new Endpoint("a:1", false, "a", 1, null), Endpoint.parse("a:1", false));
    assertTrue(Endpoint.parse("a:1", true).tls());
    for (String text : List.of("http://a:1", " a:1\t", "http://a:1/", "a:1/", "HTTP://a:1", " Http://a:1/ ")) {
      assertEquals(new Endpoint(text.strip(), false, "a", 1, null), Endpoint.parse(text, false));
    }
    assertFalse(Endpoint.parse("http://a:1", true).tls());
    assertEquals(new Endpoint("HTTPS://a:1", true, "a", 1, null), Endpoint.parse("HTTPS://a:1", true));
    assertEquals("::1", Endpoint.parse("http://[::1]:2379", false).host());
    for (String text : List.of("unix:///run/c.sock", "UNIX:///run/c.sock", "unix:///run/c.sock/")) {
      assertEquals(new Endpoint(text, false, "localhost", 0, "/run/c.sock"), Endpoint.parse(text, false));
    }
    assertTrue(Endpoint.parse("Unixs:///run/c.sock", true).tls());
  }

  @Test
  void a_tls_file_that_cannot_be_used_is_named() {
    Tls tls = Tls.trusting(java.nio.file.Path.of("/no/such/ca.pem"));
    ConclaveException error =
        Eventually.failure(ErrorKind.INVALID, () -> Client.builder().endpoints("https://a:1").tls(tls).build());
    assertTrue(error.getMessage().contains("/no/such/ca.pem"), error.getMessage());
  }

  @Test
  void the_environment_is_etcdctls() {
    try (Client client =
        Client.builder()
            .environment(
                Map.of(
                    "ETCDCTL_ENDPOINTS", "a:1, http://b:2",
                    "ETCDCTL_USER", "alice:secret",
                    "ETCDCTL_CACERT", "",
                    "ETCDCTL_INSECURE_SKIP_TLS_VERIFY", "",
                    "ETCDCTL_COMMAND_TIMEOUT", "1m1.5s"))
            .build()) {
      assertEquals(List.of("a:1", "http://b:2"), client.endpoints());
      assertEquals(Duration.ofMillis(61_500), client.core().timeout());
    }
    for (Map<String, String> refused :
        List.of(
            Map.of("ETCDCTL_INSECURE_SKIP_TLS_VERIFY", "true"),
            Map.of("ETCDCTL_USER", "alice"),
            Map.of("ETCDCTL_CERT", "cert.pem"))) {
      Eventually.failure(ErrorKind.INVALID, () -> Client.builder().environment(refused));
    }
  }

  @ParameterizedTest
  @CsvSource({"5s, PT5S", "1m30s, PT1M30S", "500ms, PT0.5S", "1.5h, PT1H30M", ".5s, PT0.5S", "1.s, PT1S", "7us, PT0.000007S",
    "7µs, PT0.000007S", "7ns, PT0.000000007S", "'', PT5S"})
  void the_timeout_of_the_environment_is_gos(String text, Duration timeout) {
    try (Client client =
        Client.builder().endpoints("a:1").environment(Map.of("ETCDCTL_COMMAND_TIMEOUT", text)).build()) {
      assertEquals(timeout, client.core().timeout());
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"soon", "5", "0", "0s", "-5s", "5 s", "5sec", "s", "1m30", ".s", "5S"})
  void another_timeout_of_the_environment_is_refused(String text) {
    ConclaveException refused =
        Eventually.failure(
            ErrorKind.INVALID, () -> Client.builder().environment(Map.of("ETCDCTL_COMMAND_TIMEOUT", text)));
    assertTrue(refused.getMessage().contains("ETCDCTL_COMMAND_TIMEOUT"), refused.getMessage());
  }

  @Test
  void a_password_is_not_shown() {
    assertFalse(new Login.User("alice", "hunter2").toString().contains("hunter2"));
  }

  @Test
  void nothing_is_there_to_connect_to() throws Exception {
    int port = Cluster.freePorts(1).get(0);
    try (Client client =
        Client.builder().endpoints("http://127.0.0.1:" + port).timeout(Duration.ofMillis(300)).build()) {
      assertFalse(Eventually.failure(ErrorKind.UNAVAILABLE, () -> client.kv().get("a")).mayHaveHappened());
      assertFalse(Eventually.failure(ErrorKind.UNAVAILABLE, () -> client.kv().put("a", "1")).mayHaveHappened());
    }
  }

  @Test
  void closing_fails_what_waits_and_what_follows_and_leaves_no_thread() {
    try (Cluster cluster = Cluster.start(1)) {
      Client client = cluster.client();
      Session session = client.session();
      CompletableFuture<String> state = new CompletableFuture<>();
      session.lost().thenRun(() -> state.complete("lost"));
      Lock lock = session.mutex("close/a").lock();
      Session other = client.session();
      CompletableFuture<Lock> waiting = other.mutex("close/a").lockAsync();
      Eventually.until("it waits", () -> client.mutex("close/a").contenders().size() == 2);
      Watch watch = client.watch("close/b", 0);
      Membership member = other.group("close/g").join("a", "1");
      client.close();
      client.close();
      // In whichever order the user closes them.
      lock.close();
      member.close();
      session.close();
      watch.close();
      Eventually.failure(ErrorKind.CLOSED, waiting);
      assertFalse(lock.isHeld());
      assertEquals("lost", Eventually.of(state));
      Eventually.failure(ErrorKind.CLOSED, () -> client.kv().get("a"));
      Eventually.failure(ErrorKind.CLOSED, watch::next);
      Eventually.until("no thread is left", () -> threads().isEmpty());
      try (Client next = cluster.client()) {
        assertEquals(0, next.kv().list("close/").getKvsCount());
      }
    }
  }

  private static List<String> threads() {
    return Thread.getAllStackTraces().keySet().stream()
        .map(Thread::getName)
        .filter(name -> name.startsWith("conclave-"))
        .toList();
  }
}
