//! One member's part in the agreement: see the model in the module above.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{HardState, Message, MessageType};
use raft::{Config, RawNode, ReadOnlyOption, SnapshotStatus, StateRole};

use conclave_proto::command::{MemberChange, member_change};
use conclave_storage::log::{self, Append, EntryKind, Log, LogState};

use super::Standing;
use super::configuration::{self, Configuration};
use super::follower_reads::is_question;
use super::logger;
use super::peer_message::{self, Local, Unfit};
use super::reader::{Reader, from_raft, kind};
use super::reads::Context;
use super::timing::Suspicion;
use crate::limits;

/// How a node is set up.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Its id, not 0.
    pub member_id: u64,
    /// Ticks between two heartbeats of a leader.
    pub heartbeat_ticks: usize,
    /// Ticks without a leader before an election, at least; at most twice as many.
    pub election_ticks: usize,
    /// Whether to ask around before standing for election.
    pub pre_vote: bool,
    /// The index the state machine has applied: nothing up to it is handed out again.
    pub applied: u64,
    /// Where the randomized election timeouts come from.
    pub seed: u64,
}

/// Where a payload was put in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Its index.
    pub index: u64,
    /// Its term.
    pub term: u64,
}

/// An entry everybody will agree on for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedEntry {
    /// Its place in the log.
    pub position: Position,
    /// What kind of payload it has.
    pub kind: EntryKind,
    /// Empty for what a new leader begins its term with.
    pub payload: Bytes,
}

/// A message to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The member it is for.
    pub to: u64,
    /// The library's message, encoded.
    pub message: Bytes,
}

/// A read-index round's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadAnswer {
    /// What the round was begun with: [`Context::encode`].
    pub context: Vec<u8>,
    /// What must be applied before a read of the round may look.
    pub index: u64,
}

/// A snapshot that a member needs, to be sent with what the reader was offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingSnapshot {
    /// The member it is for.
    pub to: u64,
    /// The last entry in it.
    pub position: Position,
    /// The library's message that announces it, encoded.
    pub message: Bytes,
}

/// A snapshot that has come and takes the place of log and state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    /// The last entry in it.
    pub position: Position,
    /// The configuration to put on disk with the log.
    pub configuration: Bytes,
}

/// Why a membership change was not put into the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotProposed {
    /// This member does not lead.
    NotLeader,
    /// Later: one change at a time, or leadership is being handed over.
    Busy,
    /// It says nothing this release knows.
    Malformed,
}

/// What there is to do, all of it since the last time. The order: send, hand over what is
/// committed, restore, append.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Work {
    /// Names the append for [`Node::persisted`].
    pub number: u64,
    /// What to put on disk, and whether to sync.
    pub append: Option<Append>,
    /// What may leave now. (What must wait for the append is kept back and comes with a later
    /// work.)
    pub messages: Vec<Outgoing>,
    /// What may be applied now, in order.
    pub committed: Vec<CommittedEntry>,
    /// Read-index rounds that are answered.
    pub reads: Vec<ReadAnswer>,
    /// Snapshots to send.
    pub snapshots: Vec<OutgoingSnapshot>,
    /// A snapshot to put in place; confirmed like an append, by the work's number, and together
    /// with the append of the same work, which comes after it.
    pub restore: Option<Restore>,
}

/// Bytes that are not a message of the library, or a change that this release does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Why a peer's message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// See [`Malformed`].
    #[error("it is no raft message")]
    Malformed,
    /// It says what no correct member says.
    #[error(transparent)]
    Unfit(Unfit),
    /// The leader knows this member to have acknowledged entries that are not in its log: what was
    /// on its disk is lost, and with it the votes it gave.
    #[error("it expects entries up to {expected} in a log that ends at {last_index}")]
    LogLost {
        /// What the leader knows to be here.
        expected: u64,
        /// What is.
        last_index: u64,
    },
}

