//! Opens files that flags name.
//!
//! Any file may be named: a pipe that blocks its reader for good, a device without an end, a file
//! on a server that does not answer. The first two are refused before they are opened. Against the
//! last only a thread of its own helps, as certificates have.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

/// The reason why a file was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// The system's error.
    #[error(transparent)]
    System(#[from] io::Error),
    /// The file is of this kind.
    #[error("it is {0}: give a regular file")]
    NotRegular(&'static str),
    /// The file is longer than this number of bytes.
    #[error("it has more than {0} bytes")]
    TooLong(u64),
}

/// Reads a whole regular file of at most `bytes_max` bytes.
pub(crate) fn read(file: &Path, bytes_max: u64) -> Result<Vec<u8>, Unreadable> {
    // Before it is opened, because to open a pipe waits for a writer; and after it, because it may
    // have been replaced.
    check(&fs::metadata(file)?, bytes_max)?;
    let opened = File::open(file)?;
    check(&opened.metadata()?, bytes_max)?;
    let mut bytes = Vec::new();
    // A file in /proc has no length, and one that is being written may grow.
    let length = opened.take(bytes_max + 1).read_to_end(&mut bytes)?;
    check_length(length as u64, bytes_max)?;
    Ok(bytes)
}

fn check(found: &Metadata, bytes_max: u64) -> Result<(), Unreadable> {
    let kind = found.file_type();
    if kind.is_file() {
        return check_length(found.len(), bytes_max);
    }
    Err(Unreadable::NotRegular(match kind {
        kind if kind.is_dir() => "a directory",
        kind if kind.is_fifo() => "a pipe",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    }))
}

fn check_length(length: u64, bytes_max: u64) -> Result<(), Unreadable> {
    match length <= bytes_max {
        true => Ok(()),
        false => Err(Unreadable::TooLong(bytes_max)),
    }
}

/// Opens a regular file for appending, and for reading. If there is none, it is created for the
/// process's user alone.
pub(crate) fn open_to_append(file: &Path) -> io::Result<File> {
    let refuse = |unreadable| match unreadable {
        Unreadable::System(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidInput, other.to_string()),
    };
    match fs::metadata(file) {
        Ok(found) => check(&found, u64::MAX).map_err(refuse)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut options = File::options();
    let opened = options
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(file)?;
    check(&opened.metadata()?, u64::MAX).map_err(refuse)?;
    Ok(opened)
}
