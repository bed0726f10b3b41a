//! The numbers that every commit writes.

use crate::engine::Read;
use crate::fault::Fault;
use crate::ids::{ClusterId, Index, Revision, Term};
use crate::layout;
use crate::mvcc::compact::NEVER_COMPACTED;
use crate::mvcc::record::damaged;

/// Position and size of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// Index of the last applied entry; `term` is the term of that entry.
    pub(crate) index: Index,
    pub(crate) term: Term,
    pub(crate) revision: Revision,
    pub(crate) compacted: Revision,
    /// Logical size of all versions that are not removed yet. Equal on members that have removed
    /// all compacted versions.
    pub(crate) size: i64,
}

impl State {
    pub(crate) const EMPTY: State = State {
        index: Index::NONE,
        term: Term::NONE,
        revision: Revision::EMPTY_STORE,
        compacted: NEVER_COMPACTED,
        size: 0,
    };

    pub(crate) fn encode(&self) -> Vec<u8> {
        let State {
            index,
            term,
            revision,
            compacted,
            size,
        } = *self;
        let numbers = [
            index.0,
            term.0,
            revision.0 as u64,
            compacted.0 as u64,
            size as u64,
        ];
        numbers
            .iter()
            .flat_map(|number| number.to_be_bytes())
            .collect()
    }

    pub(crate) fn decode(row: &[u8]) -> Result<State, Fault> {
        let row: &[u8; 40] = row
            .try_into()
            .map_err(|_| damaged(format!("meta: {} bytes where the state is", row.len())))?;
        let (numbers, _) = row.as_chunks::<8>();
        let number = |position: usize| u64::from_be_bytes(numbers[position]);
        Ok(State {
            index: Index(number(0)),
            term: Term(number(1)),
            revision: Revision(number(2) as i64),
            compacted: Revision(number(3) as i64),
            size: number(4) as i64,
        })
    }
}

/// Reads the id of the cluster, or [`ClusterId::NONE`] if the store was never bootstrapped.
pub(crate) fn cluster_id(read: &dyn Read) -> Result<ClusterId, Fault> {
    match read.get(layout::META, layout::META_CLUSTER)? {
        None => Ok(ClusterId::NONE),
        Some(row) => <[u8; 8]>::try_from(&row[..])
            .map(|id| ClusterId(u64::from_be_bytes(id)))
            .map_err(|_| damaged("meta: the cluster id".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_its_bytes() {
        let state = State {
            index: Index(1),
            term: Term(2),
            revision: Revision(3),
            size: 5,
            ..State::EMPTY
        };
        assert_eq!(State::decode(&state.encode()), Ok(state));
        assert!(State::decode(b"short").is_err());
    }
}
