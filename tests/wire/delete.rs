//! Removing keys.

use conclave_proto::ApiError;
use conclave_proto::etcdserverpb::{DeleteRangeRequest, DeleteRangeResponse};
use harness::api::{OPEN, delete, delete_range, everything, keys, revision_of, values};
use harness::{Node, refused};

suite![
    one_key,
    an_interval_is_one_revision,
    an_open_end_removes_the_rest,
    everything_can_go,
    nothing_found_is_no_revision,
    an_end_at_or_below_the_key_removes_nothing,
    prev_kvs_are_what_was_there,
    without_prev_kv_there_are_none,
    an_empty_key_is_refused,
    a_deleted_key_starts_anew,
];

async fn one_key(node: Node) {
    abc(&node).await;
    let reply = remove(&node, delete("b")).await;
    assert_eq!((reply.deleted, revision_of(&reply.header)), (1, 5));
    assert_eq!(keys(&node.range(everything()).await.kvs), ["a", "c"]);
}

async fn an_interval_is_one_revision(node: Node) {
    abc(&node).await;
    let reply = remove(&node, delete_range("a", "c")).await;
    assert_eq!((reply.deleted, revision_of(&reply.header)), (2, 5));
    assert_eq!(node.revision().await, 5);
}

async fn an_open_end_removes_the_rest(node: Node) {
    abc(&node).await;
    assert_eq!(remove(&node, delete_range("b", OPEN)).await.deleted, 2);
    assert_eq!(keys(&node.range(everything()).await.kvs), ["a"]);
}

async fn everything_can_go(node: Node) {
    abc(&node).await;
    assert_eq!(remove(&node, delete_range(OPEN, OPEN)).await.deleted, 3);
    assert_eq!(node.range(everything()).await.count, 0);
}

async fn nothing_found_is_no_revision(node: Node) {
    abc(&node).await;
    let reply = remove(&node, delete("x")).await;
    assert_eq!((reply.deleted, revision_of(&reply.header)), (0, 4));
    remove(&node, delete("a")).await;
    let again = remove(&node, delete("a")).await;
    assert_eq!((again.deleted, revision_of(&again.header)), (0, 5));
}

async fn an_end_at_or_below_the_key_removes_nothing(node: Node) {
    abc(&node).await;
    for (key, end) in [("b", "b"), ("c", "a")] {
        assert_eq!(remove(&node, delete_range(key, end)).await.deleted, 0);
    }
    assert_eq!(node.range(everything()).await.count, 3);
}

async fn prev_kvs_are_what_was_there(node: Node) {
    abc(&node).await;
    node.put("b", "new").await;
    let request = DeleteRangeRequest {
        prev_kv: true,
        ..delete_range("a", "c")
    };
    let reply = remove(&node, request).await;
    assert_eq!(keys(&reply.prev_kvs), ["a", "b"]);
    assert_eq!(values(&reply.prev_kvs), ["1", "new"]);
    assert_eq!(
        (reply.prev_kvs[1].version, reply.prev_kvs[1].mod_revision),
        (2, 5)
    );
}

async fn without_prev_kv_there_are_none(node: Node) {
    abc(&node).await;
    assert!(
        remove(&node, delete_range("a", "c"))
            .await
            .prev_kvs
            .is_empty()
    );
}

async fn an_empty_key_is_refused(node: Node) {
    refused(node.kv().delete_range(delete("")).await, ApiError::EmptyKey);
    refused(
        node.kv().delete_range(delete_range("", OPEN)).await,
        ApiError::EmptyKey,
    );
}

async fn a_deleted_key_starts_anew(node: Node) {
    node.put("a", "1").await;
    node.put("a", "2").await;
    node.delete("a").await;
    node.put("a", "3").await;
    let kv = node.get("a").await.unwrap();
    assert_eq!((kv.version, kv.create_revision), (1, kv.mod_revision));
}

async fn abc(node: &Node) {
    for (key, value) in [("a", "1"), ("b", "2"), ("c", "3")] {
        node.put(key, value).await;
    }
}

async fn remove(node: &Node, request: DeleteRangeRequest) -> DeleteRangeResponse {
    node.kv().delete_range(request).await.unwrap().into_inner()
}
