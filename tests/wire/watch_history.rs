//! Watchers that start in the past or in the future.

use conclave_proto::etcdserverpb::WatchCreateRequest;
use harness::api::{OPEN, all, delete, op, put, watch, watch_range};
use harness::{Node, Watching};

suite![
    history_comes_first_then_what_happens,
    history_is_whole_at_each_revision,
    history_respects_filters_and_range,
    history_has_previous_values,
    a_compacted_previous_value_is_absent,
    a_start_in_the_future_waits,
    a_start_at_the_next_revision_is_now,
    a_future_start_is_not_told_of_what_came_before,
    compaction_does_not_end_a_current_watcher,
    compaction_does_not_end_a_watcher_of_the_future,
    a_delete_at_the_compaction_revision_is_told => "etcd issue 18089, fixed after 3.4",
    many_past_revisions_are_told_once_in_order,
    what_was_missed_comes_together,
    fragments_of_what_was_missed_belong_together,
    two_starts_meet_at_the_end,
];

async fn history_comes_first_then_what_happens(node: Node) {
    node.put("a", "1").await;
    node.delete("a").await;
    let mut watching = Watching::on(&node, from(1, watch("a"))).await;
    node.put("a", "2").await;
    assert_eq!(watching.told_at_least(3).await, ["a=1@2", "-a@3", "a=2@4"]);
}

async fn history_is_whole_at_each_revision(node: Node) {
    node.txn(all([op(put("b", "1")), op(put("a", "1"))])).await;
    node.txn(all([op(put("c", "1")), op(delete("a"))])).await;
    let mut watching = Watching::on(&node, from(2, watch_range("a", OPEN))).await;
    assert_eq!(
        watching.told_at_least(4).await,
        ["b=1@2", "a=1@2", "c=1@3", "-a@3"]
    );
}

async fn history_respects_filters_and_range(node: Node) {
    for key in ["a", "b", "c", "d"] {
        node.put(key, "1").await;
    }
    node.delete("b").await;
    let request = WatchCreateRequest {
        filters: vec![0],
        ..watch_range("b", "d")
    };
    let mut watching = Watching::on(&node, from(1, request)).await;
    assert_eq!(watching.told().await, ["-b@6"], "puts are filtered out");
    let mut watching = Watching::on(&node, from(4, watch_range("b", "d"))).await;
    assert_eq!(watching.told_at_least(2).await, ["c=1@4", "-b@6"]);
}

async fn history_has_previous_values(node: Node) {
    node.put("a", "1").await;
    node.put("a", "2").await;
    node.delete("a").await;
    let request = WatchCreateRequest {
        prev_kv: true,
        ..watch("a")
    };
    let mut watching = Watching::on(&node, from(1, request)).await;
    assert_eq!(previous(&mut watching, 3).await, [None, Some(2), Some(3)]);
}

/// Also while the server still has the value in memory.
async fn a_compacted_previous_value_is_absent(node: Node) {
    for value in ["1", "2", "3", "4"] {
        node.put("a", value).await;
    }
    node.compact(4).await;
    let request = WatchCreateRequest {
        prev_kv: true,
        ..watch("a")
    };
    let mut watching = Watching::on(&node, from(4, request)).await;
    let told = previous(&mut watching, 2).await;
    assert_eq!(told, [None, Some(4)]);
}

async fn a_start_in_the_future_waits(node: Node) {
    let mut watching = Watching::on(&node, from(5, watch("a"))).await;
    for value in ["1", "2", "3", "4", "5"] {
        node.put("a", value).await;
    }
    assert_eq!(watching.told_at_least(2).await, ["a=4@5", "a=5@6"]);
}

async fn a_start_at_the_next_revision_is_now(node: Node) {
    node.put("a", "1").await;
    let mut watching = Watching::on(&node, from(3, watch("a"))).await;
    node.put("a", "2").await;
    assert_eq!(watching.told().await, ["a=2@3"]);
}

async fn a_future_start_is_not_told_of_what_came_before(node: Node) {
    node.put("a", "old").await;
    let mut watching = Watching::on(&node, from(4, watch_range("a", OPEN))).await;
    watching.create(watch_range("a", OPEN)).await;
    node.put("a", "1").await;
    node.put("a", "2").await;
    let mut by_watcher = [Vec::new(), Vec::new()];
    while by_watcher[0].is_empty() || by_watcher[1].len() < 2 {
        let response = watching.next().await;
        let watcher = usize::try_from(response.watch_id).unwrap();
        by_watcher[watcher].extend(harness::api::told(&response.events));
    }
    assert_eq!(by_watcher[0], ["a=2@4"]);
    assert_eq!(by_watcher[1], ["a=1@3", "a=2@4"]);
}

