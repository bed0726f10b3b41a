//! The raft state machine of one member. The parent module describes the model.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{HardState, Message, MessageType};
use raft::{Config, RawNode, ReadOnlyOption, SnapshotStatus, StateRole};

use conclave_proto::command::{MemberChange, member_change};
use conclave_storage::log::{self, Append, EntryKind, Log, LogState};
use conclave_storage::{Index, MemberId, Term};

use super::RaftStatus;
use super::configuration::{self, Configuration};
use super::follower_reads::is_question;
use super::logger;
use super::peer_message::{self, Local, Unfit};
use super::reader::{Reader, from_raft, kind};
use super::reads::Context;
use super::timing::Suspicion;
use crate::limits;
use crate::seed::SplitMix64;

/// Settings of a node.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Id of this member.
    pub member_id: MemberId,
    /// Ticks between two heartbeats of a leader.
    pub heartbeat_ticks: usize,
    /// Minimum number of ticks without a leader before an election; the maximum is twice as many.
    pub election_ticks: usize,
    /// Enables pre-vote: the member asks for pre-votes before it starts an election.
    pub pre_vote: bool,
    /// Index that the state machine has applied: entries up to it are not returned again.
    pub applied: Index,
    /// Seed for the randomized election timeouts.
    pub seed: u64,
}

/// Position of a payload in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Index of the entry.
    pub index: Index,
    /// Term of the entry.
    pub term: Term,
}

/// A committed log entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedEntry {
    /// Position of the entry in the log.
    pub position: Position,
    /// Kind of the payload.
    pub kind: EntryKind,
    /// The payload; empty in the entry that a new leader begins its term with.
    pub payload: Bytes,
}

/// A message to send to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The receiving member.
    pub to: MemberId,
    /// The library's encoded message.
    pub message: Bytes,
}

/// The answer to a read-index round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadAnswer {
    /// The context that the round was started with: [`Context::encode`].
    pub context: Vec<u8>,
    /// Index that must be applied before a read of the round is served.
    pub index: Index,
}

/// A snapshot to send to a member, with the files of the snapshot that the reader was offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingSnapshot {
    /// The receiving member.
    pub to: MemberId,
    /// Position of the last entry in the snapshot.
    pub position: Position,
    /// The library's encoded message that announces the snapshot.
    pub message: Bytes,
}

/// A received snapshot that replaces the log and the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    /// Position of the last entry in the snapshot.
    pub position: Position,
    /// The configuration to store with the log.
    pub configuration: Bytes,
}

/// Reason why a membership change was not appended to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotProposed {
    /// This member is not the leader.
    NotLeader,
    /// Another change or a leadership transfer is in progress; retry later.
    Busy,
    /// The change is of no kind that this release knows.
    Malformed,
}

/// Everything to do since the previous work. The order is: send, pass on the committed entries,
/// restore, append.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Work {
    /// Number of this work, for [`Node::persisted`].
    pub number: u64,
    /// Records to write to disk, and the flag that requires a sync.
    pub append: Option<Append>,
    /// Messages that may be sent now. (A message that must wait for the append is held, and is part
    /// of a later work.)
    pub messages: Vec<Outgoing>,
    /// Entries that may be applied now, in order.
    pub committed: Vec<CommittedEntry>,
    /// Answers to read-index rounds.
    pub reads: Vec<ReadAnswer>,
    /// Snapshots to send to members.
    pub snapshots: Vec<OutgoingSnapshot>,
    /// A snapshot to install. It is confirmed like an append, by the work's number, together with
    /// the append of the same work, which follows it.
    pub restore: Option<Restore>,
}

/// Error for bytes that are not a message of the library, or a change that this release does not
/// know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Reason why a peer's message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The bytes are not a message of the library.
    #[error("it is no raft message")]
    Malformed,
    /// The message is one that no correct member sends.
    #[error(transparent)]
    Unfit(Unfit),
    /// The leader knows that this member acknowledged entries that are not in its log: the contents
    /// of this member's disk were lost, and with them the votes it gave.
    #[error("it expects entries up to {expected} in a log that ends at {last_index}")]
    LogLost {
        /// Last index that the leader knows this member to have.
        expected: Index,
        /// Last index in this member's log.
        last_index: Index,
    },
}

