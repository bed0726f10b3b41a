//! A member's data directory, opened and checked: the two stores, and who the member is.
//!
//! # A fresh directory
//!
//! It belongs to nobody, so somebody has to say what it becomes ([`Origin`]). For the first members
//! of a new cluster three things are written before the first entry, each durably: the cluster's
//! beginning into the state, the first voters into the log, and last the log's identity. A crash
//! between leaves a directory that the next start finishes. A member that joins a running cluster
//! writes its identity alone; everything else comes from the leader, with a snapshot.
//!
//! From then on who the member is stands in the log, and the flags that speak of a cluster's
//! beginning are not looked at.
//!
//! # Two stores, one story
//!
//! What the state has applied must be in the log or before it, for entries in a gap between would
//! be lost. A state behind the log is the usual case after a crash, and is caught up by applying
//! again. A state that just came with a snapshot may be ahead of the log: see
//! [`conclave_storage::place`]. Any other state ahead of the log, or a log that begins after the
//! state's end, is a directory put together from two, and is refused.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use conclave_proto::command::Member;
use conclave_storage::engine::Engine;
use conclave_storage::engine::rocks::{RocksEngine, RocksOptions};
use conclave_storage::log::{Entry, Log, LogState};
use conclave_storage::machine::member::Change;
use conclave_storage::machine::{GENESIS, Genesis, Limits, Machine};
use conclave_storage::reader::Reader;
use conclave_storage::{Fault, layout, place};

use crate::StartError;
use crate::applier::entry as applying;
use crate::config::{Config, SkippedEntry};
use crate::consensus::configuration::{self, Configuration};
use crate::consensus::{CommittedEntry, Position};
use crate::descriptors::Budget;
use crate::driver::{OpenState, StateFolder};
use crate::handle;
use crate::identity::Identity;
use crate::join::Origin;

/// A member's stores, opened and of one story.
pub struct Stores {
    pub(crate) identity: handle::Identity,
    pub(crate) machine: Machine,
    pub(crate) reader: Reader,
    pub(crate) log: Log,
    pub(crate) log_state: LogState,
    /// Who is there, for a member whose state has not come yet.
    pub(crate) initial_members: Vec<Member>,
    pub(crate) state_folder: Option<StateFolder>,
    /// Log entries to go on without.
    pub(crate) skipped: Vec<SkippedEntry>,
}

impl Stores {
    /// Whose they are.
    pub(crate) fn identity(&self) -> handle::Identity {
        self.identity
    }
}

/// The two stores, open; perhaps of nobody yet.
pub(crate) struct Opened {
    log_engine: Arc<dyn Engine>,
    machine: Machine,
    reader: Reader,
    log: Log,
    log_state: LogState,
    member_dir: Option<PathBuf>,
    open_state: Option<OpenState>,
    skipped: Vec<SkippedEntry>,
}

/// Opens the directory a configuration names, or makes it.
pub(crate) fn open(config: &Config) -> Result<Opened, StartError> {
    let member_dir = config.member_dir();
    layout::check_or_create_version(&member_dir)?;
    layout::refuse_etcds(&config.log_dir())?;
    warn_of_readers(config);
    let open_files = Budget::current().store_files;
    let options = RocksOptions::log().open_files(open_files);
    let log = RocksEngine::open(&config.log_dir(), layout::LOG_SPACES, options)?;
    let place = place::current(&member_dir)?;
    let cache_bytes = usize::try_from(config.state_cache_bytes).unwrap_or(usize::MAX);
    let open_state: OpenState = Arc::new(move |dir| {
        let options = RocksOptions::state(cache_bytes).open_files(open_files);
        let engine = RocksEngine::open(dir, layout::STATE_SPACES, options)?;
        Ok(Arc::new(engine))
    });
    let state = open_state(&place.dir)?;
    // The state's lock is ours, so nobody else is using what is swept here. (The log may be
    // elsewhere, and its lock says less.)
    place::sweep(&member_dir)?;
    let rows = usize::try_from(config.compaction_batch_limit).unwrap_or(usize::MAX);
    let limits = Limits {
        compaction_rows: rows,
    };
    let mut opened = Opened::on(Arc::new(log), state, limits, place.snapshot)?;
    opened.member_dir = Some(member_dir);
    opened.open_state = Some(open_state);
    opened.skipped.clone_from(&config.skip_log_entries);
    Ok(opened)
}

