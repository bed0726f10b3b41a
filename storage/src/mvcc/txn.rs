//! Evaluating transactions: which branches they take, and what they read.
//!
//! A transaction compares, then does one of two lists of operations, all in one revision. Three
//! steps, in this order:
//!
//! 1. [`path`]: every comparison of the whole tree, those of nested transactions too, is evaluated
//!    on the state *before* the transaction. The result says which branch each transaction takes.
//! 2. The operations on that path are checked against the state. Operations on other branches are
//!    not looked at.
//! 3. The operations run in order, each seeing the earlier ones.
//!
//! [`read_only`] does all three for a transaction that only reads. For a transaction that writes,
//! `machine/txn.rs` does steps 2 and 3 and calls [`range_at`] for its reads.
//!
//! For example, `compare a = 1; success: range b; failure: put a 1` on an empty store: the
//! comparison fails, so the path is the failure branch, and `range b` is not even checked.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use conclave_proto::errors::ApiError;
use conclave_proto::etcdserverpb as api;
use conclave_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use conclave_proto::etcdserverpb::request_op::Request;
use conclave_proto::etcdserverpb::response_op::Response;

use super::query::{self, header};
use super::range::KeyRange;
use super::record::Head;
use super::view::View;
use crate::fault::Fault;
use crate::ids::Revision;

/// The branch a transaction takes, and the transactions nested in that branch, in order.
pub(crate) struct Path {
    succeeded: bool,
    pub(crate) nested: Vec<Path>,
}

/// Step 1: evaluates the comparisons.
pub(crate) fn path(
    view: &dyn View,
    at: Revision,
    request: &api::TxnRequest,
) -> Result<Path, Fault> {
    let mut path = Path {
        succeeded: true,
        nested: Vec::new(),
    };
    for compare in &request.compare {
        if !holds(view, at, compare)? {
            path.succeeded = false;
            break;
        }
    }
    for op in branch(request, &path) {
        if let Some(Request::RequestTxn(txn)) = &op.request {
            path.nested.push(self::path(view, at, txn)?);
        }
    }
    Ok(path)
}

/// Runs a transaction that only reads, at `now`.
pub(crate) fn read_only(
    view: &dyn View,
    request: &api::TxnRequest,
    now: Revision,
    compacted: Revision,
) -> Result<Result<api::TxnResponse, ApiError>, Fault> {
    let path = path(view, now, request)?;
    if let Err(error) = check_reads(request, &path, now, compacted) {
        return Ok(Err(error));
    }
    let mut response = run_reads(view, request, &path, now)?;
    response.header = header(now);
    Ok(Ok(response))
}

/// Step 2 of a transaction that only reads.
fn check_reads(
    request: &api::TxnRequest,
    path: &Path,
    now: Revision,
    compacted: Revision,
) -> Result<(), ApiError> {
    let mut nested = path.nested.iter();
    for op in branch(request, path) {
        match &op.request {
            Some(Request::RequestRange(range)) => check_readable(range, now, compacted)?,
            Some(Request::RequestTxn(txn)) => {
                check_reads(txn, next(&mut nested), now, compacted)?;
            }
            Some(Request::RequestPut(_) | Request::RequestDeleteRange(_)) | None => {}
        }
    }
    Ok(())
}

/// Step 3 of a transaction that only reads.
fn run_reads(
    view: &dyn View,
    request: &api::TxnRequest,
    path: &Path,
    now: Revision,
) -> Result<api::TxnResponse, Fault> {
    let mut nested = path.nested.iter();
    let mut responses = Vec::new();
    for op in branch(request, path) {
        let response = match &op.request {
            Some(Request::RequestRange(range)) => {
                Response::ResponseRange(range_at(view, range, now)?)
            }
            Some(Request::RequestTxn(txn)) => {
                Response::ResponseTxn(run_reads(view, txn, next(&mut nested), now)?)
            }
            Some(Request::RequestPut(_) | Request::RequestDeleteRange(_)) | None => continue,
        };
        responses.push(api::ResponseOp {
            response: Some(response),
        });
    }
    Ok(response(path, responses))
}

