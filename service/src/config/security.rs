//! Step two, the TLS flags: files that belong together, and URLs that need certificates.
//!
//! No file is read here. Files are checked when they are opened ([`crate::net::tls`]), with errors
//! that have the name of the flag.
//!
//! etcd has one set of these flags for members and one for clients. [`TlsArguments`] holds the
//! values of one set, and [`check_tls`] checks them.

use std::path::PathBuf;

use rustls::CipherSuite;

use super::addresses::Urls;
use super::raw::SecurityFlags;
use super::url::MemberUrl;
use super::{ConfigError, Notice};
use crate::net::tls::{TlsFiles, TlsFlags, TlsIdentity, TlsSettings, TlsVersion, cipher_suites};

/// Upper bound of a self-signed certificate's validity in years: the lifetime of a machine. It also
/// bounds the arithmetic.
const VALIDITY_YEARS_MAX: u16 = 100;

/// Names of the flags for connections between members.
static PEER_FLAGS: TlsFlags = TlsFlags {
    users: "peers",
    verifiers: "other members",
    dir: "peer",
    cert_file: "peer-cert-file",
    key_file: "peer-key-file",
    auto_tls: "peer-auto-tls",
    client_cert_file: "peer-client-cert-file",
    client_key_file: "peer-client-key-file",
    client_cert_auth: "peer-client-cert-auth",
    trusted_ca_file: "peer-trusted-ca-file",
    crl_file: "peer-crl-file",
    allowed_cn: Some("peer-cert-allowed-cn"),
    allowed_hostname: "peer-cert-allowed-hostname",
    skip_client_san_verification: Some("peer-skip-client-san-verification"),
};

/// Names of the flags for clients.
static CLIENT_FLAGS: TlsFlags = TlsFlags {
    users: "clients",
    verifiers: "clients",
    dir: "client",
    cert_file: "cert-file",
    key_file: "key-file",
    auto_tls: "auto-tls",
    client_cert_file: "client-cert-file",
    client_key_file: "client-key-file",
    client_cert_auth: "client-cert-auth",
    trusted_ca_file: "trusted-ca-file",
    crl_file: "client-crl-file",
    allowed_cn: None,
    allowed_hostname: "client-cert-allowed-hostname",
    skip_client_san_verification: None,
};

/// The values of one set of flags. An empty text is the same as a flag that is not given.
struct TlsArguments<'a> {
    flags: &'static TlsFlags,
    /// Name of the flag with the URLs to listen on.
    listen_urls: &'static str,
    /// Whether both ends must present a certificate of the CA: members do, and clients may connect
    /// without one if no CA is given.
    is_mutual: bool,
    cert_file: Option<&'a str>,
    key_file: Option<&'a str>,
    auto_tls: bool,
    client_cert_file: Option<&'a str>,
    client_key_file: Option<&'a str>,
    client_cert_auth: bool,
    trusted_ca_file: Option<&'a str>,
    crl_file: Option<&'a str>,
    allowed_cn: &'a str,
    allowed_hostname: &'a str,
    skip_client_san_verification: bool,
}

