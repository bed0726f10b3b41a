//! Three members, and beside what they really send each other, messages that are nearly right:
//! whatever comes, a [`Node`] takes or refuses it and goes on.
//!
//! A seed is a run. `CONCLAVE_TEST_SEED=7` replays one; the failing one is printed.

use std::sync::Arc;

use bytes::Bytes;
use conclave_proto::command;
use conclave_storage::engine::memory::MemoryEngine;
use conclave_storage::log::Log;
use protobuf::ProtobufEnum as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use super::*;
use crate::consensus::configuration::{self, Configuration};
use crate::consensus::node::{Node, Position, Refused, Settings, Work};
use crate::consensus::reader::Reader;
use crate::consensus::reads::Context;

const SEEDS: u64 = 40;
const STEPS: usize = 4_000;
const VOTERS: [u64; 3] = [1, 2, 3];
/// What the log begins after.
const FOUNDED: Index = Index(1);
/// Kinds of messages the library knows.
const KINDS: i32 = 19;

struct Member {
    node: Node,
    log: Arc<Log>,
    /// The last work with something to put on disk, and the last that is confirmed.
    written: u64,
    confirmed: u64,
    /// The work that installs a snapshot.
    installing: Option<u64>,
    applied: Index,
    /// What shows that a run gets anywhere.
    commits: usize,
    installs: usize,
}

impl Member {
    fn open(id: u64) -> Member {
        let engine = Arc::new(MemoryEngine::new());
        let (log, _) = Log::open(engine.clone()).expect("a memory log");
        let members = VOTERS.map(|id| command::Member {
            id,
            ..command::Member::default()
        });
        let founders = Configuration::of(&members, FOUNDED).encode();
        log.restore(FOUNDED, Term(1), founders).expect("in memory");
        let (log, state) = Log::open(engine).expect("a memory log");
        let log = Arc::new(log);
        let configuration = Configuration::decode(&state.conf_state).expect("our own");
        let settings = Settings {
            member_id: MemberId(id),
            heartbeat_ticks: 1,
            election_ticks: 5,
            pre_vote: true,
            applied: FOUNDED,
            seed: id,
        };
        let reader = Reader::new(Arc::clone(&log), &state, configuration, FOUNDED);
        Member {
            node: Node::new(settings, reader, FOUNDED),
            log,
            written: 0,
            confirmed: 0,
            installing: None,
            applied: FOUNDED,
            commits: 0,
            installs: 0,
        }
    }

    /// Does the work there is, as the driver and the log writer do it, and returns what it sends.
    fn work(&mut self) -> Vec<Message> {
        let mut sent = Vec::new();
        while let Some(work) = self.node.work() {
            self.write(&work);
            let snapshots = work.snapshots.iter().map(|snapshot| &snapshot.message);
            let messages = work.messages.iter().map(|outgoing| &outgoing.message);
            sent.extend(messages.chain(snapshots).map(parse));
            for entry in &work.committed {
                if configuration::change_in(entry.kind, &entry.payload).is_some() {
                    let _ = self.node.apply_change(entry);
                }
                self.applied = entry.position.index;
                self.commits += 1;
            }
        }
        sent
    }

    fn write(&mut self, work: &Work) {
        if let Some(restore) = &work.restore {
            let Position { index, term } = restore.position;
            let restored = self.log.restore(index, term, restore.configuration.clone());
            restored.expect("in memory");
            self.installing = Some(work.number);
            self.applied = index;
            self.installs += 1;
        }
        if let Some(append) = &work.append {
            self.log.append(append).expect("in memory");
        }
        if work.restore.is_some() || work.append.is_some() {
            self.written = work.number;
        }
    }

    fn confirm(&mut self) {
        if self.confirmed < self.written {
            self.confirmed = self.written;
            self.node.persisted(self.written);
            self.installing = None;
        }
        if self.installing.is_none() {
            self.node.applied(self.applied);
        }
    }

