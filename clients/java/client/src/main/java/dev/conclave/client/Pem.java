package dev.conclave.client;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Reads PEM files. Java's own classes read certificates, and keys only as bare PKCS#8. */
final class Pem {
  private static final Pattern BLOCK =
      Pattern.compile("-----BEGIN ([A-Z0-9 ]+)-----([A-Za-z0-9+/=\\s]+)-----END \\1-----");
  /** AlgorithmIdentifier of RSA: its OID, and NULL. */
  private static final byte[] RSA = {
    0x30, 0x0d, 0x06, 0x09, 0x2a, (byte) 0x86, 0x48, (byte) 0x86, (byte) 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00
  };
  /** OID of elliptic curve keys. */
  private static final byte[] EC = {0x06, 0x07, 0x2a, (byte) 0x86, 0x48, (byte) 0xce, 0x3d, 0x02, 0x01};

  private Pem() {}

  static List<X509Certificate> certificates(Path file) {
    List<X509Certificate> found = new ArrayList<>();
    try {
      byte[] content = Files.readAllBytes(file);
      for (Certificate one :
          CertificateFactory.getInstance("X.509").generateCertificates(new ByteArrayInputStream(content))) {
        found.add((X509Certificate) one);
      }
    } catch (IOException error) {
      throw unusable(file, "cannot be read: " + error);
    } catch (GeneralSecurityException error) {
      throw unusable(file, "has no certificates in PEM: " + error.getMessage());
    }
    if (found.isEmpty()) {
      throw unusable(file, "has no certificates in PEM");
    }
    return found;
  }

  static PrivateKey key(Path file) {
    String content;
    try {
      content = Files.readString(file, StandardCharsets.US_ASCII);
    } catch (IOException error) {
      throw unusable(file, "cannot be read: " + error);
    }
    Matcher block = BLOCK.matcher(content);
    while (block.find()) {
      try {
        byte[] body = Base64.getMimeDecoder().decode(block.group(2));
        switch (block.group(1)) {
          case "PRIVATE KEY" -> {
            return pkcs8(body);
          }
          case "RSA PRIVATE KEY" -> {
            return pkcs8(wrap(RSA, body));
          }
          case "EC PRIVATE KEY" -> {
            return pkcs8(wrap(tagged(0x30, EC, curve(body)), body));
          }
          default -> {}
        }
      } catch (GeneralSecurityException | RuntimeException error) {
        throw unusable(file, "has a key that cannot be used: " + error.getMessage());
      }
    }
    throw unusable(file, "has no unencrypted private key in PEM");
  }

  private static PrivateKey pkcs8(byte[] body) throws GeneralSecurityException {
    GeneralSecurityException last = null;
    for (String algorithm : new String[] {"EC", "RSA", "Ed25519"}) {
      try {
        return KeyFactory.getInstance(algorithm).generatePrivate(new PKCS8EncodedKeySpec(body));
      } catch (GeneralSecurityException other) {
        last = other;
      }
    }
    throw last;
  }

  /** A key in its own format within PKCS#8: version 0, algorithm, the key as octets. */
  private static byte[] wrap(byte[] algorithm, byte[] key) {
    return tagged(0x30, new byte[] {0x02, 0x01, 0x00}, algorithm, tagged(0x04, key));
  }

  private static byte[] tagged(int tag, byte[]... parts) {
    ByteArrayOutputStream content = new ByteArrayOutputStream();
    for (byte[] part : parts) {
      content.writeBytes(part);
    }
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    int length = content.size();
    out.write(tag);
    if (length < 0x80) {
      out.write(length);
    } else if (length < 0x100) {
      out.write(0x81);
      out.write(length);
    } else {
      out.write(0x82);
      out.write(length >> 8);
      out.write(length);
    }
    out.writeBytes(content.toByteArray());
    return out.toByteArray();
  }

  /** The curve's OID in a SEC 1 key: the content of its element [0], after version and key. */
  private static byte[] curve(byte[] key) {
    int at = content(key, 0);
    while (at < key.length) {
      int start = content(key, at);
      int end = start + length(key, at);
      if ((key[at] & 0xff) == 0xa0) {
        return java.util.Arrays.copyOfRange(key, start, end);
      }
      at = end;
    }
    throw new IllegalArgumentException("the key does not name its curve");
  }

  private static int content(byte[] der, int at) {
    int first = der[at + 1] & 0xff;
    return at + 2 + (first < 0x80 ? 0 : first & 0x7f);
  }

  private static int length(byte[] der, int at) {
    int first = der[at + 1] & 0xff;
    if (first < 0x80) {
      return first;
    }
    int length = 0;
    for (int i = 0; i < (first & 0x7f); i++) {
      length = length << 8 | (der[at + 2 + i] & 0xff);
    }
    return length;
  }

  private static ConclaveException unusable(Path file, String problem) {
    return ConclaveException.invalid("the TLS file " + file + " " + problem);
  }
}
