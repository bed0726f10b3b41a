//! The conformance suite of engines. Properties that the simulation shows on the memory engine must
//! hold on RocksDB.
//!
//! This file is part of the unit tests of conclave-storage and of conclave-rocks. Both implement
//! [`Subject`] for their engine and call [`conformance_suite`] with a new engine. A feature of
//! conclave-storage instead of a shared file would compile that crate, and all that depend on it,
//! twice.

use std::path::Path;

use conclave_storage::engine::{Batch, Direction, Durability, Engine, Read, Scan, Space};
use conclave_storage::layout;

pub(crate) const PLAIN: Space = Space {
    position: 0,
    name: "plain",
    suffix_len: None,
};
pub(crate) const VERSIONED: Space = Space {
    position: 1,
    name: "versioned",
    suffix_len: Some(8),
};
pub(crate) const ODD: Space = Space {
    position: 2,
    name: "odd",
    suffix_len: Some(3),
};

/// An engine with a disk that can lose power.
pub(crate) trait Subject {
    type Engine: Engine;
    fn engine(&self) -> &Self::Engine;
    /// Returns the engine after a power loss, which loses any part of the data that was not
    /// durable.
    fn crash(self) -> Self;
    fn open_copy(dir: &Path) -> Self::Engine;
}

/// Declares a test for each check. Every test evaluates `$subject` for an engine of its own. The
/// module that calls it has this module imported as `suite`.
macro_rules! conformance_suite {
    ($subject:expr) => {
        conformance_suite!(@each $subject =>
            batches_are_ordered_and_span_spaces,
            ranges_are_deleted_half_open,
            scans_keep_to_their_bounds,
            seeks_move_within_the_bounds,
            skipped_pairs_are_counted,
            first_in_prefix_finds_the_version,
            first_in_prefix_takes_any_suffix_length,
            snapshots_are_frozen,
            scans_see_one_state,
            checkpoints_are_independent,
            durable_is_durable,
            what_survives_is_a_prefix,
            reclaiming_changes_nothing,
        );
    };
    (@each $subject:expr => $($check:ident,)*) => {
        $(#[test] fn $check() { suite::$check($subject); })*
    };
}
pub(crate) use conformance_suite;

fn write(engine: &impl Engine, durability: Durability, fill: impl FnOnce(&mut Batch)) {
    let mut batch = Batch::default();
    fill(&mut batch);
    engine.write(batch, durability).unwrap();
}

fn put_all(engine: &impl Engine, space: Space, keys: &[&[u8]]) {
    write(engine, Durability::Eventual, |batch| {
        for key in keys {
            batch.put(space, *key, *key);
        }
    });
}

fn rest(scan: &mut dyn Scan) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    while let Some((key, _)) = scan.next().unwrap() {
        keys.push(key.to_vec());
    }
    keys
}

fn collect(
    read: &(impl Read + ?Sized),
    from: &[u8],
    to: Option<&[u8]>,
    direction: Direction,
) -> Vec<Vec<u8>> {
    rest(&mut *read.scan(PLAIN, from, to, direction).unwrap())
}

fn versioned(key: &[u8], revision: u64) -> Vec<u8> {
    let mut out = Vec::new();
    layout::escape_key(key, &mut out);
    out.extend_from_slice(&(!revision).to_be_bytes());
    out
}