/// See the module above.
pub struct Node {
    pub(super) raw: RawNode<Reader>,
    pub(super) settings: Settings,
    pub(super) random: u64,
    /// Role, term and leader for which the election timeout was last pinned.
    pub(super) pinned: Option<(StateRole, u64, u64)>,
    pub(super) suspicion: Option<Suspicion>,
    /// Role and term after the last input.
    role: (StateRole, u64),
    /// The entry of the last membership change in the configuration.
    configured_at: u64,
    /// Work and index of a snapshot that is being put in place.
    restoring: Option<(u64, u64)>,
    /// The index a leader's term begins with.
    term_start: u64,
    /// Appends handed out and not yet confirmed: the work's number and the last index it made
    /// durable.
    appends: VecDeque<(u64, Option<u64>)>,
    /// Messages that wait for the append of a work.
    held: VecDeque<(u64, Vec<Outgoing>)>,
    /// Messages held no longer, and answers that need not be.
    pub(super) released: Vec<Outgoing>,
    last_number: u64,
    /// See [`Node::take_entries`].
    takes_entries: bool,
}

impl Node {
    /// Opens a follower on `log`, with `state` as [`Log::open`] returned it: the configuration is
    /// the one that is kept in the log.
    ///
    /// # Errors
    /// When that configuration cannot be decoded.
    pub fn open(settings: Settings, log: Arc<Log>, state: &LogState) -> Result<Node, Malformed> {
        let configuration = Configuration::decode(&state.conf_state)?;
        let configured_at = configuration.index;
        let reader = Reader::new(log, state, configuration, settings.applied);
        Ok(Node::new(settings, reader, configured_at))
    }

    /// A follower that has just woken up. `configured_at` is the index that came with the
    /// configuration.
    pub fn new(settings: Settings, reader: Reader, configured_at: u64) -> Node {
        let config = Config {
            id: settings.member_id,
            election_tick: settings.election_ticks,
            heartbeat_tick: settings.heartbeat_ticks,
            applied: settings.applied,
            // Zero, the default, would mean one entry a message.
            max_size_per_msg: limits::APPEND_MESSAGE_BYTES_MAX,
            max_inflight_msgs: limits::APPEND_MESSAGES_IN_FLIGHT_MAX,
            // A leader cut off from the majority must notice, or it would take commands for ever.
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
            random: settings.seed,
            pinned: None,
            suspicion: None,
            role: (StateRole::Follower, 0),
            configured_at,
            restoring: None,
            term_start: 0,
            appends: VecDeque::new(),
            held: VecDeque::new(),
            released: Vec::new(),
            last_number: 0,
            takes_entries: true,
        };
        node.after_input();
        node
    }

    /// A tick of the clock.
    pub fn tick(&mut self) {
        if self.must_not_stand() {
            self.raw.raft.election_elapsed = 0;
        }
        self.raw.tick();
        self.follow_suspicion();
        self.after_input();
    }

    /// Stands for election now. A sole voter wins at once.
    pub fn campaign(&mut self) {
        if self.must_not_stand() {
            return;
        }
        // Fails only while a configuration change waits to be applied; the next election timeout
        // tries again.
        let _ = self.raw.campaign();
        self.after_input();
    }

    /// A message from the member `from`. Whatever its bytes are, it is taken or refused.
    pub fn step(&mut self, from: u64, message: &Bytes) -> Result<(), Refused> {
        let mut message =
            Message::parse_from_carllerche_bytes(message).map_err(|_| Refused::Malformed)?;
        let local = self.local();
        peer_message::check(&message, from, &local).map_err(Refused::Unfit)?;
        let last_index = local.last_index;
        match message.get_msg_type() {
            // A leader sends the lesser of its commit index and what this member acknowledged.
            MessageType::MsgHeartbeat
                if message.commit > last_index && message.term >= local.term =>
            {
                // Only a member of this one's cluster may end it. A stranger need not know what is
                // committed; a leader that is not listed yet is a reason to wait for one that is.
                if self.raw.raft.prs().get(from).is_none() {
                    return Err(Refused::Unfit(Unfit::Commit));
                }
                let expected = message.commit;
                return Err(Refused::LogLost {
                    expected,
                    last_index,
                });
            }
            MessageType::MsgTimeoutNow if self.must_not_stand() => return Ok(()),
            MessageType::MsgAppend if !self.takes_entries => return Ok(()),
            MessageType::MsgReadIndex => match self.answer_question(message) {
                Some(question) => message = question,
                None => return Ok(()),
            },
            _ => {}
        }
        // An error here says that the message came too late to matter.
        let _ = self.raw.step(message);
        self.after_input();
        Ok(())
    }

