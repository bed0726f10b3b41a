package dev.conclave.client;

import com.google.protobuf.ByteString;
import dev.conclave.client.api.KeyValue;
import java.time.Duration;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/**
 * A queue (K10) with a session to take items: first by priority, then by due time, then in the order of their arrival. Items are
 * delivered at least once: if the session is lost before the item is acknowledged, another one takes it.
 */
public final class QueueConsumer extends Queue {
  private static final Comparator<KeyValue> ORDER =
      Comparator.<KeyValue, String>comparing(item -> head(item.getKey())).thenComparing(KeyValue::getCreateRevision);

  private final Session session;
  private final Calls calls;
  private final Core core;
  private final ByteString prefix;
  private final ByteString items;
  private final ByteString claims;

  QueueConsumer(Session session, String name) {
    super(session.calls(), name);
    this.session = session;
    this.calls = session.calls();
    this.core = session.core();
    this.prefix = Keys.bytes(name + "/");
    this.items = Keys.bytes(name + "/items/");
    this.claims = Keys.bytes(name + "/claims/");
  }

  /**
   * Waits for an item.
   *
   * @return the item, which no other one gets while the session lives; acknowledge it
   */
  public QueueItem take() {
    return core.await(taking(null));
  }

  /**
   * Waits for an item for at most a time.
   *
   * @param timeout the time, after which it fails with {@link ErrorKind#DEADLINE}
   * @return the item; acknowledge it
   */
  public QueueItem take(Duration timeout) {
    return core.await(taking(Client.positive(timeout)));
  }

  /**
   * Waits for an item.
   *
   * @return the item; acknowledge it
   */
  public CompletableFuture<QueueItem> takeAsync() {
    return core.publish(taking(null));
  }

  /**
   * Waits for an item for at most a time.
   *
   * @param timeout the time, after which it fails with {@link ErrorKind#DEADLINE}
   * @return the item; acknowledge it
   */
  public CompletableFuture<QueueItem> takeAsync(Duration timeout) {
    return core.publish(taking(Client.positive(timeout)));
  }

  private Core.Running<QueueItem> taking(Duration timeout) {
    return core.wait(
        "waiting for an item",
        timeout,
        op -> {
          session.bind(op);
          return Loop.until(() -> step(op)).whenComplete((item, failure) -> session.unbind(op));
        });
  }

  private CompletableFuture<Optional<QueueItem>> step(Op op) {
    Txn list =
        Txn.when()
            .then(
                Ops.range(Kv.prefixRange(items).setKeysOnly(true).build()),
                Ops.range(Kv.prefixRange(claims).setKeysOnly(true).build()));
    return Contention.txn(calls, op, list, Calls.Mode.READ)
        .thenCompose(
            answer -> {
              Set<String> claimed = new HashSet<>();
              Kv.found(answer, 1).forEach(claim -> claimed.add(tail(claim.getKey())));
              List<KeyValue> free =
                  Kv.found(answer, 0).stream()
                      .filter(item -> !claimed.contains(tail(item.getKey())))
                      .sorted(ORDER)
                      .toList();
              long now = System.currentTimeMillis();
              Optional<KeyValue> first = free.stream().filter(item -> due(item) <= now).findFirst();
              if (first.isPresent()) {
                return claim(op, first.get());
              }
              long next = free.stream().mapToLong(QueueConsumer::due).min().orElse(Long.MAX_VALUE);
              return change(op, answer.getHeader().getRevision() + 1, next - now).thenApply(again -> Optional.empty());
            });
  }

  /** Waits for a change of the queue, or for an item to be due. */
  private CompletableFuture<Void> change(Op op, long from, long millis) {
    Op waiting = new Op(core, "waiting for an item", null, true);
    Runnable unhook = op.onStop(waiting::stop);
    CompletableFuture<Void> changed = WatchStream.first(calls, waiting, WatchStream.Range.prefix(prefix), from);
    CompletableFuture<Void> result = new CompletableFuture<>();
    changed.whenComplete(
        (done, failure) -> {
          if (failure == null) {
            result.complete(null);
          } else {
            result.completeExceptionally(failure);
          }
        });
    if (millis < TimeUnit.DAYS.toMillis(1)) {
      waiting.pause(TimeUnit.MILLISECONDS.toNanos(Math.max(1, millis))).thenRun(() -> result.complete(null));
    }
    return result.whenComplete(
        (done, failure) -> {
          unhook.run();
          waiting.stop(ConclaveException.cancelled(false));
          waiting.finish();
        });
  }

  private CompletableFuture<Optional<QueueItem>> claim(Op op, KeyValue item) {
    CompletableFuture<Optional<QueueItem>> claiming =
        core.internal(
                "claiming an item",
                null,
                true,
                own -> {
                  session.bind(own);
                  return claimOn(own, item).whenComplete((done, failure) -> session.unbind(own));
                })
            .result();
    return op.guard(claiming)
        .whenComplete(
            (claimed, failure) -> {
              if (failure != null) {
                // The claim goes on: a deletion beside it could be executed before it.
                claiming.thenAccept(late -> late.ifPresent(QueueItem::abandon));
              }
            });
  }

  private CompletableFuture<Optional<QueueItem>> claimOn(Op op, KeyValue item) {
    ByteString claim = claims.concat(Keys.bytes(tail(item.getKey())));
    // Tells this claim from all others, when an answer was lost.
    ByteString mark = Keys.bytes("%016x".formatted(RANDOM.nextLong()));
    Txn take =
        Txn.when(Compares.owner(item.getKey(), item.getCreateRevision()), Compares.absent(claim))
            .then(Ops.put(claim, mark, session.lease()), Ops.get(item.getKey()), Ops.get(claim))
            .otherwise(Ops.get(item.getKey()), Ops.get(claim));
    return Contention.txn(session, op, take)
        .thenApply(
            answer -> {
              int read = answer.getSucceeded() ? 1 : 0;
              List<KeyValue> content = Kv.found(answer, read);
              return Kv.found(answer, read + 1).stream()
                  // After a refusal: an attempt that was executed without an answer.
                  .filter(own -> own.getValue().equals(mark))
                  .filter(own -> !content.isEmpty())
                  .findFirst()
                  .map(own -> new QueueItem(session, content.get(0), own));
            })
        .whenComplete(
            (claimed, failure) -> {
              if (op.isUnsettled()) {
                Optional<QueueItem> mine = failure == null ? claimed : Optional.empty();
                long token = mine.map(QueueItem::token).orElse(0L);
                LateCopies copies =
                    LateCopies.watch(
                        session,
                        claim,
                        kv -> {
                          if (kv.getValue().equals(mark) && kv.getCreateRevision() != token) {
                            Contention.abandon(session, kv);
                          }
                        },
                        () -> {});
                // No claim of an item that is gone is executed.
                mine.ifPresent(taken -> taken.whenRemoved(copies::close));
              }
            });
  }

  private static String tail(ByteString key) {
    String text = key.toStringUtf8();
    return text.substring(text.lastIndexOf('/') + 1);
  }

  /** Priority and due time. */
  private static String head(ByteString key) {
    String tail = tail(key);
    int end = tail.lastIndexOf('-');
    return end < 0 ? tail : tail.substring(0, end);
  }

  private static long due(KeyValue item) {
    String[] parts = tail(item.getKey()).split("-");
    try {
      return parts.length == 3 ? Long.parseLong(parts[1]) : 0;
    } catch (NumberFormatException foreign) {
      return 0;
    }
  }
}
