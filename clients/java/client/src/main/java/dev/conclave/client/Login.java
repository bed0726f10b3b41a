package dev.conclave.client;

import dev.conclave.client.api.AuthGrpc;
import dev.conclave.client.api.AuthenticateRequest;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/**
 * The login of a client, which all of its calls share (C6).
 *
 * <p>A refused call names the token that it was refused with, so a late refusal of a former token does not end the present
 * one. After a failed login the next one waits, longer after each failure, and calls fail with the same error until then: a
 * client with a wrong password does not reach the server's bound on guesses.
 */
final class Login {
  private static final Duration LIMIT = Duration.ofSeconds(10);
  private static final long PAUSE_MIN = TimeUnit.MILLISECONDS.toNanos(100);
  private static final long PAUSE_MAX = TimeUnit.SECONDS.toNanos(10);
  /** Longest pause while no server answers, when no password is guessed. */
  private static final long PAUSE_UNAVAILABLE_MAX = TimeUnit.MILLISECONDS.toNanos(500);

  /** A user and password; not shown by {@code toString}. */
  record User(String name, String password) {
    @Override
    public String toString() {
      return "User[" + name + "]";
    }
  }

  private final Core core;
  private final Calls calls;
  private final User user;
  private boolean known;
  private String token;
  private CompletableFuture<String> running;
  private ConclaveException failure;
  private long failedUntil;
  private long pause;

  Login(Core core, Calls calls, User user) {
    this.core = core;
    this.calls = calls;
    this.user = user;
  }

  /** Returns the present token, after a login if there is none. Null: calls need none. */
  CompletableFuture<String> token(Op op) {
    if (user == null || known) {
      return CompletableFuture.completedFuture(token);
    }
    if (failure != null && System.nanoTime() - failedUntil < 0) {
      return CompletableFuture.failedFuture(failure);
    }
    if (running == null) {
      begin();
    }
    return op.guard(running);
  }

  private void begin() {
    CompletableFuture<String> login = new CompletableFuture<>();
    running = login;
    AuthenticateRequest request =
        AuthenticateRequest.newBuilder().setName(user.name).setPassword(user.password).build();
    core.internal("login", LIMIT, false, op -> calls.anonymous(op, AuthGrpc.getAuthenticateMethod(), request))
        .result()
        .whenComplete(
            (answer, error) -> {
              running = null;
              if (error == null) {
                succeeded(answer.getToken(), login);
                return;
              }
              ConclaveException why = ConclaveException.of(error);
              if (why.error().orElse(null) == ApiError.AUTH_NOT_ENABLED) {
                // Calls need no token until authentication is enabled.
                succeeded(null, login);
                return;
              }
              failed(why);
              login.completeExceptionally(failure);
            });
  }

  private void succeeded(String newToken, CompletableFuture<String> login) {
    known = true;
    token = newToken;
    failure = null;
    pause = 0;
    login.complete(newToken);
  }

  private void failed(ConclaveException why) {
    boolean refused = why.kind() == ErrorKind.API;
    failure = refused ? ConclaveException.login(why) : why;
    pause = Math.min(pause == 0 ? PAUSE_MIN : 2 * pause, refused ? PAUSE_MAX : PAUSE_UNAVAILABLE_MAX);
    failedUntil = System.nanoTime() + pause;
  }

  /** True if a server refused a call for its token, or for having none. Such a call was not executed. */
  boolean isRefusal(ApiError error) {
    return user != null
        && (error == ApiError.INVALID_AUTH_TOKEN
            || error == ApiError.AUTH_OLD_REVISION
            || error == ApiError.USER_EMPTY);
  }

  /** A server has refused this token: the next call logs in, unless another one did. */
  void forget(String refused) {
    if (known && java.util.Objects.equals(refused, token)) {
      known = false;
      token = null;
    }
  }
}
