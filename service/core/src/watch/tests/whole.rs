//! The complete code: a state machine in memory, the hub in its task, streams as the gRPC service
//! runs them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use conclave_proto::ApiError;
use conclave_proto::command::{Batch, Command, Header, Member, command::Body};
use conclave_proto::etcdserverpb::watch_request::RequestUnion;
use conclave_proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, PutRequest, ResponseHeader, WatchCreateRequest,
    WatchProgressRequest, WatchRequest, WatchResponse,
};
use conclave_storage::auth::{Auth, AuthMark};
use conclave_storage::engine::memory::MemoryEngine;
use conclave_storage::machine::{GENESIS, Genesis, Limits, Machine, PAYLOAD_VERSION};
use conclave_storage::reader::Reader;
use conclave_storage::{ClusterId, Index, KeyRange, Revision};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::clock::SystemClock;
use crate::long_reads::LongReads;
use crate::observe::Unobserved;
use crate::seed::sequence;
use crate::watch::{self, End, Publisher, Responses, Settings, Viewer, WatchError, Watches};
use crate::workers::Threads;

/// A member's state and its watches.
struct Store {
    machine: Machine,
    reader: Reader,
    publisher: Publisher,
    watches: Watches,
    index: Index,
}

impl Store {
    fn new(settings: Settings) -> Store {
        let engine = Arc::new(MemoryEngine::new());
        let (mut machine, reader) = Machine::open(engine, Limits::default()).expect("memory");
        let members = vec![Member {
            id: 1,
            ..Member::default()
        }];
        machine
            .bootstrap(&Genesis {
                cluster_id: ClusterId(7),
                members,
            })
            .expect("memory");
        let (publisher, watches, hub) = watch::new(
            reader.clone(),
            LongReads::new(
                reader.clone(),
                (Arc::new(Threads), Arc::new(Unobserved)),
                CancellationToken::new(),
            ),
            (Arc::new(SystemClock::new()), sequence()),
            settings,
        );
        tokio::spawn(hub.run());
        Store {
            machine,
            reader,
            publisher,
            watches,
            index: GENESIS.0,
        }
    }

    fn apply(&mut self, body: Body) -> Revision {
        self.index = self.index.next();
        let command = Command {
            header: Some(Header::default()),
            body: Some(body),
        };
        let batch = Batch {
            version: PAYLOAD_VERSION,
            commands: vec![command],
        };
        let payload = Bytes::from(batch.encode_to_vec());
        let outcomes = self.machine.apply(self.index, GENESIS.1, &payload);
        let outcomes = outcomes.expect("memory");
        outcomes
            .into_iter()
            .for_each(|outcome| drop(outcome.outcome.expect("allowed")));
        let effects = self.machine.commit().expect("memory");
        self.publisher
            .publish(&effects.changes, self.reader.applied());
        self.reader.applied().revision
    }

    fn put(&mut self, key: &str, value: &str) -> Revision {
        let (key, value) = (Bytes::from(key.to_owned()), Bytes::from(value.to_owned()));
        self.apply(Body::Put(PutRequest {
            key,
            value,
            ..PutRequest::default()
        }))
    }

    fn delete(&mut self, key: &str) -> Revision {
        let key = Bytes::from(key.to_owned());
        self.apply(Body::DeleteRange(DeleteRangeRequest {
            key,
            ..DeleteRangeRequest::default()
        }))
    }

    fn compact(&mut self, revision: Revision) {
        self.apply(Body::Compaction(CompactionRequest {
            revision: revision.0,
            physical: false,
        }));
        while self.machine.compact_step().expect("memory") {}
    }
}

struct Client {
    requests: mpsc::Sender<Result<WatchRequest, Infallible>>,
    responses: Responses<Infallible>,
}

/// A client that may watch everything.
struct Anybody;

impl Viewer for Anybody {
    fn header(&self) -> ResponseHeader {
        ResponseHeader {
            cluster_id: 7,
            member_id: 1,
            raft_term: 3,
            revision: 0,
        }
    }

    fn mark(&self) -> AuthMark {
        Auth::default().mark()
    }

    async fn permit(&self, _: &KeyRange) -> Result<(), ApiError> {
        Ok(())
    }

    fn add_watcher(&self) -> Result<(), String> {
        Ok(())
    }

    fn keep_watchers(&self, _: usize) {}

    fn permit_still(&self, _: &KeyRange) -> Result<(), ApiError> {
        Ok(())
    }
}

impl Client {
    fn new(watches: &Watches) -> Client {
        let (requests, received) = mpsc::channel(10_000);
        let responses = watch::serve(watches.clone(), ReceiverStream::new(received), Anybody);
        Client {
            requests,
            responses,
        }
    }

    fn send(&self, request: RequestUnion) {
        let request = WatchRequest {
            request_union: Some(request),
        };
        self.requests
            .try_send(Ok(request))
            .expect("the test sends less than fits");
    }

