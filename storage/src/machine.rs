//! The state machine: committed log entries in; outcomes, changes and effects out.
//!
//! The machine is a pure function of the log: the same entries give the same state, the same
//! outcomes and the same changes on every member, whatever the grouping into commits. It reads no
//! clock, uses no randomness and calls no other component: it returns its results.
//!
//! [`Machine::apply`] takes one entry, a batch of commands, and applies them in order.
//! [`Machine::commit`] writes everything applied since the last commit, with the applied index, in
//! one engine batch, and publishes it to the [`Reader`]. Between the two, later entries see earlier
//! ones through an overlay ([`crate::mvcc::pending`]). So a crash leaves whole entries, up to the
//! applied index that was written with them, and raft delivers the later entries again.
//!
//! A command that violates a rule is *rejected* ([`Rejected`]). That is an outcome like any other:
//! it changes nothing, advances the applied index and is the same on all members. A [`Fault`] is a
//! failure of the disk or of an entry; it is not an outcome, and ends the process.
//!
//! ```
//! use std::sync::Arc;
//!
//! use conclave_proto::command::{Batch, Command, command::Body};
//! use conclave_proto::etcdserverpb::PutRequest;
//! use conclave_storage::engine::memory::MemoryEngine;
//! use conclave_storage::machine::{Genesis, Limits, Machine, PAYLOAD_VERSION};
//! use conclave_storage::{ClusterId, Index, Term};
//! use prost::Message as _;
//!
//! let engine = Arc::new(MemoryEngine::new());
//! let (mut machine, reader) = Machine::open(engine, Limits::default())?;
//! machine.bootstrap(&Genesis { cluster_id: ClusterId(7), members: Vec::new() })?;
//!
//! let put = PutRequest { key: "a".into(), value: "1".into(), ..Default::default() };
//! let command = Command { header: None, body: Some(Body::Put(put)) };
//! let batch = Batch { version: PAYLOAD_VERSION, commands: vec![command] };
//! let done = machine.apply(Index(2), Term(1), &batch.encode_to_vec().into())?;
//! assert!(done[0].outcome.is_ok());
//! assert_eq!(reader.applied().index, Index(1), "not committed yet");
//!
//! let effects = machine.commit()?;
//! assert_eq!(effects.changes[0].revision.0, 2);
//! assert_eq!(reader.key_at(b"a", effects.changes[0].revision)?.unwrap().value, "1");
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! Invariants:
//!
//! 1. A command is checked whole before its first change. There is no undo.
//! 2. The revision grows by one for each command (for each lease, when leases expire) that changes
//!    a key, and by nothing else.
//! 3. No rule depends on configuration, because members may differ in it, or on how far a member is
//!    with the removal of old versions. The proposer applies such limits.
//! 4. Indexes only grow; an entry is applied once.

use std::sync::Arc;

use bytes::Bytes;
use conclave_proto::command::{self, command::Body};
use conclave_proto::errors::ApiError;
use conclave_proto::etcdserverpb as api;
use prost::Message;

use crate::auth::Auth;
use crate::engine::{Batch, Durability, Engine, Read};
use crate::fault::Fault;
use crate::ids::{ClusterId, Index, MemberId, Revision, Term};
use crate::layout;
use crate::log;
use crate::membership::{self, Membership};
use crate::mvcc::compact::{self, Progress};
use crate::mvcc::pending::Pending;
use crate::mvcc::query::header;
use crate::reader::{Applied, ReadError, Reader};

pub(crate) mod alarm;
pub mod validate;

mod auth;
mod kind;
mod kv;
mod lease;
mod lease_permits;
mod outcome;
mod state;
mod txn;

#[cfg(test)]
mod entry_tests;
#[cfg(test)]
mod model;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod script;

use alarm::Alarms;
pub use kind::CommandKind;
use lease_permits::LeasePermits;
pub use outcome::{
    Authenticated, Done, Effects, LeaseEffect, LoginEffect, Outcome, Rejected, Reply,
};
pub(crate) use state::State;

pub use crate::mvcc::{Change, ChangeKind, Changes};

/// Version of the payload of log entries that this program writes and reads.
pub const PAYLOAD_VERSION: u32 = 1;

/// Index and term of the beginning of a cluster. The first entry of the log comes after it.
pub const GENESIS: (Index, Term) = (Index(1), Term(1));

/// Bounds on the work of one call. They never decide outcomes: see the third invariant of the
/// module.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Rows of history that one [`Machine::compact_step`] visits; about 10 us each.
    pub compaction_rows: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            compaction_rows: 1000,
        }
    }
}

/// The beginning of a cluster.
#[derive(Clone, Debug)]
pub struct Genesis {
    /// The id of the cluster, which is one.
    pub cluster_id: ClusterId,
    /// The first members.
    pub members: Vec<command::Member>,
}

