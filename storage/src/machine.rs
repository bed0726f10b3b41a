//! The state machine: committed log entries in; outcomes, changes and effects out.
//!
//! It is a pure function of the log: the same entries give the same state, the same outcomes and
//! the same changes on every member, whatever the grouping into commits. It reads no clock, draws
//! no numbers and knows nobody: what it produces is returned, and who wants it takes it.
//!
//! [`Machine::apply`] takes one entry, a batch of commands, and applies them in order;
//! [`Machine::commit`] writes everything applied since the last commit, with the applied index, in
//! one engine batch, and publishes it to the [`Reader`]. Between the two, later entries see earlier
//! ones through an overlay ([`crate::mvcc::pending`]). So a crash leaves whole entries: those up to
//! the applied index that is there with them; raft repeats the rest.
//!
//! A command is *rejected* by rule ([`Rejected`]), which is an outcome like any other: it changes
//! nothing, advances the applied index and is the same on all members. A [`Fault`] is the disk's,
//! is nobody's outcome, and ends the process.
//!
//! Invariants:
//!
//! 1. A command is checked whole before its first change. There is no undo.
//! 2. The revision grows by one for each command (for each lease, when leases expire) that changes
//!    a key, and by nothing else.
//! 3. No rule depends on configuration, which members may not share, nor on how far a member is
//!    with the removal of old versions: limits that do are for the proposer to apply.
//! 4. Indexes only grow; an entry is applied once.

use std::sync::Arc;

use bytes::Bytes;
use conclave_proto::command::{self, command::Body};
use conclave_proto::errors::ApiError;
use conclave_proto::etcdserverpb as api;
use prost::Message;

use crate::engine::{Batch, Durability, Engine, Read};
use crate::fault::Fault;
use crate::ids::Revision;
use crate::layout;
use crate::log;
use crate::membership::{self, Membership};
use crate::mvcc::compact::{self, Progress};
use crate::mvcc::pending::Pending;
use crate::mvcc::query::header;
use crate::reader::{Applied, ReadError, Reader};

pub(crate) mod alarm;
pub mod validate;

mod kind;
mod kv;
mod lease;
mod outcome;
mod state;
mod txn;

#[cfg(test)]
mod entries;
#[cfg(test)]
mod model;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod script;

use alarm::Alarms;
pub use kind::CommandKind;
pub use outcome::{Done, Effects, LeaseEffect, Outcome, Rejected, Reply};
pub(crate) use state::State;

pub use crate::mvcc::{Change, Changes};

/// The version of a log entry's payload this program writes and reads.
pub const PAYLOAD_VERSION: u32 = 1;

/// Index and term of what a cluster begins with. The first entry of the log comes after it.
pub const GENESIS: (u64, u64) = (1, 1);

/// How much is done at a time. Never what is allowed: see the module's third invariant.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Rows of history that one [`Machine::compact_step`] looks at; about 10 us each.
    pub compaction_rows: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            compaction_rows: 1000,
        }
    }
}

/// What a cluster begins with.
#[derive(Clone, Debug)]
pub struct Genesis {
    /// The id of the cluster; not 0.
    pub cluster_id: u64,
    /// The first members.
    pub members: Vec<command::Member>,
}

/// The state machine. One thread owns it; it alone writes the state store.
pub struct Machine {
    engine: Arc<dyn Engine>,
    limits: Limits,
    reader: Reader,
    /// As of the last entry applied, committed or not; so are the two below.
    state: State,
    membership: Membership,
    alarms: Alarms,
    compaction: Progress,
    pending: Pending,
    effects: Effects,
    /// Whether anything was applied since the last commit.
    dirty: bool,
    /// See [`Machine::answer_only`].
    answers: Option<u64>,
}