    /// Whether entries from a leader are taken in. Those that are not are lost on this side of the
    /// network instead of on it, and the leader sends them again; it hears of this member by its
    /// answers to heartbeats.
    pub fn take_entries(&mut self, takes_entries: bool) {
        self.takes_entries = takes_entries;
    }

    /// What a message is checked against.
    fn local(&self) -> Local {
        let raft = &self.raw.raft;
        let last_index = raft.raft_log.last_index();
        Local {
            id: raft.id,
            term: raft.term,
            role: raft.state,
            last_index,
            is_durable: self.appends.is_empty() && raft.raft_log.persisted == last_index,
        }
    }

    /// The message that announces a snapshot whose files are here and are at position `found`. If
    /// raft takes it, the next work has a [`Restore`].
    pub fn step_snapshot(&mut self, message: &Bytes, found: Position) -> Result<(), Refused> {
        let message =
            Message::parse_from_carllerche_bytes(message).map_err(|_| Refused::Malformed)?;
        peer_message::check_snapshot(&message, &self.local()).map_err(Refused::Unfit)?;
        let metadata = message.get_snapshot().get_metadata();
        if (metadata.index, metadata.term) != (found.index, found.term) {
            return Err(Refused::Unfit(Unfit::SnapshotPosition));
        }
        let _ = self.raw.step(message);
        self.after_input();
        Ok(())
    }

    /// Something sent to a member was lost.
    pub fn unreachable(&mut self, member_id: u64) {
        self.raw.report_unreachable(member_id);
    }

    /// What became of a snapshot for a member.
    pub fn snapshot_sent(&mut self, to: u64, arrived: bool) {
        let status = match arrived {
            true => SnapshotStatus::Finish,
            false => SnapshotStatus::Failure,
        };
        self.raw.report_snapshot(to, status);
    }

    /// Whether a member needs a snapshot and none was offered. Asks once for each need.
    pub fn wants_snapshot(&mut self) -> bool {
        self.raw.mut_store().take_wanted()
    }

    /// A snapshot of the state of these members, up to `position`, can be sent from now on; or none
    /// any more.
    pub(crate) fn offer_snapshot(&mut self, offer: Option<(Position, Configuration)>) {
        self.raw.mut_store().offer(offer);
    }

    /// Hands leadership to a voter. Nothing is proposed meanwhile; it ends, one way or the other,
    /// within an election timeout.
    pub fn transfer_leader(&mut self, to: u64) {
        self.raw.transfer_leader(to);
    }

    /// The same again, in case the message that does it was lost.
    pub fn transfer_again(&mut self, to: u64) {
        self.raw.raft.abort_leader_transfer();
        self.raw.transfer_leader(to);
    }

    /// Whether leadership is being handed over.
    pub fn is_transferring(&self) -> bool {
        self.raw.raft.lead_transferee.is_some()
    }

    /// The voter that is best placed to lead instead of this member: heard of lately, with the
    /// longest log. `None` if there is none.
    pub fn successor(&self) -> Option<u64> {
        let raft = &self.raw.raft;
        let voters = raft.prs().conf().voters().clone();
        let others = raft
            .prs()
            .iter()
            .filter(|&(&id, progress)| {
                id != raft.id && progress.recent_active && voters.contains(id)
            })
            .map(|(&id, progress)| (progress.matched, std::cmp::Reverse(id)));
        others.max().map(|(_, std::cmp::Reverse(id))| id)
    }

