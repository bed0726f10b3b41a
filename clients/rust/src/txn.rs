//! Parts of transactions.
//!
//! ```
//! # async fn example(client: conclave_client::Client, held: conclave_client::recipes::Held)
//! # -> Result<(), conclave_client::Error> {
//! use conclave_client::txn;
//!
//! // Takes effect only while the lock is held.
//! let put = txn::put("config", "new");
//! let done = client.txn(txn::when([held.guard()], [put])).await?.succeeded;
//! # Ok(()) }
//! ```

use bytes::Bytes;

use crate::Error;
use crate::api::compare::{CompareResult, CompareTarget, TargetUnion};
use crate::api::request_op::Request;
use crate::api::response_op::Response;
use crate::api::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RangeResponse, RequestOp, TxnRequest,
    TxnResponse,
};
use crate::keys::Keys;

/// True while the key's create revision is `token`: the guard of a write that only the owner of a
/// lock or the leader of an election may do. With 0, while the key does not exist.
pub fn owner(key: impl Into<Bytes>, token: i64) -> Compare {
    Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Create.into(),
        key: key.into(),
        target_union: Some(TargetUnion::CreateRevision(token)),
        ..Default::default()
    }
}

/// True while the key does not exist.
pub fn absent(key: impl Into<Bytes>) -> Compare {
    owner(key, 0)
}

/// True while the key goes with this lease.
pub(crate) fn leased(key: Bytes, lease: i64) -> Compare {
    Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Lease.into(),
        key,
        target_union: Some(TargetUnion::Lease(lease)),
        ..Default::default()
    }
}

/// True while no key begins with the prefix.
pub(crate) fn none_below(prefix: Bytes) -> Compare {
    let Keys { key, end } = Keys::prefix(prefix);
    Compare {
        range_end: end,
        ..absent(key)
    }
}

/// True while none of the keys was created after this revision.
pub(crate) fn none_newer(keys: Keys, revision: i64) -> Compare {
    Compare {
        result: CompareResult::Less.into(),
        range_end: keys.end,
        ..owner(keys.key, revision + 1)
    }
}

/// True while the key was last changed at this revision. With 0, while it does not exist.
pub fn unchanged(key: impl Into<Bytes>, mod_revision: i64) -> Compare {
    Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Mod.into(),
        key: key.into(),
        target_union: Some(TargetUnion::ModRevision(mod_revision)),
        ..Default::default()
    }
}

/// Sets a key.
pub fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> RequestOp {
    put_leased(key, value, 0)
}

/// Sets a key that goes with a lease.
pub fn put_leased(key: impl Into<Bytes>, value: impl Into<Bytes>, lease: i64) -> RequestOp {
    put_with(PutRequest {
        key: key.into(),
        value: value.into(),
        lease,
        ..Default::default()
    })
}

/// Sets a key, with every option of the API.
pub fn put_with(request: PutRequest) -> RequestOp {
    op(Request::RequestPut(request))
}

/// Reads keys.
pub fn get(keys: impl Into<Keys>) -> RequestOp {
    range(keys.into().into_range())
}

/// Reads keys, with every option of the API.
pub fn range(request: RangeRequest) -> RequestOp {
    op(Request::RequestRange(request))
}

/// Deletes keys.
pub fn delete(keys: impl Into<Keys>) -> RequestOp {
    let Keys { key, end } = keys.into();
    op(Request::RequestDeleteRange(DeleteRangeRequest {
        key,
        range_end: end,
        prev_kv: false,
    }))
}

/// Does `then` if all of the comparisons are true.
pub fn when(
    compare: impl IntoIterator<Item = Compare>,
    then: impl IntoIterator<Item = RequestOp>,
) -> TxnRequest {
    when_else(compare, then, [])
}

/// Does `then` if all of the comparisons are true, and `otherwise` if not.
pub fn when_else(
    compare: impl IntoIterator<Item = Compare>,
    then: impl IntoIterator<Item = RequestOp>,
    otherwise: impl IntoIterator<Item = RequestOp>,
) -> TxnRequest {
    TxnRequest {
        compare: compare.into_iter().collect(),
        success: then.into_iter().collect(),
        failure: otherwise.into_iter().collect(),
    }
}

fn op(request: Request) -> RequestOp {
    RequestOp {
        request: Some(request),
    }
}

/// The revision of the store after a transaction.
pub(crate) fn revision(response: &TxnResponse) -> i64 {
    response.header.as_ref().map_or(0, |header| header.revision)
}

/// The answers to the reads of a transaction, in their order.
pub(crate) fn reads<const N: usize>(response: TxnResponse) -> Result<[RangeResponse; N], Error> {
    let reads = response.responses.into_iter();
    let reads = reads.filter_map(|op| match op.response {
        Some(Response::ResponseRange(read)) => Some(read),
        _ => None,
    });
    let reads: Vec<_> = reads.collect();
    <[RangeResponse; N]>::try_from(reads)
        .map_err(|_| Error::Protocol("a transaction without its reads"))
}
