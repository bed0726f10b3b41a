//! A copy of the state for a member that is too far behind for the log.
//!
//! [`take`] makes a checkpoint of an engine that is in use: hard links and a flush, so it costs
//! little, and the one thread that writes the state goes on meanwhile. Which log entry the copy is
//! at is therefore not known beforehand; the copy is opened and asked. Its members come with it,
//! since raft's own configuration at that entry is who they are.
//!
//! [`crate::state_dir`] puts a received copy into use.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use conclave_proto::command::Member;

use crate::engine::Engine;
use crate::fault::Fault;
use crate::machine::{Limits, Machine};

/// A copy of the state on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The last log entry that is applied in it.
    pub index: u64,
    /// The term of that entry.
    pub term: u64,
    /// The members as of that entry.
    pub members: Vec<Member>,
    /// Its files and their sizes in bytes, by name.
    pub files: Vec<(String, u64)>,
}

/// Copies the state in `engine` into the new folder `dir`. `open` opens an engine of the same kind.
///
/// # Errors
/// When an engine or the file system fails. `dir` is then the caller's to remove.
pub fn take(
    engine: &dyn Engine,
    dir: &Path,
    open: impl FnOnce(&Path) -> Result<Arc<dyn Engine>, Fault>,
) -> Result<Snapshot, Fault> {
    engine.checkpoint(dir)?;
    let (index, term, members) = {
        let (_, reader) = Machine::open(open(dir)?, Limits::default())?;
        let applied = reader.applied();
        (applied.index, applied.term, reader.members())
    };
    Ok(Snapshot {
        index,
        term,
        members,
        files: files(dir)?,
    })
}

/// What makes up a store, without its lock and its own log of events.
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
