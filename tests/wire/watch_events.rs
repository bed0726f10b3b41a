//! The events of a watcher, and their grouping into responses.

use conclave_proto::etcdserverpb::WatchCreateRequest;
use conclave_proto::etcdserverpb::watch_create_request::FilterType;
use conclave_proto::mvccpb::event::EventType;
use harness::api::{
    OPEN, all, delete, delete_range, op, put, put_leased, revision_of, watch, watch_range,
};
use harness::{Node, Watching};

suite![
    puts_and_deletes_are_told,
    an_event_has_the_whole_key,
    a_delete_has_key_and_revision_only,
    other_keys_are_not_told,
    an_interval_excludes_its_end,
    an_open_end_reaches_the_last_key,
    a_revision_is_told_as_a_whole,
    events_of_a_revision_are_in_the_order_of_the_txn,
    a_deleted_range_is_told_as_a_whole,
    only_matching_events_of_a_revision_are_told,
    a_delete_that_finds_nothing_is_not_told,
    a_put_of_the_same_value_is_told,
    previous_values_are_told_if_asked,
    previous_values_are_not_told_unasked,
    a_created_key_has_no_previous_value,
    a_previous_value_is_the_one_before_the_txn,
    noput_drops_puts,
    nodelete_drops_deletes,
    both_filters_drop_all,
    several_watchers_of_a_key_are_all_told,
    a_revoked_lease_is_told_as_one_revision,
    the_header_is_at_or_after_the_last_event,
    streams_are_independent,
    large_revisions_are_fragmented_if_asked,
    large_revisions_are_whole_unasked,
];

async fn puts_and_deletes_are_told(node: Node) {
    let mut watching = Watching::on(&node, watch("a")).await;
    node.put("a", "1").await;
    node.put("a", "2").await;
    node.delete("a").await;
    assert_eq!(watching.told_at_least(3).await, ["a=1@2", "a=2@3", "-a@4"]);
}