/// Folders this program makes are for its user alone. Those that somebody else made, or an earlier
/// release, stay as they are: perhaps they are meant to be read by others.
fn warn_of_readers(config: &Config) {
    let is_open = |dir: &Path| {
        let mode = dir.metadata().map(|data| data.permissions().mode());
        mode.is_ok_and(|mode| mode & 0o077 != 0)
    };
    let member_dir = config.member_dir();
    let member = (is_open(&config.data_dir) && is_open(&member_dir)).then_some(&member_dir);
    let log = config.wal_dir.as_ref().filter(|dir| is_open(dir));
    for dir in member.into_iter().chain(log) {
        let dir = dir.display();
        tracing::warn!(%dir, "other users can read what this member keeps: chmod 700");
    }
}

impl Opened {
    /// The same on engines that are open already. `snapshot` is where the state began, if it came
    /// with one.
    pub(crate) fn on(
        log_engine: Arc<dyn Engine>,
        state_engine: Arc<dyn Engine>,
        limits: Limits,
        snapshot: Option<(u64, u64)>,
    ) -> Result<Opened, Fault> {
        let (machine, reader) = Machine::open(state_engine, limits)?;
        let (log, log_state) = Log::open(Arc::clone(&log_engine))?;
        let mut opened = Opened {
            log_engine,
            machine,
            reader,
            log,
            log_state,
            member_dir: None,
            open_state: None,
            skipped: Vec::new(),
        };
        opened.check_one_cluster()?;
        opened.finish_installation(snapshot)?;
        opened.check_one_story()?;
        Ok(opened)
    }

    /// Whether somebody has to say what this member becomes, or whom it can turn to.
    pub(crate) fn needs_origin(&self) -> Result<bool, Fault> {
        Ok(self.reader.cluster_id() == 0 || self.log.identity()?.is_none())
    }

    /// The stores of a member. `origin` is needed if [`Opened::needs_origin`].
    pub(crate) fn into_stores(
        mut self,
        origin: Option<Origin>,
        force_new_cluster: bool,
    ) -> Result<Stores, StartError> {
        let mut initial_members = Vec::new();
        match origin {
            Some(Origin::New(identity)) => self.begin(&identity)?,
            Some(Origin::Joined {
                cluster_id,
                member_id,
                members,
            }) => {
                self.log.set_identity(cluster_id, member_id)?;
                initial_members = members;
            }
            None => {}
        }
        let identity = self.log.identity()?;
        let (cluster_id, member_id) = identity
            .ok_or_else(|| StartError::System("a data directory without an identity".to_owned()))?;
        let membership = self.reader.membership();
        if membership.removed().contains(&member_id) {
            return Err(StartError::Removed);
        }
        applying::announce(&self.skipped, self.reader.applied().index);
        if force_new_cluster {
            self.force_sole_member(member_id)?;
        }
        let index = self.log_state.last_index;
        let term = self.log.term(index)?.unwrap_or_default();
        // Of the survivors of a lost majority the operator compares these.
        tracing::info!(index, term, "the raft log ends here");
        let state_folder = self.member_dir.zip(self.open_state);
        Ok(Stores {
            identity: handle::Identity {
                cluster_id,
                member_id,
            },
            state_folder: state_folder.map(|(member_dir, open)| StateFolder {
                member_dir,
                open,
                reader: self.reader.clone(),
            }),
            machine: self.machine,
            reader: self.reader,
            log: self.log,
            log_state: self.log_state,
            initial_members,
            skipped: self.skipped,
        })
    }

    /// Writes the beginning of a cluster, or what a crash left of it to write.
    fn begin(&mut self, identity: &Identity) -> Result<(), Fault> {
        if self.reader.cluster_id() == 0 {
            self.machine.bootstrap(&Genesis {
                cluster_id: identity.cluster_id,
                members: identity.members.clone(),
            })?;
        }
        if self.log_state.conf_state.is_empty() {
            let (index, term) = GENESIS;
            self.restart_log(index, term)?;
        }
        let member_id = own_id(identity, &self.reader.members());
        self.log.set_identity(self.reader.cluster_id(), member_id)
    }

