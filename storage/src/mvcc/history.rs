//! The changes of revisions `a..=b`, for watchers that are behind.
//!
//! The history of a revision is complete unless the revision is below the compact revision. A put
//! at the compact revision is the newest version of its key at or below it, so compaction keeps it,
//! and compaction keeps a tombstone exactly at the compact revision, too.

use std::sync::Arc;

use bytes::Bytes;
use conclave_proto::mvccpb::KeyValue;

use super::change::{Change, Changes};
use super::record::{self, Kind, RevRow, Version};
use super::view::{EngineView, View, find_old};
use crate::engine::{Direction, Read};
use crate::fault::Fault;
use crate::ids::Revision;
use crate::layout;

/// Whole revisions of the past.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// Changes in order of revision. The first revision of a store has no changes and is left out.
    pub changes: Vec<Arc<Changes>>,
    /// The first revision that is not covered, where the next read begins.
    pub next: Revision,
}

/// Reads the changes of `from..=through`: at least one revision, and then until `max_bytes` are
/// reached. The version that a change replaced is read at the revision before the change, so it is
/// absent at the revision `compacted`.
pub(crate) fn read(
    read: &dyn Read,
    from: Revision,
    through: Revision,
    compacted: Revision,
    max_bytes: usize,
) -> Result<History, Fault> {
    let begin = layout::rev_key(from, 0);
    let end = layout::rev_key(through.next(), 0);
    let mut scan = read.scan(layout::REV, &begin, Some(&end), Direction::Forward)?;
    let mut history = History {
        changes: Vec::new(),
        next: through.next().max(from),
    };
    let mut bytes = 0;
    let mut revision = Revision(0);
    let mut changes = Vec::new();
    while let Some(row) = scan.next()? {
        let row = RevRow::decode(row)?;
        if row.revision != revision {
            bytes += push(&mut history, revision, &mut changes);
            if bytes >= max_bytes && !history.changes.is_empty() {
                history.next = row.revision;
                return Ok(history);
            }
            revision = row.revision;
        }
        changes.push(change(read, &row, compacted)?);
    }
    push(&mut history, revision, &mut changes);
    Ok(history)
}

/// Ends a revision. Returns its size.
fn push(history: &mut History, revision: Revision, changes: &mut Vec<Change>) -> usize {
    if changes.is_empty() {
        return 0;
    }
    let changes = Changes::new(revision, std::mem::take(changes));
    let bytes = changes.bytes;
    history.changes.push(Arc::new(changes));
    bytes
}

fn change(read: &dyn Read, row: &RevRow<'_>, compacted: Revision) -> Result<Change, Fault> {
    let key = Bytes::copy_from_slice(row.key);
    let before = row.revision.previous();
    let prev = |key: Bytes| -> Result<Option<KeyValue>, Fault> {
        if before < compacted {
            return Ok(None);
        }
        let version = find_old(read, &key, before)?.filter(|version| version.head.is_put());
        Ok(version.map(|version| version.key_value(key)))
    };
    match row.kind {
        Kind::Put => {
            let version = put_at(read, row)?;
            let kv = version.key_value(key.clone());
            // The first version of a key replaced nothing.
            let prev = if kv.version == 1 { None } else { prev(key)? };
            Ok(Change::put(kv, prev))
        }
        Kind::Tombstone => Ok(Change::delete(key.clone(), row.revision, prev(key)?)),
    }
}

/// The version that a row of `REV` refers to, which must be a put.
pub(crate) fn put_at(read: &dyn Read, row: &RevRow<'_>) -> Result<Version, Fault> {
    EngineView::new(read)
        .find(&Bytes::copy_from_slice(row.key), row.revision)?
        .filter(|version| version.head.modified == row.revision)
        .ok_or_else(|| record::damaged(format!("rev: a put at {} that no key has", row.revision)))
}
