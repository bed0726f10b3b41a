package dev.conclave.client;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/** Real members of a cluster, each a process of the binary that CONCLAVE_BIN names. */
public final class Cluster implements AutoCloseable {
  private final Path dir;
  private final List<Member> members = new ArrayList<>();

  /** One member, that can be paused and killed. */
  final class Member {
    private final String name;
    private final int client;
    private final int peer;
    private final String initial;
    private final List<String> flags;
    private Process process;

    private Member(String name, int client, int peer, String initial, List<String> flags) {
      this.name = name;
      this.client = client;
      this.peer = peer;
      this.initial = initial;
      this.flags = flags;
    }

    String endpoint() {
      return "http://127.0.0.1:" + client;
    }

    void start() {
      List<String> command = new ArrayList<>();
      command.add(binary());
      command.add("--name=" + name);
      command.add("--data-dir=" + dir.resolve(name));
      command.add("--listen-client-urls=" + endpoint());
      command.add("--advertise-client-urls=" + endpoint());
      command.add("--listen-peer-urls=http://127.0.0.1:" + peer);
      command.add("--initial-advertise-peer-urls=http://127.0.0.1:" + peer);
      command.add("--initial-cluster=" + initial);
      command.addAll(flags);
      try {
        process =
            new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.appendTo(dir.resolve(name + ".log").toFile()))
                .start();
      } catch (IOException error) {
        throw new IllegalStateException(error);
      }
    }

    void kill() {
      process.destroyForcibly();
      process.onExit().orTimeout(10, TimeUnit.SECONDS).join();
    }

    void pause() {
      signal("STOP");
    }

    void resume() {
      signal("CONT");
    }

    private void signal(String name) {
      Cluster.signal(process, name);
    }
  }

  /** Sends a signal to a process. */
  static void signal(Process process, String name) {
    try {
      new ProcessBuilder("kill", "-" + name, Long.toString(process.pid())).start().waitFor();
    } catch (IOException | InterruptedException error) {
      throw new IllegalStateException(error);
    }
    if (name.equals("STOP")) {
      // On a busy machine its threads still run for a while, and could answer.
      Eventually.until("all threads are stopped", () -> isStopped(process));
    }
  }

  private static boolean isStopped(Process process) {
    try (Stream<Path> threads = Files.list(Path.of("/proc", Long.toString(process.pid()), "task"))) {
      for (Path thread : threads.toList()) {
        String stat = Files.readString(thread.resolve("stat"));
        // The state is behind the name, which is in parentheses.
        if (stat.charAt(stat.lastIndexOf(')') + 2) != 'T') {
          return false;
        }
      }
      return true;
    } catch (IOException ended) {
      // A thread has just ended; or the process, to which nothing else happens.
      return !process.isAlive();
    }
  }

  private Cluster(Path dir) {
    this.dir = dir;
  }

  static String binary() {
    String binary = System.getenv("CONCLAVE_BIN");
    if (binary == null) {
      throw new IllegalStateException("set CONCLAVE_BIN to the conclave binary");
    }
    return binary;
  }

  /**
   * Starts a cluster and waits until it answers.
   *
   * @param size the number of members
   * @param flags more flags for all of them
   * @return the cluster
   */
  public static Cluster start(int size, String... flags) {
    try {
      Cluster cluster = new Cluster(Files.createTempDirectory("conclave-java"));
      List<Integer> ports = freePorts(2 * size);
      List<String> initial = new ArrayList<>();
      for (int i = 0; i < size; i++) {
        initial.add("m" + i + "=http://127.0.0.1:" + ports.get(2 * i + 1));
      }
      for (int i = 0; i < size; i++) {
        cluster.members.add(
            cluster
            .new Member("m" + i, ports.get(2 * i), ports.get(2 * i + 1), String.join(",", initial), List.of(flags)));
      }
      cluster.members.forEach(Member::start);
      for (Member member : cluster.members) {
        cluster.ready(member);
      }
      return cluster;
    } catch (IOException error) {
      throw new IllegalStateException(error);
    }
  }

  /** Waits until a member answers a read. */
  void ready(Member member) {
    try (Client client = Client.builder().endpoints(member.endpoint()).timeout(Duration.ofSeconds(30)).build()) {
      client.kv().get("ready");
    } catch (ConclaveException unready) {
      if (unready.kind() == ErrorKind.API) {
        return;
      }
      throw new IllegalStateException("no answer; see the log in " + dir, unready);
    }
  }

  Member member(int index) {
    return members.get(index);
  }

  /**
   * Returns the endpoints of all members.
   *
   * @return the endpoints
   */
  public String[] endpoints() {
    return members.stream().map(Member::endpoint).toArray(String[]::new);
  }

  Client client() {
    return Client.builder().endpoints(endpoints()).build();
  }

  static List<Integer> freePorts(int count) throws IOException {
    List<ServerSocket> sockets = new ArrayList<>();
    List<Integer> ports = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
      sockets.add(socket);
      ports.add(socket.getLocalPort());
    }
    for (ServerSocket socket : sockets) {
      socket.close();
    }
    return ports;
  }

  @Override
  public void close() {
    for (Member member : members) {
      member.resume();
      member.kill();
    }
    try (Stream<Path> files = Files.walk(dir)) {
      for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
        Files.delete(file);
      }
    } catch (IOException error) {
      throw new IllegalStateException(error);
    }
  }
}
