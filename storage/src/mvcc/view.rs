//! Reads of the key space at a revision.
//!
//! Requests read through a [`View`]: the committed rows alone ([`EngineView`], for readers), or the
//! committed rows with pending ones on top ([`super::pending::PendingView`], for the machine). So a
//! range inside a transaction and a range of a reader run the same code.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::range::KeyRange;
use super::record::{self, Head, Version};
use crate::engine::{Direction, Read, Scan, Space};
use crate::fault::Fault;
use crate::ids::Revision;
use crate::layout;

/// After this many rows of no use, seek instead of stepping: a seek costs about as much.
const STEPS_BEFORE_SEEK: usize = 8;

/// Called with key, head and value of each version found, in key order, until it returns `Break`.
pub(crate) type Visitor<'a> = dyn FnMut(&[u8], &Head, &[u8]) -> ControlFlow<()> + 'a;

/// Predicate on the head of a version: true if the visitor looks at the value. Otherwise the view
/// may skip the read of a large value and pass an empty one.
pub(crate) type Needs<'a> = dyn Fn(&Head) -> bool + 'a;

/// The needs of a visitor that looks at all values.
pub(crate) const ALL_VALUES: &Needs<'static> = &|_| true;
/// The needs of a visitor that looks at none.
pub(crate) const NO_VALUES: &Needs<'static> = &|_| false;

/// The key space, readable at any revision from the compact revision on.
pub(crate) trait View {
    /// Returns the version of `key` at `at`; `None` if there is none or it is a tombstone.
    fn find(&self, key: &Bytes, at: Revision) -> Result<Option<Version>, Fault>;

    /// Visits the version at `at` of every key in `range`, without tombstones.
    fn visit(
        &self,
        range: &KeyRange,
        at: Revision,
        needs: &Needs<'_>,
        visitor: &mut Visitor<'_>,
    ) -> Result<(), Fault>;

    /// Counts the keys in `range` that exist at `at`.
    fn count(&self, range: &KeyRange, at: Revision) -> Result<usize, Fault>;
}

/// A view of the committed rows.
pub(crate) struct EngineView<'a> {
    read: &'a dyn Read,
    /// The newest revision in `read`, if the caller knows it.
    newest: Option<Revision>,
}