/// The raft node of one member; the parent module describes the model.
pub struct Node {
    pub(super) raw: RawNode<Reader>,
    pub(super) settings: Settings,
    pub(super) random: SplitMix64,
    /// Role, term and leader for which the election timeout was last set.
    pub(super) pinned: Option<(StateRole, Term, MemberId)>,
    pub(super) suspicion: Option<Suspicion>,
    /// Role and term after the last input.
    role: (StateRole, Term),
    /// Index of the last membership change in the configuration.
    configured_at: Index,
    /// Work number and index of a snapshot that is being installed.
    restoring: Option<(u64, Index)>,
    /// Index of the first entry in this leader's term.
    term_start: Index,
    /// Appends returned as work but not yet confirmed: the work's number and the last index that
    /// the append makes durable.
    appends: VecDeque<(u64, Option<Index>)>,
    /// Messages that wait for the append of a work, with that work's number.
    held: VecDeque<(u64, Vec<Outgoing>)>,
    /// Messages that are no longer held, and responses that never have to be.
    pub(super) released: Vec<Outgoing>,
    last_number: u64,
    /// Accepts entries from a leader: see [`Node::take_entries`].
    takes_entries: bool,
}

impl Node {
    /// Opens a follower on `log`. `state` is what [`Log::open`] returned; the configuration is the
    /// one stored in the log.
    ///
    /// # Errors
    /// Returns [`Malformed`] if that configuration cannot be decoded.
    pub fn open(settings: Settings, log: Arc<Log>, state: &LogState) -> Result<Node, Malformed> {
        let configuration = Configuration::decode(&state.conf_state)?;
        let configured_at = configuration.index;
        let reader = Reader::new(log, state, configuration, settings.applied);
        Ok(Node::new(settings, reader, configured_at))
    }

    /// Creates a follower. `configured_at` is the index that was stored with the configuration.
    pub fn new(settings: Settings, reader: Reader, configured_at: Index) -> Node {
        let config = Config {
            id: settings.member_id.0,
            election_tick: settings.election_ticks,
            heartbeat_tick: settings.heartbeat_ticks,
            applied: settings.applied.0,
            // Zero, the default, would mean one entry per message.
            max_size_per_msg: limits::APPEND_MESSAGE_BYTES_MAX,
            max_inflight_msgs: limits::APPEND_MESSAGES_IN_FLIGHT_MAX,
            // A leader cut off from the majority must step down, or it would accept commands for
            // ever.
            check_quorum: true,
            pre_vote: settings.pre_vote,
            read_only_option: ReadOnlyOption::Safe,
            max_uncommitted_size: limits::UNCOMMITTED_BYTES_MAX,
            max_committed_size_per_ready: limits::COMMITTED_BYTES_MAX,
            ..Config::default()
        };
        let raw = RawNode::new(&config, reader, &logger::to_tracing())
            .expect("the configuration is checked and the first read of the log is from memory");
        let mut node = Node {
            raw,
            settings,
            random: SplitMix64::new(settings.seed),
            pinned: None,
            suspicion: None,
            role: (StateRole::Follower, Term::NONE),
            configured_at,
            restoring: None,
            term_start: Index::NONE,
            appends: VecDeque::new(),
            held: VecDeque::new(),
            released: Vec::new(),
            last_number: 0,
            takes_entries: true,
        };
        node.after_input();
        node
    }

    /// Advances the node by one clock tick.
    pub fn tick(&mut self) {
        if self.must_not_stand() {
            self.raw.raft.election_elapsed = 0;
        }
        self.raw.tick();
        self.follow_suspicion();
        self.after_input();
    }

    /// Starts an election now. A sole voter wins at once.
    pub fn campaign(&mut self) {
        if self.must_not_stand() {
            return;
        }
        // Fails only while a configuration change waits to be applied; the next election timeout
        // retries.
        let _ = self.raw.campaign();
        self.after_input();
    }

