//! Transactions: which operations run, in which order, at which revision, and the replies.

use conclave_proto::etcdserverpb::{DeleteRangeRequest, PutRequest, RangeRequest};
use conclave_proto::etcdserverpb::{RequestOp, ResponseHeader};
use harness::Node;
use harness::api::{
    OPEN, all, delete, delete_range, deleted, everything, get, is_absent, keys, nested, op, put,
    put_leased, putted, range, ranged, revision_of, txn, value_is, values,
};

suite![
    an_empty_txn_succeeds_and_writes_nothing,
    without_compares_the_success_branch_runs,
    the_branch_is_chosen_by_all_compares,
    all_writes_are_one_revision,
    a_txn_that_only_reads_is_no_revision,
    a_delete_that_finds_nothing_is_no_revision,
    the_branch_not_taken_does_nothing,
    there_is_one_reply_for_each_operation,
    later_reads_see_earlier_writes,
    earlier_reads_do_not_see_later_writes,
    deletes_see_earlier_puts_of_other_keys,
    sub_replies_carry_the_revision_only,
    a_read_after_a_write_reports_the_new_revision,
    a_past_revision_inside_a_txn,
    prev_kv_inside_a_txn,
    puts_under_a_lease,
    nested_txns_run_in_their_place,
    nested_compares_see_the_state_before_the_txn,
    a_nested_reply_has_an_empty_header,
    a_nested_branch_not_taken_does_nothing,
    read_only_txns_can_be_serializable,
    create_if_absent,
    compare_and_swap,
];

async fn an_empty_txn_succeeds_and_writes_nothing(node: Node) {
    let reply = node.txn(all([])).await;
    assert!(reply.succeeded && reply.responses.is_empty());
    assert_eq!(revision_of(&reply.header), 1);
}

async fn without_compares_the_success_branch_runs(node: Node) {
    let reply = node
        .txn(txn([], [op(put("a", "yes"))], [op(put("a", "no"))]))
        .await;
    assert!(reply.succeeded);
    assert_eq!(node.value("a").await.unwrap(), "yes");
}

async fn the_branch_is_chosen_by_all_compares(node: Node) {
    node.put("a", "1").await;
    node.put("b", "2").await;
    let both = |b: &'static str| {
        txn(
            [value_is("a", "1"), value_is("b", b)],
            [op(put("r", "yes"))],
            [op(put("r", "no"))],
        )
    };
    assert!(node.txn(both("2")).await.succeeded);
    assert_eq!(node.value("r").await.unwrap(), "yes");
    assert!(!node.txn(both("3")).await.succeeded);
    assert_eq!(node.value("r").await.unwrap(), "no");
}

async fn all_writes_are_one_revision(node: Node) {
    node.put("gone", "x").await;
    let writes = [op(put("a", "1")), op(delete("gone")), op(put("b", "2"))];
    let reply = node.txn(all(writes)).await;
    assert_eq!(revision_of(&reply.header), 3);
    assert_eq!(node.revision().await, 3);
    let kvs = node.range(everything()).await.kvs;
    assert!(
        kvs.iter().all(|kv| kv.mod_revision == 3 && kv.version == 1),
        "{kvs:?}"
    );
}

async fn a_txn_that_only_reads_is_no_revision(node: Node) {
    node.put("a", "1").await;
    let reply = node.txn(all([op(get("a")), op(everything())])).await;
    assert_eq!(revision_of(&reply.header), 2);
    assert_eq!(ranged(&reply.responses[1]).count, 1);
    assert_eq!(node.revision().await, 2);
}

async fn a_delete_that_finds_nothing_is_no_revision(node: Node) {
    node.put("a", "1").await;
    let reply = node
        .txn(all([op(delete("x")), op(delete_range("y", OPEN))]))
        .await;
    assert_eq!(revision_of(&reply.header), 2);
    assert_eq!(deleted(&reply.responses[0]).deleted, 0);
}

