//! Data directories in older on-disk formats, and copies of data directories.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use bytes::Bytes;
use conclave_rocks::{RocksEngine, RocksOptions};
use conclave_storage::engine::{Batch, Direction, Durability, Engine as _, Read as _, Space};
use conclave_storage::layout::{HEAD, OLD, STATE_SPACES, escape_key};

const CACHE_BYTES: usize = 8 << 20;
/// Bytes of keys and values written in one batch.
const BATCH_BYTES: usize = 4 << 20;
/// Length of the revision at the beginning of a row of `HEAD`.
const REVISION_BYTES: usize = 8;
/// The kind of a row of `HEAD` whose value is in `OLD`.
const APART: u8 = 3;

/// The content of the `VERSION` file of format 1.
const VERSION_1: &str = "conclave format 1\n";
/// The record of the space `meta` that format 1 did not have.
const FORMAT_RECORD: &[u8] = b"format";

/// Turns the data directory of a stopped member from format 2 into format 1: undoes what
/// `conclave_storage::convert` does. Merges the tables, so that no row of format 2 is left in them.
pub fn to_format_1(data_dir: &Path) {
    let engine = open_state(data_dir);
    let key = space("key");
    let mut heads = engine
        .scan(HEAD, &[], None, Direction::Forward)
        .expect("a readable state");
    let mut batch = Batch::default();
    let mut bytes = 0;
    while let Some((user_key, row)) = heads.next().expect("a readable state") {
        let (revision, version) = row.split_at(REVISION_BYTES);
        let mut old = Vec::new();
        escape_key(user_key, &mut old);
        old.extend(revision.iter().map(|byte| !byte));
        bytes += old.len() + row.len();
        // A large value is there already.
        if version[0] != APART {
            batch.put(OLD, old, version);
        }
        batch.delete(HEAD, user_key);
        batch.delete(key, user_key);
        if bytes >= BATCH_BYTES {
            write(&engine, std::mem::take(&mut batch));
            bytes = 0;
        }
    }
    drop(heads);
    batch.delete(space("meta"), FORMAT_RECORD);
    write(&engine, batch);
    engine.reclaim().expect("a writable state");
    fs::write(data_dir.join("member/VERSION"), VERSION_1).expect("a writable directory");
}

/// The record of the format in the state of a stopped member: a number (4 bytes) and, while a
/// conversion is under way, the row where it continues. `None` in format 1.
pub fn format_record(data_dir: &Path) -> Option<Bytes> {
    let record = open_state(data_dir).get(space("meta"), FORMAT_RECORD);
    record.expect("a readable state")
}

/// Copies a directory and all below it, except the files that `is_left_out` selects by name.
pub fn copy_directory(from: &Path, to: &Path, is_left_out: fn(&str) -> bool) {
    fs::create_dir_all(to).expect("a writable directory");
    for entry in fs::read_dir(from).expect("a readable directory") {
        let path = entry.expect("a readable directory").path();
        let name = path.file_name().expect("an entry has a name");
        if path.is_dir() {
            copy_directory(&path, &to.join(name), is_left_out);
        } else if !is_left_out(name.to_str().expect("our files have names in UTF-8")) {
            fs::copy(&path, to.join(name)).expect("a readable file and room for it");
        }
    }
}

/// Bytes on disk of the files in a directory and all below it. A member may be removing files.
pub fn bytes_on_disk(dir: &Path) -> u64 {
    const BLOCK: u64 = 512;
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_on_disk(&entry.path()),
        Ok(metadata) => metadata.blocks() * BLOCK,
        Err(_) => 0,
    });
    sizes.sum()
}

fn open_state(data_dir: &Path) -> RocksEngine {
    let dir = data_dir.join("member/state");
    let engine = RocksEngine::open(&dir, STATE_SPACES, RocksOptions::state(CACHE_BYTES));
    engine.expect("the state of a member that is stopped")
}

fn write(engine: &RocksEngine, batch: Batch) {
    let written = engine.write(batch, Durability::Eventual);
    written.expect("a writable state");
}

fn space(name: &str) -> Space {
    let mut spaces = STATE_SPACES.iter();
    let found = spaces.find(|space| space.name == name);
    *found.expect("a space of the state")
}
