//! Watchers: creation, refusal and end.

use conclave_proto::errors::cancel_reason;
use conclave_proto::{ApiError, etcdserverpb::WatchCreateRequest};
use harness::api::{OPEN, revision_of, watch, watch_range};
use harness::watching::create_request;
use harness::{Node, Watching};

suite![
    the_acknowledgement_comes_first,
    the_acknowledgement_has_the_current_revision,
    ids_are_given_from_zero,
    a_chosen_id_is_kept,
    a_given_id_skips_chosen_ones,
    a_duplicate_id_is_refused,
    a_freed_id_can_be_chosen_again,
    an_empty_range_is_refused,
    a_negative_start_is_refused => "3.4 treats it as a compacted revision",
    an_empty_key_is_the_first_key,
    a_refusal_leaves_the_stream_open,
    a_compacted_start_is_canceled,
    the_compaction_revision_can_be_the_start,
    cancel_is_acknowledged,
    cancel_stops_the_events,
    cancel_of_an_unknown_id_is_ignored,
    cancel_leaves_other_watchers_alone,
    an_empty_request_is_ignored,
    many_watchers_on_a_stream,
];

async fn the_acknowledgement_comes_first(node: Node) {
    for value in ["1", "2", "3"] {
        node.put("a", value).await;
    }
    let from_the_start = WatchCreateRequest {
        start_revision: 1,
        ..watch("a")
    };
    let mut watching = Watching::on(&node, from_the_start).await;
    assert_eq!(watching.told_at_least(3).await, ["a=1@2", "a=2@3", "a=3@4"]);
}

async fn the_acknowledgement_has_the_current_revision(node: Node) {
    node.put("a", "1").await;
    let mut watching = Watching::on(&node, watch("a")).await;
    node.put("b", "1").await;
    let ack = watching.create(watch("b")).await;
    assert_eq!(revision_of(&ack.header), 3);
    let header = ack.header.unwrap();
    assert!(header.cluster_id != 0 && header.member_id != 0);
}

async fn ids_are_given_from_zero(node: Node) {
    let mut watching = Watching::open(&node, [create_request(watch("a"))]).await;
    assert_eq!(watching.next().await.watch_id, 0);
    assert_eq!(watching.create(watch("a")).await.watch_id, 1);
    assert_eq!(watching.create(watch("b")).await.watch_id, 2);
}

async fn a_chosen_id_is_kept(node: Node) {
    let chosen = WatchCreateRequest {
        watch_id: 77,
        ..watch("a")
    };
    let mut watching = Watching::open(&node, [create_request(chosen)]).await;
    assert_eq!(watching.next().await.watch_id, 77);
    node.put("a", "1").await;
    assert_eq!(watching.next().await.watch_id, 77);
}

async fn a_given_id_skips_chosen_ones(node: Node) {
    let chosen = WatchCreateRequest {
        watch_id: 1,
        ..watch("a")
    };
    let mut watching = Watching::on(&node, chosen).await;
    assert_eq!(watching.create(watch("a")).await.watch_id, 0);
    assert_eq!(watching.create(watch("a")).await.watch_id, 2);
}

async fn a_duplicate_id_is_refused(node: Node) {
    let chosen = || WatchCreateRequest {
        watch_id: 5,
        ..watch("a")
    };
    let mut watching = Watching::on(&node, chosen()).await;
    watching.send(create_request(chosen())).await;
    let refusal = watching.next().await;
    assert_refused(&refusal, cancel_reason::DUPLICATE_ID);
    node.put("a", "1").await;
    assert_eq!(watching.told().await, ["a=1@2"], "the first one goes on");
}

async fn a_freed_id_can_be_chosen_again(node: Node) {
    let chosen = || WatchCreateRequest {
        watch_id: 5,
        ..watch("a")
    };
    let mut watching = Watching::on(&node, chosen()).await;
    watching.cancel(5).await;
    assert!(watching.next().await.canceled);
    assert_eq!(watching.create(chosen()).await.watch_id, 5);
}

async fn an_empty_range_is_refused(node: Node) {
    for (key, end) in [("b", "b"), ("b", "a")] {
        let mut watching = Watching::open(&node, [create_request(watch_range(key, end))]).await;
        assert_refused(&watching.next().await, cancel_reason::RANGE_EMPTY);
    }
}

async fn a_negative_start_is_refused(node: Node) {
    let negative = WatchCreateRequest {
        start_revision: -1,
        ..watch("a")
    };
    let mut watching = Watching::open(&node, [create_request(negative)]).await;
    assert_refused(&watching.next().await, ApiError::Compacted.text());
}

