package dev.conclave.client;

import com.google.protobuf.ByteString;
import dev.conclave.client.api.Compare;
import dev.conclave.client.api.Compare.CompareResult;
import dev.conclave.client.api.KeyValue;
import dev.conclave.client.api.RangeRequest;
import dev.conclave.client.api.RangeResponse;
import dev.conclave.client.api.RequestOp;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicReference;

/** Transactions in memory (K16): see {@link Client#stm}. */
public final class Stm {
  /** The body of a transaction. */
  @FunctionalInterface
  public interface Body<T> {
    /**
     * Reads and writes keys. It may run more than once, so it should have no other effects.
     *
     * @param tx the transaction
     * @return the result
     */
    T run(Tx tx);
  }

  /** One run of a transaction. All that it reads is of one revision. */
  public static final class Tx {
    private final Kv kv;
    private final Map<ByteString, KeyValue> reads = new LinkedHashMap<>();
    private final Map<ByteString, Optional<ByteString>> writes = new LinkedHashMap<>();
    private long revision;

    private Tx(Kv kv) {
      this.kv = kv;
    }

    /**
     * Reads a key, or what this run has written to it.
     *
     * @param key the key
     * @return its value as UTF-8, if it exists
     */
    public Optional<String> get(String key) {
      ByteString bytes = Keys.key(Keys.bytes(key));
      Optional<ByteString> written = writes.get(bytes);
      if (written != null) {
        return written.map(ByteString::toStringUtf8);
      }
      KeyValue read = reads.get(bytes);
      if (read == null) {
        RangeResponse answer = kv.range(RangeRequest.newBuilder().setKey(bytes).setRevision(revision).build());
        if (revision == 0) {
          revision = answer.getHeader().getRevision();
        }
        read = answer.getKvsCount() == 0 ? KeyValue.getDefaultInstance() : answer.getKvs(0);
        reads.put(bytes, read);
      }
      return read.getModRevision() == 0 ? Optional.empty() : Optional.of(read.getValue().toStringUtf8());
    }

    /**
     * Writes a key, when the transaction is committed.
     *
     * @param key the key
     * @param value its value
     */
    public void put(String key, String value) {
      writes.put(Keys.key(Keys.bytes(key)), Optional.of(Keys.bytes(value)));
    }

    /**
     * Deletes a key, when the transaction is committed.
     *
     * @param key the key
     */
    public void delete(String key) {
      writes.put(Keys.key(Keys.bytes(key)), Optional.empty());
    }

    private Txn commit() {
      Compare[] unchanged =
          reads.entrySet().stream()
              .map(read -> Compares.modified(read.getKey(), CompareResult.EQUAL, read.getValue().getModRevision()))
              .toArray(Compare[]::new);
      RequestOp[] ops =
          writes.entrySet().stream()
              .map(
                  write ->
                      write.getValue().map(value -> Ops.put(write.getKey(), value)).orElseGet(() -> Ops.delete(write.getKey())))
              .toArray(RequestOp[]::new);
      return Txn.when(unchanged).then(ops);
    }
  }

  private Stm() {}

  static <T> T run(Kv kv, Body<T> body) {
    while (true) {
      Optional<T[]> result = attempt(kv, body);
      if (result.isPresent()) {
        return result.get()[0];
      }
    }
  }

  /** One run; empty if it has to be run again. The array is for results that are null. */
  private static <T> Optional<T[]> attempt(Kv kv, Body<T> body) {
    Tx tx = new Tx(kv);
    T result;
    try {
      result = body.run(tx);
    } catch (ConclaveException failure) {
      // Between two reads the revision of the first was compacted.
      if (failure.error().orElse(null) == ApiError.COMPACTED && tx.revision > 0) {
        return Optional.empty();
      }
      throw failure;
    }
    if ((tx.reads.isEmpty() && tx.writes.isEmpty()) || kv.txn(tx.commit()).getSucceeded()) {
      @SuppressWarnings("unchecked")
      T[] present = (T[]) new Object[] {result};
      return Optional.of(present);
    }
    return Optional.empty();
  }

  static <T> CompletableFuture<T> runAsync(Core core, Kv kv, Body<T> body) {
    AtomicReference<Thread> runner = new AtomicReference<>();
    CompletableFuture<T> result = new CompletableFuture<>();
    core.callback(
        () -> {
          synchronized (runner) {
            runner.set(Thread.currentThread());
          }
          try {
            if (!result.isDone()) {
              result.complete(run(kv, body));
            }
          } catch (RuntimeException | Error failure) {
            result.completeExceptionally(failure);
          } finally {
            synchronized (runner) {
              runner.set(null);
              // An interrupt that came too late was for this run alone.
              Thread.interrupted();
            }
          }
        });
    result.whenComplete(
        (done, failure) -> {
          if (result.isCancelled()) {
            synchronized (runner) {
              if (runner.get() != null) {
                runner.get().interrupt();
              }
            }
          }
        });
    return result;
  }
}
