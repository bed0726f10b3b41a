package dev.conclave.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** Connections that are silent while new ones to the same endpoints are answered (C2, R2). */
class SilentConnectionsTest {
  /** Passes bytes on, but for connections that were silenced. */
  private static final class Forwarder implements AutoCloseable {
    private final ServerSocket listener;
    private final int target;
    private final Set<Socket> passing = ConcurrentHashMap.newKeySet();
    private final Set<Socket> all = ConcurrentHashMap.newKeySet();

    Forwarder(String endpoint) throws IOException {
      target = URI.create(endpoint).getPort();
      listener = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
      background(this::accept);
    }

    String endpoint() {
      return "http://127.0.0.1:" + listener.getLocalPort();
    }

    /** From now on nothing comes from or to the connections that are there. */
    void silence() {
      passing.clear();
    }

    private void accept() throws IOException {
      while (true) {
        Socket near = listener.accept();
        Socket far = new Socket(InetAddress.getLoopbackAddress(), target);
        all.addAll(List.of(near, far));
        passing.addAll(List.of(near, far));
        background(() -> copy(near, far));
        background(() -> copy(far, near));
      }
    }

    private void copy(Socket from, Socket to) throws IOException {
      byte[] buffer = new byte[16 * 1024];
      InputStream in = from.getInputStream();
      OutputStream out = to.getOutputStream();
      for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) {
        if (passing.contains(from)) {
          out.write(buffer, 0, n);
        }
      }
      if (passing.contains(from)) {
        to.close();
      }
    }

    private interface Job {
      void run() throws IOException;
    }

    private static void background(Job job) {
      Thread thread =
          new Thread(
              () -> {
                try {
                  job.run();
                } catch (IOException connectionEnded) {
                  // Those that use the connection notice.
                }
              });
      thread.setDaemon(true);
      thread.start();
    }

    @Override
    public void close() throws IOException {
      listener.close();
      for (Socket socket : all) {
        socket.close();
      }
    }
  }

  @Test
  void a_call_uses_a_new_connection_before_its_deadline() throws Exception {
    try (Cluster cluster = Cluster.start(1);
        Forwarder first = new Forwarder(cluster.endpoints()[0]);
        Forwarder second = new Forwarder(cluster.endpoints()[0]);
        Client client =
            Client.builder()
                .endpoints(first.endpoint(), second.endpoint())
                .timeout(Duration.ofSeconds(8))
                .build()) {
      client.kv().put("a", "1");
      client.kv().get("a");
      client.kv().get("a");
      first.silence();
      second.silence();
      List<CompletableFuture<?>> reads =
          Stream.<CompletableFuture<?>>of(
                  client.kv().getAsync("a"), client.kv().getAsync("a"), client.kv().getAsync("a"))
              .toList();
      reads.forEach(Eventually::of);
      long before = System.nanoTime();
      for (int i = 0; i < 4; i++) {
        assertEquals("1", client.kv().get("a").orElseThrow().getValue().toStringUtf8());
      }
      assertTrue(System.nanoTime() - before < Server.SILENCE, "a silent connection is still used");
    }
  }
}
