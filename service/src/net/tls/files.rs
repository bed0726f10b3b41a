//! Makes configurations from files. An error names the flag that named the file.

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::NoServerSessionStorage;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use time::OffsetDateTime;

use conclave_core::clock::{Clock as _, SystemClock};

use super::chain::{Authority, Chain};
use super::read::{Stamp, not_pem, problem, read};
use super::verify::{Anybody, Names, Trusted};
use super::x509::facts;
use super::{TlsError, TlsFiles, TlsFlags, TlsIdentity, TlsSettings, TlsVersion};

/// The protocols spoken inside TLS, as ALPN names them.
const HTTP2: &[u8] = b"h2";
pub(super) const HTTP1: &[u8] = b"http/1.1";

/// The accepted certificates of others.
struct Trust {
    verifier: Arc<Trusted>,
    /// When the first of the CAs expires.
    end: Option<i64>,
}

/// The result of reading all files.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) server: Arc<ServerConfig>,
    pub(super) client: Arc<ClientConfig>,
    /// The end of the certificates of each file: see [`super::Condition`].
    pub(super) ends: Vec<(&'static str, i64)>,
}

/// The files of one set of certificates, and their state when they were read last.
#[derive(Debug)]
pub(super) struct Files {
    settings: TlsSettings,
    identity: TlsFiles,
    stamps: Vec<Stamp>,
}

impl Files {
    pub(super) fn new(settings: TlsSettings, identity: TlsFiles) -> Files {
        Files {
            settings,
            identity,
            stamps: Vec::new(),
        }
    }

    /// Reads all files if one has changed since the last call, or if they must be read.
    pub(super) fn check(&mut self, must_read: bool) -> Option<Result<Made, TlsError>> {
        let stamps = self.stamps();
        if stamps == self.stamps && !must_read {
            return None;
        }
        // Kept even if the files cannot be used, so that each change is logged once.
        self.stamps = stamps;
        let now = SystemClock::new().wall_ms().div_euclid(1_000);
        Some(load(&self.settings, &self.identity, now))
    }

    /// Returns the state of every file, in a fixed order.
    fn stamps(&self) -> Vec<Stamp> {
        let client = self.settings.client_identity.iter();
        let others = [&self.settings.trusted_ca_file, &self.settings.crl_file];
        std::iter::once(&self.identity)
            .chain(client)
            .flat_map(|files| [&files.cert, &files.key])
            .chain(others.into_iter().flatten())
            .map(|path| Stamp::of(path))
            .collect()
    }
}

/// Reads all files. Warns about certificates that are not valid at `now`.
fn load(settings: &TlsSettings, identity: &TlsFiles, now: i64) -> Result<Made, TlsError> {
    let provider = Arc::new(provider(settings));
    let flags = settings.flags;
    let trust = trust(settings, &provider, now)?;
    let (own_flag, own_key_flag) = match &settings.identity {
        TlsIdentity::Files(_) => (flags.cert_file, flags.key_file),
        TlsIdentity::SelfSigned { .. } => (flags.auto_tls, flags.auto_tls),
    };
    let own = Shown::read(identity, own_flag, own_key_flag)?;
    let dialling = match &settings.client_identity {
        None => own.clone(),
        Some(files) => Shown::read(files, flags.client_cert_file, flags.client_key_file)?,
    };
    own.warn_of_dates(now, flags);
    if settings.client_identity.is_some() {
        dialling.warn_of_dates(now, flags);
    }
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
        Some(trust) => builder.with_client_cert_verifier(Arc::clone(&trust.verifier) as _),
    };
    own.warn_of_suites(settings, provider);
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
        Some(trust) => Arc::clone(&trust.verifier) as _,
    };
    let mut client = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&versions(settings))
        .map_err(|error| problem(own.flags.0, &own.files.cert, error))?
        // Custom verifiers are dangerous because they could be wrong. Trusted calls webpki, as
        // rustls' own does; Anybody accepts everything and is for self-signed certificates.
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
fn trust(
    settings: &TlsSettings,
    provider: &Arc<CryptoProvider>,
    now: i64,
) -> Result<Option<Trust>, TlsError> {
    let Some(ca_file) = &settings.trusted_ca_file else {
        return Ok(None);
    };
    let flags = settings.flags;
    let on_ca = |text: String| problem(flags.trusted_ca_file, ca_file, text);
    let (mut roots, mut authorities) = (RootCertStore::empty(), Vec::new());
    let certificates = certificates(flags.trusted_ca_file, ca_file)?;
    let end = first_end(&certificates);
    for certificate in certificates {
        let authority = Authority::read(&certificate).map_err(on_ca)?;
        warn_of_authority(&authority, now, flags);
        authorities.push(authority);
        let added = roots.add(certificate);
        added.map_err(|error| on_ca(error.to_string()))?;
    }
    let lists = match &settings.crl_file {
        None => Vec::new(),
        Some(file) => revocations(flags.crl_file, file)?,
    };
    let chain = Chain::new(Arc::clone(provider), roots, authorities, &lists);
    // Only the lists can be wrong by now.
    let crl_file = settings.crl_file.as_ref().unwrap_or(ca_file);
    let chain = chain.map_err(|text| problem(flags.crl_file, crl_file, text))?;
    let verifier = Arc::new(Trusted {
        provider: Arc::clone(provider),
        subjects: chain.subjects(),
        chain,
        names: Names {
            flags,
            common_names: settings.allowed_cns.clone(),
            hostnames: settings.allowed_hostnames.clone(),
        },
    });
    Ok(Some(Trust { verifier, end }))
}

