//! A member's two stores, opened and checked against each other, and its identity.
//!
//! # A fresh directory
//!
//! A fresh directory has no identity, so the caller says what it becomes ([`Origin`]). A first
//! member of a new cluster writes three things before the first entry, each durably: the genesis
//! of the cluster into the state, the first voters into the log, and last the identity into the
//! log. After a crash in between, the next start writes the rest. A member that joins a running
//! cluster writes its identity alone; everything else comes from the leader, with a snapshot.
//!
//! From then on the identity is read from the log, and the flags about the beginning of a cluster
//! are ignored.
//!
//! # Two stores that fit together
//!
//! The state's applied index must be in the log or right before it: entries in a gap would be lost.
//! A state behind the end of the log is the usual case after a crash; the entries are applied
//! again. A state that just came with a snapshot may be ahead of the log: see
//! [`conclave_storage::state_dir`]. Any other state ahead of the log, or a log that begins after
//! the state's end, means that the stores are of two members, and is refused.

use std::path::Path;
use std::sync::Arc;

use conclave_proto::command::Member;
use conclave_storage::engine::Engine;
use conclave_storage::log::{Entry, Log, LogState};
use conclave_storage::machine::{GENESIS, Genesis, Limits, Machine};
use conclave_storage::membership::Change;
use conclave_storage::reader::Reader;
use conclave_storage::state_store::{Current, StateStore};
use conclave_storage::{ClusterId, Fault, Index, MemberId, Term};

use crate::applier::{SkippedEntry, entry as applying};
use crate::consensus::configuration::{self, Configuration};
use crate::consensus::{CommittedEntry, Position};
use crate::fatal::REMOVED;
use crate::handle::Identity;

/// The beginning of a new cluster, for one of its first members.
#[derive(Clone, Debug, PartialEq)]
pub struct NewCluster {
    /// The id of this member.
    pub member_id: MemberId,
    /// The id of the cluster.
    pub cluster_id: ClusterId,
    /// The members of the new cluster, by id. None has started: names and client URLs follow when
    /// a member publishes its attributes.
    pub members: Vec<Member>,
}

/// The source of identity and state for a member with empty stores.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    /// A new cluster begins, and this is one of its members.
    New(NewCluster),
    /// This member was added to a cluster that runs.
    Joined {
        /// The id of the cluster.
        cluster_id: ClusterId,
        /// The id this member was given when it was added.
        member_id: MemberId,
        /// The members, this one included, as the member that answered knows them.
        members: Vec<Member>,
    },
}

/// The reason why two stores are not the stores of a member.
#[derive(Debug, thiserror::Error)]
pub enum StoresError {
    /// A store cannot be used.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The member was removed from its cluster, and cannot be the sole member of a new one.
    #[error("{REMOVED}")]
    Removed,
    /// The log has no identity, and no origin was given.
    #[error("a data directory without an identity")]
    NoIdentity,
}

/// A member's stores, opened and consistent with each other.
pub struct Stores {
    pub(crate) identity: Identity,
    pub(crate) machine: Machine,
    pub(crate) reader: Reader,
    pub(crate) log: Log,
    pub(crate) log_state: LogState,
    /// The members of the cluster, for a member that has not received its state yet.
    pub(crate) initial_members: Vec<Member>,
    pub(crate) states: Arc<dyn StateStore>,
    /// Log entries to skip.
    pub(crate) skipped: Vec<SkippedEntry>,
}

impl Stores {
    /// Returns the ids of the member and its cluster.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Returns true if the log has no entries besides the genesis of a cluster.
    pub fn is_blank(&self) -> bool {
        self.log_state.last_index <= GENESIS.0
    }
}

/// The two stores, open, before the member's identity is known.
pub struct Opened {
    log_engine: Arc<dyn Engine>,
    machine: Machine,
    reader: Reader,
    log: Log,
    log_state: LogState,
    states: Arc<dyn StateStore>,
    skipped: Vec<SkippedEntry>,
}

impl Opened {
    /// Opens the log on an engine, and the current one of `states`.
    pub fn on(
        log_engine: Arc<dyn Engine>,
        states: Arc<dyn StateStore>,
        limits: Limits,
    ) -> Result<Opened, Fault> {
        let Current { engine, snapshot } = states.open_current()?;
        let (machine, reader) = Machine::open(engine, limits)?;
        let (log, log_state) = Log::open(Arc::clone(&log_engine))?;
        let mut opened = Opened {
            log_engine,
            machine,
            reader,
            log,
            log_state,
            states,
            skipped: Vec::new(),
        };
        opened.check_one_cluster()?;
        opened.finish_installation(snapshot)?;
        opened.check_one_story()?;
        Ok(opened)
    }

    /// The same without these log entries.
    #[must_use]
    pub fn skipping(mut self, entries: Vec<SkippedEntry>) -> Opened {
        self.skipped = entries;
        self
    }

    /// Returns true if [`Opened::into_stores`] needs an [`Origin`].
    pub fn needs_origin(&self) -> Result<bool, Fault> {
        Ok(self.reader.cluster_id() == ClusterId::NONE || self.log.identity()?.is_none())
    }

