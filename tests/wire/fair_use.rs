//! Limits on what one user and one address may use.
//!
//! Clients at other addresses connect from other addresses of the loopback network.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use conclave_proto::ApiError;
use conclave_proto::etcdserverpb as pb;
use conclave_proto::v3electionpb::CampaignRequest;
use conclave_proto::v3lockpb::{LockRequest, UnlockRequest};
use harness::api::{get, put, range, watch};
use harness::login::{Administrator, PASSWORD, log_in, with_token};
use harness::watching::create_request;
use harness::{Node, Watching, fails, http1, refused, within};
use pb::kv_client::KvClient;
use pb::lease_client::LeaseClient;
use pb::watch_client::WatchClient;
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use tonic::transport::Channel;
use tonic::{Code, Status};

suite![
    requests_of_an_address_are_limited
        ["--max-requests-per-second-per-address=5"] => "etcd has none",
    a_refused_client_keeps_its_connection
        ["--max-requests-per-second-per-address=5"] => "etcd has none",
    requests_of_a_user_are_limited
        ["--max-requests-per-second-per-user=20", "--bcrypt-cost=4"] => "etcd has none",
    bytes_of_an_address_are_limited
        ["--max-bytes-per-second-per-address=20000"] => "etcd has none",
    events_are_slowed_down_and_refuse_no_calls
        ["--max-bytes-per-second-per-address=20000"] => "etcd has none",
    bytes_of_a_streams_requests_are_slowed_down
        ["--max-bytes-per-second-per-address=20000"] => "etcd has none",
    messages_of_a_watch_stream_are_slowed_down
        ["--max-requests-per-second-per-address=5"] => "etcd has none",
    streams_of_an_address_are_limited ["--max-streams-per-address=2"] => "etcd has none",
    waits_for_locks_and_elections_count_as_streams
        ["--max-streams-per-address=2"] => "etcd has none",
    watches_of_an_address_are_limited ["--max-watches-per-address=3"] => "etcd has none",
    watches_of_a_user_are_limited
        ["--max-watches-per-user=2", "--bcrypt-cost=4"] => "etcd has none",
    leases_are_kept_and_locks_released_beyond_the_limits [
        "--max-requests-per-second-per-address=1",
        "--max-streams-per-address=1"
    ] => "etcd has none",
    a_greedy_client_takes_nothing_from_a_modest_one [
        "--max-requests-per-second-per-address=200",
        "--max-streams-per-address=100"
    ] => "etcd has none",
];

/// The address of a client that does not come from the address of all others.
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Puts until one is refused. Returns its status.
async fn exhaust(channel: &Channel, token: &str) -> Status {
    let mut calls = JoinSet::new();
    for _ in 0..100 {
        let mut kv = KvClient::new(channel.clone());
        let request = with_token(token, put("a", "1"));
        calls.spawn(async move { kv.put(request).await.map(drop) });
    }
    let answers = within("answers", calls.join_all()).await;
    let refused = answers.into_iter().find_map(Result::err);
    refused.expect("more than the limit")
}

