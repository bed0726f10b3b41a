//! Tests of the log on the engine in memory, with a crash after every batch. conclave-rocks tests
//! the log on RocksDB.

use super::*;
use crate::engine::Read;
use crate::engine::memory::MemoryEngine;

#[path = "../../tests/shared/log_steps.rs"]
mod log_steps;
use log_steps::{append, commit, configured, entry, listing, steps};

fn open(engine: &MemoryEngine) -> Result<(Log, LogState), Fault> {
    Log::open(Arc::new(engine.clone()))
}

/// State and entries of a log after opening it again.
fn reopened(engine: &MemoryEngine) -> (LogState, Vec<(u64, u64)>) {
    let (log, state) = open(engine).unwrap();
    let entries = listing(&log);
    assert_eq!(
        state.last_index,
        Index(state.first_index.previous().0 + entries.len() as u64)
    );
    assert_eq!(
        log.term(state.first_index.previous()).unwrap(),
        Some(state.compacted_term)
    );
    assert_eq!(log.term(state.last_index.next()).unwrap(), None);
    (state, entries)
}

fn assert_damaged(engine: &MemoryEngine, words: &str) {
    match open(engine) {
        Err(Fault::Damaged { detail, .. }) => assert!(detail.contains(words), "{detail}"),
        Err(fault) => panic!("{fault}"),
        Ok((_, state)) => panic!("opened as {state:?}"),
    }
}

fn write(engine: &MemoryEngine, fill: impl FnOnce(&mut Batch)) {
    let mut batch = Batch::default();
    fill(&mut batch);
    engine.write(batch, Durability::Synced).unwrap();
}

#[test]
fn a_fresh_log_is_empty_and_is_bootstrapped() {
    let engine = MemoryEngine::new();
    let (log, state) = open(&engine).unwrap();
    let hard_state = HardState::default();
    let (first_index, last_index, compacted_term) = (Index(1), Index::NONE, Term::NONE);
    let conf_state = Bytes::new();
    let fresh = LogState {
        hard_state,
        conf_state,
        first_index,
        last_index,
        compacted_term,
    };
    assert_eq!(state, fresh);
    assert_eq!(log.term(Index::NONE).unwrap(), Some(Term::NONE));
    log.append(&configured("one voter")).unwrap();
    let (state, entries) = reopened(&engine.crash());
    assert_eq!(state.conf_state, "one voter");
    assert_eq!(entries, []);
}

#[test]
fn appends_survive_and_hard_state_rides_along() {
    let engine = MemoryEngine::new();
    let (log, _) = open(&engine).unwrap();
    let hard_state = HardState {
        term: Term(3),
        vote: MemberId(7),
        commit: Index(2),
    };
    let both = Append {
        hard_state: Some(hard_state),
        ..append(1, 3, 3)
    };
    log.append(&both).unwrap();
    log.append(&Append {
        sync: false,
        ..append(4, 1, 3)
    })
    .unwrap();
    let (state, entries) = reopened(&engine.crash());
    assert_eq!(state.hard_state, hard_state);
    assert_eq!(
        entries,
        [(1, 3), (2, 3), (3, 3)],
        "the unsynced one is gone"
    );
}

#[test]
fn an_append_replaces_the_end() {
    let engine = MemoryEngine::new();
    let (log, _) = open(&engine).unwrap();
    log.append(&append(1, 2, 1)).unwrap();
    log.append(&append(3, 3, 2)).unwrap();
    log.append(&append(4, 1, 5)).unwrap();
    let expected = [(1, 1), (2, 1), (3, 2), (4, 5)];
    assert_eq!(listing(&log), expected);
    assert_eq!(reopened(&engine.crash()).1, expected);
    assert_eq!(log.term(Index(5)).unwrap(), None);
}

#[test]
fn entries_are_cut_by_size_and_bounds() {
    let (log, _) = open(&MemoryEngine::new()).unwrap();
    log.append(&append(1, 9, 1)).unwrap();
    let indexes = |low, high, bytes| {
        let entries = log.entries(Index(low), Index(high), bytes).unwrap();
        entries
            .iter()
            .map(|entry| entry.index.0)
            .collect::<Vec<_>>()
    };
    let size = entry(1, 1).data.len() as u64;
    assert_eq!(indexes(1, 10, u64::MAX).len(), 9);
    assert_eq!(indexes(2, 4, u64::MAX), [2, 3]);
    assert_eq!(indexes(2, 9, 0), [2], "one at least");
    assert_eq!(indexes(2, 9, 2 * size), [2, 3]);
    assert_eq!(indexes(2, 9, 3 * size - 1), [2, 3]);
    assert_eq!(indexes(8, 100, u64::MAX), [8, 9]);
    assert_eq!(indexes(10, 100, u64::MAX), []);
    assert_eq!(indexes(5, 5, u64::MAX), []);
    assert_eq!(indexes(0, 5, u64::MAX), [], "compacted");
}

