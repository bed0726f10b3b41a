//! The conformance suite, and the faults that only this engine has.

use super::*;

const SPACE: Space = Space {
    position: 0,
    name: "s",
    suffix_len: None,
};

fn put(engine: &MemoryEngine, key: &str, durability: Durability) -> Result<(), Fault> {
    let mut batch = Batch::default();
    batch.put(SPACE, key, "v");
    engine.write(batch, durability)
}

fn keys(engine: &MemoryEngine) -> usize {
    ["a", "b", "c", "d"]
        .iter()
        .filter(|k| engine.get(SPACE, k.as_bytes()).unwrap().is_some())
        .count()
}

#[test]
fn a_crash_keeps_a_prefix_of_what_was_not_synced() {
    for seed in 0..8 {
        let engine = MemoryEngine::new();
        put(&engine, "a", Durability::Synced).unwrap();
        for key in ["b", "c", "d"] {
            put(&engine, key, Durability::Eventual).unwrap();
        }
        let reopened = engine.crash_seeded(seed);
        assert_eq!(keys(&reopened), 1 + (seed % 4) as usize);
        assert_eq!(
            keys(&reopened.crash()),
            keys(&reopened),
            "what was found is durable"
        );
        assert!(
            put(&engine, "e", Durability::Synced).is_err(),
            "the old process is dead"
        );
    }
}

/// Whatever the byte at which the log ends: a batch is there as a whole, after all before it.
#[test]
fn a_torn_batch_is_dropped() {
    let mut found = [0; 5];
    for seed in 0..1_000 {
        let engine = MemoryEngine::new();
        put(&engine, "a", Durability::Synced).unwrap();
        for key in ["b", "c"] {
            put(&engine, key, Durability::Eventual).unwrap();
        }
        let mut batch = Batch::default();
        batch.put(SPACE, "d", "v");
        batch.delete(SPACE, "b");
        engine.write(batch, Durability::Eventual).unwrap();
        let reopened = engine.crash_torn(seed);
        let has = |key: &[u8]| reopened.get(SPACE, key).unwrap().is_some();
        let all = (has(b"a"), has(b"b"), has(b"c"), has(b"d"));
        let batches = match all {
            (true, false, false, false) => 1,
            (true, true, false, false) => 2,
            (true, true, true, false) => 3,
            (true, false, true, true) => 4,
            other => panic!("{other:?} with seed {seed}"),
        };
        found[batches] += 1;
    }
    assert!(found[1..].iter().all(|found| *found > 0), "{found:?}");
}

#[test]
fn a_flipped_bit_is_in_a_value() {
    let engine = MemoryEngine::new();
    assert!(!engine.flip_bit(9), "there is nothing to flip");
    put(&engine, "a", Durability::Synced).unwrap();
    assert!(engine.flip_bit(9));
    let value = engine.crash().get(SPACE, b"a").unwrap().unwrap();
    assert_eq!((value[0] ^ b'v').count_ones(), 1);
}

#[test]
fn a_sync_covers_what_was_written_before_it() {
    let engine = MemoryEngine::new();
    put(&engine, "a", Durability::Eventual).unwrap();
    put(&engine, "b", Durability::Synced).unwrap();
    put(&engine, "c", Durability::Eventual).unwrap();
    engine.flush().unwrap();
    put(&engine, "d", Durability::Eventual).unwrap();
    assert_eq!(keys(&engine.crash()), 3);
}

#[test]
fn a_failed_write_is_in_doubt_and_stops_the_engine() {
    let engine = MemoryEngine::new();
    engine.fail_next_write();
    assert!(put(&engine, "a", Durability::Synced).is_err());
    assert!(put(&engine, "b", Durability::Synced).is_err());
    assert_eq!(keys(&engine), 0);
    assert_eq!(keys(&engine.crash_keeping(1)), 1);
    assert_eq!(keys(&engine.crash()), 0);
}

#[test]
fn a_full_disk_takes_writes_again_when_there_is_room() {
    let engine = MemoryEngine::new();
    engine.set_disk_full(true);
    assert!(put(&engine, "a", Durability::Eventual).is_err());
    engine.set_disk_full(false);
    put(&engine, "b", Durability::Synced).unwrap();
    assert_eq!(keys(&engine.crash()), 1);
}

mod conforms {
    use super::*;
    use crate::engine::conformance::{self as suite, Subject, conformance_suite};

    struct Memory(MemoryEngine);

    impl Subject for Memory {
        type Engine = MemoryEngine;
        fn engine(&self) -> &MemoryEngine {
            &self.0
        }
        fn crash(self) -> Memory {
            Memory(self.0.crash())
        }
        fn open_copy(dir: &Path) -> MemoryEngine {
            MemoryEngine::open_checkpoint(dir).unwrap()
        }
    }

    conformance_suite!(Memory(MemoryEngine::new()));
}