    fn create(&self, key: &'static str, range_end: &'static str, start_revision: i64) {
        self.send(RequestUnion::CreateRequest(WatchCreateRequest {
            key: key.into(),
            range_end: range_end.into(),
            start_revision,
            ..WatchCreateRequest::default()
        }));
    }

    async fn next(&mut self) -> WatchResponse {
        self.try_next().await.expect("the stream goes on")
    }

    async fn try_next(&mut self) -> Result<WatchResponse, End<Infallible>> {
        let next = tokio::time::timeout(Duration::from_secs(30), self.responses.next());
        let encoded = next
            .await
            .expect("something comes")
            .expect("the stream says why it ends")?;
        let mut bytes = Vec::new();
        encoded.encode(&mut bytes);
        Ok(WatchResponse::decode(&bytes[..]).expect("what was encoded can be decoded"))
    }
}

fn settings() -> Settings {
    Settings::new(1 << 20, Duration::from_secs(600))
}

/// Revisions of a response's events.
fn revisions(response: &WatchResponse) -> Vec<i64> {
    let kvs = response.events.iter().filter_map(|event| event.kv.as_ref());
    kvs.map(|kv| kv.mod_revision).collect()
}

#[tokio::test]
async fn a_live_watcher_sees_a_write() {
    let mut store = Store::new(settings());
    let mut client = Client::new(&store.watches);
    client.create("a", "", 0);
    let ack = client.next().await;
    let header = ResponseHeader {
        cluster_id: 7,
        member_id: 1,
        raft_term: 3,
        revision: 1,
    };
    assert!(ack.created && !ack.canceled && ack.header == Some(header));
    store.put("b", "1");
    let at = store.put("a", "2");
    let response = client.next().await;
    assert_eq!(revisions(&response), [at.0]);
    assert_eq!(response.events[0].kv.as_ref().expect("a key").value, "2");
    let stats = store.watches.stats();
    assert_eq!(
        (stats.streams(), stats.watchers(), stats.events()),
        (1, 1, 1)
    );
    drop(client);
    assert_eq!(
        (stats.streams(), stats.watchers(), stats.slow_watchers()),
        (0, 0, 0)
    );
}

#[tokio::test]
async fn a_thousand_watchers_on_one_stream_see_one_write_each() {
    let mut store = Store::new(settings());
    let mut client = Client::new(&store.watches);
    for _ in 0..1000 {
        client.create("a", "b", 0);
    }
    for id in 0..1000 {
        assert_eq!(client.next().await.watch_id, id);
    }
    client.send(RequestUnion::ProgressRequest(WatchProgressRequest {}));
    assert_eq!(client.next().await.watch_id, -1);
    let at = store.put("abc", "1");
    let mut ids = Vec::new();
    for _ in 0..1000 {
        let response = client.next().await;
        assert_eq!(revisions(&response), [at.0]);
        ids.push(response.watch_id);
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..1000).collect::<Vec<_>>());
}

/// History is read from disk, recent events from the ring, the rest comes live: one series without
/// gaps.
#[tokio::test]
async fn a_watcher_from_the_past_catches_up_and_goes_live() {
    let settings = Settings {
        ring_bytes_max: 2_000,
        step_bytes_max: 500,
        ..settings()
    };
    let mut store = Store::new(settings);
    for _ in 0..100 {
        store.put("a", "value");
    }
    let mut client = Client::new(&store.watches);
    client.create("a", "", 5);
    assert!(client.next().await.created);
    let mut seen = Vec::new();
    while seen.len() < 97 {
        seen.extend(revisions(&client.next().await));
        if seen.len() < 50 {
            store.put("other", "value");
        }
    }
    let at = store.put("a", "value");
    seen.extend(revisions(&client.next().await));
    let mut expected: Vec<i64> = (5..=101).collect();
    expected.push(at.0);
    assert_eq!(seen, expected);
}

/// A client that stops reading falls behind at a bounded cost; other clients are not affected; and
/// when it reads again, it misses nothing.
#[tokio::test]
async fn a_stream_that_does_not_read_holds_up_nobody() {
    let settings = Settings {
        ring_bytes_max: 20_000,
        queue_messages_max: 4,
        queue_bytes_max: 2_000,
        ..settings()
    };
    let mut store = Store::new(settings);
    let mut slow = Client::new(&store.watches);
    let mut quick = Client::new(&store.watches);
    for client in [&mut slow, &mut quick] {
        client.create("a", "b", 0);
        assert!(client.next().await.created);
        client.send(RequestUnion::ProgressRequest(WatchProgressRequest {}));
        assert_eq!(client.next().await.watch_id, -1);
    }
    for round in 0..1000 {
        let at = store.put("a", &format!("{round:0100}"));
        assert_eq!(revisions(&quick.next().await), [at.0]);
    }
    let mut seen = Vec::new();
    while seen.len() < 1000 {
        seen.extend(revisions(&slow.next().await));
    }
    assert_eq!(seen, (2..=1001).collect::<Vec<_>>());
    let at = store.delete("a");
    for client in [&mut slow, &mut quick] {
        assert_eq!(revisions(&client.next().await), [at.0]);
    }
    assert_eq!(store.watches.stats().slow_watchers(), 0);
}

