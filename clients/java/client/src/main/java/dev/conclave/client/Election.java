package dev.conclave.client;

import com.google.protobuf.ByteString;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;

/**
 * An election (K6) with a session, which has one place among the candidates. Shared with etcd's {@code concurrency} package and
 * with the API's {@code Election} calls.
 */
public final class Election extends ElectionView {
  private final Core core;
  private final Session session;
  private final ByteString prefix;
  private final ByteString key;

  Election(Session session, String name) {
    super(session.client(), name);
    this.core = session.core();
    this.session = session;
    this.prefix = Keys.bytes(name + "/");
    this.key = Keys.bytes(name + "/" + session.id());
  }

  /**
   * Waits until this candidate leads.
   *
   * @param value what it proclaims
   * @return the leadership; close it to resign
   */
  public Leadership campaign(String value) {
    return core.await(campaigning(value, null));
  }

  /**
   * Waits until this candidate leads, for at most a time.
   *
   * @param value what it proclaims
   * @param timeout the time, after which it fails with {@link ErrorKind#DEADLINE}
   * @return the leadership; close it to resign
   */
  public Leadership campaign(String value, Duration timeout) {
    return core.await(campaigning(value, Client.positive(timeout)));
  }

  /**
   * Waits until this candidate leads. Cancelling the future withdraws the candidate.
   *
   * @param value what it proclaims
   * @return the leadership; close it to resign
   */
  public CompletableFuture<Leadership> campaignAsync(String value) {
    return core.publish(campaigning(value, null));
  }

  /**
   * Waits until this candidate leads, for at most a time. Cancelling the future withdraws the candidate.
   *
   * @param value what it proclaims
   * @param timeout the time, after which it fails with {@link ErrorKind#DEADLINE}
   * @return the leadership; close it to resign
   */
  public CompletableFuture<Leadership> campaignAsync(String value, Duration timeout) {
    return core.publish(campaigning(value, Client.positive(timeout)));
  }

  private Core.Running<Leadership> campaigning(String value, Duration timeout) {
    return core.wait(
        "campaigning",
        timeout,
        op -> {
          Place place = session.place(key);
          return place.acquire(op, place.queued(Place.Kind.CANDIDATE, prefix, Keys.bytes(value)))
              .thenApply(Leadership::new);
        });
  }

  /** A function that runs while a candidate leads. */
  @FunctionalInterface
  public interface Term<T> {
    /**
     * Leads. Its thread is interrupted when the leadership is lost.
     *
     * @param leadership the leadership, which is resigned afterwards
     * @return the result
     * @throws Exception any failure, which is the caller's
     */
    T lead(Leadership leadership) throws Exception;
  }

  /**
   * Runs a function while this candidate leads, then resigns. The calling thread is interrupted when the leadership is lost
   * meanwhile.
   *
   * @param <T> the result
   * @param value what it proclaims
   * @param term the function
   * @return the function's result
   * @throws Exception the function's failure
   */
  public <T> T whileLeader(String value, Term<T> term) throws Exception {
    Keys.given(term, "a term");
    try (Leadership leadership = campaign(value)) {
      return Terms.run(leadership, term);
    }
  }

  /**
   * Runs a function on the client's callback executor while this candidate leads, then resigns. Its thread is interrupted when
   * the leadership is lost meanwhile.
   *
   * @param <T> the result
   * @param value what it proclaims
   * @param term the function
   * @return the function's result; cancelling it before the function runs withdraws the candidate
   */
  public <T> CompletableFuture<T> whileLeaderAsync(String value, Term<T> term) {
    Keys.given(term, "a term");
    CompletableFuture<Leadership> campaign = campaignAsync(value);
    CompletableFuture<T> result = new CompletableFuture<>();
    result.whenComplete((done, failure) -> campaign.cancel(true));
    campaign.whenComplete(
        (leadership, failure) -> {
          if (failure != null) {
            result.completeExceptionally(ConclaveException.of(failure));
            return;
          }
          try (leadership) {
            result.complete(Terms.run(leadership, term));
          } catch (Exception thrown) {
            result.completeExceptionally(thrown);
          }
        });
    return result;
  }

  /**
   * Campaigns in the background and stays a candidate until closed. After a loss other than that of the session it campaigns
   * again.
   *
   * @param value what it proclaims
   * @return the latch; close it
   */
  public LeaderLatch latch(String value) {
    return new LeaderLatch(core, () -> campaignAsync(value));
  }
}
