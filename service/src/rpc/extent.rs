//! The number of keys that a request may touch, as far as the request itself shows.
//!
//! A key is little, a range may be anything: a small limit does not make it short, since the
//! response counts all keys of the range, so all of them are looked at.

use conclave_proto::etcdserverpb::request_op::Request as Op;
use conclave_proto::etcdserverpb::{DeleteRangeRequest, RangeRequest, RequestOp, TxnRequest};

use super::Length;

/// Single keys that a transaction reads in the call's own task. More count as a range.
const KEYS_MAX: usize = 16;

/// A range is long if it may touch more than one key.
pub(crate) fn length(request: &RangeRequest) -> Length {
    if request.range_end.is_empty() {
        Length::Short
    } else {
        Length::Long
    }
}

/// A transaction is long if a range in it is, or if it has many operations.
pub(crate) fn length_of_txn(request: &TxnRequest) -> Length {
    let compares = &request.compare;
    let is_long = compares.iter().any(|compare| !compare.range_end.is_empty())
        || ops(request).count() > KEYS_MAX
        || ops(request).any(|op| match &op.request {
            Some(Op::RequestRange(range)) => length(range) == Length::Long,
            Some(Op::RequestTxn(nested)) => length_of_txn(nested) == Length::Long,
            Some(Op::RequestPut(_) | Op::RequestDeleteRange(_)) | None => false,
        });
    if is_long { Length::Long } else { Length::Short }
}

/// The ranges whose key-values a deletion returns, if they may be many.
pub(crate) fn returned_by_delete(request: &DeleteRangeRequest) -> Vec<RangeRequest> {
    let returned = request.prev_kv && !request.range_end.is_empty();
    let range = || between(&request.key, &request.range_end);
    returned.then(range).into_iter().collect()
}

/// The ranges and keys whose key-values a transaction may return, if they may be many.
pub(crate) fn returned_by_txn(request: &TxnRequest) -> Vec<RangeRequest> {
    let mut returned = Vec::new();
    add_returned(request, &mut returned);
    let is_single = |range: &RangeRequest| length(range) == Length::Short;
    if returned.len() <= KEYS_MAX && returned.iter().all(is_single) {
        returned.clear();
    }
    returned
}

fn add_returned(request: &TxnRequest, returned: &mut Vec<RangeRequest>) {
    for op in ops(request) {
        match &op.request {
            Some(Op::RequestRange(range)) if !range.count_only && !range.keys_only => {
                returned.push(between(&range.key, &range.range_end));
            }
            Some(Op::RequestPut(put)) if put.prev_kv => returned.push(between(&put.key, b"")),
            Some(Op::RequestDeleteRange(delete)) if delete.prev_kv => {
                returned.push(between(&delete.key, &delete.range_end));
            }
            Some(Op::RequestTxn(nested)) => add_returned(nested, returned),
            Some(Op::RequestRange(_) | Op::RequestPut(_) | Op::RequestDeleteRange(_)) | None => {}
        }
    }
}

fn ops(request: &TxnRequest) -> impl Iterator<Item = &RequestOp> {
    request.success.iter().chain(&request.failure)
}

fn between(key: &bytes::Bytes, range_end: &[u8]) -> RangeRequest {
    RangeRequest {
        key: key.clone(),
        range_end: bytes::Bytes::copy_from_slice(range_end),
        ..RangeRequest::default()
    }
}

#[cfg(test)]
mod tests {
    use conclave_proto::etcdserverpb::PutRequest;

    use super::*;

    fn txn(success: impl IntoIterator<Item = Op>) -> TxnRequest {
        let op = |request| RequestOp {
            request: Some(request),
        };
        TxnRequest {
            success: success.into_iter().map(op).collect(),
            ..TxnRequest::default()
        }
    }

    fn put(prev_kv: bool) -> Op {
        Op::RequestPut(PutRequest {
            key: "a".into(),
            prev_kv,
            ..PutRequest::default()
        })
    }

    fn get(range_end: &'static str) -> Op {
        Op::RequestRange(RangeRequest {
            key: "a".into(),
            range_end: range_end.into(),
            ..RangeRequest::default()
        })
    }

    #[test]
    fn what_may_touch_many_keys_is_long() {
        let one = RangeRequest {
            key: "a".into(),
            ..RangeRequest::default()
        };
        assert_eq!(length(&one), Length::Short);
        let all = RangeRequest {
            range_end: "b".into(),
            ..one
        };
        assert_eq!(length(&all), Length::Long);
        let page = RangeRequest { limit: 10, ..all };
        assert_eq!(length(&page), Length::Long);
        assert_eq!(length_of_txn(&txn([get("")])), Length::Short);
        assert_eq!(length_of_txn(&txn([get("b")])), Length::Long);
        let keys = (0..=KEYS_MAX).map(|_| get(""));
        assert_eq!(length_of_txn(&txn(keys)), Length::Long);
        let nested = txn([Op::RequestTxn(txn([get("b")]))]);
        assert_eq!(length_of_txn(&nested), Length::Long);
    }

    #[test]
    fn a_write_may_return_what_it_ranges_over() {
        assert!(returned_by_txn(&txn([put(true), get("")])).is_empty());
        assert_eq!(returned_by_txn(&txn([put(false), get("b")])).len(), 1);
        let nested = txn([put(false), Op::RequestTxn(txn([get("b")]))]);
        assert_eq!(returned_by_txn(&nested).len(), 1);
        let delete = |prev_kv| DeleteRangeRequest {
            key: "a".into(),
            range_end: "b".into(),
            prev_kv,
        };
        assert!(returned_by_delete(&delete(false)).is_empty());
        assert_eq!(returned_by_delete(&delete(true)).len(), 1);
    }
}
