package dev.conclave.examples;

import dev.conclave.client.Client;
import dev.conclave.client.Lock;
import dev.conclave.client.RwLock;
import dev.conclave.client.Session;

/** Writes alone, then reads together with others without letting another writer in between. */
public final class RwLockExample {
  private RwLockExample() {}

  /**
   * Runs the example against the servers of {@code ETCDCTL_ENDPOINTS}.
   *
   * @param args none
   */
  public static void main(String[] args) {
    try (Client client = Client.fromEnv();
        Session session = client.session()) {
      RwLock lock = session.rwLock("examples/rwlock");
      Lock write = lock.write();
      System.out.println("alone, token " + write.token());
      Lock read = lock.read();
      write.release();
      System.out.println("with other readers, token " + read.token());
      read.release();
    }
  }
}
