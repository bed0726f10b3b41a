//! Leases, locks and elections across a change of leader.

use std::time::{Duration, Instant};

use conclave_proto::etcdserverpb as pb;
use conclave_proto::v3electionpb::{CampaignRequest, LeaderRequest, ResignRequest};
use conclave_proto::v3lockpb::{LockRequest, LockResponse, UnlockRequest};
use harness::cluster::ELECTION;
use harness::wait::eventually_by;
use harness::{Cluster, api, eventually, fails, within};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Response, Status};

use crate::{not_on_etcd, on_three};

/// Seconds; a third of it remains after an election.
pub(crate) const TTL: i64 = 3;

/// The next leader passes a lock on, but not before its holder releases it.
#[test]
fn a_lock_outlives_its_leader() {
    on_three(&[], |mut cluster| async move {
        let leader = cluster.leader().await;
        let through = cluster.others(leader)[0];
        grant(&cluster, leader, 1, 600).await;
        grant(&cluster, leader, 2, 600).await;
        let first = lock(&cluster, through, 1).await;
        let waiting = queue(&cluster, through, 2).await;
        cluster.kill(leader);
        cluster.wait_writable(&[through]).await;
        assert!(!waiting.is_finished(), "the first holds it");
        let mut stub = cluster.locks(through);
        stub.unlock(UnlockRequest { key: first }).await.unwrap();
        let second = within("the lock to be passed on", waiting)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(second.into_inner().key, "l/2");
        cluster.restart(leader);
    });
}

/// A member that was cut off learns late that a client waiting there had its turn, and that the
/// client's lease then ended. Meanwhile another client holds the lock.
#[test]
fn a_turn_that_is_over_is_not_reported() {
    on_three(&[], |cluster| async move {
        if not_on_etcd(&cluster, "3.4's last check may read a stale state") {
            return;
        }
        let leader = cluster.leader().await;
        let through = cluster.others(leader)[0];
        for (lease, ttl) in [(1, 600), (2, TTL), (3, 600)] {
            grant(&cluster, leader, lease, ttl).await;
        }
        let first = lock(&cluster, leader, 1).await;
        let waiting = queue(&cluster, through, 2).await;
        cluster.isolate(through);
        let mut stub = cluster.locks(leader);
        stub.unlock(UnlockRequest { key: first }).await.unwrap();
        // So much data that the two ends are applied separately.
        let value = "v".repeat(256 << 10);
        for _ in 0..64 {
            cluster.put(leader, "between", &value).await;
        }
        gone(&cluster, leader, "l/2").await;
        lock(&cluster, leader, 3).await;
        cluster.heal();
        let turn = within("an answer", waiting).await.unwrap();
        fails(turn, Code::Unknown, "session is expired");
    });
}

#[test]
fn an_elected_one_outlives_the_leader_of_the_cluster() {
    on_three(&[], |mut cluster| async move {
        let leader = cluster.leader().await;
        let through = cluster.others(leader)[0];
        grant(&cluster, leader, 1, 600).await;
        grant(&cluster, leader, 2, 600).await;
        let campaign = |lease, value: &str| CampaignRequest {
            name: "e".into(),
            lease,
            value: value.to_owned().into(),
        };
        let mut stub = cluster.elections(through);
        let first = within("to win", stub.campaign(campaign(1, "one")))
            .await
            .unwrap();
        let second = tokio::spawn({
            let (mut stub, request) = (cluster.elections(through), campaign(2, "two"));
            async move { stub.campaign(request).await }
        });
        eventually("the second to queue", || async {
            cluster.get(through, "e/2").await.ok()?.map(drop)
        })
        .await;
        cluster.kill(leader);
        cluster.wait_writable(&[through]).await;
        let asked = stub
            .leader(LeaderRequest { name: "e".into() })
            .await
            .unwrap();
        assert_eq!(asked.into_inner().kv.unwrap().value, "one");
        let leader_key = first.into_inner().leader;
        stub.resign(ResignRequest { leader: leader_key })
            .await
            .unwrap();
        let won = within("the second to win", second).await.unwrap().unwrap();
        assert_eq!(won.into_inner().leader.unwrap().key, "e/2");
        cluster.restart(leader);
    });
}

