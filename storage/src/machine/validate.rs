//! Rules for requests that do not depend on the state. They are checked before a request is
//! proposed, and again when it is applied, because a log may hold requests that an older release
//! accepted.

use std::collections::{BTreeMap, BTreeSet};

use conclave_proto::errors::ApiError;
use conclave_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use conclave_proto::etcdserverpb::request_op::Request;
use conclave_proto::{TXN_LEVELS_MAX, etcdserverpb as api};

/// The largest time to live of a lease.
pub(crate) const LEASE_TTL_SECONDS_MAX: i64 = 9_000_000_000;

/// Checks a range: it has a key and a known sort order.
pub fn check_range(request: &api::RangeRequest) -> Result<(), ApiError> {
    if request.key.is_empty() {
        return Err(ApiError::EmptyKey);
    }
    let known = SortOrder::try_from(request.sort_order).is_ok()
        && SortTarget::try_from(request.sort_target).is_ok();
    if known {
        Ok(())
    } else {
        Err(ApiError::InvalidSortOption)
    }
}

/// Checks a put: it has a key, and neither sets nor keeps the same field.
pub fn check_put(request: &api::PutRequest) -> Result<(), ApiError> {
    if request.key.is_empty() {
        Err(ApiError::EmptyKey)
    } else if request.ignore_value && !request.value.is_empty() {
        Err(ApiError::ValueProvided)
    } else if request.ignore_lease && request.lease != 0 {
        Err(ApiError::LeaseProvided)
    } else {
        Ok(())
    }
}

/// Checks a delete: it has a key.
pub fn check_delete(request: &api::DeleteRangeRequest) -> Result<(), ApiError> {
    if request.key.is_empty() {
        Err(ApiError::EmptyKey)
    } else {
        Ok(())
    }
}

/// Checks a grant as it is proposed: it has an id, which the proposer chooses if the client gave
/// none, and a time to live within bounds.
pub(crate) fn check_lease_grant(request: &api::LeaseGrantRequest) -> Result<(), ApiError> {
    if request.id == 0 {
        Err(ApiError::LeaseNotFound)
    } else if request.ttl > LEASE_TTL_SECONDS_MAX {
        Err(ApiError::LeaseTTLTooLarge)
    } else {
        Ok(())
    }
}

/// Checks a transaction:
///
/// * Each operation passes its own check.
/// * A level has at most `max_ops` comparisons, operations on success or operations on failure,
///   less the number on the levels above.
/// * There are at most [`TXN_LEVELS_MAX`] levels, which is the depth to which requests are decoded.
/// * No path through the transaction changes a key twice.
///
/// `max_ops` is configuration, so only the proposer applies it. The machine passes `usize::MAX`.
pub fn check_txn(request: &api::TxnRequest, max_ops: usize) -> Result<(), ApiError> {
    check_ops(request, max_ops, 1)?;
    changes(&request.success)?;
    changes(&request.failure)?;
    Ok(())
}

/// True if no branch of the transaction changes a key.
pub fn is_read_only(request: &api::TxnRequest) -> bool {
    !any_op(request, &|op| {
        matches!(op, Request::RequestPut(_) | Request::RequestDeleteRange(_))
    })
}

/// True if some branch of the transaction puts a key.
pub(crate) fn has_puts(request: &api::TxnRequest) -> bool {
    any_op(request, &|op| matches!(op, Request::RequestPut(_)))
}

fn any_op(request: &api::TxnRequest, wanted: &dyn Fn(&Request) -> bool) -> bool {
    let ops = request.success.iter().chain(&request.failure);
    ops.filter_map(|op| op.request.as_ref()).any(|op| match op {
        Request::RequestTxn(nested) => any_op(nested, wanted),
        op => wanted(op),
    })
}

fn check_ops(request: &api::TxnRequest, max_ops: usize, level: u32) -> Result<(), ApiError> {
    if level > TXN_LEVELS_MAX {
        return Err(ApiError::TooManyOps);
    }
    let api::TxnRequest {
        compare,
        success,
        failure,
    } = request;
    let ops = compare.len().max(success.len()).max(failure.len());
    let left = max_ops.checked_sub(ops).ok_or(ApiError::TooManyOps)?;
    if compare.iter().any(|compare| compare.key.is_empty()) {
        return Err(ApiError::EmptyKey);
    }
    for op in success.iter().chain(failure) {
        match op.request.as_ref().ok_or(ApiError::KeyNotFound)? {
            Request::RequestRange(range) => check_range(range)?,
            Request::RequestPut(put) => check_put(put)?,
            Request::RequestDeleteRange(delete) => check_delete(delete)?,
            Request::RequestTxn(nested) => check_ops(nested, left, level + 1)?,
        }
    }
    Ok(())
}

