package dev.conclave.client;

import com.google.protobuf.ByteString;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/**
 * A mutex (K2): fair, and reentrant for its session, which has one place in the queue. Shared with etcd's {@code concurrency}
 * package and with the API's {@code Lock} call.
 */
public final class Mutex extends MutexView {
  private final Session session;
  private final Core core;
  private final ByteString prefix;
  private final ByteString key;

  Mutex(Session session, String name) {
    super(session.calls(), name);
    this.session = session;
    this.core = session.core();
    this.prefix = Keys.bytes(name + "/");
    this.key = Keys.bytes(name + "/" + session.id());
  }

  private Place.Entry entry(Place place) {
    return place.queued(Place.Kind.LOCK, prefix, ByteString.EMPTY);
  }

  /**
   * Waits for the mutex.
   *
   * @return the lock; release it as often as it was taken
   */
  public Lock lock() {
    return core.await(locking(null));
  }

  /**
   * Waits for the mutex for at most a time.
   *
   * @param timeout the time, after which it fails with {@link ErrorKind#DEADLINE}
   * @return the lock; release it as often as it was taken
   */
  public Lock lock(Duration timeout) {
    return core.await(locking(Client.positive(timeout)));
  }

  /**
   * Waits for the mutex. Cancelling the future gives up the place in the queue.
   *
   * @return the lock; release it as often as it was taken
   */
  public CompletableFuture<Lock> lockAsync() {
    return core.publish(locking(null));
  }

  /**
   * Waits for the mutex for at most a time. Cancelling the future gives up the place in the queue.
   *
   * @param timeout the time, after which it fails with {@link ErrorKind#DEADLINE}
   * @return the lock; release it as often as it was taken
   */
  public CompletableFuture<Lock> lockAsync(Duration timeout) {
    return core.publish(locking(Client.positive(timeout)));
  }

  /**
   * Takes the mutex if it is free.
   *
   * @return the lock, if it was free
   */
  public Optional<Lock> tryLock() {
    return core.await(trying());
  }

  /**
   * Takes the mutex if it is free.
   *
   * @return the lock, if it was free
   */
  public CompletableFuture<Optional<Lock>> tryLockAsync() {
    return core.publish(trying());
  }

  private Core.Running<Lock> locking(Duration timeout) {
    return core.wait(
        "waiting for a mutex",
        timeout,
        op -> {
          Place place = session.place(key);
          return place.acquire(op, entry(place)).thenApply(Lock::new);
        });
  }

  private Core.Running<Optional<Lock>> trying() {
    return core.call(
        "trying a mutex",
        op -> {
          Place place = session.place(key);
          return place.tryAcquire(op, entry(place), prefix).thenApply(taken -> taken.map(Lock::new));
        });
  }
}
