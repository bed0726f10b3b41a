package dev.conclave.examples.glassfish;

import com.google.protobuf.ByteString;
import dev.conclave.client.api.RangeRequest;

/** The application's keys. All of them have one prefix, which one watch covers. */
final class Keys {
  static final String ALL = "tasks-app/";

  /** Election: one key for each candidate, with the lease of its session. */
  static final String ELECTION = ALL + "leader";

  /** Group: one key for each server, with the lease of its session. */
  static final String GROUP = ALL + "members";

  /** When a leader began: one key for each token. */
  static final String TERMS = ALL + "terms/";

  /** The number of the newest task. */
  static final ByteString COUNTER = bytes(ALL + "counter");

  /** Tasks that are not done. */
  static final String OPEN = ALL + "open/";

  /** Which worker has a task: one key for each, with the lease of the worker's session. */
  static final String CLAIMS = ALL + "claims/";

  /** Tasks that are done. */
  static final String DONE = ALL + "done/";

  private Keys() {}

  static ByteString bytes(String text) {
    return ByteString.copyFromUtf8(text);
  }

  /** A key with a number, padded so that the order of keys is the order of numbers. */
  static ByteString numbered(String prefix, long number) {
    return bytes(prefix + String.format("%012d", number));
  }

  static String lastPart(ByteString key) {
    String text = key.toStringUtf8();
    return text.substring(text.lastIndexOf('/') + 1);
  }

  /** All keys under a prefix that ends with a slash. */
  static RangeRequest.Builder under(String prefix) {
    // '0' is the character after '/'.
    String end = prefix.substring(0, prefix.length() - 1) + '0';
    return RangeRequest.newBuilder().setKey(bytes(prefix)).setRangeEnd(bytes(end));
  }
}
