//! The raft log as the library reads it: the disk, and the tail of it that is still in memory.
//!
//! The library asks its storage for three things all the time: the term of a recent index, the
//! entries that just became committed, the entries a follower lacks. All three are nearly always
//! about the last few entries, and some of those are not on disk yet: a ready list counts as *in
//! the storage* as soon as it is handed out, and is written while the node goes on. So the tail
//! serves two ends: what is being written can be read, and what was written need not be read back.
//!
//! # Invariants
//!
//! 1. The tail is contiguous and ends at `last_index`; everything before it is on disk.
//! 2. What is not known to be on disk is never dropped from the tail. What is, is dropped from the
//!    front beyond [`limits::LOG_TAIL_BYTES_MAX`].
//! 3. `first_index` moves before the disk forgets, so nothing is looked for that may be gone.
//!
//! A read that fails cannot be answered with an error the library would survive, nor should it be:
//! the log cannot be trusted any more. The fault is logged, for it names the path, and the library
//! panics, which ends the driver and with it the process.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;

use raft::eraftpb::{ConfState, Entry, EntryType, HardState, Snapshot};
use raft::{Error, GetEntriesContext, RaftState, Result, Storage, StorageError};

use conclave_storage::Fault;
use conclave_storage::log::{self, EntryKind, Log, LogState};

use super::configuration::Configuration;
use super::node::Position;
use crate::limits;

/// What an entry costs beside its data: enough for its index, term, kind and field tags.
const ENTRY_OVERHEAD_BYTES: u64 = 32;

/// See the module.
pub struct Reader {
    log: Arc<Log>,
    initial: RaftState,
    first_index: u64,
    last_index: u64,
    /// The term of the entry before the first.
    compacted_term: u64,
    tail: VecDeque<Entry>,
    tail_bytes: u64,
    persisted: u64,
    /// The snapshot that can be sent to those who lack what the log has dropped.
    offered: Option<(Position, Configuration)>,
    /// Somebody lacks it, and none was there.
    wanted: Cell<bool>,
}

impl Reader {
    /// Reads `log` from where `state`, which came with it, says it stands. What is applied and what
    /// made the configuration is committed: the log's own record of the commit index may lag. (A
    /// configuration is put on disk when its entry is committed, and the commit index of that entry
    /// later or never. A voter that did not believe its own configuration's entry could not reach
    /// those it says are there.)
    pub(crate) fn new(
        log: Arc<Log>,
        state: &LogState,
        configuration: Configuration,
        applied: u64,
    ) -> Reader {
        let mut hard_state = HardState::default();
        hard_state.term = state.hard_state.term;
        hard_state.vote = state.hard_state.vote;
        hard_state.commit = state
            .hard_state
            .commit
            .max(applied)
            .max(configuration.index)
            .max(state.first_index - 1);
        Reader {
            log,
            initial: RaftState {
                hard_state,
                conf_state: configuration.conf_state,
            },
            first_index: state.first_index,
            last_index: state.last_index,
            compacted_term: state.compacted_term,
            tail: VecDeque::new(),
            tail_bytes: 0,
            persisted: state.last_index,
            offered: None,
            wanted: Cell::new(false),
        }
    }

    /// Entries are on their way to the disk; from now on they can be read here. A suffix of what
    /// was there is replaced.
    pub(super) fn append(&mut self, entries: Vec<Entry>) {
        let Some(first) = entries.first().map(|entry| entry.index) else {
            return;
        };
        let kept = first.saturating_sub(self.tail_first());
        while self.tail.len() as u64 > kept {
            let dropped = self.tail.pop_back().expect("longer than what is kept");
            self.tail_bytes -= size(&dropped);
        }
        self.persisted = self.persisted.min(first - 1);
        self.last_index = first + entries.len() as u64 - 1;
        self.tail_bytes += entries.iter().map(size).sum::<u64>();
        self.tail.extend(entries);
    }

    /// Everything through `index` is on disk, as it is in the tail.
    pub(super) fn persisted(&mut self, index: u64) {
        self.persisted = self.persisted.max(index.min(self.last_index));
        while self.tail_bytes > limits::LOG_TAIL_BYTES_MAX as u64
            && self
                .tail
                .front()
                .is_some_and(|entry| entry.index <= self.persisted)
        {
            let dropped = self.tail.pop_front().expect("there is a front");
            self.tail_bytes -= size(&dropped);
        }
    }

    /// Nothing at or below `index` will be asked for any more.
    ///
    /// # Panics
    /// When the log does not reach so far: only what was applied is compacted.
    pub(super) fn compact(&mut self, index: u64) {
        if index < self.first_index {
            return;
        }
        self.compacted_term = self.term(index).expect("what is compacted is in the log");
        self.first_index = index + 1;
        while self.tail.front().is_some_and(|entry| entry.index <= index) {
            let dropped = self.tail.pop_front().expect("there is a front");
            self.tail_bytes -= size(&dropped);
        }
    }

    /// A snapshot takes the place of all that was here.
    pub(super) fn restore(&mut self, index: u64, term: u64) {
        self.first_index = index + 1;
        self.last_index = index;
        self.compacted_term = term;
        self.tail.clear();
        self.tail_bytes = 0;
        self.persisted = index;
        self.offered = None;
    }

