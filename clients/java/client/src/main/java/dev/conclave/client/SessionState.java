package dev.conclave.client;

/** The states of a session. */
public enum SessionState {
  /** The lease is alive. */
  CONNECTED,
  /**
   * No keep-alive was confirmed for a third of the TTL and one second, or the stream broke and its replacement did not
   * confirm within one second. The lease may still be alive.
   */
  SUSPENDED,
  /** Confirmed again after {@link #SUSPENDED}, the same lease: nothing was lost. */
  RECONNECTED,
  /** The lease is gone or must be thought gone. Final. */
  LOST
}
