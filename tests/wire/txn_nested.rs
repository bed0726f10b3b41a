//! Nested transactions at every depth. A request that cannot be decoded from the log must not enter
//! it.

use bytes::Bytes;
use conclave_proto::ApiError;
use conclave_proto::etcdserverpb::{RequestOp, TxnRequest};
use harness::api::{all, get, op};
use harness::{Node, raw, refused};
use prost::Message as _;

suite![
    every_depth_is_taken_or_has_too_many_operations,
    the_deepest_may_be_empty,
    the_deepest_may_only_read,
    a_larger_budget_does_not_nest_deeper ["--max-txn-ops=100000"] => "it does there",
];

/// The deepest accepted nesting: one operation on each level, of 128.
const DEEPEST: usize = 127;

const TXN: &str = "/etcdserverpb.KV/Txn";

async fn every_depth_is_taken_or_has_too_many_operations(node: Node) {
    let channel = node.channel();
    for depth in (0..=2_000).chain([10_000, 200_000]) {
        let outcome = raw::call(channel.clone(), TXN, raw::nested_put(depth)).await;
        if depth <= DEEPEST {
            assert!(outcome.is_ok(), "{depth}: {outcome:?}");
        } else {
            refused(outcome, ApiError::TooManyOps);
        }
    }
    assert_eq!(node.value("x").await.as_deref(), Some(""));
    assert_eq!(node.revision().await, 2 + DEEPEST as i64);
}

/// All levels together have 128 operations, and the last level has none.
async fn the_deepest_may_be_empty(node: Node) {
    let empty = nested(TxnRequest::default(), DEEPEST + 1);
    assert!(call(&node, &empty).await.is_ok());
    let deeper = nested(TxnRequest::default(), DEEPEST + 2);
    refused(call(&node, &deeper).await, ApiError::TooManyOps);
}

async fn the_deepest_may_only_read(node: Node) {
    let read = |depth| nested(all([op(get("x"))]), depth);
    assert!(call(&node, &read(DEEPEST)).await.is_ok());
    refused(call(&node, &read(DEEPEST + 1)).await, ApiError::TooManyOps);
}

/// Requests are walked by recursion, so there is a limit that no flag changes.
async fn a_larger_budget_does_not_nest_deeper(node: Node) {
    let channel = node.channel();
    for depth in [DEEPEST, DEEPEST + 1] {
        let outcome = raw::call(channel.clone(), TXN, raw::nested_put(depth)).await;
        assert!(outcome.is_ok(), "{depth}: {outcome:?}");
    }
    for depth in [DEEPEST + 2, 1_000, 200_000] {
        let outcome = raw::call(channel.clone(), TXN, raw::nested_put(depth)).await;
        refused(outcome, ApiError::TooManyOps);
    }
}

/// A transaction inside `depth` others.
fn nested(innermost: TxnRequest, depth: usize) -> TxnRequest {
    let wrap = |txn: TxnRequest, _| {
        let operation: RequestOp = op(txn);
        all([operation])
    };
    (0..depth).fold(innermost, wrap)
}

/// The response is nested as deep as the request, too deep for this client's decoder.
async fn call(node: &Node, request: &TxnRequest) -> Result<Bytes, tonic::Status> {
    raw::call(node.channel(), TXN, request.encode_to_vec().into()).await
}