/// Keys that a list of operations may change.
#[derive(Default)]
struct Touched<'r> {
    puts: BTreeSet<&'r [u8]>,
    deletes: Intervals<'r>,
}

/// Returns the keys that `ops` may change. Fails if some path through them puts a key twice, or
/// puts and deletes it. Deleting a key twice is allowed.
///
/// The two branches of a transaction exclude each other, so they are not compared with each other,
/// but each is compared with the operations around them.
fn changes(ops: &[api::RequestOp]) -> Result<Touched<'_>, ApiError> {
    let mut all = Touched::default();
    for op in ops.iter().filter_map(|op| op.request.as_ref()) {
        let mut of_op = Touched::default();
        match op {
            Request::RequestRange(_) => {}
            Request::RequestPut(put) => {
                of_op.puts.insert(&put.key);
            }
            Request::RequestDeleteRange(delete) => {
                of_op.deletes.insert(&delete.key, &delete.range_end);
            }
            Request::RequestTxn(nested) => {
                of_op = changes(&nested.success)?;
                let of_failure = changes(&nested.failure)?;
                of_op.puts.extend(of_failure.puts);
                of_op.deletes.extend(&of_failure.deletes);
            }
        }
        all.add(of_op)?;
    }
    Ok(all)
}

impl<'r> Touched<'r> {
    /// Adds the keys that another operation of the same list may change.
    fn add(&mut self, other: Touched<'r>) -> Result<(), ApiError> {
        let clash = other.puts.iter().any(|key| self.puts.contains(key))
            || other.puts.iter().any(|key| self.deletes.contain(key))
            || other.deletes.contain_any(&self.puts);
        if clash {
            return Err(ApiError::DuplicateKey);
        }
        self.puts.extend(other.puts);
        self.deletes.extend(&other.deletes);
        Ok(())
    }
}

/// Disjoint half-open intervals of keys, by their start. An interval without an end reaches to the
/// last key. Overlapping intervals are merged, so a request of many operations costs no more than
/// sorting them.
#[derive(Default)]
struct Intervals<'r>(BTreeMap<Bound<'r>, Option<Bound<'r>>>);

/// A key; with true, the position right after it.
type Bound<'r> = (&'r [u8], bool);

impl<'r> Intervals<'r> {
    fn insert(&mut self, key: &'r [u8], range_end: &'r [u8]) {
        let end = match range_end {
            [] => Some((key, true)),
            [0] => None,
            end => Some((end, false)),
        };
        self.insert_bounds((key, false), end);
    }

    fn extend(&mut self, other: &Intervals<'r>) {
        for (&start, &end) in &other.0 {
            self.insert_bounds(start, end);
        }
    }

    fn insert_bounds(&mut self, mut start: Bound<'r>, mut end: Option<Bound<'r>>) {
        if end.is_some_and(|end| end <= start) {
            return;
        }
        // Merge with the intervals that the new one touches: the last one that begins at or before
        // its end, then the one before that, and so on.
        loop {
            let before = match end {
                Some(end) => self.0.range(..=end).next_back(),
                None => self.0.iter().next_back(),
            };
            let Some((&other_start, &other_end)) = before else {
                break;
            };
            if other_end.is_some_and(|other_end| other_end < start) {
                break;
            }
            self.0.remove(&other_start);
            start = start.min(other_start);
            end = match (end, other_end) {
                (Some(end), Some(other_end)) => Some(end.max(other_end)),
                _ => None,
            };
        }
        self.0.insert(start, end);
    }

    fn contain(&self, key: &[u8]) -> bool {
        let before = self.0.range(..=(key, false)).next_back();
        before.is_some_and(|(_, end)| end.is_none_or(|end| (key, false) < end))
    }

    fn contain_any(&self, keys: &BTreeSet<&'r [u8]>) -> bool {
        self.0.iter().any(|(start, end)| {
            let mut from = keys.range(start.0..);
            from.next()
                .is_some_and(|key| end.is_none_or(|end| (*key, false) < end))
        })
    }
}
