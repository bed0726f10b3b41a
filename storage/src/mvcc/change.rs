//! The changes of a revision, for watchers.

use conclave_proto::mvccpb;

use crate::ids::Revision;

/// All changes of one revision.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    /// The revision, which each event has as its `mod_revision`.
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
        let of = |kv: &Option<mvccpb::KeyValue>| {
            kv.as_ref().map_or(0, |kv| kv.key.len() + kv.value.len())
        };
        let bytes = changes
            .iter()
            .map(|change| CHANGE_OVERHEAD_BYTES + of(&change.event.kv) + of(&change.prev))
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
    /// The event for watchers, without `prev_kv`.
    pub event: mvccpb::Event,
    /// The version it replaced, for watchers that ask for `prev_kv`.
    pub prev: Option<mvccpb::KeyValue>,
}