async fn refusals(node: &Node, flag: &str) -> f64 {
    let answer = http1::get(node.address(), "/metrics").await;
    let series = format!(r#"conclave_refused_by_limit_total{{limit="{flag}"}}"#);
    answer.metric(&series).unwrap()
}

async fn requests_of_an_address_are_limited(node: Node) {
    let flag = "max-requests-per-second-per-address";
    assert_eq!(refusals(&node, flag).await, 0.0);
    let status = exhaust(&node.channel(), "").await;
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(
        status.message(),
        "conclave: the address 127.0.0.1 may make 5 requests per second \
         (--max-requests-per-second-per-address)"
    );
    assert!(refusals(&node, flag).await > 0.0);
    // Another address is not affected.
    let mut kv = KvClient::new(node.channel_from(ELSEWHERE));
    for _ in 0..3 {
        kv.put(put("b", "1")).await.unwrap();
    }
    // Nor is this one for long.
    harness::eventually("the limit to be over", || async {
        node.kv().put(put("a", "1")).await.ok()
    })
    .await;
}

async fn requests_of_a_user_are_limited(node: Node) {
    let mut root = Administrator::new(node.channel());
    root.add_user("alice", &["root"]).await;
    root.enable().await;
    let token = log_in(node.channel(), "alice", PASSWORD).await.unwrap();
    let status = exhaust(&node.channel(), &token).await;
    assert_eq!(status.code(), Code::ResourceExhausted);
    let text = "the user \"alice\" may make 20 requests per second";
    assert!(status.message().contains(text), "{status:?}");
    // At any address, but no other user.
    exhaust(&node.channel_from(ELSEWHERE), &token).await;
    let as_root = node.kv().range(with_token(root.token(), get("a"))).await;
    as_root.unwrap();
    // The handler refuses a caller who is nobody.
    let nobody = node.kv().range(with_token("x.1", get("a"))).await;
    refused(nobody, ApiError::InvalidAuthToken);
}

async fn bytes_of_an_address_are_limited(node: Node) {
    let mut elsewhere = KvClient::new(node.channel_from(ELSEWHERE));
    // Five seconds' worth.
    let large = put("a", "x".repeat(100_000));
    elsewhere.put(large).await.unwrap();
    let text = "the address 127.0.0.2 may move 20000 bytes per second \
                (--max-bytes-per-second-per-address)";
    fails(
        elsewhere.range(get("b")).await,
        Code::ResourceExhausted,
        text,
    );
    // Replies count as well.
    node.kv().range(get("a")).await.unwrap();
    fails(
        node.kv().range(get("b")).await,
        Code::ResourceExhausted,
        "127.0.0.1",
    );
}

async fn events_are_slowed_down_and_refuse_no_calls(node: Node) {
    let mut watching = Watching::on(&node, watch("a")).await;
    for _ in 0..3 {
        watching.create(watch("a")).await;
    }
    let begun = Instant::now();
    let mut elsewhere = KvClient::new(node.channel_from(ELSEWHERE));
    elsewhere.put(put("a", "x".repeat(15_000))).await.unwrap();
    // Three seconds' worth, of which one comes at once.
    for events in 0..4 {
        let response = watching.next().await;
        assert_eq!(response.events.len(), 1, "{events}");
        node.put("b", "1").await;
    }
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(1_500), "{took:?}");
}

async fn bytes_of_a_streams_requests_are_slowed_down(node: Node) {
    let begun = Instant::now();
    let creates = [(); 4].map(|()| create_request(watch("k".repeat(15_000))));
    let mut watching = Watching::open(&node, creates).await;
    for _ in 0..4 {
        assert!(watching.next().await.created);
    }
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(1_500), "{took:?}");
}

async fn messages_of_a_watch_stream_are_slowed_down(node: Node) {
    let begun = Instant::now();
    let creates = [(); 16].map(|()| create_request(watch("a")));
    let mut watching = Watching::open(&node, creates).await;
    for _ in 0..16 {
        let response = watching.next().await;
        assert!(response.created && !response.canceled, "{response:?}");
    }
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(2), "{took:?}");
    let revision = node.put("a", "1").await;
    assert_eq!(watching.told().await, [format!("a=1@{revision}")]);
}

async fn waits_for_locks_and_elections_count_as_streams(node: Node) {
    for id in 1..=4 {
        node.grant(id, 600).await;
    }
    let lock = |lease| {
        let mut locks = node.locks();
        let name = "l".into();
        async move { locks.lock(LockRequest { name, lease }).await }
    };
    let first = lock(1).await.unwrap().into_inner();
    let mut waiting = JoinSet::new();
    for lease in [2, 3] {
        waiting.spawn(lock(lease));
        let key = format!("l/{lease}");
        harness::eventually("a waiter", || node.get(key.clone())).await;
    }
    let text = "the address 127.0.0.1 may have 2 open streams (--max-streams-per-address)";
    fails(lock(4).await, Code::ResourceExhausted, text);
    let campaign = CampaignRequest {
        name: "e".into(),
        lease: 4,
        value: "v".into(),
    };
    let refused = node.elections().campaign(campaign.clone()).await;
    fails(refused, Code::ResourceExhausted, text);
    let key = first.key;
    node.locks().unlock(UnlockRequest { key }).await.unwrap();
    let won = within("the lock", waiting.join_next()).await;
    won.unwrap().unwrap().unwrap();
    harness::eventually("a place", || async {
        node.elections().campaign(campaign.clone()).await.ok()
    })
    .await;
}

async fn streams_of_an_address_are_limited(node: Node) {
    let first = Watching::on(&node, watch("a")).await;
    let mut second = Watching::on(&node, watch("a")).await;
    let third = node.kv().range_stream(range("a", "b")).await;
    let text = "the address 127.0.0.1 may have 2 open streams (--max-streams-per-address)";
    fails(third, Code::ResourceExhausted, text);
    node.put("a", "1").await;
    second.told().await;
    drop(first);
    harness::eventually("a place", || async {
        node.kv().range_stream(range("a", "b")).await.ok()
    })
    .await;
}