#[test]
fn compaction_remembers_the_term_and_raises_the_commit() {
    let engine = MemoryEngine::new();
    let (log, _) = open(&engine).unwrap();
    log.append(&append(1, 4, 1)).unwrap();
    log.append(&append(5, 4, 2)).unwrap();
    log.append(&commit(2)).unwrap();
    for (through, term) in [(2, 1), (4, 1), (5, 2), (3, 2), (8, 2)] {
        log.compact(Index(through)).unwrap();
        engine.flush().unwrap();
        let (state, entries) = reopened(&engine);
        let through = through.max(if term == 2 { 5 } else { 0 });
        assert_eq!(
            (state.first_index, state.compacted_term),
            (Index(through + 1), Term(term))
        );
        assert_eq!(state.last_index, Index(8));
        assert_eq!(state.hard_state.commit, Index(through));
        assert_eq!(listing(&log), entries);
        assert_eq!(log.term(Index(through - 1)).unwrap(), None);
    }
    log.append(&append(9, 1, 4)).unwrap();
    assert_eq!(reopened(&engine.crash()).1, [(9, 4)]);
}

/// An append waited for the disk while the log was compacted. Its commit index is older than the
/// compaction point.
#[test]
fn an_append_from_before_a_compaction_takes_no_commit_back() {
    let engine = MemoryEngine::new();
    let (log, _) = open(&engine).unwrap();
    log.append(&append(1, 8, 1)).unwrap();
    log.append(&commit(6)).unwrap();
    log.compact(Index(6)).unwrap();
    let late = Append {
        entries: append(9, 1, 3).entries,
        ..commit(4)
    };
    log.append(&late).unwrap();
    let (state, entries) = reopened(&engine.crash());
    assert_eq!(state.hard_state.commit, Index(6));
    assert_eq!(
        (state.hard_state.term, state.hard_state.vote),
        (Term(3), MemberId(2))
    );
    assert_eq!(entries, [(7, 1), (8, 1), (9, 3)]);
}

#[test]
fn restore_begins_anew_after_the_snapshot() {
    let engine = MemoryEngine::new();
    let (log, _) = open(&engine).unwrap();
    log.append(&append(1, 4, 1)).unwrap();
    log.append(&commit(3)).unwrap();
    log.restore(Index(100), Term(9), Bytes::from_static(b"three voters"))
        .unwrap();
    let (state, entries) = reopened(&engine);
    assert_eq!(engine.unsynced(), 0);
    assert_eq!(
        state.hard_state,
        HardState {
            term: Term(9),
            vote: MemberId::NONE,
            commit: Index(100)
        }
    );
    assert_eq!(
        (state.first_index, state.last_index, state.compacted_term),
        (Index(101), Index(100), Term(9))
    );
    assert_eq!(state.conf_state, "three voters");
    assert_eq!(entries, []);
    assert_eq!(log.term(Index(4)).unwrap(), None);
    log.restore(Index(120), Term(2), Bytes::new()).unwrap();
    assert_eq!(log.first_index(), Index(121));
    let (_, state) = open(&engine).unwrap();
    assert_eq!(
        state.hard_state.term,
        Term(9),
        "a vote's term is not taken back"
    );
}

#[test]
#[should_panic(expected = "does not join")]
fn a_gap_is_refused() {
    let (log, _) = open(&MemoryEngine::new()).unwrap();
    let _ = log.append(&append(2, 1, 1));
}

#[test]
#[should_panic(expected = "contiguous")]
fn a_hole_in_an_append_is_refused() {
    let (log, _) = open(&MemoryEngine::new()).unwrap();
    let mut holed = append(1, 3, 1);
    holed.entries.remove(1);
    let _ = log.append(&holed);
}

#[test]
fn a_hole_is_found_at_open() {
    for missing in [1, 2, 4] {
        let engine = MemoryEngine::new();
        open(&engine).unwrap().0.append(&append(1, 5, 1)).unwrap();
        write(&engine, |batch| {
            batch.delete(LOG_ENTRIES, key(Index(missing)))
        });
        assert_damaged(&engine, &format!("entry {missing} is missing"));
    }
}

