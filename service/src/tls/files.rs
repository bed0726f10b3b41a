//! From files to configurations. Whatever is wrong is said with the flag that named the file.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use super::TlsError;
use super::verify::{Anybody, NamedClient, NamedServer, Names};
use super::x509::{civil, facts};
use crate::config::{PeerTls, TlsFiles, TlsVersion};

const CERT: &str = "peer-cert-file";
const KEY: &str = "peer-key-file";
const CLIENT_CERT: &str = "peer-client-cert-file";
const CLIENT_KEY: &str = "peer-client-key-file";
const CA: &str = "peer-trusted-ca-file";
const CRL: &str = "peer-crl-file";

/// What is spoken inside.
const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

fn problem(flag: &'static str, file: &Path, problem: impl ToString) -> TlsError {
    TlsError {
        flag,
        file: file.to_owned(),
        problem: problem.to_string(),
    }
}

/// Whom to trust.
struct Trust {
    roots: Arc<RootCertStore>,
    crls: Vec<CertificateRevocationListDer<'static>>,
    names: Names,
    /// The file of the roots, to name if they do not do.
    ca_file: std::path::PathBuf,
}

/// Reads everything. Of certificates that have ended by `now` it is only said so.
pub(super) fn load(
    config: &PeerTls,
    identity: &TlsFiles,
    now: i64,
) -> Result<(Arc<ServerConfig>, Arc<ClientConfig>), TlsError> {
    let provider = Arc::new(ring::default_provider());
    let trust = trust(config)?;
    let own = Shown::read(identity, CERT, KEY)?;
    let dialling = match &config.client_identity {
        None => own.clone(),
        Some(files) => Shown::read(files, CLIENT_CERT, CLIENT_KEY)?,
    };
    own.warn_if_ended(now);
    if config.client_identity.is_some() {
        dialling.warn_if_ended(now);
    }
    let server = server(config, &provider, trust.as_ref(), own)?;
    let client = client(config, &provider, trust.as_ref(), dialling)?;
    Ok((Arc::new(server), Arc::new(client)))
}

fn server(
    config: &PeerTls,
    provider: &Arc<CryptoProvider>,
    trust: Option<&Trust>,
    own: Shown,
) -> Result<ServerConfig, TlsError> {
    let refuse = |error: rustls::Error| problem(own.flags.0, &own.files.cert, error);
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&versions(config))
        .map_err(refuse)?;
    let builder = match trust {
        None => builder.with_no_client_auth(),
        Some(trust) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(
                Arc::clone(&trust.roots),
                Arc::clone(provider),
            )
            .with_crls(trust.crls.clone())
            .only_check_end_entity_revocation()
            .allow_unknown_revocation_status()
            .build()
            .map_err(|error| problem(CA, &trust.ca_file, error))?;
            builder.with_client_cert_verifier(Arc::new(NamedClient {
                chain: verifier,
                names: trust.names.clone(),
            }))
        }
    };
    let mut server = builder
        .with_single_cert(own.chain.clone(), own.key.clone_key())
        .map_err(|error| own.unfit(&error))?;
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    server.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
    Ok(server)
}

fn client(
    config: &PeerTls,
    provider: &Arc<CryptoProvider>,
    trust: Option<&Trust>,
    own: Shown,
) -> Result<ClientConfig, TlsError> {
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        None => Arc::new(Anybody {
            provider: Arc::clone(provider),
        }),
        Some(trust) => {
            let verifier = WebPkiServerVerifier::builder_with_provider(
                Arc::clone(&trust.roots),
                Arc::clone(provider),
            )
            .with_crls(trust.crls.clone())
            .only_check_end_entity_revocation()
            .allow_unknown_revocation_status()
            .build()
            .map_err(|error| problem(CA, &trust.ca_file, error))?;
            Arc::new(NamedServer {
                chain: verifier,
                names: trust.names.clone(),
            })
        }
    };
    let mut client = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&versions(config))
        .map_err(|error| problem(own.flags.0, &own.files.cert, error))?
        // The name says that verifiers of one's own can be wrong; ours add to rustls's, but one.
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_auth_cert(own.chain.clone(), own.key.clone_key())
        .map_err(|error| own.unfit(&error))?;
    client.resumption = Resumption::disabled();
    client.alpn_protocols = vec![HTTP2.to_vec()];
    Ok(client)
}

