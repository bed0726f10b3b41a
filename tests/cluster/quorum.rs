//! Without a majority nothing is decided, and clients get an error.

use std::time::Instant;

use conclave_proto::ApiError;
use conclave_proto::etcdserverpb as pb;
use harness::{Cluster, eventually, refused, within};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::on_three;
use crate::sessions::grant;

#[test]
fn without_a_quorum_writes_time_out_and_local_reads_go_on() {
    on_three(&[], |mut cluster| async move {
        let survivor = cluster.leader().await;
        cluster.put(survivor, "a", "1").await;
        for other in cluster.others(survivor) {
            cluster.kill(other);
        }
        let begin = Instant::now();
        let write = cluster.try_put(survivor, "a", "2");
        let read = cluster.get(survivor, "a");
        let (write, read) = within("both errors", async { tokio::join!(write, read) }).await;
        timed_out(&write.unwrap_err());
        timed_out(&read.unwrap_err());
        // etcd's limit: five seconds plus two election timeouts.
        assert!(
            begin.elapsed().as_secs() <= 12,
            "after {:?}",
            begin.elapsed()
        );
        let local = cluster.local(survivor, "a").await.unwrap();
        assert_eq!(local.as_deref(), Some("1"));
        no_leader(&cluster, survivor).await;
        if !cluster.is_etcd() {
            for series in ["read_indexes_failed", "slow_read_indexes"] {
                let series = format!("etcd_server_{series}_total");
                assert!(cluster.metric(survivor, &series).await >= 1.0, "{series}");
            }
        }
        for other in cluster.others(survivor) {
            cluster.respawn(other);
        }
        cluster.wait_writable(&cluster.numbers()).await;
        // The unanswered write may have been committed, but not partially.
        let value = cluster.get(survivor, "a").await.unwrap().unwrap();
        assert!(["1", "2"].contains(&value.as_str()), "{value}");
        cluster.expect_same_history().await;
    });
}

/// Through the leader that lost the others and through a follower; for requests sent before the
/// member noticed and after; and sooner on a stream that requires a leader.
#[test]
fn without_a_quorum_an_open_keep_alive_says_no_leader() {
    for through_leader in [true, false] {
        on_three(&[], |mut cluster| async move {
            let leader = cluster.leader().await;
            let survivor = match through_leader {
                true => leader,
                false => cluster.others(leader)[0],
            };
            grant(&cluster, survivor, 7, 600).await;
            let mut streams = Vec::new();
            for requires_leader in [false, false, true] {
                streams.push(KeepAlive::open(&cluster, survivor, requires_leader).await);
            }
            for other in cluster.others(survivor) {
                cluster.kill(other);
            }
            let begin = Instant::now();
            let [at_once, later, requires_leader] = streams.try_into().expect("three");
            let ended = tokio::spawn(at_once.until_it_ends());
            let ended_early = tokio::spawn(requires_leader.until_it_ends());
            no_leader(&cluster, survivor).await;
            let ended_later = tokio::spawn(later.until_it_ends());
            refused_without_leader(ended_early.await.unwrap());
            let early = begin.elapsed();
            refused_without_leader(ended.await.unwrap());
            refused_without_leader(ended_later.await.unwrap());
            let late = begin.elapsed();
            assert!(early < late, "{early:?} and {late:?}");
            // etcd's limit: five seconds plus two election timeouts, counted from the last renewal.
            assert!(late.as_secs() <= 12, "after {late:?}");
        });
    }
}

fn refused_without_leader(status: Status) {
    refused(Err::<(), _>(status), ApiError::NoLeader);
}

/// An open stream of keep-alives for lease 7.
#[derive(Debug)]
struct KeepAlive {
    requests: mpsc::Sender<pb::LeaseKeepAliveRequest>,
    answers: tonic::Streaming<pb::LeaseKeepAliveResponse>,
}

impl KeepAlive {
    /// Opens a stream and waits for its first renewal.
    async fn open(cluster: &Cluster, through: usize, requires_leader: bool) -> KeepAlive {
        let (requests, receiver) = mpsc::channel(1);
        let mut request = tonic::Request::new(ReceiverStream::new(receiver));
        if requires_leader {
            let metadata = request.metadata_mut();
            metadata.insert("hasleader", "true".parse().unwrap());
        }
        let first = pb::LeaseKeepAliveRequest { id: 7 };
        requests.send(first).await.unwrap();
        let mut stub = cluster.leases(through);
        let opened = within("a stream", stub.lease_keep_alive(request)).await;
        let mut answers = opened.unwrap().into_inner();
        let answer = within("a renewal", answers.message()).await.unwrap();
        assert_eq!(answer.unwrap().ttl, 600);
        KeepAlive { requests, answers }
    }

    /// Renews until the stream ends; returns its status.
    async fn until_it_ends(mut self) -> Status {
        loop {
            let request = pb::LeaseKeepAliveRequest { id: 7 };
            // The stream may have ended already; then the answer has the status.
            let _ = self.requests.send(request).await;
            match within("an answer", self.answers.message()).await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended without a reason"),
                Err(status) => return status,
            }
        }
    }
}

/// A request to replace the lost members is refused at once, and the log names the members that
/// the survivor waits for.
#[test]
fn without_a_quorum_nobody_joins_and_the_log_says_why() {
    on_three(&[], |mut cluster| async move {
        let survivor = cluster.leader().await;
        let lost = cluster.others(survivor);
        lost.iter().for_each(|&other| cluster.kill(other));
        let mut stub = cluster.cluster(survivor);
        let added = stub.member_add(pb::MemberAddRequest {
            peer_urls: vec!["http://127.0.0.1:1".to_owned()],
            is_learner: false,
        });
        let status = within("a refusal", added).await.unwrap_err();
        assert_eq!(status.message(), "etcdserver: unhealthy cluster");
        if cluster.is_etcd() {
            return;
        }
        let line = cluster.child(survivor).line("there is no leader").unwrap();
        for other in lost {
            assert!(line.contains(&cluster.member(other).name()), "{line}");
            cluster.respawn(other);
        }
        cluster.wait_writable(&[survivor]).await;
    });
}

/// Expects etcd's timeout error, with or without the assumed cause.
fn timed_out(status: &Status) {
    let text = status.message();
    let known =
        text.starts_with("etcdserver: request timed out") || text == "etcdserver: no leader";
    assert!(known, "{status:?}");
}

/// Waits until a member that has lost the others reports no leader.
pub(crate) async fn no_leader(cluster: &Cluster, number: usize) {
    eventually("a member without the others to know no leader", || async {
        let status = cluster.status(number).await.ok()?;
        let said = status
            .errors
            .iter()
            .any(|error| error == "etcdserver: no leader");
        (status.leader == 0 && said).then_some(())
    })
    .await;
}

/// All members are killed at once, as by a power failure.
#[test]
fn a_cluster_comes_back_after_all_were_killed() {
    on_three(&[], |mut cluster| async move {
        let mut last = 0;
        for round in 0..3 {
            for number in cluster.numbers() {
                last = cluster.put(number, "a", &format!("{round}/{number}")).await;
            }
            for number in cluster.numbers() {
                cluster.kill(number);
            }
            for number in cluster.numbers() {
                cluster.respawn(number);
            }
            for number in cluster.numbers() {
                cluster.member(number).expect_ready();
            }
            let value = cluster.get(0, "a").await.unwrap();
            assert_eq!(value, Some(format!("{round}/2")));
        }
        assert!(cluster.expect_same_history().await >= last);
    });
}
