package dev.conclave.client;

import com.google.protobuf.ByteString;
import dev.conclave.client.api.DeleteRangeRequest;
import dev.conclave.client.api.PutRequest;
import dev.conclave.client.api.RangeRequest;
import dev.conclave.client.api.RequestOp;

/** Operations of transactions. */
public final class Ops {
  private Ops() {}

  /**
   * Writes a key.
   *
   * @param key the key
   * @param value its value
   * @return the operation
   */
  public static RequestOp put(ByteString key, ByteString value) {
    return put(key, value, 0);
  }

  /**
   * Writes a key with a lease.
   *
   * @param key the key
   * @param value its value
   * @param lease the lease's id; 0 for none
   * @return the operation
   */
  public static RequestOp put(ByteString key, ByteString value, long lease) {
    return RequestOp.newBuilder()
        .setRequestPut(PutRequest.newBuilder().setKey(Keys.key(key)).setValue(Keys.given(value, "a value")).setLease(lease))
        .build();
  }

  /**
   * Deletes a key.
   *
   * @param key the key
   * @return the operation
   */
  public static RequestOp delete(ByteString key) {
    return RequestOp.newBuilder()
        .setRequestDeleteRange(DeleteRangeRequest.newBuilder().setKey(Keys.key(key)))
        .build();
  }

  /**
   * Reads a key.
   *
   * @param key the key
   * @return the operation
   */
  public static RequestOp get(ByteString key) {
    return range(RangeRequest.newBuilder().setKey(Keys.key(key)).build());
  }

  /**
   * Reads a range.
   *
   * @param request the range
   * @return the operation
   */
  public static RequestOp range(RangeRequest request) {
    return RequestOp.newBuilder().setRequestRange(Keys.given(request, "a request")).build();
  }

  /** Writes a key that exists with a lease, and leaves the value as it is. */
  static RequestOp putKeepingValue(ByteString key, long lease) {
    return RequestOp.newBuilder()
        .setRequestPut(PutRequest.newBuilder().setKey(key).setLease(lease).setIgnoreValue(true))
        .build();
  }

  /** Writes a value and leaves the lease as it is. */
  static RequestOp putKeepingLease(ByteString key, ByteString value) {
    return RequestOp.newBuilder()
        .setRequestPut(PutRequest.newBuilder().setKey(key).setValue(value).setIgnoreLease(true))
        .build();
  }
}
