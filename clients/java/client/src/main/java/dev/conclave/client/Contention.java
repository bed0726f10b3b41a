package dev.conclave.client;

import com.google.protobuf.ByteString;
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

  static CompletableFuture<TxnResponse> txn(Session session, Op op, Txn txn) {
    return txn(session.calls(), op, txn, Calls.Mode.IDEMPOTENT);
  }

  static CompletableFuture<TxnResponse> txn(Calls calls, Op op, Txn txn, Calls.Mode mode) {
    TxnRequest request = txn.request();
    return calls.call(op, KVGrpc.getTxnMethod(), request, mode);
  }

  static CompletableFuture<RangeResponse> range(Calls calls, Op op, RangeRequest request) {
    return calls.call(op, KVGrpc.getRangeMethod(), request, Calls.Mode.READ);
  }

  /** Queues a key, unless it is there already, and returns its create revision. */
  static CompletableFuture<Long> enter(Session session, Op op, ByteString key, ByteString value) {
    Txn put =
        Txn.when(Compares.absent(key)).then(Ops.put(key, value, session.lease())).otherwise(Ops.get(key));
    return txn(session, op, put)
        .thenCompose(
            answer -> {
              if (answer.getSucceeded()) {
                return CompletableFuture.completedFuture(answer.getHeader().getRevision());
              }
              List<KeyValue> found = Kv.found(answer, 0);
              // One of an earlier attempt of this session, of which the answer was lost.
              if (!found.isEmpty() && found.get(0).getLease() == session.lease()) {
                return adopt(session, op, found.get(0), value);
              }
              throw ConclaveException.invalid(
                  "the key " + key.toStringUtf8() + " has another lease than its session's; delete it");
            });
  }

  private static CompletableFuture<Long> adopt(Session session, Op op, KeyValue found, ByteString value) {
    long revision = found.getCreateRevision();
    if (found.getValue().equals(value)) {
      return CompletableFuture.completedFuture(revision);
    }
    ByteString key = found.getKey();
    return txn(session, op, Txn.when(Compares.owner(key, revision)).then(Ops.putKeepingLease(key, value)))
        .thenCompose(
            answer ->
                answer.getSucceeded()
                    ? CompletableFuture.completedFuture(revision)
                    : enter(session, op, key, value));
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

  /** Deletes the session's key. Revision 0: whichever it has. */
  static CompletableFuture<Boolean> delete(Session session, Op op, ByteString key, long revision) {
    return txn(session, op, deletion(session, key, revision)).thenApply(TxnResponse::getSucceeded);
  }

  private static Txn deletion(Session session, ByteString key, long revision) {
    return Txn.when(revision == 0 ? Compares.lease(key, session.lease()) : Compares.owner(key, revision))
        .then(Ops.delete(key));
  }

  /** Deletes a key that is no longer wanted, in the background, for as long as the session lives. */
  static void abandon(Session session, ByteString key, long revision) {
    abandon(session, deletion(session, key, revision));
  }

  /** Undoes something in the background, for as long as the session lives. */
  static void abandon(Session session, Txn undo) {
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
              return txn(session, op, undo).whenComplete((done, failure) -> session.unbind(op));
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
