//! A request is one trace, whichever members work on it, and a snapshot has a span at each step.

use harness::collector::{self, Collector};
use harness::{Cluster, api, within};
use tokio::task::JoinSet;
use tonic::Request;

use crate::{behind, not_on_etcd};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CLIENT: [u8; 8] = [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31];
const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// The client's place in its trace is the parent of what the follower does, and the follower's that
/// of what the leader does.
#[test]
fn a_put_through_a_follower_is_one_trace() {
    harness::run(async {
        let collector = Collector::start().await;
        let address = format!("--distributed-tracing-address={}", collector.address());
        let flags = ["--enable-distributed-tracing", &address];
        let cluster = Cluster::prepare(3, &flags, "traces");
        if not_on_etcd(&cluster, "it has no such flags") {
            return;
        }
        let mut cluster = cluster;
        cluster.start_all().await;
        let leader = cluster.leader().await;
        let follower = cluster.others(leader)[0];
        let mut request = Request::new(api::put("secret-key", "secret-value"));
        let headers = request.metadata_mut();
        headers.insert("traceparent", TRACEPARENT.parse().unwrap());
        headers.insert("tracestate", "vendor=1".parse().unwrap());
        let put = cluster.kv(follower);
        within("the put", async move { put.clone().put(request).await })
            .await
            .unwrap();

        let expected = "etcdserverpb.KV/Put follower\n  \
              propose follower\n    \
                apply follower\n    \
                forward follower\n      \
                  lead leader\n        \
                    append leader\n        \
                    replicate leader\n        \
                    replicate leader\n    \
                reply follower\n";
        let lines = expected.lines().count();
        let spans = collector.trace(TRACE, |spans| spans.len() >= lines).await;
        let label = |name: &str| match name {
            name if name == format!("m{leader}") => "leader".to_owned(),
            name if name == format!("m{follower}") => "follower".to_owned(),
            other => other.to_owned(),
        };
        assert_eq!(collector::tree(&spans, &CLIENT, &label), expected);
        for span in &spans {
            assert_eq!(span.wire.trace_state, "vendor=1", "{span:?}");
            assert!(!format!("{span:?}").contains("secret"), "{span:?}");
            let (begun, ended) = (span.wire.start_time_unix_nano, span.wire.end_time_unix_nano);
            assert!(begun <= ended, "{span:?}");
        }
        let root = spans.iter().find(|span| span.wire.parent_span_id == CLIENT);
        let root = &root.expect("in the tree").attributes;
        assert_eq!(root["rpc.method"], "Put");
        assert_eq!(root["rpc.grpc.status_code"], "0");
        assert_eq!(root["key.bytes"], "10");
    });
}

/// The parent of calls that are not to be traced, whatever is sampled.
const NOT_SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

/// No call has a part in them, so each is a trace of its own.
#[test]
fn a_snapshot_is_traced_where_it_is_made_sent_and_installed() {
    harness::run(async {
        let collector = Collector::start().await;
        let address = format!("--distributed-tracing-address={}", collector.address());
        let tracing = [
            "--enable-distributed-tracing",
            "--distributed-tracing-sampling-rate=1000000",
            &address,
        ];
        let flags = [behind::FLAGS, &tracing].concat();
        let cluster = Cluster::prepare(3, &flags, "traced-snapshot");
        if not_on_etcd(&cluster, "it has no such flags") {
            return;
        }
        let mut cluster = cluster;
        cluster.start_all().await;
        let leader = cluster.leader().await;
        let follower = cluster.others(leader)[0];
        let receiver = cluster.id(leader, follower).await;
        cluster.kill(follower);
        let mut puts = JoinSet::new();
        for client in 0..behind::CLIENTS {
            let mut kv = cluster.kv(leader);
            let count = behind::enough(&cluster) / behind::CLIENTS;
            puts.spawn(async move {
                for _ in 0..=count {
                    let mut request = Request::new(api::put(format!("k/{client}"), "v"));
                    let parent = NOT_SAMPLED.parse().unwrap();
                    request.metadata_mut().insert("traceparent", parent);
                    kv.put(request).await.unwrap();
                }
            });
        }
        within("the puts", puts.join_all()).await;
        cluster.respawn(follower);

        let steps = |spans: &[collector::Span]| {
            let step = |name: &str| spans.iter().find(|span| span.name() == name).cloned();
            Some([
                step("make snapshot")?,
                step("send snapshot")?,
                step("install snapshot")?,
            ])
        };
        let of_snapshots = |span: &collector::Span| span.name().ends_with(" snapshot");
        let spans = collector.spans(of_snapshots, |spans| steps(spans).is_some());
        let [_, sent, installed] = steps(&spans.await).expect("all three");
        assert_eq!(sent.member(), format!("m{leader}"));
        assert_eq!(sent.attributes["member"], format!("{receiver:x}"));
        assert_eq!(installed.member(), format!("m{follower}"));
        assert_eq!(installed.attributes["index"], sent.attributes["index"]);
        assert!(installed.attributes["term"].parse::<u64>().unwrap() > 0);
    });
}
