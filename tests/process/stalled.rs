//! Clients that do not read their replies: they harm only themselves.

use bytes::Bytes;
use conclave_client::{Client, Keys};
use conclave_proto::etcdserverpb::kv_client::KvClient;
use conclave_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use conclave_proto::etcdserverpb::watch_client::WatchClient;
use conclave_proto::etcdserverpb::watch_request::RequestUnion;
use conclave_proto::etcdserverpb::{RangeRequest, WatchRequest, WatchResponse};
use conclave_proto::v3electionpb::LeaderRequest;
use harness::api::{all, get, op, put, range, watch_range};
use harness::node::connect;
use harness::{Process, http1, raw};
use tokio::sync::mpsc;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

const STREAMS: usize = 20;
const REVISIONS: usize = 60;
const PUTS: usize = 20;
const VALUE_BYTES: usize = 32 << 10;
/// If each stream kept its own events, they would take 770 MB; one shared copy takes 39 MB.
const GROWTH_MAX_KIB: u64 = 400 << 10;

#[test]
fn streams_that_are_never_read_hurt_nobody() {
    harness::run(async {
        let mut process = Process::start(&[]);
        let mut stalled = Vec::new();
        for _ in 0..STREAMS {
            stalled.push(stalled_watch(process.endpoint()).await);
        }
        let client = Client::connect([process.endpoint()]).await.unwrap();
        let mut lively = client.watch(Keys::prefix("k")).open().await.unwrap();
        let before = process.child().memory_kib();
        for _ in 0..REVISIONS {
            let puts = (0..PUTS).map(|index| op(put(format!("k{index}"), vec![7; VALUE_BYTES])));
            let revision = client
                .txn(all(puts))
                .await
                .unwrap()
                .header
                .unwrap()
                .revision;
            let told = harness::within("the event", lively.next())
                .await
                .unwrap()
                .unwrap();
            assert_eq!(told.revision, revision, "others are not held up");
        }
        let growth = process.child().memory_kib().saturating_sub(before);
        assert!(growth < GROWTH_MAX_KIB, "grew by {growth} KiB");
        process.child().terminate();
        let status = process
            .child()
            .wait_at_most(std::time::Duration::from_millis(1_500));
        assert!(
            status.success(),
            "stalled streams do not keep it from stopping"
        );
        drop(stalled);
    });
}

/// A watcher on its own connection that does not consume its events.
async fn stalled_watch(endpoint: &str) -> Streaming<WatchResponse> {
    let create = RequestUnion::CreateRequest(watch_range("k", "l"));
    let requests = tokio_stream::StreamExt::chain(
        tokio_stream::iter([WatchRequest {
            request_union: Some(create),
        }]),
        tokio_stream::pending(),
    );
    let mut responses = WatchClient::new(connect(endpoint))
        .watch(requests)
        .await
        .unwrap()
        .into_inner();
    assert!(responses.message().await.unwrap().unwrap().created);
    responses
}

/// Number of unread replies. Each is too small to be sent in pieces.
const REPLIES: usize = 1_500;
const REPLIES_PER_CONNECTION: usize = 50;
const REPLY_BYTES: usize = 1 << 20;
/// Limit of the member's growth. Waiting replies may hold 128 MiB, replies built as a whole 256
/// MiB, and replies in pieces 100 MiB. Without these limits the replies would hold 1,500 MiB.
const REPLIES_MAX_KIB: u64 = 700 << 10;

#[test]
fn unread_replies_share_a_memory_limit() {
    harness::run(async {
        let mut process = Process::start(&[]);
        let endpoint = process.endpoint().to_owned();
        let client = Client::connect([&endpoint]).await.unwrap();
        client.put("k", vec![7; REPLY_BYTES]).await.unwrap();
        client.put("small", "1").await.unwrap();
        let before = process.child().memory_kib();
        let (begun, mut unread) = mpsc::unbounded_channel();
        for _ in 0..REPLIES / REPLIES_PER_CONNECTION {
            let channel = connection_with_small_windows(&endpoint);
            for n in 0..REPLIES_PER_CONNECTION {
                tokio::spawn(ask(channel.clone(), n, begun.clone()));
            }
            // Answered when the member has begun with the requests before it.
            let mut kv = KvClient::new(channel);
            let found = harness::within("a small reply", kv.range(get("small"))).await;
            assert_eq!(found.unwrap().into_inner().count, 1);
        }
        // The room for waiting replies has space for more than these.
        let mut held = Vec::new();
        while held.len() < 100 {
            held.push(harness::within("a reply", unread.recv()).await.unwrap());
        }
        let growth = process.child().memory_kib().saturating_sub(before);
        assert!(growth < REPLIES_MAX_KIB, "grew by {growth} KiB");
        // When their clients have gone, there is room again.
        drop((held, unread));
        let found = harness::within("a reply", client.get("k")).await.unwrap();
        assert_eq!(found.map(|kv| kv.value.len()), Some(REPLY_BYTES));
    });
}

const STREAM: &str = "/etcdserverpb.KV/RangeStream";
/// Streams whose pieces have one value each.
const VALUE_STREAMS: usize = 300;
/// Pieces of 1 MiB and their frames in 128 MiB.
const PIECES_MAX: f64 = 127.0;