pub(crate) fn batches_are_ordered_and_span_spaces(subject: impl Subject) {
    let engine = subject.engine();
    write(engine, Durability::Eventual, |batch| {
        batch.put(PLAIN, "a", "1");
        batch.put(ODD, "abcd", "2");
        batch.put(PLAIN, "b", "3");
        batch.delete(PLAIN, "b");
        batch.delete(PLAIN, "absent");
        batch.put(PLAIN, "c", "4");
        batch.delete_range(PLAIN, "c", "d");
        batch.put(PLAIN, "c", "5");
        batch.put(PLAIN, "", "empty key");
    });
    assert_eq!(engine.get(PLAIN, b"a").unwrap().unwrap(), "1");
    assert_eq!(engine.get(ODD, b"abcd").unwrap().unwrap(), "2");
    assert_eq!(engine.get(ODD, b"a").unwrap(), None, "spaces are apart");
    assert_eq!(engine.get(PLAIN, b"b").unwrap(), None);
    assert_eq!(engine.get(PLAIN, b"c").unwrap().unwrap(), "5");
    assert_eq!(engine.get(PLAIN, b"").unwrap().unwrap(), "empty key");
    write(engine, Durability::Eventual, |_| {});
    assert!(engine.size_on_disk() > 0);
}

pub(crate) fn ranges_are_deleted_half_open(subject: impl Subject) {
    let engine = subject.engine();
    put_all(engine, PLAIN, &[b"a", b"b", b"b\0", b"c", b"d"]);
    write(engine, Durability::Eventual, |batch| {
        batch.delete_range(PLAIN, "b", "c")
    });
    assert_eq!(
        collect(engine, b"", None, Direction::Forward),
        [b"a", b"c", b"d"]
    );
    write(engine, Durability::Eventual, |batch| {
        batch.delete_range(PLAIN, "d", "a");
        batch.delete_range(PLAIN, "c", "c");
    });
    assert_eq!(
        collect(engine, b"", None, Direction::Forward).len(),
        3,
        "empty ranges"
    );
    engine.flush().unwrap();
    assert_eq!(
        collect(engine, b"", None, Direction::Backward),
        [b"d", b"c", b"a"]
    );
}

pub(crate) fn scans_keep_to_their_bounds(subject: impl Subject) {
    let engine = subject.engine();
    put_all(engine, PLAIN, &[b"a", b"b", b"c", b"d"]);
    for flushed in [false, true] {
        if flushed {
            engine.flush().unwrap();
        }
        for (from, to, expected) in [
            (&b""[..], None, &[&b"a"[..], b"b", b"c", b"d"][..]),
            (b"b", None, &[b"b", b"c", b"d"]),
            (b"b", Some(&b"d"[..]), &[b"b", b"c"]),
            (b"a\0", Some(b"c\0"), &[b"b", b"c"]),
            (b"c", Some(b"c"), &[]),
            (b"d", Some(b"a"), &[]),
            (b"e", None, &[]),
        ] {
            assert_eq!(collect(engine, from, to, Direction::Forward), expected);
            let mut reversed = expected.to_vec();
            reversed.reverse();
            assert_eq!(collect(engine, from, to, Direction::Backward), reversed);
        }
    }
    let mut scan = engine.scan(PLAIN, b"d", None, Direction::Forward).unwrap();
    assert!(scan.next().unwrap().is_some());
    assert!(scan.next().unwrap().is_none());
    assert!(scan.next().unwrap().is_none(), "the end stays the end");
}

pub(crate) fn seeks_move_within_the_bounds(subject: impl Subject) {
    let engine = subject.engine();
    put_all(engine, PLAIN, &[b"a", b"b", b"d", b"e", b"f"]);
    let from = |direction, key: &[u8]| {
        let mut scan = engine.scan(PLAIN, b"b", Some(b"f"), direction).unwrap();
        scan.next().unwrap();
        scan.seek(key).unwrap();
        let keys: Vec<u8> = rest(&mut *scan).concat();
        String::from_utf8(keys).unwrap()
    };
    assert_eq!(from(Direction::Forward, b"d"), "de");
    assert_eq!(from(Direction::Forward, b"c"), "de");
    assert_eq!(
        from(Direction::Forward, b"a"),
        "bde",
        "not before the lower bound"
    );
    assert_eq!(from(Direction::Forward, b"f"), "");
    assert_eq!(from(Direction::Backward, b"d"), "db");
    assert_eq!(from(Direction::Backward, b"c"), "b");
    assert_eq!(
        from(Direction::Backward, b"f"),
        "edb",
        "the upper bound is outside"
    );
    assert_eq!(from(Direction::Backward, b"z"), "edb");
    assert_eq!(from(Direction::Backward, b"a"), "");
    let mut scan = engine
        .scan(PLAIN, b"b", Some(b"f"), Direction::Forward)
        .unwrap();
    rest(&mut *scan);
    scan.seek(b"e").unwrap();
    assert_eq!(
        rest(&mut *scan),
        [b"e"],
        "a seek starts a finished scan again"
    );
}