pub(crate) fn response(path: &Path, responses: Vec<api::ResponseOp>) -> api::TxnResponse {
    let header = Some(api::ResponseHeader::default());
    api::TxnResponse {
        header,
        succeeded: path.succeeded,
        responses,
    }
}

/// The operations of the branch that the transaction takes.
pub(crate) fn branch<'r>(request: &'r api::TxnRequest, path: &Path) -> &'r [api::RequestOp] {
    if path.succeeded {
        &request.success
    } else {
        &request.failure
    }
}

pub(crate) fn next<'p>(nested: &mut std::slice::Iter<'p, Path>) -> &'p Path {
    nested
        .next()
        .expect("a path has a step for each transaction nested in its branch")
}

/// Answers a range within a transaction that is at `now`: at the range's own revision if it has
/// one, which must have passed [`check_readable`].
pub(crate) fn range_at(
    view: &dyn View,
    request: &api::RangeRequest,
    now: Revision,
) -> Result<api::RangeResponse, Fault> {
    let at = if request.revision > 0 {
        Revision(request.revision)
    } else {
        now
    };
    let query::Answer { kvs, more, count } = query::answer(view, request, at, None)?;
    Ok(api::RangeResponse {
        header: header(now),
        kvs,
        more,
        count,
    })
}

/// Checks that the revision of a range within a transaction can be read. A negative revision means
/// the latest to a range of its own, but etcd compares it as a number here, and so do we.
pub(crate) fn check_readable(
    request: &api::RangeRequest,
    now: Revision,
    compacted: Revision,
) -> Result<(), ApiError> {
    match Revision(request.revision) {
        at if at > now => Err(ApiError::FutureRev),
        at if at != Revision(0) && at < compacted => Err(ApiError::Compacted),
        _ => Ok(()),
    }
}

/// True if a comparison holds for every key in its range. An empty range is compared like one key
/// that was never written: its numbers are all 0, and a comparison of its value fails.
fn holds(view: &dyn View, at: Revision, compare: &api::Compare) -> Result<bool, Fault> {
    let range = KeyRange::of(&compare.key, &compare.range_end);
    let mut any = false;
    let mut all = true;
    let needs = |_: &Head| compare.target() == CompareTarget::Value;
    view.visit(&range, at, &needs, &mut |_, head, value| {
        any = true;
        all = accepts(compare, order(compare, head, value));
        if all {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    if any {
        return Ok(all);
    }
    let never_written = Head::tombstone(Revision(0), 0);
    Ok(compare.target() != CompareTarget::Value
        && accepts(compare, order(compare, &never_written, &[])))
}

/// Compares a version with the operand of a comparison. A missing operand counts as 0, or as the
/// empty value. An unknown target is equal to anything, as in etcd.
fn order(compare: &api::Compare, head: &Head, value: &[u8]) -> Ordering {
    let union = compare.target_union.as_ref();
    let Ok(target) = CompareTarget::try_from(compare.target) else {
        return Ordering::Equal;
    };
    match target {
        CompareTarget::Version => head.version.cmp(&match union {
            Some(TargetUnion::Version(version)) => *version,
            _ => 0,
        }),
        CompareTarget::Create => head.created.0.cmp(&match union {
            Some(TargetUnion::CreateRevision(revision)) => *revision,
            _ => 0,
        }),
        CompareTarget::Mod => head.modified.0.cmp(&match union {
            Some(TargetUnion::ModRevision(revision)) => *revision,
            _ => 0,
        }),
        CompareTarget::Lease => head.lease.0.cmp(&match union {
            Some(TargetUnion::Lease(lease)) => *lease,
            _ => 0,
        }),
        CompareTarget::Value => value.cmp(match union {
            Some(TargetUnion::Value(operand)) => operand,
            _ => &[],
        }),
    }
}

/// True if the comparison accepts this order. An unknown result accepts all, as in etcd.
fn accepts(compare: &api::Compare, order: Ordering) -> bool {
    match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => order == Ordering::Equal,
        Ok(CompareResult::NotEqual) => order != Ordering::Equal,
        Ok(CompareResult::Greater) => order == Ordering::Greater,
        Ok(CompareResult::Less) => order == Ordering::Less,
        Err(_) => true,
    }
}
