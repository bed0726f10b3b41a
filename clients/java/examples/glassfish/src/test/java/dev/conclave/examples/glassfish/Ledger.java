package dev.conclave.examples.glassfish;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.conclave.client.Client;
import dev.conclave.client.Watch;
import dev.conclave.client.api.Event;
import dev.conclave.client.api.KeyValue;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/**
 * Every change of the application's keys, in the order of revisions, from the store's history. It checks each one against what
 * was there before: the rules hold if no check fails.
 */
final class Ledger implements AutoCloseable {
  private final Watch watch;
  private final Map<String, KeyValue> present = new HashMap<>();
  private final TreeMap<Long, String> candidates = new TreeMap<>();
  private final Map<Long, String> done = new HashMap<>();
  private long handedOut;
  private long lastToken;
  private long revision;
  private AssertionError violation;

  Ledger(Client client) {
    watch = client.watchPrefix(Keys.ALL, 1);
    watch.listen(
        new Watch.Listener() {
          @Override
          public void events(List<Event> events) {
            accept(events);
          }
        });
  }

  /** One batch has whole revisions, but may have several of them. */
  private synchronized void accept(List<Event> events) {
    try {
      for (int from = 0, to; from < events.size(); from = to) {
        long at = events.get(from).getKv().getModRevision();
        to = from;
        while (to < events.size() && events.get(to).getKv().getModRevision() == at) {
          to++;
        }
        check(at, events.subList(from, to));
      }
    } catch (AssertionError failed) {
      violation = violation == null ? failed : violation;
    }
  }

  private void check(long at, List<Event> events) {
    assertTrue(at > revision, "revisions grow");
    Map<String, KeyValue> puts = new HashMap<>();
    Map<String, KeyValue> deleted = new HashMap<>();
    for (Event event : events) {
      String key = event.getKv().getKey().toStringUtf8();
      if (event.getType() == Event.EventType.PUT) {
        puts.put(key, event.getKv());
      } else {
        deleted.put(key, present.get(key));
      }
    }
    puts.forEach((key, kv) -> checkPut(at, key, kv, puts, deleted));
    puts.forEach(this::put);
    deleted.forEach((key, kv) -> delete(key, kv));
    revision = at;
  }

  private void checkPut(long at, String key, KeyValue kv, Map<String, KeyValue> puts, Map<String, KeyValue> deleted) {
    String value = kv.getValue().toStringUtf8();
    if (key.equals(Keys.COUNTER.toStringUtf8())) {
      long number = Long.parseLong(value);
      assertEquals(handedOut + 1, number, "numbers have no gap and no repetition");
      KeyValue task = puts.get(name(Keys.OPEN, number));
      assertNotNull(task, "a number comes with its task");
      long token = Long.parseLong(task.getValue().toStringUtf8());
      assertTrue(token >= lastToken, "token " + token + " after " + lastToken);
      assertEquals(candidates.firstKey(), token, "only the leader hands out tasks, revision " + at);
      handedOut = number;
      lastToken = token;
    } else if (key.startsWith(Keys.OPEN)) {
      assertEquals(1, kv.getVersion(), "a task is handed out once: " + key);
      assertTrue(puts.containsKey(Keys.COUNTER.toStringUtf8()), "a task comes with its number: " + key);
    } else if (key.startsWith(Keys.CLAIMS)) {
      assertEquals(1, kv.getVersion(), "one worker at a time: " + key);
      assertTrue(present.containsKey(name(Keys.OPEN, number(key))), "only open tasks are taken: " + key);
    } else if (key.startsWith(Keys.DONE)) {
      long number = number(key);
      assertNull(done.put(number, value), "a task is done once: " + key);
      KeyValue claim = deleted.get(name(Keys.CLAIMS, number));
      assertNotNull(claim, "only one with a claim has done a task: " + key);
      assertEquals(claim.getValue().toStringUtf8(), value, "the claim's worker has done it: " + key);
      assertTrue(deleted.containsKey(name(Keys.OPEN, number)), "it is no longer open: " + key);
    }
  }

  private void put(String key, KeyValue kv) {
    present.put(key, kv);
    if (key.startsWith(Keys.ELECTION + "/")) {
      candidates.put(kv.getCreateRevision(), kv.getValue().toStringUtf8());
    }
  }

  private void delete(String key, KeyValue kv) {
    present.remove(key);
    if (key.startsWith(Keys.ELECTION + "/")) {
      candidates.remove(kv.getCreateRevision());
    }
  }

  private static String name(String prefix, long number) {
    return Keys.numbered(prefix, number).toStringUtf8();
  }

  private static long number(String key) {
    return Long.parseLong(key.substring(key.lastIndexOf('/') + 1));
  }

  /** Fails if a rule was broken. */
  synchronized void verify() {
    if (violation != null) {
      throw violation;
    }
  }

  /** The number of the newest task. */
  synchronized long handedOut() {
    return handedOut;
  }

  /** The key of the present leader. */
  synchronized Optional<KeyValue> leader() {
    return present.values().stream()
        .filter(kv -> kv.getKey().toStringUtf8().startsWith(Keys.ELECTION + "/"))
        .min((a, b) -> Long.compare(a.getCreateRevision(), b.getCreateRevision()));
  }

  /** Members of the group, by name. */
  synchronized boolean isMember(String node) {
    return present.containsKey(Keys.GROUP + "/" + node);
  }

  /** The claim of a server, while it has one. */
  synchronized Optional<KeyValue> claim(String node) {
    return present.values().stream()
        .filter(kv -> kv.getKey().toStringUtf8().startsWith(Keys.CLAIMS))
        .filter(kv -> kv.getValue().toStringUtf8().equals(node))
        .findFirst();
  }

  /** Who has done a task. */
  synchronized Optional<String> doneBy(long number) {
    return Optional.ofNullable(done.get(number));
  }

  synchronized boolean allDone(long upTo) {
    return done.keySet().stream().filter(number -> number <= upTo).count() == upTo;
  }

  @Override
  public void close() {
    watch.close();
  }
}
