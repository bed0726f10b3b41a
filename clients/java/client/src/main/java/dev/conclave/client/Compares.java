package dev.conclave.client;

import com.google.protobuf.ByteString;
import dev.conclave.client.api.Compare;
import dev.conclave.client.api.Compare.CompareResult;
import dev.conclave.client.api.Compare.CompareTarget;

/** Conditions of transactions. */
public final class Compares {
  private Compares() {}

  /**
   * The key does not exist.
   *
   * @param key the key
   * @return the condition
   */
  public static Compare absent(ByteString key) {
    return created(key, CompareResult.EQUAL, 0);
  }

  /**
   * The lock or leadership with this key and token is held: a write under this condition is fenced (K1).
   *
   * @param key the owner's key
   * @param token the fencing token
   * @return the condition
   */
  public static Compare owner(ByteString key, long token) {
    return created(key, CompareResult.EQUAL, token);
  }

  /**
   * A condition on the revision at which a key was created; 0 if it does not exist.
   *
   * @param key the key
   * @param is the relation
   * @param than the revision to compare with
   * @return the condition
   */
  public static Compare created(ByteString key, CompareResult is, long than) {
    return on(key, CompareTarget.CREATE, is).setCreateRevision(than).build();
  }

  /**
   * A condition on the revision at which a key was last written; 0 if it does not exist.
   *
   * @param key the key
   * @param is the relation
   * @param than the revision to compare with
   * @return the condition
   */
  public static Compare modified(ByteString key, CompareResult is, long than) {
    return on(key, CompareTarget.MOD, is).setModRevision(than).build();
  }

  /**
   * A condition on the number of writes since a key was created; 0 if it does not exist.
   *
   * @param key the key
   * @param is the relation
   * @param than the number to compare with
   * @return the condition
   */
  public static Compare version(ByteString key, CompareResult is, long than) {
    return on(key, CompareTarget.VERSION, is).setVersion(than).build();
  }

  /**
   * A condition on a key's value; false if the key does not exist.
   *
   * @param key the key
   * @param is the relation
   * @param than the value to compare with
   * @return the condition
   */
  public static Compare value(ByteString key, CompareResult is, ByteString than) {
    return on(key, CompareTarget.VALUE, is).setValue(Keys.given(than, "a value")).build();
  }

  /** The key was last written at this revision; 0: it does not exist. */
  static Compare unchanged(ByteString key, long revision) {
    return modified(key, CompareResult.EQUAL, revision);
  }

  /** A condition on the lease of a key. */
  static Compare lease(ByteString key, long lease) {
    return on(key, CompareTarget.LEASE, CompareResult.EQUAL).setLease(lease).build();
  }

  /** No key has this prefix. */
  static Compare none(ByteString prefix) {
    return absent(prefix).toBuilder().setRangeEnd(Keys.prefixEnd(prefix)).build();
  }

  private static Compare.Builder on(ByteString key, CompareTarget target, CompareResult is) {
    return Compare.newBuilder().setKey(Keys.key(key)).setTarget(target).setResult(Keys.given(is, "a relation"));
  }
}
