package dev.conclave.client;

import com.google.protobuf.ByteString;
import dev.conclave.client.Core.Running;
import dev.conclave.client.api.CompactionRequest;
import dev.conclave.client.api.CompactionResponse;
import dev.conclave.client.api.Compare;
import dev.conclave.client.api.DeleteRangeRequest;
import dev.conclave.client.api.DeleteRangeResponse;
import dev.conclave.client.api.KVGrpc;
import dev.conclave.client.api.KeyValue;
import dev.conclave.client.api.PutRequest;
import dev.conclave.client.api.PutResponse;
import dev.conclave.client.api.RangeRequest;
import dev.conclave.client.api.RangeResponse;
import dev.conclave.client.api.RequestOp;
import dev.conclave.client.api.TxnRequest;
import dev.conclave.client.api.TxnResponse;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/** Keys and values. Requests and answers are the API's own messages; strings are UTF-8. */
public final class Kv {
  private final Core core;
  private final Calls calls;
  private final Duration timeout;

  Kv(Calls calls, Duration timeout) {
    this.core = calls.core();
    this.calls = calls;
    this.timeout = timeout;
  }

  /**
   * Returns the same with another deadline.
   *
   * @param timeout the deadline of each call
   * @return a view; the client is shared
   */
  public Kv withTimeout(Duration timeout) {
    return new Kv(calls, Client.positive(timeout));
  }

  /**
   * Reads a key.
   *
   * @param key the key
   * @return what it has, if it exists
   */
  public Optional<KeyValue> get(String key) {
    return first(core.await(ranging(one(key))));
  }

  /**
   * Reads a key.
   *
   * @param key the key
   * @return what it has, if it exists
   */
  public CompletableFuture<Optional<KeyValue>> getAsync(String key) {
    return core.publish(then(ranging(one(key)), Kv::first));
  }

  /**
   * Reads all keys with a prefix, in their order.
   *
   * @param prefix the prefix; empty for all keys
   * @return the keys, and the revision in the header
   */
  public RangeResponse list(String prefix) {
    return core.await(ranging(all(prefix)));
  }

  /**
   * Reads all keys with a prefix, in their order.
   *
   * @param prefix the prefix; empty for all keys
   * @return the keys, and the revision in the header
   */
  public CompletableFuture<RangeResponse> listAsync(String prefix) {
    return core.publish(ranging(all(prefix)));
  }

  /**
   * Reads a range.
   *
   * @param request the range and how to read it
   * @return the answer
   */
  public RangeResponse range(RangeRequest request) {
    return core.await(ranging(request));
  }

  /**
   * Reads a range.
   *
   * @param request the range and how to read it
   * @return the answer
   */
  public CompletableFuture<RangeResponse> rangeAsync(RangeRequest request) {
    return core.publish(ranging(request));
  }

  /**
   * Writes a key.
   *
   * @param key the key
   * @param value its value
   * @return the answer
   */
  public PutResponse put(String key, String value) {
    return put(request(key, value));
  }

  /**
   * Writes a key.
   *
   * @param key the key
   * @param value its value
   * @return the answer
   */
  public CompletableFuture<PutResponse> putAsync(String key, String value) {
    return putAsync(request(key, value));
  }

  /**
   * Writes a key.
   *
   * @param request the key, its value and its lease
   * @return the answer
   */
  public PutResponse put(PutRequest request) {
    return core.await(putting(request));
  }

  /**
   * Writes a key.
   *
   * @param request the key, its value and its lease
   * @return the answer
   */
  public CompletableFuture<PutResponse> putAsync(PutRequest request) {
    return core.publish(putting(request));
  }

  /**
   * Deletes a key.
   *
   * @param key the key
   * @return the answer
   */
  public DeleteRangeResponse delete(String key) {
    return delete(DeleteRangeRequest.newBuilder().setKey(Keys.bytes(key)).build());
  }

  /**
   * Deletes a key.
   *
   * @param key the key
   * @return the answer
   */
  public CompletableFuture<DeleteRangeResponse> deleteAsync(String key) {
    return deleteAsync(DeleteRangeRequest.newBuilder().setKey(Keys.bytes(key)).build());
  }

  /**
   * Deletes all keys with a prefix, at one revision.
   *
   * @param prefix the prefix; empty for all keys
   * @return the answer
   */
  public DeleteRangeResponse deletePrefix(String prefix) {
    return delete(prefixed(prefix));
  }

  /**
   * Deletes all keys with a prefix, at one revision.
   *
   * @param prefix the prefix; empty for all keys
   * @return the answer
   */
  public CompletableFuture<DeleteRangeResponse> deletePrefixAsync(String prefix) {
    return deleteAsync(prefixed(prefix));
  }

  /**
   * Deletes a key or a range.
   *
   * @param request the range
   * @return the answer
   */
  public DeleteRangeResponse delete(DeleteRangeRequest request) {
    return core.await(deleting(request));
  }

