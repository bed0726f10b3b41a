package dev.conclave.client;

import dev.conclave.client.api.AuthGrpc;
import dev.conclave.client.api.ClusterGrpc;
import dev.conclave.client.api.KVGrpc;
import dev.conclave.client.api.LeaseGrpc;
import dev.conclave.client.api.MaintenanceGrpc;
import io.grpc.MethodDescriptor;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.nio.NioIoHandler;
import io.netty.handler.ssl.SslContext;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.BiConsumer;

/**
 * A client of a Conclave or etcd cluster. It connects when it is first used, and can be used from any thread.
 *
 * <p>Every operation has a form that blocks and one that returns a {@link CompletableFuture}, whose name ends in {@code Async}.
 * Cancelling the future, or interrupting the thread, ends the operation and frees what it held. All failures are {@link
 * ConclaveException}s.
 */
public final class Client implements AutoCloseable {
  private static final Set<MethodDescriptor<?, ?>> READS =
      Set.of(
          KVGrpc.getRangeMethod(),
          LeaseGrpc.getLeaseTimeToLiveMethod(),
          LeaseGrpc.getLeaseLeasesMethod(),
          ClusterGrpc.getMemberListMethod(),
          MaintenanceGrpc.getStatusMethod(),
          MaintenanceGrpc.getHashKVMethod(),
          AuthGrpc.getAuthStatusMethod());

  private final Core core;
  private final Calls calls;
  private final Endpoints endpoints;
  private final EventLoopGroup io;
  private final ExecutorService ownCallbacks;
  private final Set<Runnable> open = new LinkedHashSet<>();
  private final AtomicBoolean closing = new AtomicBoolean();
  private final CompletableFuture<Void> closed = new CompletableFuture<>();
  private final Kv kv;

  private Client(Builder settings) {
    if (settings.endpoints.isEmpty()) {
      throw ConclaveException.invalid("no endpoint was given; give at least one, http://host:port");
    }
    List<Endpoint> parsed =
        settings.endpoints.stream().map(text -> Endpoint.parse(text, settings.tls != null)).toList();
    ThreadPoolExecutor own =
        new ThreadPoolExecutor(
            0, Integer.MAX_VALUE, 10, TimeUnit.SECONDS, new SynchronousQueue<>(), Threads.named("conclave-callback"));
    Executor callbacks = settings.callbacks == null ? own : settings.callbacks;
    this.core = new Core(callbacks, own, settings.log, settings.timeout);
    this.ownCallbacks = own;
    try {
      SslContext tls = settings.tls == null ? null : new TlsFiles(core, settings.tls).context();
      this.io = new MultiThreadIoEventLoopGroup(1, Threads.named("conclave-io"), NioIoHandler.newFactory());
      List<Server> servers = new ArrayList<>();
      for (Endpoint endpoint : parsed) {
        servers.add(new Server(core, endpoint, Channels.open(endpoint, tls, io, core, own)));
      }
      this.endpoints = new Endpoints(servers);
    } catch (ConclaveException unusable) {
      own.shutdown();
      throw unusable;
    }
    this.calls = new Calls(core, endpoints, settings.user);
    this.kv = new Kv(calls, core.timeout());
    core.execute(endpoints::start);
  }

  /**
   * Begins the settings of a client.
   *
   * @return the builder
   */
  public static Builder builder() {
    return new Builder();
  }

  /**
   * Makes a client from the environment variables of etcdctl: {@code ETCDCTL_ENDPOINTS}, {@code ETCDCTL_CACERT}, {@code
   * ETCDCTL_CERT}, {@code ETCDCTL_KEY}, {@code ETCDCTL_USER}, {@code ETCDCTL_PASSWORD} and {@code ETCDCTL_COMMAND_TIMEOUT}.
   *
   * @return the client
   */
  public static Client fromEnv() {
    return builder().environment(System.getenv()).build();
  }

  /**
   * Returns the endpoints.
   *
   * @return as they were given
   */
  public List<String> endpoints() {
    return endpoints.list();
  }

  /**
   * Returns access to keys and values.
   *
   * @return keys and values
   */
  public Kv kv() {
    return kv;
  }

  /**
   * Opens a session.
   *
   * @param ttl the time after which its keys go if the session is not kept alive; seconds, rounded up
   * @return the session; close it
   */
  public Session session(Duration ttl) {
    return core.await(opening(ttl));
  }

