//! SIGKILL in a loop, under load: every acknowledged write is there afterwards, at its revision,
//! and a watcher that resumes sees every revision once.
//!
//! Each round lets writers run until enough is acknowledged, kills the process during their next
//! writes and starts it again on the same data and port. A write without an answer may or may not
//! be there; an acknowledged one must be.

use std::sync::{Arc, Mutex};

use conclave_client::{Client, Keys};
use conclave_proto::etcdserverpb::kv_client::KvClient;
use conclave_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use conclave_proto::etcdserverpb::{HashKvRequest, RangeRequest};
use harness::api::{get, put, revision_of};
use harness::node::connect;
use harness::{Process, eventually, within};
use tokio::task::JoinHandle;

const ROUNDS: usize = 50;
const WRITERS: usize = 4;
const ACKNOWLEDGED_PER_ROUND: usize = 40;

/// An acknowledged write.
#[derive(Clone, Debug)]
struct Write {
    key: String,
    value: String,
    revision: i64,
}

type Acknowledged = Arc<Mutex<Vec<Write>>>;

#[test]
fn nothing_acknowledged_is_lost() {
    harness::run(async {
        let mut process = Process::start(&[]);
        let watched = watch_from_the_start(process.endpoint()).await;
        let mut all: Vec<Write> = Vec::new();
        let mut noted = None;
        for round in 0..ROUNDS {
            let acknowledged = load_until_killed(&mut process, round).await;
            process.restart();
            check(process.endpoint(), &acknowledged, noted).await;
            all.extend(acknowledged);
            noted = Some(note(process.endpoint()).await);
        }
        check(process.endpoint(), &all, noted).await;
        let (last, _) = note(process.endpoint()).await;
        check_watch(&watched, last).await;
    });
}

/// Runs writers, kills the process during their work and returns the acknowledged writes.
async fn load_until_killed(process: &mut Process, round: usize) -> Vec<Write> {
    let acknowledged = Acknowledged::default();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let key = format!("w{writer}");
            tokio::spawn(write_until_it_fails(
                process.endpoint().to_owned(),
                key,
                round,
                Arc::clone(&acknowledged),
            ))
        })
        .collect();
    eventually("enough acknowledged writes", || async {
        (acknowledged.lock().unwrap().len() >= ACKNOWLEDGED_PER_ROUND).then_some(())
    })
    .await;
    process.child().kill();
    for writer in writers {
        within("a writer to notice", writer).await.unwrap();
    }
    Arc::into_inner(acknowledged).unwrap().into_inner().unwrap()
}

async fn write_until_it_fails(
    endpoint: String,
    key: String,
    round: usize,
    acknowledged: Acknowledged,
) {
    let mut kv = KvClient::new(connect(&endpoint));
    for number in 0.. {
        let value = format!("{round}/{number}");
        let Ok(reply) = kv.put(put(key.clone(), value.clone())).await else {
            return;
        };
        let revision = revision_of(&reply.into_inner().header);
        acknowledged.lock().unwrap().push(Write {
            key: key.clone(),
            value,
            revision,
        });
    }
}

/// Checks that every write is readable at its revision, that the current revision is not before it,
/// and that the history hashed earlier still has the same hash.
async fn check(endpoint: &str, writes: &[Write], noted: Option<(i64, u32)>) {
    let mut kv = KvClient::new(connect(endpoint));
    for write in writes {
        let then = RangeRequest {
            revision: write.revision,
            ..get(write.key.clone())
        };
        let reply = kv
            .range(then)
            .await
            .unwrap_or_else(|error| panic!("{write:?}: {error}"));
        let reply = reply.into_inner();
        let kv = reply
            .kvs
            .first()
            .unwrap_or_else(|| panic!("{write:?} is lost"));
        assert_eq!(
            (&kv.value[..], kv.mod_revision),
            (write.value.as_bytes(), write.revision)
        );
        assert!(
            revision_of(&reply.header) >= write.revision,
            "the revision went back"
        );
    }
    if let Some((revision, hash)) = noted {
        assert_eq!(
            hash_at(endpoint, revision).await,
            hash,
            "the history up to {revision}"
        );
    }
}

