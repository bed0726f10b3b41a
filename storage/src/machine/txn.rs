//! Transactions: compare, then do one of two lists of operations, all in one revision.
//!
//! Three steps, in this order:
//!
//! 1. [`path`]: every comparison of the whole tree, those of nested transactions too, is evaluated
//!    on the state *before* the transaction. The result says which branch each transaction takes.
//! 2. The operations on that path are checked against the state: revisions readable, leases there,
//!    keys there that are to keep something. What the branches not taken say does not matter.
//! 3. The operations run in order, each seeing the earlier ones.
//!
//! The first and the last step are shared with read-only transactions, which never come here: the
//! reader runs them.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use conclave_proto::errors::ApiError;
use conclave_proto::etcdserverpb as api;
use conclave_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use conclave_proto::etcdserverpb::request_op::Request;
use conclave_proto::etcdserverpb::response_op::Response;

use super::{Machine, header, kv, validate};
use crate::engine::Read;
use crate::fault::Fault;
use crate::ids::Revision;
use crate::mvcc::query;
use crate::mvcc::range::KeyRange;
use crate::mvcc::record::Head;
use crate::mvcc::view::View;
use crate::mvcc::write::Writer;
use crate::reader::ReadError;

/// Which way a transaction goes, and the transactions nested in the branch it takes, in order.
pub(crate) struct Path {
    succeeded: bool,
    nested: Vec<Path>,
}

impl Machine {
    pub(super) fn txn(
        &mut self,
        read: &dyn Read,
        request: &api::TxnRequest,
        is_answered: bool,
    ) -> Result<api::TxnResponse, ReadError> {
        if validate::has_puts(request) {
            self.alarms.check_growth()?;
        } else if !validate::is_read_only(request) {
            self.alarms.check_write()?;
        }
        validate::check_txn(request, usize::MAX)?;
        let view = self.pending.view(read);
        let path = path(&view, self.state.revision, request)?;
        self.check_path(read, request, &path)?;
        self.write(read, |writer| {
            let mut response = run(writer, request, &path, is_answered)?;
            response.header = header(writer.revision());
            Ok(response)
        })
    }

    /// Step 2.
    fn check_path(
        &self,
        read: &dyn Read,
        request: &api::TxnRequest,
        path: &Path,
    ) -> Result<(), ReadError> {
        let mut nested = path.nested.iter();
        for op in branch(request, path) {
            match &op.request {
                Some(Request::RequestRange(range)) => {
                    readable(range, self.state.revision, self.state.compacted)?;
                }
                // In this order within a transaction, and in the other outside, as etcd has it.
                Some(Request::RequestPut(put)) => {
                    self.check_kept_by(read, put)?;
                    self.check_lease_of(read, put)?;
                }
                Some(Request::RequestTxn(txn)) => self.check_path(read, txn, next(&mut nested))?,
                Some(Request::RequestDeleteRange(_)) | None => {}
            }
        }
        Ok(())
    }
}

/// Step 3. Ranges change nothing, so they are read only if the response is for somebody.
fn run(
    writer: &mut Writer<'_>,
    request: &api::TxnRequest,
    path: &Path,
    is_answered: bool,
) -> Result<api::TxnResponse, ReadError> {
    let mut nested = path.nested.iter();
    let mut responses = Vec::new();
    for op in branch(request, path) {
        let response = match &op.request {
            Some(Request::RequestRange(_)) if !is_answered => continue,
            Some(Request::RequestRange(range)) => {
                let now = writer.revision();
                Response::ResponseRange(range_at(&writer.view(), range, now)?)
            }
            Some(Request::RequestPut(put)) => Response::ResponsePut(kv::put(writer, put)?),
            Some(Request::RequestDeleteRange(delete)) => {
                Response::ResponseDeleteRange(kv::delete_range(writer, delete)?)
            }
            Some(Request::RequestTxn(txn)) => {
                Response::ResponseTxn(run(writer, txn, next(&mut nested), is_answered)?)
            }
            None => continue,
        };
        responses.push(api::ResponseOp {
            response: Some(response),
        });
    }
    Ok(response(path, responses))
}

/// Steps 1 to 3 of a transaction that only reads, at `now`.
pub(crate) fn read_only(
    view: &dyn View,
    request: &api::TxnRequest,
    now: Revision,
    compacted: Revision,
) -> Result<api::TxnResponse, ReadError> {
    let path = path(view, now, request)?;
    let mut response = run_reads(view, request, &path, now, compacted)?;
    response.header = header(now);
    Ok(response)
}

