package dev.conclave.examples.glassfish;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.http.WebSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** Chromium without a window, driven by its debugging protocol: to see the page as a person does. */
final class Browser implements AutoCloseable {
  private final HttpClient http = HttpClient.newHttpClient();
  private final Map<Integer, CompletableFuture<JsonObject>> waiting = new ConcurrentHashMap<>();
  private final AtomicInteger ids = new AtomicInteger();
  private final Process process;
  private final WebSocket socket;

  /** Opens a page. */
  Browser(String url) {
    // Not in the test's folder, because the browser leaves links that point out of its own.
    Path profile = Path.of("target", "chromium-" + System.nanoTime()).toAbsolutePath();
    process =
        Processes.start(
            List.of(
                "chromium",
                "--headless",
                // Containers and root have no sandbox; the page is our own.
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                "--window-size=900,860",
                "--remote-debugging-port=0",
                "--user-data-dir=" + profile,
                url),
            Map.of("TMPDIR", Path.of("target").toAbsolutePath().toString()),
            Path.of("target", "chromium.log"));
    // The browser writes the port that it has chosen.
    Path port = profile.resolve("DevToolsActivePort");
    String address =
        Eventually.get("the browser has opened the page", () -> Files.exists(port) ? page(port) : Optional.empty());
    socket = http.newWebSocketBuilder().buildAsync(URI.create(address), new Answers()).join();
  }

  private Optional<String> page(Path portFile) {
    try {
      String port = Files.readString(portFile).lines().findFirst().orElse("");
      String list =
          http.send(HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + "/json/list")).build(), BodyHandlers.ofString())
              .body();
      return JsonParser.parseString(list).getAsJsonArray().asList().stream()
          .map(target -> target.getAsJsonObject())
          .filter(target -> target.get("type").getAsString().equals("page"))
          .map(target -> target.get("webSocketDebuggerUrl").getAsString())
          .findFirst();
    } catch (IOException | IllegalArgumentException notReady) {
      return Optional.empty();
    } catch (InterruptedException interrupt) {
      throw new IllegalStateException(interrupt);
    }
  }

  /** The text that the page shows. Empty while the page is loaded: it has no body then, and before that no document. */
  String text() {
    JsonObject parameters = new JsonObject();
    parameters.addProperty("expression", "document.body?.innerText ?? ''");
    JsonObject answer = call("Runtime.evaluate", parameters);
    return answer.has("error") ? "" : answer.getAsJsonObject("result").getAsJsonObject("result").get("value").getAsString();
  }

  void awaitText(String text) {
    Eventually.until("the page shows '" + text + "'", () -> text().contains(text));
  }

  /** Writes a picture of the page, PNG. */
  void screenshot(Path file) {
    JsonObject answer = call("Page.captureScreenshot", new JsonObject());
    if (answer.has("error")) {
      throw new AssertionError("no picture: " + answer);
    }
    String data = answer.getAsJsonObject("result").get("data").getAsString();
    try {
      Files.write(file, Base64.getDecoder().decode(data));
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  /** The answer to a command: it has either a {@code result} or an {@code error}. */
  private JsonObject call(String method, JsonObject parameters) {
    int id = ids.incrementAndGet();
    CompletableFuture<JsonObject> answer = new CompletableFuture<>();
    waiting.put(id, answer);
    JsonObject request = new JsonObject();
    request.addProperty("id", id);
    request.addProperty("method", method);
    request.add("params", parameters);
    socket.sendText(request.toString(), true).join();
    return answer.orTimeout(Eventually.LIMIT.toSeconds(), TimeUnit.SECONDS).join();
  }

  private final class Answers implements WebSocket.Listener {
    private final StringBuilder text = new StringBuilder();

    @Override
    public CompletionStage<?> onText(WebSocket from, CharSequence data, boolean last) {
      text.append(data);
      if (last) {
        JsonObject message = JsonParser.parseString(text.toString()).getAsJsonObject();
        text.setLength(0);
        if (message.has("id")) {
          waiting.remove(message.get("id").getAsInt()).complete(message);
        }
      }
      return WebSocket.Listener.super.onText(from, data, last);
    }
  }

  @Override
  public void close() {
    socket.abort();
    Processes.signal(process, "TERM");
    Processes.awaitEnd(process);
  }
}
