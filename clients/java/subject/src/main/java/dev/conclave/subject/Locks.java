package dev.conclave.subject;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import dev.conclave.client.Handle;
import dev.conclave.client.Mutex;
import dev.conclave.client.RwLock;
import dev.conclave.client.Semaphore;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/** Mutexes, read-write locks and semaphores. */
final class Locks {
  private final Names names;

  Locks(Names names) {
    this.names = names;
  }

  void register(Map<String, Main.Operation> operations) {
    operations.put("mutex.lock", this::lock);
    operations.put("mutex.state", args -> state(names.get(args, "mutex", Handle.class)));
    operations.put("mutex.unlock", args -> release(args, "mutex"));
    operations.put("mutex.contenders", this::contenders);
    operations.put(
        "mutex.revoke",
        args ->
            args.track(names.client(args).mutex(args.text("name")).revokeAsync())
                .thenApply(asked -> Reply.of("asked", asked).json()));
    operations.put("rwlock.read", this::read);
    operations.put("rwlock.write", this::write);
    operations.put("rwlock.unlock", args -> release(args, "rwlock"));
    operations.put("semaphore.acquire", this::acquire);
    operations.put("semaphore.release", args -> release(args, "semaphore"));
  }

  private CompletableFuture<JsonObject> lock(Args args) {
    Mutex mutex = names.session(args).mutex(args.text("name"));
    return args.flag("try")
        ? tried(args, mutex.tryLockAsync())
        : held(args, args.deadline() == null ? mutex.lockAsync() : mutex.lockAsync(args.deadline()));
  }

  private CompletableFuture<JsonObject> read(Args args) {
    RwLock lock = names.session(args).rwLock(args.text("name"));
    return args.flag("try")
        ? tried(args, lock.tryReadAsync())
        : held(args, args.deadline() == null ? lock.readAsync() : lock.readAsync(args.deadline()));
  }

  private CompletableFuture<JsonObject> write(Args args) {
    RwLock lock = names.session(args).rwLock(args.text("name"));
    return args.flag("try")
        ? tried(args, lock.tryWriteAsync())
        : held(args, args.deadline() == null ? lock.writeAsync() : lock.writeAsync(args.deadline()));
  }

  private CompletableFuture<JsonObject> acquire(Args args) {
    Semaphore semaphore = names.session(args).semaphore(args.text("name"), (int) args.number("permits"));
    return args.flag("try")
        ? tried(args, semaphore.tryAcquireAsync())
        : held(args, args.deadline() == null ? semaphore.acquireAsync() : semaphore.acquireAsync(args.deadline()));
  }

  private CompletableFuture<JsonObject> held(Args args, CompletableFuture<? extends Handle> waiting) {
    return args.track(waiting).thenApply(handle -> names.handle(args, handle));
  }

  private CompletableFuture<JsonObject> tried(Args args, CompletableFuture<? extends Optional<? extends Handle>> trying) {
    return args.track(trying)
        .thenApply(
            taken ->
                taken.<JsonObject>map(handle -> names.handle(args, handle))
                    .orElseGet(() -> Reply.of("held", false).json()));
  }

  static CompletableFuture<JsonObject> state(Handle handle) {
    return CompletableFuture.completedFuture(
        Reply.of("held", handle.isHeld()).and("token", handle.token()).json());
  }

  private CompletableFuture<JsonObject> release(Args args, String argument) {
    return args.track(names.get(args, argument, Handle.class).releaseAsync()).thenApply(done -> new JsonObject());
  }

  private CompletableFuture<JsonObject> contenders(Args args) {
    return args.track(names.client(args).mutex(args.text("name")).contendersAsync())
        .thenApply(
            keys -> {
              JsonArray list = new JsonArray();
              keys.forEach(list::add);
              return Reply.of("keys", list).json();
            });
  }
}
