//! The changes of a revision, for those who watch keys.

use conclave_proto::mvccpb;

use crate::ids::Revision;

/// Every change of one revision, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    /// The revision.
    pub revision: Revision,
    /// The changes; never empty.
    pub changes: Vec<Change>,
    /// About the memory this holds.
    pub bytes: usize,
}

/// What a change takes in memory besides keys and values.
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

/// One change of one key.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The event as a watcher gets it, but without `prev_kv`.
    pub event: mvccpb::Event,
    /// The version it replaced, for the watchers that ask for it.
    pub prev: Option<mvccpb::KeyValue>,
}
