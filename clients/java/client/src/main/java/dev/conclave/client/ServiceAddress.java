package dev.conclave.client;

import com.google.gson.Gson;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import com.google.gson.JsonPrimitive;
import com.google.protobuf.ByteString;
import java.util.Optional;

/**
 * An address of a service, as in etcd's {@code naming}.
 *
 * @param address for example {@code 10.0.0.1:8080}
 * @param metadata any JSON; {@code null} as JSON if there is none
 */
public record ServiceAddress(String address, String metadata) {
  private static final Gson GSON = new com.google.gson.GsonBuilder().serializeNulls().disableHtmlEscaping().create();

  ByteString encode() {
    JsonObject object = new JsonObject();
    object.addProperty("Op", 0);
    object.addProperty("Addr", address);
    try {
      object.add("Metadata", metadata == null ? JsonNull.INSTANCE : JsonParser.parseString(metadata));
    } catch (JsonParseException error) {
      throw ConclaveException.invalid("the metadata of " + address + " is no JSON: " + error.getMessage());
    }
    return Keys.bytes(GSON.toJson(object));
  }

  /** Empty if another program wrote something else there. */
  static Optional<ServiceAddress> decode(ByteString value) {
    try {
      JsonElement parsed = JsonParser.parseString(value.toStringUtf8());
      if (!parsed.isJsonObject()
          || !(parsed.getAsJsonObject().get("Addr") instanceof JsonPrimitive address)
          || !address.isString()) {
        return Optional.empty();
      }
      JsonElement metadata = parsed.getAsJsonObject().get("Metadata");
      String text = GSON.toJson(metadata == null ? JsonNull.INSTANCE : metadata);
      return Optional.of(new ServiceAddress(address.getAsString(), text));
    } catch (JsonParseException | IllegalStateException | UnsupportedOperationException foreign) {
      return Optional.empty();
    }
  }
}
