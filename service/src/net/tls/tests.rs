//! Unusable files, changing files, and certificates for the tests of the network.

use std::fs::{self, File};
use std::process::Command;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationList,
    CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod,
    KeyPair, RevokedCertParams, date_time_ymd,
};
use tempfile::TempDir;

use conclave_core::clock::Stopwatch;

use super::files::Files;
use super::*;

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

    /// The file of a list with one revoked certificate.
    pub(crate) fn revoke(&self, serial: u64) -> PathBuf {
        let path = self.dir.path().join("crl.der");
        fs::write(&path, self.list(&[serial]).der()).expect("written");
        path
    }

    fn list(&self, serials: &[u64]) -> CertificateRevocationList {
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2100, 1, 1),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(|&serial| revoked(serial)).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).expect("signed")
    }

    pub(crate) fn settings(&self, files: TlsFiles) -> TlsSettings {
        TlsSettings {
            flags: &FLAGS,
            identity: TlsIdentity::Files(files),
            client_identity: None,
            trusted_ca_file: Some(self.dir.path().join("ca.pem")),
            crl_file: None,
            certificates_name_users: false,
            allowed_cns: Vec::new(),
            allowed_hostnames: Vec::new(),
            skip_client_san_verification: false,
            min_version: TlsVersion::Tls12,
            max_version: TlsVersion::Tls13,
            cipher_suites: Vec::new(),
        }
    }
}

fn revoked(serial: u64) -> RevokedCertParams {
    RevokedCertParams {
        serial_number: serial.into(),
        revocation_time: date_time_ymd(2024, 1, 1),
        reason_code: None,
        invalidity_date: None,
    }
}

pub(crate) fn open(settings: TlsSettings) -> Result<Arc<Tls>, TlsError> {
    Tls::open(settings, Path::new("/nonexistent")).map(Arc::new)
}

/// A key on P-521, which ring does not support.
const STRANGE_KEY: &str = "-----BEGIN PRIVATE KEY-----
MIHuAgEAMBAGByqGSM49AgEGBSuBBAAjBIHWMIHTAgEBBEIAi/f0jsW2Fi20ZgJV
Y0pme8EDiFvbG2iUiTonQ0Z5QUHx0YLLO5qJ3rXyfYjGLc4dBrZiiTqJgXlzuFVv
P/0i4TGhgYkDgYYABAEddCf/KPFCfuAXfxljeTAUyJMwtDq0IK9Bw+pfPOWjs89y
eQ2zJp+kRW9y16jpov5O4LCo9NYcqKECV28R0pdGAwHkFJiIc6cS+pwt9LaYWw1U
1McOfyD4qToORVmMCofgmkfPhkjVtppzNRA9qlcvhxAkZRPQocy/c5vUUpIMa/Rc
bA==
-----END PRIVATE KEY-----
";

/// Puts a path into the settings.
type Place = fn(&mut TlsSettings, PathBuf);

/// Makes the file at a path unusable.
type Spoil<'a> = Box<dyn Fn(&Path) + 'a>;

/// The error of a file in the place of a good one. `put` makes the file at this path.
fn problem_with(ca: &Authority, place: Place, put: impl FnOnce(&Path)) -> String {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("file");
    put(&file);
    let mut settings = ca.settings(ca.issue("one", |_| {}));
    assert!(open(settings.clone()).is_ok());
    place(&mut settings, file);
    open(settings).expect_err("it cannot be used").to_string()
}

fn cert(settings: &mut TlsSettings, file: PathBuf) {
    if let TlsIdentity::Files(files) = &mut settings.identity {
        files.cert = file;
    }
}

fn key(settings: &mut TlsSettings, file: PathBuf) {
    if let TlsIdentity::Files(files) = &mut settings.identity {
        files.key = file;
    }
}

fn ca_file(settings: &mut TlsSettings, file: PathBuf) {
    settings.trusted_ca_file = Some(file);
}

fn list_file(settings: &mut TlsSettings, file: PathBuf) {
    settings.crl_file = Some(file);
}

