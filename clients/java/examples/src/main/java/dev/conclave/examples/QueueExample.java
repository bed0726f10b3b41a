package dev.conclave.examples;

import dev.conclave.client.Client;
import dev.conclave.client.QueueItem;
import dev.conclave.client.Session;
import java.time.Duration;

/** Puts an item into a queue, and works on it. */
public final class QueueExample {
  private QueueExample() {}

  /**
   * Runs the example against the servers of {@code ETCDCTL_ENDPOINTS}.
   *
   * @param args none
   */
  public static void main(String[] args) {
    try (Client client = Client.fromEnv();
        Session session = client.session()) {
      client.queue("examples/queue").put("later", 5, Duration.ZERO);
      client.queue("examples/queue").put("first");
      for (int i = 0; i < 2; i++) {
        try (QueueItem item = session.queue("examples/queue").take()) {
          System.out.println("working on " + item.text());
          // Without the acknowledgement, or if this process dies, another one gets the item.
          item.ack();
        }
      }
    }
  }
}
