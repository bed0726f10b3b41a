package dev.conclave.client;

import io.grpc.Status;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;

/** The reason why an operation failed. The {@linkplain #kind() kind} says what to do about it. */
public final class ConclaveException extends RuntimeException {
  private static final long serialVersionUID = 1;

  /** The kind, which tells what the caller can do. */
  private final ErrorKind kind;

  /** The server's error, or null. */
  private final ApiError error;

  /** Another attempt can help. */
  private final boolean retry;

  /** A write may have happened. */
  private final boolean maybe;

  /** The revision from which history exists, or 0. */
  private final long revision;

  private ConclaveException(
      ErrorKind kind,
      ApiError error,
      boolean retry,
      boolean maybe,
      long revision,
      String text,
      Throwable cause) {
    super(text, cause);
    this.kind = kind;
    this.error = error;
    this.retry = retry;
    this.maybe = maybe;
    this.revision = revision;
  }

  /**
   * Returns the kind of the error.
   *
   * @return the kind
   */
  public ErrorKind kind() {
    return kind;
  }

  /**
   * Returns the error of the API behind this one.
   *
   * @return the error, if the server's text is in the table
   */
  public Optional<ApiError> error() {
    return Optional.ofNullable(error);
  }

  /**
   * Returns true if another attempt can help.
   *
   * @return whether to try again
   */
  public boolean retry() {
    return retry;
  }

  /**
   * Returns true if the operation is a write that may have happened.
   *
   * @return whether it may have happened
   */
  public boolean mayHaveHappened() {
    return maybe;
  }

  /**
   * Returns the revision from which history exists.
   *
   * @return the revision for {@link ErrorKind#COMPACTED}, otherwise 0
   */
  public long revision() {
    return revision;
  }

  /**
   * Finds the error in what a future of this library failed with.
   *
   * @param failure the exception of {@code get}, {@code join} or {@code whenComplete}
   * @return the error in it
   */
  public static ConclaveException of(Throwable failure) {
    Throwable inner = failure;
    while ((inner instanceof CompletionException || inner instanceof ExecutionException)
        && inner.getCause() != null) {
      inner = inner.getCause();
    }
    if (inner instanceof ConclaveException error) {
      return error;
    }
    if (inner instanceof Cancelled cancelled) {
      return cancelled(cancelled.maybe);
    }
    if (inner instanceof CancellationException) {
      return cancelled(false);
    }
    return new ConclaveException(
        ErrorKind.INVALID, null, false, false, 0, "the client failed: " + inner, inner);
  }

  /** The failure of a future that its user cancelled. */
  static final class Cancelled extends CancellationException {
    private static final long serialVersionUID = 1;
    private final boolean maybe;

    Cancelled(boolean maybe) {
      super(cancelled(maybe).getMessage());
      this.maybe = maybe;
    }
  }

  /** The same error with the stack of the present thread, which called the blocking form. */
  ConclaveException here() {
    return new ConclaveException(kind, error, retry, maybe, revision, getMessage(), this);
  }

  /** The same error of a call that may have happened. */
  ConclaveException maybeIf(boolean happened) {
    return happened == maybe
        ? this
        : new ConclaveException(kind, error, retry, happened, revision, getMessage(), getCause());
  }

  static ConclaveException api(ApiError error) {
    return new ConclaveException(
        ErrorKind.API, error, error.retry(), error.mayHaveHappened(), 0, error.text(), null);
  }

  static ConclaveException api(Status status) {
    return new ConclaveException(ErrorKind.API, null, false, false, 0, text(status), null);
  }

  static ConclaveException unavailable(String what, Throwable last) {
    ApiError error = last instanceof ConclaveException failure ? failure.error : null;
    String why = last == null ? "no endpoint was reached" : last.getMessage();
    String text = what + ": no endpoint was ready (" + why + "); it had no effect, try again later";
    return new ConclaveException(ErrorKind.UNAVAILABLE, error, true, false, 0, text, last);
  }

  static ConclaveException maybe(String what, Throwable last) {
    String why = last == null ? "the time was up" : last.getMessage();
    String text = what + ": the answer was lost (" + why + "); it may have happened, read before writing again";
    return new ConclaveException(ErrorKind.MAYBE, null, true, true, 0, text, last);
  }

  static ConclaveException deadline(String what) {
    String text = what + ": the time was up; give it more, or see whether the servers answer";
    return new ConclaveException(ErrorKind.DEADLINE, null, true, false, 0, text, null);
  }

  static ConclaveException cancelled(boolean maybe) {
    String text = maybe ? "cancelled after it was sent; it may have happened" : "cancelled by the caller";
    return new ConclaveException(ErrorKind.CANCELLED, null, false, maybe, 0, text, null);
  }

  static ConclaveException closed(String what) {
    String text = what + " is closed; open another one";
    return new ConclaveException(ErrorKind.CLOSED, null, false, false, 0, text, null);
  }

  static ConclaveException sessionLost() {
    String text = "the session is lost, and with it all that depends on it; open another session";
    return new ConclaveException(ErrorKind.SESSION_LOST, null, false, false, 0, text, null);
  }

  static ConclaveException compacted(long revision) {
    String text =
        "the history before revision " + revision + " is compacted; read the present state and watch from there";
    return new ConclaveException(
        ErrorKind.COMPACTED, ApiError.COMPACTED, false, false, revision, text, null);
  }

  static ConclaveException invalid(String text) {
    return new ConclaveException(ErrorKind.INVALID, null, false, false, 0, text, null);
  }

  static ConclaveException login(ConclaveException refusal) {
    String text = "the login was refused: " + refusal.getMessage() + "; check the user and the password";
    return new ConclaveException(ErrorKind.LOGIN, refusal.error, false, false, 0, text, refusal);
  }

  static String text(Status status) {
    String text = status.getDescription();
    if (text == null) {
      text = status.getCause() == null ? "no description" : status.getCause().toString();
    } else if (status.getCause() != null && status.getCause().getMessage() != null) {
      text = text + ": " + status.getCause().getMessage();
    }
    return status.getCode() + ": " + text;
  }
}