pub(crate) fn skipped_pairs_are_counted(subject: impl Subject) {
    let engine = subject.engine();
    put_all(engine, PLAIN, &[b"a", b"b", b"c", b"d"]);
    let scan = |from: &[u8], to| engine.scan(PLAIN, from, to, Direction::Forward).unwrap();
    let mut all = scan(b"", None);
    assert_eq!(all.skip(0).unwrap(), 0);
    assert_eq!(all.skip(2).unwrap(), 2);
    assert_eq!(all.next().unwrap().unwrap().0, b"c");
    assert_eq!(all.skip(usize::MAX).unwrap(), 1);
    assert_eq!(all.skip(1).unwrap(), 0, "the end stays the end");
    assert_eq!(scan(b"b", Some(b"d")).skip(9).unwrap(), 2);
    assert_eq!(scan(b"d", Some(b"a")).skip(9).unwrap(), 0);
    let mut backward = engine.scan(PLAIN, b"b", None, Direction::Backward).unwrap();
    assert_eq!(backward.skip(2).unwrap(), 2);
    assert_eq!(backward.next().unwrap().unwrap().0, b"b");
}

/// Reads keys that are prefixes of each other, keys with zero bytes, and absent keys. A filter over
/// the wrong bytes would lose a version.
pub(crate) fn first_in_prefix_finds_the_version(subject: impl Subject) {
    let engine = subject.engine();
    let keys: [&[u8]; 7] = [b"", b"\0", b"a", b"a\0", b"a\0\0", b"ab", b"a\0\xff"];
    let mut present = Vec::new();
    for (number, key) in keys.iter().enumerate() {
        let revisions = [10 + number as u64, 20 + number as u64];
        write(engine, Durability::Eventual, |batch| {
            for revision in revisions {
                batch.put(VERSIONED, versioned(key, revision), revision.to_string());
            }
        });
        present.push((*key, revisions));
    }
    for stage in ["memtable", "file", "both"] {
        match stage {
            "file" => engine.flush().unwrap(),
            "both" => write(engine, Durability::Eventual, |batch| {
                batch.put(VERSIONED, versioned(b"other", 1), "1");
            }),
            _ => {}
        }
        let (snapshot, lookups) = (engine.snapshot(), engine.lookups());
        for read in [engine as &dyn Read, &*snapshot, &*lookups] {
            let at = |key: &[u8], revision| {
                let found = read
                    .first_in_prefix(VERSIONED, &versioned(key, revision))
                    .unwrap();
                found.map(|(_, value)| String::from_utf8(value.to_vec()).unwrap())
            };
            for (key, [old, new]) in &present {
                assert_eq!(at(key, u64::MAX), Some(new.to_string()), "{stage} {key:?}");
                assert_eq!(at(key, *new), Some(new.to_string()), "{stage} {key:?}");
                assert_eq!(at(key, new - 1), Some(old.to_string()), "{stage} {key:?}");
                assert_eq!(at(key, old - 1), None, "{stage} {key:?}");
            }
            for absent in [&b"b"[..], b"a\0\x01", b"\0\0", b"abc", b"zz"] {
                assert_eq!(at(absent, u64::MAX), None, "{stage} {absent:?}");
            }
        }
    }
    write(engine, Durability::Eventual, |batch| {
        batch.delete(VERSIONED, versioned(b"a", 22))
    });
    let found = engine
        .first_in_prefix(VERSIONED, &versioned(b"a", u64::MAX))
        .unwrap();
    assert_eq!(found.unwrap().1, "12", "steps over a deleted version");
    let all = engine
        .scan(VERSIONED, b"", None, Direction::Forward)
        .map(|mut s| rest(&mut *s));
    assert_eq!(all.unwrap().len(), 14, "a scan is not confined to a prefix");
}

