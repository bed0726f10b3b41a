package dev.conclave.examples.glassfish;

import com.google.protobuf.ByteString;
import dev.conclave.client.Client;
import dev.conclave.client.Compares;
import dev.conclave.client.Leadership;
import dev.conclave.client.Ops;
import dev.conclave.client.Session;
import dev.conclave.client.Txn;
import dev.conclave.client.api.Compare;
import dev.conclave.client.api.Compare.CompareResult;
import dev.conclave.client.api.KeyValue;
import dev.conclave.client.api.TxnResponse;
import jakarta.enterprise.context.ApplicationScoped;
import jakarta.inject.Inject;
import java.time.Instant;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * Everything that the application writes. Each write is a transaction that names what must hold for it to take effect, so the
 * store refuses a server that was paused or cut off and does not know yet that others have gone on.
 */
@ApplicationScoped
public class TaskStore {
  /** So many tasks that are done are kept, for the page. */
  private static final long KEEP_DONE = 1000;

  /** A worker's right to a task: while the key with this token exists, nobody else can take the task. */
  public record Claim(long number, ByteString key, long token) {}

  private final Client client;

  /** For the container, which needs it for its proxy. */
  protected TaskStore() {
    this(null);
  }

  @Inject
  public TaskStore(Client client) {
    this.client = client;
  }

  /** Records when a leader began. Returns false if it no longer leads. */
  public boolean beginTerm(Leadership leadership, String node) {
    ByteString term = Keys.numbered(Keys.TERMS, leadership.token());
    TxnResponse answer =
        client.kv()
            .txn(
                Txn.when(leadership.owner())
                    .then(Ops.put(term, Keys.bytes(Instant.now() + " " + node))));
    return answer.getSucceeded();
  }

  /**
   * Hands out the next task.
   *
   * <p>It compares two things. That the leader's key has the create revision which is the leader's token: then no other server
   * leads. And that the counter is as it was read: then this number is the next one, even if the answer to an earlier attempt
   * was lost and nobody knows whether it took effect.
   *
   * @param owner the condition that the leader leads, from {@link Leadership#owner()}
   * @param token the leader's token, which is recorded with the task
   * @return the task's number; empty if the store has refused it
   */
  public OptionalLong handOut(Compare owner, long token) {
    Optional<KeyValue> counter = client.kv().get(Keys.COUNTER.toStringUtf8());
    long read = counter.map(KeyValue::getModRevision).orElse(0L);
    long next = 1 + counter.map(kv -> Long.parseLong(kv.getValue().toStringUtf8())).orElse(0L);
    TxnResponse answer =
        client.kv()
            .txn(
                Txn.when(owner, Compares.modified(Keys.COUNTER, CompareResult.EQUAL, read))
                    .then(
                        Ops.put(Keys.COUNTER, Keys.bytes(Long.toString(next))),
                        Ops.put(Keys.numbered(Keys.OPEN, next), Keys.bytes(Long.toString(token))),
                        Ops.delete(Keys.numbered(Keys.DONE, Math.max(0, next - KEEP_DONE)))));
    return answer.getSucceeded() ? OptionalLong.of(next) : OptionalLong.empty();
  }

  /**
   * Takes a task, if nobody has taken it. The claim has the lease of the worker's session: if the worker dies, another one takes
   * the task.
   */
  public Optional<Claim> claim(Session session, String node, long number) {
    ByteString task = Keys.numbered(Keys.OPEN, number);
    ByteString claim = Keys.numbered(Keys.CLAIMS, number);
    TxnResponse answer =
        client.kv()
            .txn(
                Txn.when(exists(task), Compares.absent(claim))
                    .then(Ops.put(claim, Keys.bytes(node), session.lease()))
                    .otherwise(Ops.get(claim)));
    if (answer.getSucceeded()) {
      return Optional.of(new Claim(number, claim, answer.getHeader().getRevision()));
    }
    // One with our own lease is from an attempt whose answer was lost.
    return answer.getResponses(0).getResponseRange().getKvsList().stream()
        .filter(kv -> kv.getLease() == session.lease())
        .findFirst()
        .map(kv -> new Claim(number, claim, kv.getCreateRevision()));
  }

  /**
   * Records that a task is done, if the claim still exists: a worker whose session has ended meanwhile is refused, and another
   * one does the task. Can be repeated, if it is not known whether it took effect.
   *
   * @return false if the store has refused it, or if it took effect earlier
   */
  public boolean done(Claim claim, String node) {
    ByteString task = Keys.numbered(Keys.OPEN, claim.number());
    TxnResponse answer =
        client.kv()
            .txn(
                Txn.when(Compares.owner(claim.key(), claim.token()), exists(task))
                    .then(
                        Ops.put(Keys.numbered(Keys.DONE, claim.number()), Keys.bytes(node)),
                        Ops.delete(task),
                        Ops.delete(claim.key())));
    return answer.getSucceeded();
  }

  private static Compare exists(ByteString key) {
    return Compares.created(key, CompareResult.GREATER, 0);
  }
}