    /// Drops the log through what is applied, and offers the state there as a snapshot.
    fn compact(&mut self) {
        if self.installing.is_some() || self.confirmed < self.written {
            return;
        }
        self.node.applied(self.applied);
        let Some(term) = self.log.term(self.applied).expect("in memory") else {
            return;
        };
        let position = Position {
            index: self.applied,
            term,
        };
        let conf_state = self.node.raw.raft.prs().conf().to_conf_state();
        let index = self.applied;
        self.node
            .offer_snapshot(Some((position, Configuration { conf_state, index })));
        if self.applied >= self.node.first_index() {
            self.node.compact(self.applied);
            self.log.compact(self.applied).expect("in memory");
        }
    }

    fn step(&mut self, from: u64, bytes: &Bytes) -> Result<(), Refused> {
        let announced = Message::parse_from_carllerche_bytes(bytes).ok();
        let is_snapshot = |message: &Message| message.get_msg_type() == MessageType::MsgSnapshot;
        let Some(message) = announced.filter(is_snapshot) else {
            return self.node.step(MemberId(from), bytes);
        };
        if self.installing.is_some() {
            return Ok(());
        }
        let metadata = message.get_snapshot().get_metadata();
        let found = Position {
            index: Index(metadata.index),
            term: Term(metadata.term),
        };
        self.node.step_snapshot(bytes, found)
    }
}

fn parse(bytes: &Bytes) -> Message {
    Message::parse_from_carllerche_bytes(bytes).expect("a message of a node")
}

struct World {
    random: StdRng,
    members: Vec<Member>,
    network: Vec<Message>,
    /// Of the mutated ones.
    taken: usize,
    refused: usize,
}

impl World {
    fn new(seed: u64) -> World {
        World {
            random: StdRng::seed_from_u64(seed),
            members: VOTERS.map(Member::open).into(),
            network: Vec::new(),
            taken: 0,
            refused: 0,
        }
    }

    fn run(&mut self) {
        let at = self.random.random_range(0..self.members.len());
        let member = &mut self.members[at];
        match self.random.random_range(0..20) {
            0..4 => member.node.tick(),
            4 => drop(member.node.propose(b"a payload".to_vec())),
            5 => member.node.read_index(Context {
                member_id: MemberId(VOTERS[at]),
                boot_id: 1,
                counter: self.random.random_range(0..9),
            }),
            6..9 => member.confirm(),
            9 => member.compact(),
            10..16 => self.deliver(),
            _ => self.deliver_mutated(),
        }
        for member in &mut self.members {
            self.network.extend(member.work());
        }
        // The last ones are the interesting ones.
        let surplus = self.network.len().saturating_sub(200);
        self.network.drain(..surplus);
    }

    fn deliver(&mut self) {
        if self.network.is_empty() {
            return;
        }
        let chosen = self.random.random_range(0..self.network.len());
        let message = self.network.remove(chosen);
        let bytes = message.write_to_bytes().expect("in memory").into();
        // What was mutated before may have made a member of anyone.
        if let Some(at) = VOTERS.iter().position(|&id| id == message.to) {
            let _ = self.members[at].step(message.from, &bytes);
        }
    }

    fn deliver_mutated(&mut self) {
        let at = self.random.random_range(0..self.members.len());
        let mut message = match self.network.choose(&mut self.random) {
            Some(message) => message.clone(),
            None => message(MessageType::MsgHeartbeat),
        };
        // Most of the time it gets past the first rules.
        message.to = VOTERS[at];
        let others: Vec<_> = VOTERS.iter().filter(|&&id| id != VOTERS[at]).collect();
        message.from = **others.choose(&mut self.random).expect("two others");
        let pool = self.pool(at);
        for _ in 0..self.random.random_range(0..4) {
            self.mutate(&mut message, &pool);
        }
        let mut bytes = message.write_to_bytes().expect("in memory");
        if self.random.random_ratio(1, 8) && !bytes.is_empty() {
            let flipped = self.random.random_range(0..bytes.len());
            bytes[flipped] ^= self.random.random::<u8>();
        }
        match self.members[at].step(message.from, &bytes.into()) {
            Ok(()) => self.taken += 1,
            Err(_) => self.refused += 1,
        }
    }