async fn watches_of_an_address_are_limited(node: Node) {
    let mut one = Watching::on(&node, watch("a")).await;
    one.create(watch("b")).await;
    let mut other = Watching::on(&node, watch("a")).await;
    other.send(create_request(watch("b"))).await;
    let response = other.next().await;
    assert!(response.created && response.canceled, "{response:?}");
    assert_eq!(
        response.cancel_reason,
        "rpc error: code = ResourceExhausted desc = conclave: the address 127.0.0.1 may have 3 \
         watches (--max-watches-per-address)"
    );
    assert_eq!(refusals(&node, "max-watches-per-address").await, 1.0);
    // The stream goes on, and a watcher that is cancelled makes room.
    let revision = node.put("a", "1").await;
    assert_eq!(other.told().await, [format!("a=1@{revision}")]);
    assert_eq!(one.told().await, [format!("a=1@{revision}")]);
    one.cancel(1).await;
    assert!(one.next().await.canceled);
    other.create(watch("b")).await;
    // So does a stream that ends.
    drop(other);
    let again = async {
        loop {
            one.send(create_request(watch("c"))).await;
            if !one.next().await.canceled {
                break;
            }
        }
    };
    within("two places", again).await;
}

async fn watches_of_a_user_are_limited(node: Node) {
    let mut root = Administrator::new(node.channel());
    root.enable().await;
    let watches = [(); 3].map(|()| create_request(watch("a")));
    let mut watching = Watching::open_as(&node, root.token(), watches).await;
    for is_refused in [false, false, true] {
        let response = watching.next().await;
        assert_eq!(response.canceled, is_refused, "{response:?}");
    }
}

async fn leases_are_kept_and_locks_released_beyond_the_limits(node: Node) {
    node.grant(7, 600).await;
    let _stream = harness::eventually("a stream", || async {
        let requests = tokio_stream::pending::<pb::WatchRequest>();
        node.watches().watch(requests).await.ok()
    })
    .await;
    exhaust(&node.channel(), "").await;
    for _ in 0..5 {
        let requests = [(); 20].map(|()| pb::LeaseKeepAliveRequest { id: 7 });
        let mut leases = LeaseClient::new(node.channel());
        let renewed = leases.lease_keep_alive(tokio_stream::iter(requests)).await;
        let mut renewed = renewed.unwrap().into_inner();
        for _ in 0..20 {
            let renewed = within("a renewal", renewed.message()).await;
            assert_eq!(renewed.unwrap().unwrap().ttl, 600);
        }
    }
    // Revocations have a limit of their own.
    let mut revoking = JoinSet::new();
    for _ in 0..20 {
        let mut leases = node.leases();
        revoking.spawn(async move { leases.lease_revoke(pb::LeaseRevokeRequest { id: 8 }).await });
    }
    let revoked = within("answers", revoking.join_all()).await;
    let revoked = revoked.into_iter().filter_map(Result::err);
    let (refused, missing): (Vec<_>, Vec<_>) =
        revoked.partition(|status| status.code() == Code::ResourceExhausted);
    assert!(!missing.is_empty());
    let text = "the address 127.0.0.1 may make 1 releases per second";
    assert!(refused[0].message().contains(text), "{refused:?}");
    harness::eventually("a revocation", || async {
        let revoke = pb::LeaseRevokeRequest { id: 7 };
        node.leases().lease_revoke(revoke).await.ok()
    })
    .await;
}

/// Puts, and returns the median and the longest time that one took.
async fn time_puts(node: &Node) -> [Duration; 2] {
    let mut took = Vec::new();
    for _ in 0..50 {
        let begun = Instant::now();
        node.put("t", "1").await;
        took.push(begun.elapsed());
    }
    took.sort();
    [took[took.len() / 2], took[took.len() - 1]]
}

