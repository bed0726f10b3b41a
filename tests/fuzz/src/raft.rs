//! Target `raft`: arbitrary bytes as messages of peers, stepped into a [`Node`].
//!
//! Member 1 of three, with its log in memory. The input is its environment: the messages of the
//! other two, correct or not, ticks, completed disk writes, and kills of the process. The node's
//! requests are carried out as the driver does it.
//!
//! Checks: the node accepts or refuses each message without a panic; its term never decreases; it
//! hands out committed entries in order, without a gap, and only entries of its log; the log opens
//! after a kill, and the node then hands out the same entries again.
//!
//! Input: 0 and the bytes of one message to a follower with three entries, of which two are
//! committed; or any other byte and steps in the format of [`World::run`].

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use conclave_core::consensus::node::{Refused, Settings};
use conclave_core::consensus::reads::Context;
use conclave_core::consensus::{CommittedEntry, Node, Position, Work};
use conclave_proto::command::{Member, MemberChange, member_change};
use conclave_storage::engine::memory::MemoryEngine;
use conclave_storage::log::{Append, Entry, EntryKind, HardState, Log};
use conclave_storage::machine::{GENESIS, Genesis, Limits, Machine};
use conclave_storage::membership::{Change, Membership};
use conclave_storage::{ClusterId, Index, MemberId, Term};
use prost::Message as _;
use raft::eraftpb::{ConfChange, ConfState, Message, MessageType};

use crate::messages::{self, View, encode};
use crate::source::Source;
use crate::target::Target;

/// Limit of steps per input.
const STEPS_MAX: usize = 64;

/// Ticks without a leader before an election, as in the scripts of consensus.
const ELECTION_TICKS: usize = 10;

/// The member under test; the input plays 2 and 3.
const ID: u64 = 1;

/// The member that sends bytes which are not a message.
const PEER: u64 = 2;

/// The target.
#[derive(Debug)]
pub struct Raft;

impl Target for Raft {
    fn run(&mut self, input: &[u8]) {
        let mut source = Source::new(input);
        if source.byte() == 0 {
            let mut world = World::with_entries();
            world.step(PEER, &source.rest());
            world.settle();
            world.persist();
            // The others are silent from now on, so the node starts an election with the state it
            // has.
            (0..4 * ELECTION_TICKS).for_each(|_| world.node.tick());
            world.persist();
            world.restart();
            return;
        }
        let mut world = World::new(source.byte());
        world.run(&mut source);
        world.restart();
    }
}

/// The node and the state of its driver.
struct World {
    engine: MemoryEngine,
    log: Arc<Log>,
    node: Node,
    /// The membership at `applied`, from which a start continues.
    base: Membership,
    applied: Index,
    /// The membership after the last entry handed out.
    membership: Membership,
    /// Every entry handed out.
    committed: BTreeMap<Index, (Term, EntryKind, Bytes)>,
    last_committed: Index,
    term: Term,
    /// Work that is written to the log but not confirmed to the node yet.
    unconfirmed: Option<u64>,
    reads: u64,
    /// True once the node has asked to end: it gets no more input.
    has_ended: bool,
}

impl World {
    /// Starts a member: a voter among three, a sole voter, or a learner.
    fn new(kind: u8) -> Self {
        let engine = MemoryEngine::new();
        let (voters, learners): (&[u64], &[u64]) = match kind {
            200.. => (&[1], &[]),
            150..=199 => (&[2, 3], &[1]),
            _ => (&[1, 2, 3], &[]),
        };
        let state = ConfState::from((voters.to_vec(), learners.to_vec()));
        let (log, _) = Log::open(Arc::new(engine.clone())).expect("an empty log opens");
        let (index, term) = GENESIS;
        log.restore(index, term, encode(&state))
            .expect("memory does not fail");
        let membership = membership(voters, learners);
        Self::open(engine, membership, index)
    }

    /// Starts a follower with entries in its log.
    fn with_entries() -> Self {
        let world = Self::new(0);
        let entry = |index| Entry {
            index: Index(index),
            term: Term(2),
            kind: EntryKind::Normal,
            data: Bytes::new(),
        };
        let append = Append {
            entries: (2..=4).map(entry).collect(),
            hard_state: Some(HardState {
                term: Term(2),
                vote: MemberId::NONE,
                commit: Index(3),
            }),
            conf_state: None,
            sync: true,
        };
        world.log.append(&append).expect("memory does not fail");
        Self::open(world.engine, world.base, GENESIS.0)
    }

