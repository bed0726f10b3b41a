package dev.conclave.client;

import com.google.protobuf.ByteString;
import dev.conclave.client.api.Event;
import dev.conclave.client.api.WatchCreateRequest;
import dev.conclave.client.api.WatchGrpc;
import dev.conclave.client.api.WatchProgressRequest;
import dev.conclave.client.api.WatchRequest;
import dev.conclave.client.api.WatchResponse;
import io.grpc.Status;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;

/**
 * A watch that goes on at the next revision when its stream breaks (W1 to W4), with a stream of its own, so that a slow
 * consumer slows down no other watch (W5). Belongs to the core's thread.
 */
final class WatchStream {
  /** Batches that a server may send before the consumer has taken any. */
  private static final int CREDIT = 64;

  /** Events of a watch. Nothing follows after {@code ended}, nor after {@link #close()}. */
  interface Sink {
    /** The watch exists; {@code revision} is the store's. Reported once. */
    default void created(long revision) {}

    /** Events, all of each of their revisions. {@link #consumed()} lets more come. */
    void events(List<Event> events);

    /** All events up to this revision have been reported. */
    default void progress(long revision) {}

    /** The end, with its reason. */
    void ended(ConclaveException why);
  }

  /** The watched range. */
  record Range(ByteString key, ByteString end, boolean previous, boolean puts, boolean deletes) {
    static Range key(ByteString key) {
      return new Range(Keys.key(key), ByteString.EMPTY, false, true, true);
    }

    static Range prefix(ByteString prefix) {
      return new Range(Keys.prefixStart(prefix), Keys.prefixEnd(prefix), false, true, true);
    }

    Range deletesOnly() {
      return new Range(key, end, previous, false, true);
    }

    Range putsOnly() {
      return new Range(key, end, previous, true, false);
    }
  }

  private final Calls calls;
  private final Range range;
  private final Sink sink;
  private final Op op;
  private final Set<Server> tried = new HashSet<>();
  private final Pauses pauses = new Pauses();
  /** The next revision to report; 0 until the server has said which one is the first. */
  private long next;

  private boolean announced;
  private boolean over;
  private int refusals;
  private Server server;
  private String token;
  private StreamCall<WatchRequest, WatchResponse> stream;
  private Future<?> silence;

  private WatchStream(Calls calls, Range range, long from, Sink sink) {
    this.calls = calls;
    this.range = range;
    this.next = from;
    this.sink = sink;
    this.op = new Op(calls.core(), "watch", null, true);
  }

  /** Begins a watch, at a revision or (0) from now on. */
  static WatchStream open(Calls calls, Range range, long from, Sink sink) {
    WatchStream watch = new WatchStream(calls, range, from, sink);
    watch.connect();
    return watch;
  }

  private void connect() {
    calls.login().token(op)
        .whenComplete(
            (token, failure) -> {
              if (over) {
                return;
              }
              if (failure == null) {
                connect(token);
                return;
              }
              ConclaveException why = ConclaveException.of(failure);
              if (why.kind() == ErrorKind.LOGIN || why.kind() == ErrorKind.CLOSED) {
                end(why);
              } else {
                later();
              }
            });
  }

  private void connect(String withToken) {
    server = calls.endpoints().pick(tried);
    if (server == null) {
      tried.clear();
      later();
      return;
    }
    token = withToken;
    stream =
        new StreamCall<>(
            server,
            WatchGrpc.getWatchMethod(),
            Calls.headers(token, true),
            new StreamCall.Handler<>() {
              @Override
              public void message(WatchResponse response) {
                received(response);
              }

              @Override
              public void ended(Status status) {
                broken(status);
              }
            });
    WatchCreateRequest.Builder create =
        WatchCreateRequest.newBuilder()
            .setKey(range.key())
            .setRangeEnd(range.end())
            .setStartRevision(next)
            .setPrevKv(range.previous())
            .setProgressNotify(true);
    if (!range.puts()) {
      create.addFilters(WatchCreateRequest.FilterType.NOPUT);
    }
    if (!range.deletes()) {
      create.addFilters(WatchCreateRequest.FilterType.NODELETE);
    }
    stream.request(CREDIT);
    stream.send(WatchRequest.newBuilder().setCreateRequest(create).build());
    silence = calls.core().after(Server.SILENCE, this::silent);
  }

  /** The creation was not answered. */
  private void silent() {
    server.leave();
    again();
  }

  /** Goes on elsewhere. */
  private void again() {
    drop();
    tried.add(server);
    connect();
  }

  private void later() {
    op.pause(pauses.next())
        .whenComplete(
            (done, failure) -> {
              if (failure == null && !over) {
                connect();
              }
            });
  }

