//! Traces and metrics for a collector of OpenTelemetry, and a collector that is away.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use conclave_proto::etcdserverpb::{WatchCreateRequest, WatchRequest};
use harness::api::{all, get, op, put, watch};
use harness::child::Child;
use harness::collector::{Collector, Span};
use harness::node::connect;
use harness::process::{READY, endpoint_in, own_place, run_binary};
use harness::watching::create_request;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_stream::StreamExt as _;
use tonic::Request;

use conclave_proto::etcdserverpb::kv_client::KvClient;
use conclave_proto::etcdserverpb::watch_client::WatchClient;

const ON: &str = "--enable-distributed-tracing";
const EVERY_CALL: &str = "--distributed-tracing-sampling-rate=1000000";
/// Spans that have ended are sent this often, rather than every five seconds.
const SOON: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "50");

/// A member, its client URL and its directory.
struct Traced {
    child: Child,
    endpoint: String,
    _dir: TempDir,
}

impl Traced {
    fn start(flags: &[&str], environment: &[(&str, &str)]) -> Traced {
        let dir = tempfile::tempdir().unwrap();
        let mut arguments = own_place(dir.path(), "http://127.0.0.1:0");
        arguments.extend(flags.iter().map(|&flag| flag.to_owned()));
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let child = run_binary(&arguments, environment);
        let endpoint = endpoint_in(&child.line(READY).expect("it serves"));
        Traced {
            child,
            endpoint,
            _dir: dir,
        }
    }

    fn kv(&self) -> KvClient<tonic::transport::Channel> {
        KvClient::new(connect(&self.endpoint))
    }
}

/// The names of spans, each with the names of those inside it.
fn inside(spans: &[Span]) -> BTreeMap<&str, Vec<&str>> {
    let roots = spans
        .iter()
        .filter(|span| span.wire.parent_span_id.is_empty());
    let children = |root: &Span| {
        let of_trace = spans
            .iter()
            .filter(|span| span.wire.trace_id == root.wire.trace_id);
        let mut names: Vec<_> = of_trace.map(Span::name).collect();
        names.retain(|name| *name != root.name());
        names.sort_unstable();
        names
    };
    roots.map(|root| (root.name(), children(root))).collect()
}

#[test]
fn calls_of_every_kind_and_an_election_have_spans() {
    harness::run(async {
        let collector = Collector::start().await;
        let address = format!("http://{}", collector.address());
        let environment = [
            SOON,
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*address),
            ("OTEL_SERVICE_NAME", "a-service"),
            ("OTEL_RESOURCE_ATTRIBUTES", "zone=a"),
            ("OTEL_TRACES_SAMPLER", "always_on"),
        ];
        let member = Traced::start(&[ON], &environment);
        let mut kv = member.kv();
        kv.put(put("a", "")).await.unwrap();
        kv.range(get("a")).await.unwrap();
        kv.txn(all([op(put("a", ""))])).await.unwrap();
        let create = create_request(WatchCreateRequest {
            start_revision: 1,
            ..watch("a")
        });
        let create = WatchRequest {
            request_union: Some(create),
        };
        let requests = tokio_stream::iter([create]);
        let mut watches = WatchClient::new(connect(&member.endpoint));
        let mut responses = watches.watch(requests).await.unwrap().into_inner();
        let created = responses.next().await.unwrap().unwrap();
        assert!(created.created);
        let caught_up = responses.next().await.unwrap().unwrap();
        assert_eq!(caught_up.events.len(), 2);
        // The span of a stream ends with the stream.
        drop((responses, watches));

        let everything = |_: &Span| true;
        let expected = [
            ("election", vec![]),
            (
                "etcdserverpb.KV/Put",
                vec!["append", "apply", "propose", "reply"],
            ),
            ("etcdserverpb.KV/Range", vec!["read"]),
            (
                "etcdserverpb.KV/Txn",
                vec!["append", "apply", "propose", "reply"],
            ),
            ("etcdserverpb.Watch/Watch", vec!["catch up"]),
        ];
        let expected = BTreeMap::from(expected);
        let is_whole = |spans: &[Span]| inside(spans) == expected;
        let spans = collector.spans(everything, is_whole).await;
        for span in &spans {
            assert_eq!(span.resource["service.name"], "a-service");
            assert_eq!(span.resource["service.instance.id"], "default");
            assert_eq!(span.resource["zone"], "a");
        }
    });
}

