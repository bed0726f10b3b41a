package dev.conclave.subject;

import com.google.gson.Gson;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import dev.conclave.client.ConclaveException;
import dev.conclave.client.ErrorKind;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;

/** The conformance subject: requests from standard input, replies and events to standard output, one JSON object per line. */
public final class Main {
  private static final Gson GSON = new com.google.gson.GsonBuilder().disableHtmlEscaping().create();

  private final PrintStream out = new PrintStream(new java.io.FileOutputStream(java.io.FileDescriptor.out), true, StandardCharsets.UTF_8);
  private final Map<String, Operation> operations = new HashMap<>();
  private final Map<Long, CompletableFuture<?>> running = new ConcurrentHashMap<>();
  private final Names names = new Names(this::event);

  /** Carries out a request. */
  interface Operation {
    CompletableFuture<JsonObject> run(Args args);
  }

  private Main() {
    new Keys(names).register(operations);
    new Sessions(names).register(operations);
    new Locks(names).register(operations);
    new Elections(names).register(operations);
    new Barriers(names).register(operations);
    new Data(names).register(operations);
    operations.put(
        "cancel",
        args -> {
          CompletableFuture<?> request = running.get(args.number("id"));
          if (request != null) {
            request.cancel(true);
          }
          return Reply.empty();
        });
  }

  /**
   * Runs the subject until the end of its input.
   *
   * @param args none
   * @throws Exception if the input cannot be read
   */
  public static void main(String[] args) throws Exception {
    Main subject = new Main();
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      if (!line.isBlank()) {
        subject.request(JsonParser.parseString(line).getAsJsonObject());
      }
    }
    subject.names.closeClients();
    System.exit(0);
  }

  private void request(JsonObject request) {
    long id = request.get("id").getAsLong();
    String name = request.get("op").getAsString();
    Operation operation = operations.get(name);
    if (operation == null) {
      JsonObject error = new JsonObject();
      error.addProperty("kind", "unsupported");
      error.addProperty("name", "");
      error.addProperty("retry", false);
      error.addProperty("maybe", false);
      error.addProperty("text", name + " is no operation of this subject");
      reply(id, "error", error);
      return;
    }
    JsonObject args = request.has("args") ? request.getAsJsonObject("args") : new JsonObject();
    CompletableFuture<JsonObject> result;
    try {
      result = operation.run(new Args(args, future -> running.put(id, future)));
    } catch (RuntimeException refused) {
      result = CompletableFuture.failedFuture(refused);
    }
    result.whenComplete(
        (ok, failure) -> {
          running.remove(id);
          if (failure == null) {
            reply(id, "ok", ok);
          } else {
            reply(id, "error", error(failure));
          }
        });
  }

  static JsonObject error(Throwable failure) {
    ConclaveException error = ConclaveException.of(failure);
    if (error.getCause() != null && error.kind() == ErrorKind.INVALID) {
      failure.printStackTrace();
    }
    JsonObject json = new JsonObject();
    json.addProperty("kind", error.kind().name().toLowerCase(Locale.ROOT));
    json.addProperty("name", error.error().map(known -> known.id()).orElse(""));
    json.addProperty("retry", error.retry());
    json.addProperty("maybe", error.mayHaveHappened());
    json.addProperty("text", error.getMessage());
    if (error.kind() == ErrorKind.COMPACTED) {
      json.addProperty("revision", error.revision());
    }
    return json;
  }

  private void event(String on, JsonObject event) {
    JsonObject line = new JsonObject();
    line.addProperty("on", on);
    line.add("event", event);
    write(line);
  }

  private void reply(long id, String what, JsonObject content) {
    JsonObject line = new JsonObject();
    line.addProperty("id", id);
    line.add(what, content);
    write(line);
  }

  private synchronized void write(JsonObject line) {
    out.println(GSON.toJson(line));
  }
}