impl Machine {
    /// Opens the state in `engine`, as of its last commit, and the read side of it.
    pub fn open(engine: Arc<dyn Engine>, limits: Limits) -> Result<(Machine, Reader), Fault> {
        let state = match engine.get(layout::META, layout::META_APPLIED)? {
            Some(row) => State::decode(&row)?,
            None => State::EMPTY,
        };
        let compaction = match engine.get(layout::META, layout::META_COMPACTION)? {
            Some(row) => Progress::decode(&row)?,
            None => Progress::NEVER,
        };
        let cluster_id = state::cluster_id(&*engine)?;
        let membership = Membership::read(&*engine)?;
        let alarms = Alarms::read(&*engine)?;
        let reader = Reader::new(engine.clone(), cluster_id);
        let mut machine = Machine {
            engine,
            limits,
            reader: reader.clone(),
            state,
            membership,
            alarms,
            compaction,
            pending: Pending::default(),
            effects: Effects::default(),
            dirty: false,
            answers: None,
        };
        machine.publish_all();
        Ok((machine, reader))
    }

    /// Writes the beginning of a cluster into an empty store, durably. It counts as the entry
    /// [`GENESIS`], which is in nobody's log: so whoever joins later cannot begin with the log, and
    /// gets the beginning with a snapshot.
    pub fn bootstrap(&mut self, genesis: &Genesis) -> Result<(), Fault> {
        assert!(
            self.reader.cluster_id() == 0 && genesis.cluster_id != 0,
            "a cluster begins once"
        );
        (self.state.index, self.state.term) = GENESIS;
        let mut batch = Batch::default();
        batch.put(
            layout::META,
            layout::META_CLUSTER,
            genesis.cluster_id.to_be_bytes(),
        );
        batch.put(layout::META, layout::META_APPLIED, self.state.encode());
        for member in &genesis.members {
            self.membership.set(member.clone(), &mut batch);
        }
        self.engine.write(batch, Durability::Eventual)?;
        self.engine.flush()?;
        self.reader.set_cluster_id(genesis.cluster_id);
        self.publish_all();
        Ok(())
    }

    /// Goes on with another state, that of a snapshot from the leader, which `engine` holds. The
    /// read side follows. To be called with nothing applied and not committed.
    ///
    /// # Panics
    /// When the snapshot is not ahead of this state: consensus takes no other.
    pub fn replace(&mut self, engine: Arc<dyn Engine>) -> Result<(), Fault> {
        assert!(!self.dirty, "what is applied is committed first");
        let (next, _) = Machine::open(Arc::clone(&engine), self.limits)?;
        assert!(
            next.state.index > self.state.index,
            "a snapshot at {} over a state at {}",
            next.state.index,
            self.state.index
        );
        self.reader.set_cluster_id(next.reader.cluster_id());
        self.reader.replace_engine(engine, next.state.compacted);
        *self = Machine {
            reader: self.reader.clone(),
            answers: self.answers,
            ..next
        };
        self.publish_all();
        Ok(())
    }

    /// Goes back to the last commit, as if nothing had been applied since.
    pub fn forget_uncommitted(&mut self) -> Result<(), Fault> {
        let (committed, _) = Machine::open(Arc::clone(&self.engine), self.limits)?;
        let reader = self.reader.clone();
        *self = Machine {
            reader,
            ..committed
        };
        Ok(())
    }

    /// Makes a lone member the only one there is, durably: for a cluster whose majority is lost for
    /// ever. The others are removed members from now on.
    pub fn force_sole_member(&mut self, id: u64) -> Result<(), Fault> {
        let mut batch = Batch::default();
        for member in self.membership.members() {
            if member.id == id {
                let is_learner = false;
                let voter = command::Member {
                    is_learner,
                    ..member
                };
                self.membership.set(voter, &mut batch);
            } else {
                let change = membership::Change::Remove { id: member.id };
                self.membership.apply(change, &mut batch);
            }
        }
        self.engine.write(batch, Durability::Eventual)?;
        self.engine.flush()?;
        self.publish_all();
        Ok(())
    }

    /// Replies to commands of other members than this one need not be complete: ranges in their
    /// transactions are not read. Nobody here waits for them, and a large one would take every
    /// member the time and memory that it takes the one that was asked.
    pub fn answer_only(&mut self, member_id: u64) {
        self.answers = Some(member_id);
    }

