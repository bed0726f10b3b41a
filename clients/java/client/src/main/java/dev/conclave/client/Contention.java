package dev.conclave.client;

import com.google.protobuf.ByteString;
import dev.conclave.client.api.Compare;
import dev.conclave.client.api.KVGrpc;
import dev.conclave.client.api.KeyValue;
import dev.conclave.client.api.RangeRequest;
import dev.conclave.client.api.RangeResponse;
import dev.conclave.client.api.RequestOp;
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
   * Puts a session's key, and returns it.
   *
   * <p>Each attempt is guarded by the key's last change, so that one of them is executed, and a late copy changes nothing while the
   * key exists. After an attempt without an answer, {@link LateCopies} finds those that are executed after its deletion.
   */
  static CompletableFuture<KeyValue> enter(Session session, Op op, ByteString key, Place.Entry entry) {
    // As far as is known, there is no key.
    return enter(session, op, key, entry, Optional.empty());
  }

  private static CompletableFuture<KeyValue> enter(
      Session session, Op op, ByteString key, Place.Entry entry, Optional<KeyValue> present) {
    Txn put =
        Txn.when(Compares.unchanged(key, present.map(KeyValue::getModRevision).orElse(0L)))
            .then(put(session, key, entry, present), Ops.get(key))
            .otherwise(Ops.get(key));
    return txn(session, op, put)
        .thenCompose(
            answer ->
                answer.getSucceeded()
                    ? CompletableFuture.completedFuture(Kv.found(answer, 1).get(0))
                    // It is put over another one's key, and over an own one, which a late deletion could remove otherwise.
                    : enter(session, op, key, entry, Kv.found(answer, 0).stream().findFirst()));
  }

  /** Puts a key over what is there. A revocation stays, because its owner is not notified of it yet. */
  private static RequestOp put(Session session, ByteString key, Place.Entry entry, Optional<KeyValue> present) {
    boolean isRevoked =
        entry.kind().isRevocable()
            && present.filter(kv -> isOwn(session, kv) && kv.getValue().equals(Ownership.REVOKE)).isPresent();
    return isRevoked
        ? Ops.putKeepingValue(key, session.lease())
        : Ops.put(key, entry.value(), session.lease());
  }

  private static boolean isOwn(Session session, KeyValue kv) {
    return kv.getLease() == session.lease();
  }

  /** Puts a key if there is no other contender, in one transaction: nobody waits behind a mere attempt. Empty: there is one. */
  static CompletableFuture<Optional<KeyValue>> take(
      Session session, Op op, ByteString contenders, ByteString key, Place.Entry entry) {
    return take(session, op, contenders, key, entry, Optional.empty());
  }

  /** {@code own}: the session's key, which was before all others when it was read. */
  private static CompletableFuture<Optional<KeyValue>> take(
      Session session, Op op, ByteString contenders, ByteString key, Place.Entry entry, Optional<KeyValue> own) {
    Compare[] isFree =
        own.isPresent()
            ? new Compare[] {Compares.unchanged(key, own.get().getModRevision())}
            : new Compare[] {Compares.none(contenders), Compares.absent(key)};
    Txn take =
        Txn.when(isFree)
            .then(put(session, key, entry, own), Ops.get(key))
            .otherwise(Ops.range(first(contenders)), Ops.get(key));
    return txn(session, op, take)
        .thenCompose(
            answer -> {
              if (answer.getSucceeded()) {
                return CompletableFuture.completedFuture(Optional.of(Kv.found(answer, 1).get(0)));
              }
              List<KeyValue> before = Kv.found(answer, 0);
              Optional<KeyValue> present = Kv.found(answer, 1).stream().filter(kv -> isOwn(session, kv)).findFirst();
              boolean isFirst =
                  present.isPresent()
                      && (before.isEmpty() || before.get(0).getCreateRevision() >= present.get().getCreateRevision());
              // An own key without a place is what an attempt without an answer has put, or a failed release has left.
              return isFirst
                  ? take(session, op, contenders, key, entry, present)
                  : CompletableFuture.completedFuture(Optional.empty());
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

  /** The conditions that hold until the session's key is written again, by anyone. */
  static Compare[] isUnchanged(Session session, KeyValue own) {
    ByteString key = own.getKey();
    return new Compare[] {
      Compares.owner(key, own.getCreateRevision()),
      Compares.lease(key, session.lease()),
      Compares.unchanged(key, own.getModRevision())
    };
  }

  /** The session's key as it is now, from the answer to a transaction that reads it. Empty: it has gone. */
  static Optional<KeyValue> found(Session session, KeyValue own, TxnResponse answer, int index) {
    return Kv.found(answer, index).stream()
        .filter(kv -> isOwn(session, kv) && kv.getCreateRevision() == own.getCreateRevision())
        .findFirst();
  }

  /**
   * Deletes the session's key. One that is gone already, or is somebody's later key, stays.
   *
   * <p>Each attempt is guarded by the last change: one that is executed late removes no key that was entered once more (R8).
   */
  static CompletableFuture<Void> delete(Session session, Op op, KeyValue own) {
    Txn delete =
        Txn.when(isUnchanged(session, own)).then(Ops.delete(own.getKey())).otherwise(Ops.get(own.getKey()));
    return txn(session, op, delete)
        .thenCompose(
            answer -> {
              Optional<KeyValue> changed =
                  answer.getSucceeded() ? Optional.empty() : found(session, own, answer, 0);
              return changed.isPresent() ? delete(session, op, changed.get()) : Handle.done();
            });
  }

  /** Deletes a key that is no longer wanted, in the background, for as long as the session lives. */
  static void abandon(Session session, KeyValue own) {
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
              return delete(session, op, own).whenComplete((done, failure) -> session.unbind(op));
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
