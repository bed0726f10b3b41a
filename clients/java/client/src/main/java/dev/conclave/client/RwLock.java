package dev.conclave.client;

import com.google.protobuf.ByteString;
import dev.conclave.client.api.RangeRequest;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/**
 * A read-write lock (K4), fair: a reader waits for the last writer before it, a writer for the last key of either kind. A writer
 * may take a read lock, too, and release the write lock first (downgrade). A reader cannot become a writer.
 */
public final class RwLock {
  private final Session session;
  private final Core core;
  private final ByteString all;
  private final ByteString writers;
  private final ByteString readKey;
  private final ByteString writeKey;

  RwLock(Session session, String name) {
    this.session = session;
    this.core = session.core();
    this.all = Keys.bytes(name + "/");
    this.writers = Keys.bytes(name + "/write/");
    this.readKey = Keys.bytes(name + "/read/" + session.id());
    this.writeKey = Keys.bytes(name + "/write/" + session.id());
  }

  private Place readPlace() {
    return session.place(readKey);
  }

  private Place writePlace() {
    return session.place(writeKey);
  }

  private static Place.Entry entry(Place.Turn turn) {
    return new Place.Entry(Place.Kind.LOCK, ByteString.EMPTY, turn);
  }

  private CompletableFuture<Boolean> readTurn(Op op, long revision) {
    // Its own write lock is before it, and keeps out all others.
    return writePlace().held().isPresent()
        ? CompletableFuture.completedFuture(true)
        : Contention.turn(session, op, writers, readKey, revision);
  }

  private final class WriteTurn implements Place.Turn {
    @Override
    public CompletableFuture<Boolean> await(Op op, long revision) {
      return Contention.turn(session, op, all, writeKey, revision);
    }

    /**
     * A writer that queued before the read lock was taken waits only for the write key. It must stay until the reader has gone.
     */
    @Override
    public CompletableFuture<Void> beforeLeaving(long revision) {
      if (readPlace().held().isEmpty()) {
        return null;
      }
      RangeRequest between =
          Kv.prefixRange(writers)
              .setMinCreateRevision(revision + 1)
              .setMaxCreateRevision(readPlace().held().get().token())
              .setKeysOnly(true)
              .build();
      CompletableFuture<Void> free = new CompletableFuture<>();
      core.internal("a downgrade", core.timeout(), false, op -> Contention.range(session.calls(), op, between))
          .result()
          .whenComplete(
              (answer, failure) -> {
                if (failure == null && answer.getKvsCount() == 0) {
                  free.complete(null);
                } else {
                  readPlace().whenFree(() -> free.complete(null));
                }
              });
      return free;
    }
  }

  /**
   * Waits for a read lock.
   *
   * @return the lock
   */
  public Lock read() {
    return core.await(reading(null));
  }

  /**
   * Waits for a read lock for at most a time.
   *
   * @param timeout the time, after which it fails with {@link ErrorKind#DEADLINE}
   * @return the lock
   */
  public Lock read(Duration timeout) {
    return core.await(reading(Client.positive(timeout)));
  }

  /**
   * Waits for a read lock. Cancelling the future gives up the place in the queue.
   *
   * @return the lock
   */
  public CompletableFuture<Lock> readAsync() {
    return core.publish(reading(null));
  }

  /**
   * Waits for a read lock for at most a time.
   *
   * @param timeout the time, after which it fails with {@link ErrorKind#DEADLINE}
   * @return the lock
   */
  public CompletableFuture<Lock> readAsync(Duration timeout) {
    return core.publish(reading(Client.positive(timeout)));
  }

  /**
   * Takes a read lock if no writer holds the lock or waits.
   *
   * @return the lock, if there was no writer
   */
  public Optional<Lock> tryRead() {
    return core.await(tryingRead());
  }

  /**
   * Takes a read lock if no writer holds the lock or waits.
   *
   * @return the lock, if there was no writer
   */
  public CompletableFuture<Optional<Lock>> tryReadAsync() {
    return core.publish(tryingRead());
  }

  /**
   * Waits for the write lock.
   *
   * @return the lock
   */
  public Lock write() {
    return core.await(writing(null));
  }

  /**
   * Waits for the write lock for at most a time.
   *
   * @param timeout the time, after which it fails with {@link ErrorKind#DEADLINE}
   * @return the lock
   */
  public Lock write(Duration timeout) {
    return core.await(writing(Client.positive(timeout)));
  }

  /**
   * Waits for the write lock. Cancelling the future gives up the place in the queue.
   *
   * @return the lock
   */
  public CompletableFuture<Lock> writeAsync() {
    return core.publish(writing(null));
  }

  /**
   * Waits for the write lock for at most a time.
   *
   * @param timeout the time, after which it fails with {@link ErrorKind#DEADLINE}
   * @return the lock
   */
  public CompletableFuture<Lock> writeAsync(Duration timeout) {
    return core.publish(writing(Client.positive(timeout)));
  }

  /**
   * Takes the write lock if nobody else holds the lock or waits.
   *
   * @return the lock, if it was free
   */
  public Optional<Lock> tryWrite() {
    return core.await(tryingWrite());
  }

  /**
   * Takes the write lock if nobody else holds the lock or waits.
   *
   * @return the lock, if it was free
   */
  public CompletableFuture<Optional<Lock>> tryWriteAsync() {
    return core.publish(tryingWrite());
  }

  private Core.Running<Lock> reading(Duration timeout) {
    return core.wait(
        "waiting for a read lock",
        timeout,
        op -> readPlace().acquire(op, entry(this::readTurn)).thenApply(Lock::new));
  }

  private Core.Running<Optional<Lock>> tryingRead() {
    return core.call(
        "trying a read lock",
        op -> {
          if (writePlace().held().isPresent()) {
            return readPlace().acquire(op, entry(this::readTurn)).thenApply(own -> Optional.of(new Lock(own)));
          }
          return readPlace()
              .tryAcquire(op, entry(this::readTurn), writers)
              .thenApply(taken -> taken.map(Lock::new));
        });
  }

  private Core.Running<Lock> writing(Duration timeout) {
    return core.wait(
        "waiting for a write lock",
        timeout,
        op -> {
          refuseUpgrade();
          return writePlace().acquire(op, entry(new WriteTurn())).thenApply(Lock::new);
        });
  }

  private Core.Running<Optional<Lock>> tryingWrite() {
    return core.call(
        "trying a write lock",
        op -> {
          refuseUpgrade();
          return writePlace()
              .tryAcquire(op, entry(new WriteTurn()), all)
              .thenApply(taken -> taken.map(Lock::new));
        });
  }

  private void refuseUpgrade() {
    if (writePlace().held().isEmpty() && readPlace().held().isPresent()) {
      throw ConclaveException.invalid(
          "this session holds the read lock, for which its write lock would wait for ever; release it first");
    }
  }
}