pub(crate) fn first_in_prefix_takes_any_suffix_length(subject: impl Subject) {
    let engine = subject.engine();
    put_all(engine, ODD, &[b"a/001", b"a/005", b"b/002"]);
    put_all(engine, VERSIONED, &[&versioned(b"a/001", 1)]);
    let lookups = engine.lookups();
    for read in [engine as &dyn Read, &*lookups] {
        let in_space = |space, key: &[u8]| {
            let found = read.first_in_prefix(space, key).unwrap();
            found.map(|(key, _)| key)
        };
        let at = |key: &[u8]| in_space(ODD, key);
        assert_eq!(at(b"a/000").unwrap(), "a/001");
        assert_eq!(at(b"a/002").unwrap(), "a/005");
        assert_eq!(at(b"a/006"), None);
        // The view has read another space before, and must change its iterator.
        assert!(in_space(VERSIONED, &versioned(b"a/001", 1)).is_some());
        assert_eq!(at(b"b/000").unwrap(), "b/002");
        assert_eq!(at(b"c/000"), None);
    }
}

pub(crate) fn snapshots_are_frozen(subject: impl Subject) {
    let engine = subject.engine();
    put_all(engine, PLAIN, &[b"a", b"b"]);
    put_all(engine, VERSIONED, &[&versioned(b"k", 1)]);
    let snapshot = engine.snapshot();
    write(engine, Durability::Eventual, |batch| {
        batch.put(PLAIN, "a", "new");
        batch.put(PLAIN, "c", "new");
        batch.delete(PLAIN, "b");
        batch.put(VERSIONED, versioned(b"k", 2), "new");
    });
    engine.flush().unwrap();
    assert_eq!(snapshot.get(PLAIN, b"a").unwrap().unwrap(), "a");
    assert_eq!(snapshot.get(PLAIN, b"c").unwrap(), None);
    assert_eq!(
        collect(&*snapshot, b"", None, Direction::Backward),
        [b"b", b"a"]
    );
    let newest = versioned(b"k", u64::MAX);
    let found = snapshot
        .first_in_prefix(VERSIONED, &newest)
        .unwrap()
        .unwrap();
    assert_eq!(found.0, versioned(b"k", 1));
    drop(snapshot);
    assert_eq!(
        engine
            .first_in_prefix(VERSIONED, &newest)
            .unwrap()
            .unwrap()
            .1,
        "new"
    );
    assert_eq!(collect(engine, b"", None, Direction::Forward), [b"a", b"c"]);
}

pub(crate) fn scans_see_one_state(subject: impl Subject) {
    let engine = subject.engine();
    put_all(engine, PLAIN, &[b"a", b"b", b"c", b"d"]);
    let mut scan = engine.scan(PLAIN, b"", None, Direction::Forward).unwrap();
    assert_eq!(scan.next().unwrap().unwrap().0, b"a");
    write(engine, Durability::Eventual, |batch| {
        batch.delete_range(PLAIN, "b", "c\0");
        batch.put(PLAIN, "cc", "new");
    });
    engine.flush().unwrap();
    assert_eq!(rest(&mut *scan), [b"b", b"c", b"d"]);
    scan.seek(b"b").unwrap();
    assert_eq!(rest(&mut *scan), [b"b", b"c", b"d"], "also after a seek");
    drop(scan);
    assert_eq!(
        collect(engine, b"", None, Direction::Forward),
        [&b"a"[..], b"cc", b"d"]
    );
}

