//! Tests of what only a real disk has: locks, damaged bytes, torn tails.

use std::fs;
use std::path::{Path, PathBuf};

use conclave_storage::Fault;
use conclave_storage::engine::{Batch, Direction, Durability, Engine as _, Read as _, Space};

use crate::background::BACKGROUND_NICE;
use crate::{RocksEngine, RocksOptions};

const ENTRIES: Space = Space {
    position: 0,
    name: "entries",
    suffix_len: None,
};
const SPACES: &[Space] = &[ENTRIES];
const RECORDS: u32 = 200;

fn put(engine: &RocksEngine, number: u32, len: usize) {
    let mut batch = Batch::default();
    batch.put(ENTRIES, number.to_be_bytes(), vec![number as u8; len]);
    engine.write(batch, Durability::Synced).unwrap();
}

/// The folder and the write-ahead log of a store whose process died after `RECORDS` synced writes
/// of `len` bytes.
fn dead_store(len: usize) -> (tempfile::TempDir, PathBuf) {
    let (live, dead) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let engine = RocksEngine::open(live.path(), SPACES, RocksOptions::log()).unwrap();
    for number in 0..RECORDS {
        put(&engine, number, len);
    }
    for entry in fs::read_dir(live.path()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), dead.path().join(entry.file_name())).unwrap();
    }
    let log = wal_of(dead.path());
    (dead, log)
}

fn wal_of(dir: &Path) -> PathBuf {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "log"))
        .collect();
    files.sort();
    files.pop().unwrap()
}

fn open(dir: &Path) -> Result<RocksEngine, Fault> {
    RocksEngine::open(dir, SPACES, RocksOptions::log())
}

fn count(engine: &RocksEngine) -> u32 {
    let mut scan = engine.scan(ENTRIES, b"", None, Direction::Forward).unwrap();
    let mut count = 0u32;
    while let Some((key, _)) = scan.next().unwrap() {
        assert_eq!(key, count.to_be_bytes(), "what is left is a prefix");
        count += 1;
    }
    count
}

#[test]
fn an_untouched_log_comes_back_whole() {
    for len in [0, 100, 40_000] {
        let (dir, _) = dead_store(len);
        assert_eq!(count(&open(dir.path()).unwrap()), RECORDS);
    }
}

#[test]
fn a_tail_cut_anywhere_costs_the_last_record_only() {
    for len in [100, 40_000] {
        let (dir, log) = dead_store(len);
        let whole = fs::read(&log).unwrap();
        for cut in [1, 6, 7, 8, 50, len] {
            let copy = tempfile::tempdir().unwrap();
            for entry in fs::read_dir(dir.path()).unwrap() {
                let entry = entry.unwrap();
                fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
            }
            fs::write(wal_of(copy.path()), &whole[..whole.len() - cut]).unwrap();
            let engine = open(copy.path()).unwrap();
            assert_eq!(count(&engine), RECORDS - 1, "{cut} of {len}");
            put(&engine, RECORDS - 1, len);
            drop(engine);
            assert_eq!(
                count(&open(copy.path()).unwrap()),
                RECORDS,
                "and the log continues from there"
            );
        }
    }
}

/// Pages of the last write reach the disk in any order, so a record with a hole, or all zero, is
/// torn as well.
#[test]
fn a_holed_or_zero_tail_is_torn() {
    for holed in [false, true] {
        let (dir, log) = dead_store(40_000);
        let mut bytes = fs::read(&log).unwrap();
        let end = bytes.len();
        let hole = if holed {
            end - 20_000..end - 15_000
        } else {
            end - 39_000..end
        };
        bytes[hole].fill(0);
        fs::write(&log, &bytes).unwrap();
        assert_eq!(
            count(&open(dir.path()).unwrap()),
            RECORDS - 1,
            "holed: {holed}"
        );
    }
}

#[test]
fn zeros_after_the_last_record_are_nothing() {
    let (dir, log) = dead_store(100);
    let mut bytes = fs::read(&log).unwrap();
    bytes.extend_from_slice(&[0; 5000]);
    fs::write(&log, &bytes).unwrap();
    assert_eq!(count(&open(dir.path()).unwrap()), RECORDS);
}

