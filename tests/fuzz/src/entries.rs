//! Target `entries`: arbitrary bytes as log entries, applied by the state machine.
//!
//! Two machines apply the same entries. One commits when the input says so; the other commits after
//! each entry, and at points chosen by the input it loses what is not durable, reopens its state
//! like a killed member, and applies the entries from there again. Outcomes and changes must be
//! equal, and at the end the state, byte for byte.
//!
//! An entry that cannot be decoded is refused by both with the same fault, and changes nothing: the
//! process stops in that case, and the operator's remedy must not depend on the member.
//!
//! Input: 0 and the bytes of one entry, or any other byte and steps in the format of
//! [`Steps::run`].

use std::sync::Arc;

use bytes::Bytes;
use conclave_proto::command::{Batch, Header, Member};
use conclave_storage::engine::memory::MemoryEngine;
use conclave_storage::machine::{Changes, Done, GENESIS, Genesis, Limits, Machine, Outcome};
use conclave_storage::membership::Change;
use conclave_storage::reader::Reader;
use conclave_storage::{ClusterId, Fault, Index, MemberId, Revision, Term};
use prost::Message as _;

use crate::requests::{self, Near};
use crate::source::Source;
use crate::target::Target;

/// Limit of steps per input.
const STEPS_MAX: usize = 64;

/// Rows of history per step of compaction: few, so that compactions take several steps.
const COMPACTION_ROWS: usize = 3;

/// Limit of history read at the end, in bytes.
const HISTORY_BYTES: usize = 1 << 20;

/// The target.
#[derive(Debug)]
pub struct Entries;

impl Target for Entries {
    fn run(&mut self, input: &[u8]) {
        let mut source = Source::new(input);
        let mut steps = Steps::new();
        if source.byte() == 0 {
            steps.entry(Entry::Normal(source.rest()));
        } else {
            steps.run(&mut source);
        }
        steps.finish();
    }
}

/// The content of a log entry.
#[derive(Clone, Debug)]
enum Entry {
    Normal(Bytes),
    Member(Change),
}

/// A machine and its disk.
struct Twin {
    engine: MemoryEngine,
    machine: Machine,
    reader: Reader,
    changes: Vec<Arc<Changes>>,
}

/// The outcome of an entry.
#[derive(Debug, PartialEq)]
enum Applied {
    Commands(Result<Vec<Done>, Fault>),
    Member(Outcome),
}

impl Twin {
    fn open(engine: MemoryEngine) -> Self {
        let limits = Limits {
            compaction_rows: COMPACTION_ROWS,
        };
        let opened = Machine::open(Arc::new(engine.clone()), limits);
        let (machine, reader) = opened.expect("what a machine wrote can be opened");
        Self {
            engine,
            machine,
            reader,
            changes: Vec::new(),
        }
    }

    fn apply(&mut self, index: Index, entry: &Entry) -> Applied {
        let term = term(index);
        match entry {
            Entry::Normal(payload) => Applied::Commands(self.machine.apply(index, term, payload)),
            Entry::Member(change) => {
                let header = Header::default();
                let done = self
                    .machine
                    .apply_member(index, term, header, change.clone());
                Applied::Member(done.outcome)
            }
        }
    }

    fn commit(&mut self) {
        let effects = self.machine.commit().expect("memory does not fail");
        self.changes.extend(effects.changes);
    }

    fn compact(&mut self) -> bool {
        self.commit();
        self.machine.compact_step().expect("memory does not fail")
    }
}

/// The term of an entry, which changes occasionally.
fn term(index: Index) -> Term {
    Term(GENESIS.1.0 + index.0 / 8)
}

struct Steps {
    /// Commits when the input says so.
    lazy: Twin,
    /// Commits after each entry, and crashes.
    eager: Twin,
    /// The applied entries, from the one after [`GENESIS`]; refused entries are empty.
    log: Vec<Entry>,
}

impl Steps {
    fn new() -> Self {
        let mut lazy = Twin::open(MemoryEngine::new());
        let mut eager = Twin::open(MemoryEngine::new());
        let member = |id| Member {
            id,
            peer_urls: vec![format!("http://127.0.0.1:{id}")],
            ..Member::default()
        };
        let genesis = Genesis {
            cluster_id: ClusterId(7),
            members: vec![member(1), member(2)],
        };
        for twin in [&mut lazy, &mut eager] {
            let begun = twin.machine.bootstrap(&genesis);
            begun.expect("memory does not fail");
        }
        Self {
            lazy,
            eager,
            log: Vec::new(),
        }
    }

    fn near(&self) -> Near {
        Near {
            revision: self.eager.reader.applied().revision.0,
            member_id: 2,
        }
    }