    fn open(engine: MemoryEngine, base: Membership, applied: Index) -> Self {
        let (log, state) = Log::open(Arc::new(engine.clone())).expect("what was written opens");
        let log = Arc::new(log);
        let settings = Settings {
            member_id: MemberId(ID),
            heartbeat_ticks: 1,
            election_ticks: ELECTION_TICKS,
            pre_vote: true,
            applied,
            seed: 1,
        };
        let node = Node::open(settings, Arc::clone(&log), &state);
        let mut world = Self {
            engine,
            log,
            node: node.expect("the configuration is ours"),
            membership: base.clone(),
            base,
            applied,
            committed: BTreeMap::new(),
            last_committed: applied,
            term: state.hard_state.term,
            unconfirmed: None,
            reads: 0,
            has_ended: false,
        };
        world.settle();
        world
    }

    fn view(&self) -> View {
        View {
            id: ID,
            peers: [2, 3],
            term: self.node.raft_status().term.0,
            last_index: self.node.last_index().0,
            committed: self.node.committed_index().0,
            revision: 1,
        }
    }

    fn run(&mut self, source: &mut Source) {
        for _ in 0..STEPS_MAX {
            if source.is_empty() || self.has_ended {
                return;
            }
            self.input(source);
            assert!(
                self.node.raft_status().term >= self.term,
                "the term went back"
            );
            self.term = self.node.raft_status().term;
        }
    }

    fn input(&mut self, source: &mut Source) {
        match source.byte() {
            0..=119 => {
                let message = messages::message(source, self.view());
                self.message(&message);
            }
            120..=127 => {
                let bytes = source.piece();
                self.step(PEER, &bytes);
            }
            128..=151 => (0..source.below(16)).for_each(|_| self.node.tick()),
            152..=171 => self.settle(),
            172..=191 => self.persist(),
            192..=199 => drop(self.node.propose(source.piece().to_vec())),
            200..=207 => drop(self.node.propose_change(&change(source))),
            208..=211 => self.node.campaign(),
            212..=215 => self.node.transfer_leader(MemberId(source.near(2))),
            216..=219 => self.node.suspect(MemberId(source.near(2))),
            220..=223 => self.node.unreachable(MemberId(source.near(2))),
            224..=227 => self
                .node
                .snapshot_sent(MemberId(source.near(2)), source.flag()),
            228..=231 => drop(self.node.wants_snapshot()),
            232..=237 => {
                self.reads += 1;
                self.node.read_index(Context {
                    member_id: MemberId(ID),
                    boot_id: 1,
                    counter: self.reads,
                });
            }
            238..=243 => self.compact(),
            244.. => {
                if source.flag() {
                    self.persist();
                }
                self.restart();
            }
        }
    }

    /// Steps a message. Snapshots take a separate path, together with their files.
    fn message(&mut self, message: &Message) {
        if message.get_msg_type() != MessageType::MsgSnapshot {
            return self.step(message.from, &encode(message));
        }
        let metadata = message.get_snapshot().get_metadata();
        let found = Position {
            index: Index(metadata.index),
            term: Term(metadata.term),
        };
        // The receiver rejects a snapshot that is not ahead of its state.
        if found.index > self.applied {
            let _ = self.node.step_snapshot(&encode(message), found);
            self.settle();
        }
    }

    fn step(&mut self, from: u64, message: &Bytes) {
        // The member ends because of this message. Other refused messages are only dropped.
        if let Err(Refused::LogLost { .. }) = self.node.step(MemberId(from), message) {
            self.has_ended = true;
        }
    }

    /// Carries out the node's work as the driver does.
    fn settle(&mut self) {
        while let Some(work) = self.node.work() {
            self.work(work);
        }
    }

