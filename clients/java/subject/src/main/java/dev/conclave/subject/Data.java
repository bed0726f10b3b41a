package dev.conclave.subject;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.google.protobuf.ByteString;
import dev.conclave.client.Cache;
import dev.conclave.client.Membership;
import dev.conclave.client.QueueConsumer;
import dev.conclave.client.QueueItem;
import dev.conclave.client.ServiceAddress;
import dev.conclave.client.api.KeyValue;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/** Queues, counters, values, groups, services, caches, transactions in memory and what is done once. */
final class Data {
  private final Names names;

  Data(Names names) {
    this.names = names;
  }

  void register(Map<String, Main.Operation> operations) {
    operations.put("queue.put", this::queuePut);
    operations.put("queue.take", this::queueTake);
    operations.put("queue.ack", args -> ended(args, names.get(args, "item", QueueItem.class).ackAsync()));
    operations.put("queue.release", args -> ended(args, names.get(args, "item", QueueItem.class).releaseAsync()));
    operations.put(
        "counter.add",
        args ->
            args.track(names.client(args).counter(args.text("name")).addAsync(args.number("delta")))
                .thenApply(value -> Reply.of("value", value).json()));
    operations.put(
        "counter.get",
        args ->
            args.track(names.client(args).counter(args.text("name")).getAsync())
                .thenApply(value -> Reply.of("value", value).json()));
    operations.put("value.get", this::valueGet);
    operations.put("value.compare_and_set", this::valueSet);
    operations.put("group.join", this::join);
    operations.put(
        "group.leave",
        args ->
            args.track(names.get(args, "group", Membership.class).leaveAsync()).thenApply(done -> new JsonObject()));
    operations.put("group.members", this::members);
    operations.put("service.register", this::serve);
    operations.put("service.list", this::serviceList);
    operations.put("cache.open", this::cacheOpen);
    operations.put("cache.get", this::cacheGet);
    operations.put("cache.list", this::cacheList);
    operations.put(
        "cache.close",
        args -> {
          names.get(args, "cache", Cache.class).close();
          return Reply.empty();
        });
    operations.put("stm.transfer", this::transfer);
    operations.put("once.run", this::once);
  }

  private CompletableFuture<JsonObject> queuePut(Args args) {
    Duration delay = args.has("delay") ? args.seconds("delay") : Duration.ZERO;
    return args.track(
            names.client(args)
                .queue(args.text("name"))
                .putAsync(args.text("value"), (int) args.number("priority", 0), delay))
        .thenApply(done -> new JsonObject());
  }

  private CompletableFuture<JsonObject> queueTake(Args args) {
    QueueConsumer queue = names.session(args).queue(args.text("name"));
    return args.track(args.deadline() == null ? queue.takeAsync() : queue.takeAsync(args.deadline()))
        .thenApply(
            item -> {
              names.put(args, item);
              return Reply.of("value", item.text()).json();
            });
  }

  private static CompletableFuture<JsonObject> ended(Args args, CompletableFuture<Boolean> ending) {
    return args.track(ending).thenApply(done -> Reply.of("done", done).json());
  }

  private CompletableFuture<JsonObject> valueGet(Args args) {
    return args.track(names.client(args).value(args.text("name")).getAsync()).thenApply(Data::found);
  }

  private static JsonObject found(Optional<KeyValue> kv) {
    return Reply.of("found", kv.isPresent())
        .and("value", kv.map(one -> one.getValue().toStringUtf8()).orElse(""))
        .and("revision", kv.map(KeyValue::getModRevision).orElse(0L))
        .json();
  }

  private CompletableFuture<JsonObject> valueSet(Args args) {
    return args.track(
            names.client(args)
                .value(args.text("name"))
                .compareAndSetAsync(args.number("revision"), args.text("value")))
        .thenApply(
            revision -> Reply.of("swapped", revision.isPresent()).and("revision", revision.orElse(0)).json());
  }

