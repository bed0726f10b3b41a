//! A whole server, on a disk and with a socket.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use conclave_proto::command::command::Body;
use conclave_proto::etcdserverpb::{PutRequest, RangeRequest};

use super::*;
use crate::config::MemberUrl;

fn config(data_dir: &Path) -> Config {
    let any_port = vec![MemberUrl::parse("http://127.0.0.1:0").expect("a url")];
    Config { data_dir: data_dir.to_owned(), listen_client_urls: any_port, ..Config::default() }
}

fn put(key: String, value: Bytes) -> Body {
    Body::Put(PutRequest { key: key.into(), value, ..PutRequest::default() })
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
        handle.propose(put(format!("k{life}"), Bytes::new())).await.expect("acknowledged");
        drop(handle);
        server.shutdown().await.expect("no fault");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_in_use_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(config(dir.path())).await.expect("it starts");
    let second = Server::start(config(dir.path())).await;
    assert!(matches!(second, Err(StartError::Fault(Fault::InUse { .. }))), "{second:?}");
    server.shutdown().await.expect("no fault");
}

#[tokio::test(flavor = "multi_thread")]
async fn measure() {
    let dir = tempfile::tempdir_in(std::env::var("MEASURE_DIR").unwrap_or("/tmp".into())).expect("a directory");
    let t = Instant::now();
    let server = Server::start(config(dir.path())).await.expect("it starts");
    server.ready().await;
    eprintln!("start {:?}", t.elapsed());
    let value = Bytes::from((0..1300u32).map(|i| (i.wrapping_mul(2654435761) >> 13) as u8).collect::<Vec<_>>());
    for (clients, seconds) in [(1, 2), (16, 2), (256, 3), (1000, 4), (5000, 4)] {
        let until = Instant::now() + Duration::from_secs(seconds);
        let cpu = cpu();
        let tasks: Vec<_> = (0..clients).map(|c| { let h = server.handle().clone(); let value = value.clone(); tokio::spawn(async move {
            let mut n = 0u64;
            while Instant::now() < until { h.propose(put(format!("{c}/{n}"), value.clone())).await.expect("ack"); n += 1; }
            n
        })}).collect();
        let mut total = 0;
        for t in tasks { total += t.await.expect("task"); }
        eprintln!("{clients} clients: {} puts/s, {:.1} us cpu/put", total / seconds, (self::cpu() - cpu) * 1e6 / total as f64);
    }
    let t = Instant::now();
    let n = count(server.handle());
    server.shutdown().await.expect("ok");
    eprintln!("shutdown {:?}", t.elapsed());
    let t = Instant::now();
    let server = Server::start(config(dir.path())).await.expect("it starts");
    eprintln!("restart opened {:?}", t.elapsed());
    server.ready().await;
    eprintln!("restart ready {:?}", t.elapsed());
    assert_eq!(count(server.handle()), n);
    let t = Instant::now();
    server.shutdown().await.expect("ok");
    eprintln!("shutdown {:?}", t.elapsed());
}
fn cpu() -> f64 {
    let s = std::fs::read_to_string("/proc/self/stat").unwrap();
    let f: Vec<&str> = s.rsplit(')').next().unwrap().split_whitespace().collect();
    (f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap()) / 100.0
}
