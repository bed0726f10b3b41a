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
