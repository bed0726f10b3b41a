//! Plain HTTP on the gRPC port, and gRPC's own health service.

use conclave_proto::ApiError;
use conclave_proto::etcdserverpb::alarm_request::AlarmAction;
use conclave_proto::etcdserverpb::{AlarmRequest, AlarmType};
use harness::http1::{self, Answer};
use harness::{Node, Watching, api, raw, refused, within};
use tonic::metadata::MetadataValue;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

suite![
    health_is_true,
    health_names_an_alarm,
    health_can_exclude_an_alarm,
    livez_and_readyz_are_ok => "came with 3.6 (3.4.29 has parts of it)",
    each_check_has_its_path => "came with 3.6",
    verbose_lists_the_checks => "came with 3.6",
    readyz_names_corruption => "came with 3.6",
    the_version_is_the_api_level => "it reports its own",
    metrics_are_prometheus_text,
    metrics_count_puts,
    metrics_count_how_calls_end => "3.4 leaves deadlines to the client",
    metrics_count_bytes_of_clients,
    the_quota_counts_what_the_size_says,
    any_host_is_as_good => "Go requires a host, and checks it",
    an_unknown_path_is_not_found,
    the_gateway_is_said_to_be_missing => "it has one",
    grpc_health_is_serving => "not registered in 3.4",
    grpc_health_of_an_unknown_service_is_not_found => "not registered in 3.4",
    grpc_health_can_be_watched => "not registered in 3.4",
    a_deadline_ends_a_watch_of_grpc_health => "not registered in 3.4",
];

async fn health_is_true(node: Node) {
    for path in [
        "/health",
        "/health?serializable=true",
        "/health?exclude=NOSPACE",
    ] {
        let answer = http1::get(node.address(), path).await;
        assert_eq!(
            (answer.status, answer.json()["health"].as_str()),
            (200, Some("true"))
        );
    }
}

async fn health_names_an_alarm(node: Node) {
    raise(&node, AlarmType::Nospace).await;
    let answer = http1::get(node.address(), "/health").await;
    assert_eq!(
        (answer.status, answer.json()["health"].as_str()),
        (503, Some("false"))
    );
    if !node.is_etcd() {
        assert_eq!(answer.json()["reason"], "ALARM NOSPACE");
    }
}

async fn health_can_exclude_an_alarm(node: Node) {
    raise(&node, AlarmType::Nospace).await;
    let answer = http1::get(node.address(), "/health?exclude=NOSPACE").await;
    assert_eq!(answer.status, 200);
}

async fn livez_and_readyz_are_ok(node: Node) {
    for path in ["/livez", "/readyz", "/readyz?exclude=non_learner"] {
        let answer = http1::get(node.address(), path).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, "ok\n"),
            "{path}"
        );
    }
}

async fn each_check_has_its_path(node: Node) {
    for path in [
        "/livez/serializable_read",
        "/readyz/data_corruption",
        "/readyz/serializable_read",
        "/readyz/linearizable_read",
        "/readyz/non_learner",
    ] {
        assert_eq!(http1::get(node.address(), path).await.status, 200, "{path}");
    }
    assert_eq!(
        http1::get(node.address(), "/livez/linearizable_read")
            .await
            .status,
        404
    );
}

async fn verbose_lists_the_checks(node: Node) {
    let answer = http1::get(node.address(), "/readyz?verbose").await;
    for check in [
        "data_corruption",
        "serializable_read",
        "linearizable_read",
        "non_learner",
    ] {
        assert!(
            answer.body.contains(&format!("[+]{check} ok\n")),
            "{}",
            answer.body
        );
    }
}

async fn readyz_names_corruption(node: Node) {
    raise(&node, AlarmType::Corrupt).await;
    let answer = http1::get(node.address(), "/readyz").await;
    assert_eq!(answer.status, 503);
    assert!(
        answer.body.contains("[-]data_corruption failed"),
        "{}",
        answer.body
    );
    assert_eq!(http1::get(node.address(), "/livez").await.status, 200);
}