    /// Numbers at which something may happen.
    fn pool(&self, at: usize) -> Vec<u64> {
        let node = &self.members[at].node;
        let (term, last) = (node.raft_status().term, node.last_index());
        let mut pool = vec![0, 1, 2, 3, 4, 7, 1 << 32, 1 << 62, 1 << 63, u64::MAX];
        for near in [
            term.0,
            last.0,
            node.committed_index().0,
            node.first_index().0,
            1 << 62,
        ] {
            pool.extend([near.saturating_sub(1), near, near.saturating_add(1)]);
        }
        pool
    }

    fn mutate(&mut self, message: &mut Message, pool: &[u64]) {
        let number = *pool.choose(&mut self.random).expect("not empty");
        match self.random.random_range(0..16) {
            0..3 => {
                let kind = self.random.random_range(0..KINDS);
                message.set_msg_type(MessageType::from_i32(kind).expect("a kind"));
            }
            3 => message.term = number,
            4 => message.log_term = number,
            5 => message.index = number,
            6 => message.commit = number,
            7 => message.commit_term = number,
            8 => message.reject = !message.reject,
            9 => message.reject_hint = number,
            10 => message.request_snapshot = number,
            11 => message.context = number.to_be_bytes().to_vec().into(),
            12 => message.priority = number.cast_signed(),
            13 => self.mutate_entries(message, number),
            14 => message.term = message.term.wrapping_add(1),
            _ => {
                let metadata = message.mut_snapshot().mut_metadata();
                match self.random.random_range(0..4) {
                    0 => metadata.index = number,
                    1 => metadata.term = number,
                    2 => metadata.mut_conf_state().voters.push(number),
                    _ => metadata.mut_conf_state().learners.push(number),
                }
            }
        }
    }

    fn mutate_entries(&mut self, message: &mut Message, number: u64) {
        let (index, term) = (message.index.wrapping_add(1), message.term);
        let entries = message.mut_entries();
        let after = entries.last().map_or(index, |e| e.index.wrapping_add(1));
        let count = entries.len();
        match self.random.random_range(0..5) {
            0 => entries.push(entry(after, term)),
            1 => entries.push(entry(number, term)),
            2 if count > 0 => entries[self.random.random_range(0..count)].term = number,
            3 if count > 0 => {
                let kind = EntryType::from_i32(self.random.random_range(0..3));
                let chosen = self.random.random_range(0..count);
                entries[chosen].set_entry_type(kind.expect("a kind"));
            }
            _ => drop(entries.pop()),
        }
    }
}

#[test]
fn no_message_ends_a_member() {
    let seeds = match std::env::var("CONCLAVE_TEST_SEED") {
        Ok(seed) => vec![seed.parse().expect("a number")],
        Err(_) => (0..SEEDS).collect(),
    };
    let (mut taken, mut refused, mut commits, mut installs) = (0, 0, 0, 0);
    for seed in seeds {
        eprintln!("seed {seed}");
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.run();
        }
        taken += world.taken;
        refused += world.refused;
        commits += world.members.iter().map(|m| m.commits).sum::<usize>();
        installs += world.members.iter().map(|m| m.installs).sum::<usize>();
    }
    eprintln!("{taken} taken, {refused} refused, {commits} commits, {installs} installs");
    assert!(
        taken > 100 && refused > 100 && commits > 10,
        "no run at all"
    );
}

/// Every bit of a few messages, one after the other.
#[test]
fn no_flipped_bit_ends_a_member() {
    let mut world = World::new(1);
    for _ in 0..STEPS / 4 {
        world.run();
    }
    let messages = world.network.clone();
    for message in messages.iter().rev().take(40) {
        let Some(at) = VOTERS.iter().position(|&id| id == message.to) else {
            continue;
        };
        let bytes = message.write_to_bytes().expect("in memory");
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let _ = world.members[at].step(message.from, &flipped.into());
            world.members[at].work();
            world.members[at].confirm();
        }
    }
}
