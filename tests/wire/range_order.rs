//! Reads sorted by something else than the key.

use conclave_proto::ApiError;
use conclave_proto::etcdserverpb::RangeRequest;
use conclave_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use harness::api::{everything, keys};
use harness::{Node, refused};

suite![
    by_key_both_ways,
    by_version_both_ways,
    by_create_revision_both_ways,
    by_mod_revision_both_ways,
    by_value_as_bytes,
    a_target_without_an_order_means_ascending,
    a_limit_applies_after_the_order,
    an_order_holds_at_a_past_revision,
    an_unknown_order_is_refused => "3.4 treats it as no order",
    an_unknown_target_is_refused => "3.4 panics",
    keys_only_can_be_ordered_by_value,
];

async fn by_key_both_ways(node: Node) {
    shuffled(&node).await;
    assert_eq!(
        ordered(&node, SortTarget::Key, SortOrder::Ascend).await,
        ["a", "b", "c"]
    );
    assert_eq!(
        ordered(&node, SortTarget::Key, SortOrder::Descend).await,
        ["c", "b", "a"]
    );
}

async fn by_version_both_ways(node: Node) {
    shuffled(&node).await;
    assert_eq!(
        ordered(&node, SortTarget::Version, SortOrder::Ascend).await,
        ["a", "b", "c"]
    );
    assert_eq!(
        ordered(&node, SortTarget::Version, SortOrder::Descend).await,
        ["c", "b", "a"]
    );
}

async fn by_create_revision_both_ways(node: Node) {
    shuffled(&node).await;
    assert_eq!(
        ordered(&node, SortTarget::Create, SortOrder::Ascend).await,
        ["c", "a", "b"]
    );
    assert_eq!(
        ordered(&node, SortTarget::Create, SortOrder::Descend).await,
        ["b", "a", "c"]
    );
}

async fn by_mod_revision_both_ways(node: Node) {
    shuffled(&node).await;
    assert_eq!(
        ordered(&node, SortTarget::Mod, SortOrder::Ascend).await,
        ["a", "c", "b"]
    );
    assert_eq!(
        ordered(&node, SortTarget::Mod, SortOrder::Descend).await,
        ["b", "c", "a"]
    );
}

async fn by_value_as_bytes(node: Node) {
    for (key, value) in [("a", &[0xff][..]), ("b", b""), ("c", b"10"), ("d", b"9")] {
        node.put(key, value).await;
    }
    assert_eq!(
        ordered(&node, SortTarget::Value, SortOrder::Ascend).await,
        ["b", "c", "d", "a"]
    );
    assert_eq!(
        ordered(&node, SortTarget::Value, SortOrder::Descend).await,
        ["a", "d", "c", "b"]
    );
}

async fn a_target_without_an_order_means_ascending(node: Node) {
    shuffled(&node).await;
    assert_eq!(
        ordered(&node, SortTarget::Create, SortOrder::None).await,
        ["c", "a", "b"]
    );
    assert_eq!(
        ordered(&node, SortTarget::Key, SortOrder::None).await,
        ["a", "b", "c"]
    );
}

async fn a_limit_applies_after_the_order(node: Node) {
    shuffled(&node).await;
    let request = RangeRequest {
        limit: 1,
        ..order(SortTarget::Mod, SortOrder::Descend)
    };
    let reply = node.range(request).await;
    assert_eq!(
        (keys(&reply.kvs), reply.more, reply.count),
        (vec!["b".to_owned()], true, 3)
    );
}

async fn an_order_holds_at_a_past_revision(node: Node) {
    shuffled(&node).await;
    let request = RangeRequest {
        revision: 4,
        ..order(SortTarget::Create, SortOrder::Descend)
    };
    assert_eq!(keys(&node.range(request).await.kvs), ["b", "a", "c"]);
}

async fn an_unknown_order_is_refused(node: Node) {
    let request = RangeRequest {
        sort_order: 3,
        ..everything()
    };
    refused(node.kv().range(request).await, ApiError::InvalidSortOption);
    let request = RangeRequest {
        sort_order: -1,
        ..everything()
    };
    refused(node.kv().range(request).await, ApiError::InvalidSortOption);
}

async fn an_unknown_target_is_refused(node: Node) {
    let request = RangeRequest {
        sort_target: 5,
        ..everything()
    };
    refused(node.kv().range(request).await, ApiError::InvalidSortOption);
}

async fn keys_only_can_be_ordered_by_value(node: Node) {
    node.put("a", "2").await;
    node.put("b", "1").await;
    let request = RangeRequest {
        keys_only: true,
        ..order(SortTarget::Value, SortOrder::Ascend)
    };
    let reply = node.range(request).await;
    assert_eq!(keys(&reply.kvs), ["b", "a"]);
    assert!(reply.kvs.iter().all(|kv| kv.value.is_empty()));
}

/// Three keys: created in the order c, a, b; last changed in the order a, c, b; versions 1, 2, 3.
async fn shuffled(node: &Node) {
    for key in ["c", "a", "b", "c", "c", "b"] {
        node.put(key, "x").await;
    }
}

async fn ordered(node: &Node, target: SortTarget, by: SortOrder) -> Vec<String> {
    keys(&node.range(order(target, by)).await.kvs)
}

fn order(target: SortTarget, by: SortOrder) -> RangeRequest {
    RangeRequest {
        sort_target: target as i32,
        sort_order: by as i32,
        ..everything()
    }
}