    /// Processes a message from the member `from`. Any bytes are safe: the message is either
    /// accepted or refused.
    pub fn step(&mut self, from: MemberId, message: &Bytes) -> Result<(), Refused> {
        let mut message =
            Message::parse_from_carllerche_bytes(message).map_err(|_| Refused::Malformed)?;
        let local = self.local();
        peer_message::check(&message, from, &local).map_err(Refused::Unfit)?;
        let last_index = local.last_index;
        match message.get_msg_type() {
            // A leader sends the lesser of its commit index and the index this member acknowledged.
            MessageType::MsgHeartbeat
                if Index(message.commit) > last_index && Term(message.term) >= local.term =>
            {
                // Only a listed member of this cluster may stop this member. The commit index of an
                // unlisted sender proves nothing; if the sender is a leader that is not listed yet,
                // this member waits for a listed leader.
                if self.raw.raft.prs().get(from.0).is_none() {
                    return Err(Refused::Unfit(Unfit::Commit));
                }
                return Err(Refused::LogLost {
                    expected: Index(message.commit),
                    last_index,
                });
            }
            MessageType::MsgTimeoutNow if self.must_not_stand() => return Ok(()),
            // A rejection says what the other member knows to be committed, and it can be the only
            // source: a removed leader does not send its entries, and rejects a member whose log is
            // shorter, though its removal may be all that this member still has to learn. The
            // library ignores the rejection if the other member has not heard of this term.
            MessageType::MsgRequestPreVoteResponse if message.reject => {
                message.term = message.term.max(local.term.0);
            }
            MessageType::MsgAppend if !self.takes_entries => return Ok(()),
            MessageType::MsgReadIndex => match self.answer_question(message) {
                Some(question) => message = question,
                None => return Ok(()),
            },
            _ => {}
        }
        // The library returns an error when the message arrived too late to matter.
        let _ = self.raw.step(message);
        self.after_input();
        Ok(())
    }

    /// Switches the acceptance of entries from a leader. Entries that are refused are dropped here,
    /// as if the network had lost them, and the leader sends them again. The leader still receives
    /// this member's responses to heartbeats.
    pub(crate) fn take_entries(&mut self, takes_entries: bool) {
        self.takes_entries = takes_entries;
    }

    /// Returns the local state that a message is checked against.
    fn local(&self) -> Local {
        let raft = &self.raw.raft;
        let last_index = raft.raft_log.last_index();
        Local {
            id: MemberId(raft.id),
            term: Term(raft.term),
            role: raft.state,
            last_index: Index(last_index),
            is_durable: self.appends.is_empty() && raft.raft_log.persisted == last_index,
        }
    }

    /// Processes the message that announces a snapshot whose files are on this member. `found` is
    /// the position of these files. If raft accepts the snapshot, the next work has a [`Restore`].
    pub fn step_snapshot(&mut self, message: &Bytes, found: Position) -> Result<(), Refused> {
        let message =
            Message::parse_from_carllerche_bytes(message).map_err(|_| Refused::Malformed)?;
        peer_message::check_snapshot(&message, &self.local()).map_err(Refused::Unfit)?;
        let metadata = message.get_snapshot().get_metadata();
        if (Index(metadata.index), Term(metadata.term)) != (found.index, found.term) {
            return Err(Refused::Unfit(Unfit::SnapshotPosition));
        }
        let _ = self.raw.step(message);
        self.after_input();
        Ok(())
    }

    /// Reports to raft that a message to a member was lost.
    pub fn unreachable(&mut self, member_id: MemberId) {
        self.raw.report_unreachable(member_id.0);
    }

    /// Reports to raft if a snapshot for a member arrived or failed.
    pub fn snapshot_sent(&mut self, to: MemberId, arrived: bool) {
        let status = match arrived {
            true => SnapshotStatus::Finish,
            false => SnapshotStatus::Failure,
        };
        self.raw.report_snapshot(to.0, status);
    }

    /// Returns true if a member needs a snapshot and none was offered. Returns true once per need.
    pub fn wants_snapshot(&mut self) -> bool {
        self.raw.mut_store().take_wanted()
    }

    /// Sets or clears the snapshot that can be sent from now on: the snapshot's last position and
    /// the configuration of its members.
    pub(crate) fn offer_snapshot(&mut self, offer: Option<(Position, Configuration)>) {
        self.raw.mut_store().offer(offer);
    }

    /// Transfers leadership to a voter. No proposals are accepted meanwhile; the transfer ends, by
    /// success or failure, within an election timeout.
    pub fn transfer_leader(&mut self, to: MemberId) {
        self.raw.transfer_leader(to.0);
    }

    /// Repeats the leadership transfer, in case its message was lost.
    pub(crate) fn transfer_again(&mut self, to: MemberId) {
        self.raw.raft.abort_leader_transfer();
        self.raw.transfer_leader(to.0);
    }

    /// Returns true while a leadership transfer is in progress.
    pub(crate) fn is_transferring(&self) -> bool {
        self.raw.raft.lead_transferee.is_some()
    }

