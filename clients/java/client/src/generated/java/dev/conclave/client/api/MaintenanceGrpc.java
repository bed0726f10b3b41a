package dev.conclave.client.api;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class MaintenanceGrpc {

  private MaintenanceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "etcdserverpb.Maintenance";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.AlarmRequest,
      dev.conclave.client.api.AlarmResponse> getAlarmMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Alarm",
      requestType = dev.conclave.client.api.AlarmRequest.class,
      responseType = dev.conclave.client.api.AlarmResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.AlarmRequest,
      dev.conclave.client.api.AlarmResponse> getAlarmMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.AlarmRequest, dev.conclave.client.api.AlarmResponse> getAlarmMethod;
    if ((getAlarmMethod = MaintenanceGrpc.getAlarmMethod) == null) {
      synchronized (MaintenanceGrpc.class) {
        if ((getAlarmMethod = MaintenanceGrpc.getAlarmMethod) == null) {
          MaintenanceGrpc.getAlarmMethod = getAlarmMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.AlarmRequest, dev.conclave.client.api.AlarmResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Alarm"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AlarmRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AlarmResponse.getDefaultInstance()))
              .setSchemaDescriptor(new MaintenanceMethodDescriptorSupplier("Alarm"))
              .build();
        }
      }
    }
    return getAlarmMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.StatusRequest,
      dev.conclave.client.api.StatusResponse> getStatusMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Status",
      requestType = dev.conclave.client.api.StatusRequest.class,
      responseType = dev.conclave.client.api.StatusResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.StatusRequest,
      dev.conclave.client.api.StatusResponse> getStatusMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.StatusRequest, dev.conclave.client.api.StatusResponse> getStatusMethod;
    if ((getStatusMethod = MaintenanceGrpc.getStatusMethod) == null) {
      synchronized (MaintenanceGrpc.class) {
        if ((getStatusMethod = MaintenanceGrpc.getStatusMethod) == null) {
          MaintenanceGrpc.getStatusMethod = getStatusMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.StatusRequest, dev.conclave.client.api.StatusResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Status"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.StatusRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.StatusResponse.getDefaultInstance()))
              .setSchemaDescriptor(new MaintenanceMethodDescriptorSupplier("Status"))
              .build();
        }
      }
    }
    return getStatusMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.DefragmentRequest,
      dev.conclave.client.api.DefragmentResponse> getDefragmentMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Defragment",
      requestType = dev.conclave.client.api.DefragmentRequest.class,
      responseType = dev.conclave.client.api.DefragmentResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.DefragmentRequest,
      dev.conclave.client.api.DefragmentResponse> getDefragmentMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.DefragmentRequest, dev.conclave.client.api.DefragmentResponse> getDefragmentMethod;
    if ((getDefragmentMethod = MaintenanceGrpc.getDefragmentMethod) == null) {
      synchronized (MaintenanceGrpc.class) {
        if ((getDefragmentMethod = MaintenanceGrpc.getDefragmentMethod) == null) {
          MaintenanceGrpc.getDefragmentMethod = getDefragmentMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.DefragmentRequest, dev.conclave.client.api.DefragmentResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Defragment"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.DefragmentRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.DefragmentResponse.getDefaultInstance()))
              .setSchemaDescriptor(new MaintenanceMethodDescriptorSupplier("Defragment"))
              .build();
        }
      }
    }
    return getDefragmentMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.HashRequest,
      dev.conclave.client.api.HashResponse> getHashMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Hash",
      requestType = dev.conclave.client.api.HashRequest.class,
      responseType = dev.conclave.client.api.HashResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.HashRequest,
      dev.conclave.client.api.HashResponse> getHashMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.HashRequest, dev.conclave.client.api.HashResponse> getHashMethod;
    if ((getHashMethod = MaintenanceGrpc.getHashMethod) == null) {
      synchronized (MaintenanceGrpc.class) {
        if ((getHashMethod = MaintenanceGrpc.getHashMethod) == null) {
          MaintenanceGrpc.getHashMethod = getHashMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.HashRequest, dev.conclave.client.api.HashResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Hash"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.HashRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.HashResponse.getDefaultInstance()))
              .setSchemaDescriptor(new MaintenanceMethodDescriptorSupplier("Hash"))
              .build();
        }
      }
    }
    return getHashMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.HashKVRequest,
      dev.conclave.client.api.HashKVResponse> getHashKVMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "HashKV",
      requestType = dev.conclave.client.api.HashKVRequest.class,
      responseType = dev.conclave.client.api.HashKVResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.HashKVRequest,
      dev.conclave.client.api.HashKVResponse> getHashKVMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.HashKVRequest, dev.conclave.client.api.HashKVResponse> getHashKVMethod;
    if ((getHashKVMethod = MaintenanceGrpc.getHashKVMethod) == null) {
      synchronized (MaintenanceGrpc.class) {
        if ((getHashKVMethod = MaintenanceGrpc.getHashKVMethod) == null) {
          MaintenanceGrpc.getHashKVMethod = getHashKVMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.HashKVRequest, dev.conclave.client.api.HashKVResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "HashKV"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.HashKVRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.HashKVResponse.getDefaultInstance()))
              .setSchemaDescriptor(new MaintenanceMethodDescriptorSupplier("HashKV"))
              .build();
        }
      }
    }
    return getHashKVMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.SnapshotRequest,
      dev.conclave.client.api.SnapshotResponse> getSnapshotMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Snapshot",
      requestType = dev.conclave.client.api.SnapshotRequest.class,
      responseType = dev.conclave.client.api.SnapshotResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.SnapshotRequest,
      dev.conclave.client.api.SnapshotResponse> getSnapshotMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.SnapshotRequest, dev.conclave.client.api.SnapshotResponse> getSnapshotMethod;
    if ((getSnapshotMethod = MaintenanceGrpc.getSnapshotMethod) == null) {
      synchronized (MaintenanceGrpc.class) {
        if ((getSnapshotMethod = MaintenanceGrpc.getSnapshotMethod) == null) {
          MaintenanceGrpc.getSnapshotMethod = getSnapshotMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.SnapshotRequest, dev.conclave.client.api.SnapshotResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Snapshot"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.SnapshotRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.SnapshotResponse.getDefaultInstance()))
              .setSchemaDescriptor(new MaintenanceMethodDescriptorSupplier("Snapshot"))
              .build();
        }
      }
    }
    return getSnapshotMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.MoveLeaderRequest,
      dev.conclave.client.api.MoveLeaderResponse> getMoveLeaderMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "MoveLeader",
      requestType = dev.conclave.client.api.MoveLeaderRequest.class,
      responseType = dev.conclave.client.api.MoveLeaderResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.MoveLeaderRequest,
      dev.conclave.client.api.MoveLeaderResponse> getMoveLeaderMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.MoveLeaderRequest, dev.conclave.client.api.MoveLeaderResponse> getMoveLeaderMethod;
    if ((getMoveLeaderMethod = MaintenanceGrpc.getMoveLeaderMethod) == null) {
      synchronized (MaintenanceGrpc.class) {
        if ((getMoveLeaderMethod = MaintenanceGrpc.getMoveLeaderMethod) == null) {
          MaintenanceGrpc.getMoveLeaderMethod = getMoveLeaderMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.MoveLeaderRequest, dev.conclave.client.api.MoveLeaderResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "MoveLeader"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.MoveLeaderRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.MoveLeaderResponse.getDefaultInstance()))
              .setSchemaDescriptor(new MaintenanceMethodDescriptorSupplier("MoveLeader"))
              .build();
        }
      }
    }
    return getMoveLeaderMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.DowngradeRequest,
      dev.conclave.client.api.DowngradeResponse> getDowngradeMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Downgrade",
      requestType = dev.conclave.client.api.DowngradeRequest.class,
      responseType = dev.conclave.client.api.DowngradeResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.DowngradeRequest,
      dev.conclave.client.api.DowngradeResponse> getDowngradeMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.DowngradeRequest, dev.conclave.client.api.DowngradeResponse> getDowngradeMethod;
    if ((getDowngradeMethod = MaintenanceGrpc.getDowngradeMethod) == null) {
      synchronized (MaintenanceGrpc.class) {
        if ((getDowngradeMethod = MaintenanceGrpc.getDowngradeMethod) == null) {
          MaintenanceGrpc.getDowngradeMethod = getDowngradeMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.DowngradeRequest, dev.conclave.client.api.DowngradeResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Downgrade"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.DowngradeRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.DowngradeResponse.getDefaultInstance()))
              .setSchemaDescriptor(new MaintenanceMethodDescriptorSupplier("Downgrade"))
              .build();
        }
      }
    }
    return getDowngradeMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static MaintenanceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<MaintenanceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<MaintenanceStub>() {
        @java.lang.Override
        public MaintenanceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new MaintenanceStub(channel, callOptions);
        }
      };
    return MaintenanceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static MaintenanceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<MaintenanceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<MaintenanceBlockingV2Stub>() {
        @java.lang.Override
        public MaintenanceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new MaintenanceBlockingV2Stub(channel, callOptions);
        }
      };
    return MaintenanceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static MaintenanceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<MaintenanceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<MaintenanceBlockingStub>() {
        @java.lang.Override
        public MaintenanceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new MaintenanceBlockingStub(channel, callOptions);
        }
      };
    return MaintenanceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static MaintenanceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<MaintenanceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<MaintenanceFutureStub>() {
        @java.lang.Override
        public MaintenanceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new MaintenanceFutureStub(channel, callOptions);
        }
      };
    return MaintenanceFutureStub.newStub(factory, channel);
  }

  /**
   */
  public interface AsyncService {

    /**
     * <pre>
     * Lists, raises or clears alarms, cluster-wide.
     * </pre>
     */
    default void alarm(dev.conclave.client.api.AlarmRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AlarmResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getAlarmMethod(), responseObserver);
    }

    /**
     * <pre>
     * State of the requested member. A learner answers, too.
     * </pre>
     */
    default void status(dev.conclave.client.api.StatusRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.StatusResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getStatusMethod(), responseObserver);
    }

    /**
     * <pre>
     * Returns free space of the requested member to the file system.
     * </pre>
     */
    default void defragment(dev.conclave.client.api.DefragmentRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.DefragmentResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getDefragmentMethod(), responseObserver);
    }

    /**
     * <pre>
     * Hash over everything a member stores, history included. For tests; not comparable between
     * members.
     * </pre>
     */
    default void hash(dev.conclave.client.api.HashRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.HashResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getHashMethod(), responseObserver);
    }

    /**
     * <pre>
     * Hash over the history up to a revision. Equal on all members, and before and after compaction
     * at that revision.
     * </pre>
     */
    default void hashKV(dev.conclave.client.api.HashKVRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.HashKVResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getHashKVMethod(), responseObserver);
    }

    /**
     * <pre>
     * A backup of the requested member, as a stream of blobs.
     * </pre>
     */
    default void snapshot(dev.conclave.client.api.SnapshotRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.SnapshotResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getSnapshotMethod(), responseObserver);
    }

    /**
     * <pre>
     * Transfers leadership to another voter. Only the leader can.
     * </pre>
     */
    default void moveLeader(dev.conclave.client.api.MoveLeaderRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.MoveLeaderResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getMoveLeaderMethod(), responseObserver);
    }

    /**
     * <pre>
     * Validates, enables or cancels a downgrade by one minor version.
     * </pre>
     */
    default void downgrade(dev.conclave.client.api.DowngradeRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.DowngradeResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getDowngradeMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service Maintenance.
   */
  public static abstract class MaintenanceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return MaintenanceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service Maintenance.
   */
  public static final class MaintenanceStub
      extends io.grpc.stub.AbstractAsyncStub<MaintenanceStub> {
    private MaintenanceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected MaintenanceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new MaintenanceStub(channel, callOptions);
    }

    /**
     * <pre>
     * Lists, raises or clears alarms, cluster-wide.
     * </pre>
     */
    public void alarm(dev.conclave.client.api.AlarmRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AlarmResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getAlarmMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * State of the requested member. A learner answers, too.
     * </pre>
     */
    public void status(dev.conclave.client.api.StatusRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.StatusResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getStatusMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Returns free space of the requested member to the file system.
     * </pre>
     */
    public void defragment(dev.conclave.client.api.DefragmentRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.DefragmentResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getDefragmentMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Hash over everything a member stores, history included. For tests; not comparable between
     * members.
     * </pre>
     */
    public void hash(dev.conclave.client.api.HashRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.HashResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getHashMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Hash over the history up to a revision. Equal on all members, and before and after compaction
     * at that revision.
     * </pre>
     */
    public void hashKV(dev.conclave.client.api.HashKVRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.HashKVResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getHashKVMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * A backup of the requested member, as a stream of blobs.
     * </pre>
     */
    public void snapshot(dev.conclave.client.api.SnapshotRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.SnapshotResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncServerStreamingCall(
          getChannel().newCall(getSnapshotMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Transfers leadership to another voter. Only the leader can.
     * </pre>
     */
    public void moveLeader(dev.conclave.client.api.MoveLeaderRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.MoveLeaderResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getMoveLeaderMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Validates, enables or cancels a downgrade by one minor version.
     * </pre>
     */
    public void downgrade(dev.conclave.client.api.DowngradeRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.DowngradeResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getDowngradeMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service Maintenance.
   */
  public static final class MaintenanceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<MaintenanceBlockingV2Stub> {
    private MaintenanceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected MaintenanceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new MaintenanceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Lists, raises or clears alarms, cluster-wide.
     * </pre>
     */
    public dev.conclave.client.api.AlarmResponse alarm(dev.conclave.client.api.AlarmRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getAlarmMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * State of the requested member. A learner answers, too.
     * </pre>
     */
    public dev.conclave.client.api.StatusResponse status(dev.conclave.client.api.StatusRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getStatusMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns free space of the requested member to the file system.
     * </pre>
     */
    public dev.conclave.client.api.DefragmentResponse defragment(dev.conclave.client.api.DefragmentRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getDefragmentMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Hash over everything a member stores, history included. For tests; not comparable between
     * members.
     * </pre>
     */
    public dev.conclave.client.api.HashResponse hash(dev.conclave.client.api.HashRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getHashMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Hash over the history up to a revision. Equal on all members, and before and after compaction
     * at that revision.
     * </pre>
     */
    public dev.conclave.client.api.HashKVResponse hashKV(dev.conclave.client.api.HashKVRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getHashKVMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * A backup of the requested member, as a stream of blobs.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<?, dev.conclave.client.api.SnapshotResponse>
        snapshot(dev.conclave.client.api.SnapshotRequest request) {
      return io.grpc.stub.ClientCalls.blockingV2ServerStreamingCall(
          getChannel(), getSnapshotMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Transfers leadership to another voter. Only the leader can.
     * </pre>
     */
    public dev.conclave.client.api.MoveLeaderResponse moveLeader(dev.conclave.client.api.MoveLeaderRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getMoveLeaderMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Validates, enables or cancels a downgrade by one minor version.
     * </pre>
     */
    public dev.conclave.client.api.DowngradeResponse downgrade(dev.conclave.client.api.DowngradeRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getDowngradeMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service Maintenance.
   */
  public static final class MaintenanceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<MaintenanceBlockingStub> {
    private MaintenanceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected MaintenanceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new MaintenanceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Lists, raises or clears alarms, cluster-wide.
     * </pre>
     */
    public dev.conclave.client.api.AlarmResponse alarm(dev.conclave.client.api.AlarmRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getAlarmMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * State of the requested member. A learner answers, too.
     * </pre>
     */
    public dev.conclave.client.api.StatusResponse status(dev.conclave.client.api.StatusRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getStatusMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns free space of the requested member to the file system.
     * </pre>
     */
    public dev.conclave.client.api.DefragmentResponse defragment(dev.conclave.client.api.DefragmentRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getDefragmentMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Hash over everything a member stores, history included. For tests; not comparable between
     * members.
     * </pre>
     */
    public dev.conclave.client.api.HashResponse hash(dev.conclave.client.api.HashRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getHashMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Hash over the history up to a revision. Equal on all members, and before and after compaction
     * at that revision.
     * </pre>
     */
    public dev.conclave.client.api.HashKVResponse hashKV(dev.conclave.client.api.HashKVRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getHashKVMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * A backup of the requested member, as a stream of blobs.
     * </pre>
     */
    public java.util.Iterator<dev.conclave.client.api.SnapshotResponse> snapshot(
        dev.conclave.client.api.SnapshotRequest request) {
      return io.grpc.stub.ClientCalls.blockingServerStreamingCall(
          getChannel(), getSnapshotMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Transfers leadership to another voter. Only the leader can.
     * </pre>
     */
    public dev.conclave.client.api.MoveLeaderResponse moveLeader(dev.conclave.client.api.MoveLeaderRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getMoveLeaderMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Validates, enables or cancels a downgrade by one minor version.
     * </pre>
     */
    public dev.conclave.client.api.DowngradeResponse downgrade(dev.conclave.client.api.DowngradeRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getDowngradeMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service Maintenance.
   */
  public static final class MaintenanceFutureStub
      extends io.grpc.stub.AbstractFutureStub<MaintenanceFutureStub> {
    private MaintenanceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected MaintenanceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new MaintenanceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Lists, raises or clears alarms, cluster-wide.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.AlarmResponse> alarm(
        dev.conclave.client.api.AlarmRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getAlarmMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * State of the requested member. A learner answers, too.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.StatusResponse> status(
        dev.conclave.client.api.StatusRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getStatusMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Returns free space of the requested member to the file system.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.DefragmentResponse> defragment(
        dev.conclave.client.api.DefragmentRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getDefragmentMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Hash over everything a member stores, history included. For tests; not comparable between
     * members.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.HashResponse> hash(
        dev.conclave.client.api.HashRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getHashMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Hash over the history up to a revision. Equal on all members, and before and after compaction
     * at that revision.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.HashKVResponse> hashKV(
        dev.conclave.client.api.HashKVRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getHashKVMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Transfers leadership to another voter. Only the leader can.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.MoveLeaderResponse> moveLeader(
        dev.conclave.client.api.MoveLeaderRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getMoveLeaderMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Validates, enables or cancels a downgrade by one minor version.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.DowngradeResponse> downgrade(
        dev.conclave.client.api.DowngradeRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getDowngradeMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_ALARM = 0;
  private static final int METHODID_STATUS = 1;
  private static final int METHODID_DEFRAGMENT = 2;
  private static final int METHODID_HASH = 3;
  private static final int METHODID_HASH_KV = 4;
  private static final int METHODID_SNAPSHOT = 5;
  private static final int METHODID_MOVE_LEADER = 6;
  private static final int METHODID_DOWNGRADE = 7;

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
        case METHODID_ALARM:
          serviceImpl.alarm((dev.conclave.client.api.AlarmRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.AlarmResponse>) responseObserver);
          break;
        case METHODID_STATUS:
          serviceImpl.status((dev.conclave.client.api.StatusRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.StatusResponse>) responseObserver);
          break;
        case METHODID_DEFRAGMENT:
          serviceImpl.defragment((dev.conclave.client.api.DefragmentRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.DefragmentResponse>) responseObserver);
          break;
        case METHODID_HASH:
          serviceImpl.hash((dev.conclave.client.api.HashRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.HashResponse>) responseObserver);
          break;
        case METHODID_HASH_KV:
          serviceImpl.hashKV((dev.conclave.client.api.HashKVRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.HashKVResponse>) responseObserver);
          break;
        case METHODID_SNAPSHOT:
          serviceImpl.snapshot((dev.conclave.client.api.SnapshotRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.SnapshotResponse>) responseObserver);
          break;
        case METHODID_MOVE_LEADER:
          serviceImpl.moveLeader((dev.conclave.client.api.MoveLeaderRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.MoveLeaderResponse>) responseObserver);
          break;
        case METHODID_DOWNGRADE:
          serviceImpl.downgrade((dev.conclave.client.api.DowngradeRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.DowngradeResponse>) responseObserver);
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
          getAlarmMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.AlarmRequest,
              dev.conclave.client.api.AlarmResponse>(
                service, METHODID_ALARM)))
        .addMethod(
          getStatusMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.StatusRequest,
              dev.conclave.client.api.StatusResponse>(
                service, METHODID_STATUS)))
        .addMethod(
          getDefragmentMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.DefragmentRequest,
              dev.conclave.client.api.DefragmentResponse>(
                service, METHODID_DEFRAGMENT)))
        .addMethod(
          getHashMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.HashRequest,
              dev.conclave.client.api.HashResponse>(
                service, METHODID_HASH)))
        .addMethod(
          getHashKVMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.HashKVRequest,
              dev.conclave.client.api.HashKVResponse>(
                service, METHODID_HASH_KV)))
        .addMethod(
          getSnapshotMethod(),
          io.grpc.stub.ServerCalls.asyncServerStreamingCall(
            new MethodHandlers<
              dev.conclave.client.api.SnapshotRequest,
              dev.conclave.client.api.SnapshotResponse>(
                service, METHODID_SNAPSHOT)))
        .addMethod(
          getMoveLeaderMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.MoveLeaderRequest,
              dev.conclave.client.api.MoveLeaderResponse>(
                service, METHODID_MOVE_LEADER)))
        .addMethod(
          getDowngradeMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.DowngradeRequest,
              dev.conclave.client.api.DowngradeResponse>(
                service, METHODID_DOWNGRADE)))
        .build();
  }

  private static abstract class MaintenanceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    MaintenanceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return dev.conclave.client.api.RpcProto.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("Maintenance");
    }
  }

  private static final class MaintenanceFileDescriptorSupplier
      extends MaintenanceBaseDescriptorSupplier {
    MaintenanceFileDescriptorSupplier() {}
  }

  private static final class MaintenanceMethodDescriptorSupplier
      extends MaintenanceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    MaintenanceMethodDescriptorSupplier(java.lang.String methodName) {
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
      synchronized (MaintenanceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new MaintenanceFileDescriptorSupplier())
              .addMethod(getAlarmMethod())
              .addMethod(getStatusMethod())
              .addMethod(getDefragmentMethod())
              .addMethod(getHashMethod())
              .addMethod(getHashKVMethod())
              .addMethod(getSnapshotMethod())
              .addMethod(getMoveLeaderMethod())
              .addMethod(getDowngradeMethod())
              .build();
        }
      }
    }
    return result;
  }
}