impl<'a> EngineView<'a> {
    pub(crate) fn new(read: &'a dyn Read) -> EngineView<'a> {
        EngineView { read, newest: None }
    }

    pub(crate) fn of_revision(read: &'a dyn Read, newest: Revision) -> EngineView<'a> {
        EngineView {
            read,
            newest: Some(newest),
        }
    }

    /// True if no row is newer than `at`, so that the heads are what there was at `at`.
    fn is_latest(&self, at: Revision) -> Result<bool, Fault> {
        let newest = match self.newest {
            Some(newest) => newest,
            None => newest_revision(self.read)?,
        };
        Ok(newest <= at)
    }

    /// Finds a version. This needs no frozen state, provided that `at` was published before it. The
    /// head is read first: if the head is absent or newer than `at`, the version that it superseded
    /// is in `OLD` by then. The large value of a head may be gone, if the version was superseded
    /// and compacted meanwhile; then the head is no longer the same.
    fn look_up(
        &self,
        key: &Bytes,
        at: Revision,
        needs: &Needs<'_>,
    ) -> Result<Option<Version>, Fault> {
        let mut gone = None;
        loop {
            let Some(row) = self.read.get(layout::HEAD, key)? else {
                if self.is_latest(at)? {
                    return Ok(None);
                }
                break;
            };
            let version = Version::decode_head(&row)?;
            let head = version.head;
            if head.modified > at {
                break;
            }
            if !head.is_apart || !needs(&head) {
                return Ok(Some(version));
            }
            if let Some(Version { value, .. }) = old_at(self.read, key, head.modified)? {
                return Ok(Some(Version { head, value }));
            }
            if gone == Some(head.modified) {
                return Err(no_value(&head));
            }
            gone = Some(head.modified);
        }
        Ok(find_old(self.read, key, at)?.filter(|version| version.head.is_put()))
    }

    fn visit_heads(
        &self,
        range: &KeyRange,
        needs: &Needs<'_>,
        visitor: &mut Visitor<'_>,
    ) -> Result<(), Fault> {
        let mut heads = self.scan(layout::HEAD, range)?;
        while let Some((key, row)) = heads.next()? {
            let (head, value) = record::decode_head(row)?;
            if self
                .show_head(key, (&head, value), needs, visitor)?
                .is_break()
            {
                break;
            }
        }
        Ok(())
    }

    /// Shows a head of a frozen state to the visitor. `value` is what the row of the head has.
    fn show_head(
        &self,
        key: &[u8],
        (head, value): (&Head, &[u8]),
        needs: &Needs<'_>,
        visitor: &mut Visitor<'_>,
    ) -> Result<ControlFlow<()>, Fault> {
        if !head.is_apart || !needs(head) {
            return Ok(visitor(key, head, value));
        }
        let version = old_at(self.read, key, head.modified)?;
        let version = version.ok_or_else(|| no_value(head))?;
        Ok(visitor(key, head, &version.value))
    }

    /// Merges heads and superseded versions. The version of a key at `at` is its head, unless the
    /// head is newer or absent: then it is the newest superseded version at or below `at`.
    fn visit_past(
        &self,
        range: &KeyRange,
        at: Revision,
        needs: &Needs<'_>,
        visitor: &mut Visitor<'_>,
    ) -> Result<(), Fault> {
        let (from, to) = range.old_bounds();
        let rows = self
            .read
            .scan(layout::OLD, &from, to.as_deref(), Direction::Forward)?;
        let mut old = OldVersions::new(rows, at);
        let mut is_old = old.advance()?;
        let mut heads = self.scan(layout::HEAD, range)?;
        while let Some((key, row)) = heads.next()? {
            while is_old && old.key[..] < *key {
                if old.show(visitor).is_break() {
                    return Ok(());
                }
                is_old = old.advance()?;
            }
            let (head, value) = record::decode_head(row)?;
            let flow = if head.modified <= at {
                self.show_head(key, (&head, value), needs, visitor)?
            } else if is_old && old.key[..] == *key {
                old.show(visitor)
            } else {
                ControlFlow::Continue(())
            };
            if flow.is_break() {
                return Ok(());
            }
            if is_old && old.key[..] == *key {
                is_old = old.advance()?;
            }
        }
        while is_old {
            if old.show(visitor).is_break() {
                break;
            }
            is_old = old.advance()?;
        }
        Ok(())
    }

    fn scan(&self, space: Space, range: &KeyRange) -> Result<Box<dyn Scan + 'a>, Fault> {
        let (from, to) = range.bounds();
        self.read
            .scan(space, from, to.as_deref(), Direction::Forward)
    }
}

impl View for EngineView<'_> {
    fn find(&self, key: &Bytes, at: Revision) -> Result<Option<Version>, Fault> {
        self.look_up(key, at, ALL_VALUES)
    }

    fn visit(
        &self,
        range: &KeyRange,
        at: Revision,
        needs: &Needs<'_>,
        visitor: &mut Visitor<'_>,
    ) -> Result<(), Fault> {
        if let KeyRange::One(key) = range {
            if let Some(version) = self.look_up(key, at, needs)? {
                // A point has one key, so the visitor's answer does not matter.
                let _ = visitor(key, &version.head, &version.value);
            }
            return Ok(());
        }
        if range.is_empty() {
            return Ok(());
        }
        if self.is_latest(at)? {
            self.visit_heads(range, needs, visitor)
        } else {
            self.visit_past(range, at, needs, visitor)
        }
    }

    fn count(&self, range: &KeyRange, at: Revision) -> Result<usize, Fault> {
        let is_single = matches!(range, KeyRange::One(_));
        if !is_single && !range.is_empty() && self.is_latest(at)? {
            return self.scan(layout::KEY, range)?.skip(usize::MAX);
        }
        count_visited(self, range, at)
    }
}

/// Counts the keys in `range` that exist at `at`, by visiting them.
pub(crate) fn count_visited(
    view: &dyn View,
    range: &KeyRange,
    at: Revision,
) -> Result<usize, Fault> {
    let mut count = 0;
    view.visit(range, at, NO_VALUES, &mut |_, _, _| {
        count += 1;
        ControlFlow::Continue(())
    })?;
    Ok(count)
}

/// The row of `key` in `OLD` of exactly this revision.
fn old_at(read: &dyn Read, key: &[u8], modified: Revision) -> Result<Option<Version>, Fault> {
    let row = read.get(layout::OLD, &layout::old_key(key, modified))?;
    row.map(|row| Version::decode(&row, modified)).transpose()
}

