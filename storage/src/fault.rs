//! The one error this crate's durable operations return.

use std::io;
use std::path::{Path, PathBuf};

/// What damage calls for. A member may have promised something it no longer knows of, so it must
/// not go on with a copy, unless nobody else can have heard the promise.
const REMEDY: &str = "if other members run, remove this one from the cluster, empty its \
                      --data-dir and --wal-dir, and add it anew; if none does, copy both back from \
                      where they are whole";

/// The disk, or what it holds, cannot be trusted: a write or sync failed, a checksum does not
/// match, the format is another version's. A member that meets one stops; nothing is retried in
/// place, because after a failed sync nobody knows what reached the disk. The text is for the
/// operator: it names the path and says what to do where there is something to do.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum Fault {
    /// The engine reported an error while doing `operation`.
    #[error("{operation} failed in {}: {detail}", path.display())]
    Engine {
        /// What was being done, as a verb: "write", "open", "read".
        operation: &'static str,
        /// The engine's directory (empty for the memory engine).
        path: PathBuf,
        /// The engine's own words.
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
        /// The version found on disk.
        found: u32,
        /// The version this program reads.
        expected: u32,
        /// What the operator can do.
        advice: &'static str,
    },
    /// The directory is another program's.
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
        /// Which record, and what is wrong with it.
        detail: String,
    },
    /// A committed log entry that is whole, and that this program cannot apply.
    #[error(
        "log entry {index} of term {term} with hash {hash:08x} cannot be applied: {reason}; every \
         member stops at it. If a newer release wrote it, run that release. If not, see \"A log \
         entry that cannot be applied\" in the runbook: with \
         --skip-log-entry={index}:{hash:08x} on all members the cluster goes on without it"
    )]
    Entry {
        /// The entry's index.
        index: u64,
        /// Its term.
        term: u64,
        /// [`crate::log::entry_checksum`].
        hash: u32,
        /// What is wrong with it.
        reason: String,
    },
    /// A log entry that the operator wants to be skipped, and that must not be.
    #[error(
        "log entry {index} of term {term} with hash {hash:08x} is not skipped: {reason}. Nothing \
         was changed; correct or remove --skip-log-entry"
    )]
    NotSkipped {
        /// The entry's index.
        index: u64,
        /// Its term.
        term: u64,
        /// [`crate::log::entry_checksum`].
        hash: u32,
        /// Why not.
        reason: String,
    },
}

impl Fault {
    /// A failed file operation.
    pub fn io(operation: &'static str, path: &Path, error: &io::Error) -> Fault {
        Fault::Engine {
            operation,
            path: path.to_owned(),
            detail: error.to_string(),
        }
    }

    /// Bytes that do not decode.
    pub fn damaged(path: &Path, detail: impl Into<String>) -> Fault {
        Fault::Damaged {
            path: path.to_owned(),
            detail: detail.into(),
        }
    }
}