async fn the_version_is_the_api_level(node: Node) {
    let answer = http1::get(node.address(), "/version").await;
    assert_eq!(answer.status, 200);
    let versions = r#"{"etcdserver":"3.7.1","etcdcluster":"3.7.0","storage":"3.7.0"}"#;
    assert_eq!(answer.body, versions);
}

async fn metrics_are_prometheus_text(node: Node) {
    let answer = http1::get(node.address(), "/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .header("content-type")
            .unwrap()
            .starts_with("text/plain")
    );
    for family in [
        "etcd_server_has_leader 1",
        "etcd_server_is_leader 1",
        "etcd_server_leader_changes_seen_total",
        "etcd_server_proposals_committed_total",
        "etcd_server_proposals_applied_total",
        "etcd_server_proposals_pending",
        "etcd_server_proposals_failed_total",
        "etcd_server_quota_backend_bytes",
        "etcd_server_is_learner 0",
        "etcd_server_heartbeat_send_failures_total 0",
        "etcd_server_learner_promote_successes 0",
        "etcd_mvcc_db_total_size_in_bytes",
        "etcd_mvcc_db_total_size_in_use_in_bytes",
        "etcd_disk_wal_fsync_duration_seconds_bucket",
        "etcd_disk_backend_commit_duration_seconds_bucket",
        "etcd_debugging_mvcc_watcher_total",
        "etcd_server_version",
        "process_resident_memory_bytes",
        "process_open_fds",
    ] {
        assert!(answer.body.contains(&format!("\n{family}")), "no {family}");
    }
}

