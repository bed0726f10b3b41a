package dev.conclave.examples.glassfish;

import dev.conclave.client.Client;
import dev.conclave.client.ConclaveException;
import dev.conclave.client.LeaderLatch;
import dev.conclave.client.Leadership;
import dev.conclave.client.Registration;
import dev.conclave.client.Session;
import dev.conclave.client.SessionState;
import jakarta.annotation.PostConstruct;
import jakarta.annotation.PreDestroy;
import jakarta.annotation.Resource;
import jakarta.ejb.ConcurrencyManagement;
import jakarta.ejb.ConcurrencyManagementType;
import jakarta.ejb.Singleton;
import jakarta.ejb.Startup;
import jakarta.enterprise.concurrent.ManagedThreadFactory;
import jakarta.enterprise.event.Event;
import jakarta.inject.Inject;
import java.time.Instant;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;

/**
 * This server's session and its place in the election. A session that is lost is replaced by a new one, with a new place at the
 * end of the queue, for as long as the application is deployed.
 */
@Singleton
@Startup
// The methods may be called from any thread at any time; locks of the container would only delay a look at the clock.
@ConcurrencyManagement(ConcurrencyManagementType.BEAN)
public class Candidate {
  @Resource private ManagedThreadFactory threads;
  @Inject private Client client;
  @Inject private Settings settings;
  @Inject private Event<StatusChanged> changes;

  private volatile Session session;
  private volatile LeaderLatch latch;
  private volatile String problem = "no session yet";
  private Background loop;

  /** Begins in the background: the deployment must not wait for members that are not there yet. */
  @PostConstruct
  void start() {
    loop = new Background(threads, "candidate", this::liveOneSession, this::failed);
  }

  /** Revokes the lease, so that the next candidate leads at once and not after the TTL. */
  @PreDestroy
  void stop() {
    loop.close();
  }

  /** Opens a session, joins the group and the election with it, and returns when it is lost. */
  private void liveOneSession() throws InterruptedException {
    // Closed in the reverse order, and the session's keys go with it.
    try (Session opened = client.session(settings.sessionTtl());
        LeaderLatch candidacy = opened.election(Keys.ELECTION).latch(settings.nodeName());
        Registration states = opened.onState(state -> changed());
        Registration terms = candidacy.onChange(leads -> changed())) {
      opened.group(Keys.GROUP).join(settings.nodeName(), Instant.now().toString());
      latch = candidacy;
      session = opened;
      CompletableFuture<Void> ended = opened.lost();
      // A candidacy can fail while the session lives, for example for want of a permission: then begin again, too.
      candidacy.leadershipAsync().whenComplete((won, failure) -> {
        if (failure != null) {
          ended.completeExceptionally(failure);
        }
      });
      ended.get();
    } catch (ExecutionException failure) {
      throw ConclaveException.of(failure);
    }
    problem = "the session was lost; opening another one";
    changed();
  }

  private void failed(RuntimeException failure) {
    problem = failure.getMessage();
    changed();
  }

  private void changed() {
    changes.fire(new StatusChanged());
  }

  /** Returns the session, if there is one that is not lost. */
  public Optional<Session> session() {
    return Optional.ofNullable(session).filter(Session::isAlive);
  }

  /** Returns the leadership while this server leads. It has the fencing token for what the leader writes. */
  public Optional<Leadership> leadership() {
    LeaderLatch present = latch;
    if (present == null || !present.isLeader()) {
      return Optional.empty();
    }
    return Optional.ofNullable(present.leadershipAsync().exceptionally(lost -> null).getNow(null))
        .filter(Leadership::isHeld);
  }

  /** Returns the state of the session; {@link SessionState#LOST} while there is none. */
  public SessionState state() {
    return session().map(Session::state).orElse(SessionState.LOST);
  }

  /** Returns why there is no session, or null. */
  public String problem() {
    return session().isPresent() ? null : problem;
  }
}
