/** A client of Conclave and of etcd: sessions, locks with fencing tokens, elections and watches. */
module dev.conclave.client {
  requires transitive com.google.protobuf;
  // The modules of gRPC are automatic: their names are in their manifests.
  requires transitive io.grpc;
  requires transitive io.grpc.stub;
  requires io.grpc.protobuf;
  requires io.grpc.netty;
  requires io.netty.common;
  requires io.netty.transport;
  requires io.netty.handler;
  requires com.google.common;
  requires com.google.gson;

  exports dev.conclave.client;
  exports dev.conclave.client.api;
}
