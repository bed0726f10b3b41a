package dev.conclave.examples.glassfish;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;

/** An application server with the application: GlassFish in a process of its own. */
final class AppServer implements AutoCloseable {
  /** A server needs seconds of a free processor to start, and there may be two of them on a busy machine. */
  private static final Duration START_LIMIT = Duration.ofMinutes(4);

  private static final Path TARGET = Path.of("target").toAbsolutePath();

  private final String name;
  private final Map<String, String> environment;
  private final Path dir;
  private final Path log;
  private final HttpClient http = HttpClient.newHttpClient();
  private int port;
  private Process process;

  /** The answer to a request. */
  record Answer(int status, String body) {
    JsonObject json() {
      return JsonParser.parseString(body).getAsJsonObject();
    }
  }

  AppServer(String name, Path dir, List<String> endpoints, Map<String, String> more) {
    this.name = name;
    this.dir = dir;
    this.log = dir.resolve(name + ".log");
    this.environment = new HashMap<>(more);
    environment.put("NODE_NAME", name);
    environment.put("ETCDCTL_ENDPOINTS", String.join(",", endpoints));
    environment.put("ETCDCTL_COMMAND_TIMEOUT", "2s");
  }

  /** Starts the process; {@link #awaitDeployed()} waits until it answers. */
  void start() {
    port = Processes.freePorts(1).get(0);
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    // For a quick start in little memory.
    command.addAll(List.of("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx256m"));
    // A server that is killed leaves its unpacked files behind.
    command.add("-Djava.io.tmpdir=" + dir);
    command.addAll(List.of("-jar", TARGET.resolve("glassfish.jar").toString(), "--httpPort=" + port));
    command.add(TARGET.resolve("app.war").toString());
    process = Processes.start(command, environment, log);
  }

  void awaitDeployed() {
    Eventually.get(name + " has deployed the application; see " + log, START_LIMIT, () -> get("/health"));
  }

  String name() {
    return name;
  }

  boolean isRunning() {
    return process != null && process.isAlive();
  }

  /** Asks the server; nothing if it does not answer. */
  Optional<Answer> get(String path) {
    HttpRequest request = request(path).timeout(Duration.ofSeconds(5)).build();
    try {
      HttpResponse<String> answer = http.send(request, HttpResponse.BodyHandlers.ofString());
      // Before the application is deployed, GlassFish answers with pages of its own.
      boolean ours = answer.body().startsWith("{") || answer.body().startsWith("<!doctype html>");
      return ours ? Optional.of(new Answer(answer.statusCode(), answer.body())) : Optional.empty();
    } catch (IOException noAnswer) {
      return Optional.empty();
    } catch (InterruptedException interrupt) {
      throw new IllegalStateException(interrupt);
    }
  }

  /** The first message to a page: the present status. */
  Optional<JsonObject> page() {
    HttpRequest request = request("/events").timeout(Duration.ofSeconds(5)).build();
    try {
      HttpResponse<Stream<String>> answer = http.send(request, HttpResponse.BodyHandlers.ofLines());
      // Closing the stream ends the connection.
      try (Stream<String> lines = answer.body()) {
        return lines
            .filter(line -> line.startsWith("data: "))
            .findFirst()
            .map(line -> JsonParser.parseString(line.substring("data: ".length())).getAsJsonObject());
      }
    } catch (IOException noAnswer) {
      return Optional.empty();
    } catch (InterruptedException interrupt) {
      throw new IllegalStateException(interrupt);
    }
  }

  private HttpRequest.Builder request(String path) {
    return HttpRequest.newBuilder(URI.create(url() + path.substring(1)));
  }

  /** The address of the page. */
  String url() {
    return "http://127.0.0.1:" + port + "/";
  }

  /** The state in /health, and whether its status is the right one for it. */
  String state() {
    return get("/health")
        .map(
            answer -> {
              String state = answer.json().get("state").getAsString();
              boolean connected = state.equals("CONNECTED") || state.equals("RECONNECTED");
              if (answer.status() != (connected ? 200 : 503)) {
                throw new AssertionError(answer.toString());
              }
              return state;
            })
        .orElse("no answer");
  }

  boolean isConnected() {
    return get("/health").filter(answer -> answer.status() == 200).isPresent();
  }

  /** Why there is no session, in /health. */
  String problem() {
    return get("/health")
        .map(AppServer.Answer::json)
        .filter(json -> json.has("problem"))
        .map(json -> json.get("problem").getAsString())
        .orElse("");
  }

  /** Waits for what the log says about a start that fails. */
  void awaitLog(String text) {
    Eventually.get("the log says: " + text, START_LIMIT, () -> Optional.of(text).filter(log()::contains));
  }

  private String log() {
    try {
      return Files.readString(log);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  void signal(String signal) {
    Processes.signal(process, signal);
  }

  void kill() {
    Processes.kill(process);
  }

  void awaitEnd() {
    Processes.awaitEnd(process);
  }

  @Override
  public void close() {
    if (isRunning()) {
      kill();
    }
  }
}
