package dev.conclave.client;

import com.google.protobuf.ByteString;
import java.util.concurrent.CompletableFuture;

/** A group (K13) that the session can join. */
public final class SessionGroup extends Group {
  private final Session session;

  SessionGroup(Session session, String name) {
    super(session.client(), name);
    this.session = session;
  }

  /**
   * Joins, or replaces the value of a member. A member of that name that another session has is taken over: it may be what is
   * left of an earlier life of this one.
   *
   * @param member the member's name
   * @param value its value
   * @return the membership; closing it leaves
   */
  public Membership join(String member, String value) {
    return session.core().await(joining(member, value));
  }

  /**
   * Joins, or replaces the value of a member.
   *
   * @param member the member's name
   * @param value its value
   * @return the membership; closing it leaves
   */
  public CompletableFuture<Membership> joinAsync(String member, String value) {
    return session.core().publish(joining(member, value));
  }

  private Core.Running<Membership> joining(String member, String value) {
    return session.core()
        .call(
            "joining a group",
            op -> {
              ByteString key = prefix().concat(Keys.bytes(Keys.name(member)));
              return Membership.put(session, op, key, Keys.bytes(value));
            });
  }
}
