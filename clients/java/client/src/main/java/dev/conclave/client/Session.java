package dev.conclave.client;

import com.google.protobuf.ByteString;
import dev.conclave.client.api.LeaseGrantRequest;
import dev.conclave.client.api.LeaseGrantResponse;
import dev.conclave.client.api.LeaseGrpc;
import dev.conclave.client.api.LeaseRevokeRequest;
import dev.conclave.client.api.LeaseRevokeResponse;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/**
 * A lease that is kept alive, and the recipes whose keys have it.
 *
 * <p>The session is {@link SessionState#LOST} before the server can have expired the lease: at the time when the last confirmed
 * keep-alive was sent, plus the TTL, less a margin. So whoever asks {@link #isAlive()} or a handle's {@link Handle#isHeld()} is
 * not told that it holds what another one has by then. The clock counts the time in which the process was stopped; it does not
 * count the time in which the machine was suspended.
 */
public final class Session implements AutoCloseable {
  private static final long SECOND = TimeUnit.SECONDS.toNanos(1);
  /** The API's limit. */
  private static final Duration TTL_MAX = Duration.ofSeconds(9_000_000_000L);

  private static final long MARGIN_MIN = TimeUnit.MILLISECONDS.toNanos(100);

  private final Client client;
  private final Calls calls;
  private final Core core;
  private final long lease;
  private final Duration ttl;
  private final KeepAlive keepAlive;
  private final Set<Op> ops = new LinkedHashSet<>();
  private final Set<Runnable> dependents = new LinkedHashSet<>();
  private final Map<ByteString, Place> places = new ConcurrentHashMap<>();
  private final List<Listener> listeners = new CopyOnWriteArrayList<>();
  private final CompletableFuture<Void> lost = new CompletableFuture<>();
  private CompletableFuture<Void> closing;
  private volatile SessionState state = SessionState.CONNECTED;
  private volatile long end;
  private volatile boolean closed;
  private Future<?> expiry;
  private Future<?> doubt;
  private long permits;

  private final class Listener {
    final Consumer<SessionState> consumer;
    final Serial queue = core.serial();

    Listener(Consumer<SessionState> consumer) {
      this.consumer = consumer;
    }

    void tell(SessionState now) {
      queue.run(
          () -> {
            if (listeners.contains(this)) {
              consumer.accept(now);
            }
          });
    }
  }

  private Session(Client client, LeaseGrantResponse grant, long sent) {
    this.client = client;
    this.calls = client.calls();
    this.core = client.core();
    this.lease = grant.getID();
    this.ttl = Duration.ofSeconds(grant.getTTL());
    this.keepAlive =
        new KeepAlive(
            calls,
            lease,
            ttl.toNanos(),
            new KeepAlive.Sink() {
              @Override
              public void confirmed(long at, long seconds) {
                Session.this.confirmed(at, seconds);
              }

              @Override
              public void broke() {
                doubtAfter(SECOND);
              }

              @Override
              public void gone() {
                lose(ConclaveException.sessionLost());
              }
            });
    core.add(this);
    alive(sent, grant.getTTL());
    keepAlive.start();
  }

  static CompletableFuture<Session> open(Client client, Op op, Duration ttl) {
    if (ttl.isNegative() || ttl.isZero() || ttl.compareTo(TTL_MAX) > 0) {
      throw ConclaveException.invalid("the TTL of a session must be up to 9,000,000,000 s and positive, and is " + ttl);
    }
    // The API counts in seconds.
    long seconds = ttl.plusNanos(SECOND - 1).toSeconds();
    LeaseGrantRequest request = LeaseGrantRequest.newBuilder().setTTL(seconds).build();
    return client.calls()
        .timed(op, LeaseGrpc.getLeaseGrantMethod(), request, Calls.Mode.WRITE)
        .thenApply(grant -> new Session(client, grant.answer(), grant.sent()));
  }

  /**
   * Returns the lease's id.
   *
   * @return the id, for puts of the user's own
   */
  public long lease() {
    return lease;
  }

  /**
   * Returns the TTL that the server granted, which may be more than was asked for.
   *
   * @return the TTL
   */
  public Duration ttl() {
    return ttl;
  }

  /**
   * Returns the client of the session.
   *
   * @return the client
   */
  public Client client() {
    return client;
  }

  /**
   * Returns the present state. Looks at the clock.
   *
   * @return the state; {@link SessionState#LOST} after closing
   */
  public SessionState state() {
    return isAlive() ? state : SessionState.LOST;
  }

