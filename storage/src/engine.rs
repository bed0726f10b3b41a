//! The seam to the disk: ordered bytes in named spaces, written in atomic batches.
//!
//! An engine holds a fixed set of [`Space`]s (column families). There are two durabilities, because
//! the two stores of a member need different ones: the log is synced before anything is
//! acknowledged; the state is rebuilt from the log, so it only has to be a *prefix* of the batches
//! written ([`Durability::Eventual`]).
//!
//! For example, batches 1, 2 and 3 are written, and 2 is [`Durability::Synced`]. After a crash the
//! store holds 1 and 2, or all three; never 3 without 1 and 2, and never half of one.
//!
//! Invariants:
//!
//! * A [`Batch`] is applied whole or not at all, also across spaces and across a crash.
//! * A scan and a snapshot see the state at their creation, however long they live.
//!
//! Two implementations: [`memory::MemoryEngine`] here, and `RocksEngine` in the crate
//! `conclave-rocks`. One conformance suite (`tests/shared/conformance.rs`) runs on both, so that
//! what the simulation proves about one holds for the other.

use std::path::Path;

use bytes::Bytes;

use crate::fault::Fault;

pub use metered::{Meter, SKIPPED_PER_ROW};

pub mod memory;
pub(crate) mod metered;

#[cfg(test)]
#[path = "../tests/shared/conformance.rs"]
mod conformance;

/// A named, separately ordered set of keys. `layout.rs` lists the spaces of each store. In memory a
/// space is identified by its position in that list, on disk by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Space {
    /// Position in the store's list of spaces, from 0.
    pub position: usize,
    /// The name on disk.
    pub name: &'static str,
    /// Number of trailing bytes of a key that are *not* part of its prefix, for spaces on which
    /// [`Read::first_in_prefix`] is used. An engine may keep a filter over the prefixes. So every
    /// key must be at least this long, and no prefix may be the beginning of a longer prefix:
    /// `layout::escape_key` ends each prefix with a mark that ensures it.
    pub suffix_len: Option<usize>,
}

impl Space {
    /// The prefix of `key`: all but the last `suffix_len` bytes.
    ///
    /// # Panics
    /// When the space declares no suffix, or the key is shorter than it.
    pub fn prefix_of<'a>(&self, key: &'a [u8]) -> &'a [u8] {
        let suffix_len = self
            .suffix_len
            .expect("only spaces that declare a suffix are read by prefix");
        assert!(
            key.len() >= suffix_len,
            "a key of space {} is shorter than its suffix",
            self.name
        );
        &key[..key.len() - suffix_len]
    }
}

/// The point at which a batch is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The batch survives power loss when `write` returns.
    Synced,
    /// The batch becomes durable later, in the order written: after a crash the store holds a
    /// prefix of the batches. `flush` makes all of them durable.
    Eventual,
}

/// Writes that are applied together or not at all, in the order they were added.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The operations, in order. The last operation on a key wins.
    pub ops: Vec<Op>,
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Set a key.
    Put(Space, Vec<u8>, Vec<u8>),
    /// Remove a key. An absent key is not an error.
    Delete(Space, Vec<u8>),
    /// Remove every key in `from..to`.
    DeleteRange(Space, Vec<u8>, Vec<u8>),
}

impl Batch {
    /// Adds the write of a pair.
    pub fn put(&mut self, space: Space, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.ops.push(Op::Put(space, key.into(), value.into()));
    }

    /// Adds the removal of a key.
    pub fn delete(&mut self, space: Space, key: impl Into<Vec<u8>>) {
        self.ops.push(Op::Delete(space, key.into()));
    }

    /// Adds the removal of every key in `from..to`.
    pub fn delete_range(&mut self, space: Space, from: impl Into<Vec<u8>>, to: impl Into<Vec<u8>>) {
        self.ops
            .push(Op::DeleteRange(space, from.into(), to.into()));
    }

    /// True when there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }
}

/// Direction of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the lowest key up.
    Forward,
    /// From the highest key down.
    Backward,
}

/// Reads of ordered bytes, from the newest state ([`Engine`] itself) or a frozen one
/// ([`Engine::snapshot`]).
pub trait Read {
    /// Returns the value of `key`.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, Fault>;

    /// Returns the first pair at or after `from` whose key has the same prefix, that is, all bytes
    /// but the last `space.suffix_len`. Cheaper than a scan.
    ///
    /// # Panics
    /// When the space declares no suffix, or `from` is shorter than it.
    fn first_in_prefix(&self, space: Space, from: &[u8]) -> Result<Option<(Bytes, Bytes)>, Fault>;

    /// Scans the pairs with `from <= key < to` in order; without `to`, to the end. The scan sees
    /// the state at its creation, however long it lives.
    fn scan<'a>(
        &'a self,
        space: Space,
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
    ) -> Result<Box<dyn Scan + 'a>, Fault>;
}

/// A running scan. It lends its pairs, so pairs that the caller skips cost no copy.
pub trait Scan {
    /// Returns the next pair, or `None` at the end.
    #[allow(clippy::type_complexity, reason = "a pair of slices needs no name")]
    fn next(&mut self) -> Result<Option<(&[u8], &[u8])>, Fault>;

    /// Moves so that the following `next` returns the first pair at or after `key` in the scan's
    /// direction (for a backward scan: at or before), within the scan's bounds.
    fn seek(&mut self, key: &[u8]) -> Result<(), Fault>;

    /// Passes over the next pairs, `pairs` at most, and returns their number. Cheaper than `next`
    /// for callers that only count.
    fn skip(&mut self, pairs: usize) -> Result<usize, Fault> {
        let mut skipped = 0;
        while skipped < pairs && self.next()?.is_some() {
            skipped += 1;
        }
        Ok(skipped)
    }
}

/// Ordered bytes with atomic batches. Any number of threads read; one thread writes.
pub trait Engine: Read + Send + Sync + 'static {
    /// Applies a batch. After an error it is unknown whether a restart will find the batch, so the
    /// caller must stop.
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), Fault>;

    /// Returns a frozen, consistent view of everything written so far.
    fn snapshot(&self) -> Box<dyn Read + '_>;

    /// Returns a view of the newest state for many lookups in a row, with no write between them. A
    /// lookup by prefix needs some preparation, which this view does once: for the removal of old
    /// versions, which looks up a thousand in a row.
    fn lookups(&self) -> Box<dyn Read + '_> {
        self.snapshot()
    }

    /// Makes everything written so far durable.
    fn flush(&self) -> Result<(), Fault>;

    /// Writes a complete, independent copy into `dir`, which must not exist. The copy can be opened
    /// as an engine.
    fn checkpoint(&self, dir: &Path) -> Result<(), Fault>;

    /// Reclaims the space of deleted keys now rather than in the background. Other threads can read
    /// and write meanwhile.
    fn reclaim(&self) -> Result<(), Fault>;

    /// Marks the store as replaced: its folder is removed when the engine is dropped.
    fn discard(&self);

    /// Returns the bytes on disk; for the memory engine, in memory.
    fn size_on_disk(&self) -> u64;
}