async fn the_branch_not_taken_does_nothing(node: Node) {
    let reply = node
        .txn(txn([value_is("a", "1")], [op(put("a", "x"))], []))
        .await;
    assert!(!reply.succeeded && reply.responses.is_empty());
    assert_eq!(revision_of(&reply.header), 1);
}

async fn there_is_one_reply_for_each_operation(node: Node) {
    node.put("c", "3").await;
    let operations = [
        op(put("a", "1")),
        op(range("a", "z")),
        op(delete("c")),
        op(get("c")),
    ];
    let reply = node.txn(all(operations)).await;
    assert_eq!(reply.responses.len(), 4);
    assert_eq!(putted(&reply.responses[0]).prev_kv, None);
    assert_eq!(keys(&ranged(&reply.responses[1]).kvs), ["a", "c"]);
    assert_eq!(deleted(&reply.responses[2]).deleted, 1);
    assert_eq!(ranged(&reply.responses[3]).count, 0);
}

async fn later_reads_see_earlier_writes(node: Node) {
    node.put("a", "old").await;
    let operations = [
        op(get("a")),
        op(put("a", "new")),
        op(get("a")),
        op(everything()),
    ];
    let reply = node.txn(all(operations)).await;
    assert_eq!(values(&ranged(&reply.responses[0]).kvs), ["old"]);
    let after = &ranged(&reply.responses[2]).kvs[0];
    assert_eq!(
        (&after.value[..], after.mod_revision, after.version),
        (&b"new"[..], 3, 2)
    );
    assert_eq!(ranged(&reply.responses[3]).kvs[0], *after);
}

async fn earlier_reads_do_not_see_later_writes(node: Node) {
    let reply = node.txn(all([op(get("a")), op(put("a", "1"))])).await;
    let before = ranged(&reply.responses[0]);
    assert_eq!((before.count, revision_of(&before.header)), (0, 1));
}

async fn deletes_see_earlier_puts_of_other_keys(node: Node) {
    node.put("b", "1").await;
    let read = RangeRequest {
        count_only: true,
        ..everything()
    };
    let operations = [op(put("a", "1")), op(delete_range("b", OPEN)), op(read)];
    let reply = node.txn(all(operations)).await;
    assert_eq!(deleted(&reply.responses[1]).deleted, 1);
    assert_eq!(ranged(&reply.responses[2]).count, 1);
}

async fn sub_replies_carry_the_revision_only(node: Node) {
    node.put("b", "1").await;
    let reply = node
        .txn(all([op(put("a", "1")), op(delete("b")), op(get("a"))]))
        .await;
    let only = Some(ResponseHeader {
        revision: 3,
        ..Default::default()
    });
    assert_eq!(putted(&reply.responses[0]).header, only);
    assert_eq!(deleted(&reply.responses[1]).header, only);
    assert_eq!(ranged(&reply.responses[2]).header, only);
    let header = reply.header.unwrap();
    assert!(header.cluster_id != 0 && header.revision == 3);
}

async fn a_read_after_a_write_reports_the_new_revision(node: Node) {
    node.put("a", "1").await;
    let reply = node
        .txn(all([op(get("a")), op(put("b", "1")), op(get("a"))]))
        .await;
    assert_eq!(revision_of(&ranged(&reply.responses[0]).header), 2);
    assert_eq!(revision_of(&ranged(&reply.responses[2]).header), 3);
}

async fn a_past_revision_inside_a_txn(node: Node) {
    let first = node.put("a", "1").await;
    node.put("a", "2").await;
    let past = RangeRequest {
        revision: first,
        ..get("a")
    };
    let reply = node.txn(all([op(put("a", "3")), op(past.clone())])).await;
    assert_eq!(values(&ranged(&reply.responses[1]).kvs), ["1"]);
    let reply = node.txn(all([op(past)])).await;
    assert_eq!(values(&ranged(&reply.responses[0]).kvs), ["1"]);
}

