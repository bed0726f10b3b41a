//! Transactions that are refused, and valid ones that look invalid.

use conclave_proto::ApiError;
use conclave_proto::etcdserverpb::{PutRequest, RangeRequest, RequestOp};
use harness::api::{
    OPEN, all, delete, delete_range, deleted, everything, get, op, put, put_leased, txn, value_is,
};
use harness::{Node, refused};

suite![
    a_key_can_be_put_once,
    a_key_put_and_deleted_is_a_duplicate,
    a_put_in_a_deleted_range_is_a_duplicate,
    a_put_in_an_open_deleted_range_is_a_duplicate => "etcd overlooks open ends here",
    deletes_may_overlap,
    the_branches_do_not_collide,
    nested_puts_collide_with_outer_ones,
    nested_puts_collide_with_each_other,
    nested_branches_do_not_collide,
    nested_deletes_collide_with_outer_puts,
    too_many_operations,
    too_many_compares,
    nested_operations_share_the_budget,
    the_budget_is_a_flag ["--max-txn-ops=3"],
    an_empty_key_anywhere_is_refused,
    an_operation_without_a_request_is_refused,
    a_bad_put_inside_is_refused,
    a_bad_sort_inside_is_refused => "3.4 takes it for no order",
    a_missing_key_to_keep_is_refused,
    an_unknown_lease_inside_is_refused,
    a_future_revision_inside_is_refused,
    a_compacted_revision_inside_is_refused,
    what_the_branch_not_taken_needs_may_be_missing,
    a_refused_txn_writes_nothing,
    a_large_txn_is_refused,
];

async fn a_key_can_be_put_once(node: Node) {
    let twice = all([op(put("a", "1")), op(put("a", "2"))]);
    refused(node.kv().txn(twice).await, ApiError::DuplicateKey);
}

async fn a_key_put_and_deleted_is_a_duplicate(node: Node) {
    let either = [
        all([op(put("a", "1")), op(delete("a"))]),
        all([op(delete("a")), op(put("a", "1"))]),
    ];
    for request in either {
        refused(node.kv().txn(request).await, ApiError::DuplicateKey);
    }
}

async fn a_put_in_a_deleted_range_is_a_duplicate(node: Node) {
    let request = all([op(delete_range("a", "c")), op(put("b", "1"))]);
    refused(node.kv().txn(request).await, ApiError::DuplicateKey);
    let beside = all([op(delete_range("a", "c")), op(put("c", "1"))]);
    assert!(
        node.txn(beside).await.succeeded,
        "the end of a range is not in it"
    );
}

async fn a_put_in_an_open_deleted_range_is_a_duplicate(node: Node) {
    for range in [delete_range("a", OPEN), delete_range(OPEN, OPEN)] {
        let request = all([op(range), op(put("b", "1"))]);
        refused(node.kv().txn(request).await, ApiError::DuplicateKey);
    }
    let below = all([op(delete_range("b", OPEN)), op(put("a", "1"))]);
    assert!(node.txn(below).await.succeeded);
}

async fn deletes_may_overlap(node: Node) {
    node.put("a", "1").await;
    node.put("b", "1").await;
    let request = all([
        op(delete_range("a", "c")),
        op(delete("a")),
        op(delete_range("a", OPEN)),
    ]);
    let reply = node.txn(request).await;
    let counts: Vec<_> = reply
        .responses
        .iter()
        .map(|reply| deleted(reply).deleted)
        .collect();
    assert_eq!(counts, [2, 0, 0]);
}

async fn the_branches_do_not_collide(node: Node) {
    let request = txn(
        [value_is("a", "1")],
        [op(put("a", "2"))],
        [op(put("a", "1"))],
    );
    assert!(!node.txn(request).await.succeeded);
    assert_eq!(node.value("a").await.unwrap(), "1");
}

async fn nested_puts_collide_with_outer_ones(node: Node) {
    let inner = txn([], [], [op(put("a", "2"))]);
    let request = all([op(put("a", "1")), op(inner)]);
    refused(node.kv().txn(request).await, ApiError::DuplicateKey);
}

async fn nested_puts_collide_with_each_other(node: Node) {
    let request = all([op(all([op(put("a", "1"))])), op(all([op(put("a", "2"))]))]);
    refused(node.kv().txn(request).await, ApiError::DuplicateKey);
}

async fn nested_branches_do_not_collide(node: Node) {
    let inner = txn(
        [value_is("x", "1")],
        [op(put("a", "1"))],
        [op(put("a", "2"))],
    );
    assert!(node.txn(all([op(inner)])).await.succeeded);
    assert_eq!(node.value("a").await.unwrap(), "2");
}

async fn nested_deletes_collide_with_outer_puts(node: Node) {
    let request = all([op(put("b", "1")), op(all([op(delete_range("a", "c"))]))]);
    refused(node.kv().txn(request).await, ApiError::DuplicateKey);
}

async fn too_many_operations(node: Node) {
    assert!(node.txn(all(puts(128))).await.succeeded);
    refused(node.kv().txn(all(puts(129))).await, ApiError::TooManyOps);
    refused(
        node.kv().txn(txn([], [], puts(129))).await,
        ApiError::TooManyOps,
    );
}

