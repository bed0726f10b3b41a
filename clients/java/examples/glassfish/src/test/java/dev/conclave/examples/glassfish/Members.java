package dev.conclave.examples.glassfish;

import dev.conclave.client.Client;
import dev.conclave.client.ConclaveException;
import dev.conclave.client.ErrorKind;
import dev.conclave.client.api.MaintenanceGrpc;
import dev.conclave.client.api.StatusRequest;
import dev.conclave.client.api.StatusResponse;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/** Members of a Conclave cluster, each a process of the binary that CONCLAVE_BIN names. */
final class Members implements AutoCloseable {
  private final Path dir;
  private final List<Integer> ports;
  private final int size;
  private final List<Process> processes = new ArrayList<>();

  /** Prepares a cluster; {@link #start()} starts it. */
  Members(Path dir, int size) {
    this.dir = dir;
    this.size = size;
    this.ports = Processes.freePorts(2 * size);
  }

  void start() {
    for (int i = 0; i < size; i++) {
      processes.add(run(i));
    }
    IntStream.range(0, size).forEach(this::awaitReady);
  }

  private Process run(int index) {
    String initial =
        IntStream.range(0, size).mapToObj(i -> "m" + i + "=" + peer(i)).collect(Collectors.joining(","));
    List<String> command =
        List.of(
            System.getenv("CONCLAVE_BIN"),
            "--name=m" + index,
            "--data-dir=" + dir.resolve("m" + index),
            "--listen-client-urls=" + endpoint(index),
            "--advertise-client-urls=" + endpoint(index),
            "--listen-peer-urls=" + peer(index),
            "--initial-advertise-peer-urls=" + peer(index),
            "--initial-cluster=" + initial,
            "--bcrypt-cost=4");
    return Processes.start(command, Map.of(), dir.resolve("m" + index + ".log"));
  }

  private void awaitReady(int index) {
    try (Client client = Client.builder().endpoints(endpoint(index)).timeout(Duration.ofSeconds(60)).build()) {
      client.kv().get("ready");
    } catch (ConclaveException refused) {
      // With authentication a member that refuses the read is ready, too.
      if (refused.kind() != ErrorKind.API) {
        throw refused;
      }
    }
  }

  private String endpoint(int index) {
    return "http://127.0.0.1:" + ports.get(2 * index);
  }

  private String peer(int index) {
    return "http://127.0.0.1:" + ports.get(2 * index + 1);
  }

  /** Client ports, for a proxy. */
  List<Integer> clientPorts() {
    return IntStream.range(0, size).mapToObj(i -> ports.get(2 * i)).toList();
  }

  List<String> endpoints() {
    return IntStream.range(0, size).mapToObj(this::endpoint).toList();
  }

  Client.Builder client() {
    return Client.builder().endpoints(endpoints());
  }

  /** The member that leads Conclave itself. */
  int leader() {
    return Eventually.get(
        "a leader of the members",
        () ->
            IntStream.range(0, size)
                .filter(i -> processes.get(i).isAlive())
                .filter(this::leads)
                .boxed()
                .findFirst());
  }

  private boolean leads(int index) {
    try (Client client = Client.builder().endpoints(endpoint(index)).build()) {
      StatusResponse status = client.call(MaintenanceGrpc.getStatusMethod(), StatusRequest.getDefaultInstance());
      return status.getLeader() == status.getHeader().getMemberId();
    }
  }

  void kill(int index) {
    Processes.kill(processes.get(index));
  }

  void restart(int index) {
    processes.set(index, run(index));
    awaitReady(index);
  }

  @Override
  public void close() {
    processes.forEach(Processes::kill);
  }
}
