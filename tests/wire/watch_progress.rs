//! Progress notifications: up to which revision a client has seen all events.

use conclave_proto::etcdserverpb::WatchCreateRequest;
use harness::api::{revision_of, watch, watch_range};
use harness::watching::create_request;
use harness::{Node, Watching};

suite![
    asked_progress_is_for_the_whole_stream,
    asked_progress_follows_the_events,
    asked_progress_waits_for_history => "etcd issue 15220, fixed in 3.4.31",
    asked_progress_without_watchers_is_not_answered => "3.4.23 answers",
    asked_progress_after_cancel_is_not_answered => "3.4.23 answers",
    progress_each_interval ["--watch-progress-notify-interval=100ms"],
    progress_only_where_asked_for ["--watch-progress-notify-interval=100ms"],
    progress_has_the_current_revision ["--watch-progress-notify-interval=100ms"],
];

async fn asked_progress_is_for_the_whole_stream(node: Node) {
    node.put("x", "1").await;
    let mut watching = Watching::on(&node, watch("a")).await;
    watching.create(watch("b")).await;
    watching.ask_progress().await;
    let progress = watching.next().await;
    assert_eq!((progress.watch_id, revision_of(&progress.header)), (-1, 2));
    assert!(progress.events.is_empty() && !progress.created && !progress.canceled);
}

/// Every event after a progress notification has a later revision.
async fn asked_progress_follows_the_events(node: Node) {
    let mut watching = Watching::on(&node, watch("a")).await;
    for round in 0..50 {
        node.put("a", round.to_string()).await;
        watching.ask_progress().await;
    }
    let (mut told, mut progress) = (1, 0);
    while told < 51 || progress < 51 {
        let response = watching.next().await;
        if response.watch_id == -1 {
            progress = revision_of(&response.header);
            assert!(
                told >= progress,
                "progress {progress} overtook event {}",
                told + 1
            );
        }
        for event in &response.events {
            told = event.kv.as_ref().unwrap().mod_revision;
            assert!(
                told > progress,
                "event {told} came after progress {progress}"
            );
        }
    }
}

async fn asked_progress_waits_for_history(node: Node) {
    for value in 0..500 {
        node.put("a", value.to_string()).await;
    }
    let past = WatchCreateRequest {
        start_revision: 2,
        ..watch("a")
    };
    let mut watching = Watching::on(&node, past).await;
    watching.ask_progress().await;
    let mut last = 1;
    while last < 501 {
        let response = watching.next().await;
        if response.watch_id == -1 {
            assert!(
                last >= revision_of(&response.header),
                "progress overtook history"
            );
        }
        if let Some(event) = response.events.last() {
            last = event.kv.as_ref().unwrap().mod_revision;
        }
    }
}

async fn asked_progress_without_watchers_is_not_answered(node: Node) {
    let mut watching = Watching::open(&node, [create_request(watch_range("b", "a"))]).await;
    assert!(watching.next().await.canceled);
    watching.ask_progress().await;
    watching.create(watch("a")).await;
}

async fn asked_progress_after_cancel_is_not_answered(node: Node) {
    let mut watching = Watching::on(&node, watch("a")).await;
    watching.cancel(0).await;
    assert!(watching.next().await.canceled);
    watching.ask_progress().await;
    watching.create(watch("b")).await;
}

async fn progress_each_interval(node: Node) {
    let request = WatchCreateRequest {
        progress_notify: true,
        ..watch("a")
    };
    let mut watching = Watching::on(&node, request).await;
    for _ in 0..3 {
        let progress = watching.next().await;
        assert_eq!((progress.watch_id, progress.events.len()), (0, 0));
        assert_eq!(revision_of(&progress.header), 1);
    }
}

async fn progress_only_where_asked_for(node: Node) {
    let mut watching = Watching::on(&node, watch("a")).await;
    let request = WatchCreateRequest {
        progress_notify: true,
        ..watch("b")
    };
    watching.create(request).await;
    for _ in 0..3 {
        assert_eq!(watching.next().await.watch_id, 1);
    }
}

async fn progress_has_the_current_revision(node: Node) {
    let request = WatchCreateRequest {
        progress_notify: true,
        ..watch("a")
    };
    let mut watching = Watching::on(&node, request).await;
    node.put("b", "1").await;
    node.put("b", "2").await;
    harness::within("progress at the new revision", async {
        while revision_of(&watching.next().await.header) < 3 {}
    })
    .await;
}
