//! What happened at revisions `a..=b`, for watchers that are behind.
//!
//! The history of a revision is there whole as long as the revision is not below the compact
//! revision: a put at it is the newest version of its key at or below it and stays, and so does a
//! tombstone exactly at the compact revision.

use std::sync::Arc;

use bytes::Bytes;
use conclave_proto::mvccpb::event::EventType;
use conclave_proto::mvccpb::{Event, KeyValue};

use super::change::{Change, Changes};
use super::record::{self, Kind, RevRow, Version};
use super::view::{EngineView, View, find_row};
use crate::engine::{Direction, Read};
use crate::fault::Fault;
use crate::ids::Revision;
use crate::layout;

/// Whole revisions of the past.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// In order of revision; a revision at which nothing happened is not there (there is none but
    /// the first).
    pub changes: Vec<Arc<Changes>>,
    /// The first revision this does not cover: where to go on.
    pub next: Revision,
}

/// The changes of `from..=through`, at least one revision and then until `max_bytes` are reached.
/// What a change replaced is read as of the revision before it, so not for the revision `compacted`
/// itself.
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

/// Closes a revision. Returns its size.
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
    let (kind, kv, created) = match row.kind {
        Kind::Put => {
            let version = put_at(read, row)?;
            (
                EventType::Put,
                version.key_value(key.clone()),
                version.head.version == 1,
            )
        }
        Kind::Tombstone => {
            let mod_revision = row.revision.0;
            let kv = KeyValue {
                key: key.clone(),
                mod_revision,
                ..KeyValue::default()
            };
            (EventType::Delete, kv, false)
        }
    };
    let before = row.revision.previous();
    let prev = if created || before < compacted {
        None
    } else {
        EngineView { read }
            .find(&key, before)?
            .map(|version| version.key_value(key))
    };
    Ok(Change {
        event: Event {
            r#type: kind as i32,
            kv: Some(kv),
            prev_kv: None,
        },
        prev,
    })
}

/// The version a row of `REV` speaks of, which is a put.
pub(crate) fn put_at(read: &dyn Read, row: &RevRow<'_>) -> Result<Version, Fault> {
    find_row(read, row.key, row.revision)?
        .filter(|version| version.head.modified == row.revision && version.head.is_put())
        .ok_or_else(|| {
            record::damaged(format!(
                "rev: a put at {} that kv does not have",
                row.revision
            ))
        })
}
