//! Unusable files, changing files, and certificates for the tests of the network.

use std::fs::File;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, RevokedCertParams, date_time_ymd,
};
use tempfile::TempDir;

use super::*;
use conclave_core::clock::SystemClock;

/// Flag names that no member has, to check that texts use the names in the settings.
const FLAGS: TlsFlags = TlsFlags {
    users: "tests",
    verifiers: "other tests",
    dir: "test",
    cert_file: "test-cert-file",
    key_file: "test-key-file",
    auto_tls: "test-auto-tls",
    client_cert_file: "test-client-cert-file",
    client_key_file: "test-client-key-file",
    client_cert_auth: "test-client-cert-auth",
    trusted_ca_file: "test-trusted-ca-file",
    crl_file: "test-crl-file",
    allowed_cn: Some("test-allowed-cn"),
    allowed_hostname: "test-allowed-hostname",
    skip_client_san_verification: Some("test-skip-client-san-verification"),
};

/// A CA with its own folder.
pub(crate) struct Authority {
    dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // An issuer is identified by its name.
        let name = format!("authority {:x}", rand::random::<u64>());
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("signed");
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("ca.pem"), certificate.pem()).expect("written");
        Authority {
            dir,
            issuer: Issuer::new(params, key),
        }
    }

    /// Issues a certificate for localhost, from 127.0.0.1, with changes by the test.
    pub(crate) fn issue(&self, name: &str, shape: impl FnOnce(&mut CertificateParams)) -> TlsFiles {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        shape(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        let path = |kind: &str| self.dir.path().join(format!("{name}.{kind}.pem"));
        let files = TlsFiles {
            cert: path("cert"),
            key: path("key"),
        };
        fs::write(&files.cert, certificate.pem()).expect("written");
        fs::write(&files.key, key.serialize_pem()).expect("written");
        files
    }

    /// A list with one revoked certificate.
    pub(crate) fn revoke(&self, serial: u64) -> PathBuf {
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2100, 1, 1),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: serial.into(),
                revocation_time: date_time_ymd(2024, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).expect("signed");
        let path = self.dir.path().join("crl.der");
        fs::write(&path, list.der()).expect("written");
        path
    }

    pub(crate) fn settings(&self, files: TlsFiles) -> TlsSettings {
        TlsSettings {
            flags: &FLAGS,
            identity: TlsIdentity::Files(files),
            client_identity: None,
            trusted_ca_file: Some(self.dir.path().join("ca.pem")),
            crl_file: None,
            allowed_cns: Vec::new(),
            allowed_hostnames: Vec::new(),
            skip_client_san_verification: false,
            min_version: TlsVersion::Tls12,
            max_version: TlsVersion::Tls13,
            cipher_suites: Vec::new(),
        }
    }
}

pub(crate) fn open(settings: TlsSettings) -> Result<Arc<Tls>, TlsError> {
    let nowhere = Path::new("/nonexistent");
    Tls::open(settings, nowhere, &SystemClock::new()).map(Arc::new)
}

/// Advances a file's modification time: two writes may share a tick of the clock.
pub(crate) fn touch(path: &Path) {
    let file = File::options().write(true).open(path).expect("it exists");
    let modified = file.metadata().and_then(|m| m.modified()).expect("a time");
    file.set_modified(modified + Duration::from_secs(10))
        .expect("set");
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_flag() {
    let ca = Authority::new();
    let (one, other) = (ca.issue("one", |_| {}), ca.issue("other", |_| {}));
    let good = ca.settings(one.clone());
    assert!(open(good.clone()).is_ok());
    let gone = one.cert.with_extension("gone");
    let text = one.cert.with_extension("text");
    fs::write(&text, "no certificate").expect("written");
    let files = |cert: &Path, key: &Path| {
        let (cert, key) = (cert.to_owned(), key.to_owned());
        TlsIdentity::Files(TlsFiles { cert, key })
    };
    for (identity, ca_file, start, end) in [
        (
            files(&gone, &one.key),
            None,
            "--test-cert-file is ",
            "(os error 2)",
        ),
        (
            files(&text, &one.key),
            None,
            "--test-cert-file is ",
            "it has no certificate in PEM",
        ),
        (
            files(&one.cert, &text),
            None,
            "--test-key-file is ",
            "it has no private key in PEM",
        ),
        (
            files(&one.cert, &other.key),
            None,
            "--test-key-file is ",
            "one.cert.pem",
        ),
        (
            files(&one.cert, &one.key),
            Some(text.clone()),
            "--test-trusted-ca-file is ",
            "it has no certificate in PEM",
        ),
    ] {
        let settings = TlsSettings {
            identity,
            trusted_ca_file: ca_file.or_else(|| good.trusted_ca_file.clone()),
            ..good.clone()
        };
        let text = open(settings).expect_err("it cannot be used").to_string();
        assert!(text.starts_with(start) && text.ends_with(end), "{text}");
    }
}

#[test]
fn files_that_change_are_read_again_and_bad_ones_are_not_taken() {
    let ca = Authority::new();
    let files = ca.issue("one", |_| {});
    let tls = open(ca.settings(files.clone())).expect("good files");
    let (first, _) = tls.current();
    assert!(Arc::ptr_eq(&first, &tls.current().0));
    // The certificate is already new, the key is not yet.
    let renewed = ca.issue("renewed", |_| {});
    fs::copy(&renewed.cert, &files.cert).expect("copied");
    touch(&files.cert);
    assert!(Arc::ptr_eq(&first, &tls.current().0));
    fs::copy(&renewed.key, &files.key).expect("copied");
    touch(&files.key);
    assert!(!Arc::ptr_eq(&first, &tls.current().0));
}

#[test]
fn a_certificate_of_ones_own_is_made_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let settings = TlsSettings {
        identity: TlsIdentity::SelfSigned {
            validity_years: 2,
            hosts: vec!["10.0.0.1".to_owned()],
        },
        trusted_ca_file: None,
        ..Authority::new().settings(TlsFiles {
            cert: PathBuf::new(),
            key: PathBuf::new(),
        })
    };
    let clock = SystemClock::new();
    let first = Tls::open(settings.clone(), dir.path(), &clock).expect("made");
    let certificate = fs::read(&first.identity.cert).expect("there");
    let second = Tls::open(settings.clone(), dir.path(), &clock).expect("found");
    assert_eq!(certificate, fs::read(&second.identity.cert).expect("there"));
    fs::remove_file(&first.identity.key).expect("there");
    Tls::open(settings, dir.path(), &clock).expect("a new certificate");
    assert_ne!(certificate, fs::read(&first.identity.cert).expect("there"));
}