async fn too_many_compares(node: Node) {
    let compares = |count| (0..count).map(|_| value_is("a", "1"));
    assert!(!node.txn(txn(compares(128), [], [])).await.succeeded);
    refused(
        node.kv().txn(txn(compares(129), [], [])).await,
        ApiError::TooManyOps,
    );
}

async fn nested_operations_share_the_budget(node: Node) {
    let around = |count| {
        let mut operations: Vec<RequestOp> = (0..64).map(|_| op(get("x"))).collect();
        operations.push(op(all(puts(count))));
        all(operations)
    };
    assert!(node.txn(around(63)).await.succeeded);
    refused(node.kv().txn(around(64)).await, ApiError::TooManyOps);
}

async fn the_budget_is_a_flag(node: Node) {
    assert!(node.txn(all(puts(3))).await.succeeded);
    refused(node.kv().txn(all(puts(4))).await, ApiError::TooManyOps);
}

async fn an_empty_key_anywhere_is_refused(node: Node) {
    let requests = [
        all([op(put("", "1"))]),
        all([op(delete(""))]),
        all([op(get(""))]),
        txn([], [], [op(put("", "1"))]),
        txn([value_is("", "1")], [], []),
        all([op(all([op(put("", "1"))]))]),
    ];
    for request in requests {
        refused(node.kv().txn(request).await, ApiError::EmptyKey);
    }
}

async fn an_operation_without_a_request_is_refused(node: Node) {
    let empty = RequestOp { request: None };
    refused(node.kv().txn(all([empty])).await, ApiError::KeyNotFound);
}

async fn a_bad_put_inside_is_refused(node: Node) {
    node.put("a", "1").await;
    let value = PutRequest {
        ignore_value: true,
        ..put("a", "2")
    };
    refused(
        node.kv().txn(all([op(value)])).await,
        ApiError::ValueProvided,
    );
    let lease = PutRequest {
        ignore_lease: true,
        ..put_leased("a", "2", 7)
    };
    refused(
        node.kv().txn(all([op(lease)])).await,
        ApiError::LeaseProvided,
    );
}

async fn a_bad_sort_inside_is_refused(node: Node) {
    let request = RangeRequest {
        sort_order: 7,
        ..everything()
    };
    refused(
        node.kv().txn(all([op(request)])).await,
        ApiError::InvalidSortOption,
    );
}

async fn a_missing_key_to_keep_is_refused(node: Node) {
    let keep_value = PutRequest {
        ignore_value: true,
        ..put("a", "")
    };
    refused(
        node.kv().txn(all([op(keep_value)])).await,
        ApiError::KeyNotFound,
    );
    let keep_lease = PutRequest {
        ignore_lease: true,
        ..put("a", "1")
    };
    refused(
        node.kv().txn(all([op(keep_lease)])).await,
        ApiError::KeyNotFound,
    );
}

async fn an_unknown_lease_inside_is_refused(node: Node) {
    let request = all([op(put("a", "1")), op(put_leased("b", "1", 9))]);
    refused(node.kv().txn(request).await, ApiError::LeaseNotFound);
    assert_eq!(node.range(everything()).await.count, 0);
}

async fn a_future_revision_inside_is_refused(node: Node) {
    let future = RangeRequest {
        revision: 5,
        ..get("a")
    };
    refused(
        node.kv().txn(all([op(future.clone())])).await,
        ApiError::FutureRev,
    );
    let writing = all([op(put("a", "1")), op(future)]);
    refused(node.kv().txn(writing).await, ApiError::FutureRev);
    assert_eq!(node.revision().await, 1);
}

async fn a_compacted_revision_inside_is_refused(node: Node) {
    for value in ["1", "2", "3"] {
        node.put("a", value).await;
    }
    node.compact(3).await;
    let past = RangeRequest {
        revision: 2,
        ..get("a")
    };
    refused(
        node.kv().txn(all([op(past.clone())])).await,
        ApiError::Compacted,
    );
    let writing = all([op(put("a", "4")), op(past)]);
    refused(node.kv().txn(writing).await, ApiError::Compacted);
    assert_eq!(node.revision().await, 4);
}

async fn what_the_branch_not_taken_needs_may_be_missing(node: Node) {
    let other = [
        op(put_leased("a", "1", 9)),
        op(RangeRequest {
            revision: 99,
            ..get("a")
        }),
    ];
    let reply = node.txn(txn([], [op(put("b", "1"))], other)).await;
    assert!(reply.succeeded);
}

async fn a_refused_txn_writes_nothing(node: Node) {
    node.put("a", "1").await;
    let future = RangeRequest {
        revision: 99,
        ..get("a")
    };
    let request = all([op(put("a", "2")), op(delete("b")), op(future)]);
    refused(node.kv().txn(request).await, ApiError::FutureRev);
    assert_eq!(
        (node.value("a").await.unwrap(), node.revision().await),
        ("1".to_owned(), 2)
    );
}

async fn a_large_txn_is_refused(node: Node) {
    let big = || vec![b'x'; 800_000];
    let request = all([op(put("a", big())), op(put("b", big()))]);
    refused(node.kv().txn(request).await, ApiError::RequestTooLarge);
}

fn puts(count: usize) -> Vec<RequestOp> {
    (0..count)
        .map(|index| op(put(format!("k{index}"), "x")))
        .collect()
}