  private void drop() {
    if (silence != null) {
      silence.cancel(false);
    }
    if (stream != null) {
      stream.cancel();
      stream = null;
    }
  }

  private void received(WatchResponse response) {
    long revision = response.getHeader().getRevision();
    if (response.getCanceled()) {
      canceled(response);
    } else if (response.getCreated()) {
      silence.cancel(false);
      stream.request(1);
      tried.clear();
      pauses.reset();
      refusals = 0;
      if (next == 0) {
        next = revision + 1;
      }
      if (!announced) {
        announced = true;
        sink.created(revision);
      }
    } else if (response.getEventsCount() > 0) {
      events(response.getEventsList());
    } else {
      stream.request(1);
      // Without events it is a promise: everything up to this revision has been sent.
      next = Math.max(next, revision + 1);
      sink.progress(revision);
    }
  }

  private void events(List<Event> all) {
    List<Event> events = all;
    if (all.get(0).getKv().getModRevision() < next) {
      events = all.stream().filter(event -> event.getKv().getModRevision() >= next).toList();
    }
    if (events.isEmpty()) {
      stream.request(1);
      return;
    }
    next = events.get(events.size() - 1).getKv().getModRevision() + 1;
    sink.events(events);
  }

  /** The consumer has taken a batch. */
  void consumed() {
    if (stream != null) {
      stream.request(1);
    }
  }

  /** Asks for the revision up to which the watch is complete; answered by the sink's {@code progress}. */
  void askForProgress() {
    if (stream != null && announced) {
      stream.send(
          WatchRequest.newBuilder().setProgressRequest(WatchProgressRequest.getDefaultInstance()).build());
    }
  }

  private void canceled(WatchResponse response) {
    if (response.getCompactRevision() > 0) {
      end(ConclaveException.compacted(response.getCompactRevision()));
      return;
    }
    // The reason of a refusal has the form that Go prints.
    String reason = response.getCancelReason().replaceFirst("^rpc error: code = \\w+ desc = ", "");
    failed(ApiError.of(reason), Status.CANCELLED.withDescription(reason));
  }

  private void broken(Status status) {
    if (status.getCode() == Status.Code.UNAVAILABLE && ApiError.of(status.getDescription()).isEmpty()) {
      server.leave();
    }
    boolean transport =
        switch (status.getCode()) {
          case OK, UNAVAILABLE, UNKNOWN, INTERNAL, CANCELLED, DEADLINE_EXCEEDED, ABORTED -> true;
          default -> false;
        };
    Optional<ApiError> known = ApiError.of(status.getDescription());
    if (known.isEmpty() && transport) {
      again();
    } else {
      failed(known, status);
    }
  }

  private void failed(Optional<ApiError> known, Status status) {
    if (known.isPresent() && calls.login().isRefusal(known.get()) && refusals < 2) {
      refusals++;
      calls.login().forget(token);
      drop();
      connect();
    } else if (known.isPresent() && (known.get().retry() || known.get().code() == Status.Code.UNAVAILABLE)) {
      again();
    } else if (known.isPresent() && known.get() == ApiError.COMPACTED) {
      end(ConclaveException.compacted(0));
    } else {
      end(known.map(ConclaveException::api).orElseGet(() -> ConclaveException.api(status)));
    }
  }

  private void end(ConclaveException why) {
    if (!over) {
      close();
      sink.ended(why);
    }
  }

  /** Ends the watch without a report. */
  void close() {
    over = true;
    op.stop(ConclaveException.cancelled(false));
    op.finish();
    drop();
  }

  /** Waits for the deletion of a key at a revision or later. History that is compacted may have had it. */
  static CompletableFuture<Void> deletion(Calls calls, Op op, ByteString key, long from) {
    return first(calls, op, Range.key(key).deletesOnly(), from);
  }

  /** Waits for the first event of a range. After a compaction nobody knows, so that counts as one. */
  static CompletableFuture<Void> first(Calls calls, Op op, Range range, long from) {
    CompletableFuture<Void> happened = new CompletableFuture<>();
    WatchStream watch =
        open(
            calls,
            range,
            from,
            new Sink() {
              @Override
              public void events(List<Event> events) {
                happened.complete(null);
              }

              @Override
              public void ended(ConclaveException why) {
                if (why.kind() == ErrorKind.COMPACTED) {
                  happened.complete(null);
                } else {
                  happened.completeExceptionally(why);
                }
              }
            });
    CompletableFuture<Void> guarded = op.guard(happened);
    return guarded.whenComplete((done, failure) -> watch.close());
  }
}
