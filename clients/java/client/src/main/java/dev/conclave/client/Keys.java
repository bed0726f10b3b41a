package dev.conclave.client;

import com.google.protobuf.ByteString;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;

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

  /** A text as UTF-8; refused if it has none, in place of which there would be question marks. */
  static ByteString bytes(String text) {
    try {
      return ByteString.copyFrom(StandardCharsets.UTF_8.newEncoder().encode(CharBuffer.wrap(given(text, "a text"))));
    } catch (CharacterCodingException lone) {
      throw ConclaveException.invalid("a text has half of a surrogate pair, which no UTF-8 has; use a ByteString");
    }
  }

  /** An argument; refused if it is null. */
  static <T> T given(T argument, String what) {
    if (argument == null) {
      throw ConclaveException.invalid(what + " is null; give one");
    }
    return argument;
  }

  /** Arguments; refused if one is null. */
  static <T> List<T> all(String what, T[] arguments) {
    return all(what, arguments == null ? null : Arrays.asList(arguments));
  }

  /** Arguments; refused if one is null. */
  static <T> List<T> all(String what, List<T> arguments) {
    given(arguments, what);
    arguments.forEach(argument -> given(argument, what));
    return List.copyOf(arguments);
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