    fn run(&mut self, source: &mut Source) {
        for _ in 0..STEPS_MAX {
            if source.is_empty() {
                return;
            }
            match source.byte() {
                0..=149 => {
                    let payload = self.batch(source).encode_to_vec();
                    self.entry(Entry::Normal(payload.into()));
                }
                150..=164 => {
                    let mut payload = self.batch(source).encode_to_vec();
                    let at = usize::from(source.byte()) % payload.len().max(1);
                    if let Some(byte) = payload.get_mut(at) {
                        *byte ^= source.byte();
                    }
                    self.entry(Entry::Normal(payload.into()));
                }
                165..=169 => self.entry(Entry::Normal(source.piece())),
                170..=189 => {
                    let change = change(source);
                    self.entry(Entry::Member(change));
                }
                190..=209 => self.lazy.commit(),
                210..=229 => {
                    self.lazy.compact();
                }
                230..=239 => {
                    self.eager.compact();
                }
                240.. => self.crash(source),
            }
        }
    }

    fn batch(&self, source: &mut Source) -> Batch {
        let near = self.near();
        let version = if source.rarely() {
            u32::from(source.byte())
        } else {
            1
        };
        let commands = 1 + source.below(3);
        let commands = (0..commands).map(|_| requests::command(source, near));
        Batch {
            version,
            commands: commands.collect(),
        }
    }

    /// Applies one entry to both.
    fn entry(&mut self, entry: Entry) {
        let index = Index(GENESIS.0.next().0 + self.log.len() as u64);
        let (lazy, eager) = (
            self.lazy.apply(index, &entry),
            self.eager.apply(index, &entry),
        );
        assert_eq!(lazy, eager, "the outcomes of entry {index}");
        if let Applied::Commands(Err(fault)) = lazy {
            let text = fault.to_string();
            assert!(
                text.contains(&format!("log entry {index}")),
                "entry {index} has done damage: {text}"
            );
            return;
        }
        self.log.push(entry);
        self.eager.commit();
    }

    /// Kills the eager machine; it loses what is not durable, except for a part of it.
    fn crash(&mut self, source: &mut Source) {
        if source.flag() {
            let flushed = conclave_storage::engine::Engine::flush(&self.eager.engine);
            flushed.expect("memory does not fail");
        }
        let engine = self.eager.engine.crash_seeded(u64::from(source.byte()));
        let changes = std::mem::take(&mut self.eager.changes);
        self.eager = Twin::open(engine);
        let applied = self.eager.reader.applied();
        // Entries applied again must make the same changes again.
        let known = changes
            .iter()
            .position(|one| one.revision > applied.revision);
        self.eager.changes = changes[..known.unwrap_or(changes.len())].to_vec();
        let lost = GENESIS.0.next().until(Index(u64::MAX)).zip(&self.log);
        for (index, entry) in lost.filter(|(index, _)| *index > applied.index) {
            self.eager.apply(index, entry);
            self.eager.commit();
        }
    }

    /// Expects both to end in the same state.
    fn finish(mut self) {
        self.lazy.commit();
        // Hashes before and after the last steps of compaction.
        assert_eq!(
            self.lazy.reader.hash_kv(0),
            self.eager.reader.hash_kv(0),
            "the hashes of the history"
        );
        for twin in [&mut self.lazy, &mut self.eager] {
            while twin.compact() {}
        }
        let (lazy, eager) = (&self.lazy.reader, &self.eager.reader);
        assert_eq!(lazy.applied(), eager.applied());
        assert_eq!(lazy.members(), eager.members());
        assert_eq!(lazy.alarms(), eager.alarms());
        assert_eq!(lazy.logical_size(), eager.logical_size());
        assert_eq!(lazy.hash(), eager.hash(), "the hashes of everything");
        assert_eq!(self.lazy.changes, self.eager.changes);
        for reader in [lazy, eager] {
            let from = reader.applied().compacted.0.max(1);
            let through = reader.applied().revision;
            let history = reader.history(Revision(from), through, HISTORY_BYTES);
            history.expect("what is not compacted can be read");
        }
    }
}

fn change(source: &mut Source) -> Change {
    let id = u64::from(source.below(5));
    let peer_urls = vec![format!("http://127.0.0.1:{}", source.below(5))];
    let member = Member {
        id,
        peer_urls: peer_urls.clone(),
        ..Member::default()
    };
    match source.byte() {
        0..=49 => Change::Add(member),
        50..=99 => Change::AddLearner(member),
        100..=149 => Change::Promote { id: MemberId(id) },
        150..=199 => Change::Remove { id: MemberId(id) },
        200.. => Change::Update {
            id: MemberId(id),
            peer_urls,
        },
    }
}
