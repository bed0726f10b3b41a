//! TLS and authentication of servers that are started here, the same for all.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use conclave_client::{TlsFiles, User};
use rand::distr::{Alphanumeric, SampleString as _};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SanType,
};
use rustls::ProtocolVersion;
use rustls_pki_types::ServerName;

use crate::args::SecurityArgs;
use crate::target::{Access, Tls};
use crate::wire::Failure;

/// Length of root's password. It is used once, and nobody needs to know it.
const PASSWORD_LETTERS: usize = 24;

/// How the servers are protected.
pub(crate) struct Security {
    files: Option<Files>,
    has_auth: bool,
}

/// A certificate for servers, their peers and the generator, its key, and the CA that signed it.
struct Files {
    ca: PathBuf,
    cert: PathBuf,
    key: PathBuf,
}

impl Security {
    /// Makes what the arguments ask for; certificates are in `directory`.
    pub(crate) fn make(args: &SecurityArgs, directory: &Path) -> Result<Security, Failure> {
        let files = args.tls.then(|| Files::make(directory)).transpose();
        Ok(Security {
            files: files.map_err(|error| Failure(format!("certificates: {error}")))?,
            has_auth: args.auth,
        })
    }

    /// The scheme of all URLs.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.files.is_some() {
            "https"
        } else {
            "http"
        }
    }

    /// The servers' flags. Clients and peers must show a certificate.
    pub(crate) fn flags(&self) -> Vec<String> {
        let Some(Files { ca, cert, key }) = &self.files else {
            return Vec::new();
        };
        let mut flags = Vec::new();
        for peers in ["", "peer-"] {
            flags.extend([
                format!("--{peers}cert-file={}", cert.display()),
                format!("--{peers}key-file={}", key.display()),
                format!("--{peers}trusted-ca-file={}", ca.display()),
                format!("--{peers}client-cert-auth=true"),
            ]);
        }
        flags
    }

    /// What clients need before authentication is enabled.
    pub(crate) fn access(&self) -> Result<Access, Failure> {
        let Some(Files { ca, cert, key }) = &self.files else {
            return Ok(Access::default());
        };
        let files = TlsFiles::trusting(ca).presenting(cert, key);
        let config = files.read().map_err(|error| Failure(error.to_string()))?;
        let tls = Tls {
            config: Arc::new(config),
            server_name: ServerName::from(std::net::IpAddr::from([127, 0, 0, 1])),
            version: Some(ProtocolVersion::TLSv1_3),
        };
        Ok(Access {
            tls: Some(tls),
            login: None,
        })
    }

    /// The user to enable authentication with, if it is to be enabled.
    pub(crate) fn root(&self) -> Option<User> {
        self.has_auth.then(|| User {
            name: "root".to_owned(),
            password: Alphanumeric.sample_string(&mut rand::rng(), PASSWORD_LETTERS),
        })
    }
}

impl Files {
    fn make(directory: &Path) -> Result<Files, Box<dyn std::error::Error>> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let name = "conclave-bench";
        params.distinguished_name.push(DnType::CommonName, name);
        let ca_key = KeyPair::generate()?;
        let ca = params.self_signed(&ca_key)?;
        let issuer = Issuer::new(params, ca_key);
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::IpAddress([127, 0, 0, 1].into())];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &issuer)?;
        let files = Files {
            ca: directory.join("ca.pem"),
            cert: directory.join("cert.pem"),
            key: directory.join("key.pem"),
        };
        std::fs::write(&files.ca, ca.pem())?;
        std::fs::write(&files.cert, cert.pem())?;
        std::fs::write(&files.key, key.serialize_pem())?;
        Ok(files)
    }
}
