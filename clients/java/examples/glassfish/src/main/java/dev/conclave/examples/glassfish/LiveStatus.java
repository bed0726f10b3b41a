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
import jakarta.enterprise.event.Observes;
import jakarta.inject.Inject;
import jakarta.ws.rs.core.MediaType;
import jakarta.ws.rs.sse.OutboundSseEvent;
import jakarta.ws.rs.sse.Sse;
import jakarta.ws.rs.sse.SseBroadcaster;
import jakarta.ws.rs.sse.SseEventSink;
import java.util.concurrent.Semaphore;

/** Sends the status to all open pages after each change. */
@Singleton
@Startup
@DependsOn({"Candidate", "Board"})
@ConcurrencyManagement(ConcurrencyManagementType.BEAN)
public class LiveStatus {
  @Resource private ManagedThreadFactory threads;
  @Inject private Candidate candidate;
  @Inject private Board board;
  @Inject private Settings settings;

  private final Semaphore changes = new Semaphore(0);
  private volatile Sse sse;
  private volatile SseBroadcaster pages;
  private Background loop;

  @PostConstruct
  void start() {
    loop = new Background(threads, "live status", this::send, failure -> {});
  }

  @PreDestroy
  void stop() {
    loop.close();
    if (pages != null) {
      pages.close();
    }
  }

  /** Only notes the change: its sender may be the session's or the worker's thread, and a slow browser must not delay it. */
  public void changed(@Observes StatusChanged change) {
    changes.release();
  }

  private void send() throws InterruptedException {
    changes.acquire();
    // One message serves all changes that have come meanwhile.
    changes.drainPermits();
    SseBroadcaster open = pages;
    if (open != null) {
      open.broadcast(event(sse, now()));
    }
  }

  /** Sends the present status, then every change. */
  public synchronized void subscribe(SseEventSink page, Sse factory) {
    if (pages == null) {
      sse = factory;
      pages = factory.newBroadcaster();
    }
    page.send(event(factory, now()));
    pages.register(page);
    // For a change between the two.
    changes.release();
  }

  private static OutboundSseEvent event(Sse factory, Status status) {
    return factory.newEventBuilder().mediaType(MediaType.APPLICATION_JSON_TYPE).data(Status.class, status).build();
  }

  /** Returns the present status. */
  public Status now() {
    Long token = candidate.leadership().map(Leadership::token).orElse(null);
    return new Status(settings.nodeName(), candidate.state(), candidate.problem(), token, board.view());
  }
}