#[tokio::test]
async fn what_is_compacted_ends_a_watcher() {
    let mut store = Store::new(Settings {
        ring_bytes_max: 100,
        ..settings()
    });
    for _ in 0..10 {
        store.put("a", "1");
    }
    store.compact(Revision(6));
    let mut client = Client::new(&store.watches);
    client.create("a", "", 5);
    assert!(client.next().await.created);
    let end = client.next().await;
    assert!(end.canceled && end.compact_revision == 6 && end.cancel_reason.is_empty());
    assert_eq!(end.header.expect("there is one").revision, 0);
    // The compact revision itself can be read.
    client.create("a", "", 6);
    assert!(client.next().await.created);
    assert_eq!(revisions(&client.next().await), [6, 7, 8, 9, 10, 11]);
}

/// Previous values are the same from the ring and from disk.
#[tokio::test]
async fn a_compacted_previous_value_is_absent() {
    for ring_bytes_max in [100, 100_000] {
        let mut store = Store::new(Settings {
            ring_bytes_max,
            ..settings()
        });
        for value in ["1", "2", "3", "4"] {
            store.put("a", value);
        }
        store.put("b", "1");
        store.compact(Revision(4));
        let mut client = Client::new(&store.watches);
        client.send(RequestUnion::CreateRequest(WatchCreateRequest {
            key: "a".into(),
            start_revision: 4,
            prev_kv: true,
            ..WatchCreateRequest::default()
        }));
        assert!(client.next().await.created);
        let events = client.next().await.events;
        let previous = events.iter().map(|event| event.prev_kv.as_ref());
        let previous: Vec<_> = previous.map(|kv| kv.map(|kv| kv.mod_revision)).collect();
        assert_eq!(previous, [None, Some(4)], "a ring of {ring_bytes_max}");
    }
}

#[tokio::test]
async fn quiet_watchers_are_told_progress() {
    let settings = Settings {
        progress_interval: Duration::from_millis(20),
        ..settings()
    };
    let mut store = Store::new(settings);
    let mut client = Client::new(&store.watches);
    client.send(RequestUnion::CreateRequest(WatchCreateRequest {
        key: "a".into(),
        progress_notify: true,
        ..WatchCreateRequest::default()
    }));
    assert!(client.next().await.created);
    let at = store.put("b", "1");
    loop {
        let progress = client.next().await;
        assert!(progress.events.is_empty() && progress.watch_id == 0);
        if progress.header.expect("there is one").revision == at.0 {
            return;
        }
    }
}

#[tokio::test]
async fn streams_end_with_the_publisher() {
    let store = Store::new(settings());
    let mut client = Client::new(&store.watches);
    client.create("a", "", 0);
    assert!(client.next().await.created);
    drop(store.publisher);
    let end = client.try_next().await.expect_err("it ends");
    assert!(matches!(end, End::Stopped), "{end:?}");
}

#[tokio::test]
async fn a_subscription_follows_a_key() {
    let settings = Settings {
        ring_bytes_max: 500,
        queue_messages_max: 2,
        queue_bytes_max: 300,
        step_bytes_max: 200,
        ..settings()
    };
    let mut store = Store::new(settings);
    store.put("a", "1");
    store.put("b", "1");
    let range = KeyRange::One("a".into());
    let mut subscription = store
        .watches
        .subscribe(range.clone(), Revision(2))
        .await
        .expect("open");
    let mut seen = Vec::new();
    let mut expected = vec![2];
    for round in 0..200 {
        if round % 3 == 0 {
            expected.push(store.put("a", "value").0);
        } else {
            store.put("b", "value");
        }
        // Polled once and dropped, at any point of its work.
        if round % 5 == 0 {
            let once = tokio::time::timeout(Duration::ZERO, subscription.next());
            if let Ok(found) = once.await {
                seen.extend(found.expect("it goes on").iter().map(|c| c.revision.0));
            }
        }
        if round % 7 == 0 {
            tokio::task::yield_now().await;
        }
    }
    while seen.len() < expected.len() {
        let found = subscription.next().await.expect("it goes on");
        seen.extend(found.iter().map(|changes| changes.revision.0));
    }
    assert_eq!(seen, expected);

    store.compact(Revision(100));
    let mut late = store
        .watches
        .subscribe(range, Revision(50))
        .await
        .expect("open");
    assert_eq!(
        late.next().await.err(),
        Some(WatchError::Compacted(Revision(100)))
    );
    drop(store.publisher);
    assert_eq!(subscription.next().await.err(), Some(WatchError::Closed));
}
