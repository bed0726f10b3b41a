//! Limits on what one user and one address may use.
//!
//! Clients at other addresses connect from other addresses of the loopback network.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use conclave_proto::ApiError;
use conclave_proto::etcdserverpb as pb;
use harness::api::{get, put, range, watch};
use harness::login::{Administrator, PASSWORD, log_in, with_token};
use harness::watching::create_request;
use harness::{Node, Watching, fails, http1, refused, within};
use pb::kv_client::KvClient;
use pb::lease_client::LeaseClient;
use pb::watch_client::WatchClient;
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use tonic::transport::Channel;
use tonic::{Code, Status};

suite![
    requests_of_an_address_are_limited
        ["--max-requests-per-second-per-address=5"] => "etcd has none",
    requests_of_a_user_are_limited
        ["--max-requests-per-second-per-user=20", "--bcrypt-cost=4"] => "etcd has none",
    bytes_of_an_address_are_limited
        ["--max-bytes-per-second-per-address=20000"] => "etcd has none",
    streams_of_an_address_are_limited ["--max-streams-per-address=2"] => "etcd has none",
    watches_of_an_address_are_limited ["--max-watches-per-address=3"] => "etcd has none",
    watches_of_a_user_are_limited
        ["--max-watches-per-user=2", "--bcrypt-cost=4"] => "etcd has none",
    leases_are_kept_and_revoked_beyond_the_limits [
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

async fn leases_are_kept_and_revoked_beyond_the_limits(node: Node) {
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
    for _ in 0..20 {
        let revoked = node
            .leases()
            .lease_revoke(pb::LeaseRevokeRequest { id: 8 })
            .await;
        refused(revoked, ApiError::LeaseNotFound);
    }
    let revoke = pb::LeaseRevokeRequest { id: 7 };
    node.leases().lease_revoke(revoke).await.unwrap();
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
