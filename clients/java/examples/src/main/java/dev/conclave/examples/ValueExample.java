package dev.conclave.examples;

import dev.conclave.client.Client;
import dev.conclave.client.Value;
import dev.conclave.client.api.KeyValue;
import java.util.Optional;

/** Changes a value that all share, unless another one did. */
public final class ValueExample {
  private ValueExample() {}

  /**
   * Runs the example against the servers of {@code ETCDCTL_ENDPOINTS}.
   *
   * @param args none
   */
  public static void main(String[] args) {
    try (Client client = Client.fromEnv()) {
      Value value = client.value("examples/value");
      Optional<KeyValue> before = value.get();
      boolean set = value.compareAndSet(before.map(KeyValue::getModRevision).orElse(0L), "new").isPresent();
      System.out.println("set: " + set);
    }
  }
}
