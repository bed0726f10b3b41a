//! A whole server, on a disk and with a socket.

use std::path::Path;

use bytes::Bytes;
use conclave_proto::etcdserverpb::{PutRequest, RangeRequest};

use super::*;
use crate::config::MemberUrl;

fn config(data_dir: &Path) -> Config {
    let any_port = vec![MemberUrl::parse("http://127.0.0.1:0").expect("a url")];
    Config {
        data_dir: data_dir.to_owned(),
        listen_client_urls: any_port.clone(),
        listen_peer_urls: any_port,
        ..Config::default()
    }
}

fn put(key: String, value: Bytes) -> PutRequest {
    PutRequest {
        key: key.into(),
        value,
        ..PutRequest::default()
    }
}

fn count(handle: &Handle) -> i64 {
    let everything = RangeRequest {
        key: Bytes::from_static(b"\0"),
        range_end: Bytes::from_static(b"\0"),
        count_only: true,
        ..RangeRequest::default()
    };
    handle.reader().range(&everything).expect("readable").count
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_starts_serves_stops_and_starts_again() {
    let dir = tempfile::tempdir().expect("a directory");
    for life in 0..3 {
        let server = Server::start(config(dir.path())).await.expect("it starts");
        server.ready().await;
        assert_ne!(server.client_addresses()[0].port(), 0);
        let handle = server.handle().clone();
        assert_eq!(handle.reader().members()[0].name, "default");
        assert!(handle.status().is_leader);
        assert_eq!(count(&handle), life);
        handle
            .propose(put(format!("k{life}"), Bytes::new()))
            .await
            .expect("acknowledged");
        drop(handle);
        server.shutdown().await.expect("no fault");
    }
}

/// A member may end while a snapshot is being received, put in place or made. What is not the state
/// then is nobody's, and goes with the next start.
#[test]
fn what_is_left_of_snapshots_goes_with_the_next_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = config(dir.path());
    drop(stores::open(&config).expect("a fresh directory"));
    let left = ["state.9.7", "state.out.1"].map(|name| config.member_dir().join(name));
    for folder in &left {
        std::fs::create_dir(folder).expect("a folder");
        std::fs::write(folder.join("000009.sst"), "part of a file").expect("written");
    }
    drop(stores::open(&config).expect("what is left is in nobody's way"));
    for folder in &left {
        assert!(!folder.exists(), "{folder:?}");
    }
    assert!(config.member_dir().join("state").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_in_use_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(config(dir.path())).await.expect("it starts");
    let second = Server::start(config(dir.path())).await;
    assert!(
        matches!(second, Err(StartError::Fault(Fault::InUse { .. }))),
        "{second:?}"
    );
    server.shutdown().await.expect("no fault");
}
