//! The log on RocksDB equals the log in memory, and stays readable while it changes.

use std::sync::Arc;

use conclave_storage::Index;
use conclave_storage::engine::memory::MemoryEngine;
use conclave_storage::layout::LOG_SPACES;
use conclave_storage::log::{Append, Log};

use crate::{RocksEngine, RocksOptions};

#[path = "../../../tests/shared/log_steps.rs"]
mod log_steps;
use log_steps::{append, listing, steps};

#[test]
fn the_log_on_rocksdb_is_the_log_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let memory = MemoryEngine::new();
    let in_memory = || Log::open(Arc::new(memory.clone())).unwrap();
    let on_disk = || {
        let engine = RocksEngine::open(dir.path(), LOG_SPACES, RocksOptions::log());
        Log::open(Arc::new(engine.unwrap())).unwrap()
    };
    let (expected, _) = in_memory();
    for step in steps() {
        step(&expected).unwrap();
        let (log, _) = on_disk();
        step(&log).unwrap();
        drop(log);
        let (log, state) = on_disk();
        let (expected, expected_state) = in_memory();
        assert_eq!(state, expected_state);
        assert_eq!(listing(&log), listing(&expected));
    }
}

/// Readers and a compacting, truncating writer: a reader sees runs without gaps, never a fault.
#[test]
fn readers_never_see_a_hole() {
    let dir = tempfile::tempdir().unwrap();
    let engine = RocksEngine::open(dir.path(), LOG_SPACES, RocksOptions::log()).unwrap();
    let log = Log::open(Arc::new(engine)).unwrap().0;
    log.append(&Append {
        sync: false,
        ..append(1, 100, 1)
    })
    .unwrap();
    let reads = std::sync::atomic::AtomicU32::new(0);
    let reads_so_far = || reads.load(std::sync::atomic::Ordering::Relaxed);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while log.last_index() < Index(2000) {
                listing_of_any_term(&log);
                reads.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
            reads_so_far()
        });
        for round in 0..190u64 {
            // On a busy machine all writes could be over before the reader's first turn.
            while round == 95 && reads_so_far() == 0 {
                std::thread::yield_now();
            }
            let next = log.last_index().next();
            let kept = log.first_index().max(next.saturating_sub(10));
            log.append(&Append {
                sync: false,
                ..append(kept.0, 20, 2 + round)
            })
            .unwrap();
            log.compact(log.last_index().saturating_sub(50)).unwrap();
        }
        assert!(reader.join().unwrap() > 0);
    });
}

fn listing_of_any_term(log: &Log) {
    let first = log.first_index();
    for (index, found) in first
        .until(Index(u64::MAX))
        .zip(log.entries(first, Index(u64::MAX), u64::MAX).unwrap())
    {
        assert_eq!(found.index, index);
    }
}
