//! Watchers under load: nothing lost, nothing repeated, and no watcher delayed by another.

use conclave_proto::etcdserverpb::WatchCreateRequest;
use conclave_proto::mvccpb::Event;
use harness::api::{all, op, put, watch, watch_range};
use harness::{Node, Watching, within};

suite![
    a_slow_reader_catches_up,
    a_reader_that_never_reads_holds_up_nobody,
    many_streams_see_the_same_order,
    concurrent_writers_are_seen_in_revision_order,
    watchers_opened_amid_writes_miss_nothing,
];

const TXNS: usize = 150;
const PUTS_PER_TXN: usize = 100;

async fn a_slow_reader_catches_up(node: Node) {
    let mut watching = Watching::on(&node, watch_range("k", "l")).await;
    flood(&node).await;
    let mut revision = 1;
    while revision < last_revision() {
        in_order(&watching.next().await.events, &mut revision);
    }
    assert_eq!(revision, last_revision());
    node.put("k", "end").await;
    let told = watching.told().await;
    assert_eq!(told, [format!("k=end@{}", last_revision() + 1)]);
}

async fn a_reader_that_never_reads_holds_up_nobody(node: Node) {
    let stalled = Watching::on(&node, watch_range("k", "l")).await;
    let mut other = Watching::on(&node, watch("other")).await;
    flood(&node).await;
    let mut lively = Watching::on(&node, watch_range("k", "l")).await;
    let revision = node.put("other", "1").await;
    assert_eq!(other.told().await, [format!("other=1@{revision}")]);
    let revision = node.put("k", "1").await;
    assert_eq!(lively.told().await, [format!("k=1@{revision}")]);
    drop(stalled);
}

async fn many_streams_see_the_same_order(node: Node) {
    const STREAMS: usize = 20;
    const PUTS: usize = 100;
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        streams.push(Watching::on(&node, watch_range("a", "c")).await);
    }
    for value in 0..PUTS {
        node.put(if value % 3 == 0 { "a" } else { "b" }, value.to_string())
            .await;
    }
    let first = streams[0].told_at_least(PUTS).await;
    for stream in &mut streams[1..] {
        assert_eq!(stream.told_at_least(PUTS).await, first);
    }
}

async fn concurrent_writers_are_seen_in_revision_order(node: Node) {
    const WRITERS: usize = 8;
    const PUTS: usize = 50;
    let mut watching = Watching::on(&node, watch_range("w", "x")).await;
    let writers = (0..WRITERS).map(|writer| {
        let mut kv = node.kv();
        tokio::spawn(async move {
            for value in 0..PUTS {
                kv.put(put(format!("w{writer}"), value.to_string()))
                    .await
                    .unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let mut revision = 1;
    while revision < 1 + i64::try_from(WRITERS * PUTS).unwrap() {
        for event in watching.next().await.events {
            revision += 1;
            assert_eq!(event.kv.unwrap().mod_revision, revision);
        }
    }
}

async fn watchers_opened_amid_writes_miss_nothing(node: Node) {
    const PUTS: i64 = 400;
    let mut kv = node.kv();
    let writer = tokio::spawn(async move {
        for value in 0..PUTS {
            kv.put(put("a", value.to_string())).await.unwrap();
        }
    });
    for start_revision in [2, 10, 50, 100, 200] {
        let request = WatchCreateRequest {
            start_revision,
            ..watch("a")
        };
        let mut watching = Watching::on(&node, request).await;
        let mut next = start_revision;
        while next <= PUTS {
            for event in watching.next().await.events {
                assert_eq!(event.kv.unwrap().mod_revision, next);
                next += 1;
            }
        }
    }
    within("the writer's end", writer).await.unwrap();
}

/// 150 revisions of 100 keys with 1 KiB each: far more than the buffers between server and reader
/// hold.
async fn flood(node: &Node) {
    for _ in 0..TXNS {
        let puts = (0..PUTS_PER_TXN).map(|index| op(put(format!("k{index:03}"), vec![b'v'; 1024])));
        node.txn(all(puts)).await;
    }
}

fn last_revision() -> i64 {
    1 + i64::try_from(TXNS).expect("small")
}

/// Checks that the events continue at `revision`, complete revisions with their keys in order.
fn in_order(events: &[Event], revision: &mut i64) {
    for (index, event) in events.iter().enumerate() {
        let kv = event.kv.as_ref().unwrap();
        if index % PUTS_PER_TXN == 0 {
            *revision += 1;
        }
        assert_eq!(kv.mod_revision, *revision);
        assert_eq!(kv.key, format!("k{:03}", index % PUTS_PER_TXN));
    }
    assert_eq!(events.len() % PUTS_PER_TXN, 0, "a revision was split");
}
