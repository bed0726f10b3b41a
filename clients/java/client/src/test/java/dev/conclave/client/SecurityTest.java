package dev.conclave.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.conclave.client.api.AuthEnableRequest;
import dev.conclave.client.api.AuthGrpc;
import dev.conclave.client.api.AuthRoleAddRequest;
import dev.conclave.client.api.AuthRoleGrantPermissionRequest;
import dev.conclave.client.api.AuthRoleRevokePermissionRequest;
import dev.conclave.client.api.AuthUserAddRequest;
import dev.conclave.client.api.AuthUserGrantRoleRequest;
import dev.conclave.client.api.Permission;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SecurityTest {
  @TempDir Path dir;

  private static void user(Client client, String name, String role) {
    client.call(AuthGrpc.getUserAddMethod(), AuthUserAddRequest.newBuilder().setName(name).setPassword("secret").build());
    client.call(AuthGrpc.getRoleAddMethod(), AuthRoleAddRequest.newBuilder().setName(role).build());
    client.call(AuthGrpc.getUserGrantRoleMethod(), AuthUserGrantRoleRequest.newBuilder().setUser(name).setRole(role).build());
  }

  @Test
  void users_log_in_by_themselves() {
    try (Cluster cluster = Cluster.start(1, "--bcrypt-cost=4");
        Client early = Client.builder().endpoints(cluster.endpoints()).user("root", "secret").build()) {
      // Before authentication is enabled, calls need no token.
      user(early, "root", "root");
      user(early, "alice", "reader");
      Permission permission =
          Permission.newBuilder().setKey(Keys.bytes("a")).setPermType(Permission.Type.READWRITE).build();
      early.call(
          AuthGrpc.getRoleGrantPermissionMethod(),
          AuthRoleGrantPermissionRequest.newBuilder().setName("reader").setPerm(permission).build());
      early.call(AuthGrpc.getAuthEnableMethod(), AuthEnableRequest.getDefaultInstance());
      early.kv().put("b", "1");
      try (Client alice = Client.builder().endpoints(cluster.endpoints()).user("alice", "secret").build();
          Client wrong = Client.builder().endpoints(cluster.endpoints()).user("alice", "guess").build();
          Watch watch = alice.watch("a", 0)) {
        alice.kv().put("a", "1");
        assertEquals(1, watch.next(Eventually.LIMIT).size());
        ConclaveException denied = Eventually.failure(ErrorKind.API, () -> alice.kv().put("b", "2"));
        assertEquals("PermissionDenied", denied.error().orElseThrow().id());
        ConclaveException refused = Eventually.failure(ErrorKind.LOGIN, () -> wrong.kv().get("a"));
        assertEquals("AuthFailed", refused.error().orElseThrow().id());
        // Fails with the same error until the pause is over, without a guess.
        Eventually.failure(ErrorKind.LOGIN, () -> wrong.kv().get("a"));
        try (Session session = alice.session(Duration.ofSeconds(5))) {
          assertTrue(session.isAlive());
          cluster.member(0).kill();
          cluster.member(0).start();
          // Its token is unknown to the new process.
          assertEquals("1", alice.kv().withTimeout(Duration.ofSeconds(20)).get("a").orElseThrow().getValue().toStringUtf8());
          alice.kv().put("a", "2");
          assertEquals("2", watch.next(Eventually.LIMIT).get(0).getKv().getValue().toStringUtf8());
        }
        early.call(
            AuthGrpc.getRoleRevokePermissionMethod(),
            AuthRoleRevokePermissionRequest.newBuilder().setRole("reader").setKey(Keys.bytes("a")).build());
        ConclaveException end = Eventually.failure(ErrorKind.API, () -> alice.watch("a", 0));
        assertEquals("PermissionDenied", end.error().orElseThrow().id());
      }
    }
  }

  private static void grant(Client root, String role, String prefix) {
    Permission all =
        Permission.newBuilder()
            .setKey(Keys.bytes(prefix))
            .setRangeEnd(Keys.prefixEnd(Keys.bytes(prefix)))
            .setPermType(Permission.Type.READWRITE)
            .build();
    root.call(
        AuthGrpc.getRoleGrantPermissionMethod(),
        AuthRoleGrantPermissionRequest.newBuilder().setName(role).setPerm(all).build());
  }

  private static void denied(Handle handle) {
    ConclaveException refused = Eventually.failure(ErrorKind.API, handle::release);
    assertEquals("PermissionDenied", refused.error().orElseThrow().id());
    assertFalse(handle.isHeld());
  }

  @Test
  void a_release_that_the_server_refuses_fails_and_can_be_tried_again() {
    List<String> log = new java.util.concurrent.CopyOnWriteArrayList<>();
    try (Cluster cluster = Cluster.start(1, "--bcrypt-cost=4");
        Client root = Client.builder().endpoints(cluster.endpoints()).user("root", "secret").build();
        Client alice =
            Client.builder()
                .endpoints(cluster.endpoints())
                .user("alice", "secret")
                .log((text, cause) -> log.add(text))
                .build()) {
      user(root, "root", "root");
      user(root, "alice", "holder");
      grant(root, "holder", "p/");
      root.call(AuthGrpc.getAuthEnableMethod(), AuthEnableRequest.getDefaultInstance());
      try (Session session = alice.session(Duration.ofSeconds(60));
          Session second = alice.session(Duration.ofSeconds(60));
          Session other = root.session()) {
        Lock outer = session.mutex("p/m").lock();
        Lock lock = session.mutex("p/m").lock();
        List<Handle> handles =
            List.of(
                session.rwLock("p/rw").write(),
                session.election("p/e").campaign("a"),
                session.semaphore("p/s", 1).acquire());
        Membership member = session.group("p/g").join("a", "1");
        LeaderLatch latch = session.election("p/l").latch("a");
        Eventually.of(latch.leadershipAsync());
        root.kv().put("p/w/0", "");
        CompletableFuture<Lock> waiting = second.mutex("p/w").lockAsync();
        Eventually.until("it waits", () -> root.mutex("p/w").contenders().size() == 2);
        root.call(
            AuthGrpc.getRoleRevokePermissionMethod(),
            AuthRoleRevokePermissionRequest.newBuilder()
                .setRole("holder")
                .setKey(Keys.bytes("p/"))
                .setRangeEnd(Keys.prefixEnd(Keys.bytes("p/")))
                .build());
        outer.unlock();
        assertTrue(lock.isHeld());
        for (int i = 0; i < 2; i++) {
          denied(lock);
          handles.forEach(SecurityTest::denied);
          Eventually.failure(ErrorKind.API, member::leave);
          Eventually.failure(ErrorKind.API, latch::close);
        }
        Eventually.failure(ErrorKind.API, () -> second.mutex("p/m").lock());
        waiting.cancel(true);
        Eventually.until("what nobody waits for is logged", () -> log.toString().contains("was not deleted"));
        assertEquals(2, root.kv().deletePrefix("p/w/").getDeleted());
        assertEquals(6, root.kv().list("p/").getKvsCount());
        grant(root, "holder", "p/");
        // Whoever locks again has the key, which the former handle must leave alone.
        Lock again = session.mutex("p/m").lock();
        lock.unlock();
        assertTrue(again.isHeld());
        CompletableFuture<Lock> next = other.mutex("p/m").lockAsync();
        Eventually.until("it waits", () -> root.mutex("p/m").contenders().size() == 2);
        again.unlock();
        Eventually.of(next).unlock();
        handles.forEach(Handle::release);
        member.leave();
        latch.close();
        assertEquals(0, root.kv().list("p/").getKvsCount());
        assertEquals(0, session.places());
      }
    }
  }

  private void openssl(String... args) throws IOException, InterruptedException {
    List<String> command = new java.util.ArrayList<>(List.of("openssl"));
    command.addAll(List.of(args));
    Process process =
        new ProcessBuilder(command)
            .directory(dir.toFile())
            .redirectErrorStream(true)
            .redirectOutput(dir.resolve("openssl.log").toFile())
            .start();
    assertTrue(process.waitFor(30, TimeUnit.SECONDS));
    assertEquals(0, process.exitValue(), Files.readString(dir.resolve("openssl.log")));
  }

  private void authority(String name) throws Exception {
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", "/CN=" + name, "-keyout", name + ".key", "-out", name + ".pem");
  }

  private void signed(String name, String ca) throws Exception {
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=" + name, "-keyout", name + ".key", "-out", name + ".csr");
    Files.writeString(dir.resolve("san"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n");
    openssl("x509", "-req", "-in", name + ".csr", "-CA", ca + ".pem", "-CAkey", ca + ".key", "-CAcreateserial",
        "-days", "2", "-extfile", "san", "-out", name + ".pem");
  }

  private void copy(String from, String to) throws IOException {
    Files.copy(dir.resolve(from), dir.resolve(to), StandardCopyOption.REPLACE_EXISTING);
  }

  @Test
  void keys_are_read_in_all_their_forms() throws Exception {
    for (String algorithm : List.of("RSA", "EC")) {
      String[] option =
          algorithm.equals("RSA")
              ? new String[] {"-pkeyopt", "rsa_keygen_bits:2048"}
              : new String[] {"-pkeyopt", "ec_paramgen_curve:prime256v1"};
      openssl("genpkey", "-algorithm", algorithm, option[0], option[1], "-out", "pkcs8");
      openssl("pkey", "-in", "pkcs8", "-traditional", "-out", "traditional");
      assertTrue(Files.readString(dir.resolve("traditional")).contains(algorithm + " PRIVATE KEY"));
      assertEquals(secret(Pem.key(dir.resolve("pkcs8"))), secret(Pem.key(dir.resolve("traditional"))));
    }
  }

  private static java.math.BigInteger secret(java.security.PrivateKey key) {
    return key instanceof java.security.interfaces.ECPrivateKey ec
        ? ec.getS()
        : ((java.security.interfaces.RSAPrivateKey) key).getPrivateExponent();
  }

  @Test
  void certificates_are_read_for_every_new_connection() throws Exception {
    authority("ca");
    authority("other");
    signed("server", "ca");
    signed("client", "ca");
    copy("ca.pem", "trusted.pem");
    copy("client.pem", "cert.pem");
    copy("client.key", "cert.key");
    List<Integer> ports = Cluster.freePorts(2);
    String url = "https://127.0.0.1:" + ports.get(0);
    String peer = "http://127.0.0.1:" + ports.get(1);
    ProcessBuilder command =
        new ProcessBuilder(
            Cluster.binary(), "--name=default", "--data-dir=" + dir.resolve("data"),
            "--listen-client-urls=" + url, "--advertise-client-urls=" + url,
            "--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=default=" + peer,
            "--cert-file=" + dir.resolve("server.pem"), "--key-file=" + dir.resolve("server.key"),
            "--client-cert-auth", "--trusted-ca-file=" + dir.resolve("ca.pem"));
    command.redirectErrorStream(true).redirectOutput(dir.resolve("server.log").toFile());
    Process server = command.start();
    Tls tls = Tls.trusting(dir.resolve("trusted.pem")).presenting(dir.resolve("cert.pem"), dir.resolve("cert.key"));
    List<String> log = new java.util.concurrent.CopyOnWriteArrayList<>();
    try (Client client =
        Client.builder().endpoints(url).tls(tls).timeout(Duration.ofSeconds(20)).log((text, cause) -> log.add(text)).build()) {
      client.kv().put("a", "1");
      // Files that cannot be used: the former ones are.
      Files.writeString(dir.resolve("trusted.pem"), "half a file");
      copy("other.key", "cert.key");
      server = restart(server, command);
      client.kv().put("a", "2");
      assertTrue(log.contains("the former CA is used") && log.contains("the former certificate is used"), log::toString);
      // A CA that does not know the server.
      copy("other.pem", "trusted.pem");
      server = restart(server, command);
      Kv quick = client.kv().withTimeout(Duration.ofSeconds(3));
      Eventually.failure(ErrorKind.UNAVAILABLE, () -> quick.get("a"));
      copy("ca.pem", "trusted.pem");
      assertEquals("2", client.kv().get("a").orElseThrow().getValue().toStringUtf8());
    } finally {
      server.destroyForcibly();
    }
    Eventually.failure(
        ErrorKind.INVALID,
        () ->
            Client.builder()
                .endpoints(url)
                .tls(Tls.trusting(dir.resolve("ca.pem")).presenting(dir.resolve("cert.pem"), dir.resolve("other.key")))
                .build());
  }

  private static Process restart(Process server, ProcessBuilder command) throws IOException {
    server.destroyForcibly();
    CompletableFuture<?> exit = server.onExit();
    exit.orTimeout(10, TimeUnit.SECONDS).join();
    return command.start();
  }

  @Test
  void a_unix_socket_is_an_endpoint() throws Exception {
    Path socket = dir.resolve("c.sock");
    int peerPort = Cluster.freePorts(1).get(0);
    String peer = "http://127.0.0.1:" + peerPort;
    Process server =
        new ProcessBuilder(
                Cluster.binary(), "--name=default", "--data-dir=" + dir.resolve("data"),
                "--listen-client-urls=unix://" + socket, "--advertise-client-urls=unix://" + socket,
                "--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=default=" + peer)
            .redirectErrorStream(true)
            .redirectOutput(dir.resolve("server.log").toFile())
            .start();
    try (Client client = Client.builder().endpoints("unix://" + socket).timeout(Duration.ofSeconds(20)).build()) {
      client.kv().get("a");
      client.kv().put("a", "1");
      try (Session session = client.session();
          Lock lock = session.mutex("m").lock()) {
        assertTrue(lock.isHeld());
      }
    } finally {
      server.destroyForcibly();
    }
  }
}
