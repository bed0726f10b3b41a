package dev.conclave.client.api;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class ElectionGrpc {

  private ElectionGrpc() {}

  public static final java.lang.String SERVICE_NAME = "v3electionpb.Election";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.CampaignRequest,
      dev.conclave.client.api.CampaignResponse> getCampaignMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Campaign",
      requestType = dev.conclave.client.api.CampaignRequest.class,
      responseType = dev.conclave.client.api.CampaignResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.CampaignRequest,
      dev.conclave.client.api.CampaignResponse> getCampaignMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.CampaignRequest, dev.conclave.client.api.CampaignResponse> getCampaignMethod;
    if ((getCampaignMethod = ElectionGrpc.getCampaignMethod) == null) {
      synchronized (ElectionGrpc.class) {
        if ((getCampaignMethod = ElectionGrpc.getCampaignMethod) == null) {
          ElectionGrpc.getCampaignMethod = getCampaignMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.CampaignRequest, dev.conclave.client.api.CampaignResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Campaign"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.CampaignRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.CampaignResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ElectionMethodDescriptorSupplier("Campaign"))
              .build();
        }
      }
    }
    return getCampaignMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.ProclaimRequest,
      dev.conclave.client.api.ProclaimResponse> getProclaimMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Proclaim",
      requestType = dev.conclave.client.api.ProclaimRequest.class,
      responseType = dev.conclave.client.api.ProclaimResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.ProclaimRequest,
      dev.conclave.client.api.ProclaimResponse> getProclaimMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.ProclaimRequest, dev.conclave.client.api.ProclaimResponse> getProclaimMethod;
    if ((getProclaimMethod = ElectionGrpc.getProclaimMethod) == null) {
      synchronized (ElectionGrpc.class) {
        if ((getProclaimMethod = ElectionGrpc.getProclaimMethod) == null) {
          ElectionGrpc.getProclaimMethod = getProclaimMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.ProclaimRequest, dev.conclave.client.api.ProclaimResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Proclaim"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.ProclaimRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.ProclaimResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ElectionMethodDescriptorSupplier("Proclaim"))
              .build();
        }
      }
    }
    return getProclaimMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.LeaderRequest,
      dev.conclave.client.api.LeaderResponse> getLeaderMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Leader",
      requestType = dev.conclave.client.api.LeaderRequest.class,
      responseType = dev.conclave.client.api.LeaderResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.LeaderRequest,
      dev.conclave.client.api.LeaderResponse> getLeaderMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.LeaderRequest, dev.conclave.client.api.LeaderResponse> getLeaderMethod;
    if ((getLeaderMethod = ElectionGrpc.getLeaderMethod) == null) {
      synchronized (ElectionGrpc.class) {
        if ((getLeaderMethod = ElectionGrpc.getLeaderMethod) == null) {
          ElectionGrpc.getLeaderMethod = getLeaderMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.LeaderRequest, dev.conclave.client.api.LeaderResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Leader"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.LeaderRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.LeaderResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ElectionMethodDescriptorSupplier("Leader"))
              .build();
        }
      }
    }
    return getLeaderMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.LeaderRequest,
      dev.conclave.client.api.LeaderResponse> getObserveMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Observe",
      requestType = dev.conclave.client.api.LeaderRequest.class,
      responseType = dev.conclave.client.api.LeaderResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.LeaderRequest,
      dev.conclave.client.api.LeaderResponse> getObserveMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.LeaderRequest, dev.conclave.client.api.LeaderResponse> getObserveMethod;
    if ((getObserveMethod = ElectionGrpc.getObserveMethod) == null) {
      synchronized (ElectionGrpc.class) {
        if ((getObserveMethod = ElectionGrpc.getObserveMethod) == null) {
          ElectionGrpc.getObserveMethod = getObserveMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.LeaderRequest, dev.conclave.client.api.LeaderResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Observe"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.LeaderRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.LeaderResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ElectionMethodDescriptorSupplier("Observe"))
              .build();
        }
      }
    }
    return getObserveMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.ResignRequest,
      dev.conclave.client.api.ResignResponse> getResignMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Resign",
      requestType = dev.conclave.client.api.ResignRequest.class,
      responseType = dev.conclave.client.api.ResignResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.ResignRequest,
      dev.conclave.client.api.ResignResponse> getResignMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.ResignRequest, dev.conclave.client.api.ResignResponse> getResignMethod;
    if ((getResignMethod = ElectionGrpc.getResignMethod) == null) {
      synchronized (ElectionGrpc.class) {
        if ((getResignMethod = ElectionGrpc.getResignMethod) == null) {
          ElectionGrpc.getResignMethod = getResignMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.ResignRequest, dev.conclave.client.api.ResignResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Resign"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.ResignRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.ResignResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ElectionMethodDescriptorSupplier("Resign"))
              .build();
        }
      }
    }
    return getResignMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static ElectionStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ElectionStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ElectionStub>() {
        @java.lang.Override
        public ElectionStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ElectionStub(channel, callOptions);
        }
      };
    return ElectionStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static ElectionBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ElectionBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ElectionBlockingV2Stub>() {
        @java.lang.Override
        public ElectionBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ElectionBlockingV2Stub(channel, callOptions);
        }
      };
    return ElectionBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static ElectionBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ElectionBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ElectionBlockingStub>() {
        @java.lang.Override
        public ElectionBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ElectionBlockingStub(channel, callOptions);
        }
      };
    return ElectionBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static ElectionFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ElectionFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ElectionFutureStub>() {
        @java.lang.Override
        public ElectionFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ElectionFutureStub(channel, callOptions);
        }
      };
    return ElectionFutureStub.newStub(factory, channel);
  }

  /**
   */
  public interface AsyncService {

    /**
     * <pre>
     * Waits until the caller leads.
     * </pre>
     */
    default void campaign(dev.conclave.client.api.CampaignRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.CampaignResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getCampaignMethod(), responseObserver);
    }

    /**
     * <pre>
     * Replaces the leader's value. Only the leader can.
     * </pre>
     */
    default void proclaim(dev.conclave.client.api.ProclaimRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.ProclaimResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getProclaimMethod(), responseObserver);
    }

    /**
     * <pre>
     * The present leader; an error if there is none.
     * </pre>
     */
    default void leader(dev.conclave.client.api.LeaderRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.LeaderResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getLeaderMethod(), responseObserver);
    }

    /**
     * <pre>
     * The present leader, then every new leader and every new value of a leader.
     * </pre>
     */
    default void observe(dev.conclave.client.api.LeaderRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.LeaderResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getObserveMethod(), responseObserver);
    }

    /**
     * <pre>
     * Steps down, so that the next candidate leads.
     * </pre>
     */
    default void resign(dev.conclave.client.api.ResignRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.ResignResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getResignMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service Election.
   */
  public static abstract class ElectionImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return ElectionGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service Election.
   */
  public static final class ElectionStub
      extends io.grpc.stub.AbstractAsyncStub<ElectionStub> {
    private ElectionStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ElectionStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ElectionStub(channel, callOptions);
    }

    /**
     * <pre>
     * Waits until the caller leads.
     * </pre>
     */
    public void campaign(dev.conclave.client.api.CampaignRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.CampaignResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getCampaignMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Replaces the leader's value. Only the leader can.
     * </pre>
     */
    public void proclaim(dev.conclave.client.api.ProclaimRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.ProclaimResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getProclaimMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * The present leader; an error if there is none.
     * </pre>
     */
    public void leader(dev.conclave.client.api.LeaderRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.LeaderResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getLeaderMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * The present leader, then every new leader and every new value of a leader.
     * </pre>
     */
    public void observe(dev.conclave.client.api.LeaderRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.LeaderResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncServerStreamingCall(
          getChannel().newCall(getObserveMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Steps down, so that the next candidate leads.
     * </pre>
     */
    public void resign(dev.conclave.client.api.ResignRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.ResignResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getResignMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service Election.
   */
  public static final class ElectionBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<ElectionBlockingV2Stub> {
    private ElectionBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ElectionBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ElectionBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Waits until the caller leads.
     * </pre>
     */
    public dev.conclave.client.api.CampaignResponse campaign(dev.conclave.client.api.CampaignRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getCampaignMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Replaces the leader's value. Only the leader can.
     * </pre>
     */
    public dev.conclave.client.api.ProclaimResponse proclaim(dev.conclave.client.api.ProclaimRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getProclaimMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * The present leader; an error if there is none.
     * </pre>
     */
    public dev.conclave.client.api.LeaderResponse leader(dev.conclave.client.api.LeaderRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getLeaderMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * The present leader, then every new leader and every new value of a leader.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<?, dev.conclave.client.api.LeaderResponse>
        observe(dev.conclave.client.api.LeaderRequest request) {
      return io.grpc.stub.ClientCalls.blockingV2ServerStreamingCall(
          getChannel(), getObserveMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Steps down, so that the next candidate leads.
     * </pre>
     */
    public dev.conclave.client.api.ResignResponse resign(dev.conclave.client.api.ResignRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getResignMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service Election.
   */
  public static final class ElectionBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<ElectionBlockingStub> {
    private ElectionBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ElectionBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ElectionBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Waits until the caller leads.
     * </pre>
     */
    public dev.conclave.client.api.CampaignResponse campaign(dev.conclave.client.api.CampaignRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getCampaignMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Replaces the leader's value. Only the leader can.
     * </pre>
     */
    public dev.conclave.client.api.ProclaimResponse proclaim(dev.conclave.client.api.ProclaimRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getProclaimMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * The present leader; an error if there is none.
     * </pre>
     */
    public dev.conclave.client.api.LeaderResponse leader(dev.conclave.client.api.LeaderRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getLeaderMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * The present leader, then every new leader and every new value of a leader.
     * </pre>
     */
    public java.util.Iterator<dev.conclave.client.api.LeaderResponse> observe(
        dev.conclave.client.api.LeaderRequest request) {
      return io.grpc.stub.ClientCalls.blockingServerStreamingCall(
          getChannel(), getObserveMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Steps down, so that the next candidate leads.
     * </pre>
     */
    public dev.conclave.client.api.ResignResponse resign(dev.conclave.client.api.ResignRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getResignMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service Election.
   */
  public static final class ElectionFutureStub
      extends io.grpc.stub.AbstractFutureStub<ElectionFutureStub> {
    private ElectionFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ElectionFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ElectionFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Waits until the caller leads.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.CampaignResponse> campaign(
        dev.conclave.client.api.CampaignRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getCampaignMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Replaces the leader's value. Only the leader can.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.ProclaimResponse> proclaim(
        dev.conclave.client.api.ProclaimRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getProclaimMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * The present leader; an error if there is none.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.LeaderResponse> leader(
        dev.conclave.client.api.LeaderRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getLeaderMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Steps down, so that the next candidate leads.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.ResignResponse> resign(
        dev.conclave.client.api.ResignRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getResignMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_CAMPAIGN = 0;
  private static final int METHODID_PROCLAIM = 1;
  private static final int METHODID_LEADER = 2;
  private static final int METHODID_OBSERVE = 3;
  private static final int METHODID_RESIGN = 4;

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
        case METHODID_CAMPAIGN:
          serviceImpl.campaign((dev.conclave.client.api.CampaignRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.CampaignResponse>) responseObserver);
          break;
        case METHODID_PROCLAIM:
          serviceImpl.proclaim((dev.conclave.client.api.ProclaimRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.ProclaimResponse>) responseObserver);
          break;
        case METHODID_LEADER:
          serviceImpl.leader((dev.conclave.client.api.LeaderRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.LeaderResponse>) responseObserver);
          break;
        case METHODID_OBSERVE:
          serviceImpl.observe((dev.conclave.client.api.LeaderRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.LeaderResponse>) responseObserver);
          break;
        case METHODID_RESIGN:
          serviceImpl.resign((dev.conclave.client.api.ResignRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.ResignResponse>) responseObserver);
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
          getCampaignMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.CampaignRequest,
              dev.conclave.client.api.CampaignResponse>(
                service, METHODID_CAMPAIGN)))
        .addMethod(
          getProclaimMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.ProclaimRequest,
              dev.conclave.client.api.ProclaimResponse>(
                service, METHODID_PROCLAIM)))
        .addMethod(
          getLeaderMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.LeaderRequest,
              dev.conclave.client.api.LeaderResponse>(
                service, METHODID_LEADER)))
        .addMethod(
          getObserveMethod(),
          io.grpc.stub.ServerCalls.asyncServerStreamingCall(
            new MethodHandlers<
              dev.conclave.client.api.LeaderRequest,
              dev.conclave.client.api.LeaderResponse>(
                service, METHODID_OBSERVE)))
        .addMethod(
          getResignMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.ResignRequest,
              dev.conclave.client.api.ResignResponse>(
                service, METHODID_RESIGN)))
        .build();
  }

  private static abstract class ElectionBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    ElectionBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return dev.conclave.client.api.ElectionProto.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("Election");
    }
  }

  private static final class ElectionFileDescriptorSupplier
      extends ElectionBaseDescriptorSupplier {
    ElectionFileDescriptorSupplier() {}
  }

  private static final class ElectionMethodDescriptorSupplier
      extends ElectionBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    ElectionMethodDescriptorSupplier(java.lang.String methodName) {
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
      synchronized (ElectionGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new ElectionFileDescriptorSupplier())
              .addMethod(getCampaignMethod())
              .addMethod(getProclaimMethod())
              .addMethod(getLeaderMethod())
              .addMethod(getObserveMethod())
              .addMethod(getResignMethod())
              .build();
        }
      }
    }
    return result;
  }
}
