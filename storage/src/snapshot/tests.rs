//! Snapshots out and in, and what must be refused.

use super::*;
use crate::engine::rocks::{RocksEngine, RocksOptions};
use crate::engine::{Batch, Durability, Read, Space};

const SPACE: Space = Space {
    position: 0,
    name: "pairs",
    suffix_len: None,
};
const SPACES: &[Space] = &[SPACE];

fn open(dir: &Path) -> RocksEngine {
    RocksEngine::open(dir, SPACES, RocksOptions::state(1 << 20)).unwrap()
}

fn put(engine: &RocksEngine, value: &str) {
    let mut batch = Batch::default();
    batch.put(SPACE, "key", value);
    engine.write(batch, Durability::Synced).unwrap();
}

fn value_in(store: &Path) -> String {
    let value = open(store).get(SPACE, b"key").unwrap().unwrap();
    String::from_utf8(value.to_vec()).unwrap()
}

/// A folder with `snapshot` (value "new", at 7 of term 3) and `state` (value "old").
fn scene() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (snapshot, store) = (dir.path().join("snapshot"), dir.path().join("state"));
    let engine = open(&dir.path().join("source"));
    put(&engine, "new");
    let written = write(&engine, &snapshot, 7, 3).unwrap();
    assert_eq!((written.index, written.term), (7, 3));
    assert_eq!(verify(&snapshot).unwrap(), written);
    put(&engine, "newer");
    put(&open(&store), "old");
    (dir, snapshot, store)
}

fn entries(dir: &Path) -> Vec<String> {
    names(dir).unwrap()
}

#[test]
fn a_snapshot_replaces_a_store() {
    let (dir, snapshot, store) = scene();
    let manifest = restore(&snapshot, &store).unwrap();
    assert_eq!((manifest.index, manifest.term), (7, 3));
    assert_eq!(value_in(&store), "new");
    assert_eq!(entries(dir.path()), ["snapshot", "source", "state"]);
    verify(&snapshot).unwrap();
    let fresh = dir.path().join("fresh");
    restore(&snapshot, &fresh).unwrap();
    assert_eq!(value_in(&fresh), "new");
    assert!(
        write(&open(&store), &snapshot, 8, 3).is_err(),
        "never over another"
    );
}

#[test]
fn a_damaged_snapshot_leaves_the_store_alone() {
    let (_dir, snapshot, store) = scene();
    let names = entries(&snapshot.join(STATE));
    let paths = names.iter().map(|name| snapshot.join(STATE).join(name));
    for path in paths.chain([snapshot.join(MANIFEST)]) {
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        let Some(byte) = flipped.last_mut() else {
            continue;
        };
        *byte ^= 1;
        for damaged in [&flipped[..], &whole[..whole.len() - 1], &[]] {
            fs::write(&path, damaged).unwrap();
            for result in [verify(&snapshot), restore(&snapshot, &store)] {
                assert!(
                    matches!(result, Err(Fault::Damaged { .. })),
                    "{path:?}: {result:?}"
                );
            }
        }
        fs::write(&path, whole).unwrap();
    }
    fs::write(snapshot.join(STATE).join("more"), "").unwrap();
    assert!(matches!(verify(&snapshot), Err(Fault::Damaged { .. })));
    assert_eq!(value_in(&store), "old");
}

#[test]
fn a_crash_during_restore_leaves_the_old_or_the_new() {
    for step in 1..=3 {
        let (dir, snapshot, store) = scene();
        let other = dir.path().join("other");
        restore(&snapshot, &other).unwrap();
        fs::rename(&other, incoming(&store)).unwrap();
        if step >= 2 {
            fs::rename(&store, outgoing(&store)).unwrap();
        }
        if step >= 3 {
            fs::rename(incoming(&store), &store).unwrap();
        }
        finish_restore(&store).unwrap();
        assert_eq!(value_in(&store), if step == 1 { "old" } else { "new" });
        assert_eq!(entries(dir.path()), ["snapshot", "source", "state"]);
        finish_restore(&store).unwrap();
    }
}

#[test]
fn a_manifest_reads_back_and_names_no_other_folder() {
    let file = |name: &str| FileRecord {
        name: name.to_owned(),
        size: 5,
        crc: 0xabc,
    };
    let mut manifest = Manifest {
        format_version: 1,
        index: 9,
        term: 2,
        files: vec![file("CURRENT")],
    };
    assert_eq!(Manifest::decode(&manifest.encode()), Some(manifest.clone()));
    manifest.files = vec![file("../../etc/passwd")];
    assert_eq!(Manifest::decode(&manifest.encode()), None);
    assert_eq!(Manifest::decode("end 00000000\n"), None);
}

#[test]
fn another_format_is_named() {
    let (_dir, snapshot, store) = scene();
    let mut manifest = verify(&snapshot).unwrap();
    manifest.format_version = FORMAT_VERSION + 1;
    fs::write(snapshot.join(MANIFEST), manifest.encode()).unwrap();
    let result = restore(&snapshot, &store);
    assert!(matches!(result, Err(Fault::Version { found, .. }) if found == FORMAT_VERSION + 1));
}