  /**
   * Opens a session with a TTL of 10 s.
   *
   * @return the session; close it
   */
  public Session session() {
    return session(Duration.ofSeconds(10));
  }

  /**
   * Opens a session.
   *
   * @param ttl the time after which its keys go if the session is not kept alive; seconds, rounded up
   * @return the session; close it
   */
  public CompletableFuture<Session> sessionAsync(Duration ttl) {
    return core.publish(opening(ttl));
  }

  private Core.Running<Session> opening(Duration ttl) {
    return core.call("opening a session", op -> Session.open(this, op, Keys.given(ttl, "the TTL of a session")));
  }

  /**
   * Watches a key.
   *
   * @param key the key
   * @param from the first revision to report; 0 is from now on
   * @return the watch, which the server has created; close it
   */
  public Watch watch(String key, long from) {
    return core.await(watching(key, from));
  }

  /**
   * Watches a key.
   *
   * @param key the key
   * @param from the first revision to report; 0 is from now on
   * @return the watch, which the server has created; close it
   */
  public CompletableFuture<Watch> watchAsync(String key, long from) {
    return core.publish(watching(key, from));
  }

  /**
   * Watches all keys with a prefix.
   *
   * @param prefix the prefix; empty for all keys
   * @param from the first revision to report; 0 is from now on
   * @return the watch, which the server has created; close it
   */
  public Watch watchPrefix(String prefix, long from) {
    return core.await(watchingPrefix(prefix, from));
  }

  /**
   * Watches all keys with a prefix.
   *
   * @param prefix the prefix; empty for all keys
   * @param from the first revision to report; 0 is from now on
   * @return the watch, which the server has created; close it
   */
  public CompletableFuture<Watch> watchPrefixAsync(String prefix, long from) {
    return core.publish(watchingPrefix(prefix, from));
  }

  private Core.Running<Watch> watching(String key, long from) {
    return core.call(
        "a watch", op -> Watch.open(this, op, WatchStream.Range.key(Keys.bytes(key)), from));
  }

  private Core.Running<Watch> watchingPrefix(String prefix, long from) {
    return core.call(
        "a watch", op -> Watch.open(this, op, WatchStream.Range.prefix(Keys.bytes(prefix)), from));
  }

  /**
   * Returns a mutex as seen from outside.
   *
   * @param name its name
   * @return its contenders, and the request to give it up; see {@link Session#mutex} to lock it
   */
  public MutexView mutex(String name) {
    return new MutexView(calls, name);
  }

  /**
   * Returns an election as seen from outside.
   *
   * @param name its name
   * @return its leader and candidates; see {@link Session#election} to campaign
   */
  public ElectionView election(String name) {
    return new ElectionView(this, name);
  }

  /**
   * Returns a barrier.
   *
   * @param name its name
   * @return the barrier
   */
  public Barrier barrier(String name) {
    return new Barrier(calls, name);
  }

  /**
   * Returns a latch.
   *
   * @param name its name
   * @return the latch
   */
  public Latch latch(String name) {
    return new Latch(calls, name);
  }

  /**
   * Returns a counter.
   *
   * @param name its name
   * @return the counter
   */
  public Counter counter(String name) {
    return new Counter(calls, name);
  }

  /**
   * Returns a value.
   *
   * @param name its name
   * @return the value
   */
  public Value value(String name) {
    return new Value(this, name);
  }

  /**
   * Returns a queue, to put items into.
   *
   * @param name its name
   * @return the queue; see {@link Session#queue} to take items
   */
  public Queue queue(String name) {
    return new Queue(calls, name);
  }

  /**
   * Returns a group, to see its members.
   *
   * @param name its name
   * @return the group; see {@link Session#group} to join
   */
  public Group group(String name) {
    return new Group(this, name);
  }

  /**
   * Returns a service, to find its addresses.
   *
   * @param name its name
   * @return the service; see {@link Session#service} to register
   */
  public Service service(String name) {
    return new Service(this, name);
  }

  /**
   * Opens a cache of all keys with a prefix.
   *
   * @param prefix the prefix
   * @param listener is told the changes after the first listing; runs on the client's callback executor
   * @return the cache, with all keys of some revision; close it
   */
  public Cache cache(String prefix, Cache.Listener listener) {
    return core.await(caching(prefix, listener));
  }

  /**
   * Opens a cache of all keys with a prefix.
   *
   * @param prefix the prefix
   * @return the cache, with all keys of some revision; close it
   */
  public Cache cache(String prefix) {
    return cache(prefix, Cache.IGNORE);
  }