impl TlsArguments<'_> {
    /// Returns the values of the flags for members.
    fn of_peers(flags: &SecurityFlags) -> TlsArguments<'_> {
        TlsArguments {
            flags: &PEER_FLAGS,
            listen_urls: "listen-peer-urls",
            is_mutual: true,
            cert_file: flags.peer_cert_file.as_deref(),
            key_file: flags.peer_key_file.as_deref(),
            auto_tls: flags.peer_auto_tls,
            client_cert_file: flags.peer_client_cert_file.as_deref(),
            client_key_file: flags.peer_client_key_file.as_deref(),
            client_cert_auth: flags.peer_client_cert_auth,
            trusted_ca_file: flags.peer_trusted_ca_file.as_deref(),
            crl_file: flags.peer_crl_file.as_deref(),
            allowed_cn: &flags.peer_cert_allowed_cn,
            allowed_hostname: &flags.peer_cert_allowed_hostname,
            skip_client_san_verification: flags.peer_skip_client_san_verification,
        }
    }

    /// Returns the values of the flags for clients. As in etcd, clients may come from any address,
    /// whatever their certificates name.
    fn of_clients(flags: &SecurityFlags) -> TlsArguments<'_> {
        TlsArguments {
            flags: &CLIENT_FLAGS,
            listen_urls: "listen-client-urls",
            is_mutual: false,
            cert_file: flags.cert_file.as_deref(),
            key_file: flags.key_file.as_deref(),
            auto_tls: flags.auto_tls,
            client_cert_file: flags.client_cert_file.as_deref(),
            client_key_file: flags.client_key_file.as_deref(),
            client_cert_auth: flags.client_cert_auth,
            trusted_ca_file: flags.trusted_ca_file.as_deref(),
            crl_file: flags.client_crl_file.as_deref(),
            allowed_cn: "",
            allowed_hostname: &flags.client_cert_allowed_hostname,
            skip_client_san_verification: true,
        }
    }

    /// Returns the first given flag that requires others to authenticate.
    fn asks_for_proof(&self) -> Option<&'static str> {
        let given = |text: Option<&str>| text.is_some_and(|text| !text.is_empty());
        [
            (self.flags.client_cert_auth, self.client_cert_auth),
            (self.flags.trusted_ca_file, given(self.trusted_ca_file)),
            (
                self.flags.client_cert_file,
                self.is_mutual && given(self.client_cert_file),
            ),
            (self.flags.crl_file, given(self.crl_file)),
            (
                self.flags.allowed_cn.unwrap_or_default(),
                !self.allowed_cn.is_empty(),
            ),
            (
                self.flags.allowed_hostname,
                !self.allowed_hostname.is_empty(),
            ),
        ]
        .into_iter()
        .find_map(|(flag, is_given)| is_given.then_some(flag))
    }
}

/// Settings that both sets of flags share.
struct Common {
    min_version: TlsVersion,
    max_version: TlsVersion,
    cipher_suites: Vec<CipherSuite>,
    /// Validity of a self-signed certificate.
    validity_years: u16,
}

/// Returns the TLS settings for members and for clients, where a flag asks for TLS. `peer_urls` are
/// the URLs at which members are dialled.
pub(super) fn check_security(
    flags: &SecurityFlags,
    urls: &Urls,
    peer_urls: &[&[MemberUrl]],
    notices: &mut Vec<Notice>,
) -> Result<[Option<TlsSettings>; 2], ConfigError> {
    let (min_version, max_version) = check_versions(flags)?;
    let common = Common {
        min_version,
        max_version,
        cipher_suites: check_cipher_suites(&flags.cipher_suites, min_version, max_version)?,
        validity_years: check_validity(&flags.self_signed_cert_validity)?,
    };
    let peers = check_tls(&TlsArguments::of_peers(flags), &common, peer_urls, notices)?;
    if peers.is_some() && !urls.listen_peer.iter().any(MemberUrl::is_tls) {
        let text = "TLS between members is configured and no URL of --listen-peer-urls begins \
                    with https://: other members connect to this one without TLS";
        notices.push(Notice::warning(text.to_owned()));
    }
    // Advertised URLs need no certificate: something in front of this member may have it.
    let client_urls = [&*urls.listen_client, &*urls.listen_metrics];
    let arguments = TlsArguments::of_clients(flags);
    let mut clients = check_tls(&arguments, &common, &client_urls, notices)?;
    if let Some(tls) = &mut clients {
        name_hosts(tls, urls);
        warn_of_plain_clients(&client_urls, &urls.listen_client, notices);
    }
    Ok([peers, clients])
}

/// Makes a self-signed certificate valid for the hosts that clients connect to, as in etcd, so that
/// a client can be given the certificate to trust.
fn name_hosts(tls: &mut TlsSettings, urls: &Urls) {
    let TlsIdentity::SelfSigned { hosts, .. } = &mut tls.identity else {
        return;
    };
    let client_urls = urls.listen_client.iter().chain(&urls.advertise_client);
    for url in client_urls.filter(|url| url.is_tls() && !url.is_unspecified()) {
        let host = url.host().to_owned();
        if !host.is_empty() && host != "localhost" && !hosts.contains(&host) {
            hosts.push(host);
        }
    }
}

