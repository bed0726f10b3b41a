package dev.conclave.examples.glassfish;

import dev.conclave.client.Client;
import dev.conclave.client.Ops;
import dev.conclave.client.Txn;
import dev.conclave.client.Watch;
import dev.conclave.client.api.KeyValue;
import dev.conclave.client.api.RangeRequest;
import dev.conclave.client.api.RangeRequest.SortOrder;
import dev.conclave.client.api.RangeRequest.SortTarget;
import dev.conclave.client.api.TxnResponse;
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
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/** Follows what is in the store, for the page and for the worker. */
@Singleton
@Startup
@ConcurrencyManagement(ConcurrencyManagementType.BEAN)
public class Board {
  private static final int SHOWN = 8;

  @Resource private ManagedThreadFactory threads;
  @Inject private Client client;
  @Inject private Event<StatusChanged> changes;

  private final Object changed = new Object();
  private View view = View.NONE;
  private Background loop;

  @PostConstruct
  void start() {
    loop = new Background(threads, "board", this::follow, failure -> {});
  }

  @PreDestroy
  void stop() {
    loop.close();
  }

  /** Reads again after every change. The watch is there before the first read, so no change is missed between the two. */
  private void follow() throws InterruptedException {
    try (Watch watch = client.watchPrefix(Keys.ALL, 0)) {
      while (true) {
        publish(read());
        // One read serves all changes that have come meanwhile.
        watch.next();
      }
    }
  }

  private void publish(View read) {
    synchronized (changed) {
      view = read;
      changed.notifyAll();
    }
    changes.fire(new StatusChanged());
  }

  /** Returns the newest view. */
  public View view() {
    synchronized (changed) {
      return view;
    }
  }

  /** Waits for a view of a later revision. */
  public View after(long revision) throws InterruptedException {
    synchronized (changed) {
      while (view.revision() <= revision) {
        changed.wait();
      }
      return view;
    }
  }

  /** One transaction, so all that it reads is of one revision. */
  private View read() {
    TxnResponse answer =
        client.kv()
            .txn(
                Txn.when()
                    .then(
                        Ops.range(newest(Keys.ELECTION + "/", SortTarget.CREATE, SortOrder.ASCEND, 1)),
                        Ops.range(Keys.under(Keys.GROUP + "/").build()),
                        Ops.range(newest(Keys.TERMS, SortTarget.KEY, SortOrder.DESCEND, SHOWN)),
                        Ops.get(Keys.COUNTER),
                        Ops.range(Keys.under(Keys.OPEN).build()),
                        Ops.range(Keys.under(Keys.CLAIMS).build()),
                        Ops.range(newest(Keys.DONE, SortTarget.MOD, SortOrder.DESCEND, SHOWN))));
    List<View.Term> terms = range(answer, 2).stream().map(Board::term).toList();
    Map<String, String> workers =
        range(answer, 5).stream().collect(Collectors.toMap(kv -> Keys.lastPart(kv.getKey()), Board::text));
    return new View(
        answer.getHeader().getRevision(),
        range(answer, 0).stream().findFirst().map(kv -> leader(kv, terms)).orElse(null),
        range(answer, 1).stream().map(kv -> Keys.lastPart(kv.getKey())).toList(),
        terms,
        range(answer, 3).stream().findFirst().map(kv -> Long.parseLong(text(kv))).orElse(0L),
        range(answer, 4).stream()
            .map(kv -> new View.Open(number(kv), Long.parseLong(text(kv)), workers.get(Keys.lastPart(kv.getKey()))))
            .toList(),
        range(answer, 6).stream().map(kv -> new View.Done(number(kv), text(kv))).toList());
  }

  private static RangeRequest newest(String prefix, SortTarget by, SortOrder order, int limit) {
    return Keys.under(prefix).setSortTarget(by).setSortOrder(order).setLimit(limit).build();
  }

  private static List<KeyValue> range(TxnResponse answer, int index) {
    return answer.getResponses(index).getResponseRange().getKvsList();
  }

  /** The leader is the candidate whose key has the lowest create revision, which is its token. */
  private static View.Leader leader(KeyValue first, List<View.Term> terms) {
    long token = first.getCreateRevision();
    String since = terms.stream().filter(term -> term.token() == token).findFirst().map(View.Term::since).orElse(null);
    return new View.Leader(text(first), token, since);
  }

  private static View.Term term(KeyValue kv) {
    String[] parts = text(kv).split(" ", 2);
    return new View.Term(number(kv), parts[0], parts[1]);
  }

  private static long number(KeyValue kv) {
    return Long.parseLong(Keys.lastPart(kv.getKey()));
  }

  private static String text(KeyValue kv) {
    return kv.getValue().toStringUtf8();
  }
}
