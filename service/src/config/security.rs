//! Step two, what concerns TLS between members: files that belong together, URLs that need them.
//!
//! Nothing is read here: whether the files hold what they should is found out when they are opened
//! ([`crate::tls`]), in words that name the flag.

use std::path::PathBuf;

use super::raw::SecurityFlags;
use super::url::MemberUrl;
use super::{ConfigError, Notice, NoticeLevel};

/// Years a self-signed certificate may be valid: a lifetime of the machine, and a bound on the
/// arithmetic.
const VALIDITY_YEARS_MAX: u16 = 100;

/// TLS between members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerTls {
    /// What this member shows to others.
    pub identity: TlsIdentity,
    /// What it shows to those it dials, if that is something else.
    pub client_identity: Option<TlsFiles>,
    /// Who must have signed what others show. Always there unless the identity is self-signed.
    pub trusted_ca_file: Option<PathBuf>,
    /// Which of their certificates are revoked.
    pub crl_file: Option<PathBuf>,
    /// The common names others may have; empty for any.
    pub allowed_cns: Vec<String>,
    /// The names others' certificates must be valid for, one of them; empty for any.
    pub allowed_hostnames: Vec<String>,
    /// Whether a member that dials may come from an address its certificate does not name.
    pub skip_client_san_verification: bool,
    /// The oldest version spoken.
    pub min_version: TlsVersion,
    /// The newest version spoken.
    pub max_version: TlsVersion,
}

/// What a member shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsIdentity {
    /// What somebody issued.
    Files(TlsFiles),
    /// What the member makes itself. Encrypts, and proves nothing.
    SelfSigned {
        /// How long it is valid.
        validity_years: u16,
    },
}

/// A certificate chain and its key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The member's own certificate first.
    pub cert: PathBuf,
    /// Its private key.
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

/// TLS between members, if any of the flags ask for it; `urls` are those members are reached at.
pub(super) fn check_peer_tls(
    flags: &SecurityFlags,
    listen: &[MemberUrl],
    urls: &[&[MemberUrl]],
    notices: &mut Vec<Notice>,
) -> Result<Option<PeerTls>, ConfigError> {
    let (min_version, max_version) = check_versions(flags)?;
    let validity_years = check_validity(&flags.self_signed_cert_validity)?;
    let files = pair(flags, &PEER_CERT)?;
    let client_identity = pair(flags, &PEER_CLIENT_CERT)?;
    let https = urls.iter().copied().flatten().find(|url| url.is_tls());
    let identity = match (files, flags.peer_auto_tls) {
        (Some(files), is_auto) => {
            if is_auto {
                warn(
                    notices,
                    "--peer-auto-tls is ignored: --peer-cert-file is given",
                );
            }
            TlsIdentity::Files(files)
        }
        (None, true) => TlsIdentity::SelfSigned { validity_years },
        (None, false) => {
            return match https {
                Some(url) => conflict(format!(
                    "{url} begins with https:// and there is no certificate: give \
                     --peer-cert-file, --peer-key-file and --peer-trusted-ca-file, or \
                     --peer-auto-tls"
                )),
                None => without_certificate(flags),
            };
        }
    };
    let trusted_ca_file = file(flags.peer_trusted_ca_file.as_deref());
    check_trust(flags, &identity, trusted_ca_file.is_some())?;
    if !listen.iter().any(MemberUrl::is_tls) {
        let text = "TLS between members is configured and no URL of --listen-peer-urls begins \
                    with https://: others connect to this member without it";
        warn(notices, text);
    }
    Ok(Some(PeerTls {
        identity,
        client_identity,
        trusted_ca_file,
        crl_file: file(flags.peer_crl_file.as_deref()),
        allowed_cns: list(&flags.peer_cert_allowed_cn),
        allowed_hostnames: list(&flags.peer_cert_allowed_hostname),
        skip_client_san_verification: flags.peer_skip_client_san_verification,
        min_version,
        max_version,
    }))
}

/// What there must be to tell members from others.
fn check_trust(
    flags: &SecurityFlags,
    identity: &TlsIdentity,
    has_ca: bool,
) -> Result<(), ConfigError> {
    match identity {
        // Trusting every authority the system trusts would let anybody with a certificate in.
        TlsIdentity::Files(_) if !has_ca => conflict(
            "--peer-cert-file is given and --peer-trusted-ca-file is not: give the CA that signs \
             the members' certificates"
                .to_owned(),
        ),
        TlsIdentity::SelfSigned { .. } if asks_for_proof(flags).is_some() => {
            let flag = asks_for_proof(flags).unwrap_or_default();
            conflict(format!(
                "--{flag} is given and --peer-auto-tls makes certificates nobody can check: give \
                 --peer-cert-file and --peer-key-file instead"
            ))
        }
        TlsIdentity::Files(_) | TlsIdentity::SelfSigned { .. } => {
            let (cn, hostname) = (
                &flags.peer_cert_allowed_cn,
                &flags.peer_cert_allowed_hostname,
            );
            if cn.is_empty() || hostname.is_empty() {
                return Ok(());
            }
            conflict(
                "--peer-cert-allowed-cn and --peer-cert-allowed-hostname are given: remove one of \
                 them"
                    .to_owned(),
            )
        }
    }
}

