package dev.conclave.examples.glassfish;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import dev.conclave.client.Client;
import dev.conclave.client.Compares;
import dev.conclave.client.api.KeyValue;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.CleanupMode;
import org.junit.jupiter.api.io.TempDir;

/** Two application servers and three members, of which something fails. The ledger checks every write of all tests. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class FailureIT {
  // Long tasks, so that a server can be hit in the middle of one; but one server alone keeps up with them.
  private static final Map<String, String> ENVIRONMENT =
      Map.of("SESSION_TTL", "4", "TASKS_PER_SECOND", "1", "WORK_MILLIS", "700");

  private final List<AppServer> servers = new ArrayList<>();
  private final List<Proxy> networks = new ArrayList<>();
  private Members members;
  private Client client;
  private Ledger ledger;

  @BeforeAll
  // The logs are kept after a failure.
  void start(@TempDir(cleanup = CleanupMode.ON_SUCCESS) Path dir) {
    members = new Members(dir, 3);
    members.start();
    client = members.client().build();
    ledger = new Ledger(client);
    for (String name : List.of("n1", "n2")) {
      Proxy network = new Proxy(members.clientPorts());
      networks.add(network);
      servers.add(new AppServer(name, dir, network.endpoints(), ENVIRONMENT));
    }
  }

  /** Both servers are there, one leads, and both do tasks. */
  @BeforeEach
  void awaitNormal() {
    List<AppServer> stopped = servers.stream().filter(server -> !server.isRunning()).toList();
    stopped.forEach(AppServer::start);
    stopped.forEach(AppServer::awaitDeployed);
    for (AppServer server : servers) {
      Eventually.until(server.name() + " is connected", server::isConnected);
      Eventually.until(server.name() + " is a member", () -> ledger.isMember(server.name()));
    }
    awaitHandOuts(2);
  }

  /** No task was lost, none was done twice, and no old token was accepted. */
  @AfterEach
  void checkLedger() {
    long handedOut = ledger.handedOut();
    Eventually.until("tasks are done", () -> ledger.allDone(handedOut));
    ledger.verify();
  }

  @AfterAll
  void stop() {
    servers.forEach(AppServer::close);
    networks.forEach(Proxy::close);
    if (client != null) {
      ledger.close();
      client.close();
    }
    members.close();
  }

  @Test
  void killedLeaderIsReplacedAndItsTaskDoneByTheOther() {
    AppServer old = leader();
    AppServer other = otherThan(old);
    KeyValue oldKey = leaderKey();
    long task = awaitClaim(old);

    old.kill();

    awaitLeader(other, oldKey.getCreateRevision());
    Eventually.until("its task is done by the other", () -> ledger.doneBy(task).filter(other.name()::equals).isPresent());
    assertOldTokenIsRefused(oldKey);
    Eventually.until("only the other is a member", () -> members(other).equals(List.of(other.name())));
    assertTrue(page(other).has("leadsWith"));
  }

  @Test
  void openPagesFollowWhatHappens() {
    AppServer old = leader();
    AppServer other = otherThan(old);
    KeyValue oldKey = leaderKey();
    try (Browser oldPage = new Browser(old.url());
        Browser otherPage = new Browser(other.url())) {
      oldPage.awaitText("leads with token " + oldKey.getCreateRevision());
      otherPage.awaitText("does not lead");
      otherPage.awaitText(old.name() + " leads since");
      // For a person to look at.
      oldPage.screenshot(Path.of("target", "page.png"));

      old.kill();

      awaitLeader(other, oldKey.getCreateRevision());
      otherPage.awaitText("leads with token " + leaderKey().getCreateRevision());
      otherPage.awaitText(other.name() + " leads since");
      oldPage.awaitText("This server does not answer.");

      network(other).cut();
      otherPage.awaitText("SUSPENDED");
      otherPage.awaitText("What is below may be old.");
      otherPage.awaitText("LOST");
      network(other).mend();
      otherPage.awaitText("CONNECTED");
    }
  }

  @Test
  void stoppedLeaderIsReplacedAtOnce() {
    AppServer old = leader();
    KeyValue oldKey = leaderKey();

    old.signal("TERM");
    old.awaitEnd();

    // The lease was revoked before the process ended; nobody had to wait for its TTL.
    assertTrue(client.kv().get(oldKey.getKey().toStringUtf8()).isEmpty());
    awaitLeader(otherThan(old), oldKey.getCreateRevision());
  }

  @Test
  void killedMemberChangesNothing() {
    long token = leaderKey().getCreateRevision();
    int member = members.leader();

    members.kill(member);
    awaitHandOuts(5);

    assertEquals(token, leaderKey().getCreateRevision(), "the same leadership");
    servers.forEach(server -> Eventually.until(server.name() + " is connected", server::isConnected));
    members.restart(member);
  }

  @Test
  void leaderThatIsCutOffGivesUpAndComesBackAsACandidate() {
    AppServer old = leader();
    AppServer other = otherThan(old);
    KeyValue oldKey = leaderKey();

    network(old).cut();

    Eventually.until("it knows before its lease can be gone", () -> old.state().equals("SUSPENDED"));
    Eventually.until("it gives up", () -> old.state().equals("LOST"));
    assertEquals(503, old.get("/leader").orElseThrow().status());
    assertFalse(page(old).has("leadsWith"));
    awaitLeader(other, oldKey.getCreateRevision());
    assertOldTokenIsRefused(oldKey);
    awaitHandOuts(2);

    network(old).mend();

    Eventually.until("it is back", old::isConnected);
    Eventually.until("it is a member again", () -> members(old).equals(List.of("n1", "n2")));
    // Its page is fed by a watch, which may come after its session.
    Eventually.until("it shows who leads", () -> leaderShownBy(old).filter(other.name()::equals).isPresent());
    assertFalse(page(old).has("leadsWith"));
  }

  @Test
  void leaderThatWasPausedDoesNotDoWhatItHadInMind() {
    AppServer old = leader();
    AppServer other = otherThan(old);
    KeyValue oldKey = leaderKey();
    long task = awaitClaim(old);
    KeyValue oldClaim = ledger.claim(old.name()).orElse(null);

    old.signal("STOP");

    awaitLeader(other, oldKey.getCreateRevision());
    Eventually.until("its task is done", () -> ledger.doneBy(task).isPresent());
    assertOldTokenIsRefused(oldKey);
    if (oldClaim != null) {
      assertFalse(store().done(new TaskStore.Claim(task, oldClaim.getKey(), oldClaim.getCreateRevision()), old.name()));
    }
    long woken = ledger.handedOut();

    old.signal("CONT");

    // Whatever it sends now, the ledger sees it.
    Eventually.until("it is back", () -> old.isConnected() && members(old).equals(List.of("n1", "n2")));
    // Its page is fed by a watch, which may come after its session.
    Eventually.until("it shows who leads", () -> leaderShownBy(old).filter(other.name()::equals).isPresent());
    Eventually.until("it does tasks again", () -> doneSince(woken, old));
  }

  private TaskStore store() {
    return new TaskStore(client);
  }

  /** The application's own code, as a leader would run it that does not know yet that it was replaced. */
  private void assertOldTokenIsRefused(KeyValue oldKey) {
    long token = oldKey.getCreateRevision();
    assertTrue(store().handOut(Compares.owner(oldKey.getKey(), token), token).isEmpty());
  }

  private KeyValue leaderKey() {
    return Eventually.get("a leader", ledger::leader);
  }

  private AppServer leader() {
    String name = leaderKey().getValue().toStringUtf8();
    return servers.stream().filter(server -> server.name().equals(name)).findFirst().orElseThrow();
  }

  private AppServer otherThan(AppServer server) {
    return servers.stream().filter(other -> other != server).findFirst().orElseThrow();
  }

  private Proxy network(AppServer server) {
    return networks.get(servers.indexOf(server));
  }

  /** Waits until a server leads, with a higher token, and says so. */
  private void awaitLeader(AppServer server, long after) {
    JsonObject leader =
        Eventually.get(
            server.name() + " leads",
            () ->
                server
                    .get("/leader")
                    .filter(answer -> answer.status() == 200)
                    .map(AppServer.Answer::json)
                    .filter(json -> json.get("name").getAsString().equals(server.name()) && json.has("since")));
    assertTrue(leader.get("token").getAsLong() > after, leader.toString());
    assertEquals(leader.get("token").getAsLong(), leaderKey().getCreateRevision());
    awaitHandOuts(1);
  }

  private void awaitHandOuts(int count) {
    long target = ledger.handedOut() + count;
    Eventually.until("tasks are handed out", () -> ledger.handedOut() >= target);
  }

  /** Waits until a server has begun a task; returns its number. */
  private long awaitClaim(AppServer server) {
    KeyValue claim = Eventually.get(server.name() + " takes a task", () -> ledger.claim(server.name()));
    return Long.parseLong(Keys.lastPart(claim.getKey()));
  }

  private boolean doneSince(long number, AppServer server) {
    for (long n = number + 1; n <= ledger.handedOut(); n++) {
      if (ledger.doneBy(n).filter(server.name()::equals).isPresent()) {
        return true;
      }
    }
    return false;
  }

  private static JsonObject page(AppServer server) {
    return Eventually.get(server.name() + " shows its page", server::page);
  }

  private static List<String> members(AppServer server) {
    List<String> names = new ArrayList<>();
    page(server).getAsJsonObject("view").getAsJsonArray("members").forEach(name -> names.add(name.getAsString()));
    return names;
  }

  private static Optional<String> leaderShownBy(AppServer server) {
    JsonObject leader = page(server).getAsJsonObject("view").getAsJsonObject("leader");
    return Optional.ofNullable(leader).map(shown -> shown.get("name").getAsString());
  }
}