  /**
   * Returns true while the session is not lost. Looks at the clock.
   *
   * @return whether the lease is alive for certain
   */
  public boolean isAlive() {
    return state != SessionState.LOST && !closed && end - System.nanoTime() > 0;
  }

  /**
   * Notifies a listener of the present state and of every change, in order.
   *
   * @param listener runs on the client's callback executor
   * @return ends the notifications when closed
   */
  public Registration onState(Consumer<SessionState> listener) {
    Keys.given(listener, "a listener");
    Listener added = new Listener(listener);
    core.execute(
        () -> {
          listeners.add(added);
          added.tell(state);
        });
    return () -> listeners.remove(added);
  }

  /**
   * Returns a future that completes when the session is lost or closed.
   *
   * @return the future; cancelling it has no effect on the session
   */
  public CompletableFuture<Void> lost() {
    if (state == SessionState.LOST) {
      return CompletableFuture.completedFuture(null);
    }
    CompletableFuture<Void> copy = new CompletableFuture<>();
    core.execute(() -> lost.thenRun(() -> core.callback(() -> copy.complete(null))));
    return copy;
  }

  /**
   * Returns a mutex.
   *
   * @param name its name
   * @return the mutex
   */
  public Mutex mutex(String name) {
    return new Mutex(this, Keys.name(name));
  }

  /**
   * Returns an election.
   *
   * @param name its name
   * @return the election
   */
  public Election election(String name) {
    return new Election(this, Keys.name(name));
  }

  /**
   * Returns a read-write lock.
   *
   * @param name its name
   * @return the lock
   */
  public RwLock rwLock(String name) {
    return new RwLock(this, Keys.name(name));
  }

  /**
   * Returns a queue, to take items from.
   *
   * @param name its name
   * @return the queue
   */
  public QueueConsumer queue(String name) {
    return new QueueConsumer(this, Keys.name(name));
  }

  /**
   * Returns a group, to join it.
   *
   * @param name its name
   * @return the group
   */
  public SessionGroup group(String name) {
    return new SessionGroup(this, name);
  }

  /**
   * Returns a service, to register with it.
   *
   * @param name its name
   * @return the service
   */
  public SessionService service(String name) {
    return new SessionService(this, name);
  }

  /**
   * Returns something that is done once.
   *
   * @param name its name
   * @return the recipe
   */
  public Once once(String name) {
    return new Once(this, Keys.name(name));
  }

  /**
   * Returns a semaphore.
   *
   * @param name its name
   * @param permits the number of permits, on which all must agree
   * @return the semaphore
   */
  public Semaphore semaphore(String name, int permits) {
    return new Semaphore(this, Keys.name(name), permits);
  }

  /**
   * Returns a double barrier.
   *
   * @param name its name
   * @param count how many must enter, on which all must agree
   * @return the double barrier
   */
  public DoubleBarrier doubleBarrier(String name, int count) {
    return new DoubleBarrier(this, Keys.name(name), count);
  }

  /** Revokes the lease, so that all keys of the session go at once. Waits for at most the client's timeout. */
  @Override
  public void close() {
    core.await(closing());
  }

  /**
   * Closes the session in the background.
   *
   * @return completes when the lease is revoked or the time is up
   */
  public CompletableFuture<Void> closeAsync() {
    return core.publish(closing());
  }

  private Core.Running<Void> closing() {
    // No deadline of its own: the revocation has one, after which the lease is left to expire.
    Core.Running<Void> closing = core.start("closing the session", null, true, op -> op.guard(closeOn()));
    return new Core.Running<>(
        closing.op(),
        closing.result()
            .exceptionally(
                failure -> {
                  ConclaveException why = ConclaveException.of(failure);
                  if (why.kind() == ErrorKind.CLOSED) {
                    // With its client.
                    return null;
                  }
                  throw why;
                }));
  }

