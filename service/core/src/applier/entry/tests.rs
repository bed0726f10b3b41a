//! Entries on which the state machine panics: the only ones that a stopped member's log cannot be
//! given, since a known one would be a known defect.

use std::path::Path;
use std::sync::Arc;

use conclave_proto::command::{Command, Header, command::Body};
use conclave_proto::etcdserverpb::{PutRequest, RangeRequest};
use conclave_storage::engine::memory::MemoryEngine;
use conclave_storage::engine::{Batch, Direction, Durability, Engine, Read, Scan, Space};
use conclave_storage::machine::{Genesis, Limits};
use conclave_storage::reader::Reader;
use conclave_storage::{ClusterId, Term};

use super::*;
use crate::consensus::codec;

/// An engine in memory, and a defect: a command that looks up this key panics.
struct Defective(MemoryEngine);

const FATAL_KEY: &str = "fatal";

struct Lookups<'a>(Box<dyn Read + 'a>);

impl Read for Lookups<'_> {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        assert!(key != FATAL_KEY.as_bytes(), "a defect");
        self.0.get(space, key)
    }

    fn first_in_prefix(&self, space: Space, from: &[u8]) -> Result<Option<(Bytes, Bytes)>, Fault> {
        self.0.first_in_prefix(space, from)
    }

    fn scan<'a>(
        &'a self,
        space: Space,
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
    ) -> Result<Box<dyn Scan + 'a>, Fault> {
        self.0.scan(space, from, to, direction)
    }
}

impl Read for Defective {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        self.0.get(space, key)
    }

    fn first_in_prefix(&self, space: Space, from: &[u8]) -> Result<Option<(Bytes, Bytes)>, Fault> {
        self.0.first_in_prefix(space, from)
    }

    fn scan<'a>(
        &'a self,
        space: Space,
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
    ) -> Result<Box<dyn Scan + 'a>, Fault> {
        self.0.scan(space, from, to, direction)
    }
}

impl Engine for Defective {
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), Fault> {
        self.0.write(batch, durability)
    }

    fn snapshot(&self) -> Box<dyn Read + '_> {
        self.0.snapshot()
    }

    fn lookups(&self) -> Box<dyn Read + '_> {
        Box::new(Lookups(self.0.lookups()))
    }

    fn flush(&self) -> Result<(), Fault> {
        self.0.flush()
    }

    fn checkpoint(&self, dir: &Path) -> Result<(), Fault> {
        self.0.checkpoint(dir)
    }

    fn reclaim(&self) -> Result<(), Fault> {
        self.0.reclaim()
    }

    fn discard(&self) {
        self.0.discard();
    }

    fn size_on_disk(&self) -> u64 {
        self.0.size_on_disk()
    }
}

fn machine() -> (Machine, Reader) {
    let engine = Arc::new(Defective(MemoryEngine::new()));
    let (mut machine, reader) = Machine::open(engine, Limits::default()).expect("a fresh store");
    let genesis = Genesis {
        cluster_id: ClusterId(1),
        members: Vec::new(),
    };
    machine.bootstrap(&genesis).expect("in memory");
    (machine, reader)
}

/// An entry of puts.
fn entry(index: u64, keys: &[&'static str]) -> CommittedEntry {
    let frame = |key: &&'static str| {
        let put = PutRequest {
            key: Bytes::from_static(key.as_bytes()),
            ..PutRequest::default()
        };
        codec::frame(&Command {
            header: Some(Header::default()),
            body: Some(Body::Put(put)),
        })
    };
    let framed: Vec<_> = keys.iter().map(frame).collect();
    CommittedEntry {
        position: Position {
            index: Index(index),
            term: Term(1),
        },
        kind: EntryKind::Normal,
        payload: codec::pack(framed.iter()).into(),
    }
}

fn name(entry: &CommittedEntry) -> SkippedEntry {
    SkippedEntry {
        index: entry.position.index,
        hash: checksum(entry),
    }
}

fn count(reader: &Reader) -> i64 {
    let everything = RangeRequest {
        key: Bytes::from_static(b"\0"),
        range_end: Bytes::from_static(b"\0"),
        ..RangeRequest::default()
    };
    reader.range(&everything).expect("readable").count
}

/// Nothing of it stays, not even of the commands before the one that panics.
#[test]
fn an_entry_that_the_state_machine_panics_on_is_skipped_whole() {
    let (mut machine, reader) = machine();
    apply(&mut machine, &entry(2, &["a"])).expect("applied");
    machine.commit().expect("in memory");
    let revision = reader.applied().revision;
    let fatal = entry(3, &["b", FATAL_KEY, "c"]);
    skip(&mut machine, &fatal, name(&fatal)).expect("skipped");
    machine.commit().expect("in memory");
    let applied = reader.applied();
    assert_eq!((applied.index, applied.term), (Index(3), Term(1)));
    assert_eq!(applied.revision, revision);
    assert_eq!(count(&reader), 1);
    apply(&mut machine, &entry(4, &["d"])).expect("applied");
    machine.commit().expect("in memory");
    assert_eq!(count(&reader), 2);
}

#[test]
fn an_entry_is_skipped_only_if_it_must_be_and_is_the_one_named() {
    let (mut machine, _) = machine();
    let fatal = entry(2, &[FATAL_KEY]);
    let other = SkippedEntry {
        hash: checksum(&fatal) ^ 1,
        ..name(&fatal)
    };
    let refused = skip(&mut machine, &fatal, other);
    assert!(
        matches!(refused, Err(Fault::NotSkipped { .. })),
        "{refused:?}"
    );
    let sound = entry(2, &["a"]);
    let refused = skip(&mut machine, &sound, name(&sound));
    assert!(
        matches!(refused, Err(Fault::NotSkipped { .. })),
        "{refused:?}"
    );
}

/// The hash is of all that the entry says.
#[test]
fn entries_differ_in_their_hashes() {
    let one = entry(2, &["a"]);
    let at = |index, term| CommittedEntry {
        position: Position {
            index: Index(index),
            term: Term(term),
        },
        ..one.clone()
    };
    let change = CommittedEntry {
        kind: EntryKind::ConfChange,
        ..one.clone()
    };
    for other in [at(3, 1), at(2, 2), change, entry(2, &["b"])] {
        assert_ne!(checksum(&other), checksum(&one), "{other:?}");
    }
}
