package dev.conclave.client;

import com.google.protobuf.ByteString;

/**
 * The leader of an election at some time.
 *
 * @param key the leader's key
 * @param value what it proclaimed
 * @param token its fencing token
 */
public record Leader(ByteString key, ByteString value, long token) {
  /**
   * Returns the value as text.
   *
   * @return the value, as UTF-8
   */
  public String text() {
    return value.toStringUtf8();
  }
}