  /**
   * Opens a cache of all keys with a prefix.
   *
   * @param prefix the prefix
   * @param listener is told the changes after the first listing; runs on the client's callback executor
   * @return the cache, with all keys of some revision; close it
   */
  public CompletableFuture<Cache> cacheAsync(String prefix, Cache.Listener listener) {
    return core.publish(caching(prefix, listener));
  }

  private Core.Running<Cache> caching(String prefix, Cache.Listener listener) {
    Keys.given(listener, "a listener");
    return core.call("a cache", op -> Cache.open(this, op, Keys.bytes(prefix), listener));
  }

  /**
   * Runs a transaction in memory (K16): what it reads is recorded, what it writes is kept back. It is committed if what it read
   * is unchanged, else it is run again.
   *
   * @param <T> the result
   * @param body runs on the calling thread, maybe more than once
   * @return the result of the run that was committed
   */
  public <T> T stm(Stm.Body<T> body) {
    return Stm.run(kv, Keys.given(body, "a transaction"));
  }

  /**
   * Runs a transaction in memory (K16), on the callback executor.
   *
   * @param <T> the result
   * @param body maybe runs more than once
   * @return the result of the run that was committed; cancelling it ends the runs
   */
  public <T> CompletableFuture<T> stmAsync(Stm.Body<T> body) {
    return Stm.runAsync(core, kv, Keys.given(body, "a transaction"));
  }

  /**
   * Makes any other unary call of the API, for example one of {@link AuthGrpc}.
   *
   * @param <Q> the request's message
   * @param <A> the answer's message
   * @param method the method, from the generated stubs
   * @param request the request
   * @return the answer
   */
  public <Q, A> A call(MethodDescriptor<Q, A> method, Q request) {
    return core.await(calling(method, request));
  }

  /**
   * Makes any other unary call of the API, for example one of {@link AuthGrpc}.
   *
   * @param <Q> the request's message
   * @param <A> the answer's message
   * @param method the method, from the generated stubs
   * @param request the request
   * @return the answer
   */
  public <Q, A> CompletableFuture<A> callAsync(MethodDescriptor<Q, A> method, Q request) {
    return core.publish(calling(method, request));
  }

  private <Q, A> Core.Running<A> calling(MethodDescriptor<Q, A> method, Q request) {
    Keys.given(request, "a request");
    Calls.Mode mode = READS.contains(Keys.given(method, "a method")) ? Calls.Mode.READ : Calls.Mode.WRITE;
    return core.call(method.getBareMethodName(), op -> calls.call(op, method, request, mode));
  }

