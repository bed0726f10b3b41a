package dev.conclave.client;

import dev.conclave.client.api.Event;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/**
 * The events of a key or a prefix, each once, in the order of revisions. It goes on by itself on another endpoint when a
 * connection breaks. If the history is compacted before the watch has read it, it ends with {@link ErrorKind#COMPACTED}, after
 * all events that came before.
 *
 * <p>Events are taken with {@link #next()}, or given to a listener with {@link #listen}. A consumer that is slow slows down
 * this watch and no other.
 */
public final class Watch implements AutoCloseable {
  /** Notifications of a watch. */
  public interface Listener {
    /**
     * Receives events.
     *
     * @param events all of each of their revisions, in order
     */
    void events(List<Event> events);

    /**
     * Receives the end of the watch; nothing follows.
     *
     * @param why the reason; empty if the watch was closed
     */
    default void ended(Optional<ConclaveException> why) {}
  }

  private record Taker(Op op, CompletableFuture<List<Event>> batch) {}

  private final Core core;
  private final CompletableFuture<Long> created = new CompletableFuture<>();
  private final Deque<List<Event>> batches = new ArrayDeque<>();
  private final Deque<Taker> takers = new ArrayDeque<>();
  private final CompletableFuture<Void> closed = new CompletableFuture<>();
  private WatchStream stream;
  private ConclaveException end;
  private Runnable forget = () -> {};

  private Watch(Core core) {
    this.core = core;
  }

  /** Begins a watch; completes when the server has created it. */
  static CompletableFuture<Watch> open(Client client, Op op, WatchStream.Range range, long from) {
    if (from < 0) {
      throw ConclaveException.invalid("a watch cannot begin at revision " + from + "; 0 is from now on");
    }
    Watch watch = new Watch(client.core());
    watch.forget = client.track(watch::closeOn);
    watch.stream = WatchStream.open(client.calls(), range, from, watch.new Sink());
    return op.guard(watch.created)
        .handle(
            (revision, failure) -> {
              if (failure != null) {
                watch.end(ConclaveException.closed("the watch"));
                throw ConclaveException.of(failure);
              }
              return watch;
            });
  }

  private final class Sink implements WatchStream.Sink {
    @Override
    public void created(long revision) {
      created.complete(revision);
    }

    @Override
    public void events(List<Event> events) {
      batches.add(events);
      serve();
    }

    @Override
    public void ended(ConclaveException why) {
      // One that began in history that is gone was created all the same: it ends with its first batch.
      if (why.kind() == ErrorKind.COMPACTED) {
        created.complete(0L);
      }
      created.completeExceptionally(why);
      end(why);
    }
  }

  private void serve() {
    while (!takers.isEmpty()) {
      Taker taker = takers.peek();
      if (taker.batch.isDone()) {
        takers.remove();
      } else if (!batches.isEmpty()) {
        takers.remove().batch.complete(batches.remove());
        stream.consumed();
      } else if (end != null) {
        takers.remove().batch.completeExceptionally(end);
      } else {
        return;
      }
    }
  }

  private void end(ConclaveException why) {
    if (end == null) {
      end = why;
      stream.close();
      forget.run();
      closed.complete(null);
      serve();
    }
  }

  /**
   * Returns the store's revision at which the watch was created.
   *
   * @return the revision; a watch from now on reports what is later
   */
  public long revision() {
    return created.getNow(0L);
  }

  /**
   * Waits for the next events.
   *
   * @return at least one event, all of each of their revisions
   */
  public List<Event> next() {
    return core.await(taking(null));
  }

  /**
   * Waits for the next events for at most a time.
   *
   * @param timeout the time, after which it fails with {@link ErrorKind#DEADLINE}
   * @return at least one event, all of each of their revisions
   */
  public List<Event> next(Duration timeout) {
    return core.await(taking(Client.positive(timeout)));
  }

  /**
   * Waits for the next events.
   *
   * @return at least one event, all of each of their revisions
   */
  public CompletableFuture<List<Event>> nextAsync() {
    return core.publish(taking(null));
  }

  private Core.Running<List<Event>> taking(Duration timeout) {
    return core.wait(
        "waiting for events",
        timeout,
        op -> {
          CompletableFuture<List<Event>> batch = new CompletableFuture<>();
          Runnable unhook = op.onStop(batch::completeExceptionally);
          takers.add(new Taker(op, batch));
          serve();
          return batch.whenComplete((events, failure) -> unhook.run());
        });
  }

  /**
   * Gives all further events to a listener. Use this or {@link #next()}, not both.
   *
   * @param listener runs on the client's callback executor, one batch after the other
   */
  public void listen(Listener listener) {
    Keys.given(listener, "a listener");
    Serial queue = core.serial();
    core.execute(() -> pump(listener, queue));
  }

  private void pump(Listener listener, Serial queue) {
    CompletableFuture<List<Event>> batch = new CompletableFuture<>();
    takers.add(new Taker(null, batch));
    batch.whenComplete(
        (events, failure) ->
            queue.run(
                () -> {
                  if (failure != null) {
                    ConclaveException why = ConclaveException.of(failure);
                    listener.ended(why.kind() == ErrorKind.CLOSED ? Optional.empty() : Optional.of(why));
                    return;
                  }
                  try {
                    listener.events(events);
                  } finally {
                    // Only now more may come, so that a slow listener slows its watch down.
                    core.execute(() -> pump(listener, queue));
                  }
                }));
    serve();
  }

  /** Ends the watch. A listener is told the end. */
  @Override
  public void close() {
    core.execute(() -> end(ConclaveException.closed("the watch")));
  }

  /** Ends the watch with the client. On the core's thread. */
  void closeOn() {
    created.completeExceptionally(ConclaveException.closed("the client"));
    end(ConclaveException.closed("the client"));
  }
}
