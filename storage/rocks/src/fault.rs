//! Errors of RocksDB, as faults of a member.

use std::path::Path;

use conclave_storage::Fault;
use rocksdb::ErrorKind;

/// Maps an error of RocksDB, met while doing `operation` on the store in `dir`, to the fault that
/// names the operator's remedy.
pub(crate) fn from_rocks(operation: &'static str, dir: &Path, error: &rocksdb::Error) -> Fault {
    let detail = error.to_string();
    let path = dir.to_owned();
    let hint = match error.kind() {
        // RocksDB reports the last two for files of another version.
        ErrorKind::Corruption | ErrorKind::NotSupported | ErrorKind::InvalidArgument => {
            return Fault::Damaged {
                path,
                detail: format!("{operation}: {detail}"),
            };
        }
        ErrorKind::IOError if is_lock_held(&detail) => return Fault::InUse { path },
        ErrorKind::IOError if is_read(operation) && is_missing(&detail) => {
            return Fault::Damaged {
                path,
                detail: format!("{operation}: {detail}"),
            };
        }
        _ if detail.contains("No space left on device") => {
            "the disk is full; make room and restart: "
        }
        _ if detail.contains("Permission denied") => "this user may not write here: ",
        _ if detail.contains("Read-only file system") => "the file system is read-only: ",
        _ => "",
    };
    Fault::Engine {
        operation,
        path,
        detail: format!("{hint}{detail}"),
    }
}

/// The lock is held by this process ("lock hold by current process") or by another process ("While
/// lock file: ... Resource temporarily unavailable").
fn is_lock_held(detail: &str) -> bool {
    detail.contains("lock hold by current process")
        || (detail.contains("While lock file")
            && detail.contains("Resource temporarily unavailable"))
}

/// Opening a store does not look at all of its files, so a missing file can also show in a read.
fn is_read(operation: &str) -> bool {
    matches!(operation, "open" | "read")
}

/// One of the store's files refers to a file that is missing. The disk answered every read, so the
/// store is damaged rather than the disk failing.
fn is_missing(detail: &str) -> bool {
    detail.contains("No such file or directory") || detail.contains("Not a directory")
}
