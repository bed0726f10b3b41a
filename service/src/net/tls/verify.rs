//! Verification of certificates: rustls' verification of the chain, and the allowed names.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::EndEntityCert;

use super::TlsFlags;
use super::x509::facts;

/// The names that certificates may have. At most one of the two lists has entries.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) flags: &'static TlsFlags,
    pub(super) common_names: Vec<String>,
    pub(super) hostnames: Vec<String>,
}

/// A valid certificate whose names are not allowed.
#[derive(Debug)]
struct NotAllowed(String);

impl fmt::Display for NotAllowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotAllowed {}

impl Names {
    fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        if !self.common_names.is_empty() {
            let name = facts(certificate).common_name.unwrap_or_default();
            if !self.common_names.contains(&name) {
                return Err(not_allowed(format!(
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
            return Err(not_allowed(format!(
                "it is not valid for a name of --{}",
                self.flags.allowed_hostname
            )));
        }
        Ok(())
    }
}

fn not_allowed(text: String) -> Error {
    let other = OtherError(Arc::new(NotAllowed(text)));
    Error::InvalidCertificate(CertificateError::Other(other))
}

/// Delegates the signatures to the verifier of the chain. The two verifier traits have only these
/// methods in common.
macro_rules! signatures_are_for_the_chain {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.chain.verify_tls12_signature(message, cert, dss)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.chain.verify_tls13_signature(message, cert, dss)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.chain.supported_verify_schemes()
        }
    };
}

/// Verifies certificates on connections that are accepted.
#[derive(Debug)]
pub(super) struct NamedClient {
    pub(super) chain: Arc<dyn ClientCertVerifier>,
    pub(super) names: Names,
}

impl ClientCertVerifier for NamedClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .chain
            .verify_client_cert(end_entity, intermediates, now)?;
        self.names.check(end_entity)?;
        Ok(verified)
    }

    signatures_are_for_the_chain!();
}

/// Verifies certificates on connections that are dialled.
#[derive(Debug)]
pub(super) struct NamedServer {
    pub(super) chain: Arc<WebPkiServerVerifier>,
    pub(super) names: Names,
}

impl ServerCertVerifier for NamedServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.chain.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )?;
        self.names.check(end_entity)?;
        Ok(verified)
    }

    signatures_are_for_the_chain!();
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
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
