//! States in memory, with the faults of a disk: for the simulation and most tests.
//!
//! A copy is a sequence of bytes with a checksum, [`MemoryStates::copy`]. Another member stores
//! these bytes with [`MemoryStates::receive`], whole or not; a copy that is not whole is refused
//! when it is opened, as RocksDB refuses files whose checksums do not match.
//!
//! Clones share the states, and [`MemoryStates::crash_torn`] returns them as a restarted process
//! finds them. An installation is durable at once; the writes to a state are lost as
//! [`MemoryEngine`] says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;

use super::{Current, StateStore};
use crate::engine::memory::MemoryEngine;
use crate::engine::{Batch, Direction, Durability, Engine};
use crate::fault::Fault;
use crate::layout::STATE_SPACES;
use crate::snapshot::{self, Snapshot};
use crate::{Index, Term};

/// The name of a state that was not installed.
const FIRST: &str = "state";
/// The only file of a copy.
const FILE: &str = "pairs";

/// A handle to the states of one member.
#[derive(Clone)]
pub struct MemoryStates {
    disk: Arc<Mutex<Disk>>,
}

struct Disk {
    current: MemoryEngine,
    snapshot: Option<(Index, Term)>,
    /// Where the current state is.
    dir: PathBuf,
    /// Copies that were made or received, by path.
    copies: BTreeMap<PathBuf, Copy>,
}

struct Copy {
    bytes: Bytes,
    /// The engine, once the copy was opened.
    opened: Option<MemoryEngine>,
}

impl MemoryStates {
    /// States of which `engine` is the current one, and was not installed.
    pub fn of(engine: MemoryEngine) -> MemoryStates {
        MemoryStates::with(engine, PathBuf::from(FIRST), None)
    }

    fn with(engine: MemoryEngine, dir: PathBuf, snapshot: Option<(Index, Term)>) -> MemoryStates {
        let disk = Disk {
            current: engine,
            snapshot,
            dir,
            copies: BTreeMap::new(),
        };
        MemoryStates {
            disk: Arc::new(Mutex::new(disk)),
        }
    }

    /// Returns the states after a power loss, with a prefix of the batches that were not synced;
    /// see [`MemoryEngine::crash_torn`]. Copies that were not installed are gone, as a start
    /// removes them.
    #[must_use]
    pub fn crash_torn(&self, seed: u64) -> MemoryStates {
        let disk = self.disk();
        let current = disk.current.crash_torn(seed);
        MemoryStates::with(current, disk.dir.clone(), disk.snapshot)
    }

    /// Returns the engine of the current state.
    pub fn current(&self) -> MemoryEngine {
        self.disk().current.clone()
    }

    /// Returns the bytes of the copy at `dir`, to be sent.
    pub fn copy(&self, dir: &Path) -> Option<Bytes> {
        let disk = self.disk();
        disk.copies.get(dir).map(|copy| copy.bytes.clone())
    }

    /// Stores the bytes of a copy that another member sent.
    pub fn receive(&self, dir: PathBuf, bytes: Bytes) {
        let copy = Copy {
            bytes,
            opened: None,
        };
        self.disk().copies.insert(dir, copy);
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk
            .lock()
            .expect("nothing panics while it holds the disk")
    }
}

impl Disk {
    fn open(&mut self, dir: &Path) -> Result<MemoryEngine, Fault> {
        if self.dir == dir {
            return Ok(self.current.clone());
        }
        let copy = self.copies.get_mut(dir).ok_or_else(|| Fault::Engine {
            operation: "open",
            path: dir.to_owned(),
            detail: "no such state".to_owned(),
        })?;
        if let Some(opened) = &copy.opened {
            return Ok(opened.clone());
        }
        let opened = MemoryEngine::decode(&copy.bytes)
            .ok_or_else(|| Fault::damaged(dir, "the copy does not match its checksum"))?;
        copy.opened = Some(opened.clone());
        Ok(opened)
    }
}

