//! SIGTERM: the process ends by itself, at once, with success, and without an alarming log line.

use std::time::Duration;

use conclave_client::recipes::Mutex;
use conclave_client::{Client, Keys};
use conclave_proto::v3electionpb::LeaderRequest;
use conclave_proto::v3lockpb::LockRequest;
use conclave_proto::v3lockpb::lock_client::LockClient;
use harness::node::connect;
use harness::{Process, eventually};

/// The time that scripts allow.
const LIMIT: Duration = Duration::from_millis(1_500);

#[test]
fn an_idle_server_stops() {
    harness::run(async {
        let mut process = Process::start(&[]);
        stops(&mut process);
        process.restart();
        stops(&mut process);
    });
}

#[test]
fn open_streams_and_waiting_calls_do_not_keep_it() {
    harness::run(async {
        let mut process = Process::start(&[]);
        let client = Client::connect([process.endpoint()]).await.unwrap();
        let watch = client.watch(Keys::prefix("")).open().await.unwrap();
        let (one, two) = (
            client.session(60).await.unwrap(),
            client.session(60).await.unwrap(),
        );
        let held = Mutex::new(&one, "l").lock().await.unwrap();
        let election = LeaderRequest { name: "e".into() };
        let observed = client.elections().observe(election).await;
        let mut locks = LockClient::new(connect(process.endpoint()));
        let request = LockRequest {
            name: "l".into(),
            lease: two.id(),
        };
        let waiter = tokio::spawn(async move { locks.lock(request).await });
        eventually("the waiter to queue", || async {
            (client.range(Keys::prefix("l/")).await.unwrap().count == 2).then_some(())
        })
        .await;
        stops(&mut process);
        assert!(waiter.await.unwrap().is_err());
        drop((watch, held, observed));
    });
}

#[test]
fn writers_do_not_keep_it_and_lose_nothing() {
    harness::run(async {
        let mut process = Process::start(&[]);
        let client = Client::connect([process.endpoint()]).await.unwrap();
        client.put("a", "begun").await.unwrap();
        let writer = tokio::spawn(async move {
            let mut last = 0;
            while let Ok(reply) = client.put("a", "x").await {
                last = reply.header.unwrap().revision;
            }
            last
        });
        eventually("some writes", || async {
            let client = Client::connect([process.endpoint()]).await.unwrap();
            let kv = client.get("a").await.unwrap().unwrap();
            (kv.version > 50).then_some(())
        })
        .await;
        stops(&mut process);
        let acknowledged = writer.await.unwrap();
        process.restart();
        let client = Client::connect([process.endpoint()]).await.unwrap();
        assert!(client.get("a").await.unwrap().unwrap().mod_revision >= acknowledged);
    });
}

#[test]
fn interrupt_is_as_good() {
    let mut process = Process::start(&[]);
    process.child().signal("INT");
    assert!(process.child().wait_at_most(LIMIT).success());
}

fn stops(process: &mut Process) {
    process.child().terminate();
    let status = process.child().wait_at_most(LIMIT);
    assert_eq!(status.code(), Some(0), "{:#?}", process.child().lines());
    for line in process.child().lines() {
        let fields: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert!(
            fields["ts"].is_string() && fields["msg"].is_string(),
            "{line}"
        );
        assert!(fields["caller"].is_string(), "{line}");
        let level = fields["level"].as_str().unwrap();
        assert!(level == "info" || level == "debug", "{line}");
    }
}
