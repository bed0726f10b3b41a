//! Measures layouts of the key space on the same data. `storage/README.md` has the results.
//!
//! ```text
//! cargo run --release -p conclave-rocks --example layouts -- \
//!     LAYOUT KEYS WRITES KEY_BYTES VALUE_BYTES DIR
//! ```
//!
//! LAYOUT is `one`, `heads`, `heads-and-keys` or `index`. Each key is created, then random keys are
//! overwritten, so that there are WRITES writes.
#![allow(clippy::unwrap_used, reason = "a measurement that fails may end")]
#![allow(clippy::print_stdout, reason = "its results")]

use std::collections::HashSet;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use conclave_rocks::{RocksEngine, RocksOptions};
use conclave_storage::engine::{Batch, Direction, Durability, Engine, Read, Space};

const fn space(position: usize, name: &'static str, suffix_len: Option<usize>) -> Space {
    Space {
        position,
        name,
        suffix_len,
    }
}

/// Key, inverted revision -> version.
const VERSIONS: Space = space(0, "kv", Some(8));
/// Revision -> key.
const REVISIONS: Space = space(1, "rev", None);
/// Key -> its latest version, or its numbers.
const HEADS: Space = space(2, "head", None);
/// Key -> nothing.
const KEYS: Space = space(3, "key", None);
const SPACES: &[Space] = &[VERSIONS, REVISIONS, HEADS, KEYS];

const BATCH_WRITES: u64 = 64;
const GETS: u64 = 200_000;
const RANGES: u64 = 5_000;
const RANGE_KEYS: u64 = 100;
const POOL_BYTES: usize = 8 << 20;

#[derive(Clone, Copy, PartialEq)]
enum Layout {
    /// All versions of a key, newest first.
    One,
    /// The latest version by key, and the superseded ones.
    Heads,
    /// The same, and the keys once more without their values.
    HeadsAndKeys,
    /// All versions, and the numbers of the latest by key.
    Index,
}

struct Store {
    layout: Layout,
    engine: RocksEngine,
    key_bytes: usize,
    value_bytes: usize,
}

impl Store {
    fn key(&self, number: u64) -> Vec<u8> {
        let mut key = vec![b'k'; self.key_bytes];
        let digits = format!("{number:012}");
        key[self.key_bytes - 12..].copy_from_slice(digits.as_bytes());
        key
    }

    fn versioned(key: &[u8], revision: u64) -> Vec<u8> {
        [key, &[0, 1], &(!revision).to_be_bytes()].concat()
    }

    /// Writes a key that no other put of the batch writes.
    fn put(&self, read: &dyn Read, batch: &mut Batch, key: &[u8], revision: u64, value: &[u8]) {
        let numbers = [&revision.to_be_bytes()[..], &[1, 0, 0, 1, 0]].concat();
        let version = [&numbers, value].concat();
        match self.layout {
            Layout::One => {
                black_box(read.first_in_prefix(VERSIONS, &Self::versioned(key, revision))).unwrap();
                batch.put(VERSIONS, Self::versioned(key, revision), version);
            }
            Layout::Heads | Layout::HeadsAndKeys => {
                match read.get(HEADS, key).unwrap() {
                    Some(old) => {
                        let revision = u64::from_be_bytes(*old.first_chunk().unwrap());
                        batch.put(VERSIONS, Self::versioned(key, revision), old);
                    }
                    None if self.layout == Layout::HeadsAndKeys => batch.put(KEYS, key, ""),
                    None => {}
                }
                batch.put(HEADS, key, version);
            }
            Layout::Index => {
                // A put returns the value that it replaces.
                if let Some(old) = read.get(HEADS, key).unwrap() {
                    let revision = u64::from_be_bytes(*old.first_chunk().unwrap());
                    black_box(read.get(VERSIONS, &Self::versioned(key, revision))).unwrap();
                }
                batch.put(VERSIONS, Self::versioned(key, revision), version);
                batch.put(HEADS, key, numbers);
            }
        }
        batch.put(
            REVISIONS,
            [&revision.to_be_bytes()[..], &[0; 4]].concat(),
            key,
        );
    }

    fn get(&self, key: &[u8]) -> usize {
        let read = &self.engine;
        match self.layout {
            Layout::One => {
                let row = read.first_in_prefix(VERSIONS, &Self::versioned(key, u64::MAX));
                row.unwrap().unwrap().1.len()
            }
            Layout::Heads | Layout::HeadsAndKeys => read.get(HEADS, key).unwrap().unwrap().len(),
            Layout::Index => {
                let numbers = read.get(HEADS, key).unwrap().unwrap();
                let revision = u64::from_be_bytes(*numbers.first_chunk().unwrap());
                let row = read.get(VERSIONS, &Self::versioned(key, revision));
                row.unwrap().unwrap().len()
            }
        }
    }