    /// The last entry of this member's log.
    pub fn last_index(&self) -> u64 {
        self.raw.raft.raft_log.last_index()
    }

    /// Whether a member may lead.
    pub fn is_voter(&self, member_id: u64) -> bool {
        self.raw.raft.prs().conf().voters().contains(member_id)
    }

    /// Leads no longer, without a successor.
    pub fn resign(&mut self) {
        let term = self.raw.raft.term;
        self.raw.raft.become_follower(term, 0);
        self.after_input();
    }

    /// How far the leader knows another member's log to agree with its own.
    pub fn matched(&self, member_id: u64) -> Option<u64> {
        let progress = self.raw.raft.prs().get(member_id)?;
        Some(progress.matched)
    }

    /// Puts a membership change at the end of the log: one at a time.
    pub fn propose_change(&mut self, change: &MemberChange) -> Result<Position, NotProposed> {
        let raft = &self.raw.raft;
        if raft.state != StateRole::Leader {
            return Err(NotProposed::NotLeader);
        }
        // Raft would put an empty entry in its place.
        if raft.has_pending_conf() || raft.lead_transferee.is_some() {
            return Err(NotProposed::Busy);
        }
        let change = configuration::to_raft(change).ok_or(NotProposed::Malformed)?;
        self.raw
            .propose_conf_change(Vec::new(), change)
            .map_err(|_| NotProposed::Busy)?;
        Ok(self.just_proposed())
    }

    /// Puts a payload at the end of the log. `None` if this member does not lead or may not take
    /// more.
    pub fn propose(&mut self, payload: Vec<u8>) -> Option<Position> {
        // A follower would pass it on, and the proposer would never learn where it went.
        if self.raw.raft.state != StateRole::Leader {
            return None;
        }
        self.raw.propose(Vec::new(), payload).ok()?;
        Some(self.just_proposed())
    }

    /// The place of what a leader has just put at the end of its log.
    fn just_proposed(&self) -> Position {
        Position {
            index: self.last_index(),
            term: self.raw.raft.term,
        }
    }

    /// Begins a read-index round. There may never be an answer: see [`super::reads`].
    pub fn read_index(&mut self, context: Context) {
        self.raw.read_index(context.encode());
    }

