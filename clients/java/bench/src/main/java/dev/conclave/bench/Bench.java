package dev.conclave.bench;

import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.BooleanSupplier;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * Benchmark of a client library against one server: {@code ../bench.sh WORKLOAD LIBRARY ENDPOINT}.
 *
 * <p>{@code WORKLOAD} is one of
 *
 * <ul>
 *   <li>{@code puts}: 64 puts of 256 bytes in flight, to 1,000 keys in turn, for 10 s after a warm-up of 5 s;
 *   <li>{@code handovers}: 32 contenders of one mutex, each with a session of its own, which lock and unlock in a loop, for the
 *       same time;
 *   <li>{@code watches}: 10,000 watches, each on a key of its own, with a listener. The span that is measured is their creation.
 *       Each must then receive the event of one put. The memory is what they hold after a garbage collection.
 * </ul>
 *
 * <p>{@code LIBRARY} is {@code ours}, the client of this folder, or {@code other}, jetcd. {@code ENDPOINT} is the server's client
 * URL. The output is one line, separated by tabs: operations, seconds, CPU seconds of this process, resident bytes, library.
 * The exit code is 0 only if every operation succeeded.
 */
final class Bench {
  private static final int IN_FLIGHT = 64;
  private static final int PUT_KEYS = 1_000;
  private static final int CONTENDERS = 32;
  private static final int WATCHES = 10_000;
  private static final int WARM_UP_SECONDS = 5;
  private static final int MEASURED_SECONDS = 10;
  private static final int DEADLINE_SECONDS = 60;

  /** A measured span and the memory at the end. */
  private record Result(long operations, double seconds, double cpuSeconds, long bytes) {}

  /** The clocks at the beginning of a span, and the operations that were done before it. */
  private record Mark(long operations, long nanos, long cpuNanos) {
    static Mark now(long operations) {
      OperatingSystemMXBean process = ManagementFactory.getPlatformMXBean(OperatingSystemMXBean.class);
      return new Mark(operations, System.nanoTime(), process.getProcessCpuTime());
    }

    Result until(Mark end, long bytes) {
      return new Result(
          end.operations - operations, (end.nanos - nanos) / 1e9, (end.cpuNanos - cpuNanos) / 1e9, bytes);
    }
  }

  private Bench() {}

  /** Runs the program with a library. */
  static void main(String[] args, String version, Function<String, Library> open) {
    if (args.length != 2) {
      System.err.println("bench: give WORKLOAD and ENDPOINT");
      System.exit(2);
    }
    try {
      Library library = open.apply(args[1]);
      Result result =
          switch (args[0]) {
            case "puts" -> puts(library);
            case "handovers" -> handovers(library);
            case "watches" -> watches(library);
            default -> throw new IllegalArgumentException("no workload is called " + args[0]);
          };
      library.close();
      System.out.printf(
          Locale.ROOT,
          "%d\t%.3f\t%.3f\t%d\t%s%n",
          result.operations,
          result.seconds,
          result.cpuSeconds,
          result.bytes,
          version);
      System.exit(0);
    } catch (Exception failure) {
      failure.printStackTrace();
      // Threads of the library may still run.
      System.exit(1);
    }
  }

  private static Result puts(Library library) throws Exception {
    AtomicInteger next = new AtomicInteger();
    Supplier<CompletableFuture<?>> put =
        () -> library.put(String.format("bench/puts/%04d", Math.floorMod(next.getAndIncrement(), PUT_KEYS)));
    List<Supplier<CompletableFuture<?>>> tasks = new ArrayList<>();
    AtomicLong puts = new AtomicLong();
    for (int i = 0; i < IN_FLIGHT; i++) {
      tasks.add(() -> put.get().thenRun(puts::incrementAndGet));
    }
    return measure(tasks, puts);
  }

  private static Result handovers(Library library) throws Exception {
    List<Library.Contender> contenders = new ArrayList<>();
    List<Supplier<CompletableFuture<?>>> tasks = new ArrayList<>();
    AtomicLong locks = new AtomicLong();
    AtomicInteger holders = new AtomicInteger();
    for (int i = 0; i < CONTENDERS; i++) {
      Library.Contender contender = await(library.contender("bench/mutex"));
      contenders.add(contender);
      tasks.add(
          () ->
              contender
                  .lock()
                  .thenCompose(
                      locked -> {
                        int now = holders.incrementAndGet();
                        if (now != 1) {
                          throw new IllegalStateException(now + " contenders hold the mutex at once");
                        }
                        locks.incrementAndGet();
                        holders.decrementAndGet();
                        return contender.unlock();
                      }));
    }
    Result result = measure(tasks, locks);
    for (Library.Contender contender : contenders) {
      await(contender.close());
    }
    long left = await(library.count("bench/mutex/"));
    if (left != 0) {
      throw new IllegalStateException(left + " keys of the mutex are left");
    }
    return result;
  }

