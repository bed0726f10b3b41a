package dev.conclave.client;

import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;
import java.util.function.Supplier;

/** A candidate that stays one: it leads when its turn comes, until it is closed. */
public final class LeaderLatch implements AutoCloseable {
  private final Core core;
  private final Supplier<CompletableFuture<Leadership>> candidate;
  private final Pauses pauses = new Pauses();
  private final java.util.List<Consumer<Boolean>> listeners = new java.util.concurrent.CopyOnWriteArrayList<>();
  private final Serial queue;
  private CompletableFuture<Leadership> campaign;
  private CompletableFuture<Leadership> leading = new CompletableFuture<>();
  private Leadership leadership;
  private boolean closed;

  /** {@code candidate} begins a campaign. */
  LeaderLatch(Core core, Supplier<CompletableFuture<Leadership>> candidate) {
    this.core = core;
    this.candidate = candidate;
    this.queue = core.serial();
    campaign();
  }

  private synchronized void campaign() {
    if (closed) {
      return;
    }
    campaign = candidate.get();
    campaign.whenComplete(this::elected);
  }

  private synchronized void elected(Leadership won, Throwable failure) {
    if (failure != null) {
      failed(ConclaveException.of(failure));
      return;
    }
    if (closed) {
      won.releaseAsync();
      return;
    }
    pauses.reset();
    leadership = won;
    leading.complete(won);
    tell(true);
    won.onLost(this::lost);
  }

  private void failed(ConclaveException why) {
    if (closed) {
      return;
    }
    if (why.retry()) {
      // A candidate stays one: its session may outlive the cause. Without its session it fails for good.
      core.log("a campaign failed and begins again", why);
      core.after(pauses.next(), this::campaign);
      return;
    }
    core.log("a candidate can lead no more", why);
    leading.completeExceptionally(why);
  }

  private synchronized void lost() {
    if (closed) {
      return;
    }
    boolean again = leadership.session().isAlive();
    leading = new CompletableFuture<>();
    tell(false);
    if (again) {
      campaign();
    } else {
      leading.completeExceptionally(ConclaveException.sessionLost());
    }
  }

  private void tell(boolean leads) {
    listeners.forEach(listener -> queue.run(() -> listener.accept(leads)));
  }

  /**
   * Returns true while this candidate leads. Looks at the clock.
   *
   * @return whether it leads
   */
  public synchronized boolean isLeader() {
    return leadership != null && leadership.isHeld();
  }

  /**
   * Waits until this candidate leads.
   *
   * @param timeout for at most this time
   * @return the leadership, for its token; it is resigned by closing the latch
   */
  public Leadership await(Duration timeout) {
    CompletableFuture<Leadership> present;
    synchronized (this) {
      present = leading;
    }
    return core.await(core.wait("waiting to lead", timeout, op -> op.guard(present.copy())));
  }

  /**
   * Returns the leadership, once this candidate has it.
   *
   * @return the leadership, for its token; it is resigned by closing the latch
   */
  public synchronized CompletableFuture<Leadership> leadershipAsync() {
    return leading.copy();
  }

  /**
   * Notifies a listener when this candidate begins (true) and ceases (false) to lead.
   *
   * @param listener runs on the client's callback executor
   * @return ends the notifications when closed
   */
  public synchronized Registration onChange(Consumer<Boolean> listener) {
    Keys.given(listener, "a listener");
    listeners.add(listener);
    if (isLeader()) {
      queue.run(() -> listener.accept(true));
    }
    return () -> listeners.remove(listener);
  }

  /** Resigns, or withdraws the candidate. */
  @Override
  public void close() {
    Leadership held;
    synchronized (this) {
      closed = true;
      campaign.cancel(true);
      held = leadership;
      leading.completeExceptionally(ConclaveException.closed("the latch"));
    }
    if (held != null) {
      held.release();
    }
  }
}
