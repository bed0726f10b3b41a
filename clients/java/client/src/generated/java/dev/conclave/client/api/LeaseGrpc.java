package dev.conclave.client.api;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class LeaseGrpc {

  private LeaseGrpc() {}

  public static final java.lang.String SERVICE_NAME = "etcdserverpb.Lease";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.LeaseGrantRequest,
      dev.conclave.client.api.LeaseGrantResponse> getLeaseGrantMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "LeaseGrant",
      requestType = dev.conclave.client.api.LeaseGrantRequest.class,
      responseType = dev.conclave.client.api.LeaseGrantResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.LeaseGrantRequest,
      dev.conclave.client.api.LeaseGrantResponse> getLeaseGrantMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.LeaseGrantRequest, dev.conclave.client.api.LeaseGrantResponse> getLeaseGrantMethod;
    if ((getLeaseGrantMethod = LeaseGrpc.getLeaseGrantMethod) == null) {
      synchronized (LeaseGrpc.class) {
        if ((getLeaseGrantMethod = LeaseGrpc.getLeaseGrantMethod) == null) {
          LeaseGrpc.getLeaseGrantMethod = getLeaseGrantMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.LeaseGrantRequest, dev.conclave.client.api.LeaseGrantResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "LeaseGrant"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.LeaseGrantRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.LeaseGrantResponse.getDefaultInstance()))
              .setSchemaDescriptor(new LeaseMethodDescriptorSupplier("LeaseGrant"))
              .build();
        }
      }
    }
    return getLeaseGrantMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.LeaseRevokeRequest,
      dev.conclave.client.api.LeaseRevokeResponse> getLeaseRevokeMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "LeaseRevoke",
      requestType = dev.conclave.client.api.LeaseRevokeRequest.class,
      responseType = dev.conclave.client.api.LeaseRevokeResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.LeaseRevokeRequest,
      dev.conclave.client.api.LeaseRevokeResponse> getLeaseRevokeMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.LeaseRevokeRequest, dev.conclave.client.api.LeaseRevokeResponse> getLeaseRevokeMethod;
    if ((getLeaseRevokeMethod = LeaseGrpc.getLeaseRevokeMethod) == null) {
      synchronized (LeaseGrpc.class) {
        if ((getLeaseRevokeMethod = LeaseGrpc.getLeaseRevokeMethod) == null) {
          LeaseGrpc.getLeaseRevokeMethod = getLeaseRevokeMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.LeaseRevokeRequest, dev.conclave.client.api.LeaseRevokeResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "LeaseRevoke"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.LeaseRevokeRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.LeaseRevokeResponse.getDefaultInstance()))
              .setSchemaDescriptor(new LeaseMethodDescriptorSupplier("LeaseRevoke"))
              .build();
        }
      }
    }
    return getLeaseRevokeMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.LeaseKeepAliveRequest,
      dev.conclave.client.api.LeaseKeepAliveResponse> getLeaseKeepAliveMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "LeaseKeepAlive",
      requestType = dev.conclave.client.api.LeaseKeepAliveRequest.class,
      responseType = dev.conclave.client.api.LeaseKeepAliveResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.BIDI_STREAMING)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.LeaseKeepAliveRequest,
      dev.conclave.client.api.LeaseKeepAliveResponse> getLeaseKeepAliveMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.LeaseKeepAliveRequest, dev.conclave.client.api.LeaseKeepAliveResponse> getLeaseKeepAliveMethod;
    if ((getLeaseKeepAliveMethod = LeaseGrpc.getLeaseKeepAliveMethod) == null) {
      synchronized (LeaseGrpc.class) {
        if ((getLeaseKeepAliveMethod = LeaseGrpc.getLeaseKeepAliveMethod) == null) {
          LeaseGrpc.getLeaseKeepAliveMethod = getLeaseKeepAliveMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.LeaseKeepAliveRequest, dev.conclave.client.api.LeaseKeepAliveResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.BIDI_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "LeaseKeepAlive"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.LeaseKeepAliveRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.LeaseKeepAliveResponse.getDefaultInstance()))
              .setSchemaDescriptor(new LeaseMethodDescriptorSupplier("LeaseKeepAlive"))
              .build();
        }
      }
    }
    return getLeaseKeepAliveMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.LeaseTimeToLiveRequest,
      dev.conclave.client.api.LeaseTimeToLiveResponse> getLeaseTimeToLiveMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "LeaseTimeToLive",
      requestType = dev.conclave.client.api.LeaseTimeToLiveRequest.class,
      responseType = dev.conclave.client.api.LeaseTimeToLiveResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.LeaseTimeToLiveRequest,
      dev.conclave.client.api.LeaseTimeToLiveResponse> getLeaseTimeToLiveMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.LeaseTimeToLiveRequest, dev.conclave.client.api.LeaseTimeToLiveResponse> getLeaseTimeToLiveMethod;
    if ((getLeaseTimeToLiveMethod = LeaseGrpc.getLeaseTimeToLiveMethod) == null) {
      synchronized (LeaseGrpc.class) {
        if ((getLeaseTimeToLiveMethod = LeaseGrpc.getLeaseTimeToLiveMethod) == null) {
          LeaseGrpc.getLeaseTimeToLiveMethod = getLeaseTimeToLiveMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.LeaseTimeToLiveRequest, dev.conclave.client.api.LeaseTimeToLiveResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "LeaseTimeToLive"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.LeaseTimeToLiveRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.LeaseTimeToLiveResponse.getDefaultInstance()))
              .setSchemaDescriptor(new LeaseMethodDescriptorSupplier("LeaseTimeToLive"))
              .build();
        }
      }
    }
    return getLeaseTimeToLiveMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.LeaseLeasesRequest,
      dev.conclave.client.api.LeaseLeasesResponse> getLeaseLeasesMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "LeaseLeases",
      requestType = dev.conclave.client.api.LeaseLeasesRequest.class,
      responseType = dev.conclave.client.api.LeaseLeasesResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.LeaseLeasesRequest,
      dev.conclave.client.api.LeaseLeasesResponse> getLeaseLeasesMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.LeaseLeasesRequest, dev.conclave.client.api.LeaseLeasesResponse> getLeaseLeasesMethod;
    if ((getLeaseLeasesMethod = LeaseGrpc.getLeaseLeasesMethod) == null) {
      synchronized (LeaseGrpc.class) {
        if ((getLeaseLeasesMethod = LeaseGrpc.getLeaseLeasesMethod) == null) {
          LeaseGrpc.getLeaseLeasesMethod = getLeaseLeasesMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.LeaseLeasesRequest, dev.conclave.client.api.LeaseLeasesResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "LeaseLeases"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.LeaseLeasesRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.LeaseLeasesResponse.getDefaultInstance()))
              .setSchemaDescriptor(new LeaseMethodDescriptorSupplier("LeaseLeases"))
              .build();
        }
      }
    }
    return getLeaseLeasesMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static LeaseStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<LeaseStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<LeaseStub>() {
        @java.lang.Override
        public LeaseStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new LeaseStub(channel, callOptions);
        }
      };
    return LeaseStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static LeaseBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<LeaseBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<LeaseBlockingV2Stub>() {
        @java.lang.Override
        public LeaseBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new LeaseBlockingV2Stub(channel, callOptions);
        }
      };
    return LeaseBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static LeaseBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<LeaseBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<LeaseBlockingStub>() {
        @java.lang.Override
        public LeaseBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new LeaseBlockingStub(channel, callOptions);
        }
      };
    return LeaseBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static LeaseFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<LeaseFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<LeaseFutureStub>() {
        @java.lang.Override
        public LeaseFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new LeaseFutureStub(channel, callOptions);
        }
      };
    return LeaseFutureStub.newStub(factory, channel);
  }

  /**
   */
  public interface AsyncService {

    /**
     * <pre>
     * Creates a lease: a life span that keys can be attached to.
     * </pre>
     */
    default void leaseGrant(dev.conclave.client.api.LeaseGrantRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.LeaseGrantResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getLeaseGrantMethod(), responseObserver);
    }

    /**
     * <pre>
     * Revokes a lease and deletes its keys, all at one revision.
     * </pre>
     */
    default void leaseRevoke(dev.conclave.client.api.LeaseRevokeRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.LeaseRevokeResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getLeaseRevokeMethod(), responseObserver);
    }

    /**
     * <pre>
     * Each request restarts a lease at its full TTL and is answered in order.
     * </pre>
     */
    default io.grpc.stub.StreamObserver<dev.conclave.client.api.LeaseKeepAliveRequest> leaseKeepAlive(
        io.grpc.stub.StreamObserver<dev.conclave.client.api.LeaseKeepAliveResponse> responseObserver) {
      return io.grpc.stub.ServerCalls.asyncUnimplementedStreamingCall(getLeaseKeepAliveMethod(), responseObserver);
    }

    /**
     * <pre>
     * The remaining time of a lease, and its attached keys.
     * </pre>
     */
    default void leaseTimeToLive(dev.conclave.client.api.LeaseTimeToLiveRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.LeaseTimeToLiveResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getLeaseTimeToLiveMethod(), responseObserver);
    }

    /**
     * <pre>
     * All leases, the first to expire first.
     * </pre>
     */
    default void leaseLeases(dev.conclave.client.api.LeaseLeasesRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.LeaseLeasesResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getLeaseLeasesMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service Lease.
   */
  public static abstract class LeaseImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return LeaseGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service Lease.
   */
  public static final class LeaseStub
      extends io.grpc.stub.AbstractAsyncStub<LeaseStub> {
    private LeaseStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected LeaseStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new LeaseStub(channel, callOptions);
    }

    /**
     * <pre>
     * Creates a lease: a life span that keys can be attached to.
     * </pre>
     */
    public void leaseGrant(dev.conclave.client.api.LeaseGrantRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.LeaseGrantResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getLeaseGrantMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Revokes a lease and deletes its keys, all at one revision.
     * </pre>
     */
    public void leaseRevoke(dev.conclave.client.api.LeaseRevokeRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.LeaseRevokeResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getLeaseRevokeMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Each request restarts a lease at its full TTL and is answered in order.
     * </pre>
     */
    public io.grpc.stub.StreamObserver<dev.conclave.client.api.LeaseKeepAliveRequest> leaseKeepAlive(
        io.grpc.stub.StreamObserver<dev.conclave.client.api.LeaseKeepAliveResponse> responseObserver) {
      return io.grpc.stub.ClientCalls.asyncBidiStreamingCall(
          getChannel().newCall(getLeaseKeepAliveMethod(), getCallOptions()), responseObserver);
    }

    /**
     * <pre>
     * The remaining time of a lease, and its attached keys.
     * </pre>
     */
    public void leaseTimeToLive(dev.conclave.client.api.LeaseTimeToLiveRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.LeaseTimeToLiveResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getLeaseTimeToLiveMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * All leases, the first to expire first.
     * </pre>
     */
    public void leaseLeases(dev.conclave.client.api.LeaseLeasesRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.LeaseLeasesResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getLeaseLeasesMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service Lease.
   */
  public static final class LeaseBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<LeaseBlockingV2Stub> {
    private LeaseBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected LeaseBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new LeaseBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Creates a lease: a life span that keys can be attached to.
     * </pre>
     */
    public dev.conclave.client.api.LeaseGrantResponse leaseGrant(dev.conclave.client.api.LeaseGrantRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getLeaseGrantMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Revokes a lease and deletes its keys, all at one revision.
     * </pre>
     */
    public dev.conclave.client.api.LeaseRevokeResponse leaseRevoke(dev.conclave.client.api.LeaseRevokeRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getLeaseRevokeMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Each request restarts a lease at its full TTL and is answered in order.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<dev.conclave.client.api.LeaseKeepAliveRequest, dev.conclave.client.api.LeaseKeepAliveResponse>
        leaseKeepAlive() {
      return io.grpc.stub.ClientCalls.blockingBidiStreamingCall(
          getChannel(), getLeaseKeepAliveMethod(), getCallOptions());
    }

    /**
     * <pre>
     * The remaining time of a lease, and its attached keys.
     * </pre>
     */
    public dev.conclave.client.api.LeaseTimeToLiveResponse leaseTimeToLive(dev.conclave.client.api.LeaseTimeToLiveRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getLeaseTimeToLiveMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * All leases, the first to expire first.
     * </pre>
     */
    public dev.conclave.client.api.LeaseLeasesResponse leaseLeases(dev.conclave.client.api.LeaseLeasesRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getLeaseLeasesMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service Lease.
   */
  public static final class LeaseBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<LeaseBlockingStub> {
    private LeaseBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected LeaseBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new LeaseBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Creates a lease: a life span that keys can be attached to.
     * </pre>
     */
    public dev.conclave.client.api.LeaseGrantResponse leaseGrant(dev.conclave.client.api.LeaseGrantRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getLeaseGrantMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Revokes a lease and deletes its keys, all at one revision.
     * </pre>
     */
    public dev.conclave.client.api.LeaseRevokeResponse leaseRevoke(dev.conclave.client.api.LeaseRevokeRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getLeaseRevokeMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * The remaining time of a lease, and its attached keys.
     * </pre>
     */
    public dev.conclave.client.api.LeaseTimeToLiveResponse leaseTimeToLive(dev.conclave.client.api.LeaseTimeToLiveRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getLeaseTimeToLiveMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * All leases, the first to expire first.
     * </pre>
     */
    public dev.conclave.client.api.LeaseLeasesResponse leaseLeases(dev.conclave.client.api.LeaseLeasesRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getLeaseLeasesMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service Lease.
   */
  public static final class LeaseFutureStub
      extends io.grpc.stub.AbstractFutureStub<LeaseFutureStub> {
    private LeaseFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected LeaseFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new LeaseFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Creates a lease: a life span that keys can be attached to.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.LeaseGrantResponse> leaseGrant(
        dev.conclave.client.api.LeaseGrantRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getLeaseGrantMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Revokes a lease and deletes its keys, all at one revision.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.LeaseRevokeResponse> leaseRevoke(
        dev.conclave.client.api.LeaseRevokeRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getLeaseRevokeMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * The remaining time of a lease, and its attached keys.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.LeaseTimeToLiveResponse> leaseTimeToLive(
        dev.conclave.client.api.LeaseTimeToLiveRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getLeaseTimeToLiveMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * All leases, the first to expire first.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.LeaseLeasesResponse> leaseLeases(
        dev.conclave.client.api.LeaseLeasesRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getLeaseLeasesMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_LEASE_GRANT = 0;
  private static final int METHODID_LEASE_REVOKE = 1;
  private static final int METHODID_LEASE_TIME_TO_LIVE = 2;
  private static final int METHODID_LEASE_LEASES = 3;
  private static final int METHODID_LEASE_KEEP_ALIVE = 4;

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
        case METHODID_LEASE_GRANT:
          serviceImpl.leaseGrant((dev.conclave.client.api.LeaseGrantRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.LeaseGrantResponse>) responseObserver);
          break;
        case METHODID_LEASE_REVOKE:
          serviceImpl.leaseRevoke((dev.conclave.client.api.LeaseRevokeRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.LeaseRevokeResponse>) responseObserver);
          break;
        case METHODID_LEASE_TIME_TO_LIVE:
          serviceImpl.leaseTimeToLive((dev.conclave.client.api.LeaseTimeToLiveRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.LeaseTimeToLiveResponse>) responseObserver);
          break;
        case METHODID_LEASE_LEASES:
          serviceImpl.leaseLeases((dev.conclave.client.api.LeaseLeasesRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.LeaseLeasesResponse>) responseObserver);
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
        case METHODID_LEASE_KEEP_ALIVE:
          return (io.grpc.stub.StreamObserver<Req>) serviceImpl.leaseKeepAlive(
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.LeaseKeepAliveResponse>) responseObserver);
        default:
          throw new AssertionError();
      }
    }
  }

  public static final io.grpc.ServerServiceDefinition bindService(AsyncService service) {
    return io.grpc.ServerServiceDefinition.builder(getServiceDescriptor())
        .addMethod(
          getLeaseGrantMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.LeaseGrantRequest,
              dev.conclave.client.api.LeaseGrantResponse>(
                service, METHODID_LEASE_GRANT)))
        .addMethod(
          getLeaseRevokeMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.LeaseRevokeRequest,
              dev.conclave.client.api.LeaseRevokeResponse>(
                service, METHODID_LEASE_REVOKE)))
        .addMethod(
          getLeaseKeepAliveMethod(),
          io.grpc.stub.ServerCalls.asyncBidiStreamingCall(
            new MethodHandlers<
              dev.conclave.client.api.LeaseKeepAliveRequest,
              dev.conclave.client.api.LeaseKeepAliveResponse>(
                service, METHODID_LEASE_KEEP_ALIVE)))
        .addMethod(
          getLeaseTimeToLiveMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.LeaseTimeToLiveRequest,
              dev.conclave.client.api.LeaseTimeToLiveResponse>(
                service, METHODID_LEASE_TIME_TO_LIVE)))
        .addMethod(
          getLeaseLeasesMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.LeaseLeasesRequest,
              dev.conclave.client.api.LeaseLeasesResponse>(
                service, METHODID_LEASE_LEASES)))
        .build();
  }

  private static abstract class LeaseBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    LeaseBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return dev.conclave.client.api.RpcProto.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("Lease");
    }
  }

  private static final class LeaseFileDescriptorSupplier
      extends LeaseBaseDescriptorSupplier {
    LeaseFileDescriptorSupplier() {}
  }

  private static final class LeaseMethodDescriptorSupplier
      extends LeaseBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    LeaseMethodDescriptorSupplier(java.lang.String methodName) {
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
      synchronized (LeaseGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new LeaseFileDescriptorSupplier())
              .addMethod(getLeaseGrantMethod())
              .addMethod(getLeaseRevokeMethod())
              .addMethod(getLeaseKeepAliveMethod())
              .addMethod(getLeaseTimeToLiveMethod())
              .addMethod(getLeaseLeasesMethod())
              .build();
        }
      }
    }
    return result;
  }
}