/// Warns if TLS for clients is configured and some clients connect without it.
fn warn_of_plain_clients(
    client_urls: &[&[MemberUrl]],
    listen_client: &[MemberUrl],
    notices: &mut Vec<Notice>,
) {
    if !client_urls.iter().copied().flatten().any(MemberUrl::is_tls) {
        let text = "TLS for clients is configured and no URL of --listen-client-urls begins with \
                    https://: clients connect without TLS";
        return notices.push(Notice::warning(text.to_owned()));
    }
    let is_open = |url: &&MemberUrl| !url.is_tls() && !url.is_loopback();
    let open = listen_client.iter().filter(is_open);
    let open: Vec<&str> = open.map(MemberUrl::as_str).collect();
    if !open.is_empty() {
        let text = format!(
            "TLS for clients is configured and --listen-client-urls has {}: anyone who can \
             connect there needs no certificate",
            open.join(", ")
        );
        notices.push(Notice::warning(text));
    }
}

/// Returns the settings of one set of flags, if a flag asks for TLS.
fn check_tls(
    arguments: &TlsArguments<'_>,
    common: &Common,
    urls: &[&[MemberUrl]],
    notices: &mut Vec<Notice>,
) -> Result<Option<TlsSettings>, ConfigError> {
    let flags = arguments.flags;
    let files = pair(
        (flags.cert_file, arguments.cert_file),
        (flags.key_file, arguments.key_file),
    )?;
    let client_identity = pair(
        (flags.client_cert_file, arguments.client_cert_file),
        (flags.client_key_file, arguments.client_key_file),
    )?;
    let https = urls.iter().copied().flatten().find(|url| url.is_tls());
    let (cert, key, auto) = (flags.cert_file, flags.key_file, flags.auto_tls);
    let identity = match (files, arguments.auto_tls) {
        (Some(files), is_auto) => {
            if is_auto {
                notices.push(Notice::warning(format!(
                    "--{auto} is ignored: --{cert} is given"
                )));
            }
            TlsIdentity::Files(files)
        }
        (None, true) => TlsIdentity::SelfSigned {
            validity_years: common.validity_years,
            hosts: Vec::new(),
        },
        (None, false) => {
            return match https {
                Some(url) => {
                    let files = match arguments.is_mutual {
                        true => format!("--{cert}, --{key} and --{}", flags.trusted_ca_file),
                        false => format!("--{cert} and --{key}"),
                    };
                    let scheme = match url.socket_path() {
                        Some(_) => "unixs://",
                        None => "https://",
                    };
                    conflict(format!(
                        "{url} begins with {scheme} and there is no certificate: give {files}, or \
                         --{auto}"
                    ))
                }
                None => without_certificate(arguments).map(|()| None),
            };
        }
    };
    let trusted_ca_file = file(arguments.trusted_ca_file);
    check_trust(arguments, &identity, trusted_ca_file.is_some())?;
    Ok(Some(TlsSettings {
        flags,
        identity,
        client_identity,
        trusted_ca_file,
        crl_file: file(arguments.crl_file),
        // As in etcd, a CA alone makes no users: its certificates may be for encryption only.
        certificates_name_users: arguments.client_cert_auth,
        allowed_cns: list(arguments.allowed_cn),
        allowed_hostnames: list(arguments.allowed_hostname),
        skip_client_san_verification: arguments.skip_client_san_verification,
        min_version: common.min_version,
        max_version: common.max_version,
        cipher_suites: common.cipher_suites.clone(),
    }))
}