/// A client with 1,000 streams and as many calls as it can make, and one that makes few.
async fn a_greedy_client_takes_nothing_from_a_modest_one(node: Node) {
    const STREAMS: usize = 1_000;
    let alone = time_puts(&node).await;
    let greedy: Vec<_> = (0..4).map(|_| node.channel_from(ELSEWHERE)).collect();
    let mut opening = JoinSet::new();
    for n in 0..STREAMS {
        let channel = greedy[n % greedy.len()].clone();
        opening.spawn(async move {
            let create = pb::WatchRequest {
                request_union: Some(create_request(watch("m"))),
            };
            let requests = tokio_stream::iter([create]).chain(tokio_stream::pending());
            WatchClient::new(channel).watch(requests).await
        });
    }
    let opened = within("the streams", opening.join_all()).await;
    let (open, refused): (Vec<_>, Vec<_>) = opened.into_iter().partition(Result::is_ok);
    assert!(open.len() <= 100, "{} streams", open.len());
    for status in refused.into_iter().filter_map(Result::err) {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    }
    let mut flood = JoinSet::new();
    for n in 0..STREAMS {
        let channel = greedy[n % greedy.len()].clone();
        flood.spawn(async move {
            let mut kv = KvClient::new(channel);
            loop {
                // Whether it is refused does not matter to the greedy one.
                let _ = kv.put(put("g", "x".repeat(1_000))).await;
            }
        });
    }
    let mut watching = Watching::on(&node, watch("m")).await;
    for value in 0..25 {
        let value = value.to_string();
        let revision = node.put("m", value.clone()).await;
        assert_eq!(node.value("m").await.as_deref(), Some(&*value));
        assert_eq!(watching.told().await, [format!("m={value}@{revision}")]);
    }
    let beside = time_puts(&node).await;
    // For people. Both clients and their 1,000 tasks share this process, so most of the difference
    // is the clients' own.
    eprintln!("puts, median and worst: {alone:?} alone, {beside:?} beside a greedy client");
    assert!(refusals(&node, "max-requests-per-second-per-address").await > 0.0);
    flood.shutdown().await;
    drop(open);
}

/// One end of a connection of HTTP/2 whose frames are written by hand, because a library sends no
/// message to a stream that has been answered.
struct Frames(TcpStream);

impl Frames {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const PING: u8 = 6;
    const GOAWAY: u8 = 7;
    const END_STREAM: u8 = 1;
    const END_HEADERS: u8 = 4;

    async fn open(node: &Node) -> Frames {
        let mut stream = TcpStream::connect(node.address()).await.unwrap();
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        stream.write_all(preface).await.unwrap();
        Frames(stream)
    }

    async fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut frame = Vec::from(&(payload.len() as u32).to_be_bytes()[1..]);
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.0.write_all(&frame).await.unwrap();
    }

    /// The headers of a put, in HPACK, without names and values that both ends would remember.
    fn headers_of_a_put() -> Vec<u8> {
        // :method POST, :scheme http, then literals by the index of their name or with the name.
        let mut headers = vec![0x83, 0x86];
        for (index, value) in [(4, "/etcdserverpb.KV/Put"), (1, "localhost")] {
            headers.extend([index, value.len() as u8]);
            headers.extend(value.as_bytes());
        }
        for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")] {
            headers.push(0);
            for text in [name, value] {
                headers.push(text.len() as u8);
                headers.extend(text.as_bytes());
            }
        }
        headers
    }

    /// Waits until the server has read all that was sent before.
    async fn ping(&mut self) {
        self.write(Frames::PING, 0, 0, &[0; 8]).await;
        loop {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.expect("it is open");
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            self.0.read_exact(&mut payload).await.expect("it is open");
            match head[3] {
                Frames::PING => return,
                Frames::GOAWAY => panic!("closed: {}", payload.escape_ascii()),
                _ => {}
            }
        }
    }
}

/// A client's messages can come after the refusals of their calls. That is no reason to close the
/// connection, on which its leases are kept alive.
async fn a_refused_client_keeps_its_connection(node: Node) {
    let mut frames = Frames::open(&node).await;
    let headers = Frames::headers_of_a_put();
    let message = put("a", "1").encode_to_vec();
    let mut data = vec![0];
    data.extend((message.len() as u32).to_be_bytes());
    data.extend(message);
    let flag = "max-requests-per-second-per-address";
    for batch in 0..30 {
        let streams = (0..100).map(|n| 2 * (100 * batch + n) + 1);
        for stream in streams.clone() {
            let flags = Frames::END_HEADERS;
            frames.write(Frames::HEADERS, flags, stream, &headers).await;
        }
        frames.ping().await;
        for stream in streams {
            let flags = Frames::END_STREAM;
            frames.write(Frames::DATA, flags, stream, &data).await;
        }
        frames.ping().await;
    }
    assert!(refusals(&node, flag).await > 2_000.0);
}
