//! The load generator with TLS and users, against members of this test, and against servers that it
//! starts itself.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use harness::certificates::{Authority, Certificate, Validity};
use harness::login::{Administrator, CHEAP_HASHES, PASSWORD};
use harness::node::connect;
use harness::process::{READY, binary};
use harness::{Etcd, Process};
use serde_json::Value;

use crate::tls::two_endpoints;

/// The program, which is built with the server.
fn program() -> PathBuf {
    let program = binary().with_file_name("conclave-bench");
    assert!(
        program.is_file(),
        "{} does not exist: run `cargo build --release --workspace` first",
        program.display()
    );
    program
}

fn run(arguments: &[String]) -> Output {
    Command::new(program()).args(arguments).output().unwrap()
}

/// The JSON that a run has printed.
#[track_caller]
fn report(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn said(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(both).unwrap()
}

fn arguments(command: &str, endpoint: &str, own: &Certificate, user: &str) -> Vec<String> {
    let path = |path: &Path| path.display().to_string();
    let words = [
        command,
        "--quiet",
        "--json=-",
        "--total=100",
        "--clients=10",
        "--connections=5",
        "--endpoint",
        endpoint,
    ];
    let mut arguments: Vec<_> = words.map(str::to_owned).to_vec();
    arguments.extend(["--cacert".to_owned(), path(own.trusted())]);
    arguments.extend(["--cert".to_owned(), path(own.cert())]);
    arguments.extend(["--key".to_owned(), path(own.key())]);
    arguments.extend(["--user".to_owned(), user.to_owned()]);
    arguments
}

#[test]
fn it_uses_tls_and_logs_in() {
    harness::run(async {
        let authority = Authority::new("the authority");
        let server = authority.issue("server", Validity::Good);
        let own = authority.issue("client", Validity::Good);
        let mut flags = server.client_flags();
        flags.push("--listen-client-urls=https://127.0.0.1:0,http://127.0.0.1:0".to_owned());
        flags.push(CHEAP_HASHES.to_owned());
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        let mut process = Process::start(&flags);
        let [secure, plain] = two_endpoints(process.child(), READY).await;
        let mut root = Administrator::new(connect(&plain));
        root.add_user("alice", &["root"]).await;
        root.enable().await;
        let user = format!("alice:{PASSWORD}");
        for command in ["put", "get", "txn", "keep-alive", "login"] {
            let found = report(&run(&arguments(command, &secure, &own, &user)));
            assert_eq!(found["requests"], 100, "{command}: {found}");
        }
        let mut watching = arguments("watch-fanout", &secure, &own, &user);
        watching.extend(["--watchers=20", "--total=10"].map(str::to_owned));
        watching.retain(|argument| argument != "--total=100");
        assert_eq!(report(&run(&watching))["requests"], 200);
        let all = arguments("put", &secure, &own, &user);
        let without = |flags: &[&str]| -> Vec<String> {
            let mut all = all.clone();
            for flag in flags {
                let at = all.iter().position(|argument| argument == flag).unwrap();
                all.drain(at..at + 2);
            }
            all
        };
        let strange = run(&without(&["--cert", "--key"]));
        assert!(!strange.status.success(), "{strange:?}");
        let untrusting = run(&without(&["--cacert", "--cert", "--key"]));
        assert!(
            said(&untrusting).contains("needs --cacert"),
            "{untrusting:?}"
        );
        let wrong = run(&arguments("put", &secure, &own, "alice:hunter2"));
        assert!(!wrong.status.success());
        let text = said(&wrong);
        assert!(
            text.contains("authentication") && !text.contains("hunter2"),
            "{text}"
        );
    });
}

/// What is measured with TLS and authentication must be Conclave and etcd in the same setup.
#[test]
fn it_starts_servers_with_tls_and_authentication() {
    let dir = tempfile::tempdir().unwrap();
    let conclave = binary();
    let mut servers = vec![conclave.to_str().unwrap()];
    if Etcd::is_installed() {
        servers.push("/usr/bin/etcd");
    } else {
        eprintln!("skipped for etcd: it is not installed");
    }
    for server in servers {
        // A fill, a kill, and a stop: each start needs a new login.
        let words = [
            "restart",
            "--quiet",
            "--tls",
            "--auth",
            "--keys=200",
            "--clients=10",
            "--connections=5",
            "--json=-",
            "--dir",
        ];
        let mut arguments: Vec<_> = words.map(str::to_owned).to_vec();
        arguments.push(dir.path().display().to_string());
        arguments.extend(["--binary".to_owned(), server.to_owned()]);
        let found = report(&run(&arguments));
        assert_eq!(found["keys"], 200, "{server}: {found}");
    }
}
