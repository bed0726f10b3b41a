//! TLS of a client's connections.
//!
//! The files are read again for every new connection, so a renewed certificate is used without a
//! restart. Files that cannot be used, for example a certificate whose key is not written yet,
//! leave the former ones in use. Connections that are open keep the certificate they began with.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::TlsConnector;
use tower::BoxError;

use crate::Error;
use crate::endpoint::Target;
use crate::stream::Stream;

/// The protocol that a server must agree to: gRPC is HTTP/2.
const HTTP2: &[u8] = b"h2";

/// The files of a client that uses TLS, all in PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    trusted: PathBuf,
    /// A certificate and its key.
    own: Option<(PathBuf, PathBuf)>,
    server_name: Option<String>,
}

impl TlsFiles {
    /// Trusts servers whose certificate is signed by a CA in this file, and presents no
    /// certificate.
    pub fn trusting(ca_file: impl Into<PathBuf>) -> Self {
        Self {
            trusted: ca_file.into(),
            own: None,
            server_name: None,
        }
    }

    /// Presents a certificate to servers that ask for one.
    #[must_use]
    pub fn presenting(
        mut self,
        cert_file: impl Into<PathBuf>,
        key_file: impl Into<PathBuf>,
    ) -> Self {
        self.own = Some((cert_file.into(), key_file.into()));
        self
    }

    /// Expects the servers' certificates to be for this name instead of the endpoint's host.
    #[must_use]
    pub fn expecting(mut self, server_name: impl Into<String>) -> Self {
        self.server_name = Some(server_name.into());
        self
    }

    /// Reads the files.
    ///
    /// # Errors
    /// [`Error::Tls`], which names the file and what is wrong with it.
    pub fn read(&self) -> Result<ClientConfig, Error> {
        self.contents()?.config(self)
    }

    fn contents(&self) -> Result<Contents, Error> {
        let own = match &self.own {
            Some((cert, key)) => Some((read(cert)?, read(key)?)),
            None => None,
        };
        Ok(Contents {
            trusted: read(&self.trusted)?,
            own,
        })
    }
}

/// The contents of the files.
#[derive(PartialEq)]
struct Contents {
    trusted: Vec<u8>,
    own: Option<(Vec<u8>, Vec<u8>)>,
}

impl Contents {
    fn config(&self, files: &TlsFiles) -> Result<ClientConfig, Error> {
        let trusted = &files.trusted;
        let mut roots = RootCertStore::empty();
        for certificate in certificates(trusted, &self.trusted)? {
            let added = roots.add(certificate);
            added.map_err(|error| problem(trusted, error))?;
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| problem(trusted, error))?
            .with_root_certificates(roots);
        let mut config = match (&files.own, &self.own) {
            (Some((cert_file, key_file)), Some((cert, key))) => {
                let chain = certificates(cert_file, cert)?;
                let key = PrivateKeyDer::from_pem_slice(key);
                let key = key.map_err(|error| problem(key_file, error))?;
                let config = builder.with_client_auth_cert(chain, key);
                // The certificate and the key may not belong together.
                config.map_err(|error| problem(key_file, error))?
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![HTTP2.to_vec()];
        Ok(config)
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Error> {
    fs::read(file).map_err(|error| problem(file, error))
}

fn certificates(file: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| problem(file, error))?;
    match found.as_slice() {
        [] => Err(problem(file, "it has no certificate in PEM")),
        [..] => Ok(found),
    }
}

fn problem(file: &Path, problem: impl ToString) -> Error {
    Error::Tls {
        file: file.to_owned(),
        problem: problem.to_string(),
    }
}

/// The TLS settings of a client's connections.
#[derive(Default)]
pub(crate) struct Security(Option<Tls>);

struct Tls {
    files: TlsFiles,
    current: Mutex<(Contents, Arc<ClientConfig>)>,
}

impl Security {
    pub(crate) fn open(files: TlsFiles) -> Result<Self, Error> {
        let contents = files.contents()?;
        let config = Arc::new(contents.config(&files)?);
        Ok(Self(Some(Tls {
            files,
            current: Mutex::new((contents, config)),
        })))
    }

    /// True if `https://` can be used.
    pub(crate) fn is_configured(&self) -> bool {
        self.0.is_some()
    }

    /// Checks that a certificate can be for the host of an endpoint.
    pub(crate) fn check(&self, target: &Target) -> Result<(), Error> {
        match &self.0 {
            Some(tls) if target.is_secure => tls.server_name(target).map(drop),
            _ => Ok(()),
        }
    }

    /// Shakes hands on a new connection. Reads the files.
    pub(crate) async fn secure(
        self: &Arc<Self>,
        target: &Target,
        stream: Box<dyn Stream>,
    ) -> Result<Box<dyn Stream>, BoxError> {
        let tls = self.0.as_ref().ok_or("TLS is not configured")?;
        let name = tls.server_name(target)?;
        let security = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || security.0.as_ref().map(Tls::config));
        let config = read.await?.ok_or("TLS is not configured")?;
        let stream = TlsConnector::from(config).connect(name, stream).await?;
        Ok(Box::new(stream))
    }
}

impl Tls {
    fn server_name(&self, target: &Target) -> Result<ServerName<'static>, Error> {
        let name = self.files.server_name.as_deref();
        let name = name.unwrap_or_else(|| target.host());
        ServerName::try_from(name.to_owned()).map_err(|_| {
            Error::Endpoint(format!(
                "{name:?} is a host, or a server name, that no certificate can have"
            ))
        })
    }

    /// Returns the configuration of a new connection. Reads the files, and so may block.
    fn config(&self) -> Arc<ClientConfig> {
        let contents = self.files.contents();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        // A new configuration has no sessions to resume, so one that is still right is kept.
        if let Ok(contents) = contents
            && contents != current.0
            && let Ok(config) = contents.config(&self.files)
        {
            *current = (contents, Arc::new(config));
        }
        Arc::clone(&current.1)
    }
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Security")
            .field(&self.is_configured())
            .finish()
    }
}