  private static Result watches(Library library) throws Exception {
    await(library.count("bench/watches/"));
    AtomicInteger[] events = new AtomicInteger[WATCHES];
    CountDownLatch first = new CountDownLatch(WATCHES);
    List<String> keys = new ArrayList<>();
    for (int i = 0; i < WATCHES; i++) {
      events[i] = new AtomicInteger();
      keys.add(String.format("bench/watches/%05d", i));
    }
    long bytes = residentAfterCollection();
    Mark begin = Mark.now(0);
    all(
        i ->
            library.watch(
                keys.get(i),
                () -> {
                  if (events[i].incrementAndGet() == 1) {
                    first.countDown();
                  }
                }));
    Mark end = Mark.now(WATCHES);
    all(i -> library.put(keys.get(i)));
    if (!first.await(DEADLINE_SECONDS, TimeUnit.SECONDS)) {
      throw new IllegalStateException(first.getCount() + " watches received no event");
    }
    for (int i = 0; i < WATCHES; i++) {
      if (events[i].get() != 1) {
        throw new IllegalStateException("the watch of " + keys.get(i) + " received " + events[i] + " events");
      }
    }
    return begin.until(end, residentAfterCollection() - bytes);
  }

  /** Repeats the tasks, all at the same time, and measures what {@code done} counts after the warm-up. */
  private static Result measure(List<Supplier<CompletableFuture<?>>> tasks, AtomicLong done) throws Exception {
    long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(WARM_UP_SECONDS + MEASURED_SECONDS);
    // The tasks go on until the measurement has ended, however late this thread wakes.
    AtomicInteger stopped = new AtomicInteger();
    CompletableFuture<Void> failed = new CompletableFuture<>();
    List<CompletableFuture<Void>> running = new ArrayList<>();
    for (Supplier<CompletableFuture<?>> task : tasks) {
      CompletableFuture<Void> ended = new CompletableFuture<>();
      ended.whenComplete(
          (ignored, failure) -> {
            if (failure != null) {
              failed.completeExceptionally(failure);
            }
          });
      running.add(ended);
      repeat(task, () -> stopped.get() == 0, ended);
    }
    sleepUntil(end - TimeUnit.SECONDS.toNanos(MEASURED_SECONDS), failed);
    Mark from = Mark.now(done.get());
    sleepUntil(end, failed);
    Mark to = Mark.now(done.get());
    Result result = from.until(to, resident());
    stopped.set(1);
    for (CompletableFuture<Void> ended : running) {
      await(ended);
    }
    return result;
  }

  /** Runs an operation for each of the {@link #WATCHES} numbers, {@link #IN_FLIGHT} at a time. */
  private static void all(Function<Integer, CompletableFuture<?>> operation) throws Exception {
    AtomicInteger next = new AtomicInteger();
    List<CompletableFuture<Void>> running = new ArrayList<>();
    for (int i = 0; i < IN_FLIGHT; i++) {
      AtomicInteger mine = new AtomicInteger();
      CompletableFuture<Void> ended = new CompletableFuture<>();
      running.add(ended);
      repeat(
          () -> operation.apply(mine.get()),
          () -> {
            mine.set(next.getAndIncrement());
            return mine.get() < WATCHES;
          },
          ended);
    }
    for (CompletableFuture<Void> ended : running) {
      await(ended);
    }
  }

  /** Repeats an operation, each time after the answer of the former one. {@code ended} completes when no more is wanted. */
  private static void repeat(
      Supplier<CompletableFuture<?>> operation, BooleanSupplier more, CompletableFuture<Void> ended) {
    if (!more.getAsBoolean()) {
      ended.complete(null);
      return;
    }
    operation
        .get()
        .whenComplete(
            (answer, failure) -> {
              if (failure != null) {
                ended.completeExceptionally(failure);
              } else {
                repeat(operation, more, ended);
              }
            });
  }

  private static void sleepUntil(long nanos, CompletableFuture<Void> failed) throws Exception {
    try {
      failed.get(nanos - System.nanoTime(), TimeUnit.NANOSECONDS);
    } catch (TimeoutException withoutFailure) {
      // The time is up.
    }
  }

  private static <T> T await(CompletableFuture<T> future) throws Exception {
    return future.get(DEADLINE_SECONDS, TimeUnit.SECONDS);
  }

  private static long resident() throws IOException {
    String line =
        Files.readAllLines(Path.of("/proc/self/status")).stream()
            .filter(status -> status.startsWith("VmRSS:"))
            .findFirst()
            .orElseThrow();
    return 1024 * Long.parseLong(line.replaceAll("\\D", ""));
  }

  private static long residentAfterCollection() throws Exception {
    // The second time, also what finalizers and cleaners have released.
    for (int i = 0; i < 2; i++) {
      System.gc();
      Thread.sleep(500);
    }
    return resident();
  }
}
