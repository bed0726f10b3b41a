package dev.conclave.client;

import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;

/**
 * An operation that was begun by the user: what ends it, shared by all calls and streams that it makes.
 *
 * <p>It is stopped at most once, by its deadline, its cancellation, the loss of its session or the end of the client.
 * Belongs to the core's thread, except for {@link #sent()}.
 */
final class Op {
  /** No deadline. */
  static final long FOREVER = Long.MAX_VALUE;

  private static final Duration LONGEST = Duration.ofDays(36_500);

  private final Core core;
  private final String what;
  private final boolean waiting;
  private final boolean bounded;
  private final long deadline;
  private final Set<Hook> hooks = new LinkedHashSet<>();
  private ConclaveException stopped;
  private boolean finished;
  private boolean internal;
  private Future<?> timer;
  private volatile boolean unsettled;
  private volatile BooleanSupplier writing;

  private static final class Hook {
    final Consumer<ConclaveException> action;

    Hook(Consumer<ConclaveException> action) {
      this.action = action;
    }
  }

  Op(Core core, String what, Duration timeout, boolean waiting) {
    this.core = core;
    this.what = what;
    this.waiting = waiting;
    this.bounded = timeout != null;
    this.deadline = bounded ? System.nanoTime() + nanos(timeout) : 0;
  }

  /** A time in nanoseconds. One of centuries is cut: it would be beyond 64 bits. */
  static long nanos(Duration time) {
    return (time.compareTo(LONGEST) > 0 ? LONGEST : time).toNanos();
  }

  Core core() {
    return core;
  }

  /** The operation's name, for errors. */
  String what() {
    return what;
  }

  /** True for a recipe that waits: its deadline is no doubt about a write. */
  boolean waiting() {
    return waiting;
  }

  /** Nanoseconds that are left, or {@link #FOREVER}. */
  long remaining() {
    return bounded ? Math.max(0, deadline - System.nanoTime()) : FOREVER;
  }

  /** Marks an operation of the client's own, which goes on while the client closes. */
  void markInternal() {
    internal = true;
  }

  boolean isInternal() {
    return internal;
  }

  void begin() {
    if (bounded) {
      timer = core.after(remaining(), () -> stop(ConclaveException.deadline(what)));
    }
  }

  void finish() {
    finished = true;
    hooks.clear();
    if (timer != null) {
      timer.cancel(false);
    }
  }

  /** Ends the operation with an error. */
  void stop(ConclaveException why) {
    if (finished || stopped != null) {
      return;
    }
    stopped = why;
    for (Hook hook : new ArrayList<>(hooks)) {
      if (hooks.remove(hook)) {
        hook.action.accept(why);
      }
    }
  }

  boolean isStopped() {
    return stopped != null || finished;
  }

  /** Runs an action when the operation is stopped, or at once if it is. The result takes it back. */
  Runnable onStop(Consumer<ConclaveException> action) {
    if (stopped != null) {
      action.accept(stopped);
      return () -> {};
    }
    Hook hook = new Hook(action);
    hooks.add(hook);
    return () -> hooks.remove(hook);
  }

  /** The same result, unless the operation is stopped first. */
  <T> CompletableFuture<T> guard(CompletableFuture<T> result) {
    CompletableFuture<T> guarded = new CompletableFuture<>();
    Runnable unhook = onStop(guarded::completeExceptionally);
    result.whenComplete(
        (value, failure) -> {
          unhook.run();
          if (failure == null) {
            guarded.complete(value);
          } else {
            guarded.completeExceptionally(failure);
          }
        });
    return guarded;
  }

  /** Completes after a time. */
  CompletableFuture<Void> pause(long nanos) {
    CompletableFuture<Void> pause = new CompletableFuture<>();
    Future<?> timer = core.after(nanos, () -> pause.complete(null));
    CompletableFuture<Void> guarded = guard(pause);
    guarded.whenComplete((value, failure) -> timer.cancel(false));
    return guarded;
  }

  /** Notes that an attempt of a write may yet be executed, whatever the answers of the next ones. */
  void unsettle() {
    unsettled = true;
  }

  boolean isUnsettled() {
    return unsettled;
  }

  /** Notes how to see that a write is on its way, or (null) that its answer has come. */
  void writing(BooleanSupplier isSent) {
    writing = isSent;
  }

  /** True if a write was sent and is not answered, or the fate of an earlier attempt is unknown. */
  boolean sent() {
    BooleanSupplier isSent = writing;
    return unsettled || (isSent != null && isSent.getAsBoolean());
  }

  /**
   * The error of a write after an attempt whose fate is unknown: it may have happened. One that waits takes back what it has put,
   * and what a lost session has put goes with it.
   */
  ConclaveException inDoubt(ConclaveException why) {
    if (waiting || why.kind() == ErrorKind.SESSION_LOST) {
      return why;
    }
    boolean isUnanswered = why.kind() == ErrorKind.DEADLINE || why.kind() == ErrorKind.UNAVAILABLE;
    return isUnanswered ? ConclaveException.maybe(what, why) : why.maybeIf(true);
  }
}
