//! The changes of a revision, for watchers.
//!
//! A change is the machine's own, and knows no front: each front makes the events of its own
//! protocol of it. A version of a key is a [`KeyValue`] here as in the results of reads: its fields
//! are those that are stored.

use bytes::Bytes;
use conclave_proto::mvccpb::KeyValue;

use crate::ids::Revision;

/// All changes of one revision.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    /// The revision, which each change has as its `mod_revision`.
    pub revision: Revision,
    /// The changes in order; never empty.
    pub changes: Vec<Change>,
    /// Approximate size in memory.
    pub bytes: usize,
}

/// Memory of a change besides keys and values.
const CHANGE_OVERHEAD_BYTES: usize = size_of::<Change>();

impl Changes {
    pub(crate) fn new(revision: Revision, changes: Vec<Change>) -> Changes {
        let of = |kv: &KeyValue| kv.key.len() + kv.value.len();
        let bytes = changes
            .iter()
            .map(|change| {
                CHANGE_OVERHEAD_BYTES + of(&change.kv) + change.prev.as_ref().map_or(0, of)
            })
            .sum();
        Changes {
            revision,
            changes,
            bytes,
        }
    }
}

/// A put or a deletion of one key.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Kind of the change.
    pub kind: ChangeKind,
    /// The version that was written. Of a deletion it has the key and the revision only.
    pub kv: KeyValue,
    /// The version that was replaced or deleted.
    pub prev: Option<KeyValue>,
}

/// Kind of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum ChangeKind {
    Put,
    Delete,
}

impl Change {
    pub(crate) fn put(kv: KeyValue, prev: Option<KeyValue>) -> Change {
        let kind = ChangeKind::Put;
        Change { kind, kv, prev }
    }

    /// Creates the change of a deletion at this revision.
    pub(crate) fn delete(key: Bytes, revision: Revision, prev: Option<KeyValue>) -> Change {
        Change {
            kind: ChangeKind::Delete,
            kv: KeyValue {
                key,
                mod_revision: revision.0,
                ..KeyValue::default()
            },
            prev,
        }
    }
}
