package dev.conclave.subject;

import com.google.gson.JsonObject;
import dev.conclave.client.Barrier;
import dev.conclave.client.DoubleBarrier;
import dev.conclave.client.Latch;
import java.util.Map;
import java.util.concurrent.CompletableFuture;

/** Barriers, double barriers and latches. */
final class Barriers {
  private final Names names;

  Barriers(Names names) {
    this.names = names;
  }

  void register(Map<String, Main.Operation> operations) {
    operations.put("barrier.hold", args -> done(args, barrier(args).holdAsync()));
    operations.put("barrier.release", args -> done(args, barrier(args).releaseAsync()));
    operations.put(
        "barrier.wait",
        args ->
            done(args, args.deadline() == null ? barrier(args).awaitAsync() : barrier(args).awaitAsync(args.deadline())));
    operations.put(
        "double_barrier.enter",
        args ->
            done(args, args.deadline() == null ? both(args).enterAsync() : both(args).enterAsync(args.deadline())));
    operations.put(
        "double_barrier.leave",
        args ->
            done(args, args.deadline() == null ? both(args).leaveAsync() : both(args).leaveAsync(args.deadline())));
    operations.put(
        "latch.create",
        args ->
            args.track(latch(args).createAsync(args.number("count")))
                .thenApply(created -> Reply.of("created", created).json()));
    operations.put(
        "latch.count_down",
        args -> args.track(latch(args).countDownAsync()).thenApply(left -> Reply.of("count", left).json()));
    operations.put(
        "latch.wait",
        args -> done(args, args.deadline() == null ? latch(args).awaitAsync() : latch(args).awaitAsync(args.deadline())));
  }

  private Barrier barrier(Args args) {
    return names.client(args).barrier(args.text("name"));
  }

  private Latch latch(Args args) {
    return names.client(args).latch(args.text("name"));
  }

  private DoubleBarrier both(Args args) {
    return names.session(args).doubleBarrier(args.text("name"), (int) args.number("count"));
  }

  private static CompletableFuture<JsonObject> done(Args args, CompletableFuture<Void> running) {
    return args.track(running).thenApply(done -> new JsonObject());
  }
}
