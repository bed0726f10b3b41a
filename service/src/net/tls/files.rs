//! Makes configurations from files. An error names the flag that named the file.

use std::fs;
use std::path::{Path, PathBuf};
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
use time::OffsetDateTime;

use super::verify::{Anybody, NamedClient, NamedServer, Names};
use super::x509::facts;
use super::{TlsError, TlsFiles, TlsFlags, TlsIdentity, TlsSettings, TlsVersion};

/// The protocols spoken inside TLS, as ALPN names them.
const HTTP2: &[u8] = b"h2";
pub(super) const HTTP1: &[u8] = b"http/1.1";

fn problem(flag: &'static str, file: &Path, problem: impl ToString) -> TlsError {
    TlsError {
        flag,
        file: file.to_owned(),
        problem: problem.to_string(),
    }
}

/// The accepted certificates of others.
struct Trust {
    roots: Arc<RootCertStore>,
    crls: Vec<CertificateRevocationListDer<'static>>,
    names: Names,
    /// When the first of the roots expires.
    end: Option<i64>,
    /// The flag and the file of the roots, for errors.
    ca: (&'static str, PathBuf),
}

/// The result of reading all files.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) server: Arc<ServerConfig>,
    pub(super) client: Arc<ClientConfig>,
    /// The end of the certificates of each file: see [`super::Condition`].
    pub(super) ends: Vec<(&'static str, i64)>,
}

/// Reads all files. Warns about certificates that have expired by `now`.
pub(super) fn load(
    settings: &TlsSettings,
    identity: &TlsFiles,
    now: i64,
) -> Result<Made, TlsError> {
    let provider = Arc::new(provider(settings));
    let flags = settings.flags;
    let trust = trust(settings)?;
    let own = Shown::read(identity, flags.cert_file, flags.key_file)?;
    let dialling = match &settings.client_identity {
        None => own.clone(),
        Some(files) => Shown::read(files, flags.client_cert_file, flags.client_key_file)?,
    };
    own.warn_if_ended(now, flags);
    if settings.client_identity.is_some() {
        dialling.warn_if_ended(now, flags);
    }
    let own_flag = match &settings.identity {
        TlsIdentity::Files(_) => flags.cert_file,
        TlsIdentity::SelfSigned { .. } => flags.auto_tls,
    };
    let mut ends = vec![(own_flag, first_end(&own.chain))];
    if settings.client_identity.is_some() {
        ends.push((flags.client_cert_file, first_end(&dialling.chain)));
    }
    if let Some(trust) = &trust {
        ends.push((flags.trusted_ca_file, trust.end));
    }
    let server = server(settings, &provider, trust.as_ref(), own)?;
    let client = client(settings, &provider, trust.as_ref(), dialling)?;
    Ok(Made {
        server: Arc::new(server),
        client: Arc::new(client),
        ends: ends
            .into_iter()
            .filter_map(|(flag, end)| Some((flag, end?)))
            .collect(),
    })
}

/// Returns when the first of the certificates expires; `None` if none of them is readable.
fn first_end(certificates: &[CertificateDer<'_>]) -> Option<i64> {
    let ends = certificates.iter().filter_map(|der| facts(der).ends);
    ends.map(OffsetDateTime::unix_timestamp).min()
}

fn provider(settings: &TlsSettings) -> CryptoProvider {
    let mut provider = ring::default_provider();
    if !settings.cipher_suites.is_empty() {
        provider.cipher_suites.retain(|suite| {
            // As in Go, the suites of TLS 1.3 cannot be chosen.
            suite.version() == &TLS13 || settings.cipher_suites.contains(&suite.suite())
        });
    }
    provider
}

fn server(
    settings: &TlsSettings,
    provider: &Arc<CryptoProvider>,
    trust: Option<&Trust>,
    own: Shown,
) -> Result<ServerConfig, TlsError> {
    let refuse = |error: rustls::Error| problem(own.flags.0, &own.files.cert, error);
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&versions(settings))
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
            .map_err(|error| trust.problem(error))?;
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
    settings: &TlsSettings,
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
            .map_err(|error| trust.problem(error))?;
            Arc::new(NamedServer {
                chain: verifier,
                names: trust.names.clone(),
            })
        }
    };
    let mut client = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&versions(settings))
        .map_err(|error| problem(own.flags.0, &own.files.cert, error))?
        // Custom verifiers are dangerous because they could be wrong. NamedServer only adds a check
        // to rustls' verifier; Anybody accepts everything and is for self-signed certificates.
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_auth_cert(own.chain.clone(), own.key.clone_key())
        .map_err(|error| own.unfit(&error))?;
    client.resumption = Resumption::disabled();
    client.alpn_protocols = vec![HTTP2.to_vec()];
    Ok(client)
}

fn versions(settings: &TlsSettings) -> Vec<&'static SupportedProtocolVersion> {
    let all = [(TlsVersion::Tls13, &TLS13), (TlsVersion::Tls12, &TLS12)];
    let spoken = all
        .into_iter()
        .filter(|(version, _)| (settings.min_version..=settings.max_version).contains(version));
    spoken.map(|(_, version)| version).collect()
}

/// Reads the CA and its list of revoked certificates. `None` if every certificate is accepted.
fn trust(settings: &TlsSettings) -> Result<Option<Trust>, TlsError> {
    let Some(ca_file) = &settings.trusted_ca_file else {
        return Ok(None);
    };
    let flags = settings.flags;
    let mut roots = RootCertStore::empty();
    let certificates = certificates(flags.trusted_ca_file, ca_file)?;
    let end = first_end(&certificates);
    for certificate in certificates {
        roots
            .add(certificate)
            .map_err(|error| problem(flags.trusted_ca_file, ca_file, error))?;
    }
    let crls = match &settings.crl_file {
        None => Vec::new(),
        Some(file) => revocations(flags.crl_file, file)?,
    };
    Ok(Some(Trust {
        roots: Arc::new(roots),
        crls,
        names: Names {
            flags,
            common_names: settings.allowed_cns.clone(),
            hostnames: settings.allowed_hostnames.clone(),
        },
        end,
        ca: (flags.trusted_ca_file, ca_file.clone()),
    }))
}

impl Trust {
    fn problem(&self, error: impl ToString) -> TlsError {
        let (flag, file) = &self.ca;
        problem(flag, file, error)
    }
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

/// Reads a list of revoked certificates: PEM or, as etcd's tools write it, DER.
fn revocations(
    flag: &'static str,
    file: &Path,
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let bytes = read(flag, file)?;
    if !bytes.starts_with(b"-----") {
        return Ok(vec![bytes.into()]);
    }
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&bytes).collect();
    found.map_err(|error| problem(flag, file, format!("it is not PEM: {error}")))
}

/// A certificate with its key, presented to others.
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

    /// The error of a key that does not match the certificate, or that rustls cannot use.
    fn unfit(&self, error: &rustls::Error) -> TlsError {
        match error {
            rustls::Error::InconsistentKeys(_) => {
                let text = format!("it is not the key of {}", self.files.cert.display());
                problem(self.flags.1, &self.files.key, text)
            }
            other => problem(self.flags.1, &self.files.key, other),
        }
    }

    fn warn_if_ended(&self, now: i64, flags: &TlsFlags) {
        let ends = self.chain.first().and_then(|first| facts(first).ends);
        if let Some(ends) = ends.filter(|ends| ends.unix_timestamp() < now) {
            tracing::warn!(
                file = %self.files.cert.display(),
                ended = %ends.date(),
                "the certificate of --{} has expired: {} will not accept it",
                self.flags.0,
                flags.verifiers,
            );
        }
    }
}