    fn range(&self, from: &[u8], keys: usize) -> usize {
        let frozen = self.engine.snapshot();
        let mut bytes = 0;
        match self.layout {
            Layout::One => {
                let mut scan = frozen
                    .scan(VERSIONS, from, None, Direction::Forward)
                    .unwrap();
                let mut last = Vec::new();
                let mut left = keys;
                while let Some((row, value)) = scan.next().unwrap() {
                    let key = &row[..row.len() - 8];
                    if key != last {
                        if left == 0 {
                            break;
                        }
                        left -= 1;
                        last.clear();
                        last.extend_from_slice(key);
                        bytes += value.to_vec().len();
                    }
                }
            }
            Layout::Heads | Layout::HeadsAndKeys => {
                let mut scan = frozen.scan(HEADS, from, None, Direction::Forward).unwrap();
                for _ in 0..keys {
                    let Some((_, value)) = scan.next().unwrap() else {
                        break;
                    };
                    bytes += value.to_vec().len();
                }
            }
            Layout::Index => {
                let mut scan = frozen.scan(HEADS, from, None, Direction::Forward).unwrap();
                let mut versions = frozen
                    .scan(VERSIONS, from, None, Direction::Forward)
                    .unwrap();
                for _ in 0..keys {
                    let Some((key, numbers)) = scan.next().unwrap() else {
                        break;
                    };
                    let revision = u64::from_be_bytes(*numbers.first_chunk().unwrap());
                    let wanted = Self::versioned(key, revision);
                    loop {
                        let (row, value) = versions.next().unwrap().unwrap();
                        if row == wanted {
                            bytes += value.to_vec().len();
                            break;
                        }
                    }
                }
            }
        }
        bytes
    }

    fn count(&self) -> usize {
        let space = match self.layout {
            Layout::One => VERSIONS,
            Layout::Heads | Layout::Index => HEADS,
            Layout::HeadsAndKeys => KEYS,
        };
        let frozen = self.engine.snapshot();
        let mut scan = frozen.scan(space, &[], None, Direction::Forward).unwrap();
        if self.layout != Layout::One {
            return scan.skip(usize::MAX).unwrap();
        }
        let mut last = Vec::new();
        let mut count = 0;
        while let Some((row, _)) = scan.next().unwrap() {
            let key = &row[..row.len() - 8];
            if key != last {
                last.clear();
                last.extend_from_slice(key);
                count += 1;
            }
        }
        count
    }

    /// The changes of these revisions with their values, for a watcher.
    fn history(&self, from: u64) -> usize {
        let frozen = self.engine.snapshot();
        let from = from.to_be_bytes();
        let mut scan = frozen
            .scan(REVISIONS, &from, None, Direction::Forward)
            .unwrap();
        let mut bytes = 0;
        while let Some((row, key)) = scan.next().unwrap() {
            let revision = u64::from_be_bytes(*row.first_chunk().unwrap());
            let of = |value: &[u8]| u64::from_be_bytes(*value.first_chunk().unwrap());
            if matches!(self.layout, Layout::Heads | Layout::HeadsAndKeys) {
                let head = frozen.get(HEADS, key).unwrap().unwrap();
                if of(&head) == revision {
                    bytes += head.len();
                    continue;
                }
            }
            let version = frozen.get(VERSIONS, &Self::versioned(key, revision));
            bytes += version.unwrap().unwrap().len();
        }
        bytes
    }

    /// Removes what the revisions through this one have superseded.
    fn compact(&self, through: u64) {
        let end = (through + 1).to_be_bytes();
        let mut from = Vec::new();
        loop {
            let mut batch = Batch::default();
            let read = self.engine.lookups();
            let mut next = None;
            let mut scan = read
                .scan(REVISIONS, &from, Some(&end), Direction::Forward)
                .unwrap();
            for visited in 0.. {
                let Some((row, key)) = scan.next().unwrap() else {
                    break;
                };
                if visited == 1000 {
                    next = Some(row.to_vec());
                    break;
                }
                let revision = u64::from_be_bytes(*row.first_chunk().unwrap());
                let before = Self::versioned(key, revision - 1);
                if let Some((version, value)) = read.first_in_prefix(VERSIONS, &before).unwrap() {
                    batch.delete(VERSIONS, version);
                    batch.delete(REVISIONS, [&value[..8], &[0; 4]].concat());
                }
            }
            drop(scan);
            drop(read);
            self.engine.write(batch, Durability::Eventual).unwrap();
            match next {
                Some(row) => from = row,
                None => break,
            }
        }
    }
}

