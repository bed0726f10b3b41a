package dev.conclave.client;

import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import java.util.concurrent.CompletableFuture;

/** Unary calls of the API, with the rules of when they are sent again. */
final class Calls {
  /** Whether a call may be sent again. */
  enum Mode {
    /** No effect: to the next endpoint until the deadline (R2). */
    READ,
    /** To the next endpoint only if provably not executed (R3). */
    WRITE,
    /** A write of a recipe whose guard makes a second execution harmless: sent again like a read. */
    IDEMPOTENT
  }

  /** An answer, and the time just before its request was sent. */
  record Timed<A>(A answer, long sent) {}

  private static final Metadata.Key<String> TOKEN = Metadata.Key.of("token", Metadata.ASCII_STRING_MARSHALLER);
  private static final Metadata.Key<String> LEADER = Metadata.Key.of("hasleader", Metadata.ASCII_STRING_MARSHALLER);

  private final Core core;
  private final Endpoints endpoints;
  private final Login login;

  Calls(Core core, Endpoints endpoints, Login.User user) {
    this.core = core;
    this.endpoints = endpoints;
    this.login = new Login(core, this, user);
  }

  Core core() {
    return core;
  }

  Endpoints endpoints() {
    return endpoints;
  }

  Login login() {
    return login;
  }

  <Q, A> CompletableFuture<A> call(Op op, MethodDescriptor<Q, A> method, Q request, Mode mode) {
    return timed(op, method, request, mode).thenApply(Timed::answer);
  }

  <Q, A> CompletableFuture<Timed<A>> timed(Op op, MethodDescriptor<Q, A> method, Q request, Mode mode) {
    return new UnaryCall<>(this, op, method, request, mode, true).start();
  }

  /** A call that is made without a token: the login. */
  <Q, A> CompletableFuture<A> anonymous(Op op, MethodDescriptor<Q, A> method, Q request) {
    return new UnaryCall<>(this, op, method, request, Mode.READ, false).start().thenApply(Timed::answer);
  }

  static Metadata headers(String token, boolean leader) {
    Metadata headers = new Metadata();
    if (token != null) {
      headers.put(TOKEN, token);
    }
    if (leader) {
      headers.put(LEADER, "true");
    }
    return headers;
  }
}
