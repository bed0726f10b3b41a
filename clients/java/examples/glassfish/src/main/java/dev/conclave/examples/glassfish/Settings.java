package dev.conclave.examples.glassfish;

import jakarta.enterprise.context.ApplicationScoped;
import java.time.Duration;
import java.util.Map;

/** Settings of this server, from its environment. Where Conclave is, the client reads from the environment by itself. */
@ApplicationScoped
public class Settings {
  private final Map<String, String> environment = System.getenv();

  /** Returns this server's name, which must differ from the other servers': {@code NODE_NAME}, or else the process id. */
  public String nodeName() {
    return environment.getOrDefault("NODE_NAME", "node-" + ProcessHandle.current().pid());
  }

  /**
   * Returns the TTL of the session: {@code SESSION_TTL} in seconds. After a crash the others wait for about this long. A pause of
   * this server, for example by its garbage collector, must be shorter.
   */
  public Duration sessionTtl() {
    return Duration.ofSeconds(number("SESSION_TTL", 10));
  }

  /** Returns how many tasks the leader hands out each second: {@code TASKS_PER_SECOND}. */
  public int tasksPerSecond() {
    return number("TASKS_PER_SECOND", 2);
  }

  /** Returns how long a task takes: {@code WORK_MILLIS}. */
  public Duration workTime() {
    return Duration.ofMillis(number("WORK_MILLIS", 300));
  }

  private int number(String name, int otherwise) {
    String text = environment.get(name);
    if (text == null || text.isBlank()) {
      return otherwise;
    }
    try {
      int number = Integer.parseInt(text.strip());
      if (number > 0) {
        return number;
      }
    } catch (NumberFormatException notANumber) {
      // Reported below.
    }
    throw new IllegalArgumentException(name + " must be a whole number above 0, and is '" + text + "'");
  }
}
