//! TLS: rustls with ring, and certificates that can be renewed while the member runs.
//!
//! [`Tls`] holds one configuration for accepted connections and one for dialled ones. Both are made
//! from files ([`files`]), and a thread checks the files every second ([`watch`]): when one has
//! changed, it reads all of them again. If that fails, as it does for a moment while a certificate
//! is already new and its key is not, the previous configuration stays, with a warning. So to renew
//! a certificate, an operator copies two files. Open connections are not affected.
//!
//! One implementation serves both sets of flags ([`settings`]): `--peer-cert-file` and its siblings
//! for connections between members, `--cert-file` and its siblings for clients.
//!
//! # Which connections are accepted
//!
//! Between members, with a trusted CA, both ends present a certificate. It must be signed by that
//! CA, be within its dates and not be revoked; with an allowed common name or host name it must
//! have that name as well ([`verify`]). The end that dials checks that the certificate is valid for
//! the host of the URL. The end that accepts checks that the certificate names the address that the
//! connection comes from ([`address`]), unless the certificate has no names or the operator
//! disabled this check: etcd's rule.
//!
//! With a self-signed certificate ([`self_signed`]) and no CA, a member accepts any certificate.
//! The connection is encrypted, but not authenticated.
//!
//! Clients present a certificate if there is a trusted CA, and the same is checked, except for the
//! address. Without a CA any client may connect, and only the client checks a certificate.
//!
//! Sessions are not resumed. A resumed session skips the check of the certificate, which may have
//! expired or been revoked meanwhile, and handshakes are rare: connections live long.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::watched::Watched;
use conclave_core::clock::{Clock, SystemClock};

mod address;
mod chain;
mod files;
mod read;
mod self_signed;
mod settings;
#[cfg(test)]
pub(crate) mod tests;
mod verify;
mod x509;

use files::{Files, Made};

pub(crate) use settings::cipher_suites;
pub use settings::{TlsFiles, TlsFlags, TlsIdentity, TlsSettings, TlsVersion};

/// The protocols that the accepting end offers inside TLS. A client takes HTTP/2 if it can choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// HTTP/2 and HTTP/1.1.
    Both,
    /// Only HTTP/1.1.
    Http1,
}

/// A file that cannot be used, with the flag that names it.
#[derive(Debug, thiserror::Error)]
#[error("--{flag} is {}: {problem}", file.display())]
pub struct TlsError {
    /// The flag, without dashes.
    pub flag: &'static str,
    /// The file.
    pub file: PathBuf,
    /// The problem with the file.
    pub problem: String,
}

/// The current certificates of one set of flags.
#[derive(Debug)]
pub struct Tls {
    settings: TlsSettings,
    watched: Watched<Made>,
}

/// The state of one set of certificates, for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    /// The kind of connections: "peers".
    pub(crate) users: &'static str,
    /// When the first certificate of each file in use expires, in seconds since 1970, by the flag.
    pub(crate) ends: Vec<(&'static str, i64)>,
    /// Whether the files have changed and cannot be used.
    pub(crate) has_failed: bool,
}

impl Tls {
    /// Reads the files, or makes a certificate below `data_dir` if that is configured. A
    /// certificate that only its dates make invalid causes a warning instead of an error: the clock
    /// may be wrong. Blocks until the files have been read, for at most ten seconds.
    pub fn open(settings: TlsSettings, data_dir: &Path) -> Result<Tls, TlsError> {
        let now = SystemClock::new().wall_ms().div_euclid(1_000);
        let identity = match &settings.identity {
            TlsIdentity::Files(files) => files.clone(),
            TlsIdentity::SelfSigned {
                validity_years,
                hosts,
            } => self_signed::provide(settings.flags, data_dir, (*validity_years, hosts), now)?,
        };
        let mut files = Files::new(settings.clone(), identity.clone());
        let what = format!("the certificates for {}", settings.flags.users);
        let watched = Watched::start(what, move |must_read| files.check(must_read));
        let watched = watched.map_err(|failed| {
            failed.into_error(|problem| TlsError {
                flag: settings.flags.cert_file,
                file: identity.cert.clone(),
                problem: format!(
                    "it, its key, the CA or the list of revoked certificates {problem}"
                ),
            })
        })?;
        Ok(Tls { settings, watched })
    }

