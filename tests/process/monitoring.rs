//! `--listen-metrics-urls`: separate ports for probes and Prometheus.

use harness::child::Child;
use harness::process::{address_in, own_place, run_binary};
use harness::{Process, http1};

const LISTEN: &str = "--listen-metrics-urls=http://127.0.0.1:0";

#[test]
fn probes_and_metrics_have_a_port_and_nothing_else_is_there() {
    harness::run(async {
        let mut process = Process::start(&[LISTEN]);
        let address = metrics_address(process.child());
        for (path, part) in [
            (
                "/health?exclude=NOSPACE&serializable=true",
                r#""health":"true""#,
            ),
            ("/livez", "ok\n"),
            ("/readyz", "ok\n"),
            ("/readyz/linearizable_read", "ok\n"),
            ("/metrics", "\netcd_server_has_leader 1\n"),
        ] {
            let answer = http1::get(&address, path).await;
            assert_eq!(answer.status, 200, "{path}");
            assert!(answer.body.contains(part), "{path}: {}", answer.body);
        }
        for path in ["/version", "/v3/kv/range", "/", "/etcdserverpb.KV/Range"] {
            let answer = http1::request(&address, "POST", path, "{}").await;
            assert_eq!(answer.status, 404, "{path}");
        }
        // The client port serves them, too.
        let client_port = process.endpoint().trim_start_matches("http://");
        assert_eq!(http1::get(client_port, "/metrics").await.status, 200);
        process.child().terminate();
        assert!(process.child().wait().success());
    });
}

/// One of three members, alone, reports that it is not ready.
#[test]
fn a_member_that_waits_for_the_others_answers_probes() {
    harness::run(async {
        let dir = tempfile::tempdir().unwrap();
        let mut arguments = own_place(dir.path(), "http://127.0.0.1:0");
        arguments.extend([
            LISTEN.to_owned(),
            // No process listens on the discard port.
            "--initial-cluster=default=http://127.0.0.1:2380,b=http://127.0.0.1:9,\
             c=http://[::1]:9"
                .to_owned(),
        ]);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let mut child = run_binary(&arguments, &[]);
        let address = metrics_address(&child);
        assert_eq!(http1::get(&address, "/livez").await.status, 200);
        let health = http1::get(&address, "/health").await;
        assert_eq!(health.json()["reason"], "RAFT NO LEADER");
        let serializable = http1::get(&address, "/health?serializable=true").await;
        assert_eq!(serializable.status, 200);
        let metrics = http1::get(&address, "/metrics").await;
        assert_eq!(metrics.metric("etcd_server_has_leader"), Some(0.0));
        child.terminate();
        assert!(child.wait().success());
    });
}

fn metrics_address(child: &Child) -> String {
    address_in(&child.line("ready to serve metrics").unwrap())
}