async fn an_empty_key_is_the_first_key(node: Node) {
    let mut watching = Watching::on(&node, watch_range("", OPEN)).await;
    node.put("a", "1").await;
    assert_eq!(watching.told().await, ["a=1@2"]);
    let mut first = Watching::on(&node, watch("")).await;
    node.put("a", "2").await;
    node.put(OPEN, "3").await;
    assert_eq!(first.told().await, ["\0=3@4"]);
}

async fn a_refusal_leaves_the_stream_open(node: Node) {
    let mut watching = Watching::open(&node, [create_request(watch_range("b", "a"))]).await;
    assert!(watching.next().await.canceled);
    watching.create(watch("a")).await;
    node.put("a", "1").await;
    assert_eq!(watching.told().await, ["a=1@2"]);
}

async fn a_compacted_start_is_canceled(node: Node) {
    for value in ["1", "2", "3", "4"] {
        node.put("a", value).await;
    }
    node.compact(4).await;
    let past = WatchCreateRequest {
        start_revision: 3,
        ..watch("a")
    };
    let mut watching = Watching::on(&node, past).await;
    let end = watching.next().await;
    assert!(
        end.canceled && !end.created && end.events.is_empty(),
        "{end:?}"
    );
    assert_eq!((end.compact_revision, revision_of(&end.header)), (4, 0));
    assert_eq!((end.watch_id, end.cancel_reason.as_str()), (0, ""));
    node.put("a", "5").await;
    let ack = watching.create(watch("b")).await;
    assert_eq!(
        revision_of(&ack.header),
        6,
        "no further event of the first watcher"
    );
}

async fn the_compaction_revision_can_be_the_start(node: Node) {
    for value in ["1", "2", "3", "4"] {
        node.put("a", value).await;
    }
    node.compact(4).await;
    let at = WatchCreateRequest {
        start_revision: 4,
        ..watch("a")
    };
    let mut watching = Watching::on(&node, at).await;
    assert_eq!(watching.told_at_least(2).await, ["a=3@4", "a=4@5"]);
}

async fn cancel_is_acknowledged(node: Node) {
    let mut watching = Watching::on(&node, watch("a")).await;
    node.put("b", "1").await;
    watching.cancel(0).await;
    let end = watching.next().await;
    assert!(
        end.canceled && !end.created && end.events.is_empty(),
        "{end:?}"
    );
    assert_eq!((end.watch_id, revision_of(&end.header)), (0, 2));
    assert_eq!((end.compact_revision, end.cancel_reason.as_str()), (0, ""));
}

async fn cancel_stops_the_events(node: Node) {
    let mut watching = Watching::on(&node, watch("a")).await;
    watching.cancel(0).await;
    assert!(watching.next().await.canceled);
    node.put("a", "1").await;
    watching.create(watch("b")).await;
    node.put("b", "1").await;
    assert_eq!(watching.told().await, ["b=1@3"]);
}

async fn cancel_of_an_unknown_id_is_ignored(node: Node) {
    let mut watching = Watching::on(&node, watch("a")).await;
    watching.cancel(99).await;
    watching.cancel(-1).await;
    node.put("a", "1").await;
    assert_eq!(watching.told().await, ["a=1@2"]);
}

async fn cancel_leaves_other_watchers_alone(node: Node) {
    let mut watching = Watching::on(&node, watch("a")).await;
    watching.create(watch("a")).await;
    watching.cancel(0).await;
    assert!(watching.next().await.canceled);
    node.put("a", "1").await;
    let response = watching.next().await;
    assert_eq!((response.watch_id, response.events.len()), (1, 1));
}

async fn an_empty_request_is_ignored(node: Node) {
    let mut watching = Watching::on(&node, watch("a")).await;
    watching.send_empty().await;
    node.put("a", "1").await;
    assert_eq!(watching.told().await, ["a=1@2"]);
}

async fn many_watchers_on_a_stream(node: Node) {
    const WATCHERS: i64 = 500;
    let mut watching = Watching::on(&node, watch("a")).await;
    for id in 1..WATCHERS {
        assert_eq!(watching.create(watch("a")).await.watch_id, id);
    }
    node.put("a", "1").await;
    let mut ids = Vec::new();
    for _ in 0..WATCHERS {
        let response = watching.next().await;
        assert_eq!(response.events.len(), 1);
        ids.push(response.watch_id);
    }
    ids.sort_unstable();
    assert!(ids.into_iter().eq(0..WATCHERS));
}

#[track_caller]
fn assert_refused(response: &conclave_proto::etcdserverpb::WatchResponse, reason: &str) {
    assert!(response.created && response.canceled, "{response:?}");
    assert_eq!(
        (response.watch_id, response.cancel_reason.as_str()),
        (-1, reason)
    );
    assert!(response.events.is_empty());
}