  /** Ends sessions, watches, waiting operations and connections. Can be called twice. */
  @Override
  public void close() {
    boolean interrupted = false;
    CompletableFuture<Void> end = closing();
    while (true) {
      try {
        end.get();
        break;
      } catch (InterruptedException interrupt) {
        interrupted = true;
      } catch (java.util.concurrent.ExecutionException impossible) {
        throw new IllegalStateException(impossible);
      }
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  /**
   * Closes the client in the background.
   *
   * @return completes when everything has ended
   */
  public CompletableFuture<Void> closeAsync() {
    return closing().copy();
  }

  private CompletableFuture<Void> closing() {
    if (closing.compareAndSet(false, true)) {
      core.execute(
          () -> {
            List<CompletableFuture<Void>> sessions = new ArrayList<>();
            for (Session session : core.sessions()) {
              sessions.add(session.closeOn());
            }
            new ArrayList<>(open).forEach(Runnable::run);
            core.stopUser();
            CompletableFuture.allOf(sessions.toArray(new CompletableFuture<?>[0]))
                .whenComplete((done, failure) -> core.execute(this::disconnect));
          });
    }
    return closed;
  }

  private void disconnect() {
    core.stopAll();
    endpoints.shutdown();
    // Its own thread, since it waits for the others to end.
    Threads.named("conclave-close")
        .newThread(
            () -> {
              try {
                endpoints.awaitShutdown(TimeUnit.SECONDS.toNanos(2));
                io.shutdownGracefully(0, 2, TimeUnit.SECONDS).await(3, TimeUnit.SECONDS);
                core.shutdown(Duration.ofSeconds(2));
                ownCallbacks.shutdown();
                // A callback that closes the client, or blocks, cannot be waited for.
                ownCallbacks.awaitTermination(1, TimeUnit.SECONDS);
              } catch (InterruptedException ended) {
                Thread.currentThread().interrupt();
              } finally {
                closed.complete(null);
              }
            })
        .start();
  }

  Core core() {
    return core;
  }

  Calls calls() {
    return calls;
  }

  /** Remembers how to close something, to end it with the client. The result forgets it. On the core's thread. */
  Runnable track(Runnable close) {
    open.add(close);
    return () -> open.remove(close);
  }

  static Duration positive(Duration timeout) {
    if (Keys.given(timeout, "a timeout").isNegative() || timeout.isZero()) {
      throw ConclaveException.invalid("the timeout must be positive, and is " + timeout);
    }
    return timeout;
  }

  /** The settings of a client. */
  public static final class Builder {
    private List<String> endpoints = List.of();
    private Tls tls;
    private Login.User user;
    private Duration timeout = Duration.ofSeconds(5);
    private Executor callbacks;
    private BiConsumer<String, Throwable> log = Builder::logToSystem;

    private Builder() {}

    /**
     * Sets the endpoints of the cluster's servers.
     *
     * @param endpoints {@code http://host:port}, {@code https://host:port}, {@code unix:///path}, {@code unixs:///path}, or
     *     {@code host:port}, which is {@code https} if TLS is configured and {@code http} otherwise
     * @return this
     */
    public Builder endpoints(String... endpoints) {
      this.endpoints = Keys.all("an endpoint", endpoints);
      return this;
    }

    /**
     * Sets the endpoints of the cluster's servers.
     *
     * @param endpoints as in {@link #endpoints(String...)}
     * @return this
     */
    public Builder endpoints(List<String> endpoints) {
      this.endpoints = Keys.all("an endpoint", endpoints);
      return this;
    }

    /**
     * Sets the certificates.
     *
     * @param tls the files
     * @return this
     */
    public Builder tls(Tls tls) {
      this.tls = Keys.given(tls, "tls");
      return this;
    }

    /**
     * Logs in as a user. The password is kept in memory, to log in again.
     *
     * @param name the user's name
     * @param password the user's password
     * @return this
     */
    public Builder user(String name, String password) {
      if (Keys.bytes(name).isEmpty()) {
        throw ConclaveException.invalid("the user's name is empty");
      }
      Keys.bytes(password);
      this.user = new Login.User(name, password);
      return this;
    }

    /**
     * Sets the deadline of calls.
     *
     * @param timeout for all attempts of a call together; 5 s if not set
     * @return this
     */
    public Builder timeout(Duration timeout) {
      this.timeout = positive(timeout);
      return this;
    }

    /**
     * Sets where listeners run, and what follows from futures. If not set, the client has threads of its own, as many as are
     * needed. It is not shut down with the client.
     *
     * @param executor the executor
     * @return this
     */
    public Builder callbacks(Executor executor) {
      this.callbacks = Keys.given(executor, "an executor");
      return this;
    }

    /**
     * Sets where the client reports what is no caller's error, for example a listener that throws. If not set, it is the
     * system logger {@code dev.conclave.client}.
     *
     * @param log is given a text and its cause
     * @return this
     */
    public Builder log(BiConsumer<String, Throwable> log) {
      this.log = Keys.given(log, "a log");
      return this;
    }

    /**
     * Takes the settings from etcdctl's environment variables, where they are set.
     *
     * @param environment the variables
     * @return this
     */
    public Builder environment(Map<String, String> environment) {
      Environment.apply(this, Keys.given(environment, "the environment"));
      return this;
    }

    Builder tlsFiles(String ca, String certificate, String key) {
      if (ca == null) {
        throw ConclaveException.invalid("a certificate without a CA to trust: set ETCDCTL_CACERT");
      }
      Tls files = Tls.trusting(path(ca));
      if ((certificate == null) != (key == null)) {
        throw ConclaveException.invalid("ETCDCTL_CERT and ETCDCTL_KEY need each other: set both or none");
      }
      return tls(certificate == null ? files : files.presenting(path(certificate), path(key)));
    }

    private static Path path(String file) {
      try {
        return Path.of(file);
      } catch (InvalidPathException error) {
        throw ConclaveException.invalid("the file \"" + file + "\" cannot be used: " + error.getReason());
      }
    }

    /**
     * Makes the client. It does not connect yet.
     *
     * @return the client; close it
     */
    public Client build() {
      return new Client(this);
    }

    private static void logToSystem(String text, Throwable cause) {
      System.getLogger("dev.conclave.client").log(System.Logger.Level.WARNING, text, cause);
    }
  }
}
