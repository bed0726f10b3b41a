//! The certificate that a member makes for itself: `--auto-tls` and `--peer-auto-tls`.
//!
//! It is kept in the data directory, so that it is the same after a restart, and clients can be
//! given a copy to trust. When it has expired, or one of its two files cannot be used, the next
//! start makes a new one: no member checks the dates, but clients that trust a copy do, and tools
//! that display the certificate.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};
use rustls::crypto::ring;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use time::OffsetDateTime;

use super::read::read;
use super::x509::facts;
use super::{TlsError, TlsFiles, TlsFlags};

/// Returns the files of the certificate; makes them if they are missing or have expired by `now`.
pub(super) fn provide(
    flags: &TlsFlags,
    data_dir: &Path,
    (validity_years, hosts): (u16, &[String]),
    now: i64,
) -> Result<TlsFiles, TlsError> {
    let dir = data_dir.join("tls").join(flags.dir);
    let files = TlsFiles {
        cert: dir.join("cert.pem"),
        key: dir.join("key.pem"),
    };
    if !is_good(flags.auto_tls, &files, now) {
        let folder = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir);
        let made = folder.and_then(|()| make(&files, (validity_years, hosts), now));
        made.map_err(|error| TlsError {
            flag: flags.auto_tls,
            file: dir,
            problem: format!("cannot make a certificate: {error}"),
        })?;
        tracing::info!(cert = %files.cert.display(), "made a certificate for {}", flags.users);
    }
    Ok(files)
}

/// Whether both files are whole and belong together: a member that stopped while it made them may
/// have left a part.
fn is_good(flag: &'static str, files: &TlsFiles, now: i64) -> bool {
    let (cert, key) = (read(flag, &files.cert), read(flag, &files.key));
    let certificate = cert
        .ok()
        .and_then(|text| CertificateDer::from_pem_slice(&text).ok());
    let key = key
        .ok()
        .and_then(|text| PrivateKeyDer::from_pem_slice(&text).ok());
    let (Some(certificate), Some(key)) = (certificate, key) else {
        return false;
    };
    let ends = facts(&certificate).ends;
    let is_valid = ends.is_some_and(|ends| ends.unix_timestamp() > now);
    is_valid && CertifiedKey::from_der(vec![certificate], key, &ring::default_provider()).is_ok()
}

fn make(files: &TlsFiles, (validity_years, hosts): (u16, &[String]), now: i64) -> io::Result<()> {
    let mut names = vec!["localhost".to_owned()];
    names.extend_from_slice(hosts);
    let mut params = CertificateParams::new(names).map_err(io::Error::other)?;
    params
        .distinguished_name
        .push(DnType::OrganizationName, "conclave");
    let now = OffsetDateTime::from_unix_timestamp(now).map_err(io::Error::other)?;
    let (year, month) = (now.year(), u8::from(now.month()));
    // Rounded to the first of the month, which exists in every year; members' clocks may differ by
    // some days.
    params.not_before = date_time_ymd(year, month, 1);
    let (end_year, end_month) = match month {
        12 => (year + i32::from(validity_years) + 1, 1),
        _ => (year + i32::from(validity_years), month + 1),
    };
    params.not_after = date_time_ymd(end_year, end_month, 1);
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let certificate = params.self_signed(&key).map_err(io::Error::other)?;
    write(&files.key, &key.serialize_pem(), 0o600)?;
    write(&files.cert, &certificate.pem(), 0o644)
}

/// Writes a file beside the former one and puts it in its place, so that it is whole, whatever the
/// former one is.
fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let beside = path.with_extension("new");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)
}