fn versions(config: &PeerTls) -> Vec<&'static SupportedProtocolVersion> {
    let all = [(TlsVersion::Tls13, &TLS13), (TlsVersion::Tls12, &TLS12)];
    let spoken = all
        .into_iter()
        .filter(|(version, _)| (config.min_version..=config.max_version).contains(version));
    spoken.map(|(_, version)| version).collect()
}

/// The CA, what it revoked and which names are let in; `None` where anybody is.
fn trust(config: &PeerTls) -> Result<Option<Trust>, TlsError> {
    let Some(ca_file) = &config.trusted_ca_file else {
        return Ok(None);
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(CA, ca_file)? {
        roots
            .add(certificate)
            .map_err(|error| problem(CA, ca_file, error))?;
    }
    let crls = match &config.crl_file {
        None => Vec::new(),
        Some(file) => revocations(file)?,
    };
    Ok(Some(Trust {
        roots: Arc::new(roots),
        crls,
        names: Names {
            common_names: config.allowed_cns.clone(),
            hostnames: config.allowed_hostnames.clone(),
        },
        ca_file: ca_file.clone(),
    }))
}

fn read(flag: &'static str, file: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(file).map_err(|error| problem(flag, file, error))
}

fn certificates(flag: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(flag, file)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| problem(flag, file, format!("it is not PEM: {error}")))?;
    if found.is_empty() {
        return Err(problem(flag, file, "it has no certificate in PEM"));
    }
    Ok(found)
}

/// PEM or, as etcd's tools write it, DER.
fn revocations(file: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let bytes = read(CRL, file)?;
    if !bytes.starts_with(b"-----") {
        return Ok(vec![bytes.into()]);
    }
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&bytes).collect();
    found.map_err(|error| problem(CRL, file, format!("it is not PEM: {error}")))
}

/// A certificate with its key, as this member shows it.
struct Shown {
    flags: (&'static str, &'static str),
    files: TlsFiles,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Clone for Shown {
    fn clone(&self) -> Shown {
        Shown {
            flags: self.flags,
            files: self.files.clone(),
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

impl Shown {
    fn read(files: &TlsFiles, cert: &'static str, key: &'static str) -> Result<Shown, TlsError> {
        let chain = certificates(cert, &files.cert)?;
        let text = read(key, &files.key)?;
        let secret = PrivateKeyDer::from_pem_slice(&text)
            .map_err(|_| problem(key, &files.key, "it has no private key in PEM"))?;
        Ok(Shown {
            flags: (cert, key),
            files: files.clone(),
            chain,
            key: secret,
        })
    }

    /// The two files do not go together, or not with rustls.
    fn unfit(&self, error: &rustls::Error) -> TlsError {
        match error {
            rustls::Error::InconsistentKeys(_) => {
                let text = format!("it is not the key of {}", self.files.cert.display());
                problem(self.flags.1, &self.files.key, text)
            }
            other => problem(self.flags.1, &self.files.key, other),
        }
    }

    fn warn_if_ended(&self, now: i64) {
        let ends = self.chain.first().and_then(|first| facts(first).ends);
        if let Some(ends) = ends.filter(|ends| *ends < now) {
            let (year, month, day) = civil(ends);
            tracing::warn!(
                file = %self.files.cert.display(),
                ended = %format_args!("{year:04}-{month:02}-{day:02}"),
                "the certificate of --{} has ended: other members will not accept it",
                self.flags.0,
            );
        }
    }
}