/// The revision, and the hash of the history up to it.
async fn note(endpoint: &str) -> (i64, u32) {
    let reply = KvClient::new(connect(endpoint))
        .range(get("w0"))
        .await
        .unwrap()
        .into_inner();
    let revision = revision_of(&reply.header);
    (revision, hash_at(endpoint, revision).await)
}

async fn hash_at(endpoint: &str, revision: i64) -> u32 {
    let mut maintenance = MaintenanceClient::new(connect(endpoint));
    maintenance
        .hash_kv(HashKvRequest { revision })
        .await
        .unwrap()
        .into_inner()
        .hash
}

/// A running watcher and the events it has seen.
struct Watched {
    revisions: Arc<Mutex<Vec<i64>>>,
    task: JoinHandle<()>,
}

/// Watches through every crash with one client, which resumes automatically.
async fn watch_from_the_start(endpoint: &str) -> Watched {
    let client = Client::connect([endpoint]).await.unwrap();
    let mut watch = client
        .watch(Keys::prefix("w"))
        .from(2)
        .open()
        .await
        .unwrap();
    let revisions = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&revisions);
    let task = tokio::spawn(async move {
        while let Some(batch) = watch.next().await.expect("a watch survives its server") {
            let of_batch = batch
                .events
                .iter()
                .map(|event| event.kv.as_ref().unwrap().mod_revision);
            seen.lock().unwrap().extend(of_batch);
        }
    });
    Watched { revisions, task }
}

async fn check_watch(watched: &Watched, last: i64) {
    eventually("the watcher to see the last revision", || async {
        assert!(!watched.task.is_finished(), "the watch ended");
        let revisions = watched.revisions.lock().unwrap();
        (revisions.last() == Some(&last)).then_some(())
    })
    .await;
    watched.task.abort();
    let revisions = watched.revisions.lock().unwrap();
    assert!(
        revisions.iter().copied().eq(2..=last),
        "each revision once and in order"
    );
}

/// Killed while idle, many times in a row: a start must not depend on a clean shutdown.
#[test]
fn a_start_survives_being_killed_at_once() {
    harness::run(async {
        let mut process = Process::start(&[]);
        let client = Client::connect([process.endpoint()]).await.unwrap();
        client.put("a", "1").await.unwrap();
        for _ in 0..10 {
            process.kill_and_restart();
        }
        let client = Client::connect([process.endpoint()]).await.unwrap();
        assert_eq!(client.get("a").await.unwrap().unwrap().mod_revision, 2);
        assert_eq!(
            client.put("a", "2").await.unwrap().header.unwrap().revision,
            3
        );
    });
}

/// Compactions, leases and their keys are as durable as keys.
#[test]
fn compaction_and_leases_survive() {
    harness::run(async {
        let mut process = Process::start(&[]);
        let client = Client::connect([process.endpoint()]).await.unwrap();
        let lease = client.grant(600).await.unwrap();
        let request = conclave_client::api::PutRequest {
            lease: lease.id,
            ..put("leased", "1")
        };
        client.put_with(request).await.unwrap();
        for value in 0..20 {
            client.put("a", value.to_string()).await.unwrap();
        }
        client.compact(15, false).await.unwrap();
        process.kill_and_restart();
        let client = Client::connect([process.endpoint()]).await.unwrap();
        let past = RangeRequest {
            revision: 14,
            ..get("a")
        };
        let error = client.range_with(past).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "etcdserver: mvcc: required revision has been compacted"
        );
        let live = client.time_to_live(lease.id, true).await.unwrap();
        assert_eq!((live.granted_ttl, live.keys.len()), (600, 1));
        client.revoke(lease.id).await.unwrap();
        assert_eq!(client.get("leased").await.unwrap(), None);
    });
}