  /** Closes the session. On the core's thread. */
  CompletableFuture<Void> closeOn() {
    if (closing != null) {
      return closing;
    }
    boolean wasLost = state == SessionState.LOST;
    closed = true;
    lose(ConclaveException.closed("the session"));
    closing = new CompletableFuture<>();
    if (wasLost) {
      closing.complete(null);
      return closing;
    }
    LeaseRevokeRequest request = LeaseRevokeRequest.newBuilder().setID(lease).build();
    Core.Running<LeaseRevokeResponse> revoke =
        core.internal(
            "revoking a lease",
            core.timeout(),
            false,
            op -> calls.call(op, LeaseGrpc.getLeaseRevokeMethod(), request, Calls.Mode.IDEMPOTENT));
    revoke.result()
        .whenComplete(
            (done, failure) -> {
              if (failure != null
                  && ConclaveException.of(failure).error().orElse(null) != ApiError.LEASE_NOT_FOUND) {
                core.log("a lease was not revoked and will expire", failure);
              }
              closing.complete(null);
            });
    return closing;
  }

  // For recipes. All on the core's thread.

  Calls calls() {
    return calls;
  }

  Core core() {
    return core;
  }

  /** The lease as it is in keys. */
  String id() {
    return Keys.lease(lease);
  }

  /** A number that is unique within the session. */
  long nextPermit() {
    return permits++;
  }

  /** The place of the session at a key. It is kept while it is in use, or its key is watched. */
  Place place(ByteString key) {
    Place place = places.get(key);
    return place == null ? new Place(this, key) : place;
  }

  void keep(ByteString key, Place place) {
    places.put(key, place);
  }

  void forget(ByteString key) {
    places.remove(key);
  }

  /** Number of places that are kept. */
  int places() {
    return places.size();
  }

  /** Stops an operation when the session ends. */
  void bind(Op op) {
    if (!isAlive()) {
      op.stop(closed ? ConclaveException.closed("the session") : ConclaveException.sessionLost());
      return;
    }
    ops.add(op);
  }

  void unbind(Op op) {
    ops.remove(op);
  }

  /** Runs when the session ends, before any listener is told. */
  void whenEnded(Runnable dependent) {
    if (state == SessionState.LOST) {
      dependent.run();
    } else {
      dependents.add(dependent);
    }
  }

  void forgetDependent(Runnable dependent) {
    dependents.remove(dependent);
  }

  /** Asks the server about the lease at once: a key of it has gone. */
  void check() {
    keepAlive.check();
  }

  boolean isOver(long now) {
    return end - now <= 0;
  }

  void expireAt(long now) {
    if (isOver(now)) {
      lose(ConclaveException.sessionLost());
    }
  }

  private void confirmed(long sent, long seconds) {
    if (state == SessionState.LOST) {
      return;
    }
    alive(sent, seconds);
    if (state == SessionState.SUSPENDED) {
      enter(SessionState.RECONNECTED);
    }
  }

  /** Moves the end of the session to what a confirmation allows (S2). */
  private void alive(long sent, long seconds) {
    long granted = TimeUnit.SECONDS.toNanos(seconds);
    end = sent + granted - Math.max(granted / 20, MARGIN_MIN);
    cancel(expiry);
    expiry = core.after(Math.max(0, end - System.nanoTime()), () -> expireAt(System.nanoTime()));
    cancel(doubt);
    doubt = null;
    doubtAfter(ttl.toNanos() / 3 + SECOND);
  }

  private long doubtAt;

  /** The session is suspended at that time, unless a keep-alive is confirmed before. */
  private void doubtAfter(long nanos) {
    long at = System.nanoTime() + nanos;
    if (state == SessionState.SUSPENDED || state == SessionState.LOST || (doubt != null && doubtAt - at <= 0)) {
      return;
    }
    cancel(doubt);
    doubtAt = at;
    doubt = core.after(nanos, () -> enter(SessionState.SUSPENDED));
  }

  private static void cancel(Future<?> timer) {
    if (timer != null) {
      timer.cancel(false);
    }
  }

  private void enter(SessionState next) {
    if (state == SessionState.LOST || state == next) {
      return;
    }
    state = next;
    listeners.forEach(listener -> listener.tell(next));
  }

  private void lose(ConclaveException why) {
    if (state == SessionState.LOST) {
      return;
    }
    state = SessionState.LOST;
    core.remove(this);
    keepAlive.close();
    cancel(expiry);
    cancel(doubt);
    // Handles and waiters first, then the listeners of the session.
    for (Runnable dependent : new ArrayList<>(dependents)) {
      dependent.run();
    }
    dependents.clear();
    for (Op op : new ArrayList<>(ops)) {
      op.stop(why);
    }
    ops.clear();
    listeners.forEach(listener -> listener.tell(SessionState.LOST));
    lost.complete(null);
  }
}
