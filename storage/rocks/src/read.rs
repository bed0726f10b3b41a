//! Reads: the newest state ([`RocksEngine`]), a frozen one ([`RocksSnapshot`]), many lookups in a
//! row ([`RocksLookups`]), and scans.
//!
//! [`Read::get`] is the hot path: every get and every put looks up the latest version of a key.

use std::cell::RefCell;

use bytes::Bytes;
use conclave_storage::Fault;
use conclave_storage::engine::{Direction, Read, Scan, Space};
use rocksdb::{DBPinnableSlice, DBRawIterator, ReadOptions, Snapshot};

use crate::RocksEngine;

impl Read for RocksEngine {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        let value = self.db.get_pinned_cf(self.family(space), key);
        Ok(bytes_of(value.map_err(|e| self.fault("read", &e))?))
    }

    fn first_in_prefix(&self, space: Space, from: &[u8]) -> Result<Option<(Bytes, Bytes)>, Fault> {
        let mut iterator = prefix_iterator(self, space);
        seek_in_prefix(&mut iterator, space, from).map_err(|e| self.fault("read", &e))
    }

    fn scan<'a>(
        &'a self,
        space: Space,
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
    ) -> Result<Box<dyn Scan + 'a>, Fault> {
        let iterator = self
            .db
            .raw_iterator_cf_opt(self.family(space), scan_options(from, to));
        Ok(RocksScan::boxed(self, iterator, from, to, direction))
    }
}

/// A frozen view of the instance.
pub(crate) struct RocksSnapshot<'a> {
    engine: &'a RocksEngine,
    snapshot: Snapshot<'a>,
}

impl<'a> RocksSnapshot<'a> {
    pub(crate) fn new(engine: &'a RocksEngine) -> RocksSnapshot<'a> {
        RocksSnapshot {
            engine,
            snapshot: engine.db.snapshot(),
        }
    }
}

impl Read for RocksSnapshot<'_> {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        let value = self.snapshot.get_pinned_cf(self.engine.family(space), key);
        Ok(bytes_of(value.map_err(|e| self.engine.fault("read", &e))?))
    }

    fn first_in_prefix(&self, space: Space, from: &[u8]) -> Result<Option<(Bytes, Bytes)>, Fault> {
        let family = self.engine.family(space);
        let mut iterator = self.snapshot.raw_iterator_cf_opt(family, prefix_options());
        seek_in_prefix(&mut iterator, space, from).map_err(|e| self.engine.fault("read", &e))
    }

    fn scan<'a>(
        &'a self,
        space: Space,
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
    ) -> Result<Box<dyn Scan + 'a>, Fault> {
        let family = self.engine.family(space);
        let iterator = self
            .snapshot
            .raw_iterator_cf_opt(family, scan_options(from, to));
        Ok(RocksScan::boxed(self.engine, iterator, from, to, direction))
    }
}

/// The newest state, read through one iterator. Making an iterator in prefix mode costs as much as
/// using it, so a caller that looks up many keys in a row keeps one.
pub(crate) struct RocksLookups<'a> {
    engine: &'a RocksEngine,
    /// An iterator over the state at the first lookup in this space.
    iterator: RefCell<Option<(Space, DBRawIterator<'a>)>>,
}

impl<'a> RocksLookups<'a> {
    pub(crate) fn new(engine: &'a RocksEngine) -> RocksLookups<'a> {
        RocksLookups {
            engine,
            iterator: RefCell::default(),
        }
    }
}

impl Read for RocksLookups<'_> {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        self.engine.get(space, key)
    }

    fn first_in_prefix(&self, space: Space, from: &[u8]) -> Result<Option<(Bytes, Bytes)>, Fault> {
        let mut kept = self.iterator.borrow_mut();
        // An iterator belongs to one space: drop the one for another space.
        kept.take_if(|(of, _)| of.position != space.position);
        let (_, iterator) =
            kept.get_or_insert_with(|| (space, prefix_iterator(self.engine, space)));
        seek_in_prefix(iterator, space, from).map_err(|e| self.engine.fault("read", &e))
    }

    fn scan<'a>(
        &'a self,
        space: Space,
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
    ) -> Result<Box<dyn Scan + 'a>, Fault> {
        self.engine.scan(space, from, to, direction)
    }
}