    /// Lets the log begin after what the state has, with the state's members.
    fn restart_log(&mut self, index: u64, term: u64) -> Result<(), Fault> {
        let configuration = Configuration::of(&self.reader.members(), index);
        self.log.restore(index, term, configuration.encode())?;
        (self.log, self.log_state) = Log::open(Arc::clone(&self.log_engine))?;
        Ok(())
    }

    /// Both stores name the cluster they are of, as soon as they know.
    fn check_one_cluster(&self) -> Result<(), Fault> {
        let state = self.reader.cluster_id();
        match self.log.identity()? {
            Some((log, _)) if state != 0 && state != log => Err(damaged(format!(
                "the state is of cluster {state:x} and the raft log of cluster {log:x}: they are \
                 of two members"
            ))),
            _ => Ok(()),
        }
    }

    fn check_one_story(&self) -> Result<(), Fault> {
        let applied = self.reader.applied();
        let (index, log) = (applied.index, &self.log_state);
        if index > log.last_index {
            return Err(damaged(format!(
                "the state has applied entry {index}, and the raft log ends at {}: the log was \
                 lost, replaced, or written with --unsafe-no-fsync",
                log.last_index
            )));
        }
        if index + 1 < log.first_index {
            return Err(damaged(format!(
                "the state has applied entry {index}, and the raft log begins at {}: the state \
                 was lost or replaced",
                log.first_index
            )));
        }
        match self.log.term(index)? {
            Some(term) if term != applied.term => Err(damaged(format!(
                "the state has applied entry {index} of term {}, and the raft log has one of term \
                 {term} there: they are of two members",
                applied.term
            ))),
            _ => Ok(()),
        }
    }

    /// A crash may have come between the state of a snapshot and its log.
    fn finish_installation(&mut self, snapshot: Option<(u64, u64)>) -> Result<(), Fault> {
        let Some((index, term)) = snapshot else {
            return Ok(());
        };
        if self.reader.applied().index == index && self.log.term(index)? != Some(term) {
            tracing::info!(index, "finishing the installation of a snapshot");
            self.restart_log(index, term)?;
        }
        Ok(())
    }

    /// Makes this member the only one, with all that is in its log: the last of it may have been
    /// acknowledged by a leader that did not get to say so, and nobody else is left to object.
    fn force_sole_member(&mut self, member_id: u64) -> Result<(), Fault> {
        let last = self.log_state.last_index;
        let entries = self
            .log
            .entries(self.reader.applied().index + 1, last + 1, u64::MAX)?;
        for entry in entries {
            if removes(&entry, member_id) {
                // Whoever was to go on without it is lost.
                tracing::warn!(index = entry.index, "the removal of this member is dropped");
                break;
            }
            let entry = CommittedEntry {
                position: Position {
                    index: entry.index,
                    term: entry.term,
                },
                kind: entry.kind,
                payload: entry.data,
            };
            if let Some(named) = applying::named(&self.skipped, entry.position.index) {
                self.machine.commit()?;
                applying::skip(&mut self.machine, &entry, named)?;
            } else {
                // Nobody waits for the outcomes.
                applying::apply(&mut self.machine, &entry)?;
            }
        }
        self.machine.commit()?;
        self.machine.force_sole_member(member_id)?;
        let applied = self.reader.applied();
        tracing::warn!(
            index = applied.index,
            "this member is a new cluster of one; the others must not be started again"
        );
        self.restart_log(applied.index, applied.term)
    }
}

/// Whether an entry of the log removes a member.
fn removes(entry: &Entry, member_id: u64) -> bool {
    let change = configuration::change_in(entry.kind, &entry.data);
    change.is_some_and(|(_, change)| change == Change::Remove { id: member_id })
}

/// Which of the members this is. A lone member stays who it was when its URLs change.
fn own_id(identity: &Identity, members: &[Member]) -> u64 {
    match members {
        [lone] => lone.id,
        _ => identity.member_id,
    }
}

fn damaged(detail: String) -> Fault {
    Fault::Damaged {
        path: Path::new("member").to_owned(),
        detail,
    }
}
