package dev.conclave.client;

import com.google.protobuf.ByteString;
import java.util.concurrent.CompletableFuture;

/** Leadership of an election. Closing it resigns. */
public final class Leadership extends Handle {
  Leadership(Ownership ownership) {
    super(ownership);
  }

  /**
   * Replaces the value that the leader proclaims.
   *
   * @param value the value
   */
  public void proclaim(String value) {
    core().await(proclaiming(value));
  }

  /**
   * Replaces the value that the leader proclaims.
   *
   * @param value the value
   * @return completes when it is written; fails with {@link ApiError#ELECTION_NOT_LEADER} if it is no longer the leader
   */
  public CompletableFuture<Void> proclaimAsync(String value) {
    return core().publish(proclaiming(value));
  }

  private Core.Running<Void> proclaiming(String value) {
    return core().call("proclaiming", op -> proclaim(op, Keys.bytes(value)));
  }

  private CompletableFuture<Void> proclaim(Op op, ByteString value) {
    if (!isHeld()) {
      throw ConclaveException.api(ApiError.ELECTION_NOT_LEADER);
    }
    return ownership()
        .set(op, value)
        .thenApply(
            leads -> {
              if (!leads) {
                throw ConclaveException.api(ApiError.ELECTION_NOT_LEADER);
              }
              return null;
            });
  }

  /** Steps down, so that the next candidate leads. The same as {@link #release()}. */
  public void resign() {
    release();
  }

  /**
   * Steps down, so that the next candidate leads.
   *
   * @return completes when it is done
   */
  public CompletableFuture<Void> resignAsync() {
    return releaseAsync();
  }
}
