//! Range requests with all their options, evaluated on a view in one scan.
//!
//! The keys in the range are counted, filtered by revision, sorted and cut at the limit, in this
//! order. So `count` disregards filters and limit, and `more` means that the limit cut off keys.
//! Values that are not returned are not copied, and large ones not read: beyond the limit keys are
//! only counted, and a sorted query with a limit (for example, for the owner of a lock) reads its
//! few values at the end.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use bytes::{Bytes, BytesMut};
use conclave_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use conclave_proto::etcdserverpb::{RangeRequest, ResponseHeader};
use conclave_proto::mvccpb::KeyValue;

use super::range::{KeyRange, successor};
use super::record::Head;
use super::view::View;
use crate::fault::Fault;
use crate::ids::Revision;

/// A range response without its header.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answer {
    pub(crate) kvs: Vec<KeyValue>,
    pub(crate) more: bool,
    pub(crate) count: i64,
}

/// Answers `request` at revision `at`. The caller has resolved the request's own revision, and may
/// know the number of keys in the range.
pub(crate) fn answer(
    view: &dyn View,
    request: &RangeRequest,
    at: Revision,
    known: Option<i64>,
) -> Result<Answer, Fault> {
    let range = KeyRange::of(&request.key, &request.range_end);
    if request.count_only {
        let count = match known {
            Some(known) => known,
            None => view.count(&range, at)? as i64,
        };
        return Ok(Answer {
            count,
            ..Answer::default()
        });
    }
    let plan = Plan::of(request);
    let mut kvs: Vec<KeyValue> = Vec::new();
    let mut arena = Arena::default();
    let count = select(view, &plan, (&range, known), at, |key, head, value| {
        let value = if plan.value_at_once {
            arena.copy(value)
        } else {
            Bytes::new()
        };
        kvs.push(head.key_value(arena.copy(key), value));
    })?;
    if let Some(sort) = &plan.sort {
        kvs.sort_by(|a, b| sort.compare(a, b));
    }
    let more = kvs.len() > plan.limit;
    kvs.truncate(plan.limit);
    for kv in &mut kvs {
        if request.keys_only {
            kv.value = Bytes::new();
            // etcd answers from an index without leases, unless it had to read the values.
            if request.sort_target() != SortTarget::Value {
                kv.lease = 0;
            }
        } else if !plan.value_at_once
            && let Some(version) = view.find(&kv.key, at)?
        {
            kv.value = version.value;
        }
    }
    Ok(Answer { kvs, more, count })
}

/// Calls `passing` with each version in `range` that passes the filters of `plan`, and returns the
/// number of keys in the range. In key order the calls end with the first key beyond the limit, by
/// which the caller knows that there are more; the keys after it are only counted, or not
/// looked at if the number of keys in the range is `known`.
pub(crate) fn select(
    view: &dyn View,
    plan: &Plan<'_>,
    (range, known): (&KeyRange, Option<i64>),
    at: Revision,
    mut passing: impl FnMut(&[u8], &Head, &[u8]),
) -> Result<i64, Fault> {
    let mut count = 0;
    let mut passed = 0;
    let mut rest = None;
    let needs = |head: &Head| plan.needs_value(head);
    view.visit(range, at, &needs, &mut |key, head, value| {
        count += 1;
        if !plan.passes(head) {
            return ControlFlow::Continue(());
        }
        passed += 1;
        passing(key, head, value);
        if plan.is_in_key_order() && passed > plan.limit {
            rest = Some(range.from(successor(key)));
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    match (rest, known) {
        (None, _) => Ok(count),
        (Some(_), Some(known)) => Ok(known),
        (Some(rest), None) => Ok(count + view.count(&rest, at)? as i64),
    }
}

/// The header of a reply at `revision`. The server fills in the ids and the term.
pub(crate) fn header(revision: Revision) -> Option<ResponseHeader> {
    Some(ResponseHeader {
        revision: revision.0,
        ..ResponseHeader::default()
    })
}

/// How a request is evaluated.
pub(crate) struct Plan<'a> {
    pub(crate) request: &'a RangeRequest,
    pub(crate) limit: usize,
    sort: Option<Sort>,
    value_at_once: bool,
}

impl<'a> Plan<'a> {
    pub(crate) fn of(request: &'a RangeRequest) -> Plan<'a> {
        let limit = match usize::try_from(request.limit) {
            Ok(limit) if limit > 0 => limit,
            _ => usize::MAX,
        };
        let sort = Sort::of(request);
        let by_value = sort
            .as_ref()
            .is_some_and(|sort| sort.target == SortTarget::Value);
        let late = sort.is_some() && limit != usize::MAX;
        let value_at_once = by_value || !(late || request.keys_only);
        Plan {
            request,
            limit,
            sort,
            value_at_once,
        }
    }

    /// True if the answer is in key order, the order of the scan.
    pub(crate) fn is_in_key_order(&self) -> bool {
        self.sort.is_none()
    }

    /// True if all versions pass the request's filters.
    pub(crate) fn has_no_filter(&self) -> bool {
        let request = self.request;
        let mods = [request.min_mod_revision, request.max_mod_revision];
        let creates = [request.min_create_revision, request.max_create_revision];
        mods == [0, 0] && creates == [0, 0]
    }

    /// True if the value of a version is looked at while the range is scanned.
    pub(crate) fn needs_value(&self, head: &Head) -> bool {
        self.value_at_once && self.passes(head)
    }

    /// True if a version passes the request's filters.
    pub(crate) fn passes(&self, head: &Head) -> bool {
        let within = |revision: Revision, min: i64, max: i64| {
            (min == 0 || revision.0 >= min) && (max == 0 || revision.0 <= max)
        };
        let request = self.request;
        within(
            head.modified,
            request.min_mod_revision,
            request.max_mod_revision,
        ) && within(
            head.created,
            request.min_create_revision,
            request.max_create_revision,
        )
    }
}

struct Sort {
    target: SortTarget,
    descending: bool,
}

impl Sort {
    /// `None` for ascending key order. A target other than the key without an order is ascending.
    fn of(request: &RangeRequest) -> Option<Sort> {
        let target = request.sort_target();
        let descending = request.sort_order() == SortOrder::Descend;
        (descending || target != SortTarget::Key).then_some(Sort { target, descending })
    }

    fn compare(&self, a: &KeyValue, b: &KeyValue) -> Ordering {
        let ascending = match self.target {
            SortTarget::Key => a.key.cmp(&b.key),
            SortTarget::Version => a.version.cmp(&b.version),
            SortTarget::Create => a.create_revision.cmp(&b.create_revision),
            SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
            SortTarget::Value => a.value.cmp(&b.value),
        };
        if self.descending {
            ascending.reverse()
        } else {
            ascending
        }
    }
}

/// Copies many small slices into few allocations.
#[derive(Default)]
pub(crate) struct Arena {
    block: BytesMut,
    block_bytes: usize,
}

impl Arena {
    const FIRST_BLOCK_BYTES: usize = 1 << 10;
    const BLOCK_BYTES_MAX: usize = 256 << 10;

    pub(crate) fn copy(&mut self, slice: &[u8]) -> Bytes {
        if slice.is_empty() {
            return Bytes::new();
        }
        if self.block.capacity() < slice.len() {
            let grown = (2 * self.block_bytes).max(Self::FIRST_BLOCK_BYTES);
            self.block_bytes = grown.min(Self::BLOCK_BYTES_MAX);
            self.block = BytesMut::with_capacity(self.block_bytes.max(slice.len()));
        }
        self.block.extend_from_slice(slice);
        self.block.split().freeze()
    }
}