    /// Returns the stores of a member. `origin` is needed if [`Opened::needs_origin`].
    pub fn into_stores(
        mut self,
        origin: Option<Origin>,
        force_new_cluster: bool,
    ) -> Result<Stores, StoresError> {
        let mut initial_members = Vec::new();
        match origin {
            Some(Origin::New(new)) => self.begin(&new)?,
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
        let (cluster_id, member_id) = identity.ok_or(StoresError::NoIdentity)?;
        let membership = self.reader.membership();
        if force_new_cluster && membership.is_removed(member_id) {
            return Err(StoresError::Removed);
        }
        applying::announce(&self.skipped, self.reader.applied().index);
        if force_new_cluster {
            self.force_sole_member(member_id)?;
        }
        let index = self.log_state.last_index;
        let term = self.log.term(index)?.unwrap_or_default();
        // After the loss of a majority, the operator compares this between the survivors.
        tracing::info!(index = index.0, term = term.0, "the raft log ends here");
        Ok(Stores {
            identity: Identity {
                cluster_id,
                member_id,
            },
            states: self.states,
            machine: self.machine,
            reader: self.reader,
            log: self.log,
            log_state: self.log_state,
            initial_members,
            skipped: self.skipped,
        })
    }

    /// Writes the beginning of a cluster, or the part of it that a crash left unwritten.
    fn begin(&mut self, new: &NewCluster) -> Result<(), Fault> {
        if self.reader.cluster_id() == ClusterId::NONE {
            self.machine.bootstrap(&Genesis {
                cluster_id: new.cluster_id,
                members: new.members.clone(),
            })?;
        }
        if self.log_state.conf_state.is_empty() {
            let (index, term) = GENESIS;
            self.restart_log(index, term)?;
        }
        let member_id = own_id(new, &self.reader.members());
        self.log.set_identity(self.reader.cluster_id(), member_id)
    }

    /// Restarts the log after the state's applied index, with the state's members.
    fn restart_log(&mut self, index: Index, term: Term) -> Result<(), Fault> {
        let configuration = Configuration::of(&self.reader.members(), index);
        self.log.restore(index, term, configuration.encode())?;
        (self.log, self.log_state) = Log::open(Arc::clone(&self.log_engine))?;
        Ok(())
    }

    /// Checks that both stores have the same cluster id, if both have one.
    fn check_one_cluster(&self) -> Result<(), Fault> {
        let state = self.reader.cluster_id();
        match self.log.identity()? {
            Some((log, _)) if state != ClusterId::NONE && state != log => Err(damaged(format!(
                "the state is of cluster {state} and the raft log of cluster {log}: they are \
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
        if index.next() < log.first_index {
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

    /// Restarts the log if a crash came after a snapshot's state was installed and before its log.
    fn finish_installation(&mut self, snapshot: Option<(Index, Term)>) -> Result<(), Fault> {
        let Some((index, term)) = snapshot else {
            return Ok(());
        };
        if self.reader.applied().index == index && self.log.term(index)? != Some(term) {
            tracing::info!(index = index.0, "finishing the installation of a snapshot");
            self.restart_log(index, term)?;
        }
        Ok(())
    }

    /// Makes this member the only one, and applies its whole log: the leader may have acknowledged
    /// the last entries before this member knew, and no other member can contradict them.
    fn force_sole_member(&mut self, member_id: MemberId) -> Result<(), Fault> {
        let last = self.log_state.last_index;
        let first = self.reader.applied().index.next();
        let entries = self.log.entries(first, last.next(), u64::MAX)?;
        for entry in entries {
            if removes(&entry, member_id) {
                // The members that were to continue without it are lost.
                tracing::warn!(
                    index = entry.index.0,
                    "the removal of this member is dropped"
                );
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
            if let Some(skipped) = applying::to_skip(&self.skipped, entry.position.index) {
                self.machine.commit()?;
                applying::skip(&mut self.machine, &entry, skipped)?;
            } else {
                // No caller waits for the outcomes.
                applying::apply(&mut self.machine, &entry)?;
            }
        }
        self.machine.commit()?;
        self.machine.force_sole_member(member_id)?;
        let applied = self.reader.applied();
        tracing::warn!(
            index = applied.index.0,
            "this member is a new cluster of one; the others must not be started again"
        );
        self.restart_log(applied.index, applied.term)
    }
}

/// Returns true if an entry of the log removes this member.
fn removes(entry: &Entry, member_id: MemberId) -> bool {
    let change = configuration::change_in(entry.kind, &entry.data);
    change.is_some_and(|(_, change)| change == Change::Remove { id: member_id })
}

/// Returns the id of this member. A sole member keeps its id when its URLs change.
fn own_id(new: &NewCluster, members: &[Member]) -> MemberId {
    match members {
        [lone] => MemberId(lone.id),
        _ => new.member_id,
    }
}

fn damaged(detail: String) -> Fault {
    Fault::Damaged {
        path: Path::new("member").to_owned(),
        detail,
    }
}
