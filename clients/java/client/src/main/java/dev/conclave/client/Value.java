package dev.conclave.client;

import com.google.protobuf.ByteString;
import dev.conclave.client.api.Compare.CompareResult;
import dev.conclave.client.api.KVGrpc;
import dev.conclave.client.api.KeyValue;
import dev.conclave.client.api.PutRequest;
import dev.conclave.client.api.RangeRequest;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;

/** A value that all share (K12). Its revision is for {@link #compareAndSet}. */
public final class Value {
  private final Client client;
  private final Calls calls;
  private final Core core;
  private final ByteString key;

  Value(Client client, String name) {
    this.client = client;
    this.calls = client.calls();
    this.core = client.core();
    this.key = Keys.bytes(Keys.name(name));
  }

  /**
   * Reads the value.
   *
   * @return the value with its mod revision, if it is set
   */
  public Optional<KeyValue> get() {
    return core.await(getting());
  }

  /**
   * Reads the value.
   *
   * @return the value with its mod revision, if it is set
   */
  public CompletableFuture<Optional<KeyValue>> getAsync() {
    return core.publish(getting());
  }

  /**
   * Sets the value.
   *
   * @param value the value
   * @return its revision
   */
  public long set(String value) {
    return core.await(setting(value));
  }

  /**
   * Sets the value.
   *
   * @param value the value
   * @return its revision
   */
  public CompletableFuture<Long> setAsync(String value) {
    return core.publish(setting(value));
  }

  /**
   * Sets the value if it is unchanged since a revision.
   *
   * @param revision the mod revision that it must have; 0 if it must not be set
   * @param value the value
   * @return the new revision; empty if it was changed
   */
  public OptionalLong compareAndSet(long revision, String value) {
    return core.await(swapping(revision, value));
  }

  /**
   * Sets the value if it is unchanged since a revision.
   *
   * @param revision the mod revision that it must have; 0 if it must not be set
   * @param value the value
   * @return the new revision; empty if it was changed
   */
  public CompletableFuture<OptionalLong> compareAndSetAsync(long revision, String value) {
    return core.publish(swapping(revision, value));
  }

  /**
   * Notifies a listener of the present value and of every change.
   *
   * @param listener is given the value, or nothing if it is not set; runs on the client's callback executor
   * @return ends the notifications when closed
   */
  public Registration listen(Consumer<Optional<KeyValue>> listener) {
    return core.await(listening(listener));
  }

  /**
   * Notifies a listener of the present value and of every change.
   *
   * @param listener is given the value, or nothing if it is not set; runs on the client's callback executor
   * @return ends the notifications when closed
   */
  public CompletableFuture<Registration> listenAsync(Consumer<Optional<KeyValue>> listener) {
    return core.publish(listening(listener));
  }

  private Core.Running<Optional<KeyValue>> getting() {
    RangeRequest get = RangeRequest.newBuilder().setKey(key).build();
    return core.call(
        "a value",
        op -> Contention.range(calls, op, get).thenApply(answer -> answer.getKvsList().stream().findFirst()));
  }

  private Core.Running<Long> setting(String value) {
    PutRequest put = PutRequest.newBuilder().setKey(key).setValue(Keys.bytes(value)).build();
    return core.call(
        "a value",
        op ->
            calls.call(op, KVGrpc.getPutMethod(), put, Calls.Mode.WRITE)
                .thenApply(answer -> answer.getHeader().getRevision()));
  }

  private Core.Running<OptionalLong> swapping(long revision, String value) {
    return core.call(
        "a value",
        op -> {
          if (revision < 0) {
            throw ConclaveException.invalid("a revision cannot be " + revision);
          }
          Txn swap =
              Txn.when(Compares.modified(key, CompareResult.EQUAL, revision)).then(Ops.put(key, Keys.bytes(value)));
          return Contention.txn(calls, op, swap, Calls.Mode.WRITE)
              .thenApply(
                  answer ->
                      answer.getSucceeded()
                          ? OptionalLong.of(answer.getHeader().getRevision())
                          : OptionalLong.empty());
        });
  }

  private Core.Running<Registration> listening(Consumer<Optional<KeyValue>> listener) {
    Keys.given(listener, "a listener");
    Serial queue = core.serial();
    Mirror.Sink sink =
        new Mirror.Sink() {
          @Override
          public void put(KeyValue kv) {
            queue.run(() -> listener.accept(Optional.of(kv)));
          }

          @Override
          public void delete(ByteString gone) {
            queue.run(() -> listener.accept(Optional.empty()));
          }
        };
    return core.call(
        "a value",
        op ->
            Mirror.open(client, op, WatchStream.Range.key(key), sink)
                .thenApply(
                    mirror -> {
                      Optional<KeyValue> present = Optional.ofNullable(mirror.content().get(key));
                      queue.run(() -> listener.accept(present));
                      return () -> core.execute(mirror::close);
                    }));
  }
}
