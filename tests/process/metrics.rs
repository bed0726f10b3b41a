//! `/metrics` compared with etcd 3.7.3: the same names with the same types, labels and buckets.
//!
//! Families missing here are listed with the reason, and in the runbook; any other missing family
//! fails the test. Families exported only by clusters of several members are tested in the tier
//! `cluster`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use conclave_client::Client;
use conclave_proto::etcdserverpb::{DefragmentRequest, HashKvRequest, HashRequest, StatusRequest};
use harness::exposition::{self, Family, families};
use harness::{Process, http1};

/// Families that etcd exports and Conclave does not.
const NOT_HERE: &[(&str, &str)] = &[
    ("etcd_grpc_proxy_cache_hits_total", NO_PROXY),
    ("etcd_grpc_proxy_cache_keys_total", NO_PROXY),
    ("etcd_grpc_proxy_cache_misses_total", NO_PROXY),
    ("etcd_grpc_proxy_events_coalescing_total", NO_PROXY),
    ("etcd_grpc_proxy_watchers_coalescing_total", NO_PROXY),
    ("etcd_server_go_version", "it is not written in Go"),
    (
        "etcd_snap_db_fsync_duration_seconds",
        "the files of a snapshot are synced while they arrive",
    ),
    (
        "etcd_snap_fsync_duration_seconds",
        "there are no .snap files",
    ),
];
const NO_PROXY: &str = "a member does not act as a proxy";

#[test]
fn a_member_exports_what_etcd_exports() {
    harness::run(async {
        let process = Process::start(&["--metrics=extensive"]);
        use_it(process.endpoint()).await;
        let ours = families(&metrics(&process).await);
        compare(&ours, &["always", "extensive"]);
    });
}

/// etcd exports the durations of calls only on demand: they take a thousand lines.
#[test]
fn basic_metrics_have_no_times_of_calls() {
    harness::run(async {
        let process = Process::start(&[]);
        use_it(process.endpoint()).await;
        let ours = families(&metrics(&process).await);
        assert!(!ours.contains_key("grpc_server_handling_seconds"));
        compare(&ours, &["always"]);
    });
}

#[test]
fn the_runbook_lists_what_is_not_exported() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let runbook = fs::read_to_string(root.join("deploy/RUNBOOK.md")).unwrap();
    let missing = |(name, _): &&(&str, &str)| !runbook.contains(*name);
    let missing: Vec<_> = NOT_HERE.iter().filter(missing).collect();
    assert!(missing.is_empty(), "the runbook does not name {missing:#?}");
}

#[test]
fn the_numbers_are_those_of_what_was_done() {
    harness::run(async {
        let process = Process::start(&["--metrics=extensive"]);
        use_it(process.endpoint()).await;
        let text = metrics(&process).await;
        let count = |series: &str| text.metric(series).unwrap_or_else(|| panic!("no {series}"));
        let kv = |family: &str, method: &str| {
            let labels = r#"grpc_service="etcdserverpb.KV",grpc_type="unary""#;
            count(&format!(r#"{family}{{grpc_method="{method}",{labels}}}"#))
        };
        assert_eq!(kv("grpc_server_msg_received_total", "Put"), 1.0);
        assert_eq!(kv("grpc_server_msg_sent_total", "Put"), 1.0);
        assert_eq!(kv("grpc_server_handling_seconds_count", "Put"), 1.0);
        let request = "etcd_server_request_duration_seconds_count";
        assert_eq!(
            count(&format!(r#"{request}{{success="true",type="Put"}}"#)),
            1.0
        );
        assert_eq!(
            count(&format!(r#"{request}{{success="true",type="Range"}}"#)),
            1.0
        );
        let apply = "etcd_server_apply_duration_seconds_count";
        let put = r#"{op="Put",success="true",version="v3"}"#;
        assert_eq!(count(&format!("{apply}{put}")), 1.0);
        let ranges = r#"etcd_server_range_duration_seconds_count{success="true"}"#;
        assert_eq!(count(ranges), 1.0);
        let requests = "etcd_server_client_requests_total";
        let unary = r#"{client_api_version="unknown",type="unary"}"#;
        assert!(count(&format!("{requests}{unary}")) >= 5.0);
        assert_eq!(
            count("etcd_disk_backend_defrag_duration_seconds_count"),
            1.0
        );
        assert_eq!(count("etcd_mvcc_hash_duration_seconds_count"), 1.0);
        assert_eq!(count("etcd_mvcc_hash_rev_duration_seconds_count"), 1.0);
        assert_eq!(count("etcd_mvcc_db_open_read_transactions"), 0.0);
        assert!(count("etcd_disk_wal_write_bytes_total") > 0.0);
        assert!(count("os_fd_used") > 3.0 && count("os_fd_used") < count("os_fd_limit"));
        let cpu = count("process_cpu_seconds_total");
        assert!(cpu > 0.0 && cpu < 60.0, "{cpu}");
        assert_eq!(
            count(r#"promhttp_metric_handler_requests_total{code="200"}"#),
            0.0
        );
    });
}

/// Makes one call of each kind that creates a series.
async fn use_it(endpoint: &str) {
    let client = Client::connect([endpoint]).await.unwrap();
    client.put("a", "1").await.unwrap();
    client.get("a").await.unwrap();
    let mut maintenance = client.maintenance();
    maintenance.status(StatusRequest {}).await.unwrap();
    maintenance.hash(HashRequest {}).await.unwrap();
    let all = HashKvRequest { revision: 0 };
    maintenance.hash_kv(all).await.unwrap();
    maintenance.defragment(DefragmentRequest {}).await.unwrap();
    let address = endpoint.trim_start_matches("http://");
    for path in ["/health", "/livez", "/readyz"] {
        assert_eq!(http1::get(address, path).await.status, 200, "{path}");
    }
}

async fn metrics(process: &Process) -> http1::Answer {
    let address = process.endpoint().trim_start_matches("http://");
    let answer = http1::get(address, "/metrics").await;
    assert_eq!(answer.status, 200);
    answer
}

/// Expects every family that etcd exports under these conditions to be the same here, or listed as
/// missing.
fn compare(ours: &BTreeMap<String, Family>, conditions: &[&str]) {
    let mut wrong = Vec::new();
    for (name, theirs) in exposition::of_etcd(conditions) {
        let excused = NOT_HERE.iter().any(|(excused, _)| *excused == name);
        match ours.get(&name) {
            None if excused => {}
            None => wrong.push(format!("{name} is missing")),
            Some(_) if excused => wrong.push(format!("{name} is excused and exported")),
            Some(ours) if *ours != theirs => {
                wrong.push(format!("{name} is {ours:?}\n and in etcd {theirs:?}"));
            }
            Some(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
