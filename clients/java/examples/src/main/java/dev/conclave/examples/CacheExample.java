package dev.conclave.examples;

import dev.conclave.client.Cache;
import dev.conclave.client.Client;
import java.time.Duration;

/** Keeps a copy of all keys with a prefix. */
public final class CacheExample {
  private CacheExample() {}

  /**
   * Runs the example against the servers of {@code ETCDCTL_ENDPOINTS}.
   *
   * @param args none
   */
  public static void main(String[] args) {
    try (Client client = Client.fromEnv();
        Cache cache = client.cache("examples/cache/")) {
      long revision = client.kv().put("examples/cache/a", "1").getHeader().getRevision();
      cache.atLeast(revision, Duration.ofSeconds(5));
      System.out.println(cache.get("examples/cache/a").orElseThrow().getValue().toStringUtf8());
    }
  }
}