fn no_value(head: &Head) -> Fault {
    record::damaged(format!("kv: no value of revision {}", head.modified))
}

/// Finds the newest row of `key` in `OLD` at or below `at`, a superseded version or a tombstone:
/// one seek. A version that a change replaced is always in `OLD`, so a caller that looks for the
/// predecessor of a change need not read the head.
pub(crate) fn find_old(
    read: &dyn Read,
    key: &[u8],
    at: Revision,
) -> Result<Option<Version>, Fault> {
    let Some((row, value)) = read.first_in_prefix(layout::OLD, &layout::old_key(key, at))? else {
        return Ok(None);
    };
    let modified = revision_of(&row)?.1;
    Version::decode(&value, modified).map(Some)
}

/// The newest revision that `read` has.
fn newest_revision(read: &dyn Read) -> Result<Revision, Fault> {
    match read.get(layout::META, layout::META_APPLIED)? {
        Some(record) => layout::revision_of_applied(&record)
            .ok_or_else(|| record::damaged("meta: no revision in the applied position".into())),
        None => Ok(Revision(0)),
    }
}

/// The newest version at or below a revision of each key in a scan of `OLD`.
struct OldVersions<'a> {
    rows: Box<dyn Scan + 'a>,
    at: Revision,
    /// The key of the version, and the same as it is in the rows.
    key: Vec<u8>,
    escaped: Vec<u8>,
    head: Head,
    value: Vec<u8>,
}

