package dev.conclave.examples.glassfish;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** Starting real processes, and signals to them. */
final class Processes {
  private Processes() {}

  static Process start(List<String> command, Map<String, String> environment, Path log) {
    ProcessBuilder builder =
        new ProcessBuilder(command)
            .redirectErrorStream(true)
            .redirectOutput(ProcessBuilder.Redirect.appendTo(log.toFile()));
    // What the one who runs the tests has set for etcdctl is not meant for them.
    builder.environment().keySet().removeIf(name -> name.startsWith("ETCD"));
    builder.environment().putAll(environment);
    try {
      Process process = builder.start();
      // An aborted run must not leave servers behind.
      Runtime.getRuntime().addShutdownHook(new Thread(process::destroyForcibly));
      return process;
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  static void signal(Process process, String name) {
    try {
      Process kill = new ProcessBuilder("kill", "-" + name, Long.toString(process.pid())).start();
      if (kill.waitFor() != 0) {
        throw new IllegalStateException("process " + process.pid() + " is not there to get the signal " + name);
      }
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    } catch (InterruptedException interrupt) {
      throw new IllegalStateException(interrupt);
    }
  }

  static void kill(Process process) {
    process.destroyForcibly();
    awaitEnd(process);
  }

  static void awaitEnd(Process process) {
    process.onExit().orTimeout(Eventually.LIMIT.toSeconds(), TimeUnit.SECONDS).join();
  }

  /** Ports that were free a moment ago, all different. */
  static List<Integer> freePorts(int count) {
    List<ServerSocket> sockets = new ArrayList<>();
    try {
      for (int i = 0; i < count; i++) {
        sockets.add(new ServerSocket(0, 1, InetAddress.getLoopbackAddress()));
      }
      List<Integer> ports = sockets.stream().map(ServerSocket::getLocalPort).toList();
      for (ServerSocket socket : sockets) {
        socket.close();
      }
      return ports;
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }
}
