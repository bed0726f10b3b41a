package dev.conclave.client;

import dev.conclave.client.Calls.Mode;
import dev.conclave.client.Calls.Timed;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.util.HashSet;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;

/** One unary call with all its attempts. Belongs to the core's thread. */
final class UnaryCall<Q, A> {
  private static final int REFUSALS_MAX = 2;

  private final Calls calls;
  private final Op op;
  private final MethodDescriptor<Q, A> method;
  private final Q request;
  private final Mode mode;
  private final boolean withToken;
  private final CompletableFuture<Timed<A>> result = new CompletableFuture<>();
  private final Set<Server> tried = new HashSet<>();
  private final Pauses pauses = new Pauses();
  private Runnable unhook = () -> {};
  private Attempt attempt;
  private ConclaveException last;
  /** An attempt was not refused, it got no answer. */
  private boolean silent;

  private int refusals;

  UnaryCall(Calls calls, Op op, MethodDescriptor<Q, A> method, Q request, Mode mode, boolean withToken) {
    this.calls = calls;
    this.op = op;
    this.method = method;
    this.request = request;
    this.mode = mode;
    this.withToken = withToken;
  }

  CompletableFuture<Timed<A>> start() {
    unhook = op.onStop(this::stopped);
    next();
    return result;
  }

  private void next() {
    if (result.isDone()) {
      return;
    }
    if (!withToken) {
      send(null);
      return;
    }
    calls.login().token(op)
        .whenComplete(
            (token, failure) -> {
              if (result.isDone()) {
                return;
              }
              if (failure != null) {
                fail(ConclaveException.of(failure));
              } else {
                send(token);
              }
            });
  }

  private void send(String token) {
    Server server = calls.endpoints().pick(tried);
    if (server != null) {
      attempt = new Attempt(server, token);
      attempt.start();
      return;
    }
    tried.clear();
    op.pause(pauses.next())
        .whenComplete(
            (done, failure) -> {
              // A failure is the operation's end, of which this call learns by itself.
              if (failure == null) {
                next();
              }
            });
  }

  /** The operation ended while the call was under way. */
  private void stopped(ConclaveException why) {
    boolean pending = attempt != null;
    boolean began = op.isUnsettled() || (pending && attempt.began());
    if (pending) {
      attempt.cancel();
    }
    boolean write = mode != Mode.READ;
    if (write && began) {
      op.unsettle();
    }
    ConclaveException error = why;
    if (why.kind() == ErrorKind.DEADLINE && !op.waiting()) {
      if (write && began) {
        error = ConclaveException.maybe(op.what(), last);
      } else if (write || (!silent && (last != null || !(pending && attempt.began())))) {
        error = ConclaveException.unavailable(op.what(), last);
      }
    } else if (write && began && !op.waiting()) {
      error = why.maybeIf(true);
    }
    fail(error);
  }

  private void fail(ConclaveException error) {
    if (result.isDone()) {
      return;
    }
    unhook.run();
    op.writing(null);
    result.completeExceptionally(error);
  }

  private void tryNext(Server server, ConclaveException why) {
    last = why;
    tried.add(server);
    next();
  }

  /** Decides what follows from a failed attempt. */
  private void failed(Attempt failed, Status status) {
    Optional<ApiError> known = ApiError.of(status.getDescription());
    if (known.isPresent()) {
      ApiError error = known.get();
      boolean again = withToken && calls.login().isRefusal(error) && refusals < REFUSALS_MAX;
      if (again) {
        refusals++;
        calls.login().forget(failed.token);
        next();
        return;
      }
      boolean resend =
          mode == Mode.WRITE
              ? error.retry() && !error.mayHaveHappened()
              : error.retry() || error.code() == Status.Code.UNAVAILABLE;
      if (mode != Mode.READ && error.mayHaveHappened()) {
        op.unsettle();
      }
      if (resend) {
        tryNext(failed.server, ConclaveException.api(error));
      } else {
        fail(ConclaveException.api(error));
      }
      return;
    }
    ConclaveException api = ConclaveException.api(status);
    boolean began = failed.began();
    switch (status.getCode()) {
      case UNAVAILABLE -> {
        failed.server.leave();
        lost(failed, api, began);
      }
      // The attempt's own deadline, or the server's that was derived from it.
      case DEADLINE_EXCEEDED, CANCELLED -> {
        silent |= began;
        lost(failed, api, began);
      }
      // gRPC's own, such as that a channel was closed, or a proxy's: the call's answer is lost.
      case UNKNOWN, INTERNAL, ABORTED, DATA_LOSS -> lost(failed, api, began);
      default -> fail(api);
    }
  }

  private void lost(Attempt failed, ConclaveException why, boolean began) {
    if (mode == Mode.WRITE && began) {
      fail(ConclaveException.maybe(op.what(), why));
      return;
    }
    if (began && mode == Mode.IDEMPOTENT) {
      op.unsettle();
    }
    tryNext(failed.server, why);
  }

  /** One attempt at one server. */
  private final class Attempt extends ClientCall.Listener<A> {
    private final Server server;
    private final String token;
    private final AtomicBoolean began = new AtomicBoolean();
    private ClientCall<Q, A> call;
    private long sent;
    private A answer;
    private boolean over;
    private Future<?> silence;

    Attempt(Server server, String token) {
      this.server = server;
      this.token = token;
    }

    boolean began() {
      return began.get();
    }

    void start() {
      // Waiting in a recipe may take forever, one attempt of a call in it must not.
      long usual = Op.nanos(calls.core().timeout());
      long time = op.waiting() ? Math.min(op.remaining(), usual) : op.remaining();
      CallOptions options = CallOptions.DEFAULT.withDeadlineAfter(time, TimeUnit.NANOSECONDS);
      call = server.call(method, options, began);
      op.writing(mode == Mode.READ ? null : began::get);
      sent = System.nanoTime();
      call.start(this, Calls.headers(token, false));
      call.request(2);
      call.sendMessage(request);
      call.halfClose();
      long limit = Math.min(Server.SILENCE, time / 2);
      silence = calls.core().after(limit, () -> lookForSilence(limit));
    }

    private void lookForSilence(long limit) {
      if (over) {
        return;
      }
      long left = server.heardSince(sent) + limit - System.nanoTime();
      if (left > 0) {
        silence = calls.core().after(left, () -> lookForSilence(limit));
        return;
      }
      server.leave();
      // A write that was sent can only wait for its answer.
      if (mode != Mode.WRITE || !began()) {
        String text = server + " is silent";
        call.cancel(text, null);
      }
    }

    void cancel() {
      over = true;
      silence.cancel(false);
      call.cancel("the operation has ended", null);
    }

    @Override
    public void onMessage(A message) {
      answer = message;
    }

    @Override
    public void onClose(Status status, Metadata trailers) {
      if (over) {
        return;
      }
      over = true;
      silence.cancel(false);
      attempt = null;
      op.writing(null);
      if (result.isDone()) {
        return;
      }
      if (!status.isOk()) {
        failed(this, status);
      } else if (answer == null) {
        failed(this, Status.INTERNAL.withDescription("an answer without a message"));
      } else {
        unhook.run();
        result.complete(new Timed<>(answer, sent));
      }
    }
  }
}
