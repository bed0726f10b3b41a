package dev.conclave.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.conclave.client.Cluster;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class ExamplesTest {
  private static final Path SOURCES = Path.of("src/main/java/dev/conclave/examples");
  private static Cluster cluster;

  @BeforeAll
  static void start() {
    cluster = Cluster.start(1);
  }

  @AfterAll
  static void stop() {
    cluster.close();
  }

  static List<String> all() throws IOException {
    try (Stream<Path> files = Files.list(SOURCES)) {
      return files.map(file -> file.getFileName().toString().replace(".java", "")).sorted().toList();
    }
  }

  @Test
  void there_is_one_for_each_recipe() throws IOException {
    assertEquals(18, all().size());
  }

  @ParameterizedTest
  @MethodSource("all")
  void an_example_runs(String name) throws Exception {
    ProcessBuilder run =
        new ProcessBuilder(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "-XX:TieredStopAtLevel=1",
            "-cp",
            System.getProperty("java.class.path"),
            "dev.conclave.examples." + name);
    run.environment().put("ETCDCTL_ENDPOINTS", String.join(",", cluster.endpoints()));
    run.redirectErrorStream(true);
    Process process = run.start();
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertTrue(process.waitFor(60, TimeUnit.SECONDS));
    assertEquals(0, process.exitValue(), output);
    assertFalse(output.isBlank());
    assertFalse(output.contains("Exception"), output);
  }

  @Test
  void the_readme_has_the_tour() throws IOException {
    String source = Files.readString(SOURCES.resolve("Tour.java"));
    String tour = source.substring(source.indexOf("// tour: begin\n") + 15, source.indexOf("// tour: end"));
    assertTrue(Files.readString(Path.of("../README.md")).contains("```java\n" + tour + "```"));
  }
}