/// Processor time of the process, and bytes that it has written.
fn used() -> (Duration, u64) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    let io = fs::read_to_string("/proc/self/io").unwrap();
    let written = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    (
        Duration::from_millis(ticks * 10),
        written.unwrap().parse().unwrap(),
    )
}

/// Waits until the background threads have nothing to do.
fn settle() {
    let mut last = used().0;
    let mut calm = 0;
    while calm < 5 {
        std::thread::sleep(Duration::from_millis(200));
        let now = used().0;
        calm = if now == last { calm + 1 } else { 0 };
        last = now;
    }
}

fn measure(what: &str, times: u64, work: impl FnOnce()) {
    let (cpu, written) = used();
    let start = Instant::now();
    work();
    let wall = start.elapsed();
    settle();
    let (cpu_after, written_after) = used();
    println!(
        "{what:>10}: {:9.2} us CPU each, {:8.3} s wall, {:6} MiB written",
        (cpu_after - cpu).as_secs_f64() * 1e6 / times as f64,
        wall.as_secs_f64(),
        (written_after - written) >> 20,
    );
}

fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Writes revisions with random values, in batches as under load.
fn write(store: &Store, pool: &[u8], (from, to): (u64, u64), mut key_of: impl FnMut(u64) -> u64) {
    let mut seed = from;
    let mut revision = from;
    while revision < to {
        let read = store.engine.lookups();
        let mut batch = Batch::default();
        let mut keys = HashSet::new();
        for _ in 0..BATCH_WRITES.min(to - revision) {
            let start = random(&mut seed) as usize % (pool.len() - store.value_bytes);
            let value = &pool[start..start + store.value_bytes];
            let mut key = key_of(revision);
            while !keys.insert(key) {
                key = key_of(revision);
            }
            store.put(&*read, &mut batch, &store.key(key), revision + 2, value);
            revision += 1;
        }
        drop(read);
        store.engine.write(batch, Durability::Eventual).unwrap();
    }
}

fn run(store: &Store, keys: u64, writes: u64) {
    let mut seed = 1;
    let pool: Vec<u8> = (0..POOL_BYTES).map(|_| random(&mut seed) as u8).collect();
    measure("create", keys, || {
        write(store, &pool, (0, keys), |revision| revision)
    });
    measure("overwrite", writes - keys, || {
        write(store, &pool, (keys, writes), |_| random(&mut seed) % keys);
    });
    measure("get", GETS, || {
        for _ in 0..GETS {
            black_box(store.get(&store.key(random(&mut seed) % keys)));
        }
    });
    measure("range", RANGES, || {
        for _ in 0..RANGES {
            let from = random(&mut seed) % (keys - RANGE_KEYS);
            black_box(store.range(&store.key(from), RANGE_KEYS as usize));
        }
    });
    measure("count", 1, || assert_eq!(store.count() as u64, keys));
    measure("history", writes - keys, || {
        black_box(store.history(keys + 2));
    });
    measure("compact", writes - keys, || store.compact(writes + 2));
    measure("reclaim", 1, || store.engine.reclaim().unwrap());
    println!("{:>10}: {} MiB", "size", store.engine.size_on_disk() >> 20);
}

fn main() {
    let mut args = std::env::args().skip(1);
    let layout = match args.next().unwrap().as_str() {
        "one" => Layout::One,
        "heads" => Layout::Heads,
        "heads-and-keys" => Layout::HeadsAndKeys,
        "index" => Layout::Index,
        other => panic!("no layout {other}"),
    };
    let mut number = || args.next().unwrap().parse::<u64>().unwrap();
    let (keys, writes) = (number(), number());
    let (key_bytes, value_bytes) = (number() as usize, number() as usize);
    let dir = Path::new(&args.next().unwrap()).join("layouts.tmp");
    let options = RocksOptions::state(RocksOptions::STATE_CACHE_BYTES);
    let store = Store {
        layout,
        engine: RocksEngine::open(&dir, SPACES, options).unwrap(),
        key_bytes,
        value_bytes,
    };
    run(&store, keys, writes);
    drop(store);
    fs::remove_dir_all(&dir).unwrap();
}
