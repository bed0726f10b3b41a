package dev.conclave.subject;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import dev.conclave.client.Election;
import dev.conclave.client.Leadership;
import dev.conclave.client.Registration;
import java.util.Map;
import java.util.concurrent.CompletableFuture;

/** Elections. */
final class Elections {
  private final Names names;

  Elections(Names names) {
    this.names = names;
  }

  void register(Map<String, Main.Operation> operations) {
    operations.put("election.campaign", this::campaign);
    operations.put(
        "election.proclaim",
        args ->
            args.track(names.get(args, "election", Leadership.class).proclaimAsync(args.text("value")))
                .thenApply(done -> new JsonObject()));
    operations.put(
        "election.resign",
        args ->
            args.track(names.get(args, "election", Leadership.class).resignAsync())
                .thenApply(done -> new JsonObject()));
    operations.put("election.state", args -> Locks.state(names.get(args, "election", Leadership.class)));
    operations.put("election.leader", this::leader);
    operations.put("election.observe", this::observe);
    operations.put("election.contenders", this::contenders);
    operations.put(
        "observe.close",
        args -> {
          names.get(args, "observe", Registration.class).close();
          return Reply.empty();
        });
  }

  private CompletableFuture<JsonObject> campaign(Args args) {
    Election election = names.session(args).election(args.text("name"));
    String value = args.text("value");
    CompletableFuture<Leadership> campaign =
        args.deadline() == null ? election.campaignAsync(value) : election.campaignAsync(value, args.deadline());
    return args.track(campaign).thenApply(leadership -> names.handle(args, leadership));
  }

  private CompletableFuture<JsonObject> leader(Args args) {
    return args.track(names.client(args).election(args.text("name")).leaderAsync())
        .thenApply(
            leader ->
                Reply.of("found", leader.isPresent())
                    .and("value", leader.map(one -> one.text()).orElse(""))
                    .and("token", leader.map(one -> one.token()).orElse(0L))
                    .json());
  }

  private CompletableFuture<JsonObject> observe(Args args) {
    String as = args.text("as");
    names.put(
        args,
        names.client(args)
            .election(args.text("name"))
            .observe(
                leader ->
                    names.event(
                        as,
                        Reply.of("type", "leader").and("value", leader.text()).and("token", leader.token()).json())));
    return Reply.empty();
  }

  private CompletableFuture<JsonObject> contenders(Args args) {
    return args.track(names.client(args).election(args.text("name")).contendersAsync())
        .thenApply(
            values -> {
              JsonArray list = new JsonArray();
              values.forEach(list::add);
              return Reply.of("values", list).json();
            });
  }
}