impl<'a> OldVersions<'a> {
    fn new(rows: Box<dyn Scan + 'a>, at: Revision) -> OldVersions<'a> {
        OldVersions {
            rows,
            at,
            key: Vec::new(),
            escaped: Vec::new(),
            head: Head::tombstone(Revision(0), 0),
            value: Vec::new(),
        }
    }

    /// Shows the version to the visitor, unless it is a tombstone.
    fn show(&self, visitor: &mut Visitor<'_>) -> ControlFlow<()> {
        if self.head.is_put() {
            visitor(&self.key, &self.head, &self.value)
        } else {
            ControlFlow::Continue(())
        }
    }

    /// Moves to the next key that has a version at or below the revision. False at the end.
    fn advance(&mut self) -> Result<bool, Fault> {
        // The escaped key of the current rows is `escaped`. The version of that key was found by
        // the last call, unless this one has met another key.
        let mut is_found = true;
        let mut skipped = 0;
        while let Some((row, value)) = self.rows.next()? {
            let (escaped, modified) = revision_of(row)?;
            if escaped != self.escaped {
                self.escaped.clear();
                self.escaped.extend_from_slice(escaped);
                is_found = false;
                skipped = 0;
            }
            if !is_found && modified <= self.at {
                let (head, value) = record::decode(value, modified)?;
                self.head = head;
                self.value.clear();
                self.value.extend_from_slice(value);
                let key = layout::unescape_key(&self.escaped);
                let key = key.ok_or_else(|| {
                    record::damaged(format!("kv: no key in {:02x?}", self.escaped))
                })?;
                self.key.clear();
                self.key.extend_from_slice(&key);
                return Ok(true);
            }
            skipped += 1;
            if skipped == STEPS_BEFORE_SEEK {
                // If the version is found, skip to the end of the key's rows. If all rows so far
                // were too new, skip to the wanted revision.
                let bound = if is_found { Revision(0) } else { self.at };
                let length = self.escaped.len();
                self.escaped
                    .extend_from_slice(&(!(bound.0 as u64)).to_be_bytes());
                self.rows.seek(&self.escaped)?;
                self.escaped.truncate(length);
                skipped = 0;
            }
        }
        Ok(false)
    }
}

fn revision_of(row: &[u8]) -> Result<(&[u8], Revision), Fault> {
    layout::split_old_key(row)
        .ok_or_else(|| record::damaged(format!("kv: a row key of {} bytes", row.len())))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::engine::memory::MemoryEngine;
    use crate::engine::{Batch, Durability, Engine as _, Op};
    use crate::mvcc::pending::Pending;
    use crate::mvcc::record::Kind;

    /// A state that changes after the first lookup.
    struct Changing<'a> {
        states: [&'a MemoryEngine; 2],
        has_changed: Cell<bool>,
    }

    impl Read for Changing<'_> {
        fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, Fault> {
            let state = self.states[usize::from(self.has_changed.replace(true))];
            state.get(space, key)
        }

        fn first_in_prefix(
            &self,
            space: Space,
            from: &[u8],
        ) -> Result<Option<(Bytes, Bytes)>, Fault> {
            self.states[1].first_in_prefix(space, from)
        }

        fn scan<'a>(
            &'a self,
            space: Space,
            from: &[u8],
            to: Option<&[u8]>,
            direction: Direction,
        ) -> Result<Box<dyn Scan + 'a>, Fault> {
            self.states[1].scan(space, from, to, direction)
        }
    }

    fn large(modified: i64) -> Version {
        Version {
            head: Head {
                kind: Kind::Put,
                modified: Revision(modified),
                sub: 0,
                created: Revision(2),
                version: modified - 1,
                lease: crate::LeaseId::NONE,
                is_apart: true,
            },
            value: Bytes::from(vec![b'v'; layout::LARGE_VALUE_BYTES]),
        }
    }

    /// A state with one key, whose version may lack its row of `OLD`.
    fn state(version: &Version, is_whole: bool) -> MemoryEngine {
        let engine = MemoryEngine::new();
        let mut pending = Pending::new(Revision(1));
        pending.add_version("k".into(), version.clone(), None);
        let mut batch = pending.take(version.head.modified);
        if !is_whole {
            batch.delete(layout::OLD, layout::old_key(b"k", version.head.modified));
        }
        write(&engine, batch);
        engine
    }

    fn write(engine: &MemoryEngine, batch: Batch) {
        engine.write(batch, Durability::Eventual).expect("writes");
    }

    #[test]
    fn a_large_value_that_is_compacted_during_a_lookup_is_no_damage() {
        let (before, after) = (state(&large(2), true), state(&large(3), true));
        let changing = Changing {
            states: [&before, &after],
            has_changed: Cell::new(false),
        };
        // A reader that asked for revision 2 finds that it is compacted now.
        let view = EngineView::of_revision(&changing, Revision(3));
        assert_eq!(view.find(&"k".into(), Revision(2)), Ok(None));
        changing.has_changed.set(false);
        assert_eq!(view.find(&"k".into(), Revision(3)), Ok(Some(large(3))));
    }

    #[test]
    fn a_large_value_that_is_missing_is_damage() {
        let engine = state(&large(2), false);
        let view = EngineView::of_revision(&engine, Revision(2));
        let found = view.find(&"k".into(), Revision(2));
        assert!(matches!(found, Err(Fault::Damaged { .. })), "{found:?}");
        for at in [2, 3] {
            let view = EngineView::of_revision(&engine, Revision(3));
            for range in [KeyRange::From("a".into()), KeyRange::One("k".into())] {
                let seen = |needs: &Needs<'_>| {
                    let mut sizes = Vec::new();
                    let visited = view.visit(&range, Revision(at), needs, &mut |_, _, value| {
                        sizes.push(value.len());
                        ControlFlow::Continue(())
                    });
                    visited.map(|()| sizes)
                };
                let visited = seen(ALL_VALUES);
                assert!(matches!(visited, Err(Fault::Damaged { .. })), "{visited:?}");
                assert_eq!(seen(NO_VALUES), Ok(vec![0]), "it is not looked for");
            }
        }
    }

    /// Its row is written once, and deleted only by a compaction.
    #[test]
    fn a_large_value_is_not_moved() {
        let mut pending = Pending::new(Revision(1));
        pending.add_version("k".into(), large(2), None);
        let written = pending.take(Revision(2));
        let tombstone = Version {
            head: Head::tombstone(Revision(3), 0),
            value: Bytes::new(),
        };
        pending.add_version("k".into(), tombstone, Some(&large(2)));
        let deleted = pending.take(Revision(3));
        let written_again = deleted.ops.iter().filter(
            |op| matches!(op, Op::Put(_, _, value) if value.len() >= layout::LARGE_VALUE_BYTES),
        );
        assert_eq!(written_again.count(), 0);
        let engine = MemoryEngine::new();
        write(&engine, written);
        write(&engine, deleted);
        let view = EngineView::of_revision(&engine, Revision(3));
        assert_eq!(view.find(&"k".into(), Revision(3)), Ok(None));
        let found = view.find(&"k".into(), Revision(2)).expect("reads");
        assert_eq!(found.expect("a version").value, large(2).value);
    }
}
