//! TLS between members: rustls with ring, and certificates that can be renewed under way.
//!
//! [`Tls`] holds one configuration for connections that come in and one for those that go out. Both
//! are made of files, and the files are looked at before each connection: when one has changed, all
//! are read again ([`files`]). If that fails, which it does for a moment while a certificate is
//! already new and its key is not, the former configuration stays, with a warning. So a renewal is
//! two copies and nothing else. Connections that stand are not touched.
//!
//! # Who is let in
//!
//! A member shows its certificate in both directions. The other side must have one signed by
//! `--peer-trusted-ca-file` that has begun, has not ended and is not revoked; with an allowed
//! common name or host name it must have that as well ([`verify`]). Who dials checks that the
//! certificate is valid for the host of the URL. Who is dialled checks that the certificate names
//! the address the connection comes from ([`address`]), unless it names none at all, or
//! `--peer-skip-client-san-verification` is given: etcd's rule.
//!
//! With `--peer-auto-tls` a member makes a certificate for itself and believes any other: what is
//! said cannot be overheard, and anybody can say it.
//!
//! No session is resumed: resumption skips the certificate, which may have ended or been revoked
//! meanwhile, and connections between members are few.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::config::{PeerTls, TlsFiles, TlsIdentity};
use conclave_core::clock::{Clock, SystemClock};

mod address;
mod files;
mod self_signed;
#[cfg(test)]
pub(crate) mod tests;
mod verify;
mod x509;

/// What cannot be used, as the operator knows it.
#[derive(Debug, thiserror::Error)]
#[error("--{flag} is {}: {problem}", file.display())]
pub struct TlsError {
    /// The flag that names the file, without dashes.
    pub flag: &'static str,
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

/// See the module.
#[derive(Debug)]
pub struct Tls {
    config: PeerTls,
    identity: TlsFiles,
    loaded: Mutex<Loaded>,
}

/// The configurations, and the state of the files they were made of.
#[derive(Debug)]
struct Loaded {
    stamps: Vec<Stamp>,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

/// What changes when a file does. `None` for a file that is not there.
type Stamp = Option<(SystemTime, u64)>;

impl Tls {
    /// Reads the files, or makes a certificate below `data_dir` if that is configured. What will
    /// fail later for the date alone is only warned of: the clock may be what is wrong.
    pub fn open(config: PeerTls, data_dir: &Path, clock: &dyn Clock) -> Result<Tls, TlsError> {
        let now = clock.wall_ms().div_euclid(1_000);
        let identity = match &config.identity {
            TlsIdentity::Files(files) => files.clone(),
            TlsIdentity::SelfSigned { validity_years } => {
                self_signed::provide(data_dir, *validity_years, now)?
            }
        };
        let stamps = stamps(&config, &identity);
        let (server, client) = files::load(&config, &identity, now)?;
        Ok(Tls {
            config,
            identity,
            loaded: Mutex::new(Loaded {
                stamps,
                server,
                client,
            }),
        })
    }

    /// Begins TLS on a connection this member made to `host`.
    pub(crate) async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> io::Result<client::TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let (_, config) = self.current();
        TlsConnector::from(config).connect(name, stream).await
    }

    /// Begins TLS on a connection another member made, and checks who it is.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
        remote: SocketAddr,
    ) -> io::Result<server::TlsStream<TcpStream>> {
        let (config, _) = self.current();
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let shown = stream.get_ref().1.peer_certificates();
        if let Some(certificate) = shown.and_then(<[_]>::first)
            && !self.config.skip_client_san_verification
        {
            address::check(certificate, remote.ip()).await?;
        }
        Ok(stream)
    }

    /// The configurations, read anew if their files have changed.
    fn current(&self) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = stamps(&self.config, &self.identity);
        if stamps != loaded.stamps {
            // Kept even if the files cannot be used, so that this is said once for each change.
            loaded.stamps = stamps;
            let now = SystemClock::new().wall_ms().div_euclid(1_000);
            match files::load(&self.config, &self.identity, now) {
                Ok((server, client)) => {
                    tracing::info!("the certificates for peers have changed and were read again");
                    (loaded.server, loaded.client) = (server, client);
                }
                Err(error) => {
                    let error = error.to_string();
                    tracing::warn!(
                        error,
                        "the certificates for peers have changed and cannot be used: the former \
                         ones stay"
                    );
                }
            }
        }
        (Arc::clone(&loaded.server), Arc::clone(&loaded.client))
    }
}

/// What went wrong in a handshake, for the operator.
pub(crate) fn reason(failed: &io::Error) -> String {
    let cause = failed.get_ref().and_then(|cause| cause.downcast_ref());
    match cause {
        Some(rustls::Error::InvalidCertificate(error)) => match of_time(error) {
            // rustls adds the present time, which makes another text each second.
            Some(text) => format!("invalid peer certificate: {text}"),
            None => failed.to_string(),
        },
        Some(rustls::Error::InvalidMessage(_)) => "the other side does not speak TLS: is one URL \
             http:// where the other is https://?"
            .to_owned(),
        _ => failed.to_string(),
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

/// The state of every file, in a fixed order.
fn stamps(config: &PeerTls, identity: &TlsFiles) -> Vec<Stamp> {
    let client = config.client_identity.iter();
    let others = [&config.trusted_ca_file, &config.crl_file];
    std::iter::once(identity)
        .chain(client)
        .flat_map(|files| [&files.cert, &files.key])
        .chain(others.into_iter().flatten())
        .map(|path| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        })
        .collect()
}
