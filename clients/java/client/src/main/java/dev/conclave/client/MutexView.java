package dev.conclave.client;

import com.google.protobuf.ByteString;
import dev.conclave.client.api.KeyValue;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/** A mutex as seen from outside: its contenders, and the request to give it up. */
public class MutexView {
  private final Calls calls;
  private final ByteString prefix;

  MutexView(Calls calls, String name) {
    this.calls = calls;
    this.prefix = Keys.bytes(Keys.name(name) + "/");
  }

  /**
   * Lists the keys of the owner and of those that wait, in their order.
   *
   * @return the keys
   */
  public List<String> contenders() {
    return calls.core().await(listing());
  }

  /**
   * Lists the keys of the owner and of those that wait, in their order.
   *
   * @return the keys
   */
  public CompletableFuture<List<String>> contendersAsync() {
    return calls.core().publish(listing());
  }

  private Core.Running<List<String>> listing() {
    return calls.core()
        .call(
            "listing contenders",
            op ->
                Contention.range(calls, op, Contention.ordered(prefix))
                    .thenApply(
                        answer ->
                            answer.getKvsList().stream().map(kv -> kv.getKey().toStringUtf8()).toList()));
  }

  /**
   * Asks the owner to give the mutex up. Nothing is taken by force.
   *
   * @return false if there is no owner
   */
  public boolean revoke() {
    return calls.core().await(revoking());
  }

  /**
   * Asks the owner to give the mutex up. Nothing is taken by force.
   *
   * @return false if there is no owner
   */
  public CompletableFuture<Boolean> revokeAsync() {
    return calls.core().publish(revoking());
  }

  private Core.Running<Boolean> revoking() {
    return calls.core().call("asking for a mutex", this::revoke);
  }

  private CompletableFuture<Boolean> revoke(Op op) {
    return Contention.range(calls, op, Contention.first(prefix))
        .thenCompose(
            answer -> {
              if (answer.getKvsCount() == 0) {
                return CompletableFuture.completedFuture(false);
              }
              KeyValue owner = answer.getKvs(0);
              Txn ask =
                  Txn.when(Compares.owner(owner.getKey(), owner.getCreateRevision()))
                      .then(Ops.putKeepingLease(owner.getKey(), Ownership.REVOKE));
              return Contention.txn(calls, op, ask, Calls.Mode.WRITE)
                  // Another one owns it by now: it is asked instead.
                  .thenCompose(
                      asked -> asked.getSucceeded() ? CompletableFuture.completedFuture(true) : revoke(op));
            });
  }
}