    /// Applies one entry of the log: a batch of commands, with one outcome each; or the empty entry
    /// of a new leader.
    ///
    /// # Errors
    /// [`Fault::Entry`] for an entry that does not decode: nothing of it is applied then.
    pub fn apply(&mut self, index: u64, term: u64, payload: &Bytes) -> Result<Vec<Done>, Fault> {
        let commands = decode(payload).map_err(|reason| Fault::Entry {
            index,
            term,
            hash: log::entry_checksum(index, term, log::EntryKind::Normal, payload),
            reason,
        })?;
        self.advance(index, term);
        let engine = Arc::clone(&self.engine);
        // Nothing is written before the commit.
        let read = engine.lookups();
        let done = commands.into_iter().map(|(header, body)| {
            Ok(Done {
                member_id: header.member_id,
                request_id: header.request_id,
                kind: CommandKind::of(&body),
                outcome: split(self.dispatch(&*read, body, &header))?,
            })
        });
        done.collect()
    }

    /// Applies one configuration change entry of the log.
    pub fn apply_member(
        &mut self,
        index: u64,
        term: u64,
        change: membership::Change,
    ) -> Result<Outcome, Fault> {
        self.advance(index, term);
        if let Err(error) = self.membership.check(&change) {
            return Ok(Err(Rejected(error)));
        }
        self.membership.apply(change, &mut self.pending.batch);
        self.effects.members_changed = true;
        Ok(Ok(Reply::Members(self.membership.members())))
    }

    /// Writes what was applied since the last commit, publishes it to readers, and returns what it
    /// made true.
    pub fn commit(&mut self) -> Result<Effects, Fault> {
        if !self.dirty {
            return Ok(Effects::default());
        }
        let mut batch = self.pending.take();
        batch.put(layout::META, layout::META_APPLIED, self.state.encode());
        self.engine.write(batch, Durability::Eventual)?;
        self.dirty = false;
        self.publish();
        Ok(std::mem::take(&mut self.effects))
    }

    /// One bounded step of removing compacted history, in a write of its own. Returns whether there
    /// is more to do. To be called with nothing applied and not committed.
    pub fn compact_step(&mut self) -> Result<bool, Fault> {
        assert!(
            !self.dirty,
            "a step of compaction does not mix with entries: commit first"
        );
        if self.compaction.finished == self.state.compacted {
            return Ok(false);
        }
        let rows = self.limits.compaction_rows.max(1);
        let step = compact::step(&*self.engine, self.compaction, self.state.compacted, rows)?;
        self.state.size -= step.freed;
        self.compaction = step.progress;
        let mut batch = step.batch;
        batch.put(
            layout::META,
            layout::META_COMPACTION,
            self.compaction.encode(),
        );
        batch.put(layout::META, layout::META_APPLIED, self.state.encode());
        self.engine.write(batch, Durability::Eventual)?;
        self.publish();
        Ok(self.compaction.finished != self.state.compacted)
    }

    /// The rules of membership as applied so far, for a proposer that wants to know beforehand.
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    fn advance(&mut self, index: u64, term: u64) {
        assert!(
            index > self.state.index,
            "entry {index} after {}",
            self.state.index
        );
        self.state.index = index;
        self.state.term = term;
        self.dirty = true;
    }

    fn dispatch(
        &mut self,
        read: &dyn Read,
        body: Body,
        header: &command::Header,
    ) -> Result<Reply, ReadError> {
        let is_answered = self.answers.is_none_or(|id| id == header.member_id);
        match body {
            Body::Put(request) => self.put(read, &request).map(Reply::Put),
            Body::DeleteRange(request) => self.delete_range(read, &request).map(Reply::DeleteRange),
            Body::Txn(request) => self.txn(read, &request, is_answered).map(Reply::Txn),
            Body::Compaction(request) => self.compaction(&request).map(Reply::Compaction),
            Body::LeaseGrant(request) => self.lease_grant(read, &request).map(Reply::LeaseGrant),
            Body::LeaseRevoke(request) => self.lease_revoke(read, &request).map(Reply::LeaseRevoke),
            Body::LeaseExpire(request) => {
                if self.is_of_term(request.term) {
                    self.lease_expire(read, &request)?;
                }
                Ok(Reply::LeaseExpire)
            }
            Body::LeaseCheckpoint(request) => {
                let counts = self.is_of_term(request.term);
                if counts {
                    self.lease_checkpoint(read, &request)?;
                }
                Ok(Reply::LeaseCheckpoint(counts))
            }
            Body::Alarm(request) => Ok(Reply::Alarm(self.alarm(&request))),
            Body::MemberAttributes(request) => {
                self.member_attributes(&request);
                Ok(Reply::MemberAttributes)
            }
        }
    }

