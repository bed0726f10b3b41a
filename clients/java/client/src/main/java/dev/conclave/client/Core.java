package dev.conclave.client;

import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.function.BiConsumer;
import java.util.function.Function;

/**
 * The one thread that a client's state belongs to, and the way between it and the user's threads.
 *
 * <p>Sessions, recipes, calls and streams change only on this thread, so they need no locks. No code of the user runs on
 * it: results and events go to the callback executor.
 */
final class Core implements Executor {
  /** The result of an operation that runs on the core's thread. */
  record Running<T>(Op op, CompletableFuture<T> result) {}

  private final ScheduledThreadPoolExecutor loop;
  private final Executor callbacks;
  private final Executor spare;
  private final BiConsumer<String, Throwable> log;
  private final Duration timeout;
  private final Set<Op> ops = new LinkedHashSet<>();
  private final Set<Session> sessions = new LinkedHashSet<>();
  private volatile boolean closed;

  /** {@code spare} is for callbacks that the user's executor rejects. */
  Core(Executor callbacks, Executor spare, BiConsumer<String, Throwable> log, Duration timeout) {
    this.callbacks = callbacks;
    this.spare = spare;
    this.log = log;
    this.timeout = timeout;
    this.loop =
        new ScheduledThreadPoolExecutor(1, Threads.named("conclave-core")) {
          @Override
          protected void beforeExecute(Thread thread, Runnable task) {
            // Before anything that came during a pause of the process is acted upon.
            lookAtTheClock();
          }
        };
    loop.setRemoveOnCancelPolicy(true);
    loop.setExecuteExistingDelayedTasksAfterShutdownPolicy(false);
  }

  /** Default deadline of a call. */
  Duration timeout() {
    return timeout;
  }

  /** Runs a task on the core's thread. Dropped if the client is closed: there is nothing left to change. */
  @Override
  public void execute(Runnable task) {
    try {
      loop.execute(() -> guarded(task));
    } catch (RejectedExecutionException closedMeanwhile) {
      // Nothing is left that the task could change.
    }
  }

  /** Runs a task on the core's thread after a time. The result's {@code cancel} ends it. */
  Future<?> after(long nanos, Runnable task) {
    try {
      return loop.schedule(() -> guarded(task), nanos, TimeUnit.NANOSECONDS);
    } catch (RejectedExecutionException closedMeanwhile) {
      return CompletableFuture.completedFuture(null);
    }
  }

  private void guarded(Runnable task) {
    try {
      task.run();
    } catch (RuntimeException | Error mistake) {
      log("a task of the client failed; please report it", mistake);
    }
  }

  /** Runs code of the user on the callback executor. */
  void callback(Runnable task) {
    Runnable safe =
        () -> {
          try {
            task.run();
          } catch (RuntimeException | Error failure) {
            log("a callback failed", failure);
          }
        };
    try {
      callbacks.execute(safe);
    } catch (RejectedExecutionException refused) {
      // Whoever waits must be released all the same.
      rejected(safe);
    }
  }

  private void rejected(Runnable callback) {
    try {
      spare.execute(callback);
    } catch (RejectedExecutionException closed) {
      // The client is closed, so there is no renewal that this could delay.
      callback.run();
    }
  }

  /** A queue of callbacks that run one after the other, for one listener. */
  Serial serial() {
    return new Serial(this);
  }

  void log(String text, Throwable cause) {
    try {
      log.accept(text, cause);
    } catch (RuntimeException | Error failure) {
      System.getLogger("dev.conclave.client").log(System.Logger.Level.ERROR, "the log hook failed", failure);
    }
  }

  /** Begins an operation. {@code timeout} null: it waits for as long as it takes. */
  <T> Running<T> start(String what, Duration timeout, boolean waiting, Function<Op, CompletableFuture<T>> body) {
    Op op = new Op(this, what, timeout, waiting);
    CompletableFuture<T> result = new CompletableFuture<>();
    Runnable begin =
        () -> {
          if (closed) {
            result.completeExceptionally(ConclaveException.closed("the client"));
          } else {
            begin(op, result, body);
          }
        };
    try {
      loop.execute(() -> guarded(begin));
    } catch (RejectedExecutionException alreadyClosed) {
      result.completeExceptionally(ConclaveException.closed("the client"));
    }
    return new Running<>(op, result);
  }

  /** Begins an operation of the client's own, at once. It goes on while the client closes. On the core's thread. */
  <T> Running<T> internal(String what, Duration timeout, boolean waiting, Function<Op, CompletableFuture<T>> body) {
    Op op = new Op(this, what, timeout, waiting);
    op.markInternal();
    CompletableFuture<T> result = new CompletableFuture<>();
    begin(op, result, body);
    return new Running<>(op, result);
  }