  /**
   * Deletes a key or a range.
   *
   * @param request the range
   * @return the answer
   */
  public CompletableFuture<DeleteRangeResponse> deleteAsync(DeleteRangeRequest request) {
    return core.publish(deleting(request));
  }

  /**
   * Compares, then runs one of two lists of operations, all at one revision.
   *
   * @param txn the transaction
   * @return the answer
   */
  public TxnResponse txn(Txn txn) {
    return core.await(transacting(Keys.given(txn, "a transaction").request()));
  }

  /**
   * Compares, then runs one of two lists of operations, all at one revision.
   *
   * @param txn the transaction
   * @return the answer
   */
  public CompletableFuture<TxnResponse> txnAsync(Txn txn) {
    return core.publish(transacting(Keys.given(txn, "a transaction").request()));
  }

  /**
   * Removes the history below a revision. Never changes present keys.
   *
   * @param revision stays readable
   * @return the answer
   */
  public CompactionResponse compact(long revision) {
    return core.await(compacting(revision));
  }

  /**
   * Removes the history below a revision. Never changes present keys.
   *
   * @param revision stays readable
   * @return the answer
   */
  public CompletableFuture<CompactionResponse> compactAsync(long revision) {
    return core.publish(compacting(revision));
  }

  private Running<RangeResponse> ranging(RangeRequest request) {
    return core.start(
        "a read",
        timeout,
        false,
        op -> {
          Keys.key(Keys.given(request, "a request").getKey());
          return calls.call(op, KVGrpc.getRangeMethod(), request, Calls.Mode.READ);
        });
  }

  private Running<PutResponse> putting(PutRequest request) {
    return core.start(
        "a put",
        timeout,
        false,
        op -> {
          Keys.key(Keys.given(request, "a request").getKey());
          return calls.call(op, KVGrpc.getPutMethod(), request, Calls.Mode.WRITE);
        });
  }

  private Running<DeleteRangeResponse> deleting(DeleteRangeRequest request) {
    return core.start(
        "a delete",
        timeout,
        false,
        op -> {
          Keys.key(Keys.given(request, "a request").getKey());
          return calls.call(op, KVGrpc.getDeleteRangeMethod(), request, Calls.Mode.WRITE);
        });
  }

  private Running<TxnResponse> transacting(TxnRequest request) {
    return core.start(
        "a transaction",
        timeout,
        false,
        op -> {
          request.getCompareList().stream().map(Compare::getKey).forEach(Keys::key);
          request.getSuccessList().forEach(Kv::check);
          request.getFailureList().forEach(Kv::check);
          Calls.Mode mode = Txn.reads(request) ? Calls.Mode.READ : Calls.Mode.WRITE;
          return calls.call(op, KVGrpc.getTxnMethod(), request, mode);
        });
  }

  private Running<CompactionResponse> compacting(long revision) {
    CompactionRequest request = CompactionRequest.newBuilder().setRevision(revision).build();
    return core.start(
        "a compaction",
        timeout,
        false,
        op -> calls.call(op, KVGrpc.getCompactMethod(), request, Calls.Mode.WRITE));
  }

  private static void check(RequestOp op) {
    switch (op.getRequestCase()) {
      case REQUEST_PUT -> Keys.key(op.getRequestPut().getKey());
      case REQUEST_RANGE -> Keys.key(op.getRequestRange().getKey());
      case REQUEST_DELETE_RANGE -> Keys.key(op.getRequestDeleteRange().getKey());
      default -> {}
    }
  }

  static <T, R> Running<R> then(Running<T> running, java.util.function.Function<T, R> change) {
    return new Running<>(running.op(), running.result().thenApply(change));
  }

  private static Optional<KeyValue> first(RangeResponse answer) {
    return answer.getKvsList().stream().findFirst();
  }

  private static RangeRequest one(String key) {
    return RangeRequest.newBuilder().setKey(Keys.bytes(key)).build();
  }

  private static RangeRequest all(String prefix) {
    return prefixRange(Keys.bytes(prefix)).build();
  }

  static RangeRequest.Builder prefixRange(ByteString prefix) {
    return RangeRequest.newBuilder().setKey(Keys.prefixStart(prefix)).setRangeEnd(Keys.prefixEnd(prefix));
  }

  private static DeleteRangeRequest prefixed(String text) {
    ByteString prefix = Keys.bytes(text);
    return DeleteRangeRequest.newBuilder()
        .setKey(Keys.prefixStart(prefix))
        .setRangeEnd(Keys.prefixEnd(prefix))
        .build();
  }

  private static PutRequest request(String key, String value) {
    return PutRequest.newBuilder().setKey(Keys.bytes(key)).setValue(Keys.bytes(value)).build();
  }

  /** The first entry of each range that a transaction read. */
  static List<KeyValue> found(TxnResponse answer, int index) {
    return answer.getResponses(index).getResponseRange().getKvsList();
  }
}