/// On every member, and under the next leader, which gives all leases the same remaining time.
#[test]
fn equal_leases_are_listed_in_the_order_of_their_grants() {
    on_three(&[], |cluster| async move {
        if not_on_etcd(
            &cluster,
            "members that do not lead list leases in any order",
        ) {
            return;
        }
        let granted = [5, 3, 9, 1, 7];
        for (lease, through) in granted
            .into_iter()
            .zip(cluster.numbers().into_iter().cycle())
        {
            grant(&cluster, through, lease, 600).await;
        }
        listed_by_all(&cluster, &granted).await;
        let leader = cluster.leader().await;
        cluster.move_leader(cluster.others(leader)[0]).await;
        listed_by_all(&cluster, &granted).await;
    });
}

async fn listed_by_all(cluster: &Cluster, granted: &[i64]) {
    for number in cluster.numbers() {
        let listed = eventually("all leases to be listed", || async {
            let mut stub = cluster.leases(number);
            let list = stub.lease_leases(pb::LeaseLeasesRequest {});
            let leases = list.await.ok()?.into_inner().leases;
            (leases.len() == granted.len()).then_some(leases)
        });
        let ids: Vec<_> = listed.await.iter().map(|lease| lease.id).collect();
        assert_eq!(ids, granted, "member {number}");
    }
}

/// A lease that is kept alive through a follower survives changes of leader.
#[test]
fn a_lease_kept_alive_outlives_its_leaders() {
    on_three(&[], |mut cluster| async move {
        let through = cluster.leader().await;
        cluster.move_leader(cluster.others(through)[0]).await;
        grant(&cluster, through, 7, TTL).await;
        put_leased(&cluster, through, "kept", 7).await;
        let keeper = keep_alive(&cluster, through, 7);
        for _ in 0..2 {
            let leader = cluster.leader().await;
            assert_ne!(leader, through, "it is spared");
            cluster.kill(leader);
            let next = cluster.leader_after(leader).await;
            cluster.restart(leader);
            if next == through {
                cluster.move_leader(leader).await;
            }
            cluster.wait_writable(&cluster.numbers()).await;
        }
        assert!(
            cluster.get(through, "kept").await.unwrap().is_some(),
            "it expired"
        );
        // Keep-alives stop here.
        keeper.abort();
        gone(&cluster, through, "kept").await;
    });
}

/// A new leader restarts the time to live, and the lease then expires.
#[test]
fn a_lease_nobody_keeps_alive_ends_under_the_next_leader() {
    on_three(&[], |mut cluster| async move {
        let leader = cluster.leader().await;
        let through = cluster.others(leader)[0];
        grant(&cluster, through, 7, TTL).await;
        put_leased(&cluster, through, "left", 7).await;
        cluster.kill(leader);
        gone(&cluster, through, "left").await;
        cluster.restart(leader);
        cluster.expect_same_history().await;
    });
}

