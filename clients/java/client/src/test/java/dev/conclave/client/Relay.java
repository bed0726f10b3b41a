package dev.conclave.client;

import com.google.protobuf.InvalidProtocolBufferException;
import dev.conclave.client.api.KVGrpc;
import dev.conclave.client.api.RequestOp;
import dev.conclave.client.api.TxnRequest;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.HandlerRegistry;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerMethodDefinition;
import io.grpc.Status;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.NettyServerBuilder;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedDeque;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Predicate;

/** A server between a client and a member, which decides on the fate of each attempt of a transaction. */
final class Relay implements AutoCloseable {
  /** The fate of an attempt. */
  enum Fate {
    /** It is executed and answered. */
    PASS,
    /** It has no answer, and is executed by {@link #executeHeld()}. */
    HOLD,
    /** It is executed and has no answer. */
    SWALLOW,
    /** It is not executed: permission denied. */
    REFUSE
  }

  static final Predicate<TxnRequest> PUTS = txn -> txn.getSuccessList().stream().anyMatch(RequestOp::hasRequestPut);
  static final Predicate<TxnRequest> DELETIONS =
      txn -> txn.getSuccessList().stream().anyMatch(RequestOp::hasRequestDeleteRange);

  private static final Status DENIED = Status.PERMISSION_DENIED.withDescription(ApiError.PERMISSION_DENIED.text());
  private static final MethodDescriptor.Marshaller<byte[]> BYTES =
      new MethodDescriptor.Marshaller<>() {
        @Override
        public InputStream stream(byte[] value) {
          return new ByteArrayInputStream(value);
        }

        @Override
        public byte[] parse(InputStream stream) {
          try {
            return stream.readAllBytes();
          } catch (IOException error) {
            throw new UncheckedIOException(error);
          }
        }
      };

  private final ManagedChannel channel;
  private final Server server;
  private final Deque<Fate> fates = new ConcurrentLinkedDeque<>();
  private final List<TxnRequest> held = new CopyOnWriteArrayList<>();
  private final AtomicInteger watches = new AtomicInteger();
  private volatile Predicate<TxnRequest> which = txn -> false;
  private volatile boolean refusesReads;

  Relay(String endpoint) {
    channel = NettyChannelBuilder.forTarget(endpoint.substring("http://".length())).usePlaintext().build();
    try {
      server =
          NettyServerBuilder.forPort(0)
              .fallbackHandlerRegistry(
                  new HandlerRegistry() {
                    @Override
                    public ServerMethodDefinition<?, ?> lookupMethod(String name, String authority) {
                      return ServerMethodDefinition.create(
                          MethodDescriptor.newBuilder(BYTES, BYTES)
                              .setFullMethodName(name)
                              .setType(MethodDescriptor.MethodType.UNKNOWN)
                              .build(),
                          Relay.this::serve);
                    }
                  })
              .build()
              .start();
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  String endpoint() {
    return "http://127.0.0.1:" + server.getPort();
  }

  /** The fates of the next attempts of such transactions; of the later ones, the last. */
  void next(Predicate<TxnRequest> transactions, Fate... attempts) {
    which = txn -> false;
    fates.clear();
    fates.addAll(List.of(attempts));
    which = transactions;
  }

  /** Refuses all reads outside of transactions, or not. */
  void refuseReads(boolean refuse) {
    refusesReads = refuse;
  }

  int held() {
    return held.size();
  }

  /** Executes what was held. */
  void executeHeld() {
    held.forEach(txn -> KVGrpc.newBlockingStub(channel).txn(txn));
    held.clear();
  }

  /** Number of watches that are open. */
  int watches() {
    return watches.get();
  }

  private Fate fate(byte[] message) {
    try {
      TxnRequest txn = TxnRequest.parseFrom(message);
      if (!which.test(txn)) {
        return Fate.PASS;
      }
      Fate fate = fates.size() > 1 ? fates.poll() : fates.peek();
      if (fate == Fate.HOLD) {
        held.add(txn);
      } else if (fate == Fate.SWALLOW) {
        KVGrpc.newFutureStub(channel).txn(txn);
      }
      return fate;
    } catch (InvalidProtocolBufferException error) {
      throw new IllegalStateException(error);
    }
  }

  private ServerCall.Listener<byte[]> serve(ServerCall<byte[], byte[]> near, Metadata headers) {
    MethodDescriptor<byte[], byte[]> method = near.getMethodDescriptor();
    boolean isTxn = method.getFullMethodName().equals(KVGrpc.getTxnMethod().getFullMethodName());
    boolean isRead = method.getFullMethodName().equals(KVGrpc.getRangeMethod().getFullMethodName());
    boolean isWatch = method.getFullMethodName().endsWith("/Watch");
    ClientCall<byte[], byte[]> far = channel.newCall(method, CallOptions.DEFAULT);
    near.sendHeaders(new Metadata());
    near.request(Integer.MAX_VALUE);
    if (isWatch) {
      watches.incrementAndGet();
    }
    far.start(
        new ClientCall.Listener<>() {
          @Override
          public void onMessage(byte[] message) {
            near.sendMessage(message);
          }

          @Override
          public void onClose(Status status, Metadata trailers) {
            if (isWatch) {
              watches.decrementAndGet();
            }
            if (!near.isCancelled()) {
              close(near, status);
            }
          }
        },
        new Metadata());
    far.request(Integer.MAX_VALUE);
    return new ServerCall.Listener<>() {
      private boolean isOver;

      @Override
      public void onMessage(byte[] message) {
        Fate fate = isTxn ? fate(message) : isRead && refusesReads ? Fate.REFUSE : Fate.PASS;
        if (fate == Fate.PASS) {
          far.sendMessage(message);
        } else {
          isOver = true;
          if (fate == Fate.REFUSE) {
            close(near, DENIED);
          }
        }
      }

      @Override
      public void onHalfClose() {
        if (!isOver) {
          far.halfClose();
        }
      }

      @Override
      public void onCancel() {
        far.cancel("the client has gone", null);
      }
    };
  }

  private static void close(ServerCall<byte[], byte[]> near, Status status) {
    try {
      near.close(status, new Metadata());
    } catch (IllegalStateException closed) {
      // It was refused.
    }
  }

  @Override
  public void close() {
    server.shutdownNow();
    channel.shutdownNow();
  }
}
