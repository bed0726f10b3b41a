//! Reading the key space at a revision.
//!
//! [`View`] is what the logic of requests reads through: either committed rows alone
//! ([`EngineView`], for readers), or those with what is applied but not yet committed on top
//! ([`super::pending::PendingView`], for the machine). So a range inside a transaction and a range
//! of a reader are one piece of code.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::range::KeyRange;
use super::record::{self, Head, Version};
use crate::engine::{Direction, Read, Scan};
use crate::fault::Fault;
use crate::ids::Revision;
use crate::layout;

/// After so many rows that are not wanted, seek instead of stepping: a seek costs about this many
/// steps.
const STEPS_BEFORE_SEEK: usize = 8;

/// Called with key, head and value of each version found, in key order; says whether to go on.
pub(crate) type Visitor<'a> = dyn FnMut(&[u8], &Head, &[u8]) -> ControlFlow<()> + 'a;

/// The key space, readable at any revision from the compact revision on.
pub(crate) trait View {
    /// The version of `key` at `at`, unless there is none or it is a tombstone.
    fn find(&self, key: &Bytes, at: Revision) -> Result<Option<Version>, Fault>;

    /// Visits the version at `at` of every key in `range` that has one, tombstones left out.
    fn visit(&self, range: &KeyRange, at: Revision, visitor: &mut Visitor<'_>)
    -> Result<(), Fault>;
}

/// Committed rows.
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
        if let KeyRange::Point(key) = range {
            if let Some(version) = self.find(key, at)? {
                // One key: whether to go on does not matter.
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

/// The newest version of `key` at or below `at`, tombstones included: one seek.
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

/// Walks rows of `KV`: of each key the newest version at or below `at`.
fn visit_rows(
    mut scan: Box<dyn Scan + '_>,
    at: Revision,
    visitor: &mut Visitor<'_>,
) -> Result<(), Fault> {
    // The escaped key of the current rows, and whether its version is found already.
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
            // Too new so far: on to the wanted revision. Found already: behind the last row of the
            // key.
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
