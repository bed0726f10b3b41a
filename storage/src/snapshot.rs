//! A copy of the state for a member that is too far behind for the log.
//!
//! [`take`] makes a checkpoint of an engine that is in use: hard links and a flush, so it is cheap,
//! and the applier keeps writing meanwhile. So the position of the copy is not known beforehand:
//! the copy is opened and read. The members are returned with it, because raft's configuration at
//! that position consists of them.
//!
//! For example, a checkpoint begun at entry 4,700 may hold the state at 4,711. The snapshot then
//! says 4,711.
//!
//! [`crate::state_store`] says where copies are, and puts a received one into use.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use conclave_proto::command::Member;

use crate::engine::Engine;
use crate::fault::Fault;
use crate::ids::{Index, Term};
use crate::machine::{Limits, Machine};

/// A copy of the state on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Index of the last applied log entry.
    pub index: Index,
    /// The term of that entry.
    pub term: Term,
    /// The members at that entry.
    pub members: Vec<Member>,
    /// Names and sizes in bytes of its files, sorted by name.
    pub files: Vec<(String, u64)>,
}

/// Copies the state in `engine` into the new folder `dir`. `open` opens an engine of the same kind.
///
/// # Errors
/// When an engine or the file system fails. The caller removes `dir` then.
pub fn take(
    engine: &dyn Engine,
    dir: &Path,
    open: impl FnOnce(&Path) -> Result<Arc<dyn Engine>, Fault>,
) -> Result<Snapshot, Fault> {
    engine.checkpoint(dir)?;
    // The engine is closed before its files are listed.
    let snapshot = at(open(dir)?, Vec::new())?;
    Ok(Snapshot {
        files: files(dir)?,
        ..snapshot
    })
}

/// Reads the position of the copy in `engine`, whose files these are.
pub(crate) fn at(engine: Arc<dyn Engine>, files: Vec<(String, u64)>) -> Result<Snapshot, Fault> {
    let (_, reader) = Machine::open(engine, Limits::default())?;
    let applied = reader.applied();
    Ok(Snapshot {
        index: applied.index,
        term: applied.term,
        members: reader.members(),
        files,
    })
}

/// The files of a store, without its lock file and RocksDB's event log.
fn files(dir: &Path) -> Result<Vec<(String, u64)>, Fault> {
    let failed = |e: &std::io::Error| Fault::io("read", dir, e);
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(|e| failed(&e))? {
        let entry = entry.map_err(|e| failed(&e))?;
        let size = entry.metadata().map_err(|e| failed(&e))?.len();
        let name = entry.file_name().into_string();
        let name = name.map_err(|name| Fault::damaged(dir, format!("a file named {name:?}")))?;
        if name != "LOCK" && !name.starts_with("LOG") {
            files.push((name, size));
        }
    }
    files.sort();
    Ok(files)
}