struct RocksScan<'a> {
    engine: &'a RocksEngine,
    iterator: DBRawIterator<'a>,
    direction: Direction,
    /// The upper bound, which is exclusive: a backward seek to it or beyond starts at the last pair
    /// below it.
    to: Option<Vec<u8>>,
    /// The bounds meet or are reversed, so nothing is between them. RocksDB is not asked: it does
    /// not accept reversed bounds.
    empty: bool,
    /// The iterator is positioned on the pair that the next call returns, not on the pair that the
    /// last call returned.
    fresh: bool,
}

impl<'a> RocksScan<'a> {
    fn boxed(
        engine: &'a RocksEngine,
        mut iterator: DBRawIterator<'a>,
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
    ) -> Box<dyn Scan + 'a> {
        let empty = to.is_some_and(|to| to <= from);
        if !empty {
            match direction {
                Direction::Forward => iterator.seek(from),
                Direction::Backward => iterator.seek_to_last(),
            }
        }
        let to = to.map(<[u8]>::to_vec);
        Box::new(RocksScan {
            engine,
            iterator,
            direction,
            to,
            empty,
            fresh: true,
        })
    }
}

impl RocksScan<'_> {
    /// Moves to the next pair. False at the end.
    fn step(&mut self) -> Result<bool, Fault> {
        if self.empty {
            return Ok(false);
        }
        if !std::mem::replace(&mut self.fresh, false) {
            match self.direction {
                Direction::Forward => self.iterator.next(),
                Direction::Backward => self.iterator.prev(),
            }
        }
        let valid = self.iterator.valid();
        if !valid {
            self.iterator
                .status()
                .map_err(|e| self.engine.fault("read", &e))?;
        }
        Ok(valid)
    }
}

impl Scan for RocksScan<'_> {
    fn next(&mut self) -> Result<Option<(&[u8], &[u8])>, Fault> {
        match self.step()? {
            true => Ok(self.iterator.item()),
            false => Ok(None),
        }
    }

    fn skip(&mut self, pairs: usize) -> Result<usize, Fault> {
        let mut skipped = 0;
        // Neither key nor value is looked at.
        while skipped < pairs && self.step()? {
            skipped += 1;
        }
        Ok(skipped)
    }

    fn seek(&mut self, key: &[u8]) -> Result<(), Fault> {
        if self.empty {
            return Ok(());
        }
        match self.direction {
            Direction::Forward => self.iterator.seek(key),
            Direction::Backward if self.to.as_deref().is_some_and(|to| key >= to) => {
                self.iterator.seek_to_last();
            }
            Direction::Backward => self.iterator.seek_for_prev(key),
        }
        self.fresh = true;
        Ok(())
    }
}

fn bytes_of(value: Option<DBPinnableSlice<'_>>) -> Option<Bytes> {
    value.map(|pinned| Bytes::copy_from_slice(&pinned))
}

/// An iterator in prefix mode, where bloom filters over prefixes, in the memtable and in every
/// file, answer "no such key" without reading data.
fn prefix_iterator(engine: &RocksEngine, space: Space) -> DBRawIterator<'_> {
    let family = engine.family(space);
    engine.db.raw_iterator_cf_opt(family, prefix_options())
}

fn prefix_options() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_prefix_same_as_start(true);
    options
}

fn seek_in_prefix(
    iterator: &mut DBRawIterator<'_>,
    space: Space,
    from: &[u8],
) -> Result<Option<(Bytes, Bytes)>, rocksdb::Error> {
    let wanted = space.prefix_of(from);
    iterator.seek(from);
    match iterator.item() {
        Some((key, value)) if space.prefix_of(key) == wanted => Ok(Some((
            Bytes::copy_from_slice(key),
            Bytes::copy_from_slice(value),
        ))),
        Some(_) => Ok(None),
        None => iterator.status().map(|()| None),
    }
}

fn scan_options(from: &[u8], to: Option<&[u8]>) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_total_order_seek(true);
    options.set_iterate_lower_bound(from);
    if let Some(to) = to {
        options.set_iterate_upper_bound(to);
    }
    options
}
