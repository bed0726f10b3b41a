package dev.conclave.examples;

import dev.conclave.client.Client;
import dev.conclave.client.Watch;

/** Follows all keys with a prefix. */
public final class WatchExample {
  private WatchExample() {}

  /**
   * Runs the example against the servers of {@code ETCDCTL_ENDPOINTS}.
   *
   * @param args none
   */
  public static void main(String[] args) {
    try (Client client = Client.fromEnv();
        Watch watch = client.watchPrefix("examples/watch/", 0)) {
      client.kv().put("examples/watch/a", "1");
      client.kv().delete("examples/watch/a");
      for (int seen = 0; seen < 2; ) {
        for (var event : watch.next()) {
          System.out.println(event.getType() + " " + event.getKv().getKey().toStringUtf8());
          seen++;
        }
      }
    }
  }
}
