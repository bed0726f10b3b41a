package dev.conclave.subject;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import dev.conclave.client.Client;
import dev.conclave.client.Session;
import dev.conclave.client.Tls;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;

/** Clients and sessions. */
final class Sessions {
  private final Names names;

  Sessions(Names names) {
    this.names = names;
  }

  void register(Map<String, Main.Operation> operations) {
    operations.put("client.open", this::openClient);
    operations.put(
        "client.close",
        args -> {
          Client client = names.client(args);
          // The blocking form waits for the threads, too.
          return CompletableFuture.runAsync(client::close).thenApply(done -> new JsonObject());
        });
    operations.put("leftovers", args -> CompletableFuture.completedFuture(leftovers()));
    operations.put("session.open", this::openSession);
    operations.put(
        "session.state",
        args -> CompletableFuture.completedFuture(Reply.of("state", names.session(args).state().name()).json()));
    operations.put(
        "session.close",
        args -> args.track(names.session(args).closeAsync()).thenApply(done -> new JsonObject()));
  }

  private CompletableFuture<JsonObject> openClient(Args args) {
    List<String> endpoints = args.list("endpoints").asList().stream().map(one -> one.getAsString()).toList();
    Client.Builder builder = Client.builder().endpoints(endpoints);
    if (args.has("user")) {
      builder.user(args.text("user"), args.has("password") ? args.text("password") : "");
    }
    if (args.has("cacert")) {
      Tls tls = Tls.trusting(Path.of(args.text("cacert")));
      builder.tls(args.has("cert") ? tls.presenting(Path.of(args.text("cert")), Path.of(args.text("key"))) : tls);
    }
    if (args.has("timeout")) {
      builder.timeout(args.seconds("timeout"));
    }
    builder.log((text, cause) -> System.err.println(text + ": " + cause));
    names.put(args, builder.build());
    return Reply.empty();
  }

  /** The library's threads have names that begin with {@code conclave-}; its streams and timers belong to them. */
  private static JsonObject leftovers() {
    JsonArray what = new JsonArray();
    Thread.getAllStackTraces().keySet().stream()
        .map(Thread::getName)
        .filter(name -> name.startsWith("conclave-"))
        .forEach(what::add);
    return Reply.of("count", what.size()).and("what", what).json();
  }

  private CompletableFuture<JsonObject> openSession(Args args) {
    String as = args.text("as");
    return args.track(names.client(args).sessionAsync(args.seconds("ttl")))
        .thenApply(
            session -> {
              names.put(args, session);
              session.onState(
                  state -> names.event(as, Reply.of("type", "state").and("state", state.name()).json()));
              return Reply.of("lease", Long.toHexString(session.lease())).json();
            });
  }
}
