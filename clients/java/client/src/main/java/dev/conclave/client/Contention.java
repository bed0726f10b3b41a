package dev.conclave.client;

import com.google.protobuf.ByteString;
import dev.conclave.client.api.Compare;
import dev.conclave.client.api.KVGrpc;
import dev.conclave.client.api.KeyValue;
import dev.conclave.client.api.RangeRequest;
import dev.conclave.client.api.RangeResponse;
import dev.conclave.client.api.TxnRequest;
import dev.conclave.client.api.TxnResponse;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/** What contenders for something do: queue a key with the session's lease, wait for their turn, and leave. */
final class Contention {
  private Contention() {}

  /** A transaction that is sent again like a read: a copy that is executed late does no harm, or is deleted (R8). */
  static CompletableFuture<TxnResponse> txn(Session session, Op op, Txn txn) {
    return txn(session.calls(), op, txn, Txn.reads(txn.request()) ? Calls.Mode.READ : Calls.Mode.IDEMPOTENT);
  }

  static CompletableFuture<TxnResponse> txn(Calls calls, Op op, Txn txn, Calls.Mode mode) {
    TxnRequest request = txn.request();
    return calls.call(op, KVGrpc.getTxnMethod(), request, mode);
  }

  static CompletableFuture<RangeResponse> range(Calls calls, Op op, RangeRequest request) {
    return calls.call(op, KVGrpc.getRangeMethod(), request, Calls.Mode.READ);
  }

  /**
   * Puts a session's key, and returns its create revision.
   *
   * <p>Each attempt is guarded by the key's last change, so that one of them is executed, and a late copy changes nothing while the
   * key exists. After an attempt without an answer, {@link LateCopies} finds those that are executed after its deletion.
   */
  static CompletableFuture<Long> enter(Session session, Op op, ByteString key, ByteString value) {
    // As far as is known, there is no key.
    return enter(session, op, key, value, 0);
  }

  private static CompletableFuture<Long> enter(
      Session session, Op op, ByteString key, ByteString value, long changed) {
    Txn put =
        Txn.when(Compares.unchanged(key, changed))
            .then(Ops.put(key, value, session.lease()), Ops.get(key))
            .otherwise(Ops.get(key));
    return txn(session, op, put)
        .thenCompose(
            answer -> {
              Optional<KeyValue> present = Kv.found(answer, answer.getSucceeded() ? 1 : 0).stream().findFirst();
              // After a refusal: an attempt that was executed without an answer, or a late copy.
              boolean isOwn =
                  present.filter(kv -> kv.getLease() == session.lease() && kv.getValue().equals(value)).isPresent();
              return isOwn
                  ? CompletableFuture.completedFuture(present.get().getCreateRevision())
                  // Another one is replaced.
                  : enter(session, op, key, value, present.map(KeyValue::getModRevision).orElse(0L));
            });
  }

  /** The key with the greatest create revision below one, of a prefix. */
  static RangeRequest before(ByteString prefix, long revision) {
    return Kv.prefixRange(prefix)
        .setKeysOnly(true)
        .setLimit(1)
        .setMaxCreateRevision(revision - 1)
        .setSortTarget(RangeRequest.SortTarget.CREATE)
        .setSortOrder(RangeRequest.SortOrder.DESCEND)
        .build();
  }

  /** All keys of a prefix in the order of their creation. */
  static RangeRequest ordered(ByteString prefix) {
    return Kv.prefixRange(prefix)
        .setSortTarget(RangeRequest.SortTarget.CREATE)
        .setSortOrder(RangeRequest.SortOrder.ASCEND)
        .build();
  }

  /** The key of a prefix that was created first. */
  static RangeRequest first(ByteString prefix) {
    return ordered(prefix).toBuilder().setLimit(1).build();
  }

  /** Waits until no key of the prefix is before this one. False: the own key has gone. */
  static CompletableFuture<Boolean> turn(Session session, Op op, ByteString prefix, ByteString key, long revision) {
    // The own key is compared in the same transaction, so that its owner is not one whose lease has gone.
    Txn look = Txn.when(Compares.owner(key, revision)).then(Ops.range(before(prefix, revision)));
    return Loop.until(
        () ->
            txn(session, op, look)
                .thenCompose(
                    answer -> {
                      if (!answer.getSucceeded()) {
                        return CompletableFuture.completedFuture(Optional.of(false));
                      }
                      List<KeyValue> before = Kv.found(answer, 0);
                      if (before.isEmpty()) {
                        return CompletableFuture.completedFuture(Optional.of(true));
                      }
                      long next = answer.getHeader().getRevision() + 1;
                      return WatchStream.deletion(session.calls(), op, before.get(0).getKey(), next)
                          .thenApply(gone -> Optional.<Boolean>empty());
                    }));
  }

  /** The conditions that hold while a key is a session's. A session that replaces another one's keeps the create revision. */
  static Compare[] isOurs(Session session, ByteString key, long revision) {
    return new Compare[] {Compares.owner(key, revision), Compares.lease(key, session.lease())};
  }

  /** Deletes the session's key of a create revision. One that is gone already, or is somebody's later key, stays. */
  static CompletableFuture<Boolean> delete(Session session, Op op, ByteString key, long revision) {
    Txn delete = Txn.when(isOurs(session, key, revision)).then(Ops.delete(key));
    return txn(session, op, delete).thenApply(TxnResponse::getSucceeded);
  }

  /** Deletes a key that is no longer wanted, in the background, for as long as the session lives. */
  static void abandon(Session session, ByteString key, long revision) {
    if (!session.isAlive()) {
      return;
    }
    session.core()
        .internal(
            "a release",
            null,
            true,
            op -> {
              session.bind(op);
              return delete(session, op, key, revision).whenComplete((done, failure) -> session.unbind(op));
            })
        .result()
        .whenComplete(
            (done, failure) -> {
              if (failure != null && session.isAlive()) {
                session.core().log("a key was not deleted; others wait for it until its session ends", failure);
              }
            });
  }
}
