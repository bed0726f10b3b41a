package dev.conclave.client;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Settings from etcdctl's environment variables (C4). */
final class Environment {
  private static final Pattern PART = Pattern.compile("(\\d+\\.?\\d*|\\.\\d+)(ms|us|µs|μs|ns|s|m|h)");

  private Environment() {}

  static void apply(Client.Builder builder, Map<String, String> environment) {
    String endpoints = set(environment, "ETCDCTL_ENDPOINTS");
    builder.endpoints(endpoints == null ? List.of("127.0.0.1:2379") : List.of(endpoints.split(",")));
    String skip = set(environment, "ETCDCTL_INSECURE_SKIP_TLS_VERIFY");
    if (skip != null && List.of("1", "t", "true").contains(skip.toLowerCase(java.util.Locale.ROOT))) {
      throw ConclaveException.invalid(
          "ETCDCTL_INSECURE_SKIP_TLS_VERIFY is refused, because it defeats the purpose of TLS: set ETCDCTL_CACERT");
    }
    String ca = set(environment, "ETCDCTL_CACERT");
    String certificate = set(environment, "ETCDCTL_CERT");
    String key = set(environment, "ETCDCTL_KEY");
    if (ca != null || certificate != null || key != null) {
      builder.tlsFiles(ca, certificate, key);
    }
    String user = set(environment, "ETCDCTL_USER");
    if (user != null) {
      int colon = user.indexOf(':');
      String password = set(environment, "ETCDCTL_PASSWORD");
      if (password == null && colon < 0) {
        throw ConclaveException.invalid("ETCDCTL_USER has no password: set ETCDCTL_PASSWORD");
      }
      // As in etcdctl, a password of its own leaves the whole of ETCDCTL_USER to the name.
      builder.user(
          password != null ? user : user.substring(0, colon), password != null ? password : user.substring(colon + 1));
    }
    String timeout = set(environment, "ETCDCTL_COMMAND_TIMEOUT");
    if (timeout != null) {
      builder.timeout(duration(timeout));
    }
  }

  private static String set(Map<String, String> environment, String name) {
    String value = environment.get(name);
    return value == null || value.isBlank() ? null : value.strip();
  }

  /** Parses a positive duration as Go writes it: {@code 5s}, {@code 1m30s}, {@code 500ms}. */
  static Duration duration(String text) {
    Matcher part = PART.matcher(text);
    double nanos = 0;
    int end = 0;
    while (part.find() && part.start() == end) {
      double unit =
          switch (part.group(2)) {
            case "h" -> TimeUnit.HOURS.toNanos(1);
            case "m" -> TimeUnit.MINUTES.toNanos(1);
            case "s" -> TimeUnit.SECONDS.toNanos(1);
            case "ms" -> TimeUnit.MILLISECONDS.toNanos(1);
            case "ns" -> 1;
            default -> TimeUnit.MICROSECONDS.toNanos(1);
          };
      nanos += Double.parseDouble(part.group(1)) * unit;
      end = part.end();
    }
    Duration duration = Duration.ofNanos((long) nanos);
    if (end != text.length() || duration.isZero()) {
      throw ConclaveException.invalid(
          "ETCDCTL_COMMAND_TIMEOUT is not a positive duration with its unit: " + text + "; write for example 5s");
    }
    return duration;
  }
}