impl StateStore for MemoryStates {
    fn open_current(&self) -> Result<Current, Fault> {
        let mut disk = self.disk();
        disk.copies.clear();
        Ok(Current {
            engine: Arc::new(disk.current.clone()),
            snapshot: disk.snapshot,
        })
    }

    fn outgoing(&self, number: u64) -> PathBuf {
        PathBuf::from(format!("state.out.{number}"))
    }

    fn checkpoint(&self, engine: &dyn Engine, dir: &Path) -> Result<Snapshot, Fault> {
        let copied = copied(engine)?;
        let bytes = copied.encode();
        let files = vec![(FILE.to_owned(), bytes.len() as u64)];
        let snapshot = snapshot::at(Arc::new(copied), files)?;
        self.receive(dir.to_owned(), bytes);
        Ok(snapshot)
    }

    fn open(&self, dir: &Path) -> Result<Arc<dyn Engine>, Fault> {
        Ok(Arc::new(self.disk().open(dir)?))
    }

    fn install(&self, dir: &Path, index: Index, term: Term) -> Result<(), Fault> {
        let mut disk = self.disk();
        disk.current = disk.open(dir)?;
        disk.snapshot = Some((index, term));
        disk.dir = dir.to_owned();
        disk.copies.remove(dir);
        Ok(())
    }

    fn remove(&self, dir: &Path) -> Result<(), Fault> {
        self.disk().copies.remove(dir);
        Ok(())
    }
}

/// Copies the pairs of a state at one moment.
fn copied(engine: &dyn Engine) -> Result<MemoryEngine, Fault> {
    let view = engine.snapshot();
    let mut batch = Batch::default();
    for space in STATE_SPACES {
        let mut scan = view.scan(*space, &[], None, Direction::Forward)?;
        while let Some((key, value)) = scan.next()? {
            batch.put(*space, key, value);
        }
    }
    let copy = MemoryEngine::new();
    copy.write(batch, Durability::Synced)?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ClusterId;
    use crate::machine::{Genesis, Limits, Machine};

    fn state() -> MemoryStates {
        let states = MemoryStates::of(MemoryEngine::new());
        let engine = states.open_current().expect("opens").engine;
        let (mut machine, _) = Machine::open(engine, Limits::default()).expect("opens");
        let genesis = Genesis {
            cluster_id: ClusterId(1),
            members: Vec::new(),
        };
        machine.bootstrap(&genesis).expect("begins");
        states
    }

    fn index(states: &MemoryStates) -> (Index, Option<(Index, Term)>) {
        let Current { engine, snapshot } = states.open_current().expect("opens");
        let (_, reader) = Machine::open(engine, Limits::default()).expect("opens");
        (reader.applied().index, snapshot)
    }

    #[test]
    fn a_copy_is_the_state_of_another_member_once_it_is_installed() {
        let (one, other) = (state(), MemoryStates::of(MemoryEngine::new()));
        let out = one.outgoing(1);
        let taken = one.checkpoint(&one.current(), &out).expect("copies");
        let bytes = one.copy(&out).expect("made");
        assert_eq!(taken.files, [("pairs".to_owned(), bytes.len() as u64)]);
        let dir = PathBuf::from("state.1.5");
        other.receive(dir.clone(), bytes);
        other.open(&dir).expect("whole");
        assert_eq!(index(&other.crash_torn(0)), (Index::NONE, None));
        other
            .install(&dir, taken.index, taken.term)
            .expect("installs");
        let found = (taken.index, Some((taken.index, taken.term)));
        assert_eq!(index(&other.crash_torn(0)), found);
    }

    #[test]
    fn a_copy_that_is_not_whole_is_refused() {
        let states = state();
        let out = states.outgoing(1);
        states.checkpoint(&states.current(), &out).expect("copies");
        let bytes = states.copy(&out).expect("made");
        for end in 0..bytes.len() {
            states.receive(out.clone(), bytes.slice(..end));
            let opened = states.open(&out).map(|_| ());
            assert!(matches!(opened, Err(Fault::Damaged { .. })), "{end}");
        }
    }
}
