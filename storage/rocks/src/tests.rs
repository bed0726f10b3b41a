//! Tests on RocksDB: the conformance suite, damage, the log and snapshots.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::Path;

use conclave_storage::engine::Space;

use crate::{RocksEngine, RocksOptions};

#[path = "../../tests/shared/conformance.rs"]
mod conformance;
mod damage;
mod log;
mod snapshot;

use conformance::{ODD, PLAIN, Subject, VERSIONED};

const SPACES: &[Space] = &[PLAIN, VERSIONED, ODD];

/// An engine that crashes by copying its files while it is open.
struct Rocks<const LOG: bool> {
    engine: RocksEngine,
    dir: tempfile::TempDir,
}

fn options(log: bool) -> RocksOptions {
    if log {
        RocksOptions::log()
    } else {
        RocksOptions::state(1 << 20)
    }
}

impl<const LOG: bool> Rocks<LOG> {
    fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let engine = RocksEngine::open(dir.path(), SPACES, options(LOG)).unwrap();
        Rocks { engine, dir }
    }
}

impl<const LOG: bool> Subject for Rocks<LOG> {
    type Engine = RocksEngine;
    fn engine(&self) -> &RocksEngine {
        &self.engine
    }
    fn crash(self) -> Self {
        let copy = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(self.dir.path()).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        drop(self.engine);
        let engine = RocksEngine::open(copy.path(), SPACES, options(LOG)).unwrap();
        Rocks { engine, dir: copy }
    }
    fn open_copy(dir: &Path) -> RocksEngine {
        RocksEngine::open(dir, SPACES, options(LOG)).unwrap()
    }
}

mod conforms_as_log {
    use super::conformance::{self as suite, conformance_suite};

    conformance_suite!(super::Rocks::<true>::open());
}

mod conforms_as_state {
    use super::conformance::{self as suite, conformance_suite};

    conformance_suite!(super::Rocks::<false>::open());
}