async fn metrics_count_puts(node: Node) {
    let puts = |answer: &Answer| metric(answer, "etcd_mvcc_put_total");
    let before = http1::get(node.address(), "/metrics").await;
    node.put("a", "1").await;
    node.put("b", "1").await;
    let after = http1::get(node.address(), "/metrics").await;
    assert_eq!(puts(&after), puts(&before) + 2.0);
    let method = r#"grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary""#;
    let handled = format!(r#"grpc_server_handled_total{{grpc_code="OK",{method}}}"#);
    assert_eq!(metric(&after, &handled), 2.0);
}

async fn metrics_count_how_calls_end(node: Node) {
    let count = |answer: &Answer, family: &str, code: &str, method: &str| {
        let code = match code {
            "" => String::new(),
            code => format!(r#"grpc_code="{code}","#),
        };
        let (service, method) = method.split_once('/').unwrap();
        let kind = if method == "Watch" {
            "bidi_stream"
        } else {
            "unary"
        };
        let service = format!(r#"grpc_service="etcdserverpb.{service}""#);
        let labels = format!(r#"{code}grpc_method="{method}",{service},grpc_type="{kind}""#);
        metric(answer, &format!("grpc_server_{family}_total{{{labels}}}"))
    };
    let metrics = || http1::get(node.address(), "/metrics");
    node.kv().put(api::put("", "1")).await.unwrap_err();
    let headers = [("grpc-timeout", "0S")];
    let path = "/etcdserverpb.KV/Put";
    raw::status_of(node.address(), path, &headers, &api::put("a", "1")).await;
    let answer = metrics().await;
    assert_eq!(count(&answer, "started", "", "KV/Put"), 2.0);
    assert_eq!(count(&answer, "handled", "InvalidArgument", "KV/Put"), 1.0);
    assert_eq!(count(&answer, "handled", "DeadlineExceeded", "KV/Put"), 1.0);

    // A stream ends when its client leaves it.
    let watching = Watching::on(&node, api::watch("a")).await;
    let answer = metrics().await;
    assert_eq!(count(&answer, "started", "", "Watch/Watch"), 1.0);
    assert_eq!(count(&answer, "msg_received", "", "Watch/Watch"), 1.0);
    assert_eq!(count(&answer, "msg_sent", "", "Watch/Watch"), 1.0);
    assert_eq!(count(&answer, "handled", "Canceled", "Watch/Watch"), 0.0);
    drop(watching);
    harness::eventually("the end of the stream", || async {
        let answer = metrics().await;
        (count(&answer, "handled", "Canceled", "Watch/Watch") == 1.0).then_some(())
    })
    .await;
}

/// etcd's alert divides the first by the second.
async fn the_quota_counts_what_the_size_says(node: Node) {
    node.put("a", "x".repeat(100_000)).await;
    let answer = http1::get(node.address(), "/metrics").await;
    let total = metric(&answer, "etcd_mvcc_db_total_size_in_bytes");
    assert!(total > 100_000.0, "{total}");
    assert!(total < metric(&answer, "etcd_server_quota_backend_bytes"));
}

async fn metrics_count_bytes_of_clients(node: Node) {
    let bytes = |answer: &Answer| {
        ["received", "sent"].map(|way| {
            let series = format!("etcd_network_client_grpc_{way}_bytes_total");
            metric(answer, &series)
        })
    };
    let before = bytes(&http1::get(node.address(), "/metrics").await);
    node.put("a", "x".repeat(20_000)).await;
    node.get("a").await;
    let after = bytes(&http1::get(node.address(), "/metrics").await);
    for (before, after) in before.into_iter().zip(after) {
        assert!(after >= before + 20_000.0, "{before} and then {after}");
    }
}

async fn any_host_is_as_good(node: Node) {
    for path in ["/health", "/metrics"] {
        for host in [
            "",
            "Host:\r\n",
            "Host: #initially=[127.0.0.1:2379]\r\n",
            "Host: %2frun%2fconclave.sock\r\n",
            "Host: /a b[\u{ff}\r\n",
            "Host: one\r\nHost: other\r\n",
        ] {
            let request = format!("GET {path} HTTP/1.1\r\n{host}Connection: close\r\n\r\n");
            let answer = http1::send(node.address(), &request).await;
            assert_eq!(answer.status, 200, "{host:?}");
        }
    }
}

async fn an_unknown_path_is_not_found(node: Node) {
    assert_eq!(http1::get(node.address(), "/nowhere").await.status, 404);
}

/// In the gateway's error format, so that its clients print the reason.
async fn the_gateway_is_said_to_be_missing(node: Node) {
    for path in ["/v3/kv/range", "/v3beta/kv/put"] {
        let answer = http1::request(node.address(), "POST", path, r#"{"key":"YQ=="}"#).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(
            message.contains("the JSON gateway is not available"),
            "{message}"
        );
    }
}

async fn grpc_health_is_serving(node: Node) {
    let mut stub = HealthClient::new(node.channel());
    let reply = stub
        .check(HealthCheckRequest {
            service: String::new(),
        })
        .await
        .unwrap();
    assert_eq!(reply.into_inner().status(), ServingStatus::Serving);
}

async fn grpc_health_of_an_unknown_service_is_not_found(node: Node) {
    let mut stub = HealthClient::new(node.channel());
    let outcome = stub
        .check(HealthCheckRequest {
            service: "nobody".into(),
        })
        .await;
    assert_eq!(outcome.unwrap_err().code(), Code::NotFound);
}

async fn grpc_health_can_be_watched(node: Node) {
    let mut stub = HealthClient::new(node.channel());
    let watch = stub.watch(HealthCheckRequest {
        service: String::new(),
    });
    let mut changes = within("a watch", watch).await.unwrap().into_inner();
    let first = within("the status", changes.message())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);
}

async fn a_deadline_ends_a_watch_of_grpc_health(node: Node) {
    let mut request = Request::new(HealthCheckRequest {
        service: String::new(),
    });
    let timeout = MetadataValue::from_static("2S");
    request.metadata_mut().insert("grpc-timeout", timeout);
    let watch = HealthClient::new(node.channel()).watch(request).await;
    let mut changes = watch.unwrap().into_inner();
    let mut next = within("the status", changes.message()).await;
    while next.is_ok() {
        next = within("the end", changes.message()).await;
    }
    refused(next, ApiError::DeadlineExceeded);
}

async fn raise(node: &Node, alarm: AlarmType) {
    let request = AlarmRequest {
        action: AlarmAction::Activate as i32,
        member_id: 42,
        alarm: alarm as i32,
    };
    node.maintenance().alarm(request).await.unwrap();
}

fn metric(answer: &Answer, series: &str) -> f64 {
    let value = answer.metric(series);
    value.unwrap_or_else(|| panic!("no {series} in {}", answer.body))
}
