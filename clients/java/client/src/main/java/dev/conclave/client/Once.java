package dev.conclave.client;

import com.google.protobuf.ByteString;
import dev.conclave.client.api.RangeRequest;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;

/**
 * Something that is done once (K17): whoever finds no result does it under a mutex, and all get the same result. If the session is
 * lost meanwhile its result is not written, and another one does it again.
 */
public final class Once {
  /**
   * The result.
   *
   * @param value what was done first has returned
   * @param ran true if it was this call that did it
   */
  public record Result(String value, boolean ran) {}

  private final Session session;
  private final Core core;
  private final ByteString key;
  private final Mutex mutex;

  Once(Session session, String name) {
    this.session = session;
    this.core = session.core();
    this.key = Keys.bytes(name + "/done");
    this.mutex = session.mutex(name + "/lock");
  }

  /**
   * Returns the result, after doing it if there is none. Waits while another one does it.
   *
   * @param action runs on the calling thread
   * @return the result
   * @throws Exception the failure of the action, after which another one can do it
   */
  public Result run(Callable<String> action) throws Exception {
    Keys.given(action, "an action");
    Optional<String> present = result();
    if (present.isPresent()) {
      return new Result(present.get(), false);
    }
    try (Lock lock = mutex.lock()) {
      Optional<String> meanwhile = result();
      if (meanwhile.isPresent()) {
        return new Result(meanwhile.get(), false);
      }
      String value = action.call();
      write(lock, value);
      return new Result(value, true);
    }
  }

  /**
   * Returns the result, after doing it if there is none.
   *
   * @param action runs on the client's callback executor
   * @return the result; cancelling it gives up waiting for another one
   */
  public CompletableFuture<Result> runAsync(Callable<String> action) {
    Keys.given(action, "an action");
    CompletableFuture<Result> result = new CompletableFuture<>();
    CompletableFuture<Optional<String>> reading = core.publish(reading());
    reading.whenComplete(
        (present, failure) -> {
          if (failure != null) {
            result.completeExceptionally(ConclaveException.of(failure));
          } else if (present.isPresent()) {
            result.complete(new Result(present.get(), false));
          } else {
            CompletableFuture<Lock> locking = mutex.lockAsync();
            result.whenComplete((done, ended) -> locking.cancel(true));
            locking.whenComplete((lock, refused) -> locked(lock, refused, action, result));
          }
        });
    result.whenComplete((done, ended) -> reading.cancel(true));
    return result;
  }

  private void locked(Lock lock, Throwable failure, Callable<String> action, CompletableFuture<Result> result) {
    if (failure != null) {
      result.completeExceptionally(ConclaveException.of(failure));
      return;
    }
    try (lock) {
      Optional<String> meanwhile = result();
      if (meanwhile.isPresent()) {
        result.complete(new Result(meanwhile.get(), false));
        return;
      }
      String value = action.call();
      write(lock, value);
      result.complete(new Result(value, true));
    } catch (Exception thrown) {
      result.completeExceptionally(thrown);
    }
  }

  private Optional<String> result() {
    return core.await(reading());
  }

  private Core.Running<Optional<String>> reading() {
    RangeRequest get = RangeRequest.newBuilder().setKey(key).build();
    return core.call(
        "a result",
        op ->
            Contention.range(session.calls(), op, get)
                .thenApply(answer -> answer.getKvsList().stream().findFirst().map(kv -> kv.getValue().toStringUtf8())));
  }

  private void write(Lock lock, String value) {
    Txn put = Txn.when(lock.owner()).then(Ops.put(key, Keys.bytes(value)));
    core.await(
        core.call(
            "writing a result",
            op ->
                Contention.txn(session, op, put)
                    .thenAccept(
                        answer -> {
                          if (!answer.getSucceeded()) {
                            // The result has no lease: one that an earlier attempt has written stays.
                            throw ConclaveException.sessionLost().maybeIf(op.isUnsettled());
                          }
                        })));
  }
}