  private <T> void begin(Op op, CompletableFuture<T> result, Function<Op, CompletableFuture<T>> body) {
    ops.add(op);
    op.begin();
    CompletableFuture<T> running;
    try {
      running = body.apply(op);
    } catch (RuntimeException | Error refused) {
      running = CompletableFuture.failedFuture(refused);
    }
    running.whenComplete(
        (value, failure) -> {
          ops.remove(op);
          op.finish();
          if (failure == null) {
            result.complete(value);
          } else {
            ConclaveException why = ConclaveException.of(failure);
            result.completeExceptionally(op.isUnsettled() ? op.inDoubt(why) : why);
          }
        });
  }

  /** An operation that has nothing to do. */
  <T> Running<T> done(T value) {
    return new Running<>(new Op(this, "nothing", null, true), CompletableFuture.completedFuture(value));
  }

  /** Begins a call, with the client's deadline. */
  <T> Running<T> call(String what, Function<Op, CompletableFuture<T>> body) {
    return start(what, timeout, false, body);
  }

  /** Begins waiting in a recipe, with a deadline or without one. */
  <T> Running<T> wait(String what, Duration timeout, Function<Op, CompletableFuture<T>> body) {
    return start(what, timeout, true, body);
  }

  /** Waits for an operation on the user's thread. An interrupt cancels it. */
  <T> T await(Running<T> running) {
    if (Thread.currentThread().getName().startsWith("conclave-core")) {
      throw new IllegalStateException("a blocking call on the client's own thread");
    }
    try {
      return running.result.get();
    } catch (InterruptedException interrupt) {
      boolean sent = running.op.sent();
      cancel(running);
      running.result.thenAccept(this::discard);
      Thread.currentThread().interrupt();
      throw ConclaveException.cancelled(sent);
    } catch (ExecutionException failure) {
      throw ConclaveException.of(failure).here();
    }
  }

  /** The future of an operation for the user: completed on the callback executor, cancellable. */
  <T> CompletableFuture<T> publish(Running<T> running) {
    OpFuture<T> future = new OpFuture<>(this, running);
    running.result.whenComplete(
        (value, failure) ->
            callback(
                () -> {
                  if (failure != null) {
                    future.completeExceptionally(ConclaveException.of(failure));
                  } else if (!future.complete(value)) {
                    discard(value);
                  }
                }));
    return future;
  }

  private <T> void cancel(Running<T> running) {
    execute(() -> running.op.stop(ConclaveException.cancelled(false)));
  }

  /** Releases a handle whose receiver has gone. */
  void discard(Object value) {
    if (value instanceof Optional<?> taken) {
      taken.ifPresent(this::discard);
    } else if (value instanceof Handle handle) {
      handle.releaseAsync();
    } else if (value instanceof QueueItem item) {
      execute(item::abandon);
    } else if (value instanceof AutoCloseable closeable) {
      callback(
          () -> {
            try {
              closeable.close();
            } catch (Exception failure) {
              log("a handle that nobody received could not be closed", failure);
            }
          });
    }
  }

  static final class OpFuture<T> extends CompletableFuture<T> {
    private final Core core;
    private final Running<?> running;

    OpFuture(Core core, Running<?> running) {
      this.core = core;
      this.running = running;
    }

    /** True if the operation is a write that was sent and is not answered. */
    boolean sent() {
      return running.op.sent();
    }

    @Override
    public boolean cancel(boolean mayInterrupt) {
      if (isDone()) {
        return isCancelled();
      }
      boolean first = completeExceptionally(new ConclaveException.Cancelled(running.op.sent()));
      core.cancel(running);
      return first;
    }
  }

  void add(Session session) {
    sessions.add(session);
  }

  void remove(Session session) {
    sessions.remove(session);
  }

  List<Session> sessions() {
    return new ArrayList<>(sessions);
  }

  private void lookAtTheClock() {
    if (sessions.isEmpty()) {
      return;
    }
    long now = System.nanoTime();
    if (sessions.stream().anyMatch(session -> session.isOver(now))) {
      for (Session session : sessions()) {
        session.expireAt(now);
      }
    }
  }

  boolean isClosed() {
    return closed;
  }

  /** Fails what the user began, and what begins later. On the core's thread. */
  void stopUser() {
    closed = true;
    for (Op op : new ArrayList<>(ops)) {
      if (!op.isInternal()) {
        op.stop(ConclaveException.closed("the client"));
      }
    }
  }

  /** Fails what still runs of the client's own. On the core's thread. */
  void stopAll() {
    for (Op op : new ArrayList<>(ops)) {
      op.stop(ConclaveException.closed("the client"));
    }
  }

  /** Ends the thread, after the tasks that are queued already. */
  void shutdown(Duration limit) throws InterruptedException {
    loop.shutdown();
    loop.awaitTermination(Op.nanos(limit), TimeUnit.NANOSECONDS);
  }
}
