//! The command line and the environment.

use harness::Process;
use harness::child::Child;
use harness::process::{own_place, run_binary};

#[test]
fn an_unknown_flag_names_the_nearest() {
    let (code, lines) = ended(run_binary(&["--listen-client-url=http://127.0.0.1:0"], &[]));
    assert_eq!(code, 2);
    let text = lines.join("\n");
    assert!(
        text.contains("'--listen-client-url'") || text.contains("--listen-client-url"),
        "{text}"
    );
    assert!(text.contains("--listen-client-urls"), "{text}");
}

#[test]
fn an_argument_that_is_no_flag_is_refused() {
    let (code, lines) = ended(run_binary(&["start"], &[]));
    assert_eq!(code, 2, "{lines:#?}");
}

#[test]
fn version_begins_as_scripts_expect() {
    for flag in ["--version", "-version", "--version=true"] {
        let (code, lines) = ended(run_binary(&[flag], &[]));
        assert_eq!(
            (code, lines[0].as_str()),
            (0, "etcd Version: 3.7.1"),
            "{flag}: {lines:#?}"
        );
        let own = format!("Conclave Version: {}", env!("CARGO_PKG_VERSION"));
        assert!(
            lines.iter().any(|line| line.starts_with(&own)),
            "{lines:#?}"
        );
    }
}

#[test]
fn help_lists_the_flags() {
    let (code, lines) = ended(run_binary(&["--help"], &[]));
    assert_eq!(code, 0);
    for flag in [
        "--name",
        "--data-dir",
        "--listen-client-urls",
        "--quota-backend-bytes",
    ] {
        assert!(
            lines.iter().any(|line| line.trim_start().starts_with(flag)),
            "no {flag}"
        );
    }
}

#[test]
fn a_value_that_is_none_is_refused_with_its_flag() {
    for (argument, flag) in [
        ("--heartbeat-interval=soon", "--heartbeat-interval"),
        ("--election-timeout=1", "--election-timeout"),
        ("--listen-client-urls=here", "--listen-client-urls"),
        ("--max-txn-ops=-1", "--max-txn-ops"),
        ("--log-level=loud", "--log-level"),
        ("--max-learners=0", "--max-learners"),
        ("--feature-gates=Nothing=true", "--feature-gates"),
        (
            "--initial-cluster=default=http://localhost:2380,b=http://localhost:2380",
            "--initial-cluster",
        ),
        (
            "--watch-progress-notify-interval=5",
            "--watch-progress-notify-interval",
        ),
        (
            "--initial-cluster=other=http://localhost:2380",
            "--initial-cluster",
        ),
    ] {
        let (code, lines) = ended(run_binary(&[argument], &[]));
        assert_eq!((code, lines.len()), (1, 1), "{argument}: {lines:#?}");
        assert!(
            lines[0].starts_with("conclave: ") && lines[0].contains(flag),
            "{}",
            lines[0]
        );
    }
}

#[test]
fn the_environment_configures() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().to_str().unwrap();
    let child = run_binary(
        &[],
        &[
            ("ETCD_DATA_DIR", data_dir),
            ("ETCD_NAME", "from-environment"),
            ("ETCD_LISTEN_CLIENT_URLS", "http://127.0.0.1:0"),
            ("ETCD_ADVERTISE_CLIENT_URLS", "http://127.0.0.1:2379"),
            ("ETCD_LOG_FORMAT", "json"),
        ],
    );
    let line = child.line("ready to serve client requests").unwrap();
    let fields: serde_json::Value = serde_json::from_str(&line).unwrap();
    let endpoint = format!("http://{}", fields["address"].as_str().unwrap());
    harness::run(async {
        let client = conclave_client::Client::connect([endpoint]).await.unwrap();
        let request = conclave_client::api::MemberListRequest { linearizable: true };
        let members = client
            .cluster()
            .member_list(request)
            .await
            .unwrap()
            .into_inner()
            .members;
        assert_eq!(members[0].name, "from-environment");
    });
}

#[test]
fn a_flag_given_twice_in_two_ways_is_refused() {
    let (code, lines) = ended(run_binary(&["--name=a"], &[("ETCD_NAME", "b")]));
    assert_eq!((code, lines.len()), (1, 1), "{lines:#?}");
    assert!(
        lines[0].contains("--name") && lines[0].contains("ETCD_NAME"),
        "{}",
        lines[0]
    );
}

#[test]
fn a_bad_value_in_the_environment_names_the_variable() {
    let (code, lines) = ended(run_binary(&[], &[("ETCD_SNAPSHOT_COUNT", "many")]));
    assert_eq!((code, lines.len()), (1, 1), "{lines:#?}");
    assert!(lines[0].contains("ETCD_SNAPSHOT_COUNT"), "{}", lines[0]);
}

/// Flags that harnesses and manifests written for etcd pass.
#[test]
fn a_command_line_of_etcd_starts() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::start_in(
        dir.path(),
        &[
            "--name=infra0",
            "--advertise-client-urls=http://127.0.0.1:2379",
            "--initial-advertise-peer-urls=http://127.0.0.1:2380",
            "--initial-cluster=infra0=http://127.0.0.1:2380",
            "--initial-cluster-state=new",
            "--initial-cluster-token=some-token",
            "--snapshot-count=10000",
            "--backend-bbolt-freelist-type=map",
            "--backend-batch-limit=5000",
            "--max-wals=5",
            "--logger=zap",
            "-heartbeat-interval=100",
            "--pre-vote",
        ],
    );
    process.child().terminate();
    assert!(process.child().wait().success());
}

#[test]
fn an_address_in_use_is_one_line() {
    let one = Process::start(&[]);
    let dir = tempfile::tempdir().unwrap();
    let arguments = own_place(dir.path(), one.endpoint());
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let (code, lines) = ended(run_binary(&arguments, &[]));
    assert_eq!(code, 1);
    let text = lines.last().unwrap();
    assert!(
        text.starts_with("conclave: cannot listen on") && text.contains("in use"),
        "{text}"
    );
}

/// Waits for the end; returns the exit code and all lines.
fn ended(mut child: Child) -> (i32, Vec<String>) {
    let code = child.wait().code().expect("not killed by a signal");
    (code, child.lines())
}
