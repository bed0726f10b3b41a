//! The error of this crate's durable operations.

use std::io;
use std::path::{Path, PathBuf};

use crate::ids::{Index, Term};

/// The remedy for damage. A damaged member may have lost a vote or an entry that it acknowledged,
/// so it must not continue with an older copy of its data, unless no other member can have received
/// the acknowledgement.
const REMEDY: &str = "if other members run, remove this one from the cluster, empty its \
                      --data-dir and --wal-dir, and add it again; if no other member runs, restore \
                      both from a whole copy";

/// A disk, or the data on it, that cannot be trusted: a write or sync failed, a checksum does not
/// match, or the format has another version. A member that meets a fault stops. Nothing is retried
/// in place, because after a failed sync it is unknown what reached the disk. The text is for the
/// operator: it names the path and the remedy.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum Fault {
    /// The engine reported an error while doing `operation`.
    #[error("{operation} failed in {}: {detail}", path.display())]
    Engine {
        /// The operation that failed, as a verb: "write", "open", "read".
        operation: &'static str,
        /// The engine's directory (empty for the memory engine).
        path: PathBuf,
        /// The engine's own text.
        detail: String,
    },
    /// Another process holds the directory.
    #[error(
        "{} is in use by another process; stop it, or give this one another --data-dir",
        path.display()
    )]
    InUse {
        /// The locked directory.
        path: PathBuf,
    },
    /// The directory was written by another format version.
    #[error(
        "{} has format version {found}, this program reads {expected}; {advice}",
        path.display()
    )]
    Version {
        /// The directory.
        path: PathBuf,
        /// The version on disk.
        found: u32,
        /// The version this program reads.
        expected: u32,
        /// The remedy.
        advice: &'static str,
    },
    /// The directory belongs to another program.
    #[error(
        "{} has data of etcd, which this program cannot read, and would hide: give an empty \
         --data-dir",
        path.display()
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
    },
    /// Bytes on disk do not decode, or contradict each other.
    #[error("damaged data in {}: {detail}; {REMEDY}", path.display())]
    Damaged {
        /// The directory.
        path: PathBuf,
        /// The record, and its defect.
        detail: String,
    },
    /// A committed log entry passes its checksum, but this program cannot apply it.
    #[error(
        "log entry {index} of term {term} with hash {hash:08x} cannot be applied: {reason}; every \
         member stops at it. If a newer release wrote it, run that release. If not, see \"A log \
         entry that cannot be applied\" in the runbook: with \
         --skip-log-entry={index}:{hash:08x} on all members the cluster goes on without it"
    )]
    Entry {
        /// The entry's index.
        index: Index,
        /// Its term.
        term: Term,
        /// [`crate::log::entry_checksum`].
        hash: u32,
        /// Why it cannot be applied.
        reason: String,
    },
    /// The operator asked to skip a log entry that must not be skipped.
    #[error(
        "log entry {index} of term {term} with hash {hash:08x} is not skipped: {reason}. Nothing \
         was changed; correct or remove --skip-log-entry"
    )]
    NotSkipped {
        /// The entry's index.
        index: Index,
        /// Its term.
        term: Term,
        /// [`crate::log::entry_checksum`].
        hash: u32,
        /// Why it must not be skipped.
        reason: String,
    },
}

impl Fault {
    /// Makes the fault of a failed file operation.
    pub fn io(operation: &'static str, path: &Path, error: &io::Error) -> Fault {
        Fault::Engine {
            operation,
            path: path.to_owned(),
            detail: error.to_string(),
        }
    }

    /// Makes the fault of bytes that do not decode.
    pub fn damaged(path: &Path, detail: impl Into<String>) -> Fault {
        Fault::Damaged {
            path: path.to_owned(),
            detail: detail.into(),
        }
    }
}