/// The state machine. One thread owns it; it alone writes the state store.
pub struct Machine {
    engine: Arc<dyn Engine>,
    limits: Limits,
    reader: Reader,
    /// As of the last applied entry, committed or not, like `membership`, `alarms` and `auth`.
    state: State,
    membership: Membership,
    alarms: Alarms,
    /// Shared with readers until the next change.
    auth: Arc<Auth>,
    compaction: Progress,
    pending: Pending,
    effects: Effects,
    /// True if entries were applied since the last commit.
    dirty: bool,
    lease_permits: LeasePermits,
    /// The member whose replies are complete, if not all are: see [`Machine::answer_only`].
    answers: Option<MemberId>,
}

impl Machine {
    /// Opens the state in `engine` at its last commit, and its read side.
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
        let auth = Arc::new(Auth::read(&*engine)?);
        let reader = Reader::new(engine.clone(), cluster_id);
        let mut machine = Machine {
            engine,
            limits,
            reader: reader.clone(),
            state,
            membership,
            alarms,
            auth,
            compaction,
            pending: Pending::new(state.revision),
            effects: Effects::default(),
            dirty: false,
            lease_permits: LeasePermits::default(),
            answers: None,
        };
        machine.publish_all();
        Ok((machine, reader))
    }

    /// Writes the beginning of a cluster into an empty store, durably. It counts as the entry
    /// [`GENESIS`], which is in no member's log. So a member that joins later cannot start from the
    /// log alone, and gets the beginning with a snapshot.
    pub fn bootstrap(&mut self, genesis: &Genesis) -> Result<(), Fault> {
        assert!(
            self.reader.cluster_id() == ClusterId::NONE && genesis.cluster_id != ClusterId::NONE,
            "a cluster begins once"
        );
        (self.state.index, self.state.term) = GENESIS;
        let mut batch = Batch::default();
        batch.put(
            layout::META,
            layout::META_CLUSTER,
            genesis.cluster_id.0.to_be_bytes(),
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

    /// Replaces the state by that of a snapshot from the leader, which is in `engine`. The read
    /// side follows. Everything applied must have been committed.
    ///
    /// # Panics
    /// When the snapshot is not ahead of this state. Consensus accepts no such snapshot.
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
        // Before the state can be read to which it applies.
        self.reader.set_auth(&next.auth);
        self.reader.replace_engine(engine, next.state.compacted);
        *self = Machine {
            reader: self.reader.clone(),
            answers: self.answers,
            ..next
        };
        self.publish_all();
        Ok(())
    }

    /// Returns to the last commit, as if nothing had been applied since.
    pub fn forget_uncommitted(&mut self) -> Result<(), Fault> {
        let (committed, _) = Machine::open(Arc::clone(&self.engine), self.limits)?;
        let reader = self.reader.clone();
        *self = Machine {
            reader,
            ..committed
        };
        Ok(())
    }

    /// Removes all members but `id` and makes that one a voter, durably: for a cluster that has
    /// lost its majority for ever.
    pub fn force_sole_member(&mut self, id: MemberId) -> Result<(), Fault> {
        let mut batch = Batch::default();
        for member in self.membership.members() {
            if MemberId(member.id) == id {
                let is_learner = false;
                let voter = command::Member {
                    is_learner,
                    ..member
                };
                self.membership.set(voter, &mut batch);
            } else {
                let id = MemberId(member.id);
                let change = membership::Change::Remove { id };
                self.membership.apply(change, &mut batch);
            }
        }
        self.engine.write(batch, Durability::Eventual)?;
        self.engine.flush()?;
        self.publish_all();
        Ok(())
    }

    /// Skips the ranges in transactions that other members proposed, so replies to those are
    /// incomplete. No client of this member waits for them, and a large range would cost every
    /// member the time and memory that it costs the proposer.
    pub fn answer_only(&mut self, member_id: MemberId) {
        self.answers = Some(member_id);
    }

    /// Applies one entry of the log: a batch of commands, with one outcome each, or the empty entry
    /// of a new leader.
    ///
    /// # Errors
    /// [`Fault::Entry`] for an entry that does not decode. None of its commands is applied then.
    pub fn apply(&mut self, index: Index, term: Term, payload: &Bytes) -> Result<Vec<Done>, Fault> {
        let commands = decode(payload).map_err(|reason| Fault::Entry {
            index,
            term,
            hash: log::entry_checksum(index, term, log::EntryKind::Normal, payload),
            reason,
        })?;
        self.advance(index, term);
        let engine = Arc::clone(&self.engine);
        // One view serves all commands, because nothing is written to the engine before the commit.
        let read = engine.lookups();
        let done = commands.into_iter().map(|(header, body)| {
            let kind = CommandKind::of(&body);
            let outcome = split(self.dispatch(&*read, &header, body))?;
            Ok(Done {
                header,
                kind,
                outcome,
            })
        });
        done.collect()
    }

    /// Applies one configuration change of the log.
    pub fn apply_member(
        &mut self,
        index: Index,
        term: Term,
        header: command::Header,
        change: membership::Change,
    ) -> Done {
        self.advance(index, term);
        Done {
            outcome: self.change_members(change),
            header,
            kind: CommandKind::MemberChange,
        }
    }

    fn change_members(&mut self, change: membership::Change) -> Outcome {
        self.membership.check(&change).map_err(Rejected)?;
        self.membership.apply(change, &mut self.pending.batch);
        self.effects.members_changed = true;
        Ok(Reply::Members(self.membership.members()))
    }

    /// Writes everything applied since the last commit, publishes it to readers, and returns its
    /// effects.
    pub fn commit(&mut self) -> Result<Effects, Fault> {
        self.commit_with(|_| {})
    }

    /// Like [`Machine::commit`], and calls `before_published` when the effects are certain and no
    /// reader sees them yet.
    pub fn commit_with(
        &mut self,
        before_published: impl FnOnce(&Effects),
    ) -> Result<Effects, Fault> {
        if !self.dirty {
            return Ok(Effects::default());
        }
        let mut batch = self.pending.take(self.state.revision);
        batch.put(layout::META, layout::META_APPLIED, self.state.encode());
        self.engine.write(batch, Durability::Eventual)?;
        self.dirty = false;
        before_published(&self.effects);
        self.publish();
        Ok(std::mem::take(&mut self.effects))
    }

    /// Does one bounded step of the removal of compacted history, in a batch of its own. Returns
    /// true if more steps are needed. Everything applied must have been committed.
    pub fn compact_step(&mut self) -> Result<bool, Fault> {
        assert!(
            !self.dirty,
            "a step of compaction does not mix with entries: commit first"
        );
        if self.compaction.finished == self.state.compacted {
            return Ok(false);
        }
        let rows = self.limits.compaction_rows.max(1);
        let read = self.engine.lookups();
        let step = compact::step(&*read, self.compaction, self.state.compacted, rows)?;
        drop(read);
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

    /// The members after the last applied entry, with the rules for changing them.
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    fn advance(&mut self, index: Index, term: Term) {
        assert!(
            index > self.state.index,
            "entry {index} after {}",
            self.state.index
        );
        self.state.index = index;
        self.state.term = term;
        self.dirty = true;
    }

    /// Executes a command. The header has what the proposer knew and the machine may not find out
    /// by itself: who proposed it, when, and in whose name.
    fn dispatch(
        &mut self,
        read: &dyn Read,
        header: &command::Header,
        body: Body,
    ) -> Result<Reply, ReadError> {
        self.permit(read, header, &body)?;
        let is_answered = self
            .answers
            .is_none_or(|id| id == MemberId(header.member_id));
        match body {
            Body::Put(request) => self.put(read, &request).map(Reply::Put),
            Body::DeleteRange(request) => self.delete_range(read, &request).map(Reply::DeleteRange),
            Body::Txn(request) => self.txn(read, &request, is_answered).map(Reply::Txn),
            Body::Compaction(request) => self.compaction(&request).map(Reply::Compaction),
            Body::LeaseGrant(request) => self.lease_grant(read, &request).map(Reply::LeaseGrant),
            Body::LeaseRevoke(request) => self.lease_revoke(read, &request).map(Reply::LeaseRevoke),
            Body::LeaseExpire(request) => {
                if self.is_of_term(Term(request.term)) {
                    self.lease_expire(read, &request)?;
                }
                Ok(Reply::LeaseExpire)
            }
            Body::LeaseCheckpoint(request) => {
                let counts = self.is_of_term(Term(request.term));
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
            body @ (Body::AuthEnable(_)
            | Body::AuthDisable(_)
            | Body::Authenticate(_)
            | Body::UserAdd(_)
            | Body::UserDelete(_)
            | Body::UserChangePassword(_)
            | Body::UserGrantRole(_)
            | Body::UserRevokeRole(_)
            | Body::RoleAdd(_)
            | Body::RoleDelete(_)
            | Body::RoleGrantPermission(_)
            | Body::RoleRevokePermission(_)) => Ok(self.change_auth(body)?),
        }
    }

    /// True if a command of a leader of `term` still counts. After a new term began, what the old
    /// leader knew of leases is out of date. [`Term::NONE`] is no condition.
    fn is_of_term(&self, term: Term) -> bool {
        term == Term::NONE || term == self.state.term
    }

    /// Moves the compact revision. [`Machine::compact_step`] removes the unreadable versions later.
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

    /// A header with the current revision.
    fn header(&self) -> Option<api::ResponseHeader> {
        header(self.state.revision)
    }

    /// Publishes everything, changed or not. Everything applied must have been committed.
    fn publish_all(&mut self) {
        self.effects.members_changed = true;
        self.effects.alarms_changed = true;
        self.effects.auth_changed = true;
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
        if self.effects.auth_changed {
            self.reader.set_auth(&self.auth);
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
        let (changes, finished) = (&self.effects.changes, self.compaction.finished);
        self.reader.publish(changes, &applied, size, finished);
    }
}

/// Decodes the commands of an entry, which share its memory. An error is the reason for the fault.
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

/// Separates outcomes from faults.
fn split(result: Result<Reply, ReadError>) -> Result<Outcome, Fault> {
    match result {
        Ok(reply) => Ok(Ok(reply)),
        Err(ReadError::Rejected(error)) => Ok(Err(Rejected(error))),
        Err(ReadError::Fault(fault)) => Err(fault),
        Err(ReadError::Stopped) => unreachable!("the machine reads without a meter"),
    }
}
