//! Short constructors of requests: `put("a", "1")`, `range("a", "c")`, `txn([..], [..], [..])`.

use bytes::Bytes;
use conclave_proto::etcdserverpb as pb;
use conclave_proto::mvccpb::{Event, KeyValue, event::EventType};
use pb::compare::{CompareResult, CompareTarget, TargetUnion};
use pb::request_op::Request;
use pb::response_op::Response;

/// As a range's end: no end. As its start: the first key.
pub const OPEN: &[u8] = b"\0";

/// Sets a key.
pub fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> pb::PutRequest {
    pb::PutRequest {
        key: key.into(),
        value: value.into(),
        ..Default::default()
    }
}

/// Sets a key under a lease.
pub fn put_leased(key: impl Into<Bytes>, value: impl Into<Bytes>, lease: i64) -> pb::PutRequest {
    pb::PutRequest {
        lease,
        ..put(key, value)
    }
}

/// Reads one key.
pub fn get(key: impl Into<Bytes>) -> pb::RangeRequest {
    pb::RangeRequest {
        key: key.into(),
        ..Default::default()
    }
}

/// Reads `key..end`.
pub fn range(key: impl Into<Bytes>, end: impl Into<Bytes>) -> pb::RangeRequest {
    pb::RangeRequest {
        range_end: end.into(),
        ..get(key)
    }
}

/// Reads every key.
pub fn everything() -> pb::RangeRequest {
    range(OPEN, OPEN)
}

/// Removes one key.
pub fn delete(key: impl Into<Bytes>) -> pb::DeleteRangeRequest {
    pb::DeleteRangeRequest {
        key: key.into(),
        ..Default::default()
    }
}

/// Removes `key..end`.
pub fn delete_range(key: impl Into<Bytes>, end: impl Into<Bytes>) -> pb::DeleteRangeRequest {
    pb::DeleteRangeRequest {
        range_end: end.into(),
        ..delete(key)
    }
}

/// Compacts the history before `revision`.
pub fn compaction(revision: i64) -> pb::CompactionRequest {
    pb::CompactionRequest {
        revision,
        physical: false,
    }
}

/// Watches one key.
pub fn watch(key: impl Into<Bytes>) -> pb::WatchCreateRequest {
    pb::WatchCreateRequest {
        key: key.into(),
        ..Default::default()
    }
}

/// Watches `key..end`.
pub fn watch_range(key: impl Into<Bytes>, end: impl Into<Bytes>) -> pb::WatchCreateRequest {
    pb::WatchCreateRequest {
        range_end: end.into(),
        ..watch(key)
    }
}

/// A transaction.
pub fn txn<C, S, F>(compare: C, success: S, failure: F) -> pb::TxnRequest
where
    C: IntoIterator<Item = pb::Compare>,
    S: IntoIterator<Item = pb::RequestOp>,
    F: IntoIterator<Item = pb::RequestOp>,
{
    pb::TxnRequest {
        compare: compare.into_iter().collect(),
        success: success.into_iter().collect(),
        failure: failure.into_iter().collect(),
    }
}

/// A transaction without comparisons.
pub fn all(operations: impl IntoIterator<Item = pb::RequestOp>) -> pb::TxnRequest {
    txn([], operations, [])
}

/// A request as an operation of a transaction.
pub fn op(request: impl IntoOp) -> pb::RequestOp {
    pb::RequestOp {
        request: Some(request.into_op()),
    }
}

/// A request that can be an operation of a transaction.
pub trait IntoOp {
    /// The operation.
    fn into_op(self) -> Request;
}

impl IntoOp for pb::RangeRequest {
    fn into_op(self) -> Request {
        Request::RequestRange(self)
    }
}

impl IntoOp for pb::PutRequest {
    fn into_op(self) -> Request {
        Request::RequestPut(self)
    }
}

impl IntoOp for pb::DeleteRangeRequest {
    fn into_op(self) -> Request {
        Request::RequestDeleteRange(self)
    }
}

