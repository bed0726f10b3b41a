package dev.conclave.client.api;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class KVGrpc {

  private KVGrpc() {}

  public static final java.lang.String SERVICE_NAME = "etcdserverpb.KV";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.RangeRequest,
      dev.conclave.client.api.RangeResponse> getRangeMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Range",
      requestType = dev.conclave.client.api.RangeRequest.class,
      responseType = dev.conclave.client.api.RangeResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.RangeRequest,
      dev.conclave.client.api.RangeResponse> getRangeMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.RangeRequest, dev.conclave.client.api.RangeResponse> getRangeMethod;
    if ((getRangeMethod = KVGrpc.getRangeMethod) == null) {
      synchronized (KVGrpc.class) {
        if ((getRangeMethod = KVGrpc.getRangeMethod) == null) {
          KVGrpc.getRangeMethod = getRangeMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.RangeRequest, dev.conclave.client.api.RangeResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Range"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.RangeRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.RangeResponse.getDefaultInstance()))
              .setSchemaDescriptor(new KVMethodDescriptorSupplier("Range"))
              .build();
        }
      }
    }
    return getRangeMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.RangeRequest,
      dev.conclave.client.api.RangeStreamResponse> getRangeStreamMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "RangeStream",
      requestType = dev.conclave.client.api.RangeRequest.class,
      responseType = dev.conclave.client.api.RangeStreamResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.RangeRequest,
      dev.conclave.client.api.RangeStreamResponse> getRangeStreamMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.RangeRequest, dev.conclave.client.api.RangeStreamResponse> getRangeStreamMethod;
    if ((getRangeStreamMethod = KVGrpc.getRangeStreamMethod) == null) {
      synchronized (KVGrpc.class) {
        if ((getRangeStreamMethod = KVGrpc.getRangeStreamMethod) == null) {
          KVGrpc.getRangeStreamMethod = getRangeStreamMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.RangeRequest, dev.conclave.client.api.RangeStreamResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "RangeStream"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.RangeRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.RangeStreamResponse.getDefaultInstance()))
              .setSchemaDescriptor(new KVMethodDescriptorSupplier("RangeStream"))
              .build();
        }
      }
    }
    return getRangeStreamMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.PutRequest,
      dev.conclave.client.api.PutResponse> getPutMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Put",
      requestType = dev.conclave.client.api.PutRequest.class,
      responseType = dev.conclave.client.api.PutResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.PutRequest,
      dev.conclave.client.api.PutResponse> getPutMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.PutRequest, dev.conclave.client.api.PutResponse> getPutMethod;
    if ((getPutMethod = KVGrpc.getPutMethod) == null) {
      synchronized (KVGrpc.class) {
        if ((getPutMethod = KVGrpc.getPutMethod) == null) {
          KVGrpc.getPutMethod = getPutMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.PutRequest, dev.conclave.client.api.PutResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Put"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.PutRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.PutResponse.getDefaultInstance()))
              .setSchemaDescriptor(new KVMethodDescriptorSupplier("Put"))
              .build();
        }
      }
    }
    return getPutMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.DeleteRangeRequest,
      dev.conclave.client.api.DeleteRangeResponse> getDeleteRangeMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "DeleteRange",
      requestType = dev.conclave.client.api.DeleteRangeRequest.class,
      responseType = dev.conclave.client.api.DeleteRangeResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.DeleteRangeRequest,
      dev.conclave.client.api.DeleteRangeResponse> getDeleteRangeMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.DeleteRangeRequest, dev.conclave.client.api.DeleteRangeResponse> getDeleteRangeMethod;
    if ((getDeleteRangeMethod = KVGrpc.getDeleteRangeMethod) == null) {
      synchronized (KVGrpc.class) {
        if ((getDeleteRangeMethod = KVGrpc.getDeleteRangeMethod) == null) {
          KVGrpc.getDeleteRangeMethod = getDeleteRangeMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.DeleteRangeRequest, dev.conclave.client.api.DeleteRangeResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "DeleteRange"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.DeleteRangeRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.DeleteRangeResponse.getDefaultInstance()))
              .setSchemaDescriptor(new KVMethodDescriptorSupplier("DeleteRange"))
              .build();
        }
      }
    }
    return getDeleteRangeMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.TxnRequest,
      dev.conclave.client.api.TxnResponse> getTxnMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Txn",
      requestType = dev.conclave.client.api.TxnRequest.class,
      responseType = dev.conclave.client.api.TxnResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.TxnRequest,
      dev.conclave.client.api.TxnResponse> getTxnMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.TxnRequest, dev.conclave.client.api.TxnResponse> getTxnMethod;
    if ((getTxnMethod = KVGrpc.getTxnMethod) == null) {
      synchronized (KVGrpc.class) {
        if ((getTxnMethod = KVGrpc.getTxnMethod) == null) {
          KVGrpc.getTxnMethod = getTxnMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.TxnRequest, dev.conclave.client.api.TxnResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Txn"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.TxnRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.TxnResponse.getDefaultInstance()))
              .setSchemaDescriptor(new KVMethodDescriptorSupplier("Txn"))
              .build();
        }
      }
    }
    return getTxnMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.CompactionRequest,
      dev.conclave.client.api.CompactionResponse> getCompactMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Compact",
      requestType = dev.conclave.client.api.CompactionRequest.class,
      responseType = dev.conclave.client.api.CompactionResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.CompactionRequest,
      dev.conclave.client.api.CompactionResponse> getCompactMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.CompactionRequest, dev.conclave.client.api.CompactionResponse> getCompactMethod;
    if ((getCompactMethod = KVGrpc.getCompactMethod) == null) {
      synchronized (KVGrpc.class) {
        if ((getCompactMethod = KVGrpc.getCompactMethod) == null) {
          KVGrpc.getCompactMethod = getCompactMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.CompactionRequest, dev.conclave.client.api.CompactionResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Compact"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.CompactionRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.CompactionResponse.getDefaultInstance()))
              .setSchemaDescriptor(new KVMethodDescriptorSupplier("Compact"))
              .build();
        }
      }
    }
    return getCompactMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static KVStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<KVStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<KVStub>() {
        @java.lang.Override
        public KVStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new KVStub(channel, callOptions);
        }
      };
    return KVStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static KVBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<KVBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<KVBlockingV2Stub>() {
        @java.lang.Override
        public KVBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new KVBlockingV2Stub(channel, callOptions);
        }
      };
    return KVBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static KVBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<KVBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<KVBlockingStub>() {
        @java.lang.Override
        public KVBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new KVBlockingStub(channel, callOptions);
        }
      };
    return KVBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static KVFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<KVFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<KVFutureStub>() {
        @java.lang.Override
        public KVFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new KVFutureStub(channel, callOptions);
        }
      };
    return KVFutureStub.newStub(factory, channel);
  }

  /**
   */
  public interface AsyncService {

    /**
     * <pre>
     * Reads a key or a range.
     * </pre>
     */
    default void range(dev.conclave.client.api.RangeRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.RangeResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getRangeMethod(), responseObserver);
    }

    /**
     * <pre>
     * Reads a range in pieces, for results too large for one message. Key order only, no revision
     * filters; all pieces are read at the same revision.
     * </pre>
     */
    default void rangeStream(dev.conclave.client.api.RangeRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.RangeStreamResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getRangeStreamMethod(), responseObserver);
    }

    /**
     * <pre>
     * Writes one key; one new revision.
     * </pre>
     */
    default void put(dev.conclave.client.api.PutRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.PutResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getPutMethod(), responseObserver);
    }

    /**
     * <pre>
     * Deletes a key or a range; one new revision, or none if nothing matched.
     * </pre>
     */
    default void deleteRange(dev.conclave.client.api.DeleteRangeRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.DeleteRangeResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getDeleteRangeMethod(), responseObserver);
    }

    /**
     * <pre>
     * Compares, then runs one of two lists of operations, all at one revision.
     * </pre>
     */
    default void txn(dev.conclave.client.api.TxnRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.TxnResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getTxnMethod(), responseObserver);
    }

    /**
     * <pre>
     * Removes history below a revision. Never changes present keys.
     * </pre>
     */
    default void compact(dev.conclave.client.api.CompactionRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.CompactionResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getCompactMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service KV.
   */
  public static abstract class KVImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return KVGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service KV.
   */
  public static final class KVStub
      extends io.grpc.stub.AbstractAsyncStub<KVStub> {
    private KVStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected KVStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new KVStub(channel, callOptions);
    }

    /**
     * <pre>
     * Reads a key or a range.
     * </pre>
     */
    public void range(dev.conclave.client.api.RangeRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.RangeResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getRangeMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Reads a range in pieces, for results too large for one message. Key order only, no revision
     * filters; all pieces are read at the same revision.
     * </pre>
     */
    public void rangeStream(dev.conclave.client.api.RangeRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.RangeStreamResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncServerStreamingCall(
          getChannel().newCall(getRangeStreamMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Writes one key; one new revision.
     * </pre>
     */
    public void put(dev.conclave.client.api.PutRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.PutResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getPutMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Deletes a key or a range; one new revision, or none if nothing matched.
     * </pre>
     */
    public void deleteRange(dev.conclave.client.api.DeleteRangeRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.DeleteRangeResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getDeleteRangeMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Compares, then runs one of two lists of operations, all at one revision.
     * </pre>
     */
    public void txn(dev.conclave.client.api.TxnRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.TxnResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getTxnMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Removes history below a revision. Never changes present keys.
     * </pre>
     */
    public void compact(dev.conclave.client.api.CompactionRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.CompactionResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getCompactMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service KV.
   */
  public static final class KVBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<KVBlockingV2Stub> {
    private KVBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected KVBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new KVBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Reads a key or a range.
     * </pre>
     */
    public dev.conclave.client.api.RangeResponse range(dev.conclave.client.api.RangeRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getRangeMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Reads a range in pieces, for results too large for one message. Key order only, no revision
     * filters; all pieces are read at the same revision.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<?, dev.conclave.client.api.RangeStreamResponse>
        rangeStream(dev.conclave.client.api.RangeRequest request) {
      return io.grpc.stub.ClientCalls.blockingV2ServerStreamingCall(
          getChannel(), getRangeStreamMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Writes one key; one new revision.
     * </pre>
     */
    public dev.conclave.client.api.PutResponse put(dev.conclave.client.api.PutRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getPutMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Deletes a key or a range; one new revision, or none if nothing matched.
     * </pre>
     */
    public dev.conclave.client.api.DeleteRangeResponse deleteRange(dev.conclave.client.api.DeleteRangeRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getDeleteRangeMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Compares, then runs one of two lists of operations, all at one revision.
     * </pre>
     */
    public dev.conclave.client.api.TxnResponse txn(dev.conclave.client.api.TxnRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getTxnMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Removes history below a revision. Never changes present keys.
     * </pre>
     */
    public dev.conclave.client.api.CompactionResponse compact(dev.conclave.client.api.CompactionRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getCompactMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service KV.
   */
  public static final class KVBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<KVBlockingStub> {
    private KVBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected KVBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new KVBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Reads a key or a range.
     * </pre>
     */
    public dev.conclave.client.api.RangeResponse range(dev.conclave.client.api.RangeRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getRangeMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Reads a range in pieces, for results too large for one message. Key order only, no revision
     * filters; all pieces are read at the same revision.
     * </pre>
     */
    public java.util.Iterator<dev.conclave.client.api.RangeStreamResponse> rangeStream(
        dev.conclave.client.api.RangeRequest request) {
      return io.grpc.stub.ClientCalls.blockingServerStreamingCall(
          getChannel(), getRangeStreamMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Writes one key; one new revision.
     * </pre>
     */
    public dev.conclave.client.api.PutResponse put(dev.conclave.client.api.PutRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getPutMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Deletes a key or a range; one new revision, or none if nothing matched.
     * </pre>
     */
    public dev.conclave.client.api.DeleteRangeResponse deleteRange(dev.conclave.client.api.DeleteRangeRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getDeleteRangeMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Compares, then runs one of two lists of operations, all at one revision.
     * </pre>
     */
    public dev.conclave.client.api.TxnResponse txn(dev.conclave.client.api.TxnRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getTxnMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Removes history below a revision. Never changes present keys.
     * </pre>
     */
    public dev.conclave.client.api.CompactionResponse compact(dev.conclave.client.api.CompactionRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getCompactMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service KV.
   */
  public static final class KVFutureStub
      extends io.grpc.stub.AbstractFutureStub<KVFutureStub> {
    private KVFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected KVFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new KVFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Reads a key or a range.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.RangeResponse> range(
        dev.conclave.client.api.RangeRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getRangeMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Writes one key; one new revision.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.PutResponse> put(
        dev.conclave.client.api.PutRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getPutMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Deletes a key or a range; one new revision, or none if nothing matched.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.DeleteRangeResponse> deleteRange(
        dev.conclave.client.api.DeleteRangeRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getDeleteRangeMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Compares, then runs one of two lists of operations, all at one revision.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.TxnResponse> txn(
        dev.conclave.client.api.TxnRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getTxnMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Removes history below a revision. Never changes present keys.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.CompactionResponse> compact(
        dev.conclave.client.api.CompactionRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getCompactMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_RANGE = 0;
  private static final int METHODID_RANGE_STREAM = 1;
  private static final int METHODID_PUT = 2;
  private static final int METHODID_DELETE_RANGE = 3;
  private static final int METHODID_TXN = 4;
  private static final int METHODID_COMPACT = 5;

  private static final class MethodHandlers<Req, Resp> implements
      io.grpc.stub.ServerCalls.UnaryMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ServerStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ClientStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.BidiStreamingMethod<Req, Resp> {
    private final AsyncService serviceImpl;
    private final int methodId;

    MethodHandlers(AsyncService serviceImpl, int methodId) {
      this.serviceImpl = serviceImpl;
      this.methodId = methodId;
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public void invoke(Req request, io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        case METHODID_RANGE:
          serviceImpl.range((dev.conclave.client.api.RangeRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.RangeResponse>) responseObserver);
          break;
        case METHODID_RANGE_STREAM:
          serviceImpl.rangeStream((dev.conclave.client.api.RangeRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.RangeStreamResponse>) responseObserver);
          break;
        case METHODID_PUT:
          serviceImpl.put((dev.conclave.client.api.PutRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.PutResponse>) responseObserver);
          break;
        case METHODID_DELETE_RANGE:
          serviceImpl.deleteRange((dev.conclave.client.api.DeleteRangeRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.DeleteRangeResponse>) responseObserver);
          break;
        case METHODID_TXN:
          serviceImpl.txn((dev.conclave.client.api.TxnRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.TxnResponse>) responseObserver);
          break;
        case METHODID_COMPACT:
          serviceImpl.compact((dev.conclave.client.api.CompactionRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.CompactionResponse>) responseObserver);
          break;
        default:
          throw new AssertionError();
      }
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public io.grpc.stub.StreamObserver<Req> invoke(
        io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        default:
          throw new AssertionError();
      }
    }
  }

  public static final io.grpc.ServerServiceDefinition bindService(AsyncService service) {
    return io.grpc.ServerServiceDefinition.builder(getServiceDescriptor())
        .addMethod(
          getRangeMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.RangeRequest,
              dev.conclave.client.api.RangeResponse>(
                service, METHODID_RANGE)))
        .addMethod(
          getRangeStreamMethod(),
          io.grpc.stub.ServerCalls.asyncServerStreamingCall(
            new MethodHandlers<
              dev.conclave.client.api.RangeRequest,
              dev.conclave.client.api.RangeStreamResponse>(
                service, METHODID_RANGE_STREAM)))
        .addMethod(
          getPutMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.PutRequest,
              dev.conclave.client.api.PutResponse>(
                service, METHODID_PUT)))
        .addMethod(
          getDeleteRangeMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.DeleteRangeRequest,
              dev.conclave.client.api.DeleteRangeResponse>(
                service, METHODID_DELETE_RANGE)))
        .addMethod(
          getTxnMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.TxnRequest,
              dev.conclave.client.api.TxnResponse>(
                service, METHODID_TXN)))
        .addMethod(
          getCompactMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.CompactionRequest,
              dev.conclave.client.api.CompactionResponse>(
                service, METHODID_COMPACT)))
        .build();
  }

  private static abstract class KVBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    KVBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return dev.conclave.client.api.RpcProto.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("KV");
    }
  }

  private static final class KVFileDescriptorSupplier
      extends KVBaseDescriptorSupplier {
    KVFileDescriptorSupplier() {}
  }

  private static final class KVMethodDescriptorSupplier
      extends KVBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    KVMethodDescriptorSupplier(java.lang.String methodName) {
      this.methodName = methodName;
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.MethodDescriptor getMethodDescriptor() {
      return getServiceDescriptor().findMethodByName(methodName);
    }
  }

  private static volatile io.grpc.ServiceDescriptor serviceDescriptor;

  public static io.grpc.ServiceDescriptor getServiceDescriptor() {
    io.grpc.ServiceDescriptor result = serviceDescriptor;
    if (result == null) {
      synchronized (KVGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new KVFileDescriptorSupplier())
              .addMethod(getRangeMethod())
              .addMethod(getRangeStreamMethod())
              .addMethod(getPutMethod())
              .addMethod(getDeleteRangeMethod())
              .addMethod(getTxnMethod())
              .addMethod(getCompactMethod())
              .build();
        }
      }
    }
    return result;
  }
}
