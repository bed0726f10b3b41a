//! Verification of certificates: their chain ([`super::chain`]), and the allowed names.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use super::TlsFlags;
use super::chain::Chain;
use super::x509::facts;

/// The names that certificates may have. At most one of the two lists has entries.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) flags: &'static TlsFlags,
    pub(super) common_names: Vec<String>,
    pub(super) hostnames: Vec<String>,
}

/// Why a certificate that is valid for webpki is refused.
#[derive(Debug)]
pub(super) struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

impl Names {
    fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        if !self.common_names.is_empty() {
            let name = facts(certificate).common_name.unwrap_or_default();
            if !self.common_names.contains(&name) {
                return Err(refused(format!(
                    "the common name {name:?} is not one of --{}",
                    self.flags.allowed_cn.unwrap_or_default()
                )));
            }
        }
        let is_valid_for = |host: &String| {
            let name = ServerName::try_from(host.as_str()).ok();
            let certificate = EndEntityCert::try_from(certificate).ok();
            name.zip(certificate).is_some_and(|(name, certificate)| {
                certificate.verify_is_valid_for_subject_name(&name).is_ok()
            })
        };
        if !self.hostnames.is_empty() && !self.hostnames.iter().any(is_valid_for) {
            return Err(refused(format!(
                "it is not valid for a name of --{}",
                self.flags.allowed_hostname
            )));
        }
        Ok(())
    }
}

/// The error of a certificate that is refused for a reason of our own.
pub(super) fn refused(text: String) -> Error {
    let other = OtherError(Arc::new(Refused(text)));
    Error::InvalidCertificate(CertificateError::Other(other))
}

/// Checks the signatures of handshakes. The two verifier traits have only these methods in common.
macro_rules! signatures_are_for_the_provider {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = &self.provider.signature_verification_algorithms;
            verify_tls12_signature(message, cert, dss, algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = &self.provider.signature_verification_algorithms;
            verify_tls13_signature(message, cert, dss, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            let algorithms = &self.provider.signature_verification_algorithms;
            algorithms.supported_schemes()
        }
    };
}

/// Verifies the certificates of others by the trusted CAs and the allowed names, on connections
/// that are accepted and on those that are dialled.
#[derive(Debug)]
pub(super) struct Trusted {
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) subjects: Vec<DistinguishedName>,
    pub(super) chain: Chain,
    pub(super) names: Names,
}

impl ClientCertVerifier for Trusted {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.subjects
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let usage = KeyUsage::client_auth();
        self.chain.verify(end_entity, intermediates, now, usage)?;
        self.names.check(end_entity)?;
        Ok(ClientCertVerified::assertion())
    }

    signatures_are_for_the_provider!();
}

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let usage = KeyUsage::server_auth();
        self.chain.verify(end_entity, intermediates, now, usage)?;
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        self.names.check(end_entity)?;
        Ok(ServerCertVerified::assertion())
    }

    signatures_are_for_the_provider!();
}

/// Verifies only that the other end has the key of the certificate it presents: for self-signed
/// certificates.
#[derive(Debug)]
pub(super) struct Anybody {
    pub(super) provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    signatures_are_for_the_provider!();
}
