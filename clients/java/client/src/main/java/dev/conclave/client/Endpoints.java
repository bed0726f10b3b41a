package dev.conclave.client;

import io.grpc.ManagedChannel;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;

/** The endpoints of a client, in rotation (C2). */
final class Endpoints {
  private final List<Server> servers;
  private int next;

  Endpoints(List<Server> servers) {
    this.servers = List.copyOf(servers);
    // Clients that are started together do not all begin with the first.
    this.next = (int) (System.nanoTime() & 0xff) % servers.size();
  }

  /** The next endpoint that is not among {@code tried}; null if all that can be used have been. */
  Server pick(Set<Server> tried) {
    boolean none = servers.stream().noneMatch(Server::inRotation);
    for (int i = 0; i < servers.size(); i++) {
      Server server = servers.get((next + i) % servers.size());
      if ((none || server.inRotation()) && !tried.contains(server)) {
        next = (next + i + 1) % servers.size();
        return server;
      }
    }
    return null;
  }

  List<String> list() {
    return servers.stream().map(Server::toString).toList();
  }

  void start() {
    servers.forEach(Server::start);
  }

  void shutdown() {
    servers.forEach(server -> server.channel().shutdownNow());
  }

  void awaitShutdown(long nanos) throws InterruptedException {
    long end = System.nanoTime() + nanos;
    for (ManagedChannel channel : new ArrayList<>(servers.stream().map(Server::channel).toList())) {
      channel.awaitTermination(Math.max(0, end - System.nanoTime()), TimeUnit.NANOSECONDS);
    }
  }
}