    /// Returns the best candidate for a leadership transfer: a voter that was active recently and
    /// has the longest log. Returns `None` if there is none.
    pub fn successor(&self) -> Option<MemberId> {
        let raft = &self.raw.raft;
        let voters = raft.prs().conf().voters().clone();
        let others = raft
            .prs()
            .iter()
            .filter(|&(&id, progress)| {
                id != raft.id && progress.recent_active && voters.contains(id)
            })
            .map(|(&id, progress)| (progress.matched, std::cmp::Reverse(id)));
        others.max().map(|(_, std::cmp::Reverse(id))| MemberId(id))
    }

    /// Returns the last index of this member's log.
    pub fn last_index(&self) -> Index {
        Index(self.raw.raft.raft_log.last_index())
    }

    /// Returns true if the member is a voter, and so may lead.
    pub fn is_voter(&self, member_id: MemberId) -> bool {
        self.raw.raft.prs().conf().voters().contains(member_id.0)
    }

    /// Steps down without a successor.
    pub fn resign(&mut self) {
        let term = self.raw.raft.term;
        self.raw.raft.become_follower(term, 0);
        self.after_input();
    }

    /// Returns the last index up to which another member's log is known to match the leader's.
    pub(crate) fn matched(&self, member_id: MemberId) -> Option<Index> {
        let progress = self.raw.raft.prs().get(member_id.0)?;
        Some(Index(progress.matched))
    }

    /// Appends a membership change to the log. Only one change may be in progress at a time.
    pub fn propose_change(&mut self, change: &MemberChange) -> Result<Position, NotProposed> {
        let raft = &self.raw.raft;
        if raft.state != StateRole::Leader {
            return Err(NotProposed::NotLeader);
        }
        // Raft would append an empty entry instead of the change.
        if raft.has_pending_conf() || raft.lead_transferee.is_some() {
            return Err(NotProposed::Busy);
        }
        let change = configuration::to_raft(change).ok_or(NotProposed::Malformed)?;
        self.raw
            .propose_conf_change(Vec::new(), change)
            .map_err(|_| NotProposed::Busy)?;
        Ok(self.just_proposed())
    }

    /// Appends a payload to the log. Returns `None` if this member is not the leader or may not
    /// accept more.
    pub fn propose(&mut self, payload: Vec<u8>) -> Option<Position> {
        // A follower would forward it, and the proposer would never learn its position.
        if self.raw.raft.state != StateRole::Leader {
            return None;
        }
        self.raw.propose(Vec::new(), payload).ok()?;
        Some(self.just_proposed())
    }

    /// Returns the position of the entry that this leader has just appended.
    fn just_proposed(&self) -> Position {
        Position {
            index: self.last_index(),
            term: Term(self.raw.raft.term),
        }
    }

    /// Starts a read-index round. It may never be answered: see [`super::reads`].
    pub fn read_index(&mut self, context: Context) {
        self.raw.read_index(context.encode());
    }

    /// Confirms that the append of work `number`, and every append before it, is on disk.
    pub fn persisted(&mut self, number: u64) {
        while let Some(&(appended, last_index)) = self.appends.front()
            && appended <= number
        {
            self.appends.pop_front();
            if let Some(index) = last_index {
                self.raw.mut_store().persisted(index);
            }
        }
        // Work without an append was complete when it was returned, so if no append is outstanding,
        // everything is on disk.
        let through = if self.appends.is_empty() {
            self.last_number
        } else {
            number
        };
        // The library treats an append as durable if the log still has, or again has, the append's
        // last entry. That entry cannot have been replaced and brought back while the append was
        // being written: to go back so far, a leader needs this member's rejection, which waits for
        // the earlier appends.
        self.raw.on_persist_ready(through);
        if let Some((_, index)) = self.restoring.take_if(|(number, _)| *number <= through) {
            // The state machine continues from there, once it has installed the snapshot.
            self.raw.advance_apply_to(index.0);
        }
        while self
            .held
            .front()
            .is_some_and(|(waits_for, _)| *waits_for <= through)
        {
            let (_, messages) = self.held.pop_front().expect("there is a front");
            self.released.extend(messages);
        }
        self.after_input();
    }

    /// Records that the state machine has applied everything through `index`.
    pub fn applied(&mut self, index: Index) {
        if index.0 > self.raw.raft.raft_log.applied() {
            self.raw.advance_apply_to(index.0);
        }
    }

