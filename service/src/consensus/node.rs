//! One member's part in the agreement: see the model in the module above.

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{ConfChange, ConfChangeV2, ConfState, HardState, Message, MessageType};
use raft::{Config, RawNode, ReadOnlyOption, StateRole};

use conclave_storage::log::{self, Append, EntryKind};

use super::Standing;
use super::logger;
use super::reader::{Reader, from_raft, kind};
use super::reads::Context;
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

/// What there is to do, all of it since the last time. The order: send, hand over what is
/// committed, append.
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
}

/// A peer's message that cannot be taken: not one of the library's, or of a kind no peer may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// See the module above.
pub struct Node {
    raw: RawNode<Reader>,
    settings: Settings,
    random: u64,
    /// Role and term for which the election timeout was last pinned.
    pinned: Option<(StateRole, u64)>,
    /// The index a leader's term begins with.
    term_start: u64,
    /// Appends handed out and not yet confirmed: the work's number and the last index it made
    /// durable.
    appends: VecDeque<(u64, Option<u64>)>,
    /// Messages that wait for the append of a work.
    held: VecDeque<(u64, Vec<Outgoing>)>,
    /// Messages held no longer.
    released: Vec<Outgoing>,
    last_number: u64,
}

impl Node {
    /// A follower that has just woken up.
    pub fn new(settings: Settings, reader: Reader) -> Node {
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
            term_start: 0,
            appends: VecDeque::new(),
            held: VecDeque::new(),
            released: Vec::new(),
            last_number: 0,
        };
        node.after_input();
        node
    }

    /// A tick of the clock.
    pub fn tick(&mut self) {
        self.raw.tick();
        self.after_input();
    }

    /// Stands for election now. A sole voter wins at once.
    pub fn campaign(&mut self) {
        // Fails only while a configuration change waits to be applied; the next election timeout
        // tries again.
        let _ = self.raw.campaign();
        self.after_input();
    }

    /// A message from a peer.
    pub fn step(&mut self, message: &Bytes) -> Result<(), Malformed> {
        let message = Message::parse_from_carllerche_bytes(message).map_err(|_| Malformed)?;
        match message.get_msg_type() {
            // Snapshots come by a way of their own, and what a member tells itself comes from
            // nobody else.
            MessageType::MsgSnapshot
            | MessageType::MsgHup
            | MessageType::MsgBeat
            | MessageType::MsgUnreachable
            | MessageType::MsgSnapStatus
            | MessageType::MsgCheckQuorum => return Err(Malformed),
            _ => {}
        }
        // An error here says that the message came too late to matter.
        let _ = self.raw.step(message);
        self.after_input();
        Ok(())
    }

    /// Puts a payload at the end of the log. `None` if this member does not lead or may not take
    /// more.
    pub fn propose(&mut self, payload: Vec<u8>) -> Option<Position> {
        // A follower would pass it on, and the proposer would never learn where it went.
        if self.raw.raft.state != StateRole::Leader {
            return None;
        }
        self.raw.propose(Vec::new(), payload).ok()?;
        let index = self.raw.raft.raft_log.last_index();
        Some(Position {
            index,
            term: self.raw.raft.term,
        })
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
        self.raw.on_persist_ready(through);
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

    /// Takes up a committed configuration change; must be called for each, in order, before the
    /// next [`Node::work`]. Returns the configuration to put on disk with the log. A change that
    /// cannot be decoded was not made by us.
    pub fn apply_change(&mut self, entry: &CommittedEntry) -> Result<Bytes, Malformed> {
        let applied = match entry.kind {
            EntryKind::Normal => return Err(Malformed),
            EntryKind::ConfChange => {
                let change = ConfChange::parse_from_carllerche_bytes(&entry.payload);
                self.raw.apply_conf_change(&change.map_err(|_| Malformed)?)
            }
            EntryKind::ConfChangeV2 => {
                let change = ConfChangeV2::parse_from_carllerche_bytes(&entry.payload);
                self.raw.apply_conf_change(&change.map_err(|_| Malformed)?)
            }
        };
        let conf_state = applied.map_err(|_| Malformed)?;
        self.after_input();
        Ok(encode_conf_state(&conf_state))
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
        assert!(
            ready.snapshot().is_empty(),
            "a snapshot cannot have come in: step refuses them"
        );
        let number = ready.number();
        self.last_number = number;
        let mut work = Work {
            number,
            messages: released,
            ..Work::default()
        };
        work.messages
            .extend(ready.take_messages().iter().map(encode));
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
        let waiting: Vec<_> = ready.take_persisted_messages().iter().map(encode).collect();
        work.append = self.take_append(&mut ready);
        self.raw.advance_append_async(ready);

        if let Some(append) = &work.append {
            self.appends
                .push_back((number, append.entries.last().map(|entry| entry.index)));
        }
        if self.appends.is_empty() {
            work.messages.extend(waiting);
            self.raw.on_persist_ready(number);
        } else if !waiting.is_empty() {
            self.held.push_back((number, waiting));
        }
        Some(work)
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

    /// After every input: pins the election timeout if the library drew a new one, and notes where
    /// a leader's term begins.
    fn after_input(&mut self) {
        let now = (self.raw.raft.state, self.raw.raft.term);
        if self.pinned == Some(now) {
            return;
        }
        self.pinned = Some(now);
        let least = self.settings.election_ticks as u64;
        let timeout = least + self.draw() % least;
        let timeout = usize::try_from(timeout).expect("less than twice a usize that is small");
        self.raw.raft.set_randomized_election_timeout(timeout);
        if self.raw.raft.state == StateRole::Leader {
            // Nothing was proposed since: the last entry is the empty one the term begins with.
            self.term_start = self.raw.raft.raft_log.last_index();
        }
    }

    /// SplitMix64: one addition and a mix, good enough for timeouts and the same everywhere.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("standing", &self.standing())
            .finish_non_exhaustive()
    }
}

/// The configuration of a cluster that begins with these voters, as the log keeps it.
pub fn initial_conf_state(voters: Vec<u64>) -> Bytes {
    encode_conf_state(&ConfState::from((voters, Vec::new())))
}

/// Reads what [`initial_conf_state`] or [`Node::apply_change`] made.
pub fn decode_conf_state(bytes: &Bytes) -> Result<ConfState, Malformed> {
    ConfState::parse_from_carllerche_bytes(bytes).map_err(|_| Malformed)
}

fn encode_conf_state(conf_state: &ConfState) -> Bytes {
    conf_state
        .write_to_bytes()
        .expect("writing to memory")
        .into()
}

fn hard_state(state: &HardState) -> log::HardState {
    log::HardState {
        term: state.term,
        vote: state.vote,
        commit: state.commit,
    }
}

fn encode(message: &Message) -> Outgoing {
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