#[test]
fn unread_streams_share_a_memory_limit() {
    harness::run(async {
        let mut process = Process::start(&[]);
        let endpoint = process.endpoint().to_owned();
        let client = Client::connect([&endpoint]).await.unwrap();
        client.put("k", vec![7; REPLY_BYTES]).await.unwrap();
        client.put("small", vec![7; 100 << 10]).await.unwrap();
        let before = process.child().memory_kib();
        let mut unread = Vec::new();
        for _ in 0..VALUE_STREAMS / REPLIES_PER_CONNECTION {
            let channel = connection_with_small_windows(&endpoint);
            for _ in 0..REPLIES_PER_CONNECTION {
                // Some are sorted, and come in one piece.
                let targets = [SortTarget::Key, SortTarget::Mod];
                let request = RangeRequest {
                    sort_target: targets[usize::from(unread.len() < 40)].into(),
                    ..range("k", "l")
                };
                let stream = raw::call_unread(channel.clone(), STREAM, request);
                unread.push(harness::within("a stream", stream).await.unwrap());
            }
        }
        let made = harness::eventually("all pieces for which there is room", async || {
            let made = [pieces_made(&endpoint).await, pieces_made(&endpoint).await];
            (made[0] >= PIECES_MAX && made[0] == made[1]).then_some(made[0])
        })
        .await;
        assert_eq!(made, PIECES_MAX);
        let growth = process.child().memory_kib().saturating_sub(before);
        assert!(growth < 400 << 10, "grew by {growth} KiB");
        // Who waits for room gets it from who goes.
        let waits = raw::call_unread(connect(&endpoint), STREAM, range("small", "smalm"));
        let mut waits = harness::within("a stream", waits).await.unwrap();
        drop(unread);
        let piece = harness::within("a piece", waits.message()).await.unwrap();
        assert!(piece.unwrap().len() > 100 << 10);
    });
}

/// Calls whose replies together exceed what a member keeps for all connections.
const LEADERS: usize = 1_000;

/// A message with one value can neither wait nor be sent in pieces.
#[test]
fn the_connection_that_holds_the_most_is_closed() {
    harness::run(async {
        let mut process = Process::start(&[]);
        let endpoint = process.endpoint().to_owned();
        let client = Client::connect([&endpoint]).await.unwrap();
        client.put("e/leader", vec![7; REPLY_BYTES]).await.unwrap();
        client.put("small", "1").await.unwrap();
        let before = process.child().memory_kib();
        let modest = connection_with_small_windows(&endpoint);
        let mut watch = stalled_watch(&endpoint).await;
        let mut kept = Vec::new();
        let greedy = connection_with_small_windows(&endpoint);
        for channel in std::iter::repeat_n(&modest, 10).chain(std::iter::repeat_n(&greedy, LEADERS))
        {
            let name = LeaderRequest { name: "e".into() };
            let leader = raw::call_unread(channel.clone(), "/v3electionpb.Election/Leader", name);
            // The last ones may find the connection closed.
            if let Ok(reply) = harness::within("the beginning of a reply", leader).await {
                kept.push(reply);
            }
        }
        let growth = process.child().memory_kib().saturating_sub(before);
        assert!(growth < 1_000 << 10, "grew by {growth} KiB");
        let child = process.child();
        harness::eventually("a line in the log", async || {
            child.line("closing the connection that holds the most")
        })
        .await;
        // Other connections are as they were.
        client.put("k", "1").await.unwrap();
        let event = harness::within("an event", watch.message()).await.unwrap();
        assert_eq!(event.unwrap().events.len(), 1);
        let reply = harness::within("a reply", kept[0].message()).await.unwrap();
        assert!(reply.unwrap().len() > REPLY_BYTES);
    });
}

async fn pieces_made(endpoint: &str) -> f64 {
    let address = endpoint.trim_start_matches("http://");
    let metrics = http1::get(address, "/metrics").await;
    let labels = r#"grpc_method="RangeStream",grpc_service="etcdserverpb.KV""#;
    let series = format!(r#"grpc_server_msg_sent_total{{{labels},grpc_type="server_stream"}}"#);
    metrics.metric(&series).unwrap()
}

/// Connects with small flow-control windows, so that the member keeps the replies.
fn connection_with_small_windows(endpoint: &str) -> Channel {
    let endpoint = Endpoint::from_shared(endpoint.to_owned()).unwrap();
    let endpoint = endpoint.initial_stream_window_size(4 << 10);
    endpoint
        .initial_connection_window_size(1 << 20)
        .connect_lazy()
}

/// Requests the large value by a get, a transaction or a sorted range, and passes on the reply
/// once it has begun.
async fn ask(channel: Channel, n: usize, begun: mpsc::UnboundedSender<Streaming<Bytes>>) {
    let reply = match n % 3 {
        0 => raw::call_unread(channel, "/etcdserverpb.KV/Range", get("k")).await,
        1 => raw::call_unread(channel, "/etcdserverpb.KV/Txn", all([op(get("k"))])).await,
        _ => {
            let sorted = RangeRequest {
                sort_order: SortOrder::Descend.into(),
                ..range("k", "l")
            };
            raw::call_unread(channel, "/etcdserverpb.KV/Range", sorted).await
        }
    };
    // Refused or ended at the end of the test.
    if let Ok(reply) = reply {
        let _ = begun.send(reply);
    }
}