async fn prev_kv_inside_a_txn(node: Node) {
    node.put("a", "1").await;
    node.put("b", "2").await;
    let replace = PutRequest {
        prev_kv: true,
        ..put("a", "new")
    };
    let remove = DeleteRangeRequest {
        prev_kv: true,
        ..delete("b")
    };
    let reply = node.txn(all([op(replace), op(remove)])).await;
    assert_eq!(
        putted(&reply.responses[0]).prev_kv.as_ref().unwrap().value,
        "1"
    );
    assert_eq!(values(&deleted(&reply.responses[1]).prev_kvs), ["2"]);
}

async fn puts_under_a_lease(node: Node) {
    node.grant(7, 600).await;
    node.txn(all([
        op(put_leased("a", "1", 7)),
        op(put_leased("b", "1", 7)),
    ]))
    .await;
    let kvs = node.range(everything()).await.kvs;
    assert!(
        kvs.len() == 2 && kvs.iter().all(|kv| kv.lease == 7),
        "{kvs:?}"
    );
}

async fn nested_txns_run_in_their_place(node: Node) {
    let inner = txn([is_absent("b")], [op(put("b", "2")), op(get("a"))], []);
    let outer = all([op(put("a", "1")), op(inner), op(everything())]);
    let reply = node.txn(outer).await;
    let inner = nested(&reply.responses[1]);
    assert!(inner.succeeded);
    assert_eq!(
        values(&ranged(&inner.responses[1]).kvs),
        ["1"],
        "the outer put came before"
    );
    assert_eq!(
        keys(&ranged(&reply.responses[2]).kvs),
        ["a", "b"],
        "the inner put came before"
    );
    assert_eq!(node.revision().await, 2);
}

async fn nested_compares_see_the_state_before_the_txn(node: Node) {
    let inner = txn(
        [is_absent("a")],
        [op(put("b", "absent"))],
        [op(put("b", "present"))],
    );
    node.txn(all([op(put("a", "1")), op(inner)])).await;
    assert_eq!(node.value("b").await.unwrap(), "absent");
}

async fn a_nested_reply_has_an_empty_header(node: Node) {
    let reply = node.txn(all([op(all([op(put("a", "1"))]))])).await;
    let inner = nested(&reply.responses[0]);
    assert_eq!(inner.header, Some(ResponseHeader::default()));
    assert_eq!(revision_of(&putted(&inner.responses[0]).header), 2);
}

async fn a_nested_branch_not_taken_does_nothing(node: Node) {
    let inner = txn([value_is("x", "1")], [op(put("a", "yes"))], [op(get("a"))]);
    let reply = node.txn(all([op(inner)])).await;
    assert!(reply.succeeded && !nested(&reply.responses[0]).succeeded);
    assert_eq!(revision_of(&reply.header), 1);
}

async fn read_only_txns_can_be_serializable(node: Node) {
    node.put("a", "1").await;
    let read = RangeRequest {
        serializable: true,
        ..get("a")
    };
    let reply = node.txn(all([op(read.clone()), op(read)])).await;
    assert_eq!(values(&ranged(&reply.responses[1]).kvs), ["1"]);
}

async fn create_if_absent(node: Node) {
    let create = |value: &'static str| -> (_, Vec<RequestOp>, _) {
        (is_absent("a"), vec![op(put("a", value))], [op(get("a"))])
    };
    let (when, then, otherwise) = create("first");
    assert!(node.txn(txn([when], then, otherwise)).await.succeeded);
    let (when, then, otherwise) = create("second");
    let reply = node.txn(txn([when], then, otherwise)).await;
    assert!(!reply.succeeded);
    assert_eq!(values(&ranged(&reply.responses[0]).kvs), ["first"]);
}

async fn compare_and_swap(node: Node) {
    node.put("a", "1").await;
    let swap = txn([value_is("a", "1")], [op(put("a", "2"))], []);
    assert!(node.txn(swap.clone()).await.succeeded);
    assert!(!node.txn(swap).await.succeeded);
    assert_eq!(node.value("a").await.unwrap(), "2");
}