fn run_reads(
    view: &dyn View,
    request: &api::TxnRequest,
    path: &Path,
    now: Revision,
    compacted: Revision,
) -> Result<api::TxnResponse, ReadError> {
    let mut nested = path.nested.iter();
    let mut responses = Vec::new();
    for op in branch(request, path) {
        let response = match &op.request {
            Some(Request::RequestRange(range)) => {
                readable(range, now, compacted)?;
                Response::ResponseRange(range_at(view, range, now)?)
            }
            Some(Request::RequestTxn(txn)) => {
                Response::ResponseTxn(run_reads(view, txn, next(&mut nested), now, compacted)?)
            }
            Some(Request::RequestPut(_) | Request::RequestDeleteRange(_)) | None => continue,
        };
        responses.push(api::ResponseOp {
            response: Some(response),
        });
    }
    Ok(response(path, responses))
}

fn response(path: &Path, responses: Vec<api::ResponseOp>) -> api::TxnResponse {
    let header = Some(api::ResponseHeader::default());
    api::TxnResponse {
        header,
        succeeded: path.succeeded,
        responses,
    }
}

/// The operations of the branch taken.
fn branch<'r>(request: &'r api::TxnRequest, path: &Path) -> &'r [api::RequestOp] {
    if path.succeeded {
        &request.success
    } else {
        &request.failure
    }
}

fn next<'p>(nested: &mut std::slice::Iter<'p, Path>) -> &'p Path {
    nested
        .next()
        .expect("a path has a step for each transaction nested in its branch")
}

/// A range within a transaction that is at `now`: at its own revision if it names one. It must be
/// readable.
fn range_at(
    view: &dyn View,
    request: &api::RangeRequest,
    now: Revision,
) -> Result<api::RangeResponse, Fault> {
    let at = if request.revision > 0 {
        Revision(request.revision)
    } else {
        now
    };
    let query::Answer { kvs, more, count } = query::answer(view, request, at)?;
    Ok(api::RangeResponse {
        header: header(now),
        kvs,
        more,
        count,
    })
}

/// Whether the revision a range names can be read. One below zero means the latest to a range by
/// itself; within a transaction etcd takes it for a number, and so do we.
fn readable(
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

/// Step 1.
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

/// Whether a comparison holds: for every key in its range; and if there is none, for one that was
/// never written, whose numbers are all 0 and which has no value to compare.
fn holds(view: &dyn View, at: Revision, compare: &api::Compare) -> Result<bool, Fault> {
    let range = KeyRange::of(&compare.key, &compare.range_end);
    let mut any = false;
    let mut all = true;
    view.visit(&range, at, &mut |_, head, value| {
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

/// How what is there relates to what the comparison names. A target without its operand is compared
/// with 0, or with the empty value; a target nobody knows is equal to anything, as in etcd.
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

/// A result nobody knows refuses nothing, as in etcd.
fn accepts(compare: &api::Compare, order: Ordering) -> bool {
    match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => order == Ordering::Equal,
        Ok(CompareResult::NotEqual) => order != Ordering::Equal,
        Ok(CompareResult::Greater) => order == Ordering::Greater,
        Ok(CompareResult::Less) => order == Ordering::Less,
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use conclave_proto::command::command::Body;

    use super::*;
    use crate::machine::Reply;
    use crate::machine::script::Stage;

    /// The state must not depend on who is answered.
    #[test]
    fn a_range_is_read_for_the_member_that_was_asked() {
        let op = |request| api::RequestOp {
            request: Some(request),
        };
        let put = api::PutRequest {
            key: "a".into(),
            ..api::PutRequest::default()
        };
        let range = api::RangeRequest {
            key: "a".into(),
            ..api::RangeRequest::default()
        };
        let txn = Body::Txn(api::TxnRequest {
            success: vec![
                op(Request::RequestPut(put)),
                op(Request::RequestRange(range)),
            ],
            ..api::TxnRequest::default()
        });
        let mut hashes = Vec::new();
        // The commands of the stage are of member 1.
        for (answered, responses) in [(1, 2), (2, 1)] {
            let mut stage = Stage::new();
            stage.machine.answer_only(answered);
            let outcomes = stage.apply(vec![txn.clone()]);
            let Ok(Reply::Txn(response)) = &outcomes[0] else {
                panic!("{outcomes:?}")
            };
            assert_eq!(response.responses.len(), responses);
            stage.commit();
            hashes.push(stage.reader.hash().expect("readable"));
        }
        assert_eq!(hashes[0], hashes[1]);
    }
}
