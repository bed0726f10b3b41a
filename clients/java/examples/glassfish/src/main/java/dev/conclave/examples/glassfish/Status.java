package dev.conclave.examples.glassfish;

import dev.conclave.client.SessionState;

/**
 * The content of the page.
 *
 * @param node this server's name
 * @param state of its session
 * @param problem why it has no session, or null
 * @param leadsWith its fencing token if it leads, or null
 * @param view what is in the store, which may be old unless the session is connected
 */
public record Status(String node, SessionState state, String problem, Long leadsWith, View view) {
  /** Returns true if this server is in contact with the members. */
  boolean connected() {
    return state == SessionState.CONNECTED || state == SessionState.RECONNECTED;
  }
}
