package dev.conclave.subject;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;

/** The arguments of a request. */
final class Args {
  private final JsonObject args;
  private final Consumer<CompletableFuture<?>> cancellable;

  Args(JsonObject args, Consumer<CompletableFuture<?>> cancellable) {
    this.args = args;
    this.cancellable = cancellable;
  }

  /** Lets the request be cancelled by the client's own future. */
  <T> CompletableFuture<T> track(CompletableFuture<T> future) {
    cancellable.accept(future);
    return future;
  }

  boolean has(String name) {
    return args.has(name) && !args.get(name).isJsonNull();
  }

  String text(String name) {
    if (!has(name)) {
      throw new IllegalArgumentException("the argument " + name + " is missing");
    }
    return args.get(name).getAsString();
  }

  long number(String name) {
    return args.get(name).getAsLong();
  }

  long number(String name, long otherwise) {
    return has(name) ? number(name) : otherwise;
  }

  boolean flag(String name) {
    return has(name) && args.get(name).getAsBoolean();
  }

  JsonArray list(String name) {
    return has(name) ? args.getAsJsonArray(name) : new JsonArray();
  }

  Duration seconds(String name) {
    return Duration.ofNanos((long) (args.get(name).getAsDouble() * 1e9));
  }

  /** How long the request waits; null: without a limit. */
  Duration deadline() {
    return has("deadline") ? seconds("deadline") : null;
  }
}