    fn work(&mut self, work: Work) {
        for entry in work.committed {
            self.commit(entry);
        }
        if let Some(restore) = &work.restore {
            let Position { index, term } = restore.position;
            let restored = self.log.restore(index, term, restore.configuration.clone());
            restored.expect("memory does not fail");
            (self.applied, self.last_committed) = (index, index);
            self.base = self.membership.clone();
            self.committed.clear();
        }
        if let Some(append) = &work.append {
            self.log.append(append).expect("an append joins the log");
        }
        if work.append.is_some() || work.restore.is_some() {
            self.unconfirmed = Some(work.number);
        }
    }

    /// Makes everything written durable.
    fn persist(&mut self) {
        if let Some(number) = self.unconfirmed.take() {
            self.node.persisted(number);
        }
        self.settle();
    }

    fn commit(&mut self, entry: CommittedEntry) {
        let Position { index, term } = entry.position;
        assert_eq!(
            index,
            self.last_committed.next(),
            "committed entries in order"
        );
        self.last_committed = index;
        let known = (term, entry.kind, entry.payload.clone());
        if let Some(before) = self.committed.insert(index, known.clone()) {
            assert_eq!(before, known, "what was committed changed");
        }
        if entry.kind == EntryKind::Normal {
            return;
        }
        let Some(change) = change_in(&entry.payload) else {
            return;
        };
        if self.membership.follow(&change)
            && let Ok(Some(configuration)) = self.node.apply_change(&entry)
        {
            let append = Append {
                conf_state: Some(configuration),
                sync: true,
                ..Append::default()
            };
            self.log.append(&append).expect("memory does not fail");
        }
    }

    /// Compacts the log up to the last entry handed out; all are applied by then.
    fn compact(&mut self) {
        self.persist();
        let through = self.last_committed;
        if through > self.applied {
            (self.applied, self.base) = (through, self.membership.clone());
            self.node.applied(through);
            self.node.compact(through);
            self.log.compact(through).expect("memory does not fail");
        }
    }

    /// Kills the process and restarts it: it must hand out committed entries again.
    fn restart(&mut self) {
        let before = std::mem::take(&mut self.committed);
        *self = Self {
            has_ended: self.has_ended,
            ..Self::open(self.engine.crash(), self.base.clone(), self.applied)
        };
        for (index, entry) in &self.committed {
            let known = before.get(index).filter(|known| *known != entry);
            assert_eq!(known, None, "committed entry {index} changed by a restart");
        }
    }
}

fn membership(voters: &[u64], learners: &[u64]) -> Membership {
    let member = |id: u64, is_learner| Member {
        id,
        is_learner,
        peer_urls: vec![format!("http://127.0.0.1:{id}")],
        ..Member::default()
    };
    let voters = voters.iter().map(|&id| member(id, false));
    let members = voters.chain(learners.iter().map(|&id| member(id, true)));
    let engine = Arc::new(MemoryEngine::new());
    let (mut machine, _) = Machine::open(engine, Limits::default()).expect("an empty state");
    let begun = machine.bootstrap(&Genesis {
        cluster_id: ClusterId(7),
        members: members.collect(),
    });
    begun.expect("memory does not fail");
    machine.membership().clone()
}

/// A change to propose.
fn change(source: &mut Source) -> MemberChange {
    use member_change::Change;
    let id = u64::from(source.below(6));
    let member = Member {
        id,
        is_learner: source.flag(),
        peer_urls: vec![format!("http://127.0.0.1:{id}")],
        ..Member::default()
    };
    let change = match source.byte() {
        0..=99 => Change::Add(member),
        100..=149 => Change::Promote(id),
        150.. => Change::Remove(id),
    };
    MemberChange {
        header: None,
        change: Some(change),
    }
}

/// The change in a committed entry, as the state machine decodes it.
fn change_in(payload: &Bytes) -> Option<Change> {
    use member_change::Change as Wire;
    let raft: ConfChange = protobuf::Message::parse_from_carllerche_bytes(payload).ok()?;
    let change = MemberChange::decode(raft.context).ok()?.change?;
    Some(match change {
        Wire::Add(member) if member.is_learner => Change::AddLearner(member),
        Wire::Add(member) => Change::Add(member),
        Wire::Promote(id) => Change::Promote { id: MemberId(id) },
        Wire::Remove(id) => Change::Remove { id: MemberId(id) },
        Wire::Update(urls) => Change::Update {
            id: MemberId(urls.member_id),
            peer_urls: urls.peer_urls,
        },
    })
}
