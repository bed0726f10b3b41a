//! The seam to the disk: ordered bytes in named spaces, written in atomic batches.
//!
//! An engine holds a fixed set of [`Space`]s (column families). A [`Batch`] is applied whole or not
//! at all, also across spaces and across a crash. Two durabilities exist, because the two stores of
//! a member need different ones: the log is synced before anything is acknowledged, the state is
//! rebuilt from the log and needs only to be a *prefix* of what was written
//! ([`Durability::Eventual`]).
//!
//! Two implementations: [`memory::MemoryEngine`] here, and `RocksEngine` in the crate
//! `conclave-rocks`. One conformance suite (`tests/shared/conformance.rs`) runs on both, so that
//! what the simulation proves about one holds for the other.

use std::path::Path;

use bytes::Bytes;

use crate::fault::Fault;

pub use metered::Meter;

pub mod memory;
pub(crate) mod metered;

#[cfg(test)]
#[path = "../tests/shared/conformance.rs"]
mod conformance;

/// A named, separately ordered set of keys. Each store lists its own in `layout.rs`; the position
/// in that list is the identity, the name is what is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Space {
    /// Position in the store's list of spaces, from 0.
    pub position: usize,
    /// The name on disk.
    pub name: &'static str,
    /// How many trailing bytes of a key are *not* part of its prefix, where
    /// [`Read::first_in_prefix`] is used on this space. An engine may keep a filter over such
    /// prefixes, so every key must be at least this long, and no key's prefix may begin another
    /// key's longer prefix (an ending that closes the prefix, as `layout::escape_key` writes, sees
    /// to that).
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
            .expect("asked for by prefix only where the space declares one");
        assert!(
            key.len() >= suffix_len,
            "a key of space {} is shorter than its suffix",
            self.name
        );
        &key[..key.len() - suffix_len]
    }
}

/// When a batch is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When `write` returns. Survives power loss.
    Synced,
    /// Some time later, in the order written: after a crash a prefix of the batches is there.
    /// `flush` makes all of them durable.
    Eventual,
}

/// Writes that happen together or not at all, in the order they were added.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The operations, in order. A later one on the same key wins.
    pub ops: Vec<Op>,
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Set a key.
    Put(Space, Vec<u8>, Vec<u8>),
    /// Remove a key; removing one that is absent does nothing.
    Delete(Space, Vec<u8>),
    /// Remove every key in `from..to`.
    DeleteRange(Space, Vec<u8>, Vec<u8>),
}

impl Batch {
    /// Adds a put.
    pub fn put(&mut self, space: Space, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.ops.push(Op::Put(space, key.into(), value.into()));
    }

    /// Adds a removal.
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

/// Which way a scan runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the lowest key up.
    Forward,
    /// From the highest key down.
    Backward,
}

/// Reading ordered bytes: the newest state ([`Engine`] itself) or a frozen one
/// ([`Engine::snapshot`]).
pub trait Read {
    /// The value of `key`.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, Fault>;

    /// The first pair at or after `from` whose key has the same prefix, that is, is equal up to the
    /// last `space.suffix_len` bytes. Only for spaces that declare one, and `from` must be at least
    /// that long (both asserted). Cheaper than a scan.
    fn first_in_prefix(&self, space: Space, from: &[u8]) -> Result<Option<(Bytes, Bytes)>, Fault>;

    /// The pairs with `from <= key < to` (`to` `None`: to the end), in order. The scan sees one
    /// consistent state, that of its creation, however long it lives.
    fn scan<'a>(
        &'a self,
        space: Space,
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
    ) -> Result<Box<dyn Scan + 'a>, Fault>;
}

/// A running scan. A lending iterator, so that skipped pairs cost no copy.
pub trait Scan {
    /// The next pair, or `None` at the end.
    #[allow(clippy::type_complexity, reason = "a pair of slices needs no name")]
    fn next(&mut self) -> Result<Option<(&[u8], &[u8])>, Fault>;

    /// Moves so that the following `next` returns the first pair at or after `key` in the scan's
    /// direction (for a backward scan: at or before), within the scan's bounds.
    fn seek(&mut self, key: &[u8]) -> Result<(), Fault>;
}

/// Ordered bytes with atomic batches. Shared by reference between threads; one thread writes.
pub trait Engine: Read + Send + Sync + 'static {
    /// Applies a batch. An error means that nobody knows how much of it will be there after a
    /// restart: the caller must stop.
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), Fault>;

    /// A frozen, consistent view of everything written so far.
    fn snapshot(&self) -> Box<dyn Read + '_>;

    /// The newest state, for many reads in a row of which none comes after a later write. What
    /// looking up a prefix needs is set up once: for the caller that writes, with a thousand
    /// commands to apply, that is a quarter of the cost.
    fn lookups(&self) -> Box<dyn Read + '_> {
        self.snapshot()
    }

    /// Makes everything written so far durable.
    fn flush(&self) -> Result<(), Fault>;

    /// Writes a complete, independent copy that can be opened as an engine into `dir`, which must
    /// not exist.
    fn checkpoint(&self, dir: &Path) -> Result<(), Fault>;

    /// Reclaims space of deleted keys now rather than in the background. Reads and writes go on.
    fn reclaim(&self) -> Result<(), Fault>;

    /// The store has no future: its folder is removed when the last holder of the engine lets go.
    fn discard(&self);

    /// Bytes on disk (or in memory, for the memory engine).
    fn size_on_disk(&self) -> u64;
}
