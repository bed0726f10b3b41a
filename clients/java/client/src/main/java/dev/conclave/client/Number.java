package dev.conclave.client;

import com.google.protobuf.ByteString;
import dev.conclave.client.api.Compare.CompareResult;
import dev.conclave.client.api.KeyValue;
import dev.conclave.client.api.RangeRequest;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.concurrent.CompletableFuture;
import java.util.function.LongUnaryOperator;

/** A decimal number in a key, changed by transactions on its mod revision. */
final class Number {
  private Number() {}

  /** A number, and the revision at which it was written; 0 if the key does not exist. */
  record Read(OptionalLong value, long revision) {}

  static CompletableFuture<Read> read(Calls calls, Op op, ByteString key) {
    return Contention.range(calls, op, RangeRequest.newBuilder().setKey(key).build())
        .thenApply(answer -> parse(answer.getKvsList()));
  }

  static Read parse(List<KeyValue> found) {
    if (found.isEmpty()) {
      return new Read(OptionalLong.empty(), 0);
    }
    String text = found.get(0).getValue().toStringUtf8();
    try {
      return new Read(OptionalLong.of(Long.parseLong(text)), found.get(0).getModRevision());
    } catch (NumberFormatException error) {
      throw ConclaveException.invalid(
          "the key " + found.get(0).getKey().toStringUtf8() + " has no decimal number as its value");
    }
  }

  /** Changes a number until nobody else changed it meanwhile. A lost answer is the caller's to judge: it is not repeated. */
  static CompletableFuture<Long> change(Calls calls, Op op, ByteString key, boolean create, LongUnaryOperator change) {
    return Loop.until(
        () ->
            read(calls, op, key)
                .thenCompose(
                    read -> {
                      if (read.value.isEmpty() && !create) {
                        throw ConclaveException.invalid(
                            "the key " + key.toStringUtf8() + " does not exist; create it first");
                      }
                      long before = read.value.orElse(0);
                      long after = change.applyAsLong(before);
                      if (after == before && read.value.isPresent()) {
                        return CompletableFuture.completedFuture(Optional.of(after));
                      }
                      return write(calls, op, key, read.revision, after)
                          .thenApply(done -> done ? Optional.of(after) : Optional.empty());
                    }));
  }

  static CompletableFuture<Boolean> write(Calls calls, Op op, ByteString key, long revision, long value) {
    Txn put =
        Txn.when(Compares.modified(key, CompareResult.EQUAL, revision))
            .then(Ops.put(key, Keys.bytes(Long.toString(value))));
    return Contention.txn(calls, op, put, Calls.Mode.WRITE).thenApply(answer -> answer.getSucceeded());
  }
}
