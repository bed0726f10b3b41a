package dev.conclave.client;

import com.google.protobuf.ByteString;
import dev.conclave.client.api.KeyValue;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;

/** An election as seen from outside: its leader and candidates. */
public class ElectionView {
  private final Client client;
  private final ByteString prefix;

  ElectionView(Client client, String name) {
    this.client = client;
    this.prefix = Keys.bytes(Keys.name(name) + "/");
  }

  /**
   * Returns the present leader.
   *
   * @return the leader, if there is one
   */
  public Optional<Leader> leader() {
    return client.core().await(leading());
  }

  /**
   * Returns the present leader.
   *
   * @return the leader, if there is one
   */
  public CompletableFuture<Optional<Leader>> leaderAsync() {
    return client.core().publish(leading());
  }

  private Core.Running<Optional<Leader>> leading() {
    return client.core()
        .call(
            "asking for the leader",
            op ->
                Contention.range(client.calls(), op, Contention.first(prefix))
                    .thenApply(answer -> answer.getKvsList().stream().findFirst().map(ElectionView::leader)));
  }

  static Leader leader(KeyValue kv) {
    return new Leader(kv.getKey(), kv.getValue(), kv.getCreateRevision());
  }

  /**
   * Lists the values of the leader and of the candidates that wait, in their order.
   *
   * @return the values, as UTF-8
   */
  public List<String> contenders() {
    return client.core().await(listing());
  }

  /**
   * Lists the values of the leader and of the candidates that wait, in their order.
   *
   * @return the values, as UTF-8
   */
  public CompletableFuture<List<String>> contendersAsync() {
    return client.core().publish(listing());
  }

  private Core.Running<List<String>> listing() {
    return client.core()
        .call(
            "listing candidates",
            op ->
                Contention.range(client.calls(), op, Contention.ordered(prefix))
                    .thenApply(
                        answer ->
                            answer.getKvsList().stream().map(kv -> kv.getValue().toStringUtf8()).toList()));
  }

  /**
   * Notifies a listener of the present leader, then of every new leader and every value that the leader proclaims. Changes
   * that are missed may be merged into the last one.
   *
   * @param listener runs on the client's callback executor
   * @return ends the notifications when closed
   */
  public Registration observe(Consumer<Leader> listener) {
    Keys.given(listener, "a listener");
    Observer observer = new Observer(client, prefix, listener);
    client.core().execute(observer::start);
    return () -> client.core().execute(observer::stop);
  }
}
