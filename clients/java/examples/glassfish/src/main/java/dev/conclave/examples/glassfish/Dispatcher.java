package dev.conclave.examples.glassfish;

import dev.conclave.client.Leadership;
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
import java.util.concurrent.TimeUnit;

/** Hands out tasks while this server leads. */
@Singleton
@Startup
@DependsOn("Candidate")
@ConcurrencyManagement(ConcurrencyManagementType.BEAN)
public class Dispatcher {
  @Resource private ManagedThreadFactory threads;
  @Inject private Candidate candidate;
  @Inject private TaskStore store;
  @Inject private Settings settings;

  private long recordedTerm;
  private Background loop;

  @PostConstruct
  void start() {
    loop = new Background(threads, "dispatcher", this::tick, failure -> {});
  }

  @PreDestroy
  void stop() {
    loop.close();
  }

  /** Runs on every server; only one of them leads. After a failure the counter is read again, which shows what has happened. */
  private void tick() throws InterruptedException {
    TimeUnit.SECONDS.sleep(1);
    candidate.leadership().ifPresent(this::handOut);
  }

  private void handOut(Leadership leadership) {
    if (leadership.token() != recordedTerm && store.beginTerm(leadership, settings.nodeName())) {
      recordedTerm = leadership.token();
    }
    for (int i = 0; i < settings.tasksPerSecond(); i++) {
      // isHeld() is for politeness: it saves calls. That no old leader hands out a task is the transaction's doing.
      if (!leadership.isHeld() || store.handOut(leadership.owner(), leadership.token()).isEmpty()) {
        return;
      }
    }
  }
}
