package dev.conclave.client;

import dev.conclave.client.api.HealthCheckRequest;
import dev.conclave.client.api.HealthCheckResponse;
import dev.conclave.client.api.HealthGrpc;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.ClientStreamTracer;
import io.grpc.ConnectivityState;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;

/** One endpoint: its connection, whether it is in the rotation, and the probe that brings it back (C2). */
final class Server {
  /** Time without an answer after which an endpoint is silent, and for a connection to be made. */
  static final long SILENCE = TimeUnit.SECONDS.toNanos(2);

  private static final long PROBE_MIN = TimeUnit.MILLISECONDS.toNanos(100);
  private static final long PROBE_MAX = TimeUnit.SECONDS.toNanos(5);

  private final Core core;
  private final Endpoint endpoint;
  private final ManagedChannel channel;
  private volatile long heard = System.nanoTime();
  private boolean inRotation = true;
  private long probePause = PROBE_MIN;
  private Future<?> nextProbe;
  private boolean probing;
  /** A connection was made since the probe began. */
  private boolean connected;

  /** There is a connection, which was made at that time. */
  private boolean ready;

  private long connectedAt;

  Server(Core core, Endpoint endpoint, ManagedChannel channel) {
    this.core = core;
    this.endpoint = endpoint;
    this.channel = channel;
  }

  void start() {
    // Does not connect: that is done by the first call.
    watchState(channel.getState(false));
  }

  @Override
  public String toString() {
    return endpoint.text();
  }

  ManagedChannel channel() {
    return channel;
  }

  boolean inRotation() {
    return inRotation;
  }

  /** When a request of this time, or something since on its connection, was last heard of; by {@link System#nanoTime()}. */
  long heardSince(long sent) {
    // What comes on a new connection says nothing about a request on the former one.
    return isOnPresentConnection(sent) && heard - sent > 0 ? heard : sent;
  }

  private boolean isOnPresentConnection(long sent) {
    return ready && sent - connectedAt >= 0;
  }

  private void watchState(ConnectivityState state) {
    if (state == ConnectivityState.SHUTDOWN) {
      return;
    }
    channel.notifyWhenStateChanged(
        state,
        () -> {
          ConnectivityState next = channel.getState(false);
          stateChanged(state, next);
          watchState(next);
        });
  }

  private void stateChanged(ConnectivityState before, ConnectivityState now) {
    ready = now == ConnectivityState.READY;
    if (ready) {
      connected = true;
      connectedAt = System.nanoTime();
      probe();
    } else if (before == ConnectivityState.READY || now == ConnectivityState.TRANSIENT_FAILURE) {
      leave();
    }
  }

  /** Takes the endpoint out of the rotation until a probe succeeds. */
  void leave() {
    if (!inRotation || core.isClosed()) {
      return;
    }
    inRotation = false;
    probePause = PROBE_MIN;
    probeLater();
  }

  private void probeLater() {
    if (nextProbe != null) {
      nextProbe.cancel(false);
    }
    nextProbe = core.after(probePause, this::probe);
  }

  private void probe() {
    if (probing || inRotation || core.isClosed()) {
      return;
    }
    probing = true;
    connected = false;
    reconnect();
    long sent = System.nanoTime();
    // Fails at once if the last connection did. When the one that this begins succeeds, the state's change probes again.
    CallOptions options = CallOptions.DEFAULT.withDeadlineAfter(SILENCE, TimeUnit.NANOSECONDS);
    ClientCall<HealthCheckRequest, HealthCheckResponse> call = channel.newCall(HealthGrpc.getCheckMethod(), options);
    call.start(
        new ClientCall.Listener<>() {
          private boolean serving;

          @Override
          public void onMessage(HealthCheckResponse answer) {
            serving = answer.getStatus() == HealthCheckResponse.ServingStatus.SERVING;
          }

          @Override
          public void onClose(Status status, Metadata trailers) {
            if (status.getCode() == Status.Code.DEADLINE_EXCEEDED) {
              replaceConnection(sent);
            }
            // A server without the health service answers, too.
            probed(serving || status.getCode() == Status.Code.UNIMPLEMENTED);
          }
        },
        new Metadata());
    call.request(2);
    call.sendMessage(HealthCheckRequest.getDefaultInstance());
    call.halfClose();
  }

  /** A probe of this time has no answer: what is sent later uses another connection. What is under way stays on this one. */
  private void replaceConnection(long sent) {
    if (isOnPresentConnection(sent) && !core.isClosed()) {
      ready = false;
      channel.enterIdle();
    }
  }

  private void probed(boolean serving) {
    probing = false;
    boolean since = connected;
    connected = false;
    if (serving) {
      inRotation = true;
      heard = System.nanoTime();
      return;
    }
    if (since && channel.getState(false) == ConnectivityState.READY && !core.isClosed()) {
      // The connection was made while this probe was failing.
      probe();
      return;
    }
    probePause = Math.min(2 * probePause, PROBE_MAX);
    probeLater();
  }

  /** Ends gRPC's own pause between connections, which is up to two minutes. */
  void reconnect() {
    if (channel.getState(false) == ConnectivityState.TRANSIENT_FAILURE) {
      channel.resetConnectBackoff();
    }
  }

  /** A call to this endpoint. {@code began} is set once the call may have left this process. */
  <Q, A> ClientCall<Q, A> call(MethodDescriptor<Q, A> method, CallOptions options, AtomicBoolean began) {
    reconnect();
    return channel.newCall(method, options.withStreamTracerFactory(new Tracers(began)));
  }

  private final class Tracers extends ClientStreamTracer.Factory {
    private final AtomicBoolean began;

    Tracers(AtomicBoolean began) {
      this.began = began;
    }

    @Override
    public ClientStreamTracer newClientStreamTracer(ClientStreamTracer.StreamInfo info, Metadata headers) {
      return new ClientStreamTracer() {
        @Override
        public void streamCreated(io.grpc.Attributes transport, Metadata sent) {
          // The stream is created on a connection that is there. Until then nothing can have been sent.
          began.set(true);
        }

        @Override
        public void inboundHeaders() {
          heard = System.nanoTime();
        }

        @Override
        public void inboundMessage(int number) {
          heard = System.nanoTime();
        }

        @Override
        public void inboundTrailers(Metadata trailers) {
          heard = System.nanoTime();
        }
      };
    }
  }
}
