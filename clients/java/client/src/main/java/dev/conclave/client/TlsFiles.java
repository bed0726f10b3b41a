package dev.conclave.client;

import io.grpc.netty.GrpcSslContexts;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.handler.ssl.SslProvider;
import java.net.Socket;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.Principal;
import java.security.PrivateKey;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import java.util.List;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLException;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509ExtendedKeyManager;
import javax.net.ssl.X509ExtendedTrustManager;

/** Reads the files of {@link Tls} for every handshake, and keeps the last ones that could be used (C5). */
final class TlsFiles {
  private record Trust(List<X509Certificate> certificates, X509ExtendedTrustManager manager) {}

  private record Identity(X509Certificate[] chain, PrivateKey key) {}

  private final Core core;
  private final Tls files;
  private Trust trust;
  private Identity identity;

  /** Reads the files. An error names the one that cannot be used. */
  TlsFiles(Core core, Tls files) {
    this.core = core;
    this.files = files;
    this.trust = readTrust();
    this.identity = files.key() == null ? null : readIdentity();
  }

  SslContext context() {
    try {
      SslContextBuilder builder =
          GrpcSslContexts.configure(SslContextBuilder.forClient(), SslProvider.JDK).trustManager(new Trusting());
      if (identity != null) {
        builder.keyManager(new Presenting());
      }
      return builder.build();
    } catch (SSLException error) {
      throw ConclaveException.invalid("TLS cannot be used: " + error.getMessage());
    }
  }

  private Trust readTrust() {
    List<X509Certificate> certificates = Pem.certificates(files.ca());
    try {
      KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
      store.load(null, null);
      for (int i = 0; i < certificates.size(); i++) {
        store.setCertificateEntry("ca-" + i, certificates.get(i));
      }
      TrustManagerFactory factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
      factory.init(store);
      for (TrustManager manager : factory.getTrustManagers()) {
        if (manager instanceof X509ExtendedTrustManager extended) {
          return new Trust(certificates, extended);
        }
      }
      throw new GeneralSecurityException("no X.509 trust manager");
    } catch (GeneralSecurityException | java.io.IOException error) {
      throw ConclaveException.invalid("the TLS file " + files.ca() + " cannot be used: " + error.getMessage());
    }
  }

  private Identity readIdentity() {
    X509Certificate[] chain = Pem.certificates(files.certificate()).toArray(new X509Certificate[0]);
    PrivateKey key = Pem.key(files.key());
    if (!key.getAlgorithm().equals(chain[0].getPublicKey().getAlgorithm()) || !KeyPairs.match(key, chain[0])) {
      throw ConclaveException.invalid(
          "the TLS file " + files.key() + " is not the key of the certificate in " + files.certificate());
    }
    return new Identity(chain, key);
  }

  private synchronized X509ExtendedTrustManager trust() {
    try {
      trust = readTrust();
    } catch (ConclaveException unusable) {
      core.log("the former CA is used", unusable);
    }
    return trust.manager;
  }

  private synchronized void refreshIdentity() {
    try {
      identity = readIdentity();
    } catch (ConclaveException unusable) {
      core.log("the former certificate is used", unusable);
    }
  }

  private synchronized Identity identity() {
    return identity;
  }

  /** Trust by the files of the moment. */
  private final class Trusting extends X509ExtendedTrustManager {
    @Override
    public void checkServerTrusted(X509Certificate[] chain, String type, SSLEngine engine) throws CertificateException {
      trust().checkServerTrusted(chain, type, engine);
    }

    @Override
    public void checkServerTrusted(X509Certificate[] chain, String type, Socket socket) throws CertificateException {
      trust().checkServerTrusted(chain, type, socket);
    }

    @Override
    public void checkServerTrusted(X509Certificate[] chain, String type) throws CertificateException {
      trust().checkServerTrusted(chain, type);
    }

    @Override
    public void checkClientTrusted(X509Certificate[] chain, String type, SSLEngine engine) throws CertificateException {
      throw new CertificateException("this is a client");
    }

    @Override
    public void checkClientTrusted(X509Certificate[] chain, String type, Socket socket) throws CertificateException {
      throw new CertificateException("this is a client");
    }

    @Override
    public void checkClientTrusted(X509Certificate[] chain, String type) throws CertificateException {
      throw new CertificateException("this is a client");
    }

    @Override
    public X509Certificate[] getAcceptedIssuers() {
      return new X509Certificate[0];
    }
  }

  /** The certificate of the files of the moment: read when a handshake asks which one to use. */
  private final class Presenting extends X509ExtendedKeyManager {
    private static final String ALIAS = "client";

    @Override
    public String chooseEngineClientAlias(String[] types, Principal[] issuers, SSLEngine engine) {
      refreshIdentity();
      return offered(types);
    }

    @Override
    public String chooseClientAlias(String[] types, Principal[] issuers, Socket socket) {
      refreshIdentity();
      return offered(types);
    }

    private String offered(String[] types) {
      String own = identity().key.getAlgorithm();
      for (String type : types) {
        if (type.equals(own) || type.startsWith(own + "_") || own.startsWith("Ed") && type.startsWith("Ed")) {
          return ALIAS;
        }
      }
      return null;
    }

    @Override
    public X509Certificate[] getCertificateChain(String alias) {
      return identity().chain.clone();
    }

    @Override
    public PrivateKey getPrivateKey(String alias) {
      return identity().key;
    }

    @Override
    public String[] getClientAliases(String type, Principal[] issuers) {
      return new String[] {ALIAS};
    }

    @Override
    public String[] getServerAliases(String type, Principal[] issuers) {
      return new String[0];
    }

    @Override
    public String chooseServerAlias(String type, Principal[] issuers, Socket socket) {
      return null;
    }
  }
}