    /// A snapshot can be had, or none any more.
    pub(super) fn offer(&mut self, offer: Option<(Position, Configuration)>) {
        // Whoever asked meanwhile asked for this one.
        self.wanted.set(false);
        self.offered = offer;
    }

    /// Whether a snapshot was asked for in vain since the last time.
    pub(super) fn take_wanted(&mut self) -> bool {
        self.wanted.take()
    }

    /// The index of the tail's first entry, or the one after the last if the tail is empty.
    fn tail_first(&self) -> u64 {
        self.last_index + 1 - self.tail.len() as u64
    }

    fn in_tail(&self, index: u64) -> Option<&Entry> {
        let position = index.checked_sub(self.tail_first())?;
        self.tail.get(usize::try_from(position).ok()?)
    }

    fn read_disk(&self, low: u64, high: u64, max_bytes: u64) -> Result<Vec<Entry>> {
        let entries = self.log.entries(low, high, max_bytes).map_err(failed)?;
        Ok(entries.into_iter().map(to_raft).collect())
    }
}

impl Storage for Reader {
    fn initial_state(&self) -> Result<RaftState> {
        Ok(self.initial.clone())
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> Result<Vec<Entry>> {
        if low < self.first_index {
            return Err(Error::Store(StorageError::Compacted));
        }
        assert!(
            high <= self.last_index + 1,
            "entries up to {high} of a log to {}",
            self.last_index
        );
        let max_bytes = max_size.into().unwrap_or(u64::MAX);
        let tail_first = self.tail_first();
        let mut out = Vec::new();
        let mut bytes = 0;
        if low < tail_first {
            let disk_high = high.min(tail_first);
            out = self.read_disk(low, disk_high, max_bytes)?;
            bytes = out.iter().map(size).sum();
            if (out.len() as u64) < disk_high - low {
                return Ok(out);
            }
        }
        for index in low.max(tail_first)..high {
            let entry = self
                .in_tail(index)
                .expect("the tail is contiguous to the last index");
            bytes += size(entry);
            if bytes > max_bytes && !out.is_empty() {
                break;
            }
            out.push(entry.clone());
        }
        Ok(out)
    }

    fn term(&self, index: u64) -> Result<u64> {
        if let Some(entry) = self.in_tail(index) {
            return Ok(entry.term);
        }
        if index + 1 == self.first_index {
            return Ok(self.compacted_term);
        }
        if index < self.first_index {
            return Err(Error::Store(StorageError::Compacted));
        }
        if index > self.last_index {
            return Err(Error::Store(StorageError::Unavailable));
        }
        let term = self.log.term(index).map_err(failed)?;
        term.ok_or(Error::Store(StorageError::Unavailable))
    }

    fn first_index(&self) -> Result<u64> {
        Ok(self.first_index)
    }

    fn last_index(&self) -> Result<u64> {
        Ok(self.last_index)
    }

    /// A follower that needs what the log has dropped waits until a snapshot is made that it can go
    /// on from, and that knows of it. The message has its position only; the files go another way.
    fn snapshot(&self, request_index: u64, to: u64) -> Result<Snapshot> {
        let useful = self.offered.as_ref().filter(|(position, configuration)| {
            let ConfState {
                voters, learners, ..
            } = &configuration.conf_state;
            position.index + 1 >= self.first_index
                && position.index >= request_index
                && (voters.contains(&to) || learners.contains(&to))
        });
        let Some((position, configuration)) = useful else {
            self.wanted.set(true);
            return Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable));
        };
        let mut snapshot = Snapshot::default();
        let metadata = snapshot.mut_metadata();
        metadata.index = position.index;
        metadata.term = position.term;
        metadata.set_conf_state(configuration.conf_state.clone());
        Ok(snapshot)
    }
}

fn failed(fault: Fault) -> Error {
    tracing::error!(%fault, "the raft log cannot be read");
    Error::Store(StorageError::Other(Box::new(fault)))
}

fn size(entry: &Entry) -> u64 {
    entry.data.len() as u64 + ENTRY_OVERHEAD_BYTES
}

fn to_raft(entry: log::Entry) -> Entry {
    let mut out = Entry {
        index: entry.index,
        term: entry.term,
        data: entry.data,
        ..Entry::default()
    };
    out.set_entry_type(match entry.kind {
        EntryKind::Normal => EntryType::EntryNormal,
        EntryKind::ConfChange => EntryType::EntryConfChange,
        EntryKind::ConfChangeV2 => EntryType::EntryConfChangeV2,
    });
    out
}

/// A copy that shares the data.
pub(super) fn from_raft(entry: &Entry) -> log::Entry {
    log::Entry {
        index: entry.index,
        term: entry.term,
        kind: kind(entry),
        data: entry.data.clone(),
    }
}

pub(super) fn kind(entry: &Entry) -> EntryKind {
    match entry.get_entry_type() {
        EntryType::EntryNormal => EntryKind::Normal,
        EntryType::EntryConfChange => EntryKind::ConfChange,
        EntryType::EntryConfChangeV2 => EntryKind::ConfChangeV2,
    }
}