/// A leader suspended for longer than its leases' TTL is no longer leader when it resumes, and must
/// not revoke leases that clients have renewed at the next leader.
#[test]
fn a_paused_leader_ends_no_lease() {
    on_three(&[], |mut cluster| async move {
        let why = "a known bug, #15247: the old leader revokes what it thinks expired";
        if not_on_etcd(&cluster, why) {
            return;
        }
        let leader = cluster.leader().await;
        let through = cluster.others(leader)[0];
        grant(&cluster, through, 7, TTL).await;
        put_leased(&cluster, through, "kept", 7).await;
        let begin = Instant::now();
        cluster.pause(leader);
        cluster.wait_writable(&[through]).await;
        let keeper = keep_alive(&cluster, through, 7);
        let slept = Duration::from_secs(TTL as u64) + ELECTION;
        eventually("longer than the lease lives", || async {
            let put = cluster.try_put(through, "work", "goes on").await;
            (put.is_ok() && begin.elapsed() > slept).then_some(())
        })
        .await;
        cluster.resume(leader);
        cluster.wait_writable(&[leader]).await;
        for _ in 0..50 {
            cluster.put(leader, "work", "goes on").await;
            assert!(
                cluster.get(through, "kept").await.unwrap().is_some(),
                "it was revoked"
            );
        }
        keeper.abort();
    });
}

pub(crate) async fn grant(cluster: &Cluster, through: usize, id: i64, ttl: i64) {
    let request = pb::LeaseGrantRequest { id, ttl };
    let granted = within("a grant", cluster.leases(through).lease_grant(request)).await;
    assert_eq!(granted.unwrap().into_inner().ttl, ttl);
}

pub(crate) async fn put_leased(cluster: &Cluster, through: usize, key: &'static str, lease: i64) {
    let put = api::put_leased(key, "1", lease);
    within("a put", cluster.kv(through).put(put)).await.unwrap();
}

/// Requests the lock in the background, and waits until the request is in the queue.
async fn queue(
    cluster: &Cluster,
    through: usize,
    lease: i64,
) -> JoinHandle<Result<Response<LockResponse>, Status>> {
    let mut stub = cluster.locks(through);
    let waiting = tokio::spawn(async move {
        let name = "l".into();
        stub.lock(LockRequest { name, lease }).await
    });
    let key = format!("l/{lease:x}");
    eventually("a place in the queue", || async {
        cluster.get(through, &key).await.ok()?.map(drop)
    })
    .await;
    waiting
}

async fn lock(cluster: &Cluster, through: usize, lease: i64) -> bytes::Bytes {
    let request = LockRequest {
        name: "l".into(),
        lease,
    };
    let locked = within("the lock", cluster.locks(through).lock(request)).await;
    locked.unwrap().into_inner().key
}

/// Renews a lease three times per time to live, until aborted. Reopens the stream when it breaks.
pub(crate) fn keep_alive(cluster: &Cluster, through: usize, id: i64) -> JoinHandle<()> {
    let mut stub = cluster.leases(through);
    let third = Duration::from_millis(TTL as u64 * 1000 / 3);
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(third);
        loop {
            // The requests come from this loop, not from a timer inside the stream: an endless
            // request stream would go on renewing after this task has ended.
            let (requests, receiver) = mpsc::channel(1);
            requests
                .send(pb::LeaseKeepAliveRequest { id })
                .await
                .unwrap();
            let asked = stub.lease_keep_alive(ReceiverStream::new(receiver));
            let Ok(Ok(answers)) = tokio::time::timeout(third, asked).await else {
                ticks.tick().await;
                continue;
            };
            let mut answers = answers.into_inner();
            // Without a leader a server may not answer a request.
            while let Ok(Ok(Some(_))) = tokio::time::timeout(third, answers.message()).await {
                ticks.tick().await;
                if requests
                    .send(pb::LeaseKeepAliveRequest { id })
                    .await
                    .is_err()
                {
                    break;
                }
            }
            ticks.tick().await;
        }
    })
}

/// Waits until a key has expired with its lease: the TTL restarts with a new leader, whose election
/// takes time, too.
pub(crate) async fn gone(cluster: &Cluster, through: usize, key: &str) {
    let limit = Duration::from_secs(TTL as u64) + ELECTION * 10 + Duration::from_secs(3);
    let what = "a lease without keep-alives to expire";
    eventually_by(Instant::now() + limit, what, || async {
        let found = cluster.get(through, key).await.ok()?;
        found.is_none().then_some(())
    })
    .await;
}
