package dev.conclave.client;

import com.google.protobuf.ByteString;

/** Keys and ranges. */
final class Keys {
  private static final ByteString ZERO = ByteString.copyFrom(new byte[1]);

  private Keys() {}

  /** End of the range of all keys that begin with a prefix. */
  static ByteString prefixEnd(ByteString prefix) {
    byte[] end = prefix.toByteArray();
    for (int i = end.length - 1; i >= 0; i--) {
      if (end[i] != (byte) 0xff) {
        end[i]++;
        return ByteString.copyFrom(end, 0, i + 1);
      }
    }
    // All keys from the prefix on.
    return ZERO;
  }

  /** Start of the range of a prefix; the empty prefix is all keys. */
  static ByteString prefixStart(ByteString prefix) {
    return prefix.isEmpty() ? ZERO : prefix;
  }

  static ByteString bytes(String text) {
    return ByteString.copyFromUtf8(text);
  }

  /** The name of a recipe; refused if it cannot be a key. */
  static String name(String name) {
    if (name == null || name.isEmpty()) {
      throw ConclaveException.invalid("a name is empty; give the recipe a name");
    }
    return name;
  }

  static ByteString key(ByteString key) {
    if (key == null || key.isEmpty()) {
      throw ConclaveException.invalid("a key is empty; keys have at least one byte");
    }
    return key;
  }

  /** A lease's id as it is in keys: hexadecimal without leading zeros. */
  static String lease(long id) {
    return Long.toHexString(id);
  }
}
