package dev.conclave.client;

import java.nio.file.Path;

/**
 * The certificates of a client. The files are PEM, and are read again for every new connection; if they cannot be used at
 * that time, for example because only one of two has been replaced, the former ones are. The system's trusted CAs are not
 * used.
 */
public final class Tls {
  private final Path ca;
  private final Path certificate;
  private final Path key;

  private Tls(Path ca, Path certificate, Path key) {
    this.ca = ca;
    this.certificate = certificate;
    this.key = key;
  }

  /**
   * Trusts the servers whose certificates are signed by a CA.
   *
   * @param ca the CA's certificates
   * @return the settings
   */
  public static Tls trusting(Path ca) {
    return new Tls(Keys.given(ca, "the file of the CA"), null, null);
  }

  /**
   * Presents a certificate to the servers, too.
   *
   * @param certificate the client's certificate, followed by those that sign it
   * @param key its private key: PKCS#8, PKCS#1 or SEC 1, not encrypted
   * @return the settings
   */
  public Tls presenting(Path certificate, Path key) {
    return new Tls(ca, Keys.given(certificate, "the file of the certificate"), Keys.given(key, "the file of the key"));
  }

  Path ca() {
    return ca;
  }

  Path certificate() {
    return certificate;
  }

  Path key() {
    return key;
  }
}