    /// Applies a committed membership change that the rules allow. Must be called for each such
    /// change, in order, before the next [`Node::work`]. Returns the configuration to store with
    /// the log, or `None` if it is already stored.
    pub fn apply_change(&mut self, entry: &CommittedEntry) -> Result<Option<Bytes>, Malformed> {
        if entry.kind != EntryKind::ConfChange {
            return Err(Malformed);
        }
        if entry.position.index <= self.configured_at {
            return Ok(None);
        }
        let (change, ours) = configuration::from_raft(&entry.payload)?;
        self.configured_at = entry.position.index;
        if matches!(ours.change, Some(member_change::Change::Update(_))) {
            return Ok(None);
        }
        let conf_state = self.raw.apply_conf_change(&change).map_err(|_| Malformed)?;
        let raft = &mut self.raw.raft;
        if raft.state == StateRole::Leader && !raft.promotable() {
            // This leader was removed. The library would still count the leader's own
            // acknowledgements, for which it no longer has a progress entry. The other members
            // learn that the entry is committed, and elect.
            raft.bcast_append();
            let term = raft.term;
            raft.become_follower(term, 0);
        }
        self.after_input();
        let configuration = Configuration {
            conf_state,
            index: entry.position.index,
        };
        Ok(Some(configuration.encode()))
    }

    /// Announces that the log will drop everything through `index`. These entries must be applied
    /// and not needed by a follower.
    pub fn compact(&mut self, index: Index) {
        self.raw.mut_store().compact(index);
    }

    /// Returns the first index the log still has.
    pub fn first_index(&self) -> Index {
        Index(self.raw.raft.raft_log.first_index())
    }

    /// Returns the member's view of raft's term, leader and roles after the last input.
    pub fn raft_status(&self) -> RaftStatus {
        let raft = &self.raw.raft;
        let conf = raft.prs().conf();
        RaftStatus {
            term: Term(raft.term),
            leader: MemberId(raft.leader_id),
            is_leader: raft.state == StateRole::Leader,
            is_learner: conf.learners().contains(&raft.id),
            is_sole_voter: raft.prs().is_singleton() && conf.voters().contains(raft.id),
        }
    }

    /// Returns true if the configuration has this member alone: no other voter, and no learner.
    pub(crate) fn is_sole_member(&self) -> bool {
        let has_learners = !self.raw.raft.prs().conf().learners().is_empty();
        self.raft_status().is_sole_voter && !has_learners
    }

    /// Returns the last index known to be committed.
    pub fn committed_index(&self) -> Index {
        Index(self.raw.raft.raft_log.committed)
    }

    /// Returns the index of the first entry in this leader's term. Meaningless unless this member
    /// leads.
    pub(crate) fn term_start(&self) -> Index {
        self.term_start
    }

    /// Returns everything to do since the previous call, or `None` if there is nothing.
    pub fn work(&mut self) -> Option<Work> {
        let released = std::mem::take(&mut self.released);
        if !self.raw.has_ready() {
            if released.is_empty() {
                return None;
            }
            return Some(Work {
                messages: released,
                ..Work::default()
            });
        }
        let mut ready = self.raw.ready();
        let number = ready.number();
        self.last_number = number;
        let mut work = Work {
            number,
            messages: released,
            ..Work::default()
        };
        if !ready.snapshot().is_empty() {
            work.restore = Some(self.take_restore(&ready));
        }
        for message in ready.take_messages() {
            match message.get_msg_type() {
                MessageType::MsgSnapshot => work.snapshots.push(outgoing_snapshot(&message)),
                _ => work.messages.push(encode(&message)),
            }
        }
        work.committed = ready
            .take_committed_entries()
            .into_iter()
            .map(committed)
            .collect();
        work.reads = ready
            .take_read_states()
            .into_iter()
            .map(|read| ReadAnswer {
                context: read.request_ctx,
                index: Index(read.index),
            })
            .collect();
        let mut waiting = ready.take_persisted_messages();
        // A read-index request makes no promise that would have to be on disk first.
        let questions = waiting.extract_if(.., |message| is_question(message));
        work.messages
            .extend(questions.map(|question| encode(&self.stamped(question))));
        let waiting: Vec<_> = waiting.iter().map(encode).collect();
        work.append = self.take_append(&mut ready);
        self.raw.advance_append_async(ready);

        if work.append.is_some() || work.restore.is_some() {
            let entries = work.append.as_ref().map(|append| &append.entries);
            let last = entries.and_then(|entries| entries.last());
            self.appends
                .push_back((number, last.map(|entry| entry.index)));
        }
        if self.appends.is_empty() {
            work.messages.extend(waiting);
            self.raw.on_persist_ready(number);
        } else if !waiting.is_empty() {
            self.held.push_back((number, waiting));
        }
        Some(work)
    }

