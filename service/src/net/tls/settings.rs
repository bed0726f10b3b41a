//! TLS settings, and the flags they come from.
//!
//! etcd has one set of flags for members (`--peer-cert-file`) and one for clients (`--cert-file`).
//! Both sets become [`TlsSettings`]; [`TlsFlags`] has the names, so that an error names the flag
//! that the operator wrote.

use std::path::PathBuf;

use rustls::CipherSuite;
use rustls::crypto::ring::ALL_CIPHER_SUITES;

/// TLS for connections of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// The flags that these settings come from.
    pub flags: &'static TlsFlags,
    /// The certificate presented to others.
    pub identity: TlsIdentity,
    /// The certificate presented on connections that this member dials, if it differs.
    pub client_identity: Option<TlsFiles>,
    /// The CA that must have signed the certificates of others; `None` accepts every certificate.
    pub trusted_ca_file: Option<PathBuf>,
    /// The list of revoked certificates.
    pub crl_file: Option<PathBuf>,
    /// A client that sends no token is the user in its certificate's common name.
    pub certificates_name_users: bool,
    /// The common names that certificates of others may have; empty for any.
    pub allowed_cns: Vec<String>,
    /// The host names for one of which the certificates of others must be valid; empty for any.
    pub allowed_hostnames: Vec<String>,
    /// Accepts a connection from an address that its certificate does not name.
    pub skip_client_san_verification: bool,
    /// The oldest accepted version.
    pub min_version: TlsVersion,
    /// The newest accepted version.
    pub max_version: TlsVersion,
    /// The suites offered with TLS 1.2; empty for all. TLS 1.3 offers all of its suites.
    pub cipher_suites: Vec<CipherSuite>,
}

/// The names of one set of flags, without dashes, and the words for its users in log lines.
///
/// A table and not a prefix, because etcd's names are not regular: `--peer-crl-file` is to
/// `--client-crl-file` as `--peer-cert-file` is to `--cert-file`.
#[derive(Debug, PartialEq, Eq)]
pub struct TlsFlags {
    /// The kind of connections, in log lines: "peers".
    pub users: &'static str,
    /// The verifiers of the certificate, in log lines: "other members".
    pub verifiers: &'static str,
    /// The folder of a self-signed certificate, in the data directory.
    pub dir: &'static str,
    /// The flag of [`TlsSettings::identity`], with the next two.
    pub cert_file: &'static str,
    /// The flag of its key.
    pub key_file: &'static str,
    /// The flag that selects a self-signed certificate instead.
    pub auto_tls: &'static str,
    /// The flag of [`TlsSettings::client_identity`], with the next one.
    pub client_cert_file: &'static str,
    /// The flag of its key.
    pub client_key_file: &'static str,
    /// The flag that requires a certificate on each connection.
    pub client_cert_auth: &'static str,
    /// The flag of [`TlsSettings::trusted_ca_file`].
    pub trusted_ca_file: &'static str,
    /// The flag of [`TlsSettings::crl_file`].
    pub crl_file: &'static str,
    /// The flag of [`TlsSettings::allowed_cns`]; `None` if this set has none.
    pub allowed_cn: Option<&'static str>,
    /// The flag of [`TlsSettings::allowed_hostnames`].
    pub allowed_hostname: &'static str,
    /// The flag of [`TlsSettings::skip_client_san_verification`]; `None` if this set has none.
    pub skip_client_san_verification: Option<&'static str>,
}

/// The origin of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsIdentity {
    /// A CA issued it.
    Files(TlsFiles),
    /// The member makes it. It encrypts, but does not authenticate.
    SelfSigned {
        /// How long it is valid.
        validity_years: u16,
        /// The hosts that it is valid for, besides `localhost`.
        hosts: Vec<String>,
    },
}

/// A certificate chain and its key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, the member's own certificate first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Names of the cipher suites that can be offered, as Go and IANA write them.
pub(crate) fn cipher_suites() -> impl Iterator<Item = (String, CipherSuite)> {
    ALL_CIPHER_SUITES.iter().map(|suite| {
        let suite = suite.suite();
        // rustls writes the version into the names of TLS 1.3.
        let name = format!("{suite:?}").replace("TLS13_", "TLS_");
        (name, suite)
    })
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}
