package dev.conclave.client;

/** The kinds of errors, by what the caller can do about them. They are the same in all languages. */
public enum ErrorKind {
  /** The server's own error: see {@link ConclaveException#error()}. */
  API,
  /** No endpoint could be reached, or none was ready. The call had no effect: try again later. */
  UNAVAILABLE,
  /** A write was sent, and its answer was lost: read before writing again. */
  MAYBE,
  /** The time was up, of a read or of waiting in a recipe. */
  DEADLINE,
  /** The caller cancelled, or its thread was interrupted. */
  CANCELLED,
  /** The client, session or handle is closed. */
  CLOSED,
  /** The session of the recipe is lost: open another one and begin again. */
  SESSION_LOST,
  /** The history that a watch needs next is compacted: see {@link ConclaveException#revision()}. */
  COMPACTED,
  /** The arguments are wrong. */
  INVALID,
  /** The user or the password was refused. */
  LOGIN
}
