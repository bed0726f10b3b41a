//! Reads files that flags name.
//!
//! Any file may be named: a pipe that blocks its reader for good, a device without an end, a file
//! on a server that does not answer. The first two are refused before they are opened. Against the
//! last only a thread of its own helps: see [`super::watch`].

use std::fs::{self, File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use conclave_core::limits::TLS_FILE_BYTES_MAX;

use super::TlsError;

/// The mark that some editors put before UTF-8 text. A PEM reader would not see the first line.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

pub(super) fn problem(flag: &'static str, file: &Path, problem: impl ToString) -> TlsError {
    TlsError {
        flag,
        file: file.to_owned(),
        problem: problem.to_string(),
    }
}

/// Reads a whole file, without a byte order mark.
pub(super) fn read(flag: &'static str, file: &Path) -> Result<Vec<u8>, TlsError> {
    let on_file = |error: std::io::Error| problem(flag, file, error);
    // Before it is opened, because to open a pipe waits for a writer; and after it, because it may
    // have been replaced.
    check(flag, file, &fs::metadata(file).map_err(on_file)?)?;
    let opened = File::open(file).map_err(on_file)?;
    check(flag, file, &opened.metadata().map_err(on_file)?)?;
    let mut bytes = Vec::new();
    // A file in /proc has no length, and one that is being written may grow.
    let mut bounded = opened.take(TLS_FILE_BYTES_MAX + 1);
    let length = bounded.read_to_end(&mut bytes).map_err(on_file)?;
    check_length(flag, file, length as u64)?;
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    Ok(bytes)
}

fn check(flag: &'static str, file: &Path, found: &Metadata) -> Result<(), TlsError> {
    let kind = found.file_type();
    if kind.is_file() {
        return check_length(flag, file, found.len());
    }
    let kind = match kind {
        kind if kind.is_dir() => "a directory",
        kind if kind.is_fifo() => "a pipe",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    };
    Err(problem(
        flag,
        file,
        format!("it is {kind}: give a regular file"),
    ))
}

fn check_length(flag: &'static str, file: &Path, length: u64) -> Result<(), TlsError> {
    if length <= TLS_FILE_BYTES_MAX {
        return Ok(());
    }
    let most = TLS_FILE_BYTES_MAX >> 20;
    Err(problem(flag, file, format!("it has more than {most} MiB")))
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
