package dev.conclave.client;

import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.function.Supplier;

/** Repeats a step that is not done at once. */
final class Loop {
  private Loop() {}

  /** Repeats a step until it has a result. */
  static <T> CompletableFuture<T> until(Supplier<CompletableFuture<Optional<T>>> step) {
    CompletableFuture<T> result = new CompletableFuture<>();
    run(step, result);
    return result;
  }

  private static <T> void run(Supplier<CompletableFuture<Optional<T>>> step, CompletableFuture<T> result) {
    // Steps that are done already are repeated here, so that the stack does not grow.
    while (true) {
      CompletableFuture<Optional<T>> running;
      try {
        running = step.get();
      } catch (RuntimeException | Error failure) {
        result.completeExceptionally(failure);
        return;
      }
      if (!running.isDone()) {
        running.whenComplete((value, failure) -> step(step, result, value, failure));
        return;
      }
      if (running.isCompletedExceptionally()) {
        running.whenComplete((value, failure) -> result.completeExceptionally(failure));
        return;
      }
      Optional<T> value = running.join();
      if (value.isPresent()) {
        result.complete(value.get());
        return;
      }
    }
  }

  private static <T> void step(
      Supplier<CompletableFuture<Optional<T>>> step, CompletableFuture<T> result, Optional<T> value, Throwable failure) {
    if (failure != null) {
      result.completeExceptionally(failure);
    } else if (value.isPresent()) {
      result.complete(value.get());
    } else {
      run(step, result);
    }
  }
}
