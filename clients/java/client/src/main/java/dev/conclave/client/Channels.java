package dev.conclave.client;

import io.grpc.ManagedChannel;
import io.grpc.netty.NettyChannelBuilder;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.socket.nio.NioDomainSocketChannel;
import io.netty.channel.socket.nio.NioSocketChannel;
import io.netty.handler.ssl.SslContext;
import java.net.UnixDomainSocketAddress;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;

/** Makes the channels to the endpoints. Each has one connection, made when it is first needed. */
final class Channels {
  private static final int CONNECT_MILLIS = 2_000;

  private Channels() {}

  static ManagedChannel open(
      Endpoint endpoint, SslContext tls, EventLoopGroup group, Executor core, Executor blocking) {
    NettyChannelBuilder builder;
    if (endpoint.path() != null) {
      builder =
          NettyChannelBuilder.forAddress(UnixDomainSocketAddress.of(endpoint.path()))
              .channelType(NioDomainSocketChannel.class, UnixDomainSocketAddress.class)
              .overrideAuthority("localhost");
    } else {
      builder =
          NettyChannelBuilder.forAddress(endpoint.host(), endpoint.port())
              .channelType(NioSocketChannel.class)
              .withOption(ChannelOption.TCP_NODELAY, true);
    }
    if (endpoint.tls()) {
      builder.sslContext(tls);
    } else {
      builder.usePlaintext();
    }
    return builder
        .eventLoopGroup(group)
        .executor(core)
        .offloadExecutor(blocking)
        .withOption(ChannelOption.CONNECT_TIMEOUT_MILLIS, CONNECT_MILLIS)
        .keepAliveTime(10, TimeUnit.SECONDS)
        .keepAliveTimeout(3, TimeUnit.SECONDS)
        // Pings only while there is a call: servers refuse them otherwise.
        .keepAliveWithoutCalls(false)
        // An idle connection stays, so that a session does not begin with a handshake.
        .idleTimeout(365, TimeUnit.DAYS)
        .maxInboundMessageSize(Integer.MAX_VALUE)
        // The endpoints are the cluster's; a proxy of the environment does not know them.
        .proxyDetector(target -> null)
        .build();
  }
}
