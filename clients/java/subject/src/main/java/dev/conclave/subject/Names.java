package dev.conclave.subject;

import com.google.gson.JsonObject;
import dev.conclave.client.Client;
import dev.conclave.client.Handle;
import dev.conclave.client.Kv;
import dev.conclave.client.Session;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.BiConsumer;

/** What the driver has given names to. */
final class Names {
  private final Map<String, Object> objects = new ConcurrentHashMap<>();
  private final BiConsumer<String, JsonObject> events;

  Names(BiConsumer<String, JsonObject> events) {
    this.events = events;
  }

  void put(Args args, Object object) {
    objects.put(args.text("as"), object);
  }

  <T> T get(Args args, String argument, Class<T> type) {
    Object found = objects.get(args.text(argument));
    if (found == null) {
      throw new IllegalArgumentException("nothing has the name " + args.text(argument));
    }
    return type.cast(found);
  }

  Client client(Args args) {
    return get(args, "client", Client.class);
  }

  Kv kv(Args args) {
    Kv kv = client(args).kv();
    return args.deadline() == null ? kv : kv.withTimeout(args.deadline());
  }

  Session session(Args args) {
    return get(args, "session", Session.class);
  }

  void event(String on, JsonObject event) {
    events.accept(on, event);
  }

  /** Names a handle, and reports what happens to it. */
  JsonObject handle(Args args, Handle handle) {
    put(args, handle);
    String as = args.text("as");
    handle.onLost(() -> event(as, Reply.of("type", "lost").json()));
    handle.onRevoke(() -> event(as, Reply.of("type", "revoke").json()));
    return Reply.of("token", handle.token()).and("key", handle.key().toStringUtf8()).and("held", true).json();
  }

  void closeClients() {
    clients().forEach(Client::close);
  }

  private List<Client> clients() {
    return objects.values().stream().filter(Client.class::isInstance).map(Client.class::cast).toList();
  }
}