/// Without a certificate nothing that asks for one may be passed over.
fn without_certificate(flags: &SecurityFlags) -> Result<Option<PeerTls>, ConfigError> {
    match asks_for_proof(flags) {
        None => Ok(None),
        Some(flag) => conflict(format!(
            "--{flag} is given and --peer-cert-file is not: give --peer-cert-file and \
             --peer-key-file, and https:// URLs to --listen-peer-urls"
        )),
    }
}

/// A flag by which others must prove who they are.
fn asks_for_proof(flags: &SecurityFlags) -> Option<&'static str> {
    let given = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    [
        ("peer-client-cert-auth", flags.peer_client_cert_auth),
        ("peer-trusted-ca-file", given(&flags.peer_trusted_ca_file)),
        ("peer-client-cert-file", given(&flags.peer_client_cert_file)),
        ("peer-crl-file", given(&flags.peer_crl_file)),
        (
            "peer-cert-allowed-cn",
            !flags.peer_cert_allowed_cn.is_empty(),
        ),
        (
            "peer-cert-allowed-hostname",
            !flags.peer_cert_allowed_hostname.is_empty(),
        ),
    ]
    .into_iter()
    .find_map(|(flag, is_given)| is_given.then_some(flag))
}

/// Two flags of which one is worth nothing.
struct Pair {
    cert: &'static str,
    key: &'static str,
    values: fn(&SecurityFlags) -> (Option<&str>, Option<&str>),
}

const PEER_CERT: Pair = Pair {
    cert: "peer-cert-file",
    key: "peer-key-file",
    values: |flags| {
        (
            flags.peer_cert_file.as_deref(),
            flags.peer_key_file.as_deref(),
        )
    },
};

const PEER_CLIENT_CERT: Pair = Pair {
    cert: "peer-client-cert-file",
    key: "peer-client-key-file",
    values: |flags| {
        (
            flags.peer_client_cert_file.as_deref(),
            flags.peer_client_key_file.as_deref(),
        )
    },
};

fn pair(flags: &SecurityFlags, pair: &Pair) -> Result<Option<TlsFiles>, ConfigError> {
    let (cert, key) = (pair.values)(flags);
    let missing = |given: &str, missing: &str| {
        conflict(format!(
            "--{given} is given and --{missing} is not: give both"
        ))
    };
    match (file(cert), file(key)) {
        (Some(cert), Some(key)) => Ok(Some(TlsFiles { cert, key })),
        (None, None) => Ok(None),
        (Some(_), None) => missing(pair.cert, pair.key),
        (None, Some(_)) => missing(pair.key, pair.cert),
    }
}

/// A path; empty is the same as not given.
fn file(text: Option<&str>) -> Option<PathBuf> {
    text.filter(|text| !text.is_empty()).map(PathBuf::from)
}

/// What stands between commas.
fn list(text: &str) -> Vec<String> {
    let parts = text.split(',').map(str::trim);
    parts
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

fn check_versions(flags: &SecurityFlags) -> Result<(TlsVersion, TlsVersion), ConfigError> {
    let min = version("tls-min-version", &flags.tls_min_version)?.unwrap_or(TlsVersion::Tls12);
    let max = version("tls-max-version", &flags.tls_max_version)?.unwrap_or(TlsVersion::Tls13);
    if min > max {
        return conflict(
            "--tls-min-version is TLS1.3 and --tls-max-version TLS1.2: no version is left"
                .to_owned(),
        );
    }
    Ok((min, max))
}

fn version(flag: &'static str, text: &str) -> Result<Option<TlsVersion>, ConfigError> {
    match text {
        "" => Ok(None),
        "TLS1.2" => Ok(Some(TlsVersion::Tls12)),
        "TLS1.3" => Ok(Some(TlsVersion::Tls13)),
        _ => Err(ConfigError::invalid(flag, text, "write TLS1.2 or TLS1.3")),
    }
}

fn check_validity(text: &str) -> Result<u16, ConfigError> {
    text.parse()
        .ok()
        .filter(|years| (1..=VALIDITY_YEARS_MAX).contains(years))
        .ok_or_else(|| {
            let reason = format!("give a number of years from 1 to {VALIDITY_YEARS_MAX}");
            ConfigError::invalid("self-signed-cert-validity", text, reason)
        })
}

fn conflict<T>(text: String) -> Result<T, ConfigError> {
    Err(ConfigError::Conflict(text))
}

fn warn(notices: &mut Vec<Notice>, text: &str) {
    notices.push(Notice {
        level: NoticeLevel::Warn,
        text: text.to_owned(),
    });
}