  private CompletableFuture<JsonObject> join(Args args) {
    return args.track(names.session(args).group(args.text("name")).joinAsync(args.text("member"), args.text("value")))
        .thenApply(
            member -> {
              names.put(args, member);
              return new JsonObject();
            });
  }

  private CompletableFuture<JsonObject> members(Args args) {
    return args.track(names.client(args).group(args.text("name")).membersAsync())
        .thenApply(
            members -> {
              JsonObject object = new JsonObject();
              members.forEach(object::addProperty);
              return Reply.of("members", object).json();
            });
  }

  private CompletableFuture<JsonObject> serve(Args args) {
    ServiceAddress address = new ServiceAddress(args.text("address"), null);
    return args.track(names.session(args).service(args.text("service")).registerAsync(address))
        .thenApply(
            registration -> {
              names.put(args, registration);
              return new JsonObject();
            });
  }

  private CompletableFuture<JsonObject> serviceList(Args args) {
    return args.track(names.client(args).service(args.text("service")).listAsync())
        .thenApply(
            addresses -> {
              JsonArray list = new JsonArray();
              addresses.forEach(one -> list.add(one.address()));
              return Reply.of("addresses", list).json();
            });
  }

  private CompletableFuture<JsonObject> cacheOpen(Args args) {
    String as = args.text("as");
    Cache.Listener listener =
        new Cache.Listener() {
          @Override
          public void put(KeyValue kv) {
            names.event(
                as,
                Reply.of("type", "put")
                    .and("key", kv.getKey().toStringUtf8())
                    .and("value", kv.getValue().toStringUtf8())
                    .json());
          }

          @Override
          public void delete(ByteString key) {
            names.event(as, Reply.of("type", "delete").and("key", key.toStringUtf8()).and("value", "").json());
          }
        };
    return args.track(names.client(args).cacheAsync(args.text("prefix"), listener))
        .thenApply(
            cache -> {
              names.put(args, cache);
              return Reply.of("revision", cache.revision()).json();
            });
  }

  private CompletableFuture<JsonObject> cacheGet(Args args) {
    Cache cache = names.get(args, "cache", Cache.class);
    CompletableFuture<Void> seen = CompletableFuture.completedFuture(null);
    if (args.has("at_least")) {
      long revision = args.number("at_least");
      seen = args.deadline() == null ? cache.atLeastAsync(revision) : cache.atLeastAsync(revision, args.deadline());
    }
    return args.track(seen)
        .thenApply(
            done -> {
              Optional<KeyValue> kv = cache.get(args.text("key"));
              return Reply.of("found", kv.isPresent())
                  .and("value", kv.map(one -> one.getValue().toStringUtf8()).orElse(""))
                  .json();
            });
  }

  private CompletableFuture<JsonObject> cacheList(Args args) {
    JsonObject kvs = new JsonObject();
    for (KeyValue kv : names.get(args, "cache", Cache.class).list()) {
      kvs.addProperty(kv.getKey().toStringUtf8(), kv.getValue().toStringUtf8());
    }
    return CompletableFuture.completedFuture(Reply.of("kvs", kvs).json());
  }

  private CompletableFuture<JsonObject> transfer(Args args) {
    String from = args.text("from");
    String to = args.text("to");
    long amount = args.number("amount");
    return args.track(
        names.client(args)
            .stmAsync(
                tx -> {
                  long left = tx.get(from).map(Long::parseLong).orElse(0L) - amount;
                  tx.put(from, Long.toString(left));
                  long right = tx.get(to).map(Long::parseLong).orElse(0L) + amount;
                  tx.put(to, Long.toString(right));
                  return Reply.of("from", left).and("to", right).json();
                }));
  }

  private CompletableFuture<JsonObject> once(Args args) {
    String value = args.text("value");
    return args.track(names.session(args).once(args.text("name")).runAsync(() -> value))
        .thenApply(result -> Reply.of("value", result.value()).and("ran", result.ran()).json());
  }
}
