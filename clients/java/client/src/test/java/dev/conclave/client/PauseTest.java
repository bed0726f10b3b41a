package dev.conclave.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;

class PauseTest {
  @Test
  void a_process_that_was_stopped_knows_first_of_all_that_it_has_lost() throws Exception {
    try (Cluster cluster = Cluster.start(1);
        Client client = cluster.client();
        Session session = client.session()) {
      Process holder =
          new ProcessBuilder(
                  Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                  "-cp",
                  System.getProperty("java.class.path"),
                  PausedHolder.class.getName(),
                  cluster.endpoints()[0])
              .redirectError(ProcessBuilder.Redirect.INHERIT)
              .start();
      try {
        BufferedReader out = new BufferedReader(new InputStreamReader(holder.getInputStream(), StandardCharsets.UTF_8));
        assertEquals("locked", out.readLine());
        Cluster.signal(holder, "STOP");
        // The server expires the lease of the one that is stopped.
        Lock lock = session.mutex("paused").lock(Eventually.LIMIT);
        holder.getOutputStream().write("a line\n".getBytes(StandardCharsets.UTF_8));
        holder.getOutputStream().flush();
        Cluster.signal(holder, "CONT");
        List<String> lines = new ArrayList<>(List.of(out.readLine(), out.readLine()));
        assertEquals(Set.of("lost", "held false"), Set.copyOf(lines));
        assertTrue(lock.isHeld());
      } finally {
        Cluster.signal(holder, "CONT");
        holder.destroyForcibly();
      }
    }
  }
}
