package dev.conclave.examples.glassfish;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/**
 * The network between one application server and the members. While it is cut, nothing passes and nothing is answered: as with a
 * broken switch, neither side is told that the other has gone.
 */
final class Proxy implements AutoCloseable {
  private final List<ServerSocket> listeners = new ArrayList<>();
  private final Set<Socket> sockets = ConcurrentHashMap.newKeySet();
  private final Object gate = new Object();
  private boolean cut;

  Proxy(List<Integer> targets) {
    try {
      for (int target : targets) {
        ServerSocket listener = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        listeners.add(listener);
        background(() -> accept(listener, target));
      }
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  List<String> endpoints() {
    return listeners.stream().map(listener -> "http://127.0.0.1:" + listener.getLocalPort()).toList();
  }

  void cut() {
    synchronized (gate) {
      cut = true;
    }
  }

  /** Mends the network. What was held back arrives late, as it may in a network. */
  void mend() {
    synchronized (gate) {
      cut = false;
      gate.notifyAll();
    }
  }

  private void accept(ServerSocket listener, int target) throws IOException, InterruptedException {
    while (true) {
      Socket near = listener.accept();
      sockets.add(near);
      background(
          () -> {
            pass();
            Socket far = new Socket(InetAddress.getLoopbackAddress(), target);
            sockets.add(far);
            background(() -> copy(near, far));
            copy(far, near);
          });
    }
  }

  private void copy(Socket from, Socket to) throws IOException, InterruptedException {
    byte[] buffer = new byte[16 * 1024];
    try (from; to) {
      InputStream in = from.getInputStream();
      OutputStream out = to.getOutputStream();
      for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) {
        pass();
        out.write(buffer, 0, n);
      }
      // The end of a connection is held back like everything else.
      pass();
    } finally {
      sockets.remove(from);
      sockets.remove(to);
    }
  }

  private void pass() throws InterruptedException {
    synchronized (gate) {
      while (cut) {
        gate.wait();
      }
    }
  }

  private interface Job {
    void run() throws IOException, InterruptedException;
  }

  private static void background(Job job) {
    Thread thread =
        new Thread(
            () -> {
              try {
                job.run();
              } catch (IOException | InterruptedException connectionEnded) {
                // Whoever uses the connection notices.
              }
            },
            "proxy");
    thread.setDaemon(true);
    thread.start();
  }

  @Override
  public void close() {
    mend();
    try {
      for (ServerSocket listener : listeners) {
        listener.close();
      }
      for (Socket socket : sockets) {
        socket.close();
      }
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }
}