#[track_caller]
fn expect_problem(text: &str, flag: &str, part: &str) {
    let start = format!("--test-{flag} is ");
    assert!(text.starts_with(&start) && text.contains(part), "{text}");
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_flag() {
    let ca = Authority::new();
    let other = ca.issue("other", |_| {});
    let end = ca.issue("an end", |_| {});
    let text = |text: &'static str| move |file: &Path| fs::write(file, text).expect("written");
    let copy = |of: &Path| {
        let of = of.to_owned();
        move |file: &Path| {
            fs::copy(of, file).expect("copied");
        }
    };
    let nothing = |_: &Path| {};
    let found = problem_with(&ca, cert, nothing);
    expect_problem(&found, "cert-file", "(os error 2)");
    let found = problem_with(&ca, cert, text("no certificate"));
    expect_problem(&found, "cert-file", "it has no certificate in PEM");
    let found = problem_with(&ca, ca_file, text("no certificate"));
    expect_problem(&found, "trusted-ca-file", "it has no certificate in PEM");
    let found = problem_with(&ca, ca_file, copy(&end.cert));
    expect_problem(&found, "trusted-ca-file", "\"an end\" in it is not of a CA");
    let found = problem_with(&ca, key, text("no key"));
    expect_problem(&found, "key-file", "it has no private key in PEM");
    let found = problem_with(&ca, key, copy(&other.key));
    expect_problem(&found, "key-file", "one.cert.pem");
    let found = problem_with(&ca, key, text(STRANGE_KEY));
    expect_problem(&found, "key-file", "ECDSA on P-256 or P-384");
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n\
                     -----END ENCRYPTED PRIVATE KEY-----\n";
    let found = problem_with(&ca, key, text(encrypted));
    expect_problem(&found, "key-file", "it is encrypted");
    let encrypted = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
                     DEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let found = problem_with(&ca, key, text(encrypted));
    expect_problem(&found, "key-file", "it is encrypted");
}

/// A pipe would hang, and a device may have no end.
#[test]
fn only_regular_files_of_a_bounded_size_are_read() {
    let ca = Authority::new();
    let pipe = |file: &Path| {
        let made = Command::new("mkfifo").arg(file).status().expect("it runs");
        assert!(made.success());
    };
    let zeros = |file: &Path| std::os::unix::fs::symlink("/dev/zero", file).expect("made");
    let folder = |file: &Path| fs::create_dir(file).expect("made");
    let large = |file: &Path| {
        let file = File::create(file).expect("made");
        file.set_len((16 << 20) + 1).expect("there is room");
    };
    let places: [(Place, &str); 4] = [
        (cert, "cert-file"),
        (key, "key-file"),
        (ca_file, "trusted-ca-file"),
        (list_file, "crl-file"),
    ];
    for (place, flag) in places {
        expect_problem(&problem_with(&ca, place, pipe), flag, "it is a pipe");
        expect_problem(&problem_with(&ca, place, zeros), flag, "it is a device");
        expect_problem(&problem_with(&ca, place, folder), flag, "it is a directory");
        expect_problem(&problem_with(&ca, place, large), flag, "more than 16 MiB");
    }
}

/// A file without a list would revoke nothing, and nobody would know.
#[test]
fn a_file_for_lists_has_lists_and_nothing_else() {
    let ca = Authority::new();
    let list = ca.list(&[66]).pem().expect("text");
    let other = ca.issue("other", |_| {});
    let [certificate, key] = [&other.cert, &other.key].map(|file| {
        let text = fs::read_to_string(file);
        text.expect("there")
    });
    let mislabelled = list.replace("X509 CRL", "CRL");
    for (text, part) in [
        (String::new(), "it is empty"),
        ("no list".to_owned(), "cannot be used"),
        (mislabelled.clone(), "of its 1 parts in PEM, 0 are lists"),
        (certificate.clone(), "of its 1 parts in PEM, 0 are lists"),
        (key, "of its 1 parts in PEM, 0 are lists"),
        (
            format!("{list}{mislabelled}"),
            "of its 2 parts in PEM, 1 are lists",
        ),
        (
            format!("{certificate}{list}"),
            "of its 2 parts in PEM, 1 are lists",
        ),
        (
            list[..list.len() / 2].to_owned(),
            "it is not PEM: the line \"-----END X509 CRL-----\" is missing",
        ),
    ] {
        let put = |file: &Path| fs::write(file, &text).expect("written");
        expect_problem(&problem_with(&ca, list_file, put), "crl-file", part);
    }
    let der = ca.list(&[66]).der().to_vec();
    let put = |file: &Path| fs::write(file, &der[..der.len() / 2]).expect("written");
    expect_problem(
        &problem_with(&ca, list_file, put),
        "crl-file",
        "cannot be used",
    );
    // A list of nothing is a list, and text before it is no harm.
    let empty = ca.list(&[]).pem().expect("text");
    let mut settings = ca.settings(other);
    for text in [
        empty.clone(),
        format!("Certificate Revocation List\n{empty}"),
    ] {
        let file = ca.dir.path().join("good lists");
        fs::write(&file, text).expect("written");
        settings.crl_file = Some(file);
        open(settings.clone()).expect("it can be used");
    }
}

#[test]
fn a_byte_order_mark_does_no_harm() {
    let ca = Authority::new();
    let files = ca.issue("one", |_| {});
    for file in [&files.cert, &files.key] {
        let text = fs::read(file).expect("there");
        fs::write(file, [&b"\xef\xbb\xbf"[..], &text].concat()).expect("written");
    }
    open(ca.settings(files)).expect("it can be used");
}

#[track_caller]
fn eventually(is_so: impl Fn() -> bool) {
    let waiting = Stopwatch::start();
    while !is_so() {
        assert!(waiting.elapsed() < Duration::from_secs(60));
        std::thread::yield_now();
    }
}

/// No connection is made meanwhile.
#[test]
fn files_that_change_are_read_again_and_bad_ones_are_not_taken() {
    let ca = Authority::new();
    let files = ca.issue("one", |_| {});
    let tls = open(ca.settings(files.clone())).expect("good files");
    let (first, _) = tls.current();
    assert!(!tls.condition().has_failed);
    // The certificate is already new, the key is not yet.
    let renewed = ca.issue("renewed", |_| {});
    fs::copy(&renewed.cert, &files.cert).expect("copied");
    eventually(|| tls.condition().has_failed);
    assert!(Arc::ptr_eq(&first, &tls.current().0));
    fs::copy(&renewed.key, &files.key).expect("copied");
    eventually(|| !tls.condition().has_failed);
    assert!(!Arc::ptr_eq(&first, &tls.current().0));
}

/// Some tools set all modification times alike.
#[test]
fn a_change_is_noticed_that_keeps_size_and_modification_time() {
    let ca = Authority::new();
    let one = ca.issue("one", |_| {});
    let mut files = Files::new(ca.settings(one.clone()), one.clone());
    let read = |files: &mut Files| files.check(false).map(|made| made.is_ok());
    assert_eq!(read(&mut files), Some(true));
    assert_eq!(read(&mut files), None);
    let text = fs::read(&one.cert).expect("there");
    let modified = |path: &Path| path.metadata().and_then(|of| of.modified());
    let time = modified(&one.cert).expect("a time");
    let write = |path: &Path, byte: u8| {
        fs::write(path, vec![byte; text.len()]).expect("written");
        let file = File::options().write(true).open(path).expect("there");
        file.set_modified(time).expect("set");
    };
    // Another file is moved to its place.
    let beside = one.cert.with_extension("new");
    write(&beside, b'a');
    fs::rename(&beside, &one.cert).expect("moved");
    assert_eq!(modified(&one.cert).expect("a time"), time);
    assert_eq!(read(&mut files), Some(false));
    assert_eq!(read(&mut files), None);
    // It is overwritten, perhaps several times within a tick of the file system's clock.
    let waiting = Stopwatch::start();
    while read(&mut files).is_none() {
        assert!(waiting.elapsed() < Duration::from_secs(60));
        write(&one.cert, b'b');
    }
}

#[test]
fn a_certificate_of_ones_own_is_made_once_and_again_if_a_part_is_unusable() {
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
    let file = |name: &str| dir.path().join("tls/test").join(name);
    let (cert, key) = (file("cert.pem"), file("key.pem"));
    let start = || {
        Tls::open(settings.clone(), dir.path()).expect("made or found");
        fs::read(&cert).expect("there")
    };
    let mut last = start();
    assert_eq!(start(), last);
    let other = KeyPair::generate().expect("a key").serialize_pem();
    let half = &fs::read_to_string(&key).expect("there")[..100];
    let spoil: [(&str, Spoil<'_>); 5] = [
        (
            "gone",
            Box::new(|path| fs::remove_file(path).expect("gone")),
        ),
        (
            "empty",
            Box::new(|path| fs::write(path, "").expect("written")),
        ),
        (
            "half",
            Box::new(|path| fs::write(path, half).expect("written")),
        ),
        (
            "strange",
            Box::new(|path| fs::write(path, &other).expect("written")),
        ),
        (
            "a pipe",
            Box::new(|path| {
                fs::remove_file(path).expect("gone");
                let made = Command::new("mkfifo").arg(path).status();
                assert!(made.expect("it runs").success());
            }),
        ),
    ];
    for (what, spoil) in spoil {
        for path in [&cert, &key] {
            spoil(path);
            let made = start();
            assert_ne!(made, last, "{what}");
            assert_eq!(start(), made, "{what}");
            last = made;
        }
    }
}
