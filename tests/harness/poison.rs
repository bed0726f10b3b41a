//! Log entries that no member can apply, written into the log of a stopped member.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use conclave_proto::command::{Batch, Command, Header};
use conclave_rocks::{RocksEngine, RocksOptions};
use conclave_storage::layout::LOG_SPACES;
use conclave_storage::log::{Append, Entry, EntryKind, HardState, Log, entry_checksum};
use prost::Message as _;

/// An entry in the form `--skip-log-entry` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poison {
    /// Its index.
    pub index: u64,
    /// Its hash.
    pub hash: u32,
}

impl Poison {
    /// The flag that skips the entry.
    pub fn flag(self) -> String {
        format!("--skip-log-entry={}:{:08x}", self.index, self.hash)
    }
}

/// Appends a committed entry to the log in a data directory.
pub fn append(data_dir: &Path, kind: EntryKind, data: impl Into<Bytes>) -> Poison {
    let dir = data_dir.join("member/log");
    let engine = RocksEngine::open(&dir, LOG_SPACES, RocksOptions::log());
    let engine = engine.expect("the log of a member that is stopped");
    let (log, state) = Log::open(Arc::new(engine)).expect("a sound log");
    let (index, data) = (state.last_index.next(), data.into());
    let term = state.hard_state.term;
    let hash = entry_checksum(index, term, kind, &data);
    let append = Append {
        entries: vec![Entry {
            index,
            term,
            kind,
            data,
        }],
        hard_state: Some(HardState {
            commit: index,
            ..state.hard_state
        }),
        conf_state: None,
        sync: true,
    };
    log.append(&append).expect("a log that can be written");
    Poison {
        index: index.0,
        hash,
    }
}

/// Payloads that this release cannot apply, each with the text of its error.
pub fn payloads() -> Vec<(EntryKind, Bytes, &'static str)> {
    let later_command = Batch {
        version: 1,
        commands: vec![Command {
            header: Some(Header::default()),
            body: None,
        }],
    };
    let later_format = Batch {
        version: 2,
        commands: Vec::new(),
    };
    let garbage = Bytes::from_static(b"\xff\xff\xff");
    vec![
        (
            EntryKind::Normal,
            garbage.clone(),
            "not a batch of commands",
        ),
        (
            EntryKind::Normal,
            later_command.encode_to_vec().into(),
            "a command of a newer release",
        ),
        (
            EntryKind::Normal,
            later_format.encode_to_vec().into(),
            "its format has version 2",
        ),
        (
            EntryKind::ConfChange,
            garbage.clone(),
            "a membership change that this release cannot read",
        ),
        (
            EntryKind::ConfChangeV2,
            garbage,
            "a membership change that this release cannot read",
        ),
    ]
}
