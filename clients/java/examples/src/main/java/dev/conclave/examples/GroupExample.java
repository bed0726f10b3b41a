package dev.conclave.examples;

import dev.conclave.client.Client;
import dev.conclave.client.Membership;
import dev.conclave.client.Session;

/** Joins a group and lists its members. */
public final class GroupExample {
  private GroupExample() {}

  /**
   * Runs the example against the servers of {@code ETCDCTL_ENDPOINTS}.
   *
   * @param args none
   */
  public static void main(String[] args) {
    try (Client client = Client.fromEnv();
        Session session = client.session();
        Membership membership = session.group("examples/group").join("me", "ready")) {
      System.out.println(membership.key().toStringUtf8() + " is one of " + client.group("examples/group").members());
    }
  }
}