fn warn_of_authority(authority: &Authority, now: i64, flags: &TlsFlags) {
    let (name, flag) = (&authority.name, flags.trusted_ca_file);
    if authority.ends.unix_timestamp() < now {
        let ended = authority.ends.date();
        tracing::warn!(%ended, "the CA {name:?} of --{flag} has expired: no certificate that it \
                                signed is accepted");
    } else if authority.begins.unix_timestamp() > now {
        let begins = authority.begins.date();
        tracing::warn!(%begins, "the CA {name:?} of --{flag} is not valid yet: no certificate that \
                                 it signed is accepted until then");
    }
}

fn certificates(flag: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(flag, file)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| problem(flag, file, not_pem(&error)))?;
    if found.is_empty() {
        return Err(problem(flag, file, "it has no certificate in PEM"));
    }
    Ok(found)
}

/// Reads lists of revoked certificates: PEM, or one in DER, as etcd's tools write it. A file
/// without a list is an error, and so is one with anything else: what it should have said would be
/// lost, and revoked certificates accepted.
fn revocations(
    flag: &'static str,
    file: &Path,
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    const BEGIN: &[u8] = b"-----BEGIN ";
    let bytes = read(flag, file)?;
    let parts = bytes.windows(BEGIN.len()).filter(|part| *part == BEGIN);
    match parts.count() {
        0 if bytes.is_empty() => {
            let text = "it is empty: give a list, which may have no certificate in it";
            Err(problem(flag, file, text))
        }
        0 => Ok(vec![bytes.into()]),
        parts => {
            let found: Result<Vec<_>, _> =
                CertificateRevocationListDer::pem_slice_iter(&bytes).collect();
            let found = found.map_err(|error| problem(flag, file, not_pem(&error)))?;
            let lists = found.len();
            if lists != parts {
                let text = format!(
                    "of its {parts} parts in PEM, {lists} are lists of revoked certificates \
                     (BEGIN X509 CRL): give a file of such lists alone"
                );
                return Err(problem(flag, file, text));
            }
            Ok(found)
        }
    }
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
        let secret = PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
            // PKCS #8, and the older form of OpenSSL.
            let is_encrypted = [
                &b"BEGIN ENCRYPTED PRIVATE KEY"[..],
                b"Proc-Type: 4,ENCRYPTED",
            ]
            .iter()
            .any(|mark| text.windows(mark.len()).any(|part| part == *mark));
            let text = match is_encrypted {
                true => "it is encrypted: Conclave needs a key without a passphrase",
                false => "it has no private key in PEM",
            };
            problem(key, &files.key, text)
        })?;
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
            rustls::Error::InvalidCertificate(_) => problem(self.flags.0, &self.files.cert, error),
            rustls::Error::General(text) => {
                let text = format!("{text}: {KEY_KINDS}");
                problem(self.flags.1, &self.files.key, text)
            }
            other => problem(self.flags.1, &self.files.key, other),
        }
    }

    fn warn_of_dates(&self, now: i64, flags: &TlsFlags) {
        let facts = self.chain.first().map(|first| facts(first));
        let facts = facts.unwrap_or_default();
        let (file, flag) = (self.files.cert.display(), self.flags.0);
        if let Some(ends) = facts.ends.filter(|ends| ends.unix_timestamp() < now) {
            tracing::warn!(
                %file,
                ended = %ends.date(),
                "the certificate of --{flag} has expired: {} will not accept it",
                flags.verifiers,
            );
        }
        if let Some(begins) = facts.begins.filter(|begins| begins.unix_timestamp() > now) {
            tracing::warn!(
                %file,
                begins = %begins,
                "the certificate of --{flag} is not valid yet: {} will not accept it until then",
                flags.verifiers,
            );
        }
    }

    /// Warns if no suite of TLS 1.2 that the operator chose works with the key.
    fn warn_of_suites(&self, settings: &TlsSettings, provider: &CryptoProvider) {
        let is_offered = settings.min_version == TlsVersion::Tls12;
        let key = provider.key_provider.load_private_key(self.key.clone_key());
        let Ok(key) = key.map(|key| key.algorithm()) else {
            return;
        };
        let suites = provider.cipher_suites.iter();
        let mut suites = suites.filter(|suite| suite.version() == &TLS12);
        if is_offered && !suites.any(|suite| suite.usable_for_signature_algorithm(key)) {
            tracing::warn!(
                "no suite of --cipher-suites works with the key of --{}, which is {key:?}: nobody \
                 can connect to it with TLS 1.2",
                self.flags.1,
            );
        }
    }
}

/// The keys that ring can use.
const KEY_KINDS: &str = "give a key of RSA with 2048 to 4096 bits, of ECDSA on P-256 or P-384, or \
                         of Ed25519";
