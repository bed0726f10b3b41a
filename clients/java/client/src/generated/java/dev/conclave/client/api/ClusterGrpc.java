package dev.conclave.client.api;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class ClusterGrpc {

  private ClusterGrpc() {}

  public static final java.lang.String SERVICE_NAME = "etcdserverpb.Cluster";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.MemberAddRequest,
      dev.conclave.client.api.MemberAddResponse> getMemberAddMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "MemberAdd",
      requestType = dev.conclave.client.api.MemberAddRequest.class,
      responseType = dev.conclave.client.api.MemberAddResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.MemberAddRequest,
      dev.conclave.client.api.MemberAddResponse> getMemberAddMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.MemberAddRequest, dev.conclave.client.api.MemberAddResponse> getMemberAddMethod;
    if ((getMemberAddMethod = ClusterGrpc.getMemberAddMethod) == null) {
      synchronized (ClusterGrpc.class) {
        if ((getMemberAddMethod = ClusterGrpc.getMemberAddMethod) == null) {
          ClusterGrpc.getMemberAddMethod = getMemberAddMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.MemberAddRequest, dev.conclave.client.api.MemberAddResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "MemberAdd"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.MemberAddRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.MemberAddResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ClusterMethodDescriptorSupplier("MemberAdd"))
              .build();
        }
      }
    }
    return getMemberAddMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.MemberRemoveRequest,
      dev.conclave.client.api.MemberRemoveResponse> getMemberRemoveMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "MemberRemove",
      requestType = dev.conclave.client.api.MemberRemoveRequest.class,
      responseType = dev.conclave.client.api.MemberRemoveResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.MemberRemoveRequest,
      dev.conclave.client.api.MemberRemoveResponse> getMemberRemoveMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.MemberRemoveRequest, dev.conclave.client.api.MemberRemoveResponse> getMemberRemoveMethod;
    if ((getMemberRemoveMethod = ClusterGrpc.getMemberRemoveMethod) == null) {
      synchronized (ClusterGrpc.class) {
        if ((getMemberRemoveMethod = ClusterGrpc.getMemberRemoveMethod) == null) {
          ClusterGrpc.getMemberRemoveMethod = getMemberRemoveMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.MemberRemoveRequest, dev.conclave.client.api.MemberRemoveResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "MemberRemove"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.MemberRemoveRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.MemberRemoveResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ClusterMethodDescriptorSupplier("MemberRemove"))
              .build();
        }
      }
    }
    return getMemberRemoveMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.MemberUpdateRequest,
      dev.conclave.client.api.MemberUpdateResponse> getMemberUpdateMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "MemberUpdate",
      requestType = dev.conclave.client.api.MemberUpdateRequest.class,
      responseType = dev.conclave.client.api.MemberUpdateResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.MemberUpdateRequest,
      dev.conclave.client.api.MemberUpdateResponse> getMemberUpdateMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.MemberUpdateRequest, dev.conclave.client.api.MemberUpdateResponse> getMemberUpdateMethod;
    if ((getMemberUpdateMethod = ClusterGrpc.getMemberUpdateMethod) == null) {
      synchronized (ClusterGrpc.class) {
        if ((getMemberUpdateMethod = ClusterGrpc.getMemberUpdateMethod) == null) {
          ClusterGrpc.getMemberUpdateMethod = getMemberUpdateMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.MemberUpdateRequest, dev.conclave.client.api.MemberUpdateResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "MemberUpdate"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.MemberUpdateRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.MemberUpdateResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ClusterMethodDescriptorSupplier("MemberUpdate"))
              .build();
        }
      }
    }
    return getMemberUpdateMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.MemberListRequest,
      dev.conclave.client.api.MemberListResponse> getMemberListMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "MemberList",
      requestType = dev.conclave.client.api.MemberListRequest.class,
      responseType = dev.conclave.client.api.MemberListResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.MemberListRequest,
      dev.conclave.client.api.MemberListResponse> getMemberListMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.MemberListRequest, dev.conclave.client.api.MemberListResponse> getMemberListMethod;
    if ((getMemberListMethod = ClusterGrpc.getMemberListMethod) == null) {
      synchronized (ClusterGrpc.class) {
        if ((getMemberListMethod = ClusterGrpc.getMemberListMethod) == null) {
          ClusterGrpc.getMemberListMethod = getMemberListMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.MemberListRequest, dev.conclave.client.api.MemberListResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "MemberList"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.MemberListRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.MemberListResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ClusterMethodDescriptorSupplier("MemberList"))
              .build();
        }
      }
    }
    return getMemberListMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.MemberPromoteRequest,
      dev.conclave.client.api.MemberPromoteResponse> getMemberPromoteMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "MemberPromote",
      requestType = dev.conclave.client.api.MemberPromoteRequest.class,
      responseType = dev.conclave.client.api.MemberPromoteResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.MemberPromoteRequest,
      dev.conclave.client.api.MemberPromoteResponse> getMemberPromoteMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.MemberPromoteRequest, dev.conclave.client.api.MemberPromoteResponse> getMemberPromoteMethod;
    if ((getMemberPromoteMethod = ClusterGrpc.getMemberPromoteMethod) == null) {
      synchronized (ClusterGrpc.class) {
        if ((getMemberPromoteMethod = ClusterGrpc.getMemberPromoteMethod) == null) {
          ClusterGrpc.getMemberPromoteMethod = getMemberPromoteMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.MemberPromoteRequest, dev.conclave.client.api.MemberPromoteResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "MemberPromote"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.MemberPromoteRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.MemberPromoteResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ClusterMethodDescriptorSupplier("MemberPromote"))
              .build();
        }
      }
    }
    return getMemberPromoteMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static ClusterStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ClusterStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ClusterStub>() {
        @java.lang.Override
        public ClusterStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ClusterStub(channel, callOptions);
        }
      };
    return ClusterStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static ClusterBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ClusterBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ClusterBlockingV2Stub>() {
        @java.lang.Override
        public ClusterBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ClusterBlockingV2Stub(channel, callOptions);
        }
      };
    return ClusterBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static ClusterBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ClusterBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ClusterBlockingStub>() {
        @java.lang.Override
        public ClusterBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ClusterBlockingStub(channel, callOptions);
        }
      };
    return ClusterBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static ClusterFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ClusterFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ClusterFutureStub>() {
        @java.lang.Override
        public ClusterFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ClusterFutureStub(channel, callOptions);
        }
      };
    return ClusterFutureStub.newStub(factory, channel);
  }

  /**
   */
  public interface AsyncService {

    /**
     * <pre>
     * Adds a member, as voter or learner, before its process is started.
     * </pre>
     */
    default void memberAdd(dev.conclave.client.api.MemberAddRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.MemberAddResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getMemberAddMethod(), responseObserver);
    }

    /**
     * <pre>
     * Removes a member permanently; its id is never reused.
     * </pre>
     */
    default void memberRemove(dev.conclave.client.api.MemberRemoveRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.MemberRemoveResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getMemberRemoveMethod(), responseObserver);
    }

    /**
     * <pre>
     * Replaces a member's peer addresses.
     * </pre>
     */
    default void memberUpdate(dev.conclave.client.api.MemberUpdateRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.MemberUpdateResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getMemberUpdateMethod(), responseObserver);
    }

    /**
     */
    default void memberList(dev.conclave.client.api.MemberListRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.MemberListResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getMemberListMethod(), responseObserver);
    }

    /**
     * <pre>
     * Promotes a learner that has caught up to voter.
     * </pre>
     */
    default void memberPromote(dev.conclave.client.api.MemberPromoteRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.MemberPromoteResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getMemberPromoteMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service Cluster.
   */
  public static abstract class ClusterImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return ClusterGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service Cluster.
   */
  public static final class ClusterStub
      extends io.grpc.stub.AbstractAsyncStub<ClusterStub> {
    private ClusterStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ClusterStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ClusterStub(channel, callOptions);
    }

    /**
     * <pre>
     * Adds a member, as voter or learner, before its process is started.
     * </pre>
     */
    public void memberAdd(dev.conclave.client.api.MemberAddRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.MemberAddResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getMemberAddMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Removes a member permanently; its id is never reused.
     * </pre>
     */
    public void memberRemove(dev.conclave.client.api.MemberRemoveRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.MemberRemoveResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getMemberRemoveMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Replaces a member's peer addresses.
     * </pre>
     */
    public void memberUpdate(dev.conclave.client.api.MemberUpdateRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.MemberUpdateResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getMemberUpdateMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     */
    public void memberList(dev.conclave.client.api.MemberListRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.MemberListResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getMemberListMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Promotes a learner that has caught up to voter.
     * </pre>
     */
    public void memberPromote(dev.conclave.client.api.MemberPromoteRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.MemberPromoteResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getMemberPromoteMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service Cluster.
   */
  public static final class ClusterBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<ClusterBlockingV2Stub> {
    private ClusterBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ClusterBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ClusterBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Adds a member, as voter or learner, before its process is started.
     * </pre>
     */
    public dev.conclave.client.api.MemberAddResponse memberAdd(dev.conclave.client.api.MemberAddRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getMemberAddMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Removes a member permanently; its id is never reused.
     * </pre>
     */
    public dev.conclave.client.api.MemberRemoveResponse memberRemove(dev.conclave.client.api.MemberRemoveRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getMemberRemoveMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Replaces a member's peer addresses.
     * </pre>
     */
    public dev.conclave.client.api.MemberUpdateResponse memberUpdate(dev.conclave.client.api.MemberUpdateRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getMemberUpdateMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.conclave.client.api.MemberListResponse memberList(dev.conclave.client.api.MemberListRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getMemberListMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Promotes a learner that has caught up to voter.
     * </pre>
     */
    public dev.conclave.client.api.MemberPromoteResponse memberPromote(dev.conclave.client.api.MemberPromoteRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getMemberPromoteMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service Cluster.
   */
  public static final class ClusterBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<ClusterBlockingStub> {
    private ClusterBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ClusterBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ClusterBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Adds a member, as voter or learner, before its process is started.
     * </pre>
     */
    public dev.conclave.client.api.MemberAddResponse memberAdd(dev.conclave.client.api.MemberAddRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getMemberAddMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Removes a member permanently; its id is never reused.
     * </pre>
     */
    public dev.conclave.client.api.MemberRemoveResponse memberRemove(dev.conclave.client.api.MemberRemoveRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getMemberRemoveMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Replaces a member's peer addresses.
     * </pre>
     */
    public dev.conclave.client.api.MemberUpdateResponse memberUpdate(dev.conclave.client.api.MemberUpdateRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getMemberUpdateMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.conclave.client.api.MemberListResponse memberList(dev.conclave.client.api.MemberListRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getMemberListMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Promotes a learner that has caught up to voter.
     * </pre>
     */
    public dev.conclave.client.api.MemberPromoteResponse memberPromote(dev.conclave.client.api.MemberPromoteRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getMemberPromoteMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service Cluster.
   */
  public static final class ClusterFutureStub
      extends io.grpc.stub.AbstractFutureStub<ClusterFutureStub> {
    private ClusterFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ClusterFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ClusterFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Adds a member, as voter or learner, before its process is started.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.MemberAddResponse> memberAdd(
        dev.conclave.client.api.MemberAddRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getMemberAddMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Removes a member permanently; its id is never reused.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.MemberRemoveResponse> memberRemove(
        dev.conclave.client.api.MemberRemoveRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getMemberRemoveMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Replaces a member's peer addresses.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.MemberUpdateResponse> memberUpdate(
        dev.conclave.client.api.MemberUpdateRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getMemberUpdateMethod(), getCallOptions()), request);
    }

    /**
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.MemberListResponse> memberList(
        dev.conclave.client.api.MemberListRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getMemberListMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Promotes a learner that has caught up to voter.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.MemberPromoteResponse> memberPromote(
        dev.conclave.client.api.MemberPromoteRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getMemberPromoteMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_MEMBER_ADD = 0;
  private static final int METHODID_MEMBER_REMOVE = 1;
  private static final int METHODID_MEMBER_UPDATE = 2;
  private static final int METHODID_MEMBER_LIST = 3;
  private static final int METHODID_MEMBER_PROMOTE = 4;

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
        case METHODID_MEMBER_ADD:
          serviceImpl.memberAdd((dev.conclave.client.api.MemberAddRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.MemberAddResponse>) responseObserver);
          break;
        case METHODID_MEMBER_REMOVE:
          serviceImpl.memberRemove((dev.conclave.client.api.MemberRemoveRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.MemberRemoveResponse>) responseObserver);
          break;
        case METHODID_MEMBER_UPDATE:
          serviceImpl.memberUpdate((dev.conclave.client.api.MemberUpdateRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.MemberUpdateResponse>) responseObserver);
          break;
        case METHODID_MEMBER_LIST:
          serviceImpl.memberList((dev.conclave.client.api.MemberListRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.MemberListResponse>) responseObserver);
          break;
        case METHODID_MEMBER_PROMOTE:
          serviceImpl.memberPromote((dev.conclave.client.api.MemberPromoteRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.MemberPromoteResponse>) responseObserver);
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
          getMemberAddMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.MemberAddRequest,
              dev.conclave.client.api.MemberAddResponse>(
                service, METHODID_MEMBER_ADD)))
        .addMethod(
          getMemberRemoveMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.MemberRemoveRequest,
              dev.conclave.client.api.MemberRemoveResponse>(
                service, METHODID_MEMBER_REMOVE)))
        .addMethod(
          getMemberUpdateMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.MemberUpdateRequest,
              dev.conclave.client.api.MemberUpdateResponse>(
                service, METHODID_MEMBER_UPDATE)))
        .addMethod(
          getMemberListMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.MemberListRequest,
              dev.conclave.client.api.MemberListResponse>(
                service, METHODID_MEMBER_LIST)))
        .addMethod(
          getMemberPromoteMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.MemberPromoteRequest,
              dev.conclave.client.api.MemberPromoteResponse>(
                service, METHODID_MEMBER_PROMOTE)))
        .build();
  }

  private static abstract class ClusterBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    ClusterBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return dev.conclave.client.api.RpcProto.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("Cluster");
    }
  }

  private static final class ClusterFileDescriptorSupplier
      extends ClusterBaseDescriptorSupplier {
    ClusterFileDescriptorSupplier() {}
  }

  private static final class ClusterMethodDescriptorSupplier
      extends ClusterBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    ClusterMethodDescriptorSupplier(java.lang.String methodName) {
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
      synchronized (ClusterGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new ClusterFileDescriptorSupplier())
              .addMethod(getMemberAddMethod())
              .addMethod(getMemberRemoveMethod())
              .addMethod(getMemberUpdateMethod())
              .addMethod(getMemberListMethod())
              .addMethod(getMemberPromoteMethod())
              .build();
        }
      }
    }
    return result;
  }
}