    /// The append of the work of this number, and of all before it, is on disk.
    pub fn persisted(&mut self, number: u64) {
        while let Some(&(appended, last_index)) = self.appends.front()
            && appended <= number
        {
            self.appends.pop_front();
            if let Some(index) = last_index {
                self.raw.mut_store().persisted(index);
            }
        }
        // Work without an append was done when it was handed out, so if nothing is on its way any
        // more everything is.
        let through = if self.appends.is_empty() {
            self.last_number
        } else {
            number
        };
        // The library takes an append for durable if the log still has its last entry, or has it
        // again. It cannot have been replaced and brought back while the append was written: to go
        // back so far a leader needs this member's rejection, which waits for the appends before.
        self.raw.on_persist_ready(through);
        if let Some((_, index)) = self.restoring.take_if(|(number, _)| *number <= through) {
            // The state machine goes on from there, as soon as it has it.
            self.raw.advance_apply_to(index);
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

    /// Everything through `index` is applied by the state machine.
    pub fn applied(&mut self, index: u64) {
        if index > self.raw.raft.raft_log.applied() {
            self.raw.advance_apply_to(index);
        }
    }

    /// Takes up a committed membership change that the rules allow; must be called for each such
    /// change, in order, before the next [`Node::work`]. Returns the configuration to put on disk
    /// with the log, or `None` if it is there already.
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
            // It was removed. The library goes on to count its own acknowledgements, which it has
            // no place for any more. The others learn that the entry is committed, and elect.
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

    /// The log will forget everything through `index`, all of it applied and not needed by a
    /// follower.
    pub fn compact(&mut self, index: u64) {
        self.raw.mut_store().compact(index);
    }

    /// The first index the log still has.
    pub fn first_index(&self) -> u64 {
        self.raw.raft.raft_log.first_index()
    }

    /// Where this member stands, after the last input.
    pub fn standing(&self) -> Standing {
        let raft = &self.raw.raft;
        let conf = raft.prs().conf();
        Standing {
            term: raft.term,
            leader: raft.leader_id,
            is_leader: raft.state == StateRole::Leader,
            is_learner: conf.learners().contains(&raft.id),
            is_sole_voter: raft.prs().is_singleton() && conf.voters().contains(raft.id),
        }
    }

    /// The last index known to be committed.
    pub fn committed_index(&self) -> u64 {
        self.raw.raft.raft_log.committed
    }

    /// The index this leader's term begins with. Meaningless on others.
    pub fn term_start(&self) -> u64 {
        self.term_start
    }

    /// What there is to do since the last time, if anything.
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
            if message.get_msg_type() == MessageType::MsgSnapshot {
                let metadata = message.get_snapshot().get_metadata();
                work.snapshots.push(OutgoingSnapshot {
                    to: message.to,
                    position: Position {
                        index: metadata.index,
                        term: metadata.term,
                    },
                    message: encode(&message).message,
                });
            } else {
                work.messages.push(encode(&message));
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
                index: read.index,
            })
            .collect();
        let mut waiting = ready.take_persisted_messages();
        // A question promises nothing that would have to be on disk.
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

    /// The snapshot in a ready list. From here on the reader begins after it.
    fn take_restore(&mut self, ready: &raft::Ready) -> Restore {
        let metadata = ready.snapshot().get_metadata();
        let position = Position {
            index: metadata.index,
            term: metadata.term,
        };
        // What is on its way to the disk is replaced.
        for (_, last_index) in &mut self.appends {
            *last_index = None;
        }
        self.raw.mut_store().restore(position.index, position.term);
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

    /// Whether winning an election now would find this member in the middle of something: a
    /// snapshot whose log the library cannot look at yet, or, for a sole voter, who wins at once,
    /// an entry that is not on disk.
    pub(super) fn must_not_stand(&self) -> bool {
        let log = &self.raw.raft.raft_log;
        // The entry that the last term began with may not even be handed out yet, if a message
        // ended that term at once.
        let is_on_disk = self.appends.is_empty() && log.persisted == log.last_index();
        self.restoring.is_some() || (self.standing().is_sole_voter && !is_on_disk)
    }

    /// What of a ready list goes to disk. A commit index alone does not: it is written with the
    /// next append, and if that never comes, it is found again by the next election (raft's paper
    /// calls it volatile). On a sole voter this saves every second write.
    fn take_append(&mut self, ready: &mut raft::Ready) -> Option<Append> {
        if !ready.must_sync() {
            return None;
        }
        let entries = ready.take_entries();
        if let Some(first) = entries.first() {
            // What an append on its way has written from here on is replaced, so its confirmation
            // says nothing about it.
            for (_, last_index) in &mut self.appends {
                *last_index = (*last_index).map(|last| last.min(first.index - 1));
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

    /// After every input: pins the election timeout, and notes where a leader's term begins.
    fn after_input(&mut self) {
        self.pin_timeout();
        let now = (self.raw.raft.state, self.raw.raft.term);
        if self.role == now {
            return;
        }
        self.role = now;
        if self.raw.raft.state == StateRole::Leader {
            // Nothing was proposed since: the last entry is the empty one the term begins with.
            self.term_start = self.raw.raft.raft_log.last_index();
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("standing", &self.standing())
            .finish_non_exhaustive()
    }
}

fn hard_state(state: &HardState) -> log::HardState {
    log::HardState {
        term: state.term,
        vote: state.vote,
        commit: state.commit,
    }
}

pub(super) fn encode(message: &Message) -> Outgoing {
    Outgoing {
        to: message.to,
        message: message.write_to_bytes().expect("writing to memory").into(),
    }
}

fn committed(entry: raft::eraftpb::Entry) -> CommittedEntry {
    CommittedEntry {
        position: Position {
            index: entry.index,
            term: entry.term,
        },
        kind: kind(&entry),
        payload: entry.data,
    }
}
