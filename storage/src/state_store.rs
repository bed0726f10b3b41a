//! The seam to the states of a member: the current one, copies of it for other members, and copies
//! received from them.
//!
//! A state is named by the path of its folder. One of them is *current*:
//! [`StateStore::open_current`] finds it at a start, and [`StateStore::install`] makes another one
//! current in one step.
//!
//! Two implementations: [`StateFolders`], with the folders that [`crate::state_dir`] describes, and
//! [`memory::MemoryStates`], whose paths are names only.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::engine::Engine;
use crate::fault::Fault;
use crate::snapshot::{self, Snapshot};
use crate::{Index, Term, files, state_dir};

pub mod memory;

/// The states of a member. All methods block for as long as the disk takes.
pub trait StateStore: Send + Sync + 'static {
    /// Opens the current state, an empty one at the first start, and removes all others. Returns
    /// with it the index and term of the snapshot that it began as, if it was installed.
    ///
    /// # Errors
    /// When the current state cannot be read, or another process has it open.
    fn open_current(&self) -> Result<Current, Fault>;

    /// Returns the path for the `number`-th copy that this process makes.
    fn outgoing(&self, number: u64) -> PathBuf;

    /// Copies the state in `engine`, which stays in use, to `dir`. What is there already was left
    /// by an earlier process, and is replaced.
    ///
    /// # Errors
    /// When the disk fails. Nothing is left at `dir` then.
    fn checkpoint(&self, engine: &dyn Engine, dir: &Path) -> Result<Snapshot, Fault>;

    /// Opens the state at `dir`.
    ///
    /// # Errors
    /// [`Fault::Damaged`] when it is not whole.
    fn open(&self, dir: &Path) -> Result<Arc<dyn Engine>, Fault>;

    /// Makes the state at `dir`, whole and synced, the current one. Durable when it returns. The
    /// former state can be used until its engine is dropped.
    ///
    /// # Errors
    /// When the disk fails. The current state is then the former one or this one.
    fn install(&self, dir: &Path, index: Index, term: Term) -> Result<(), Fault>;

    /// Removes the state at `dir`, which is not the current one.
    ///
    /// # Errors
    /// When the disk fails.
    fn remove(&self, dir: &Path) -> Result<(), Fault>;
}

/// The current state, open.
pub struct Current {
    /// Its engine.
    pub engine: Arc<dyn Engine>,
    /// Index and term of the snapshot that was installed, if it was one.
    pub snapshot: Option<(Index, Term)>,
}

/// Opens the state in a folder.
type OpenState = Box<dyn Fn(&Path) -> Result<Arc<dyn Engine>, Fault> + Send + Sync>;

/// States in folders beside each other.
pub struct StateFolders {
    member_dir: PathBuf,
    open: OpenState,
}

impl StateFolders {
    /// The states of the member in `member_dir`. `open` opens the engine in a folder.
    pub fn new(
        member_dir: PathBuf,
        open: impl Fn(&Path) -> Result<Arc<dyn Engine>, Fault> + Send + Sync + 'static,
    ) -> StateFolders {
        StateFolders {
            member_dir,
            open: Box::new(open),
        }
    }
}

impl StateStore for StateFolders {
    fn open_current(&self) -> Result<Current, Fault> {
        let current = state_dir::current(&self.member_dir)?;
        let engine = self.open(&current.dir)?;
        // The current state's lock is ours now, so no other process uses what is removed here. (The
        // log may be elsewhere, and its lock says less.)
        state_dir::sweep(&self.member_dir)?;
        Ok(Current {
            engine,
            snapshot: current.snapshot,
        })
    }

    fn outgoing(&self, number: u64) -> PathBuf {
        self.member_dir.join(format!("state.out.{number}"))
    }

    fn checkpoint(&self, engine: &dyn Engine, dir: &Path) -> Result<Snapshot, Fault> {
        files::remove_folder(dir)?;
        snapshot::take(engine, dir, &self.open).inspect_err(|_| {
            // The cause is reported; what cannot be removed now goes at the next start.
            let _ = self.remove(dir);
        })
    }

    fn open(&self, dir: &Path) -> Result<Arc<dyn Engine>, Fault> {
        (self.open)(dir)
    }

    fn install(&self, dir: &Path, index: Index, term: Term) -> Result<(), Fault> {
        state_dir::change(&self.member_dir, dir, index, term)
    }

    fn remove(&self, dir: &Path) -> Result<(), Fault> {
        files::remove_folder(dir)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::ClusterId;
    use crate::engine::memory::MemoryEngine;
    use crate::machine::{Genesis, Limits, Machine};

    fn open(dir: &Path) -> Result<Arc<dyn Engine>, Fault> {
        let is_new = dir.ends_with("state");
        let opened = match is_new {
            true => MemoryEngine::new(),
            false => MemoryEngine::open_checkpoint(dir)?,
        };
        Ok(Arc::new(opened))
    }

    fn begin(states: &StateFolders) -> Arc<dyn Engine> {
        let engine = states.open_current().expect("opens").engine;
        let machine = Machine::open(Arc::clone(&engine), Limits::default());
        let genesis = Genesis {
            cluster_id: ClusterId(1),
            members: Vec::new(),
        };
        machine
            .expect("opens")
            .0
            .bootstrap(&genesis)
            .expect("begins");
        engine
    }

    #[test]
    fn a_copy_replaces_what_an_earlier_process_left_and_can_be_installed() {
        let dir = tempfile::tempdir().expect("a folder");
        let states = StateFolders::new(dir.path().to_owned(), open);
        let engine = begin(&states);
        let out = states.outgoing(1);
        fs::create_dir(&out).expect("a folder");
        let taken = states.checkpoint(&*engine, &out).expect("copies");
        states
            .checkpoint(&*engine, &states.outgoing(2))
            .expect("copies");
        states.remove(&states.outgoing(2)).expect("removes");
        assert!(!states.outgoing(2).exists());
        states
            .install(&out, taken.index, taken.term)
            .expect("installs");
        states
            .checkpoint(&*engine, &states.outgoing(3))
            .expect("copies");
        let current = states.open_current().expect("opens");
        assert_eq!(current.snapshot, Some((taken.index, taken.term)));
        assert!(out.exists() && !states.outgoing(3).exists());
    }

    #[test]
    fn a_copy_that_failed_leaves_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        let states = StateFolders::new(dir.path().to_owned(), |dir: &Path| match dir.exists() {
            true => Err(Fault::damaged(dir, "as the test wants it")),
            false => open(dir),
        });
        let engine = begin(&states);
        let taken = states.checkpoint(&*engine, &states.outgoing(1));
        assert!(matches!(taken, Err(Fault::Damaged { .. })), "{taken:?}");
        assert!(!states.outgoing(1).exists());
    }
}
