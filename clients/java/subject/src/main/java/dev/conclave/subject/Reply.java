package dev.conclave.subject;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.util.concurrent.CompletableFuture;

/** Builds the objects of replies and events. */
final class Reply {
  private final JsonObject json = new JsonObject();

  static CompletableFuture<JsonObject> empty() {
    return CompletableFuture.completedFuture(new JsonObject());
  }

  static Reply of(String name, String value) {
    return new Reply().and(name, value);
  }

  static Reply of(String name, long value) {
    return new Reply().and(name, value);
  }

  static Reply of(String name, boolean value) {
    return new Reply().and(name, value);
  }

  static Reply of(String name, JsonElement value) {
    return new Reply().and(name, value);
  }

  Reply and(String name, String value) {
    json.addProperty(name, value);
    return this;
  }

  Reply and(String name, long value) {
    json.addProperty(name, value);
    return this;
  }

  Reply and(String name, boolean value) {
    json.addProperty(name, value);
    return this;
  }

  Reply and(String name, JsonElement value) {
    json.add(name, value);
    return this;
  }

  JsonObject json() {
    return json;
  }
}