/// Checks that others can be authenticated if the operator asks for it.
fn check_trust(
    arguments: &TlsArguments<'_>,
    identity: &TlsIdentity,
    has_ca: bool,
) -> Result<(), ConfigError> {
    let flags = arguments.flags;
    let (cert, key, ca) = (flags.cert_file, flags.key_file, flags.trusted_ca_file);
    match (identity, arguments.asks_for_proof()) {
        // If the system's authorities were trusted instead, anyone with a public certificate could
        // join.
        (TlsIdentity::Files(_), _) if !has_ca && arguments.is_mutual => conflict(format!(
            "--{cert} is given and --{ca} is not: give the CA that signs the members' certificates"
        )),
        // Likewise, where etcd accepts the clients of any public authority.
        (TlsIdentity::Files(_), Some(flag)) if !has_ca => conflict(format!(
            "--{flag} is given and --{ca} is not: give the CA that signs the clients' certificates"
        )),
        (TlsIdentity::SelfSigned { .. }, Some(flag)) => conflict(format!(
            "--{flag} is given and --{} makes certificates that {} cannot check: give --{cert} and \
             --{key} instead",
            flags.auto_tls, flags.verifiers
        )),
        (TlsIdentity::Files(_) | TlsIdentity::SelfSigned { .. }, _) => {
            if arguments.allowed_cn.is_empty() || arguments.allowed_hostname.is_empty() {
                return Ok(());
            }
            conflict(format!(
                "--{} and --{} are given: remove one of them",
                flags.allowed_cn.unwrap_or_default(),
                flags.allowed_hostname,
            ))
        }
    }
}

/// Refuses flags that require authentication without a certificate, since there is no TLS then.
fn without_certificate(arguments: &TlsArguments<'_>) -> Result<(), ConfigError> {
    let flags = arguments.flags;
    match arguments.asks_for_proof() {
        None => Ok(()),
        Some(flag) => conflict(format!(
            "--{flag} is given and --{cert} is not: give --{cert} and --{key}, and https:// URLs \
             to --{urls}",
            cert = flags.cert_file,
            key = flags.key_file,
            urls = arguments.listen_urls,
        )),
    }
}

/// Returns the files of a certificate and its key. Either both flags are given or none.
fn pair(
    (cert_flag, cert): (&str, Option<&str>),
    (key_flag, key): (&str, Option<&str>),
) -> Result<Option<TlsFiles>, ConfigError> {
    let missing = |given: &str, missing: &str| {
        conflict(format!(
            "--{given} is given and --{missing} is not: give both"
        ))
    };
    match (file(cert), file(key)) {
        (Some(cert), Some(key)) => Ok(Some(TlsFiles { cert, key })),
        (None, None) => Ok(None),
        (Some(_), None) => missing(cert_flag, key_flag),
        (None, Some(_)) => missing(key_flag, cert_flag),
    }
}

/// Returns a path; an empty text is the same as none.
pub(super) fn file(text: Option<&str>) -> Option<PathBuf> {
    text.filter(|text| !text.is_empty()).map(PathBuf::from)
}

/// Splits a text at its commas.
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

/// Returns the chosen suites; none for all.
fn check_cipher_suites(
    text: &str,
    min: TlsVersion,
    max: TlsVersion,
) -> Result<Vec<CipherSuite>, ConfigError> {
    let mut chosen = Vec::new();
    for name in list(text) {
        // Go accepts the names of these two suites without their hash as well.
        let with_hash = format!("{name}_SHA256");
        let is_it = |of: &str| of == name || (of.contains("CHACHA20") && of == with_hash);
        let Some((_, suite)) = cipher_suites().find(|(of, _)| is_it(of)) else {
            let names: Vec<String> = cipher_suites().map(|(name, _)| name).collect();
            let reason = format!("{name} is not available: choose from {}", names.join(", "));
            return Err(ConfigError::invalid("cipher-suites", text, reason));
        };
        chosen.push(suite);
    }
    if chosen.is_empty() {
        return Ok(chosen);
    }
    if min == TlsVersion::Tls13 {
        return conflict(
            "--cipher-suites is given and --tls-min-version is TLS1.3, whose suites cannot be \
             chosen: remove --cipher-suites"
                .to_owned(),
        );
    }
    let is_old = |suite: &CipherSuite| !format!("{suite:?}").starts_with("TLS13_");
    if max == TlsVersion::Tls12 && !chosen.iter().any(is_old) {
        return conflict(
            "--tls-max-version is TLS1.2 and no suite of --cipher-suites is for it: add one"
                .to_owned(),
        );
    }
    Ok(chosen)
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