/// Flips every byte of a header and of the payload, near the front, in the middle, and in the last
/// block, where RocksDB takes a damaged length for a short tail.
#[test]
fn damage_in_the_middle_refuses_to_open() {
    let (dir, log) = dead_store(100);
    let whole = fs::read(&log).unwrap();
    let end = whole.len();
    for at in (0..20)
        .chain(end / 2..end / 2 + 160)
        .chain(end - 400..end - 240)
    {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        fs::write(&log, &bytes).unwrap();
        match open(dir.path()) {
            Err(Fault::Damaged { detail, .. }) => {
                assert!(detail.contains("acknowledged writes are lost"), "{detail}");
            }
            other => panic!(
                "byte {at} of {end}: {:?}",
                other.map(|engine| count(&engine))
            ),
        }
    }
    for zeros in [0..1000, end / 2..end / 2 + 512] {
        let mut bytes = whole.clone();
        bytes[zeros.clone()].fill(0);
        fs::write(&log, &bytes).unwrap();
        assert!(
            matches!(open(dir.path()), Err(Fault::Damaged { .. })),
            "{zeros:?}"
        );
    }
    fs::write(&log, &whole).unwrap();
    assert_eq!(
        count(&open(dir.path()).unwrap()),
        RECORDS,
        "looking changed nothing"
    );
}

/// All of it was written, so it was damaged later.
#[test]
fn a_flipped_bit_in_the_last_record_refuses_to_open() {
    for len in [100, 40_000] {
        let (dir, log) = dead_store(len);
        let whole = fs::read(&log).unwrap();
        for before_end in [1, 40, 90] {
            let mut bytes = whole.clone();
            let at = bytes.len() - before_end;
            bytes[at] ^= 0x40;
            fs::write(&log, &bytes).unwrap();
            match open(dir.path()) {
                Err(Fault::Damaged { detail, .. }) => {
                    assert!(
                        detail.contains("is complete and does not check"),
                        "{detail}"
                    );
                }
                other => panic!("{before_end}: {:?}", other.map(|engine| count(&engine))),
            }
        }
        fs::write(&log, &whole).unwrap();
        assert_eq!(count(&open(dir.path()).unwrap()), RECORDS);
    }
}

#[test]
fn a_second_opening_is_told_that_the_store_is_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let _first = open(dir.path()).unwrap();
    assert!(matches!(open(dir.path()), Err(Fault::InUse { .. })));
}

#[test]
fn a_folder_that_cannot_be_made_is_an_engine_fault() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "in the way").unwrap();
    for options in [RocksOptions::log(), RocksOptions::state(1 << 20)] {
        let fault = RocksEngine::open(&file.join("store"), SPACES, options)
            .err()
            .unwrap();
        assert!(matches!(fault, Fault::Engine { .. }), "{fault}");
        assert!(fault.to_string().contains("file/store"), "{fault}");
    }
}

#[test]
fn a_damaged_file_is_damage_when_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let engine = RocksEngine::open(dir.path(), SPACES, RocksOptions::state(1 << 20)).unwrap();
    for number in 0..100 {
        put(&engine, number, 100);
    }
    drop(engine);
    let table = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let table = table
        .filter(|path| path.extension().is_some_and(|e| e == "sst"))
        .max()
        .unwrap();
    let mut bytes = fs::read(&table).unwrap();
    bytes[10] ^= 1;
    fs::write(&table, &bytes).unwrap();
    let engine = RocksEngine::open(dir.path(), SPACES, RocksOptions::state(1 << 20)).unwrap();
    let read = (0..100u32).map(|number| engine.get(ENTRIES, &number.to_be_bytes()));
    assert!(
        read.into_iter()
            .any(|value| matches!(value, Err(Fault::Damaged { .. })))
    );
}

/// A received snapshot whose file `CURRENT` names a missing manifest is damaged. It was once taken
/// for a failing disk, which ended the member that received it.
#[test]
fn a_file_that_is_named_and_not_there_is_damage() {
    let (dir, _) = dead_store(10);
    for name in ["MANIFEST-999999\n", "MANIFEST-000001/x\n"] {
        fs::write(dir.path().join("CURRENT"), name).unwrap();
        let opened = open(dir.path()).map(|_| ());
        assert!(matches!(opened, Err(Fault::Damaged { .. })), "{opened:?}");
    }
}

#[test]
fn background_threads_give_way_to_those_that_serve() {
    let dir = tempfile::tempdir().unwrap();
    let _engine = RocksEngine::open(dir.path(), SPACES, RocksOptions::log()).unwrap();
    let own = niceness("thread-self");
    let background: Vec<_> = fs::read_dir("/proc/self/task")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|task| {
            let name = fs::read_to_string(task.join("comm"));
            name.is_ok_and(|name| name.starts_with("rocksdb:"))
        })
        .map(|task| {
            niceness(&format!(
                "self/task/{}",
                task.file_name().unwrap().display()
            ))
        })
        .collect();
    assert_eq!(background, [(own + BACKGROUND_NICE).min(19); 2]);
}

/// The nineteenth field of `stat`; the second may contain spaces, and ends with a parenthesis.
fn niceness(task: &str) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{task}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    fields.split_whitespace().nth(16).unwrap().parse().unwrap()
}
