package dev.conclave.client;

/** A listener's registration. Closing it ends its notifications. */
@FunctionalInterface
public interface Registration extends AutoCloseable {
  @Override
  void close();
}