async fn compaction_does_not_end_a_current_watcher(node: Node) {
    let mut watching = Watching::on(&node, watch("a")).await;
    for value in ["1", "2", "3"] {
        node.put("a", value).await;
    }
    assert_eq!(watching.told_at_least(3).await.len(), 3);
    node.compact(4).await;
    node.put("a", "4").await;
    assert_eq!(watching.told().await, ["a=4@5"]);
}

async fn compaction_does_not_end_a_watcher_of_the_future(node: Node) {
    let mut watching = Watching::on(&node, from(7, watch("a"))).await;
    for value in ["1", "2", "3"] {
        node.put("a", value).await;
    }
    node.compact(4).await;
    for value in ["4", "5", "6"] {
        node.put("a", value).await;
    }
    assert_eq!(watching.told().await, ["a=6@7"]);
}

async fn a_delete_at_the_compaction_revision_is_told(node: Node) {
    node.put("a", "1").await;
    node.delete("a").await;
    node.put("b", "1").await;
    node.compact(3).await;
    let mut watching = Watching::on(&node, from(3, watch_range("a", OPEN))).await;
    assert_eq!(watching.told_at_least(2).await, ["-a@3", "b=1@4"]);
}

async fn many_past_revisions_are_told_once_in_order(node: Node) {
    const REVISIONS: i64 = 2_500;
    for value in 0..REVISIONS {
        node.put("a", value.to_string()).await;
    }
    let mut watching = Watching::on(&node, from(2, watch("a"))).await;
    let told = watching
        .told_at_least(usize::try_from(REVISIONS).unwrap())
        .await;
    let expected: Vec<_> = (0..REVISIONS)
        .map(|value| format!("a={value}@{}", value + 2))
        .collect();
    assert!(told == expected, "{:?} .. {:?}", told.first(), told.last());
}

/// Past events come with up to a thousand revisions in one response; new events come one by one.
async fn what_was_missed_comes_together(node: Node) {
    for value in 0..1_100 {
        node.put("a", value.to_string()).await;
    }
    let mut near = Watching::on(&node, from(1_002, watch("a"))).await;
    assert_eq!(near.next().await.events.len(), 100);
    let mut far = Watching::on(&node, from(2, watch("a"))).await;
    let first = far.next().await;
    assert_eq!(first.events.len(), 1_000);
    assert_eq!(first.header.unwrap().revision, 1_101);
    assert_eq!(far.next().await.events.len(), 100);
    for value in ["1", "2"] {
        node.put("a", value).await;
        assert_eq!(near.next().await.events.len(), 1);
        assert_eq!(far.next().await.events.len(), 1);
    }
}

/// A client that joins fragments gets one response of 5 MiB.
async fn fragments_of_what_was_missed_belong_together(node: Node) {
    for value in 0..10_u8 {
        node.put("a", vec![value; 512 << 10]).await;
    }
    let request = WatchCreateRequest {
        fragment: true,
        ..watch("a")
    };
    let mut watching = Watching::on(&node, from(2, request)).await;
    let mut pieces = vec![watching.next().await];
    while pieces.last().unwrap().fragment {
        pieces.push(watching.next().await);
    }
    assert!(pieces.len() > 1);
    let events = pieces.iter().flat_map(|piece| &piece.events);
    let revisions: Vec<_> = events
        .map(|event| event.kv.as_ref().unwrap().mod_revision)
        .collect();
    assert_eq!(revisions, (2..12).collect::<Vec<_>>());
}

async fn two_starts_meet_at_the_end(node: Node) {
    for value in ["1", "2", "3"] {
        node.put("a", value).await;
    }
    let mut early = Watching::on(&node, from(2, watch("a"))).await;
    let mut late = Watching::on(&node, from(4, watch("a"))).await;
    node.put("a", "4").await;
    assert_eq!(late.told_at_least(2).await, ["a=3@4", "a=4@5"]);
    assert_eq!(
        early.told_at_least(4).await,
        ["a=1@2", "a=2@3", "a=3@4", "a=4@5"]
    );
}

fn from(start_revision: i64, request: WatchCreateRequest) -> WatchCreateRequest {
    WatchCreateRequest {
        start_revision,
        ..request
    }
}

/// The revisions of the previous values of `count` events.
async fn previous(watching: &mut Watching, count: usize) -> Vec<Option<i64>> {
    let mut found = Vec::new();
    while found.len() < count {
        for event in watching.next().await.events {
            found.push(event.prev_kv.map(|kv| kv.mod_revision));
        }
    }
    found
}
