package dev.conclave.client;

import com.google.protobuf.ByteString;
import java.util.concurrent.CompletableFuture;

/** A service (K14) with a session to register addresses. */
public final class SessionService extends Service {
  private final Session session;

  SessionService(Session session, String name) {
    super(session.client(), name);
    this.session = session;
  }

  /**
   * Registers an address, for as long as the session lives.
   *
   * @param address for example {@code 10.0.0.1:8080}
   * @return the registration; closing it withdraws the address
   */
  public Membership register(String address) {
    return register(new ServiceAddress(address, null));
  }

  /**
   * Registers an address with metadata, for as long as the session lives.
   *
   * @param address the address
   * @return the registration; closing it withdraws the address
   */
  public Membership register(ServiceAddress address) {
    return session.core().await(registering(address));
  }

  /**
   * Registers an address with metadata, for as long as the session lives.
   *
   * @param address the address
   * @return the registration; closing it withdraws the address
   */
  public CompletableFuture<Membership> registerAsync(ServiceAddress address) {
    return session.core().publish(registering(address));
  }

  private Core.Running<Membership> registering(ServiceAddress address) {
    return session.core()
        .call(
            "registering",
            op -> {
              ByteString key = prefix().concat(Keys.bytes(Keys.name(Keys.given(address, "an address").address())));
              return Membership.put(session, op, key, address.encode());
            });
  }
}
