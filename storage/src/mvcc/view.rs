//! Reads of the key space at a revision.
//!
//! Requests read through a [`View`]: the committed rows alone ([`EngineView`], for readers), or the
//! committed rows with pending ones on top ([`super::pending::PendingView`], for the machine). So a
//! range inside a transaction and a range of a reader run the same code.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::range::KeyRange;
use super::record::{self, Head, Version};
use crate::engine::{Direction, Read, Scan};
use crate::fault::Fault;
use crate::ids::Revision;
use crate::layout;

/// After this many rows of no use, seek instead of stepping: a seek costs about as much.
const STEPS_BEFORE_SEEK: usize = 8;

/// Called with key, head and value of each version found, in key order, until it returns `Break`.
pub(crate) type Visitor<'a> = dyn FnMut(&[u8], &Head, &[u8]) -> ControlFlow<()> + 'a;

/// The key space, readable at any revision from the compact revision on.
pub(crate) trait View {
    /// Returns the version of `key` at `at`; `None` if there is none or it is a tombstone.
    fn find(&self, key: &Bytes, at: Revision) -> Result<Option<Version>, Fault>;

    /// Visits the version at `at` of every key in `range`, without tombstones.
    fn visit(&self, range: &KeyRange, at: Revision, visitor: &mut Visitor<'_>)
    -> Result<(), Fault>;
}

/// A view of the committed rows.
pub(crate) struct EngineView<'a> {
    pub(crate) read: &'a dyn Read,
}

impl View for EngineView<'_> {
    fn find(&self, key: &Bytes, at: Revision) -> Result<Option<Version>, Fault> {
        Ok(find_row(self.read, key, at)?.filter(|version| version.head.is_put()))
    }

    fn visit(
        &self,
        range: &KeyRange,
        at: Revision,
        visitor: &mut Visitor<'_>,
    ) -> Result<(), Fault> {
        if let KeyRange::One(key) = range {
            if let Some(version) = self.find(key, at)? {
                // A point has one key, so the visitor's answer does not matter.
                let _ = visitor(key, &version.head, &version.value);
            }
            return Ok(());
        }
        if range.is_empty() {
            return Ok(());
        }
        let (from, to) = range.kv_bounds();
        let scan = self
            .read
            .scan(layout::KV, &from, to.as_deref(), Direction::Forward)?;
        visit_rows(scan, at, visitor)
    }
}

/// Finds the newest version of `key` at or below `at`, which may be a tombstone: one seek.
pub(crate) fn find_row(
    read: &dyn Read,
    key: &[u8],
    at: Revision,
) -> Result<Option<Version>, Fault> {
    let Some((row, value)) = read.first_in_prefix(layout::KV, &layout::kv_key(key, at))? else {
        return Ok(None);
    };
    let modified = revision_of(&row)?.1;
    Version::decode(&value, modified).map(Some)
}

/// Walks rows of `KV` and visits the newest version at or below `at` of each key.
fn visit_rows(
    mut scan: Box<dyn Scan + '_>,
    at: Revision,
    visitor: &mut Visitor<'_>,
) -> Result<(), Fault> {
    // The escaped key of the current rows. `found` is true after the row of its
    // version at `at`.
    let mut current: Vec<u8> = Vec::new();
    let mut found = false;
    let mut skipped = 0;
    while let Some((row, value)) = scan.next()? {
        let (escaped, modified) = revision_of(row)?;
        if escaped != current {
            current.clear();
            current.extend_from_slice(escaped);
            found = false;
            skipped = 0;
        }
        if !found && modified <= at {
            found = true;
            skipped = 0;
            let (head, value) = record::decode(value, modified)?;
            if head.is_put() {
                let key = layout::unescape_key(escaped)
                    .ok_or_else(|| record::damaged(format!("kv: no key in {escaped:02x?}")))?;
                if visitor(&key, &head, value).is_break() {
                    return Ok(());
                }
            }
            continue;
        }
        skipped += 1;
        if skipped == STEPS_BEFORE_SEEK {
            // If the version is found, skip to the end of the key's rows. If all rows so far were
            // too new, skip to the wanted revision.
            let bound = if found { Revision(0) } else { at };
            let length = current.len();
            current.extend_from_slice(&(!(bound.0 as u64)).to_be_bytes());
            scan.seek(&current)?;
            current.truncate(length);
            skipped = 0;
        }
    }
    Ok(())
}

fn revision_of(row: &[u8]) -> Result<(&[u8], Revision), Fault> {
    layout::split_kv_key(row)
        .ok_or_else(|| record::damaged(format!("kv: a row key of {} bytes", row.len())))
}
