package dev.conclave.subject;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.protobuf.ByteString;
import dev.conclave.client.Compares;
import dev.conclave.client.ConclaveException;
import dev.conclave.client.Ops;
import dev.conclave.client.Txn;
import dev.conclave.client.Watch;
import dev.conclave.client.api.Compare;
import dev.conclave.client.api.Compare.CompareResult;
import dev.conclave.client.api.Event;
import dev.conclave.client.api.KeyValue;
import dev.conclave.client.api.PutRequest;
import dev.conclave.client.api.RangeRequest;
import dev.conclave.client.api.RequestOp;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/** Operations on keys, and watches. */
final class Keys {
  private final Names names;

  Keys(Names names) {
    this.names = names;
  }

  void register(Map<String, Main.Operation> operations) {
    operations.put("put", this::put);
    operations.put("get", this::get);
    operations.put("list", this::list);
    operations.put(
        "delete",
        args ->
            args.track(names.kv(args).deleteAsync(args.text("key")))
                .thenApply(done -> Reply.of("deleted", done.getDeleted()).and("revision", done.getHeader().getRevision()).json()));
    operations.put(
        "delete_prefix",
        args ->
            args.track(names.kv(args).deletePrefixAsync(args.text("prefix")))
                .thenApply(done -> Reply.of("deleted", done.getDeleted()).and("revision", done.getHeader().getRevision()).json()));
    operations.put("txn", this::txn);
    operations.put(
        "compact",
        args ->
            args.track(names.kv(args).compactAsync(args.number("revision"))).thenApply(done -> new JsonObject()));
    operations.put("owner.put", this::ownerPut);
    operations.put("watch.open", this::watch);
    operations.put(
        "watch.close",
        args -> {
          names.get(args, "watch", Watch.class).close();
          return Reply.empty();
        });
  }

  static ByteString bytes(String text) {
    return ByteString.copyFromUtf8(text);
  }

  private CompletableFuture<JsonObject> put(Args args) {
    PutRequest.Builder put = PutRequest.newBuilder().setKey(bytes(args.text("key"))).setValue(bytes(args.text("value")));
    if (args.has("lease")) {
      put.setLease(Long.parseUnsignedLong(args.text("lease"), 16));
    }
    return args.track(names.kv(args).putAsync(put.build()))
        .thenApply(done -> Reply.of("revision", done.getHeader().getRevision()).json());
  }

  private CompletableFuture<JsonObject> get(Args args) {
    RangeRequest get =
        RangeRequest.newBuilder()
            .setKey(bytes(args.text("key")))
            .setSerializable(args.flag("serializable"))
            .setRevision(args.number("revision", 0))
            .build();
    return args.track(names.kv(args).rangeAsync(get))
        .thenApply(
            answer -> {
              Reply reply =
                  Reply.of("found", answer.getKvsCount() > 0).and("revision", answer.getHeader().getRevision());
              KeyValue kv = answer.getKvsCount() > 0 ? answer.getKvs(0) : KeyValue.getDefaultInstance();
              return reply
                  .and("value", kv.getValue().toStringUtf8())
                  .and("create_revision", kv.getCreateRevision())
                  .and("mod_revision", kv.getModRevision())
                  .json();
            });
  }

  private CompletableFuture<JsonObject> list(Args args) {
    return args.track(names.kv(args).listAsync(args.text("prefix")))
        .thenApply(
            answer -> {
              JsonArray kvs = new JsonArray();
              for (KeyValue kv : answer.getKvsList()) {
                kvs.add(
                    Reply.of("key", kv.getKey().toStringUtf8())
                        .and("value", kv.getValue().toStringUtf8())
                        .and("create_revision", kv.getCreateRevision())
                        .and("mod_revision", kv.getModRevision())
                        .json());
              }
              return Reply.of("kvs", kvs).and("revision", answer.getHeader().getRevision()).json();
            });
  }

  private CompletableFuture<JsonObject> txn(Args args) {
    Compare[] conditions =
        args.list("if").asList().stream().map(one -> compare(one.getAsJsonObject())).toArray(Compare[]::new);
    Txn txn = Txn.when(conditions).then(ops(args.list("then"))).otherwise(ops(args.list("else")));
    return args.track(names.kv(args).txnAsync(txn))
        .thenApply(
            done -> Reply.of("succeeded", done.getSucceeded()).and("revision", done.getHeader().getRevision()).json());
  }

  private static Compare compare(JsonObject one) {
    ByteString key = bytes(one.get("key").getAsString());
    CompareResult is =
        switch (one.get("is").getAsString()) {
          case "=" -> CompareResult.EQUAL;
          case "!=" -> CompareResult.NOT_EQUAL;
          case "<" -> CompareResult.LESS;
          default -> CompareResult.GREATER;
        };
    JsonElement than = one.get("than");
    return switch (one.get("target").getAsString()) {
      case "create_revision" -> Compares.created(key, is, than.getAsLong());
      case "mod_revision" -> Compares.modified(key, is, than.getAsLong());
      case "version" -> Compares.version(key, is, than.getAsLong());
      default -> Compares.value(key, is, bytes(than.getAsString()));
    };
  }

  private static RequestOp[] ops(JsonArray list) {
    return list.asList().stream().map(one -> op(one.getAsJsonObject())).toArray(RequestOp[]::new);
  }

  private static RequestOp op(JsonObject one) {
    String kind = one.keySet().iterator().next();
    JsonObject of = one.getAsJsonObject(kind);
    ByteString key = bytes(of.get("key").getAsString());
    return switch (kind) {
      case "put" -> Ops.put(key, bytes(of.get("value").getAsString()));
      case "delete" -> Ops.delete(key);
      default -> Ops.get(key);
    };
  }

  private CompletableFuture<JsonObject> ownerPut(Args args) {
    Txn put =
        Txn.when(Compares.owner(bytes(args.text("owner")), args.number("token")))
            .then(Ops.put(bytes(args.text("key")), bytes(args.text("value"))));
    return args.track(names.kv(args).txnAsync(put))
        .thenApply(done -> Reply.of("succeeded", done.getSucceeded()).json());
  }

  private CompletableFuture<JsonObject> watch(Args args) {
    long from = args.number("from", 0);
    CompletableFuture<Watch> opening =
        args.has("prefix")
            ? names.client(args).watchPrefixAsync(args.text("prefix"), from)
            : names.client(args).watchAsync(args.text("key"), from);
    String as = args.text("as");
    return args.track(opening)
        .thenApply(
            watch -> {
              names.put(args, watch);
              watch.listen(
                  new Watch.Listener() {
                    @Override
                    public void events(List<Event> events) {
                      events.forEach(event -> names.event(as, json(event)));
                    }

                    @Override
                    public void ended(Optional<ConclaveException> why) {
                      Reply end = Reply.of("type", "end");
                      why.ifPresent(error -> end.and("error", Main.error(error)));
                      names.event(as, end.json());
                    }
                  });
              return Reply.of("revision", watch.revision()).json();
            });
  }

  private static JsonObject json(Event event) {
    KeyValue kv = event.getKv();
    return Reply.of("type", event.getType() == Event.EventType.PUT ? "put" : "delete")
        .and("key", kv.getKey().toStringUtf8())
        .and("value", kv.getValue().toStringUtf8())
        .and("revision", kv.getModRevision())
        .json();
  }
}