#[test]
fn a_hole_that_appears_later_is_found_when_it_is_read() {
    let engine = MemoryEngine::new();
    let (log, _) = open(&engine).unwrap();
    log.append(&append(1, 5, 1)).unwrap();
    write(&engine, |batch| batch.delete(LOG_ENTRIES, key(Index(3))));
    assert!(matches!(
        log.entries(Index(1), Index(6), u64::MAX),
        Err(Fault::Damaged { .. })
    ));
    assert_eq!(log.entries(Index(1), Index(3), u64::MAX).unwrap().len(), 2);
}

#[test]
fn every_flipped_byte_is_found_at_open() {
    let engine = MemoryEngine::new();
    let (log, _) = open(&engine).unwrap();
    let conf_state = Some(Bytes::from_static(b"conf"));
    log.append(&Append {
        conf_state,
        ..append(1, 3, 1)
    })
    .unwrap();
    log.append(&commit(3)).unwrap();
    log.compact(Index(1)).unwrap();
    let records = [
        (LOG_ENTRIES, key(Index(2)).to_vec(), "entry 2"),
        (LOG_ENTRIES, key(Index(3)).to_vec(), "entry 3"),
        (LOG_META, LOG_HARD_STATE.to_vec(), "hard_state"),
        (LOG_META, LOG_CONF_STATE.to_vec(), "conf_state"),
        (LOG_META, LOG_COMPACTED.to_vec(), "compacted"),
    ];
    for (space, name, words) in records {
        let whole = engine.get(space, &name).unwrap().unwrap().to_vec();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            write(&engine, |batch| batch.put(space, name.clone(), damaged));
            assert_damaged(&engine, words);
        }
        write(&engine, |batch| {
            batch.put(space, name.clone(), &whole[..whole.len() - 1])
        });
        assert_damaged(&engine, words);
        write(&engine, |batch| batch.put(space, name, whole));
    }
    open(&engine).unwrap();
}

#[test]
fn an_entry_in_the_place_of_another_is_damage() {
    let engine = MemoryEngine::new();
    open(&engine).unwrap().0.append(&append(1, 3, 1)).unwrap();
    let other = engine.get(LOG_ENTRIES, &key(Index(3))).unwrap().unwrap();
    write(&engine, |batch| {
        batch.put(LOG_ENTRIES, key(Index(2)), other.to_vec())
    });
    assert_damaged(&engine, "entry 2");
}

#[test]
fn a_lost_end_is_damage() {
    let engine = MemoryEngine::new();
    let (log, _) = open(&engine).unwrap();
    log.append(&append(1, 3, 1)).unwrap();
    log.append(&commit(3)).unwrap();
    write(&engine, |batch| batch.delete(LOG_ENTRIES, key(Index(3))));
    assert_damaged(&engine, "the log ends at 2");
}

#[test]
fn terms_that_go_back_are_damage() {
    let engine = MemoryEngine::new();
    let (log, _) = open(&engine).unwrap();
    log.append(&append(1, 1, 5)).unwrap();
    write(&engine, |batch| {
        batch.put(
            LOG_ENTRIES,
            key(Index(2)),
            entry::encode_entry(&entry(2, 4)),
        )
    });
    assert_damaged(&engine, "after one of 5");
}

/// Crashes at every batch, keeps every possible number of unsynced batches, and compares with the
/// states of a log without crashes.
#[test]
fn a_crash_at_any_batch_leaves_the_log_as_after_one_of_its_steps() {
    let calm = MemoryEngine::new();
    let (log, _) = open(&calm).unwrap();
    let mut states = vec![reopened(&calm)];
    for step in steps() {
        step(&log).unwrap();
        states.push(reopened(&calm));
    }
    for died_at in 0..steps().len() {
        for failing in [false, true] {
            let engine = MemoryEngine::new();
            let (log, _) = open(&engine).unwrap();
            let mut synced = 0;
            for (number, step) in steps().iter().enumerate().take(died_at) {
                step(&log).unwrap();
                if engine.unsynced() == 0 {
                    synced = number + 1;
                }
            }
            if failing {
                engine.fail_next_write();
                assert!(steps()[died_at](&log).is_err());
                assert!(log.append(&commit(1)).is_err(), "nothing is retried");
            }
            let in_doubt = engine.unsynced();
            for kept in 0..=in_doubt {
                let found = reopened(&engine.crash_keeping(kept));
                assert_eq!(
                    found,
                    states[synced + kept],
                    "died at {died_at}, kept {kept}"
                );
            }
        }
    }
}
