package dev.conclave.client.api;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class AuthGrpc {

  private AuthGrpc() {}

  public static final java.lang.String SERVICE_NAME = "etcdserverpb.Auth";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.AuthEnableRequest,
      dev.conclave.client.api.AuthEnableResponse> getAuthEnableMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "AuthEnable",
      requestType = dev.conclave.client.api.AuthEnableRequest.class,
      responseType = dev.conclave.client.api.AuthEnableResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.AuthEnableRequest,
      dev.conclave.client.api.AuthEnableResponse> getAuthEnableMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.AuthEnableRequest, dev.conclave.client.api.AuthEnableResponse> getAuthEnableMethod;
    if ((getAuthEnableMethod = AuthGrpc.getAuthEnableMethod) == null) {
      synchronized (AuthGrpc.class) {
        if ((getAuthEnableMethod = AuthGrpc.getAuthEnableMethod) == null) {
          AuthGrpc.getAuthEnableMethod = getAuthEnableMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.AuthEnableRequest, dev.conclave.client.api.AuthEnableResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "AuthEnable"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AuthEnableRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AuthEnableResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AuthMethodDescriptorSupplier("AuthEnable"))
              .build();
        }
      }
    }
    return getAuthEnableMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.AuthDisableRequest,
      dev.conclave.client.api.AuthDisableResponse> getAuthDisableMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "AuthDisable",
      requestType = dev.conclave.client.api.AuthDisableRequest.class,
      responseType = dev.conclave.client.api.AuthDisableResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.AuthDisableRequest,
      dev.conclave.client.api.AuthDisableResponse> getAuthDisableMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.AuthDisableRequest, dev.conclave.client.api.AuthDisableResponse> getAuthDisableMethod;
    if ((getAuthDisableMethod = AuthGrpc.getAuthDisableMethod) == null) {
      synchronized (AuthGrpc.class) {
        if ((getAuthDisableMethod = AuthGrpc.getAuthDisableMethod) == null) {
          AuthGrpc.getAuthDisableMethod = getAuthDisableMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.AuthDisableRequest, dev.conclave.client.api.AuthDisableResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "AuthDisable"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AuthDisableRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AuthDisableResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AuthMethodDescriptorSupplier("AuthDisable"))
              .build();
        }
      }
    }
    return getAuthDisableMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.AuthStatusRequest,
      dev.conclave.client.api.AuthStatusResponse> getAuthStatusMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "AuthStatus",
      requestType = dev.conclave.client.api.AuthStatusRequest.class,
      responseType = dev.conclave.client.api.AuthStatusResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.AuthStatusRequest,
      dev.conclave.client.api.AuthStatusResponse> getAuthStatusMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.AuthStatusRequest, dev.conclave.client.api.AuthStatusResponse> getAuthStatusMethod;
    if ((getAuthStatusMethod = AuthGrpc.getAuthStatusMethod) == null) {
      synchronized (AuthGrpc.class) {
        if ((getAuthStatusMethod = AuthGrpc.getAuthStatusMethod) == null) {
          AuthGrpc.getAuthStatusMethod = getAuthStatusMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.AuthStatusRequest, dev.conclave.client.api.AuthStatusResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "AuthStatus"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AuthStatusRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AuthStatusResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AuthMethodDescriptorSupplier("AuthStatus"))
              .build();
        }
      }
    }
    return getAuthStatusMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.AuthenticateRequest,
      dev.conclave.client.api.AuthenticateResponse> getAuthenticateMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Authenticate",
      requestType = dev.conclave.client.api.AuthenticateRequest.class,
      responseType = dev.conclave.client.api.AuthenticateResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.AuthenticateRequest,
      dev.conclave.client.api.AuthenticateResponse> getAuthenticateMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.AuthenticateRequest, dev.conclave.client.api.AuthenticateResponse> getAuthenticateMethod;
    if ((getAuthenticateMethod = AuthGrpc.getAuthenticateMethod) == null) {
      synchronized (AuthGrpc.class) {
        if ((getAuthenticateMethod = AuthGrpc.getAuthenticateMethod) == null) {
          AuthGrpc.getAuthenticateMethod = getAuthenticateMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.AuthenticateRequest, dev.conclave.client.api.AuthenticateResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Authenticate"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AuthenticateRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AuthenticateResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AuthMethodDescriptorSupplier("Authenticate"))
              .build();
        }
      }
    }
    return getAuthenticateMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.AuthUserAddRequest,
      dev.conclave.client.api.AuthUserAddResponse> getUserAddMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "UserAdd",
      requestType = dev.conclave.client.api.AuthUserAddRequest.class,
      responseType = dev.conclave.client.api.AuthUserAddResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.AuthUserAddRequest,
      dev.conclave.client.api.AuthUserAddResponse> getUserAddMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.AuthUserAddRequest, dev.conclave.client.api.AuthUserAddResponse> getUserAddMethod;
    if ((getUserAddMethod = AuthGrpc.getUserAddMethod) == null) {
      synchronized (AuthGrpc.class) {
        if ((getUserAddMethod = AuthGrpc.getUserAddMethod) == null) {
          AuthGrpc.getUserAddMethod = getUserAddMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.AuthUserAddRequest, dev.conclave.client.api.AuthUserAddResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "UserAdd"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AuthUserAddRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AuthUserAddResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AuthMethodDescriptorSupplier("UserAdd"))
              .build();
        }
      }
    }
    return getUserAddMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.AuthUserGetRequest,
      dev.conclave.client.api.AuthUserGetResponse> getUserGetMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "UserGet",
      requestType = dev.conclave.client.api.AuthUserGetRequest.class,
      responseType = dev.conclave.client.api.AuthUserGetResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.AuthUserGetRequest,
      dev.conclave.client.api.AuthUserGetResponse> getUserGetMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.AuthUserGetRequest, dev.conclave.client.api.AuthUserGetResponse> getUserGetMethod;
    if ((getUserGetMethod = AuthGrpc.getUserGetMethod) == null) {
      synchronized (AuthGrpc.class) {
        if ((getUserGetMethod = AuthGrpc.getUserGetMethod) == null) {
          AuthGrpc.getUserGetMethod = getUserGetMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.AuthUserGetRequest, dev.conclave.client.api.AuthUserGetResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "UserGet"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AuthUserGetRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AuthUserGetResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AuthMethodDescriptorSupplier("UserGet"))
              .build();
        }
      }
    }
    return getUserGetMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.AuthUserListRequest,
      dev.conclave.client.api.AuthUserListResponse> getUserListMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "UserList",
      requestType = dev.conclave.client.api.AuthUserListRequest.class,
      responseType = dev.conclave.client.api.AuthUserListResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.AuthUserListRequest,
      dev.conclave.client.api.AuthUserListResponse> getUserListMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.AuthUserListRequest, dev.conclave.client.api.AuthUserListResponse> getUserListMethod;
    if ((getUserListMethod = AuthGrpc.getUserListMethod) == null) {
      synchronized (AuthGrpc.class) {
        if ((getUserListMethod = AuthGrpc.getUserListMethod) == null) {
          AuthGrpc.getUserListMethod = getUserListMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.AuthUserListRequest, dev.conclave.client.api.AuthUserListResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "UserList"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AuthUserListRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AuthUserListResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AuthMethodDescriptorSupplier("UserList"))
              .build();
        }
      }
    }
    return getUserListMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.AuthUserDeleteRequest,
      dev.conclave.client.api.AuthUserDeleteResponse> getUserDeleteMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "UserDelete",
      requestType = dev.conclave.client.api.AuthUserDeleteRequest.class,
      responseType = dev.conclave.client.api.AuthUserDeleteResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.AuthUserDeleteRequest,
      dev.conclave.client.api.AuthUserDeleteResponse> getUserDeleteMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.AuthUserDeleteRequest, dev.conclave.client.api.AuthUserDeleteResponse> getUserDeleteMethod;
    if ((getUserDeleteMethod = AuthGrpc.getUserDeleteMethod) == null) {
      synchronized (AuthGrpc.class) {
        if ((getUserDeleteMethod = AuthGrpc.getUserDeleteMethod) == null) {
          AuthGrpc.getUserDeleteMethod = getUserDeleteMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.AuthUserDeleteRequest, dev.conclave.client.api.AuthUserDeleteResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "UserDelete"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AuthUserDeleteRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AuthUserDeleteResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AuthMethodDescriptorSupplier("UserDelete"))
              .build();
        }
      }
    }
    return getUserDeleteMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.AuthUserChangePasswordRequest,
      dev.conclave.client.api.AuthUserChangePasswordResponse> getUserChangePasswordMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "UserChangePassword",
      requestType = dev.conclave.client.api.AuthUserChangePasswordRequest.class,
      responseType = dev.conclave.client.api.AuthUserChangePasswordResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.AuthUserChangePasswordRequest,
      dev.conclave.client.api.AuthUserChangePasswordResponse> getUserChangePasswordMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.AuthUserChangePasswordRequest, dev.conclave.client.api.AuthUserChangePasswordResponse> getUserChangePasswordMethod;
    if ((getUserChangePasswordMethod = AuthGrpc.getUserChangePasswordMethod) == null) {
      synchronized (AuthGrpc.class) {
        if ((getUserChangePasswordMethod = AuthGrpc.getUserChangePasswordMethod) == null) {
          AuthGrpc.getUserChangePasswordMethod = getUserChangePasswordMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.AuthUserChangePasswordRequest, dev.conclave.client.api.AuthUserChangePasswordResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "UserChangePassword"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AuthUserChangePasswordRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AuthUserChangePasswordResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AuthMethodDescriptorSupplier("UserChangePassword"))
              .build();
        }
      }
    }
    return getUserChangePasswordMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.AuthUserGrantRoleRequest,
      dev.conclave.client.api.AuthUserGrantRoleResponse> getUserGrantRoleMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "UserGrantRole",
      requestType = dev.conclave.client.api.AuthUserGrantRoleRequest.class,
      responseType = dev.conclave.client.api.AuthUserGrantRoleResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.AuthUserGrantRoleRequest,
      dev.conclave.client.api.AuthUserGrantRoleResponse> getUserGrantRoleMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.AuthUserGrantRoleRequest, dev.conclave.client.api.AuthUserGrantRoleResponse> getUserGrantRoleMethod;
    if ((getUserGrantRoleMethod = AuthGrpc.getUserGrantRoleMethod) == null) {
      synchronized (AuthGrpc.class) {
        if ((getUserGrantRoleMethod = AuthGrpc.getUserGrantRoleMethod) == null) {
          AuthGrpc.getUserGrantRoleMethod = getUserGrantRoleMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.AuthUserGrantRoleRequest, dev.conclave.client.api.AuthUserGrantRoleResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "UserGrantRole"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AuthUserGrantRoleRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AuthUserGrantRoleResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AuthMethodDescriptorSupplier("UserGrantRole"))
              .build();
        }
      }
    }
    return getUserGrantRoleMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.AuthUserRevokeRoleRequest,
      dev.conclave.client.api.AuthUserRevokeRoleResponse> getUserRevokeRoleMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "UserRevokeRole",
      requestType = dev.conclave.client.api.AuthUserRevokeRoleRequest.class,
      responseType = dev.conclave.client.api.AuthUserRevokeRoleResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.AuthUserRevokeRoleRequest,
      dev.conclave.client.api.AuthUserRevokeRoleResponse> getUserRevokeRoleMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.AuthUserRevokeRoleRequest, dev.conclave.client.api.AuthUserRevokeRoleResponse> getUserRevokeRoleMethod;
    if ((getUserRevokeRoleMethod = AuthGrpc.getUserRevokeRoleMethod) == null) {
      synchronized (AuthGrpc.class) {
        if ((getUserRevokeRoleMethod = AuthGrpc.getUserRevokeRoleMethod) == null) {
          AuthGrpc.getUserRevokeRoleMethod = getUserRevokeRoleMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.AuthUserRevokeRoleRequest, dev.conclave.client.api.AuthUserRevokeRoleResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "UserRevokeRole"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AuthUserRevokeRoleRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AuthUserRevokeRoleResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AuthMethodDescriptorSupplier("UserRevokeRole"))
              .build();
        }
      }
    }
    return getUserRevokeRoleMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.AuthRoleAddRequest,
      dev.conclave.client.api.AuthRoleAddResponse> getRoleAddMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "RoleAdd",
      requestType = dev.conclave.client.api.AuthRoleAddRequest.class,
      responseType = dev.conclave.client.api.AuthRoleAddResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.AuthRoleAddRequest,
      dev.conclave.client.api.AuthRoleAddResponse> getRoleAddMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.AuthRoleAddRequest, dev.conclave.client.api.AuthRoleAddResponse> getRoleAddMethod;
    if ((getRoleAddMethod = AuthGrpc.getRoleAddMethod) == null) {
      synchronized (AuthGrpc.class) {
        if ((getRoleAddMethod = AuthGrpc.getRoleAddMethod) == null) {
          AuthGrpc.getRoleAddMethod = getRoleAddMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.AuthRoleAddRequest, dev.conclave.client.api.AuthRoleAddResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "RoleAdd"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AuthRoleAddRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AuthRoleAddResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AuthMethodDescriptorSupplier("RoleAdd"))
              .build();
        }
      }
    }
    return getRoleAddMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.AuthRoleGetRequest,
      dev.conclave.client.api.AuthRoleGetResponse> getRoleGetMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "RoleGet",
      requestType = dev.conclave.client.api.AuthRoleGetRequest.class,
      responseType = dev.conclave.client.api.AuthRoleGetResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.AuthRoleGetRequest,
      dev.conclave.client.api.AuthRoleGetResponse> getRoleGetMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.AuthRoleGetRequest, dev.conclave.client.api.AuthRoleGetResponse> getRoleGetMethod;
    if ((getRoleGetMethod = AuthGrpc.getRoleGetMethod) == null) {
      synchronized (AuthGrpc.class) {
        if ((getRoleGetMethod = AuthGrpc.getRoleGetMethod) == null) {
          AuthGrpc.getRoleGetMethod = getRoleGetMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.AuthRoleGetRequest, dev.conclave.client.api.AuthRoleGetResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "RoleGet"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AuthRoleGetRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AuthRoleGetResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AuthMethodDescriptorSupplier("RoleGet"))
              .build();
        }
      }
    }
    return getRoleGetMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.AuthRoleListRequest,
      dev.conclave.client.api.AuthRoleListResponse> getRoleListMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "RoleList",
      requestType = dev.conclave.client.api.AuthRoleListRequest.class,
      responseType = dev.conclave.client.api.AuthRoleListResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.AuthRoleListRequest,
      dev.conclave.client.api.AuthRoleListResponse> getRoleListMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.AuthRoleListRequest, dev.conclave.client.api.AuthRoleListResponse> getRoleListMethod;
    if ((getRoleListMethod = AuthGrpc.getRoleListMethod) == null) {
      synchronized (AuthGrpc.class) {
        if ((getRoleListMethod = AuthGrpc.getRoleListMethod) == null) {
          AuthGrpc.getRoleListMethod = getRoleListMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.AuthRoleListRequest, dev.conclave.client.api.AuthRoleListResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "RoleList"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AuthRoleListRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AuthRoleListResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AuthMethodDescriptorSupplier("RoleList"))
              .build();
        }
      }
    }
    return getRoleListMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.AuthRoleDeleteRequest,
      dev.conclave.client.api.AuthRoleDeleteResponse> getRoleDeleteMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "RoleDelete",
      requestType = dev.conclave.client.api.AuthRoleDeleteRequest.class,
      responseType = dev.conclave.client.api.AuthRoleDeleteResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.AuthRoleDeleteRequest,
      dev.conclave.client.api.AuthRoleDeleteResponse> getRoleDeleteMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.AuthRoleDeleteRequest, dev.conclave.client.api.AuthRoleDeleteResponse> getRoleDeleteMethod;
    if ((getRoleDeleteMethod = AuthGrpc.getRoleDeleteMethod) == null) {
      synchronized (AuthGrpc.class) {
        if ((getRoleDeleteMethod = AuthGrpc.getRoleDeleteMethod) == null) {
          AuthGrpc.getRoleDeleteMethod = getRoleDeleteMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.AuthRoleDeleteRequest, dev.conclave.client.api.AuthRoleDeleteResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "RoleDelete"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AuthRoleDeleteRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AuthRoleDeleteResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AuthMethodDescriptorSupplier("RoleDelete"))
              .build();
        }
      }
    }
    return getRoleDeleteMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.AuthRoleGrantPermissionRequest,
      dev.conclave.client.api.AuthRoleGrantPermissionResponse> getRoleGrantPermissionMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "RoleGrantPermission",
      requestType = dev.conclave.client.api.AuthRoleGrantPermissionRequest.class,
      responseType = dev.conclave.client.api.AuthRoleGrantPermissionResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.AuthRoleGrantPermissionRequest,
      dev.conclave.client.api.AuthRoleGrantPermissionResponse> getRoleGrantPermissionMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.AuthRoleGrantPermissionRequest, dev.conclave.client.api.AuthRoleGrantPermissionResponse> getRoleGrantPermissionMethod;
    if ((getRoleGrantPermissionMethod = AuthGrpc.getRoleGrantPermissionMethod) == null) {
      synchronized (AuthGrpc.class) {
        if ((getRoleGrantPermissionMethod = AuthGrpc.getRoleGrantPermissionMethod) == null) {
          AuthGrpc.getRoleGrantPermissionMethod = getRoleGrantPermissionMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.AuthRoleGrantPermissionRequest, dev.conclave.client.api.AuthRoleGrantPermissionResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "RoleGrantPermission"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AuthRoleGrantPermissionRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AuthRoleGrantPermissionResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AuthMethodDescriptorSupplier("RoleGrantPermission"))
              .build();
        }
      }
    }
    return getRoleGrantPermissionMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.conclave.client.api.AuthRoleRevokePermissionRequest,
      dev.conclave.client.api.AuthRoleRevokePermissionResponse> getRoleRevokePermissionMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "RoleRevokePermission",
      requestType = dev.conclave.client.api.AuthRoleRevokePermissionRequest.class,
      responseType = dev.conclave.client.api.AuthRoleRevokePermissionResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.conclave.client.api.AuthRoleRevokePermissionRequest,
      dev.conclave.client.api.AuthRoleRevokePermissionResponse> getRoleRevokePermissionMethod() {
    io.grpc.MethodDescriptor<dev.conclave.client.api.AuthRoleRevokePermissionRequest, dev.conclave.client.api.AuthRoleRevokePermissionResponse> getRoleRevokePermissionMethod;
    if ((getRoleRevokePermissionMethod = AuthGrpc.getRoleRevokePermissionMethod) == null) {
      synchronized (AuthGrpc.class) {
        if ((getRoleRevokePermissionMethod = AuthGrpc.getRoleRevokePermissionMethod) == null) {
          AuthGrpc.getRoleRevokePermissionMethod = getRoleRevokePermissionMethod =
              io.grpc.MethodDescriptor.<dev.conclave.client.api.AuthRoleRevokePermissionRequest, dev.conclave.client.api.AuthRoleRevokePermissionResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "RoleRevokePermission"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AuthRoleRevokePermissionRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.conclave.client.api.AuthRoleRevokePermissionResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AuthMethodDescriptorSupplier("RoleRevokePermission"))
              .build();
        }
      }
    }
    return getRoleRevokePermissionMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static AuthStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<AuthStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<AuthStub>() {
        @java.lang.Override
        public AuthStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new AuthStub(channel, callOptions);
        }
      };
    return AuthStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static AuthBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<AuthBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<AuthBlockingV2Stub>() {
        @java.lang.Override
        public AuthBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new AuthBlockingV2Stub(channel, callOptions);
        }
      };
    return AuthBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static AuthBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<AuthBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<AuthBlockingStub>() {
        @java.lang.Override
        public AuthBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new AuthBlockingStub(channel, callOptions);
        }
      };
    return AuthBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static AuthFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<AuthFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<AuthFutureStub>() {
        @java.lang.Override
        public AuthFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new AuthFutureStub(channel, callOptions);
        }
      };
    return AuthFutureStub.newStub(factory, channel);
  }

  /**
   */
  public interface AsyncService {

    /**
     * <pre>
     * Needs a user `root` with role `root`.
     * </pre>
     */
    default void authEnable(dev.conclave.client.api.AuthEnableRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthEnableResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getAuthEnableMethod(), responseObserver);
    }

    /**
     */
    default void authDisable(dev.conclave.client.api.AuthDisableRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthDisableResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getAuthDisableMethod(), responseObserver);
    }

    /**
     * <pre>
     * Open to callers without a token.
     * </pre>
     */
    default void authStatus(dev.conclave.client.api.AuthStatusRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthStatusResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getAuthStatusMethod(), responseObserver);
    }

    /**
     * <pre>
     * Name and password for a token.
     * </pre>
     */
    default void authenticate(dev.conclave.client.api.AuthenticateRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthenticateResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getAuthenticateMethod(), responseObserver);
    }

    /**
     */
    default void userAdd(dev.conclave.client.api.AuthUserAddRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthUserAddResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getUserAddMethod(), responseObserver);
    }

    /**
     */
    default void userGet(dev.conclave.client.api.AuthUserGetRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthUserGetResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getUserGetMethod(), responseObserver);
    }

    /**
     */
    default void userList(dev.conclave.client.api.AuthUserListRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthUserListResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getUserListMethod(), responseObserver);
    }

    /**
     */
    default void userDelete(dev.conclave.client.api.AuthUserDeleteRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthUserDeleteResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getUserDeleteMethod(), responseObserver);
    }

    /**
     */
    default void userChangePassword(dev.conclave.client.api.AuthUserChangePasswordRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthUserChangePasswordResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getUserChangePasswordMethod(), responseObserver);
    }

    /**
     */
    default void userGrantRole(dev.conclave.client.api.AuthUserGrantRoleRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthUserGrantRoleResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getUserGrantRoleMethod(), responseObserver);
    }

    /**
     */
    default void userRevokeRole(dev.conclave.client.api.AuthUserRevokeRoleRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthUserRevokeRoleResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getUserRevokeRoleMethod(), responseObserver);
    }

    /**
     */
    default void roleAdd(dev.conclave.client.api.AuthRoleAddRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthRoleAddResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getRoleAddMethod(), responseObserver);
    }

    /**
     */
    default void roleGet(dev.conclave.client.api.AuthRoleGetRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthRoleGetResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getRoleGetMethod(), responseObserver);
    }

    /**
     */
    default void roleList(dev.conclave.client.api.AuthRoleListRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthRoleListResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getRoleListMethod(), responseObserver);
    }

    /**
     * <pre>
     * Also revokes the role from every user that has it.
     * </pre>
     */
    default void roleDelete(dev.conclave.client.api.AuthRoleDeleteRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthRoleDeleteResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getRoleDeleteMethod(), responseObserver);
    }

    /**
     */
    default void roleGrantPermission(dev.conclave.client.api.AuthRoleGrantPermissionRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthRoleGrantPermissionResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getRoleGrantPermissionMethod(), responseObserver);
    }

    /**
     */
    default void roleRevokePermission(dev.conclave.client.api.AuthRoleRevokePermissionRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthRoleRevokePermissionResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getRoleRevokePermissionMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service Auth.
   */
  public static abstract class AuthImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return AuthGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service Auth.
   */
  public static final class AuthStub
      extends io.grpc.stub.AbstractAsyncStub<AuthStub> {
    private AuthStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected AuthStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new AuthStub(channel, callOptions);
    }

    /**
     * <pre>
     * Needs a user `root` with role `root`.
     * </pre>
     */
    public void authEnable(dev.conclave.client.api.AuthEnableRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthEnableResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getAuthEnableMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     */
    public void authDisable(dev.conclave.client.api.AuthDisableRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthDisableResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getAuthDisableMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Open to callers without a token.
     * </pre>
     */
    public void authStatus(dev.conclave.client.api.AuthStatusRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthStatusResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getAuthStatusMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Name and password for a token.
     * </pre>
     */
    public void authenticate(dev.conclave.client.api.AuthenticateRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthenticateResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getAuthenticateMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     */
    public void userAdd(dev.conclave.client.api.AuthUserAddRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthUserAddResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getUserAddMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     */
    public void userGet(dev.conclave.client.api.AuthUserGetRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthUserGetResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getUserGetMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     */
    public void userList(dev.conclave.client.api.AuthUserListRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthUserListResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getUserListMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     */
    public void userDelete(dev.conclave.client.api.AuthUserDeleteRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthUserDeleteResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getUserDeleteMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     */
    public void userChangePassword(dev.conclave.client.api.AuthUserChangePasswordRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthUserChangePasswordResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getUserChangePasswordMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     */
    public void userGrantRole(dev.conclave.client.api.AuthUserGrantRoleRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthUserGrantRoleResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getUserGrantRoleMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     */
    public void userRevokeRole(dev.conclave.client.api.AuthUserRevokeRoleRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthUserRevokeRoleResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getUserRevokeRoleMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     */
    public void roleAdd(dev.conclave.client.api.AuthRoleAddRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthRoleAddResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getRoleAddMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     */
    public void roleGet(dev.conclave.client.api.AuthRoleGetRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthRoleGetResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getRoleGetMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     */
    public void roleList(dev.conclave.client.api.AuthRoleListRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthRoleListResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getRoleListMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Also revokes the role from every user that has it.
     * </pre>
     */
    public void roleDelete(dev.conclave.client.api.AuthRoleDeleteRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthRoleDeleteResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getRoleDeleteMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     */
    public void roleGrantPermission(dev.conclave.client.api.AuthRoleGrantPermissionRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthRoleGrantPermissionResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getRoleGrantPermissionMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     */
    public void roleRevokePermission(dev.conclave.client.api.AuthRoleRevokePermissionRequest request,
        io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthRoleRevokePermissionResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getRoleRevokePermissionMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service Auth.
   */
  public static final class AuthBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<AuthBlockingV2Stub> {
    private AuthBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected AuthBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new AuthBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Needs a user `root` with role `root`.
     * </pre>
     */
    public dev.conclave.client.api.AuthEnableResponse authEnable(dev.conclave.client.api.AuthEnableRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getAuthEnableMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.conclave.client.api.AuthDisableResponse authDisable(dev.conclave.client.api.AuthDisableRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getAuthDisableMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Open to callers without a token.
     * </pre>
     */
    public dev.conclave.client.api.AuthStatusResponse authStatus(dev.conclave.client.api.AuthStatusRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getAuthStatusMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Name and password for a token.
     * </pre>
     */
    public dev.conclave.client.api.AuthenticateResponse authenticate(dev.conclave.client.api.AuthenticateRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getAuthenticateMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.conclave.client.api.AuthUserAddResponse userAdd(dev.conclave.client.api.AuthUserAddRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getUserAddMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.conclave.client.api.AuthUserGetResponse userGet(dev.conclave.client.api.AuthUserGetRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getUserGetMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.conclave.client.api.AuthUserListResponse userList(dev.conclave.client.api.AuthUserListRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getUserListMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.conclave.client.api.AuthUserDeleteResponse userDelete(dev.conclave.client.api.AuthUserDeleteRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getUserDeleteMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.conclave.client.api.AuthUserChangePasswordResponse userChangePassword(dev.conclave.client.api.AuthUserChangePasswordRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getUserChangePasswordMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.conclave.client.api.AuthUserGrantRoleResponse userGrantRole(dev.conclave.client.api.AuthUserGrantRoleRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getUserGrantRoleMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.conclave.client.api.AuthUserRevokeRoleResponse userRevokeRole(dev.conclave.client.api.AuthUserRevokeRoleRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getUserRevokeRoleMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.conclave.client.api.AuthRoleAddResponse roleAdd(dev.conclave.client.api.AuthRoleAddRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getRoleAddMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.conclave.client.api.AuthRoleGetResponse roleGet(dev.conclave.client.api.AuthRoleGetRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getRoleGetMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.conclave.client.api.AuthRoleListResponse roleList(dev.conclave.client.api.AuthRoleListRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getRoleListMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Also revokes the role from every user that has it.
     * </pre>
     */
    public dev.conclave.client.api.AuthRoleDeleteResponse roleDelete(dev.conclave.client.api.AuthRoleDeleteRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getRoleDeleteMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.conclave.client.api.AuthRoleGrantPermissionResponse roleGrantPermission(dev.conclave.client.api.AuthRoleGrantPermissionRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getRoleGrantPermissionMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.conclave.client.api.AuthRoleRevokePermissionResponse roleRevokePermission(dev.conclave.client.api.AuthRoleRevokePermissionRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getRoleRevokePermissionMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service Auth.
   */
  public static final class AuthBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<AuthBlockingStub> {
    private AuthBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected AuthBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new AuthBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Needs a user `root` with role `root`.
     * </pre>
     */
    public dev.conclave.client.api.AuthEnableResponse authEnable(dev.conclave.client.api.AuthEnableRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getAuthEnableMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.conclave.client.api.AuthDisableResponse authDisable(dev.conclave.client.api.AuthDisableRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getAuthDisableMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Open to callers without a token.
     * </pre>
     */
    public dev.conclave.client.api.AuthStatusResponse authStatus(dev.conclave.client.api.AuthStatusRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getAuthStatusMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Name and password for a token.
     * </pre>
     */
    public dev.conclave.client.api.AuthenticateResponse authenticate(dev.conclave.client.api.AuthenticateRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getAuthenticateMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.conclave.client.api.AuthUserAddResponse userAdd(dev.conclave.client.api.AuthUserAddRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getUserAddMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.conclave.client.api.AuthUserGetResponse userGet(dev.conclave.client.api.AuthUserGetRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getUserGetMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.conclave.client.api.AuthUserListResponse userList(dev.conclave.client.api.AuthUserListRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getUserListMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.conclave.client.api.AuthUserDeleteResponse userDelete(dev.conclave.client.api.AuthUserDeleteRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getUserDeleteMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.conclave.client.api.AuthUserChangePasswordResponse userChangePassword(dev.conclave.client.api.AuthUserChangePasswordRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getUserChangePasswordMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.conclave.client.api.AuthUserGrantRoleResponse userGrantRole(dev.conclave.client.api.AuthUserGrantRoleRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getUserGrantRoleMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.conclave.client.api.AuthUserRevokeRoleResponse userRevokeRole(dev.conclave.client.api.AuthUserRevokeRoleRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getUserRevokeRoleMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.conclave.client.api.AuthRoleAddResponse roleAdd(dev.conclave.client.api.AuthRoleAddRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getRoleAddMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.conclave.client.api.AuthRoleGetResponse roleGet(dev.conclave.client.api.AuthRoleGetRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getRoleGetMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.conclave.client.api.AuthRoleListResponse roleList(dev.conclave.client.api.AuthRoleListRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getRoleListMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Also revokes the role from every user that has it.
     * </pre>
     */
    public dev.conclave.client.api.AuthRoleDeleteResponse roleDelete(dev.conclave.client.api.AuthRoleDeleteRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getRoleDeleteMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.conclave.client.api.AuthRoleGrantPermissionResponse roleGrantPermission(dev.conclave.client.api.AuthRoleGrantPermissionRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getRoleGrantPermissionMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.conclave.client.api.AuthRoleRevokePermissionResponse roleRevokePermission(dev.conclave.client.api.AuthRoleRevokePermissionRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getRoleRevokePermissionMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service Auth.
   */
  public static final class AuthFutureStub
      extends io.grpc.stub.AbstractFutureStub<AuthFutureStub> {
    private AuthFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected AuthFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new AuthFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Needs a user `root` with role `root`.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.AuthEnableResponse> authEnable(
        dev.conclave.client.api.AuthEnableRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getAuthEnableMethod(), getCallOptions()), request);
    }

    /**
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.AuthDisableResponse> authDisable(
        dev.conclave.client.api.AuthDisableRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getAuthDisableMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Open to callers without a token.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.AuthStatusResponse> authStatus(
        dev.conclave.client.api.AuthStatusRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getAuthStatusMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Name and password for a token.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.AuthenticateResponse> authenticate(
        dev.conclave.client.api.AuthenticateRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getAuthenticateMethod(), getCallOptions()), request);
    }

    /**
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.AuthUserAddResponse> userAdd(
        dev.conclave.client.api.AuthUserAddRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getUserAddMethod(), getCallOptions()), request);
    }

    /**
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.AuthUserGetResponse> userGet(
        dev.conclave.client.api.AuthUserGetRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getUserGetMethod(), getCallOptions()), request);
    }

    /**
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.AuthUserListResponse> userList(
        dev.conclave.client.api.AuthUserListRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getUserListMethod(), getCallOptions()), request);
    }

    /**
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.AuthUserDeleteResponse> userDelete(
        dev.conclave.client.api.AuthUserDeleteRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getUserDeleteMethod(), getCallOptions()), request);
    }

    /**
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.AuthUserChangePasswordResponse> userChangePassword(
        dev.conclave.client.api.AuthUserChangePasswordRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getUserChangePasswordMethod(), getCallOptions()), request);
    }

    /**
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.AuthUserGrantRoleResponse> userGrantRole(
        dev.conclave.client.api.AuthUserGrantRoleRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getUserGrantRoleMethod(), getCallOptions()), request);
    }

    /**
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.AuthUserRevokeRoleResponse> userRevokeRole(
        dev.conclave.client.api.AuthUserRevokeRoleRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getUserRevokeRoleMethod(), getCallOptions()), request);
    }

    /**
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.AuthRoleAddResponse> roleAdd(
        dev.conclave.client.api.AuthRoleAddRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getRoleAddMethod(), getCallOptions()), request);
    }

    /**
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.AuthRoleGetResponse> roleGet(
        dev.conclave.client.api.AuthRoleGetRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getRoleGetMethod(), getCallOptions()), request);
    }

    /**
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.AuthRoleListResponse> roleList(
        dev.conclave.client.api.AuthRoleListRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getRoleListMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Also revokes the role from every user that has it.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.AuthRoleDeleteResponse> roleDelete(
        dev.conclave.client.api.AuthRoleDeleteRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getRoleDeleteMethod(), getCallOptions()), request);
    }

    /**
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.AuthRoleGrantPermissionResponse> roleGrantPermission(
        dev.conclave.client.api.AuthRoleGrantPermissionRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getRoleGrantPermissionMethod(), getCallOptions()), request);
    }

    /**
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.conclave.client.api.AuthRoleRevokePermissionResponse> roleRevokePermission(
        dev.conclave.client.api.AuthRoleRevokePermissionRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getRoleRevokePermissionMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_AUTH_ENABLE = 0;
  private static final int METHODID_AUTH_DISABLE = 1;
  private static final int METHODID_AUTH_STATUS = 2;
  private static final int METHODID_AUTHENTICATE = 3;
  private static final int METHODID_USER_ADD = 4;
  private static final int METHODID_USER_GET = 5;
  private static final int METHODID_USER_LIST = 6;
  private static final int METHODID_USER_DELETE = 7;
  private static final int METHODID_USER_CHANGE_PASSWORD = 8;
  private static final int METHODID_USER_GRANT_ROLE = 9;
  private static final int METHODID_USER_REVOKE_ROLE = 10;
  private static final int METHODID_ROLE_ADD = 11;
  private static final int METHODID_ROLE_GET = 12;
  private static final int METHODID_ROLE_LIST = 13;
  private static final int METHODID_ROLE_DELETE = 14;
  private static final int METHODID_ROLE_GRANT_PERMISSION = 15;
  private static final int METHODID_ROLE_REVOKE_PERMISSION = 16;

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
        case METHODID_AUTH_ENABLE:
          serviceImpl.authEnable((dev.conclave.client.api.AuthEnableRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthEnableResponse>) responseObserver);
          break;
        case METHODID_AUTH_DISABLE:
          serviceImpl.authDisable((dev.conclave.client.api.AuthDisableRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthDisableResponse>) responseObserver);
          break;
        case METHODID_AUTH_STATUS:
          serviceImpl.authStatus((dev.conclave.client.api.AuthStatusRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthStatusResponse>) responseObserver);
          break;
        case METHODID_AUTHENTICATE:
          serviceImpl.authenticate((dev.conclave.client.api.AuthenticateRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthenticateResponse>) responseObserver);
          break;
        case METHODID_USER_ADD:
          serviceImpl.userAdd((dev.conclave.client.api.AuthUserAddRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthUserAddResponse>) responseObserver);
          break;
        case METHODID_USER_GET:
          serviceImpl.userGet((dev.conclave.client.api.AuthUserGetRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthUserGetResponse>) responseObserver);
          break;
        case METHODID_USER_LIST:
          serviceImpl.userList((dev.conclave.client.api.AuthUserListRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthUserListResponse>) responseObserver);
          break;
        case METHODID_USER_DELETE:
          serviceImpl.userDelete((dev.conclave.client.api.AuthUserDeleteRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthUserDeleteResponse>) responseObserver);
          break;
        case METHODID_USER_CHANGE_PASSWORD:
          serviceImpl.userChangePassword((dev.conclave.client.api.AuthUserChangePasswordRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthUserChangePasswordResponse>) responseObserver);
          break;
        case METHODID_USER_GRANT_ROLE:
          serviceImpl.userGrantRole((dev.conclave.client.api.AuthUserGrantRoleRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthUserGrantRoleResponse>) responseObserver);
          break;
        case METHODID_USER_REVOKE_ROLE:
          serviceImpl.userRevokeRole((dev.conclave.client.api.AuthUserRevokeRoleRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthUserRevokeRoleResponse>) responseObserver);
          break;
        case METHODID_ROLE_ADD:
          serviceImpl.roleAdd((dev.conclave.client.api.AuthRoleAddRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthRoleAddResponse>) responseObserver);
          break;
        case METHODID_ROLE_GET:
          serviceImpl.roleGet((dev.conclave.client.api.AuthRoleGetRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthRoleGetResponse>) responseObserver);
          break;
        case METHODID_ROLE_LIST:
          serviceImpl.roleList((dev.conclave.client.api.AuthRoleListRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthRoleListResponse>) responseObserver);
          break;
        case METHODID_ROLE_DELETE:
          serviceImpl.roleDelete((dev.conclave.client.api.AuthRoleDeleteRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthRoleDeleteResponse>) responseObserver);
          break;
        case METHODID_ROLE_GRANT_PERMISSION:
          serviceImpl.roleGrantPermission((dev.conclave.client.api.AuthRoleGrantPermissionRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthRoleGrantPermissionResponse>) responseObserver);
          break;
        case METHODID_ROLE_REVOKE_PERMISSION:
          serviceImpl.roleRevokePermission((dev.conclave.client.api.AuthRoleRevokePermissionRequest) request,
              (io.grpc.stub.StreamObserver<dev.conclave.client.api.AuthRoleRevokePermissionResponse>) responseObserver);
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
          getAuthEnableMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.AuthEnableRequest,
              dev.conclave.client.api.AuthEnableResponse>(
                service, METHODID_AUTH_ENABLE)))
        .addMethod(
          getAuthDisableMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.AuthDisableRequest,
              dev.conclave.client.api.AuthDisableResponse>(
                service, METHODID_AUTH_DISABLE)))
        .addMethod(
          getAuthStatusMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.AuthStatusRequest,
              dev.conclave.client.api.AuthStatusResponse>(
                service, METHODID_AUTH_STATUS)))
        .addMethod(
          getAuthenticateMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.AuthenticateRequest,
              dev.conclave.client.api.AuthenticateResponse>(
                service, METHODID_AUTHENTICATE)))
        .addMethod(
          getUserAddMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.AuthUserAddRequest,
              dev.conclave.client.api.AuthUserAddResponse>(
                service, METHODID_USER_ADD)))
        .addMethod(
          getUserGetMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.AuthUserGetRequest,
              dev.conclave.client.api.AuthUserGetResponse>(
                service, METHODID_USER_GET)))
        .addMethod(
          getUserListMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.AuthUserListRequest,
              dev.conclave.client.api.AuthUserListResponse>(
                service, METHODID_USER_LIST)))
        .addMethod(
          getUserDeleteMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.AuthUserDeleteRequest,
              dev.conclave.client.api.AuthUserDeleteResponse>(
                service, METHODID_USER_DELETE)))
        .addMethod(
          getUserChangePasswordMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.AuthUserChangePasswordRequest,
              dev.conclave.client.api.AuthUserChangePasswordResponse>(
                service, METHODID_USER_CHANGE_PASSWORD)))
        .addMethod(
          getUserGrantRoleMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.AuthUserGrantRoleRequest,
              dev.conclave.client.api.AuthUserGrantRoleResponse>(
                service, METHODID_USER_GRANT_ROLE)))
        .addMethod(
          getUserRevokeRoleMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.AuthUserRevokeRoleRequest,
              dev.conclave.client.api.AuthUserRevokeRoleResponse>(
                service, METHODID_USER_REVOKE_ROLE)))
        .addMethod(
          getRoleAddMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.AuthRoleAddRequest,
              dev.conclave.client.api.AuthRoleAddResponse>(
                service, METHODID_ROLE_ADD)))
        .addMethod(
          getRoleGetMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.AuthRoleGetRequest,
              dev.conclave.client.api.AuthRoleGetResponse>(
                service, METHODID_ROLE_GET)))
        .addMethod(
          getRoleListMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.AuthRoleListRequest,
              dev.conclave.client.api.AuthRoleListResponse>(
                service, METHODID_ROLE_LIST)))
        .addMethod(
          getRoleDeleteMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.AuthRoleDeleteRequest,
              dev.conclave.client.api.AuthRoleDeleteResponse>(
                service, METHODID_ROLE_DELETE)))
        .addMethod(
          getRoleGrantPermissionMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.AuthRoleGrantPermissionRequest,
              dev.conclave.client.api.AuthRoleGrantPermissionResponse>(
                service, METHODID_ROLE_GRANT_PERMISSION)))
        .addMethod(
          getRoleRevokePermissionMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.conclave.client.api.AuthRoleRevokePermissionRequest,
              dev.conclave.client.api.AuthRoleRevokePermissionResponse>(
                service, METHODID_ROLE_REVOKE_PERMISSION)))
        .build();
  }

  private static abstract class AuthBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    AuthBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return dev.conclave.client.api.RpcProto.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("Auth");
    }
  }

  private static final class AuthFileDescriptorSupplier
      extends AuthBaseDescriptorSupplier {
    AuthFileDescriptorSupplier() {}
  }

  private static final class AuthMethodDescriptorSupplier
      extends AuthBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    AuthMethodDescriptorSupplier(java.lang.String methodName) {
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
      synchronized (AuthGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new AuthFileDescriptorSupplier())
              .addMethod(getAuthEnableMethod())
              .addMethod(getAuthDisableMethod())
              .addMethod(getAuthStatusMethod())
              .addMethod(getAuthenticateMethod())
              .addMethod(getUserAddMethod())
              .addMethod(getUserGetMethod())
              .addMethod(getUserListMethod())
              .addMethod(getUserDeleteMethod())
              .addMethod(getUserChangePasswordMethod())
              .addMethod(getUserGrantRoleMethod())
              .addMethod(getUserRevokeRoleMethod())
              .addMethod(getRoleAddMethod())
              .addMethod(getRoleGetMethod())
              .addMethod(getRoleListMethod())
              .addMethod(getRoleDeleteMethod())
              .addMethod(getRoleGrantPermissionMethod())
              .addMethod(getRoleRevokePermissionMethod())
              .build();
        }
      }
    }
    return result;
  }
}
