//! Reads the files of certificates, and recognizes changed ones.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use conclave_core::limits::TLS_FILE_BYTES_MAX;
use rustls_pki_types::pem;

use super::TlsError;
use crate::files::{self, Unreadable};

/// The mark that some editors put before UTF-8 text. A PEM reader would not see the first line.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

pub(super) fn problem(flag: &'static str, file: &Path, problem: impl ToString) -> TlsError {
    TlsError {
        flag,
        file: file.to_owned(),
        problem: problem.to_string(),
    }
}

/// Says what is wrong with a file in PEM. The library prints its lines as lists of numbers.
pub(super) fn not_pem(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { end_marker } => format!(
            "it is not PEM: the line \"-----END {}-----\" is missing; the file may be cut short",
            end_marker.escape_ascii()
        ),
        pem::Error::IllegalSectionStart { .. } => {
            "it is not PEM: a line with \"-----BEGIN\" has no \"-----\" at its end".to_owned()
        }
        other => format!("it is not PEM: {other}"),
    }
}

/// Reads a whole file, without a byte order mark.
pub(super) fn read(flag: &'static str, file: &Path) -> Result<Vec<u8>, TlsError> {
    let bytes = files::read(file, TLS_FILE_BYTES_MAX);
    let mut bytes = bytes.map_err(|unreadable| match unreadable {
        Unreadable::TooLong(most) => {
            problem(flag, file, format!("it has more than {} MiB", most >> 20))
        }
        other => problem(flag, file, other),
    })?;
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    Ok(bytes)
}

/// The state of a file; `None` for a file that is not there. A new file can have the size and the
/// modification time of the former one, as with tools that set all times alike, but not its inode
/// and the time of its last change as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp(Option<[i64; 7]>);

impl Stamp {
    pub(super) fn of(file: &Path) -> Stamp {
        Stamp(fs::metadata(file).ok().map(|found| {
            [
                found.dev().cast_signed(),
                found.ino().cast_signed(),
                found.size().cast_signed(),
                found.mtime(),
                found.mtime_nsec(),
                found.ctime(),
                found.ctime_nsec(),
            ]
        }))
    }
}
