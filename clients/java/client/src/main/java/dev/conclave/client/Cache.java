package dev.conclave.client;

import com.google.protobuf.ByteString;
import dev.conclave.client.api.KeyValue;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/** A copy of all keys with a prefix that follows them (K15). Reading it asks no server. */
public final class Cache implements AutoCloseable {
  /** Notifications of changes, in the order of revisions. */
  public interface Listener {
    /**
     * A key was written.
     *
     * @param kv the key as written
     */
    void put(KeyValue kv);

    /**
     * A key was deleted.
     *
     * @param key the key
     */
    void delete(ByteString key);
  }

  static final Listener IGNORE =
      new Listener() {
        @Override
        public void put(KeyValue kv) {}

        @Override
        public void delete(ByteString key) {}
      };

  private final Core core;
  private final Mirror mirror;

  private Cache(Core core, Mirror mirror) {
    this.core = core;
    this.mirror = mirror;
  }

  static CompletableFuture<Cache> open(Client client, Op op, ByteString prefix, Listener listener) {
    return Mirror.open(client, op, WatchStream.Range.prefix(prefix), tell(client.core(), listener))
        .thenApply(mirror -> new Cache(client.core(), mirror));
  }

  private static Mirror.Sink tell(Core core, Listener listener) {
    Serial queue = core.serial();
    return new Mirror.Sink() {
      @Override
      public void put(KeyValue kv) {
        queue.run(() -> listener.put(kv));
      }

      @Override
      public void delete(ByteString key) {
        queue.run(() -> listener.delete(key));
      }
    };
  }

  /**
   * Returns a key.
   *
   * @param key the key
   * @return what it has, if it exists
   */
  public Optional<KeyValue> get(String key) {
    return Optional.ofNullable(mirror.content().get(Keys.bytes(key)));
  }

  /**
   * Returns all keys.
   *
   * @return the keys in their order
   */
  public List<KeyValue> list() {
    return List.copyOf(mirror.content().values());
  }

  /**
   * Returns the revision that the cache has seen.
   *
   * @return all changes up to it are in the cache
   */
  public long revision() {
    return mirror.revision();
  }

  /**
   * Waits until the cache has seen a revision, for example that of a write.
   *
   * @param revision the revision
   * @param timeout the time, after which it fails with {@link ErrorKind#DEADLINE}
   */
  public void atLeast(long revision, Duration timeout) {
    core.await(waiting(revision, Client.positive(timeout)));
  }

  /**
   * Waits until the cache has seen a revision, for example that of a write.
   *
   * @param revision the revision
   * @return completes then
   */
  public CompletableFuture<Void> atLeastAsync(long revision) {
    return core.publish(waiting(revision, null));
  }

  /**
   * Waits until the cache has seen a revision, for at most a time.
   *
   * @param revision the revision
   * @param timeout the time, after which it fails with {@link ErrorKind#DEADLINE}
   * @return completes then
   */
  public CompletableFuture<Void> atLeastAsync(long revision, Duration timeout) {
    return core.publish(waiting(revision, Client.positive(timeout)));
  }

  private Core.Running<Void> waiting(long revision, Duration timeout) {
    return core.wait("waiting for a revision", timeout, op -> mirror.atLeast(op, revision));
  }

  /** Ends the cache. What it has can still be read, and grows old. */
  @Override
  public void close() {
    core.execute(mirror::close);
  }
}
