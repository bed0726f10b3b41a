package dev.conclave.examples.glassfish;

import dev.conclave.client.ConclaveException;
import dev.conclave.client.Session;
import jakarta.annotation.PostConstruct;
import jakarta.annotation.PreDestroy;
import jakarta.annotation.Resource;
import jakarta.ejb.ConcurrencyManagement;
import jakarta.ejb.ConcurrencyManagementType;
import jakarta.ejb.DependsOn;
import jakarta.ejb.Singleton;
import jakarta.ejb.Startup;
import jakarta.enterprise.concurrent.ManagedThreadFactory;
import jakarta.inject.Inject;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.logging.Level;
import java.util.logging.Logger;

/** Takes tasks and does them, on every server, whether it leads or not. */
@Singleton
@Startup
@DependsOn({"Candidate", "Board"})
@ConcurrencyManagement(ConcurrencyManagementType.BEAN)
public class Worker {
  private static final Logger LOG = Logger.getLogger(Worker.class.getName());

  @Resource private ManagedThreadFactory threads;
  @Inject private Candidate candidate;
  @Inject private Board board;
  @Inject private TaskStore store;
  @Inject private Settings settings;

  private long seen;
  private Background loop;

  @PostConstruct
  void start() {
    loop = new Background(threads, "worker", this::takeTasks, failure -> {});
  }

  @PreDestroy
  void stop() {
    loop.close();
  }

  /** Takes what is free in the next view. Without a session nothing can be taken; joining the group changes the view. */
  private void takeTasks() throws InterruptedException {
    View view = board.after(seen);
    Optional<Session> session = candidate.session();
    if (session.isPresent()) {
      for (View.Open task : view.open()) {
        // One of our own is from an attempt whose answer was lost, or from an earlier session: the store knows which.
        if (task.worker() == null || task.worker().equals(settings.nodeName())) {
          take(session.get(), task.number());
        }
      }
    }
    // Only now, so that the same view is looked at again after a failure.
    seen = view.revision();
  }

  private void take(Session session, long number) throws InterruptedException {
    Optional<TaskStore.Claim> claim = store.claim(session, settings.nodeName(), number);
    if (claim.isEmpty()) {
      // Another worker was faster.
      return;
    }
    work();
    record(session, claim.get());
  }

  /** The work itself. Whatever it writes elsewhere should be guarded by the claim's token, too. */
  private void work() throws InterruptedException {
    Thread.sleep(settings.workTime().toMillis());
  }

  /** Records that the task is done, and tries again until the store has answered or the session is lost. */
  private void record(Session session, TaskStore.Claim claim) throws InterruptedException {
    while (session.isAlive()) {
      try {
        store.done(claim, settings.nodeName());
        return;
      } catch (ConclaveException unanswered) {
        LOG.log(Level.WARNING, "task {0} is not recorded yet: {1}", new Object[] {claim.number(), unanswered.getMessage()});
        TimeUnit.MILLISECONDS.sleep(200);
      }
    }
    LOG.log(Level.WARNING, "the session was lost during task {0}; another worker does it", claim.number());
  }
}