    /// Begins TLS on a connection that this member made to `host`.
    pub(crate) async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> io::Result<client::TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let (_, config) = self.current();
        TlsConnector::from(config).connect(name, stream).await
    }

    /// Begins TLS on an accepted connection, and checks the certificate of the other end. A
    /// connection without a remote address, such as one over a Unix socket, comes from this
    /// machine, so only its address is not checked.
    pub(crate) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        remote: Option<SocketAddr>,
        offer: Offer,
    ) -> io::Result<server::TlsStream<S>> {
        let (mut config, _) = self.current();
        if offer == Offer::Http1 {
            // The copy shares the certificate and the verifier.
            Arc::make_mut(&mut config).alpn_protocols = vec![files::HTTP1.to_vec()];
        }
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let shown = stream.get_ref().1.peer_certificates();
        if let (Some(certificate), Some(remote)) = (shown.and_then(<[_]>::first), remote)
            && !self.settings.skip_client_san_verification
        {
            address::check(certificate, remote.ip(), self.settings.flags).await?;
        }
        Ok(stream)
    }

    /// Returns the configurations for accepted and for dialled connections.
    fn current(&self) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
        let (made, _) = self.watched.latest();
        (Arc::clone(&made.server), Arc::clone(&made.client))
    }

    /// Returns true if a client that sends no token is the user in its certificate's common name.
    pub(crate) fn certificates_name_users(&self) -> bool {
        self.settings.certificates_name_users
    }

    /// Returns the state of the certificates.
    pub(crate) fn condition(&self) -> Condition {
        let (made, has_failed) = self.watched.latest();
        Condition {
            users: self.settings.flags.users,
            ends: made.ends.clone(),
            has_failed,
        }
    }

    /// Reads the files again soon, whether they have changed or not.
    pub(crate) fn reload(&self) {
        self.watched.read_again();
    }
}

/// Describes a failed handshake for the operator.
pub(crate) fn reason(failed: &io::Error) -> String {
    let cause = failed.get_ref().and_then(|cause| cause.downcast_ref());
    match cause {
        Some(rustls::Error::InvalidCertificate(error)) => {
            match of_ours(error).or_else(|| of_time(error).map(str::to_owned)) {
                // rustls adds the present time, which would make the text different each second.
                Some(text) => format!("invalid peer certificate: {text}"),
                None => failed.to_string(),
            }
        }
        Some(rustls::Error::InvalidMessage(_)) => "the other side does not speak TLS: is one URL \
             http:// where the other is https://?"
            .to_owned(),
        _ => failed.to_string(),
    }
}

/// The text of a refusal that is not rustls'.
fn of_ours(error: &rustls::CertificateError) -> Option<String> {
    match error {
        rustls::CertificateError::Other(other) => {
            let refused = other.0.downcast_ref::<verify::Refused>();
            refused.map(ToString::to_string)
        }
        _ => None,
    }
}

fn of_time(error: &rustls::CertificateError) -> Option<&'static str> {
    use rustls::CertificateError as Bad;
    match error {
        Bad::Expired | Bad::ExpiredContext { .. } => Some("certificate expired"),
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => Some("certificate not valid yet"),
        Bad::ExpiredRevocationList | Bad::ExpiredRevocationListContext { .. } => {
            Some("certificate revocation list expired")
        }
        _ => None,
    }
}

/// Returns the common name of a certificate's subject.
pub(super) fn common_name(certificate: &[u8]) -> Option<String> {
    x509::facts(certificate).common_name
}