pub(crate) fn checkpoints_are_independent<S: Subject>(subject: S) {
    let engine = subject.engine();
    put_all(engine, PLAIN, &[b"a"]);
    put_all(engine, VERSIONED, &[&versioned(b"k", 1)]);
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("copy");
    engine.checkpoint(&dir).unwrap();
    assert!(
        engine.checkpoint(&dir).is_err(),
        "a checkpoint never goes over another"
    );
    put_all(engine, PLAIN, &[b"b"]);
    let copy = S::open_copy(&dir);
    assert_eq!(collect(&copy, b"", None, Direction::Forward), [b"a"]);
    assert!(
        copy.first_in_prefix(VERSIONED, &versioned(b"k", 9))
            .unwrap()
            .is_some()
    );
    put_all(&copy, PLAIN, &[b"c"]);
    assert_eq!(collect(engine, b"", None, Direction::Forward), [b"a", b"b"]);
}

pub(crate) fn durable_is_durable(subject: impl Subject) {
    let engine = subject.engine();
    write(engine, Durability::Eventual, |batch| {
        batch.put(PLAIN, "a", "1")
    });
    write(engine, Durability::Synced, |batch| {
        batch.put(PLAIN, "b", "2");
        batch.put(VERSIONED, versioned(b"k", 1), "3");
    });
    let subject = subject.crash();
    let engine = subject.engine();
    assert_eq!(collect(engine, b"", None, Direction::Forward), [b"a", b"b"]);
    write(engine, Durability::Eventual, |batch| {
        batch.put(PLAIN, "c", "4")
    });
    engine.flush().unwrap();
    let subject = subject.crash();
    assert_eq!(
        collect(subject.engine(), b"", None, Direction::Forward),
        [b"a", b"b", b"c"]
    );
    let found = subject
        .engine()
        .first_in_prefix(VERSIONED, &versioned(b"k", 1))
        .unwrap();
    assert_eq!(found.unwrap().1, "3");
}

pub(crate) fn what_survives_is_a_prefix(subject: impl Subject) {
    for number in 0..100u32 {
        if number == 50 {
            subject.engine().flush().unwrap();
        }
        write(subject.engine(), Durability::Eventual, |batch| {
            batch.put(PLAIN, number.to_be_bytes(), "");
            batch.put(VERSIONED, versioned(&number.to_be_bytes(), 1), "");
        });
    }
    let subject = subject.crash();
    let engine = subject.engine();
    let keys = collect(engine, b"", None, Direction::Forward);
    assert!(keys.len() >= 50, "{} were flushed", keys.len());
    for (number, key) in (0..100u32).zip(&keys) {
        assert_eq!(*key, number.to_be_bytes());
        let twin = versioned(key, 1);
        assert!(
            engine.get(VERSIONED, &twin).unwrap().is_some(),
            "a batch is there in all spaces"
        );
    }
    let others = engine
        .scan(VERSIONED, b"", None, Direction::Forward)
        .map(|mut s| rest(&mut *s));
    assert_eq!(others.unwrap().len(), keys.len());
}

pub(crate) fn reclaiming_changes_nothing(subject: impl Subject) {
    let engine = subject.engine();
    for number in 0..1000u32 {
        write(engine, Durability::Eventual, |batch| {
            batch.put(PLAIN, number.to_be_bytes(), vec![7; 1000]);
        });
    }
    engine.flush().unwrap();
    write(engine, Durability::Eventual, |batch| {
        batch.delete_range(PLAIN, 0u32.to_be_bytes(), 990u32.to_be_bytes());
    });
    engine.reclaim().unwrap();
    assert_eq!(collect(engine, b"", None, Direction::Forward).len(), 10);
    assert!(
        engine.size_on_disk() < 800_000,
        "{} bytes",
        engine.size_on_disk()
    );
}
