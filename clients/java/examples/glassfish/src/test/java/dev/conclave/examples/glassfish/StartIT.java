package dev.conclave.examples.glassfish;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.conclave.client.Client;
import dev.conclave.client.api.AuthEnableRequest;
import dev.conclave.client.api.AuthGrpc;
import dev.conclave.client.api.AuthRoleAddRequest;
import dev.conclave.client.api.AuthRoleGrantPermissionRequest;
import dev.conclave.client.api.AuthUserAddRequest;
import dev.conclave.client.api.AuthUserChangePasswordRequest;
import dev.conclave.client.api.AuthUserGrantRoleRequest;
import dev.conclave.client.api.Permission;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.CleanupMode;
import org.junit.jupiter.api.io.TempDir;

/** The application is deployed while something is wrong, and works once it is right. */
class StartIT {
  // The logs are kept after a failure.
  @TempDir(cleanup = CleanupMode.ON_SUCCESS)
  private Path dir;

  @Test
  void joinsOnceMembersCanBeReached() {
    try (Members members = new Members(dir, 1);
        AppServer server = new AppServer("early", dir, members.endpoints(), Map.of())) {
      server.start();
      server.awaitDeployed();

      Eventually.until("the reason is shown", () -> server.problem().contains("no endpoint"));
      assertEquals("LOST", server.state());
      assertTrue(server.get("/").orElseThrow().body().startsWith("<!doctype html>"));
      assertEquals(503, server.get("/leader").orElseThrow().status());

      members.start();

      awaitLeads(server);
    }
  }

  @Test
  void joinsOnceItsUserIsAcceptedAndMayWrite() {
    Map<String, String> user = Map.of("ETCDCTL_USER", "app", "ETCDCTL_PASSWORD", "right");
    try (Members members = new Members(dir, 1);
        AppServer server = new AppServer("stranger", dir, members.endpoints(), user)) {
      members.start();
      try (Client open = members.client().build()) {
        addUser(open, "root", "root");
        addUser(open, "app", "wrong");
        open.call(AuthGrpc.getRoleAddMethod(), AuthRoleAddRequest.newBuilder().setName("root").build());
        grantRole(open, "root", "root");
        open.call(AuthGrpc.getAuthEnableMethod(), AuthEnableRequest.getDefaultInstance());
      }
      try (Client root = members.client().user("root", "root").build()) {
        server.start();
        server.awaitDeployed();

        Eventually.until("the reason is shown", () -> server.problem().contains("password"));
        assertEquals("LOST", server.state());

        root.call(
            AuthGrpc.getUserChangePasswordMethod(),
            AuthUserChangePasswordRequest.newBuilder().setName("app").setPassword("right").build());
        Eventually.until("the next reason is shown", () -> server.problem().contains("permission"));

        root.call(AuthGrpc.getRoleAddMethod(), AuthRoleAddRequest.newBuilder().setName("tasks").build());
        root.call(AuthGrpc.getRoleGrantPermissionMethod(), permission("tasks"));
        grantRole(root, "app", "tasks");
        awaitLeads(server);
      }
    }
  }

  @Test
  void settingsThatCannotBeRightFailTheDeployment() {
    try (Members members = new Members(dir, 1);
        AppServer server = new AppServer("wrong", dir, members.endpoints(), Map.of("SESSION_TTL", "ten"))) {
      server.start();
      server.awaitLog("SESSION_TTL must be a whole number above 0, and is 'ten'");
    }
  }

  private static void awaitLeads(AppServer server) {
    Eventually.until(
        "it leads",
        () -> server.get("/leader").filter(answer -> answer.status() == 200 && answer.json().has("since")).isPresent());
    assertEquals(server.name(), server.get("/leader").orElseThrow().json().get("name").getAsString());
    assertTrue(server.isConnected());
    assertEquals("", server.problem());
  }

  private static void addUser(Client client, String name, String password) {
    client.call(
        AuthGrpc.getUserAddMethod(), AuthUserAddRequest.newBuilder().setName(name).setPassword(password).build());
  }

  private static void grantRole(Client client, String user, String role) {
    client.call(
        AuthGrpc.getUserGrantRoleMethod(), AuthUserGrantRoleRequest.newBuilder().setUser(user).setRole(role).build());
  }

  /** All that the application needs. */
  private static AuthRoleGrantPermissionRequest permission(String role) {
    return AuthRoleGrantPermissionRequest.newBuilder()
        .setName(role)
        .setPerm(
            Permission.newBuilder()
                .setPermType(Permission.Type.READWRITE)
                .setKey(Keys.bytes("tasks-app/"))
                .setRangeEnd(Keys.bytes("tasks-app0")))
        .build();
  }
}
