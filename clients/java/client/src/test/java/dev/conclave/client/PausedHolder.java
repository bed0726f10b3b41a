package dev.conclave.client;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;

/** A process that holds a lock and says for each line of its input whether it does. It is stopped by {@link PauseTest}. */
final class PausedHolder {
  private PausedHolder() {}

  public static void main(String[] args) throws Exception {
    try (Client client = Client.builder().endpoints(args[0]).build();
        Session session = client.session(Duration.ofSeconds(2))) {
      Lock lock = session.mutex("paused").lock();
      lock.onLost(() -> System.out.println("lost"));
      System.out.println("locked");
      BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
      while (in.readLine() != null) {
        System.out.println("held " + lock.isHeld());
      }
    }
  }
}
