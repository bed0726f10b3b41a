package dev.conclave.client;

import com.google.protobuf.ByteString;
import dev.conclave.client.api.KeyValue;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;

/** A group (K13) as seen from outside: its members, each with a value. */
public class Group {
  private final Client client;
  private final ByteString prefix;

  Group(Client client, String name) {
    this.client = client;
    this.prefix = Keys.bytes(Keys.name(name) + "/");
  }

  final Client client() {
    return client;
  }

  final ByteString prefix() {
    return prefix;
  }

  /**
   * Lists the members.
   *
   * @return each member with its value, as UTF-8
   */
  public Map<String, String> members() {
    return client.core().await(listing());
  }

  /**
   * Lists the members.
   *
   * @return each member with its value, as UTF-8
   */
  public CompletableFuture<Map<String, String>> membersAsync() {
    return client.core().publish(listing());
  }

  private Core.Running<Map<String, String>> listing() {
    return client.core()
        .call(
            "a group",
            op ->
                Contention.range(client.calls(), op, Kv.prefixRange(prefix).build())
                    .thenApply(answer -> named(answer.getKvsList())));
  }

  private Map<String, String> named(Iterable<KeyValue> all) {
    Map<String, String> members = new TreeMap<>();
    for (KeyValue kv : all) {
      members.put(kv.getKey().substring(prefix.size()).toStringUtf8(), kv.getValue().toStringUtf8());
    }
    return members;
  }

  /**
   * Notifies a listener of the present members, and of all members after every change.
   *
   * @param listener runs on the client's callback executor
   * @return ends the notifications when closed
   */
  public Registration listen(Consumer<Map<String, String>> listener) {
    return client.core().await(listening(listener));
  }

  /**
   * Notifies a listener of the present members, and of all members after every change.
   *
   * @param listener runs on the client's callback executor
   * @return ends the notifications when closed
   */
  public CompletableFuture<Registration> listenAsync(Consumer<Map<String, String>> listener) {
    return client.core().publish(listening(listener));
  }

  private Core.Running<Registration> listening(Consumer<Map<String, String>> listener) {
    Keys.given(listener, "a listener");
    return client.core()
        .call(
            "a group",
            op -> Snapshots.follow(client, op, prefix, all -> listener.accept(named(all))));
  }
}