    /// Extracts the snapshot in a ready list. From here on the reader's log begins after the
    /// snapshot.
    fn take_restore(&mut self, ready: &raft::Ready) -> Restore {
        let metadata = ready.snapshot().get_metadata();
        let position = Position {
            index: Index(metadata.index),
            term: Term(metadata.term),
        };
        // The snapshot replaces whatever is being written to disk.
        for (_, last_index) in &mut self.appends {
            *last_index = None;
        }
        self.raw.mut_store().restore(position);
        self.configured_at = position.index;
        self.restoring = Some((ready.number(), position.index));
        let configuration = Configuration {
            conf_state: metadata.get_conf_state().clone(),
            index: position.index,
        };
        Restore {
            position,
            configuration: configuration.encode(),
        }
    }

    /// Returns true if this member must not start an election now. Two states forbid it: a snapshot
    /// is being installed, so the library cannot read its log yet; or this member is a sole voter,
    /// which wins at once, and an entry is not on disk.
    pub(super) fn must_not_stand(&self) -> bool {
        let log = &self.raw.raft.raft_log;
        // The first entry of the last term may not even have been returned as work yet, if a
        // message ended that term at once.
        let is_on_disk = self.appends.is_empty() && log.persisted == log.last_index();
        self.restoring.is_some() || (self.raft_status().is_sole_voter && !is_on_disk)
    }

    /// Takes the part of a ready list that goes to disk. A commit index alone is not written: it
    /// goes out with the next append, and if there is none, the next election finds it again
    /// (raft's paper calls it volatile). On a sole voter this saves every second write.
    fn take_append(&mut self, ready: &mut raft::Ready) -> Option<Append> {
        if !ready.must_sync() {
            return None;
        }
        let entries = ready.take_entries();
        if let Some(first) = entries.first() {
            // The new entries replace whatever an outstanding append writes from this index on, so
            // that append's confirmation does not cover it.
            for (_, last_index) in &mut self.appends {
                *last_index = (*last_index).map(|last| last.min(Index(first.index).previous()));
            }
        }
        let append = Append {
            entries: entries.iter().map(from_raft).collect(),
            hard_state: Some(hard_state(&self.raw.raft.hard_state())),
            conf_state: None,
            sync: true,
        };
        self.raw.mut_store().append(entries);
        Some(append)
    }

    /// Runs after every input: sets the election timeout, and records the first index of a leader's
    /// term.
    fn after_input(&mut self) {
        self.pin_timeout();
        let now = (self.raw.raft.state, Term(self.raw.raft.term));
        if self.role == now {
            return;
        }
        self.role = now;
        if self.raw.raft.state == StateRole::Leader {
            // Nothing has been proposed since, so the last entry is the empty entry that begins the
            // term.
            self.term_start = self.last_index();
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("raft_status", &self.raft_status())
            .finish_non_exhaustive()
    }
}

fn hard_state(state: &HardState) -> log::HardState {
    log::HardState {
        term: Term(state.term),
        vote: MemberId(state.vote),
        commit: Index(state.commit),
    }
}

pub(super) fn encode(message: &Message) -> Outgoing {
    Outgoing {
        to: MemberId(message.to),
        message: message.write_to_bytes().expect("writing to memory").into(),
    }
}

fn outgoing_snapshot(message: &Message) -> OutgoingSnapshot {
    let metadata = message.get_snapshot().get_metadata();
    OutgoingSnapshot {
        to: MemberId(message.to),
        position: Position {
            index: Index(metadata.index),
            term: Term(metadata.term),
        },
        message: encode(message).message,
    }
}

fn committed(entry: raft::eraftpb::Entry) -> CommittedEntry {
    CommittedEntry {
        position: Position {
            index: Index(entry.index),
            term: Term(entry.term),
        },
        kind: kind(&entry),
        payload: entry.data,
    }
}