async fn an_event_has_the_whole_key(node: Node) {
    node.grant(7, 600).await;
    let mut watching = Watching::on(&node, watch("a")).await;
    node.put("a", "1").await;
    node.put_with(put_leased("a", "2", 7)).await;
    watching.told().await;
    let event = watching.next().await.events.remove(0);
    assert_eq!(event.r#type(), EventType::Put);
    assert_eq!(event.kv, node.get("a").await);
    assert_eq!(event.prev_kv, None);
}

async fn a_delete_has_key_and_revision_only(node: Node) {
    node.grant(7, 600).await;
    node.put_with(put_leased("a", "1", 7)).await;
    let mut watching = Watching::on(&node, watch("a")).await;
    node.delete("a").await;
    let event = watching.next().await.events.remove(0);
    let kv = event.kv.as_ref().unwrap();
    assert_eq!((event.r#type(), kv.mod_revision), (EventType::Delete, 3));
    assert_eq!((kv.create_revision, kv.version, kv.lease), (0, 0, 0));
    assert!(kv.value.is_empty());
}

async fn other_keys_are_not_told(node: Node) {
    let mut watching = Watching::on(&node, watch("b")).await;
    for key in ["a", "b\0", "bb", "c", "b"] {
        node.put(key, "1").await;
    }
    assert_eq!(watching.told().await, ["b=1@6"]);
}

async fn an_interval_excludes_its_end(node: Node) {
    let mut watching = Watching::on(&node, watch_range("b", "d")).await;
    for key in ["a", "b", "cz", "d", "c"] {
        node.put(key, "1").await;
    }
    assert_eq!(
        watching.told_at_least(3).await,
        ["b=1@3", "cz=1@4", "c=1@6"]
    );
}

async fn an_open_end_reaches_the_last_key(node: Node) {
    let mut watching = Watching::on(&node, watch_range("b", OPEN)).await;
    node.put("a", "1").await;
    node.put("b", "1").await;
    node.put("~~~", "1").await;
    assert_eq!(watching.told_at_least(2).await, ["b=1@3", "~~~=1@4"]);
}

async fn a_revision_is_told_as_a_whole(node: Node) {
    let mut watching = Watching::on(&node, watch_range("a", "z")).await;
    let puts: Vec<_> = (0..100)
        .map(|index| op(put(format!("k{index:03}"), "1")))
        .collect();
    node.txn(all(puts)).await;
    assert_eq!(watching.told().await.len(), 100);
}

async fn events_of_a_revision_are_in_the_order_of_the_txn(node: Node) {
    node.put("m", "1").await;
    let mut watching = Watching::on(&node, watch_range("a", OPEN)).await;
    node.txn(all([op(put("z", "1")), op(delete("m")), op(put("b", "1"))]))
        .await;
    assert_eq!(watching.told().await, ["z=1@3", "-m@3", "b=1@3"]);
}

async fn a_deleted_range_is_told_as_a_whole(node: Node) {
    for key in ["a", "b", "c"] {
        node.put(key, "1").await;
    }
    let mut watching = Watching::on(&node, watch_range("a", OPEN)).await;
    node.kv()
        .delete_range(delete_range("a", "c"))
        .await
        .unwrap();
    assert_eq!(watching.told().await, ["-a@5", "-b@5"]);
}

async fn only_matching_events_of_a_revision_are_told(node: Node) {
    let mut watching = Watching::on(&node, watch_range("b", "c")).await;
    let puts = ["a", "b", "bb", "c"].map(|key| op(put(key, "1")));
    node.txn(all(puts)).await;
    assert_eq!(watching.told().await, ["b=1@2", "bb=1@2"]);
}

async fn a_delete_that_finds_nothing_is_not_told(node: Node) {
    let mut watching = Watching::on(&node, watch("a")).await;
    node.delete("a").await;
    node.put("a", "1").await;
    assert_eq!(watching.told().await, ["a=1@2"]);
}

async fn a_put_of_the_same_value_is_told(node: Node) {
    let mut watching = Watching::on(&node, watch("a")).await;
    node.put("a", "1").await;
    node.put("a", "1").await;
    assert_eq!(watching.told_at_least(2).await, ["a=1@2", "a=1@3"]);
}

async fn previous_values_are_told_if_asked(node: Node) {
    node.put("a", "1").await;
    let request = WatchCreateRequest {
        prev_kv: true,
        ..watch("a")
    };
    let mut watching = Watching::on(&node, request).await;
    let before = node.get("a").await;
    node.put("a", "2").await;
    assert_eq!(watching.next().await.events[0].prev_kv, before);
    let before = node.get("a").await;
    node.delete("a").await;
    assert_eq!(watching.next().await.events[0].prev_kv, before);
}

async fn previous_values_are_not_told_unasked(node: Node) {
    node.put("a", "1").await;
    let mut watching = Watching::on(&node, watch("a")).await;
    let asking = WatchCreateRequest {
        prev_kv: true,
        ..watch("a")
    };
    watching.create(asking).await;
    node.put("a", "2").await;
    for _ in 0..2 {
        let response = watching.next().await;
        assert_eq!(response.events[0].prev_kv.is_some(), response.watch_id == 1);
    }
}

async fn a_created_key_has_no_previous_value(node: Node) {
    let request = WatchCreateRequest {
        prev_kv: true,
        ..watch("a")
    };
    let mut watching = Watching::on(&node, request).await;
    node.put("a", "1").await;
    assert_eq!(watching.next().await.events[0].prev_kv, None);
    node.delete("a").await;
    watching.told().await;
    node.put("a", "2").await;
    assert_eq!(
        watching.next().await.events[0].prev_kv,
        None,
        "the key was deleted before"
    );
}

async fn a_previous_value_is_the_one_before_the_txn(node: Node) {
    node.put("a", "1").await;
    node.put("b", "2").await;
    let request = WatchCreateRequest {
        prev_kv: true,
        ..watch_range("a", "z")
    };
    let mut watching = Watching::on(&node, request).await;
    node.txn(all([op(put("b", "3")), op(put("c", "4")), op(delete("a"))]))
        .await;
    let events = watching.next().await.events;
    let previous: Vec<_> = events
        .iter()
        .map(|event| event.prev_kv.as_ref().map(|kv| kv.mod_revision))
        .collect();
    assert_eq!(previous, [Some(3), None, Some(2)]);
}

async fn noput_drops_puts(node: Node) {
    let filters = vec![FilterType::Noput as i32];
    let mut watching = Watching::on(
        &node,
        WatchCreateRequest {
            filters,
            ..watch("a")
        },
    )
    .await;
    node.put("a", "1").await;
    node.delete("a").await;
    assert_eq!(watching.told().await, ["-a@3"]);
}

async fn nodelete_drops_deletes(node: Node) {
    let filters = vec![FilterType::Nodelete as i32];
    let request = WatchCreateRequest {
        filters,
        ..watch_range("a", "c")
    };
    let mut watching = Watching::on(&node, request).await;
    node.put("a", "1").await;
    node.txn(all([op(delete("a")), op(put("b", "1"))])).await;
    assert_eq!(watching.told_at_least(2).await, ["a=1@2", "b=1@3"]);
}

async fn both_filters_drop_all(node: Node) {
    let filters = vec![FilterType::Nodelete as i32, FilterType::Noput as i32];
    let request = WatchCreateRequest {
        filters,
        start_revision: 1,
        ..watch("a")
    };
    let mut watching = Watching::on(&node, request).await;
    node.put("a", "1").await;
    node.delete("a").await;
    watching.create(watch("b")).await;
    node.put("b", "1").await;
    assert_eq!(watching.told().await, ["b=1@4"]);
}

async fn several_watchers_of_a_key_are_all_told(node: Node) {
    let mut watching = Watching::on(&node, watch("a")).await;
    watching.create(watch_range("a", "b")).await;
    watching.create(watch_range("a", OPEN)).await;
    node.put("a", "1").await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let response = watching.next().await;
        assert_eq!(harness::api::told(&response.events), ["a=1@2"]);
        ids.push(response.watch_id);
    }
    ids.sort_unstable();
    assert_eq!(ids, [0, 1, 2]);
}

async fn a_revoked_lease_is_told_as_one_revision(node: Node) {
    node.grant(7, 600).await;
    for key in ["c", "a", "b"] {
        node.put_with(put_leased(key, "1", 7)).await;
    }
    let mut watching = Watching::on(&node, watch_range("a", "z")).await;
    let request = conclave_proto::etcdserverpb::LeaseRevokeRequest { id: 7 };
    node.leases().lease_revoke(request).await.unwrap();
    assert_eq!(watching.told().await, ["-a@5", "-b@5", "-c@5"]);
}

async fn the_header_is_at_or_after_the_last_event(node: Node) {
    let mut watching = Watching::on(&node, watch("a")).await;
    for value in 0..20 {
        node.put("a", value.to_string()).await;
    }
    let mut seen = 0;
    while seen < 20 {
        let response = watching.next().await;
        seen += response.events.len();
        let last = response
            .events
            .last()
            .unwrap()
            .kv
            .as_ref()
            .unwrap()
            .mod_revision;
        assert!(revision_of(&response.header) >= last);
    }
}

async fn streams_are_independent(node: Node) {
    let mut one = Watching::on(&node, watch("a")).await;
    let mut two = Watching::on(&node, watch("a")).await;
    node.put("a", "1").await;
    assert_eq!(one.told().await, ["a=1@2"]);
    drop(one);
    node.put("a", "2").await;
    assert_eq!(two.told_at_least(2).await, ["a=1@2", "a=2@3"]);
}

async fn large_revisions_are_fragmented_if_asked(node: Node) {
    large_keys(&node).await;
    let request = WatchCreateRequest {
        prev_kv: true,
        fragment: true,
        ..watch_range("k", "l")
    };
    let mut watching = Watching::on(&node, request).await;
    node.kv()
        .delete_range(delete_range("k", "l"))
        .await
        .unwrap();
    let mut pieces = vec![watching.next().await];
    while pieces.last().unwrap().fragment {
        pieces.push(watching.next().await);
    }
    assert!(pieces.len() > 1, "4.5 MB are more than one message");
    assert!(pieces.iter().all(|piece| !piece.events.is_empty()));
    let told: Vec<_> = pieces
        .iter()
        .flat_map(|piece| harness::api::told(&piece.events))
        .collect();
    assert_eq!(told, ["-k0@7", "-k1@7", "-k2@7", "-k3@7", "-k4@7"]);
}

async fn large_revisions_are_whole_unasked(node: Node) {
    large_keys(&node).await;
    let request = WatchCreateRequest {
        prev_kv: true,
        ..watch_range("k", "l")
    };
    let mut watching = Watching::on(&node, request).await;
    node.kv()
        .delete_range(delete_range("k", "l"))
        .await
        .unwrap();
    let response = watching.next().await;
    assert!(!response.fragment);
    assert_eq!(response.events.len(), 5);
}

/// Five keys of 900 kB, so that one event batch of their deletions with previous values exceeds the
/// size of a message.
async fn large_keys(node: &Node) {
    for index in 0..5 {
        node.put(format!("k{index}"), vec![b'x'; 900_000]).await;
    }
}