/// A client that does not trace, and etcd's default rate; and a client that decided against it.
#[test]
fn only_calls_that_a_client_traces_are_traced_by_default() {
    harness::run(async {
        let collector = Collector::start().await;
        let address = format!("--distributed-tracing-address={}", collector.address());
        let member = Traced::start(&[ON, &address], &[SOON]);
        let mut kv = member.kv();
        kv.put(put("a", "")).await.unwrap();
        for (flags, trace) in [("00", "1"), ("01", "2")] {
            let mut request = Request::new(put("a", ""));
            let parent = format!("00-{}-b7ad6b7169203331-{flags}", trace.repeat(32));
            let headers = request.metadata_mut();
            headers.insert("traceparent", parent.parse().unwrap());
            kv.put(request).await.unwrap();
        }
        let sent = collector.spans(|_| true, |spans| spans.len() >= 5).await;
        let traced = |span: &Span| span.wire.trace_id == [0x22; 16];
        assert!(sent.iter().all(traced), "{sent:#?}");
    });
}

/// Calls go on, one line is logged, and the member ends in time.
#[test]
fn a_collector_that_is_away_or_silent_costs_nothing_but_spans() {
    harness::run(async {
        // It accepts connections, and never reads or answers.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let silent_address = silent.local_addr().unwrap();
        let (accepted, _keeps) = std::sync::mpsc::channel();
        tokio::spawn(async move {
            while let Ok((connection, _)) = silent.accept().await {
                let _ = accepted.send(connection);
            }
        });
        // No process listens on the discard port.
        let absent = SocketAddr::from(([127, 0, 0, 1], 9));
        for collector in [silent_address, absent] {
            let address = format!("--distributed-tracing-address={collector}");
            let environment = [
                ("OTEL_BSP_SCHEDULE_DELAY", "10"),
                ("OTEL_BSP_MAX_QUEUE_SIZE", "64"),
                ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "16"),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "100"),
            ];
            let mut member = Traced::start(&[ON, &address, EVERY_CALL], &environment);
            let mut kv = member.kv();
            let failed = "traces cannot be sent";
            // Many times what the queue holds, before and after it was noticed.
            for _ in 0..500 {
                kv.put(put("a", "")).await.unwrap();
            }
            member.child.line(failed).expect("it is logged");
            for _ in 0..500 {
                kv.put(put("a", "")).await.unwrap();
            }
            let ending = Instant::now();
            member.child.terminate();
            assert!(member.child.wait().success());
            assert!(ending.elapsed() < Duration::from_secs(10), "{collector}");
            let lines = member.child.lines();
            let failures = lines.iter().filter(|line| line.contains(failed)).count();
            assert_eq!(failures, 1, "{lines:#?}");
        }
    });
}

#[test]
fn metrics_are_sent_on_request() {
    harness::run(async {
        let collector = Collector::start().await;
        let address = format!("--distributed-tracing-address={}", collector.address());
        let environment = [("OTEL_METRIC_EXPORT_INTERVAL", "50")];
        let mut member = Traced::start(&["--otel-metrics", &address], &environment);
        let metric = collector.metric("etcd_server_has_leader").await;
        let Some(Data::Gauge(gauge)) = metric.data else {
            panic!("{metric:?}");
        };
        assert_eq!(gauge.data_points.len(), 1);
        let metric = collector
            .metric("etcd_disk_wal_fsync_duration_seconds")
            .await;
        assert!(
            matches!(metric.data, Some(Data::Histogram(_))),
            "{metric:?}"
        );
        member.child.terminate();
        assert!(member.child.wait().success());
    });
}

/// What the platform puts into every process does not turn it on.
#[test]
fn nothing_is_sent_without_a_flag() {
    harness::run(async {
        let collector = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", collector.local_addr().unwrap());
        let environment = [
            SOON,
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*address),
            ("OTEL_TRACES_SAMPLER", "always_on"),
        ];
        let mut member = Traced::start(&[], &environment);
        member.kv().put(put("a", "")).await.unwrap();
        member.child.terminate();
        assert!(member.child.wait().success());
        let connected = tokio::select! {
            biased;
            _ = collector.accept() => true,
            () = std::future::ready(()) => false,
        };
        assert!(!connected);
    });
}
