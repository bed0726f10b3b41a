package dev.conclave.client;

import dev.conclave.client.api.Compare;
import dev.conclave.client.api.RequestOp;
import dev.conclave.client.api.TxnRequest;

/** A transaction: conditions, and what to do if they hold or not. Immutable. */
public final class Txn {
  private final TxnRequest request;

  private Txn(TxnRequest request) {
    this.request = request;
  }

  /**
   * Begins with conditions that must all hold.
   *
   * @param conditions see {@link Compares}
   * @return the transaction
   */
  public static Txn when(Compare... conditions) {
    return new Txn(TxnRequest.newBuilder().addAllCompare(Keys.all("a condition", conditions)).build());
  }

  /**
   * Adds operations for the case that the conditions hold.
   *
   * @param ops see {@link Ops}
   * @return the transaction
   */
  public Txn then(RequestOp... ops) {
    return new Txn(request.toBuilder().addAllSuccess(Keys.all("an operation", ops)).build());
  }

  /**
   * Adds operations for the case that they do not.
   *
   * @param ops see {@link Ops}
   * @return the transaction
   */
  public Txn otherwise(RequestOp... ops) {
    return new Txn(request.toBuilder().addAllFailure(Keys.all("an operation", ops)).build());
  }

  /**
   * Returns the transaction as a message of the API.
   *
   * @return the message
   */
  public TxnRequest request() {
    return request;
  }

  /** True if it only reads. */
  static boolean reads(TxnRequest request) {
    return java.util.stream.Stream.concat(request.getSuccessList().stream(), request.getFailureList().stream())
        .allMatch(op -> op.hasRequestRange() || (op.hasRequestTxn() && reads(op.getRequestTxn())));
  }
}
