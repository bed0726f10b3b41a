//! Compaction.

use conclave_proto::ApiError;
use conclave_proto::etcdserverpb::{CompactionRequest, RangeRequest};
use harness::api::{compaction, everything, get, keys, revision_of, values};
use harness::{Node, refused};

suite![
    an_empty_store_can_be_compacted_once,
    the_same_revision_again_is_refused,
    a_lower_revision_is_refused,
    a_future_revision_is_refused,
    a_negative_revision_is_refused,
    the_current_revision_can_be_compacted,
    it_is_no_revision,
    the_latest_versions_stay,
    deleted_keys_are_gone_before_it,
    physical_waits_and_answers_the_same,
    many_versions_are_compacted,
    it_is_kept_in_later_writes,
];

async fn an_empty_store_can_be_compacted_once(node: Node) {
    let reply = node.kv().compact(compaction(1)).await.unwrap().into_inner();
    assert_eq!(revision_of(&reply.header), 1);
    refused(node.kv().compact(compaction(1)).await, ApiError::Compacted);
}

async fn the_same_revision_again_is_refused(node: Node) {
    versions(&node, 5).await;
    node.compact(3).await;
    refused(node.kv().compact(compaction(3)).await, ApiError::Compacted);
}

async fn a_lower_revision_is_refused(node: Node) {
    versions(&node, 5).await;
    node.compact(4).await;
    refused(node.kv().compact(compaction(2)).await, ApiError::Compacted);
    refused(node.kv().compact(compaction(0)).await, ApiError::Compacted);
}

async fn a_future_revision_is_refused(node: Node) {
    versions(&node, 2).await;
    refused(node.kv().compact(compaction(4)).await, ApiError::FutureRev);
    let physical = CompactionRequest {
        revision: i64::MAX,
        physical: true,
    };
    refused(node.kv().compact(physical).await, ApiError::FutureRev);
}

async fn a_negative_revision_is_refused(node: Node) {
    versions(&node, 2).await;
    refused(node.kv().compact(compaction(-1)).await, ApiError::Compacted);
}

async fn the_current_revision_can_be_compacted(node: Node) {
    versions(&node, 5).await;
    node.compact(6).await;
    assert_eq!(node.value("a").await.unwrap(), "5");
    assert_eq!(
        node.range(RangeRequest {
            revision: 6,
            ..get("a")
        })
        .await
        .count,
        1
    );
}

async fn it_is_no_revision(node: Node) {
    versions(&node, 5).await;
    let reply = node.kv().compact(compaction(4)).await.unwrap().into_inner();
    assert_eq!(revision_of(&reply.header), 6);
    assert_eq!(node.revision().await, 6);
}

async fn the_latest_versions_stay(node: Node) {
    versions(&node, 3).await;
    node.put("b", "1").await;
    node.put("a", "last").await;
    node.compact(5).await;
    let at = node
        .range(RangeRequest {
            revision: 5,
            ..everything()
        })
        .await;
    assert_eq!(
        (keys(&at.kvs), values(&at.kvs)),
        (strings(["a", "b"]), strings(["3", "1"]))
    );
    assert_eq!((at.kvs[0].create_revision, at.kvs[0].version), (2, 3));
    assert_eq!(values(&node.range(everything()).await.kvs), ["last", "1"]);
}

async fn deleted_keys_are_gone_before_it(node: Node) {
    versions(&node, 3).await;
    node.delete("a").await;
    node.put("b", "1").await;
    node.compact(6).await;
    let at = node
        .range(RangeRequest {
            revision: 6,
            ..everything()
        })
        .await;
    assert_eq!(keys(&at.kvs), ["b"]);
}

async fn physical_waits_and_answers_the_same(node: Node) {
    versions(&node, 200).await;
    let request = CompactionRequest {
        revision: 150,
        physical: true,
    };
    let reply = node.kv().compact(request).await.unwrap().into_inner();
    assert_eq!(revision_of(&reply.header), 201);
    refused(node.kv().compact(request).await, ApiError::Compacted);
}

async fn many_versions_are_compacted(node: Node) {
    versions(&node, 1_500).await;
    node.compact(1_400).await;
    let past = |revision| RangeRequest {
        revision,
        ..get("a")
    };
    refused(node.kv().range(past(1_399)).await, ApiError::Compacted);
    assert_eq!(values(&node.range(past(1_400)).await.kvs), ["1399"]);
    assert_eq!(values(&node.range(past(1_450)).await.kvs), ["1449"]);
}

async fn it_is_kept_in_later_writes(node: Node) {
    versions(&node, 3).await;
    node.compact(4).await;
    versions(&node, 3).await;
    refused(node.kv().compact(compaction(4)).await, ApiError::Compacted);
    node.compact(5).await;
    let kv = node.get("a").await.unwrap();
    assert_eq!((kv.create_revision, kv.version), (2, 6));
}

/// Sets `a` to 1, 2, 3, ... at revisions 2, 3, 4, ...
async fn versions(node: &Node, count: usize) {
    for value in 1..=count {
        node.put("a", value.to_string()).await;
    }
}

fn strings<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}