    /// What a deposed leader knew of leases does not count any more. 0 is no condition.
    fn is_of_term(&self, term: u64) -> bool {
        term == 0 || term == self.state.term
    }

    /// Moves the compact revision. What that makes unreadable is removed later, by
    /// [`Machine::compact_step`].
    fn compaction(
        &mut self,
        request: &api::CompactionRequest,
    ) -> Result<api::CompactionResponse, ReadError> {
        self.alarms.check_write()?;
        let revision = Revision(request.revision);
        if revision <= self.state.compacted {
            return Err(ApiError::Compacted.into());
        }
        if revision > self.state.revision {
            return Err(ApiError::FutureRev.into());
        }
        self.state.compacted = revision;
        self.compaction.retarget();
        let row = self.compaction.encode();
        self.pending
            .batch
            .put(layout::META, layout::META_COMPACTION, row);
        self.effects.compacted = Some(revision);
        Ok(api::CompactionResponse {
            header: self.header(),
        })
    }

    fn alarm(&mut self, request: &api::AlarmRequest) -> api::AlarmResponse {
        let (alarms, changed) = self.alarms.handle(request, &mut self.pending.batch);
        self.effects.alarms_changed |= changed;
        api::AlarmResponse {
            header: self.header(),
            alarms,
        }
    }

    fn member_attributes(&mut self, request: &command::MemberAttributes) {
        if self
            .membership
            .set_attributes(request, &mut self.pending.batch)
        {
            self.effects.members_changed = true;
        }
    }

    /// A header with the revision now.
    fn header(&self) -> Option<api::ResponseHeader> {
        header(self.state.revision)
    }

    /// Publishes everything, whether it changed or not. To be called with nothing applied and not
    /// committed.
    fn publish_all(&mut self) {
        self.effects.members_changed = true;
        self.effects.alarms_changed = true;
        self.publish();
        self.effects = Effects::default();
    }

    fn publish(&self) {
        if self.effects.members_changed {
            self.reader.set_membership(&self.membership);
        }
        if self.effects.alarms_changed {
            self.reader.set_alarms(self.alarms.list());
        }
        let State {
            index,
            term,
            revision,
            compacted,
            size,
        } = self.state;
        let applied = Applied {
            index,
            term,
            revision,
            compacted,
        };
        self.reader
            .publish(&applied, size, self.compaction.finished);
    }
}

/// The commands of an entry, which share its memory; or what is wrong with it.
fn decode(payload: &Bytes) -> Result<Vec<(command::Header, Body)>, String> {
    if payload.is_empty() {
        return Ok(Vec::new());
    }
    let batch = command::Batch::decode(payload.clone())
        .map_err(|error| format!("it is not a batch of commands: {error}"))?;
    let version = batch.version;
    if version != PAYLOAD_VERSION {
        return Err(format!(
            "its format has version {version}, and this program reads {PAYLOAD_VERSION}"
        ));
    }
    let commands = batch.commands.into_iter().map(|command| {
        let body = command.body.ok_or("it has a command of a newer release")?;
        Ok((command.header.unwrap_or_default(), body))
    });
    commands.collect()
}

/// Tells an outcome from a fault.
fn split(result: Result<Reply, ReadError>) -> Result<Outcome, Fault> {
    match result {
        Ok(reply) => Ok(Ok(reply)),
        Err(ReadError::Rejected(error)) => Ok(Err(Rejected(error))),
        Err(ReadError::Fault(fault)) => Err(fault),
        Err(ReadError::Stopped) => unreachable!("the machine reads without a meter"),
    }
}
