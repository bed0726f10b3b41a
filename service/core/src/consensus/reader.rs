//! The library's view of the raft log: the log on disk, plus its tail in memory.
//!
//! The library constantly asks its storage for three things: the term of a recent index, the
//! entries that were just committed, and the entries a follower lacks. All three are nearly always
//! among the last few entries, some of which are not on disk yet: the library treats a ready list
//! as *in the storage* as soon as it has been returned, and the list is written while the node
//! continues. So the tail serves two purposes: entries that are being written can be read, and
//! entries that were written need not be read back from disk.
//!
//! # Invariants
//!
//! 1. The tail is contiguous and ends at `last_index`; everything before it is on disk.
//! 2. An entry that is not known to be on disk is never dropped from the tail. Entries on disk are
//!    dropped from the front while the tail exceeds [`limits::LOG_TAIL_BYTES_MAX`].
//! 3. `first_index` moves before the disk drops entries, so no read looks for an entry that may be
//!    gone.
//!
//! The library would not survive an error from a failed read, and it should not: the log is no
//! longer trustworthy. The fault names the path and is logged; then the library panics, which ends
//! the driver and with it the process.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;

use raft::eraftpb::{ConfState, Entry, EntryType, HardState, Snapshot};
use raft::{Error, GetEntriesContext, RaftState, Result, Storage, StorageError};

use conclave_storage::log::{self, EntryKind, Log, LogState};
use conclave_storage::{Fault, Index, Term};

use super::configuration::Configuration;
use super::node::Position;
use crate::limits;

/// Bytes that an entry takes beside its data: enough for its index, term, kind and field tags.
const ENTRY_OVERHEAD_BYTES: u64 = 32;

/// The raft log that the library reads from: disk and tail.
pub struct Reader {
    log: Arc<Log>,
    initial: RaftState,
    first_index: u64,
    last_index: u64,
    /// Term of the entry before `first_index`.
    compacted_term: u64,
    tail: VecDeque<Entry>,
    tail_bytes: u64,
    persisted: u64,
    /// Snapshot for members that need entries the log has dropped.
    offered: Option<(Position, Configuration)>,
    /// Set when a member needed a snapshot and none was offered.
    wanted: Cell<bool>,
}

impl Reader {
    /// Creates a reader of `log`; `state` is the log's state at opening.
    ///
    /// Applied entries, and the entry that made the configuration, are committed, although the
    /// log's own record of the commit index may lag. (A configuration is written when its entry is
    /// committed; the commit index of that entry is written later, or never. A voter that did not
    /// treat its own configuration's entry as committed could not reach the members in that
    /// configuration.)
    pub(crate) fn new(
        log: Arc<Log>,
        state: &LogState,
        configuration: Configuration,
        applied: Index,
    ) -> Reader {
        let mut hard_state = HardState::default();
        hard_state.term = state.hard_state.term.0;
        hard_state.vote = state.hard_state.vote.0;
        hard_state.commit = state
            .hard_state
            .commit
            .max(applied)
            .max(configuration.index)
            .max(state.first_index.previous())
            .0;
        Reader {
            log,
            initial: RaftState {
                hard_state,
                conf_state: configuration.conf_state,
            },
            first_index: state.first_index.0,
            last_index: state.last_index.0,
            compacted_term: state.compacted_term.0,
            tail: VecDeque::new(),
            tail_bytes: 0,
            persisted: state.last_index.0,
            offered: None,
            wanted: Cell::new(false),
        }
    }

    /// Adds entries that are being written to disk, so that they can be read from here. They
    /// replace any existing entries from their first index on.
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

    /// Records that everything through `index` is on disk, as it is in the tail.
    pub(super) fn persisted(&mut self, index: Index) {
        self.persisted = self.persisted.max(index.0.min(self.last_index));
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

    /// Drops the entries at or below `index`, which will not be read again.
    ///
    /// # Panics
    /// Panics if the log ends before `index`: only applied entries are compacted.
    pub(super) fn compact(&mut self, index: Index) {
        let index = index.0;
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

    /// Replaces the whole log by a snapshot.
    pub(super) fn restore(&mut self, position: Position) {
        let index = position.index.0;
        self.first_index = index + 1;
        self.last_index = index;
        self.compacted_term = position.term.0;
        self.tail.clear();
        self.tail_bytes = 0;
        self.persisted = index;
        self.offered = None;
    }

    /// Sets or clears the snapshot that can be sent.
    pub(super) fn offer(&mut self, offer: Option<(Position, Configuration)>) {
        // This offer answers the requests made so far.
        self.wanted.set(false);
        self.offered = offer;
    }

    /// Returns true if a snapshot was requested and not available since the last call.
    pub(super) fn take_wanted(&mut self) -> bool {
        self.wanted.take()
    }

    /// Returns the index of the tail's first entry, or `last_index + 1` if the tail is empty.
    fn tail_first(&self) -> u64 {
        self.last_index + 1 - self.tail.len() as u64
    }

    fn in_tail(&self, index: u64) -> Option<&Entry> {
        let position = index.checked_sub(self.tail_first())?;
        self.tail.get(usize::try_from(position).ok()?)
    }

    fn read_disk(&self, low: u64, high: u64, max_bytes: u64) -> Result<Vec<Entry>> {
        let entries = self.log.entries(Index(low), Index(high), max_bytes);
        let entries = entries.map_err(failed)?;
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
        let term = self.log.term(Index(index)).map_err(failed)?;
        term.map(|term| term.0)
            .ok_or(Error::Store(StorageError::Unavailable))
    }

    fn first_index(&self) -> Result<u64> {
        Ok(self.first_index)
    }

    fn last_index(&self) -> Result<u64> {
        Ok(self.last_index)
    }

    /// Returns the offered snapshot if it is useful to member `to`. A follower that needs entries
    /// the log has dropped waits until there is a snapshot that it can continue from and that lists
    /// it as a member. The message holds only the snapshot's position; the files are sent
    /// separately.
    fn snapshot(&self, request_index: u64, to: u64) -> Result<Snapshot> {
        let useful = self.offered.as_ref().filter(|(position, configuration)| {
            let ConfState {
                voters, learners, ..
            } = &configuration.conf_state;
            position.index.next().0 >= self.first_index
                && position.index.0 >= request_index
                && (voters.contains(&to) || learners.contains(&to))
        });
        let Some((position, configuration)) = useful else {
            self.wanted.set(true);
            return Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable));
        };
        let mut snapshot = Snapshot::default();
        let metadata = snapshot.mut_metadata();
        metadata.index = position.index.0;
        metadata.term = position.term.0;
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
        index: entry.index.0,
        term: entry.term.0,
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

/// Converts an entry of the library, sharing the data.
pub(super) fn from_raft(entry: &Entry) -> log::Entry {
    log::Entry {
        index: Index(entry.index),
        term: Term(entry.term),
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
