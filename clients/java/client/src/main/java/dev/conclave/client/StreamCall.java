package dev.conclave.client;

import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.util.concurrent.atomic.AtomicBoolean;

/** A bidirectional stream to one server. Belongs to the core's thread. */
final class StreamCall<Q, A> {
  /** Events of a stream. Nothing follows after {@code ended}, nor after {@link #cancel()}. */
  interface Handler<A> {
    void message(A message);

    void ended(Status status);
  }

  private final ClientCall<Q, A> call;
  private boolean over;

  StreamCall(Server server, MethodDescriptor<Q, A> method, Metadata headers, Handler<A> handler) {
    call = server.call(method, CallOptions.DEFAULT, new AtomicBoolean());
    call.start(
        new ClientCall.Listener<>() {
          @Override
          public void onMessage(A message) {
            if (!over) {
              handler.message(message);
            }
          }

          @Override
          public void onClose(Status status, Metadata trailers) {
            if (!over) {
              over = true;
              handler.ended(status);
            }
          }
        },
        headers);
  }

  void send(Q message) {
    if (!over) {
      call.sendMessage(message);
    }
  }

  /** Lets so many more messages come. */
  void request(int count) {
    if (!over) {
      call.request(count);
    }
  }

  void cancel() {
    if (!over) {
      over = true;
      call.cancel("no longer needed", null);
    }
  }
}
