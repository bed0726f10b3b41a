package dev.conclave.client;

import com.google.protobuf.ByteString;
import dev.conclave.client.api.Compare;
import dev.conclave.client.api.Compare.CompareResult;
import dev.conclave.client.api.KeyValue;
import dev.conclave.client.api.RangeRequest;
import dev.conclave.client.api.RequestOp;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/**
 * A double barrier (K8): all begin together, and all end together. It can be entered again: who enters while others still leave
 * belongs to the next round, and waits for it.
 */
public final class DoubleBarrier {
  private final Session session;
  private final Calls calls;
  private final Core core;
  private final int count;
  private final ByteString waiters;
  private final ByteString own;
  private final ByteString ready;

  DoubleBarrier(Session session, String name, int count) {
    if (count < 1) {
      throw ConclaveException.invalid("a double barrier is for at least one, and not " + count);
    }
    this.session = session;
    this.calls = session.calls();
    this.core = session.core();
    this.count = count;
    this.waiters = Keys.bytes(name + "/waiters/");
    this.own = Keys.bytes(name + "/waiters/" + session.id());
    this.ready = Keys.bytes(name + "/ready");
  }

  /** Waits until so many have entered. Fails with {@link ErrorKind#INVALID} if the session has entered already. */
  public void enter() {
    core.await(entering(null));
  }

  /**
   * Waits until so many have entered, for at most a time.
   *
   * @param timeout the time, after which it fails with {@link ErrorKind#DEADLINE} and has not entered
   */
  public void enter(Duration timeout) {
    core.await(entering(Client.positive(timeout)));
  }

  /**
   * Waits until so many have entered.
   *
   * @return completes then; cancelling it takes the entrance back
   */
  public CompletableFuture<Void> enterAsync() {
    return core.publish(entering(null));
  }

  /**
   * Waits until so many have entered, for at most a time.
   *
   * @param timeout the time, after which it fails with {@link ErrorKind#DEADLINE} and has not entered
   * @return completes then
   */
  public CompletableFuture<Void> enterAsync(Duration timeout) {
    return core.publish(entering(Client.positive(timeout)));
  }

  /** Waits until all have left. */
  public void leave() {
    core.await(leaving(null));
  }

  /**
   * Waits until all have left, for at most a time.
   *
   * @param timeout the time, after which it fails with {@link ErrorKind#DEADLINE}; it has left all the same
   */
  public void leave(Duration timeout) {
    core.await(leaving(Client.positive(timeout)));
  }

  /**
   * Waits until all have left.
   *
   * @return completes then
   */
  public CompletableFuture<Void> leaveAsync() {
    return core.publish(leaving(null));
  }

  /**
   * Waits until all have left, for at most a time.
   *
   * @param timeout the time, after which it fails with {@link ErrorKind#DEADLINE}; it has left all the same
   * @return completes then
   */
  public CompletableFuture<Void> leaveAsync(Duration timeout) {
    return core.publish(leaving(Client.positive(timeout)));
  }

  private Core.Running<Void> entering(Duration timeout) {
    Place.Entry entry =
        new Place.Entry(
            Place.Kind.VISITOR, ByteString.EMPTY, (op, entered) -> Loop.until(() -> look(op, entered)));
    return core.wait(
        "entering a double barrier",
        timeout,
        op -> session.place(own).acquire(op, entry).thenApply(entered -> null));
  }

  /** True: the round has begun. False: the own key has gone. Empty: something has changed. */
  private CompletableFuture<Optional<Boolean>> look(Op op, long entered) {
    RangeRequest all = Kv.prefixRange(waiters).setCountOnly(true).build();
    Txn look = Txn.when(Compares.owner(own, entered)).then(Ops.range(all), Ops.get(ready));
    return Contention.txn(session, op, look)
        .thenCompose(
            answer -> {
              if (!answer.getSucceeded()) {
                return CompletableFuture.completedFuture(Optional.of(false));
              }
              long next = answer.getHeader().getRevision() + 1;
              List<KeyValue> present = Kv.found(answer, 1);
              if (!present.isEmpty() && present.get(0).getCreateRevision() > entered) {
                return CompletableFuture.completedFuture(Optional.of(true));
              }
              if (!present.isEmpty()) {
                // The former round is not over. Its last one deletes the key, unless its session was lost.
                return over(op, present.get(0).getCreateRevision()).thenCompose(gone -> again());
              }
              if (answer.getResponses(0).getResponseRange().getCount() >= count) {
                // The own key is gone after this round, so that a copy that is executed late begins no later one.
                Txn open =
                    Txn.when(Compares.unchanged(ready, 0), Compares.owner(own, entered))
                        .then(Ops.put(ready, ByteString.EMPTY));
                return Contention.txn(session, op, open).thenCompose(opened -> again());
              }
              return WatchStream.first(calls, op, WatchStream.Range.key(ready), next).thenCompose(opened -> again());
            });
  }

  private static CompletableFuture<Optional<Boolean>> again() {
    return CompletableFuture.completedFuture(Optional.empty());
  }

  private Core.Running<Void> leaving(Duration timeout) {
    return core.wait(
        "leaving a double barrier",
        timeout,
        op -> {
          session.bind(op);
          return leave(op).whenComplete((left, failure) -> session.unbind(op));
        });
  }

  private CompletableFuture<Void> leave(Op op) {
    // Read before the own key goes, while no other round can begin.
    RangeRequest get = RangeRequest.newBuilder().setKey(ready).build();
    return Contention.range(calls, op, get)
        .thenCompose(
            answer -> {
              CompletableFuture<Void> left =
                  session.place(own).held().map(owned -> owned.release(op)).orElseGet(Handle::done);
              return answer.getKvsCount() == 0
                  ? left
                  : left.thenCompose(done -> over(op, answer.getKvs(0).getCreateRevision()));
            });
  }

  /** Waits until nobody is left of a round. */
  private CompletableFuture<Void> over(Op op, long round) {
    // Those of this round have entered before it was opened.
    RangeRequest others = Contention.first(waiters).toBuilder().setMaxCreateRevision(round).build();
    return Barrier.absent(calls, op, others).thenCompose(gone -> close(op, round));
  }

  /** The last one ends the round: unless one of it is left, the key goes. Whoever else does it does the same. */
  private CompletableFuture<Void> close(Op op, long round) {
    Compare later =
        Compares.created(waiters, CompareResult.GREATER, round).toBuilder()
            .setRangeEnd(Keys.prefixEnd(waiters))
            .build();
    Compare same = Compares.owner(ready, round);
    RequestOp delete = Ops.delete(ready);
    return Contention.txn(session, op, Txn.when(same, Compares.none(waiters)).then(delete))
        .thenCompose(
            done ->
                done.getSucceeded()
                    ? Handle.done()
                    : Contention.txn(session, op, Txn.when(same, later).then(delete)).thenApply(closed -> null));
  }
}
