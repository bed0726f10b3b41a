//! Clients that come through a Unix socket.

use std::path::Path;

use conclave_client::Client;
use harness::Process;
use harness::process::{own_place, run_binary};

#[test]
fn a_socket_serves_as_a_port_does() {
    harness::run(async {
        let dir = tempfile::tempdir().unwrap();
        let socket = url(dir.path());
        let listen = format!("--listen-client-urls={socket},http://127.0.0.1:0");
        let mut process = Process::start(&[&listen]);
        round_trip(&socket).await;
        process.child().terminate();
        assert!(process.child().wait().success());
        assert!(!path(dir.path()).exists(), "the file goes with the process");
    });
}

#[test]
fn what_a_killed_process_left_does_not_keep_the_next() {
    harness::run(async {
        let dir = tempfile::tempdir().unwrap();
        let socket = url(dir.path());
        let listen = format!("--listen-client-urls={socket}");
        let mut process = Process::start(&[&listen]);
        process.child().kill();
        assert!(path(dir.path()).exists(), "a killed process leaves it");
        process.restart();
        round_trip(&socket).await;
    });
}

#[test]
fn a_socket_in_use_is_one_line() {
    harness::run(async {
        let dir = tempfile::tempdir().unwrap();
        let socket = url(dir.path());
        let _one = Process::start(&[&format!("--listen-client-urls={socket}")]);
        let other = tempfile::tempdir().unwrap();
        let arguments = own_place(other.path(), &socket);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let mut child = run_binary(&arguments, &[]);
        assert_eq!(child.wait().code(), Some(1));
        let text = child.lines().pop().unwrap();
        assert_eq!(
            text,
            format!(
                "conclave: cannot listen on {socket}: the socket is in use: another process \
                 listens on it"
            )
        );
        // The running process is not harmed.
        round_trip(&socket).await;
    });
}

fn path(dir: &Path) -> std::path::PathBuf {
    dir.join("clients.sock")
}

fn url(dir: &Path) -> String {
    format!("unix://{}", path(dir).display())
}

/// Writes a value and reads it.
async fn round_trip(socket: &str) {
    let client = Client::connect([socket]).await.unwrap();
    client.put("k", "v").await.unwrap();
    let read = client.get("k").await.unwrap().unwrap();
    assert_eq!(&read.value[..], b"v");
}
