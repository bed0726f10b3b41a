//! What of TLS is configured, and by which flags.
//!
//! etcd has one set of flags for members (`--peer-cert-file`) and one for clients (`--cert-file`).
//! Both sets become [`TlsSettings`]; [`TlsFlags`] has the names, so that an error names the flag
//! that the operator wrote.

use std::path::PathBuf;

/// TLS for connections of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// The flags that these settings come from.
    pub flags: &'static TlsFlags,
    /// The certificate shown to others.
    pub identity: TlsIdentity,
    /// The certificate shown on connections that this member dials, if it is another one.
    pub client_identity: Option<TlsFiles>,
    /// The CA that must have signed the certificates of others; `None` admits everybody.
    pub trusted_ca_file: Option<PathBuf>,
    /// The list of certificates that are revoked.
    pub crl_file: Option<PathBuf>,
    /// The common names that certificates of others may have; empty for any.
    pub allowed_cns: Vec<String>,
    /// Host names one of which the certificates of others must be valid for; empty for any.
    pub allowed_hostnames: Vec<String>,
    /// Whether a connection may come from an address that its certificate does not name.
    pub skip_client_san_verification: bool,
    /// The oldest version spoken.
    pub min_version: TlsVersion,
    /// The newest version spoken.
    pub max_version: TlsVersion,
}

/// The names of one set of flags, without dashes, and the words for its users in log lines.
///
/// A table and not a prefix, because etcd's names are not regular: `--peer-crl-file` is to
/// `--client-crl-file` as `--peer-cert-file` is to `--cert-file`.
#[derive(Debug, PartialEq, Eq)]
pub struct TlsFlags {
    /// The kind of connections, in log lines: "peers".
    pub users: &'static str,
    /// Those who check the certificate, in log lines: "other members".
    pub verifiers: &'static str,
    /// The folder of a self-signed certificate, in the data directory.
    pub dir: &'static str,
    /// Names [`TlsSettings::identity`], with the next two.
    pub cert_file: &'static str,
    /// Its key.
    pub key_file: &'static str,
    /// Asks for a self-signed certificate instead.
    pub auto_tls: &'static str,
    /// Names [`TlsSettings::client_identity`], with the next one.
    pub client_cert_file: &'static str,
    /// Its key.
    pub client_key_file: &'static str,
    /// Asks for a certificate on each connection.
    pub client_cert_auth: &'static str,
    /// Names [`TlsSettings::trusted_ca_file`].
    pub trusted_ca_file: &'static str,
    /// Names [`TlsSettings::crl_file`].
    pub crl_file: &'static str,
    /// Names [`TlsSettings::allowed_cns`].
    pub allowed_cn: &'static str,
    /// Names [`TlsSettings::allowed_hostnames`].
    pub allowed_hostname: &'static str,
    /// Sets [`TlsSettings::skip_client_san_verification`].
    pub skip_client_san_verification: &'static str,
}

/// The origin of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsIdentity {
    /// A CA issued it.
    Files(TlsFiles),
    /// The member makes it. It encrypts and proves nothing.
    SelfSigned {
        /// How long it is valid.
        validity_years: u16,
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

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}
