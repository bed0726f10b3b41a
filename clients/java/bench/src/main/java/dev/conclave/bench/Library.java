package dev.conclave.bench;

import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;

/** The operations that the workloads need from a library, on one client of it. */
interface Library {
  /** A contender of a mutex, with a session of its own. */
  interface Contender {
    CompletableFuture<?> lock();

    CompletableFuture<?> unlock();

    CompletableFuture<?> close();
  }

  /** Returns the number of keys with a prefix. */
  CompletableFuture<Long> count(String prefix);

  /** Puts the value of 256 bytes that the library's class holds in the library's own form. */
  CompletableFuture<?> put(String key);

  CompletableFuture<Contender> contender(String mutex);

  /** Creates a watch of a key; completes when the server has created it. {@code event} runs once for each event. */
  CompletableFuture<?> watch(String key, Runnable event);

  void close();

  /** Returns the name and version of the jar that a class was loaded from: {@code jetcd-core 0.8.7}. */
  static String version(Class<?> type) {
    Path jar = Path.of(type.getProtectionDomain().getCodeSource().getLocation().getPath()).getFileName();
    return jar.toString().replaceFirst("-(?=\\d)", " ").replaceFirst("\\.jar$", "");
  }
}
