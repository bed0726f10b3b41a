package dev.conclave.examples;

import com.google.protobuf.ByteString;
import dev.conclave.client.Client;
import dev.conclave.client.Lock;
import dev.conclave.client.Ops;
import dev.conclave.client.Session;
import dev.conclave.client.Txn;

/** Does something under a mutex, with a write that takes effect only while it is held. */
public final class MutexExample {
  private MutexExample() {}

  /**
   * Runs the example against the servers of {@code ETCDCTL_ENDPOINTS}.
   *
   * @param args none
   */
  public static void main(String[] args) {
    try (Client client = Client.fromEnv();
        Session session = client.session();
        Lock lock = session.mutex("examples/mutex").lock()) {
      lock.onLost(() -> System.out.println("lost: stop at once"));
      lock.onRevoke(() -> System.out.println("somebody asks for it"));
      ByteString key = ByteString.copyFromUtf8("examples/protected");
      ByteString value = ByteString.copyFromUtf8("written by owner " + lock.token());
      boolean written = client.kv().txn(Txn.when(lock.owner()).then(Ops.put(key, value))).getSucceeded();
      System.out.println("written: " + written);
    }
  }
}
