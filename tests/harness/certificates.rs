//! Certificates for members and clients, signed by authorities made for one test.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, RevokedCertParams, SanType,
    SerialNumber, date_time_ymd,
};
use tempfile::TempDir;

use crate::proxy::own_address;

/// A certificate authority with a directory of its own.
#[derive(Debug)]
pub struct Authority {
    dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

/// How long a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// Valid for longer than any test runs.
    Good,
    /// Expired years ago.
    Ended,
}

/// The files of a certificate and of the authority its owner trusts.
#[derive(Clone, Debug)]
pub struct Certificate {
    cert: PathBuf,
    key: PathBuf,
    trusted: PathBuf,
    serial: SerialNumber,
}

impl Authority {
    /// Creates an authority. The name distinguishes it from others.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("signed by itself");
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::write(dir.path().join("ca.pem"), certificate.pem()).expect("written");
        Self {
            dir,
            issuer: Issuer::new(params, key),
        }
    }

    /// Issues a certificate for a member on this machine that trusts this authority.
    pub fn issue(&self, name: &str, validity: Validity) -> Certificate {
        self.issue_as(name, name, validity)
    }

    /// Issues a certificate with any common name, in files of another name.
    pub fn issue_for(&self, file: &str, common_name: &str) -> Certificate {
        let name = format!("{file}-{}", rand::random::<u32>());
        self.issue_as(&name, common_name, Validity::Good)
    }

    fn issue_as(&self, name: &str, common_name: &str, validity: Validity) -> Certificate {
        // The addresses the member is dialled at, and its own connections come from.
        let addresses = [own_address(), Ipv4Addr::LOCALHOST.into()];
        let mut params = CertificateParams::default();
        params.subject_alt_names = addresses.map(SanType::IpAddress).into();
        let common_name = DnValue::Utf8String(common_name.to_owned());
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        // For OpenSSL, which otherwise tries one of several authorities with the same name.
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        if validity == Validity::Ended {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        }
        let serial = SerialNumber::from(rand::random::<u64>() >> 1);
        params.serial_number = Some(serial.clone());
        let key = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&key, &self.issuer).expect("signed");
        let path = |kind: &str| self.dir.path().join(format!("{name}.{kind}.pem"));
        let files = Certificate {
            cert: path("cert"),
            key: path("key"),
            trusted: self.dir.path().join("ca.pem"),
            serial,
        };
        fs::write(&files.cert, signed.pem()).expect("written");
        fs::write(&files.key, key.serialize_pem()).expect("written");
        files
    }

    /// Writes the list of revoked certificates, and returns its file.
    pub fn revoke(&self, certificates: &[&Certificate]) -> PathBuf {
        let (since, until) = (date_time_ymd(2024, 1, 1), date_time_ymd(2100, 1, 1));
        let revoked = certificates.iter().map(|certificate| RevokedCertParams {
            serial_number: certificate.serial.clone(),
            revocation_time: since,
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: since,
            next_update: until,
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).expect("signed");
        let path = self.dir.path().join("crl.pem");
        fs::write(&path, list.pem().expect("text")).expect("written");
        path
    }
}

impl Certificate {
    /// The flags of a member that uses this certificate with its peers.
    pub fn flags(&self) -> Vec<String> {
        vec![
            format!("--peer-cert-file={}", self.cert.display()),
            format!("--peer-key-file={}", self.key.display()),
            format!("--peer-trusted-ca-file={}", self.trusted.display()),
            "--peer-client-cert-auth".to_owned(),
        ]
    }

    /// The flags of a member that presents this certificate to clients and trusts its authority.
    pub fn client_flags(&self) -> Vec<String> {
        vec![
            format!("--cert-file={}", self.cert.display()),
            format!("--key-file={}", self.key.display()),
            format!("--trusted-ca-file={}", self.trusted.display()),
            "--client-cert-auth".to_owned(),
        ]
    }

    /// The file of the certificate.
    pub fn cert(&self) -> &Path {
        &self.cert
    }

    /// The file of its key.
    pub fn key(&self) -> &Path {
        &self.key
    }

    /// The file of the trusted authority.
    pub fn trusted(&self) -> &Path {
        &self.trusted
    }

    /// Overwrites the certificate and key files with `other`'s, one after the other, as an operator
    /// copies them. The trusted authority does not change.
    pub fn replace_by(&self, other: &Self) {
        fs::copy(&other.cert, &self.cert).expect("copied");
        fs::copy(&other.key, &self.key).expect("copied");
    }
}
