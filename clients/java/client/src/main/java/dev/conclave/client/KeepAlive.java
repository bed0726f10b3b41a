package dev.conclave.client;

import dev.conclave.client.api.LeaseGrpc;
import dev.conclave.client.api.LeaseKeepAliveRequest;
import dev.conclave.client.api.LeaseKeepAliveResponse;
import io.grpc.Status;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashSet;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Future;

/** Keeps one lease alive over a stream that moves between endpoints (S1). Belongs to the core's thread. */
final class KeepAlive {
  /** The outcome of a keep-alive. */
  interface Sink {
    /** The lease lives for so many seconds from a time not before {@code sent}. */
    void confirmed(long sent, long seconds);

    /** The stream broke, and another one is opened. */
    void broke();

    /** The server does not have the lease (S4). */
    void gone();
  }

  private final Calls calls;
  private final long lease;
  private final long third;
  private final Sink sink;
  private final Op op;
  private final LeaseKeepAliveRequest request;
  /** When the unanswered keep-alives of the stream were sent. They are answered in order. */
  private final Deque<Long> sent = new ArrayDeque<>();

  private final Set<Server> tried = new HashSet<>();
  private final Pauses pauses = new Pauses();
  private Server server;
  private String token;
  private StreamCall<LeaseKeepAliveRequest, LeaseKeepAliveResponse> stream;
  private Future<?> tick;
  private Future<?> unanswered;
  private boolean over;

  KeepAlive(Calls calls, long lease, long ttlNanos, Sink sink) {
    this.calls = calls;
    this.lease = lease;
    this.third = ttlNanos / 3;
    this.sink = sink;
    this.op = new Op(calls.core(), "keep-alive", null, true);
    this.request = LeaseKeepAliveRequest.newBuilder().setID(lease).build();
  }

  void start() {
    connect();
  }

  void close() {
    over = true;
    op.stop(ConclaveException.cancelled(false));
    op.finish();
    drop();
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
            LeaseGrpc.getLeaseKeepAliveMethod(),
            Calls.headers(token, false),
            new StreamCall.Handler<>() {
              @Override
              public void message(LeaseKeepAliveResponse answer) {
                answered(answer);
              }

              @Override
              public void ended(Status status) {
                broken(status);
              }
            });
    stream.request(1);
    renew();
  }

  /** Sends one now, and the next after a third of the TTL. */
  private void renew() {
    if (tick != null) {
      tick.cancel(false);
    }
    tick = calls.core().after(third, this::renew);
    if (stream == null) {
      return;
    }
    sent.add(System.nanoTime());
    stream.send(request);
    if (unanswered == null) {
      unanswered = calls.core().after(third, this::silent);
    }
  }

  /** Sends one at once, because there is a doubt. */
  void check() {
    if (!over && sent.isEmpty()) {
      renew();
    }
  }

  private void answered(LeaseKeepAliveResponse answer) {
    Long at = sent.poll();
    if (at == null || answer.getID() != lease) {
      return;
    }
    unanswered.cancel(false);
    unanswered = null;
    if (answer.getTTL() <= 0) {
      sink.gone();
      return;
    }
    tried.clear();
    pauses.reset();
    stream.request(1);
    if (!sent.isEmpty()) {
      long left = Math.max(0, sent.peek() + third - System.nanoTime());
      unanswered = calls.core().after(left, this::silent);
    }
    sink.confirmed(at, answer.getTTL());
  }

  private void silent() {
    unanswered = null;
    long asked = sent.peek();
    if (System.nanoTime() - server.heardSince(asked) >= third) {
      server.leave();
    }
    again();
  }

  private void broken(Status status) {
    Optional<ApiError> known = ApiError.of(status.getDescription());
    if (known.isPresent() && known.get() == ApiError.LEASE_NOT_FOUND) {
      sink.gone();
      return;
    }
    if (known.isPresent() && calls.login().isRefusal(known.get())) {
      calls.login().forget(token);
    } else if (known.isEmpty() && status.getCode() == Status.Code.UNAVAILABLE) {
      server.leave();
    }
    again();
  }

  private void again() {
    drop();
    sink.broke();
    if (!over) {
      tried.add(server);
      connect();
    }
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
    if (tick != null) {
      tick.cancel(false);
    }
    if (unanswered != null) {
      unanswered.cancel(false);
      unanswered = null;
    }
    sent.clear();
    if (stream != null) {
      stream.cancel();
      stream = null;
    }
  }
}
