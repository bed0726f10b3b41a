package dev.conclave.client;

import java.net.URI;
import java.net.URISyntaxException;
import java.net.UnixDomainSocketAddress;
import java.nio.file.InvalidPathException;
import java.util.Locale;

/** The address of a server (C1). */
record Endpoint(String text, boolean tls, String host, int port, String path) {
  /** Parses an endpoint. {@code withTls}: TLS is configured, so {@code host:port} is {@code https}. */
  static Endpoint parse(String text, boolean withTls) {
    if (text == null || text.isBlank()) {
      throw bad(text, "is empty; give http://host:port");
    }
    Endpoint endpoint = parsed(text.strip(), withTls);
    if (endpoint.tls && !withTls) {
      throw bad(text, "needs the CA to trust: give the builder's tls a CA file");
    }
    return endpoint;
  }

  private static Endpoint parsed(String text, boolean withTls) {
    int end = text.indexOf("://");
    String scheme = end < 0 ? (withTls ? "https" : "http") : text.substring(0, end).toLowerCase(Locale.ROOT);
    String rest = end < 0 ? text : text.substring(end + 3);
    rest = rest.endsWith("/") ? rest.substring(0, rest.length() - 1) : rest;
    return switch (scheme) {
      case "unix", "unixs" -> socket(text, scheme, rest);
      case "http", "https" -> url(text, scheme, rest);
      default -> throw bad(text, "does not begin with http://, https://, unix:// or unixs://");
    };
  }

  private static Endpoint socket(String text, String scheme, String path) {
    if (!path.startsWith("/") || path.length() == 1) {
      throw bad(text, "needs an absolute path: " + scheme + ":///path");
    }
    try {
      UnixDomainSocketAddress.of(path);
    } catch (InvalidPathException error) {
      throw bad(text, "has no path that can be used: " + error.getReason());
    }
    return new Endpoint(text, scheme.equals("unixs"), "localhost", 0, path);
  }

  private static Endpoint url(String text, String scheme, String address) {
    URI uri;
    try {
      uri = new URI(scheme + "://" + address);
    } catch (URISyntaxException error) {
      throw bad(text, "is not a URL: " + error.getReason());
    }
    if (uri.getHost() == null || uri.getPort() < 1 || uri.getPort() > 65535) {
      throw bad(text, "needs a host and a port: http://host:port");
    }
    boolean more = uri.getRawUserInfo() != null || uri.getRawQuery() != null || uri.getRawFragment() != null;
    if (more || !uri.getRawPath().isEmpty()) {
      throw bad(text, "has more than a host and a port");
    }
    // The brackets around an IPv6 address are the URL's.
    String host = uri.getHost().replaceAll("[\\[\\]]", "");
    return new Endpoint(text, scheme.equals("https"), host, uri.getPort(), null);
  }

  private static ConclaveException bad(String text, String problem) {
    return ConclaveException.invalid("the endpoint \"" + text + "\" " + problem);
  }
}