impl IntoOp for pb::TxnRequest {
    fn into_op(self) -> Request {
        Request::RequestTxn(self)
    }
}

/// A comparison; the operand selects the property of the key to compare.
pub fn compare(key: impl Into<Bytes>, result: CompareResult, operand: TargetUnion) -> pb::Compare {
    let target = match operand {
        TargetUnion::Version(_) => CompareTarget::Version,
        TargetUnion::CreateRevision(_) => CompareTarget::Create,
        TargetUnion::ModRevision(_) => CompareTarget::Mod,
        TargetUnion::Value(_) => CompareTarget::Value,
        TargetUnion::Lease(_) => CompareTarget::Lease,
    };
    pb::Compare {
        result: result as i32,
        target: target as i32,
        key: key.into(),
        range_end: Bytes::new(),
        target_union: Some(operand),
    }
}

/// Holds if the key has this value.
pub fn value_is(key: impl Into<Bytes>, value: impl Into<Bytes>) -> pb::Compare {
    compare(key, CompareResult::Equal, TargetUnion::Value(value.into()))
}

/// Holds if the key does not exist.
pub fn is_absent(key: impl Into<Bytes>) -> pb::Compare {
    compare(key, CompareResult::Equal, TargetUnion::CreateRevision(0))
}

/// Extends the comparison to every key up to `end`.
pub fn over(compare: pb::Compare, end: impl Into<Bytes>) -> pb::Compare {
    pb::Compare {
        range_end: end.into(),
        ..compare
    }
}

/// The revision in a header.
pub fn revision_of(header: &Option<pb::ResponseHeader>) -> i64 {
    header
        .as_ref()
        .expect("every reply of this kind has a header")
        .revision
}

/// The keys as text.
pub fn keys(kvs: &[KeyValue]) -> Vec<String> {
    kvs.iter()
        .map(|kv| String::from_utf8_lossy(&kv.key).into_owned())
        .collect()
}

/// The values as text.
pub fn values(kvs: &[KeyValue]) -> Vec<String> {
    kvs.iter()
        .map(|kv| String::from_utf8_lossy(&kv.value).into_owned())
        .collect()
}

/// Formats events as `key=value` or `-key`, each with its revision, in order.
pub fn told(events: &[Event]) -> Vec<String> {
    events
        .iter()
        .map(|event| {
            let kv = event.kv.as_ref().expect("an event is about a key");
            let key = String::from_utf8_lossy(&kv.key);
            match event.r#type() {
                EventType::Put => {
                    format!(
                        "{key}={}@{}",
                        String::from_utf8_lossy(&kv.value),
                        kv.mod_revision
                    )
                }
                EventType::Delete => format!("-{key}@{}", kv.mod_revision),
            }
        })
        .collect()
}

/// The reply to a range inside a transaction.
pub fn ranged(response: &pb::ResponseOp) -> &pb::RangeResponse {
    match &response.response {
        Some(Response::ResponseRange(range)) => range,
        other => panic!("not a range: {other:?}"),
    }
}

/// The reply to a put inside a transaction.
pub fn putted(response: &pb::ResponseOp) -> &pb::PutResponse {
    match &response.response {
        Some(Response::ResponsePut(put)) => put,
        other => panic!("not a put: {other:?}"),
    }
}

/// The reply to a delete inside a transaction.
pub fn deleted(response: &pb::ResponseOp) -> &pb::DeleteRangeResponse {
    match &response.response {
        Some(Response::ResponseDeleteRange(delete)) => delete,
        other => panic!("not a delete: {other:?}"),
    }
}

/// The reply to a transaction inside a transaction.
pub fn nested(response: &pb::ResponseOp) -> &pb::TxnResponse {
    match &response.response {
        Some(Response::ResponseTxn(txn)) => txn,
        other => panic!("not a txn: {other:?}"),
    }
}
