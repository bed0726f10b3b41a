//! Members whose disk fails to sync: each stops at the first failure and names the file, what it
//! did not sync does not count towards a majority, and the others go on.

use std::time::Duration;

use harness::syncs::{FailingSyncs, REASON};
use harness::{Cluster, within};

use crate::quorum::no_leader;
use crate::{behind, not_on_etcd, on_three};

/// Time limit for the process to end, on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(5);

/// The log's location in the data directory.
const LOG: &str = "member/log";

const ON_ETCD: &str = "it panics, with another text";

#[test]
fn a_follower_that_cannot_sync_stops_and_the_others_go_on() {
    on_three(&[], |mut cluster| async move {
        if not_on_etcd(&cluster, ON_ETCD) {
            return;
        }
        let leader = cluster.leader().await;
        let follower = cluster.others(leader)[0];
        cluster.put(follower, "k", "before").await;
        let Some(_failing) = FailingSyncs::of(cluster.child(follower).pid()) else {
            return;
        };
        cluster.put(leader, "k", "meanwhile").await;
        stopped(&mut cluster, follower, LOG);
        for through in cluster.others(follower) {
            cluster.put(through, "k", "after").await;
        }
        assert_eq!(cluster.leader().await, leader, "another member leads");
        cluster.restart(follower);
        let found = cluster.get(follower, "k").await.unwrap();
        assert_eq!(found.as_deref(), Some("after"));
        cluster.expect_same_history().await;
    });
}

#[test]
fn a_leader_that_cannot_sync_stops_and_another_leads() {
    on_three(&[], |mut cluster| async move {
        if not_on_etcd(&cluster, ON_ETCD) {
            return;
        }
        let leader = cluster.leader().await;
        let mut acknowledged = Vec::new();
        for index in 0..10 {
            acknowledged.push(format!("before{index}"));
            cluster.put(leader, &acknowledged[index], "x").await;
        }
        let Some(_failing) = FailingSyncs::of(cluster.child(leader).pid()) else {
            return;
        };
        // The other members may have synced it in time, so the put may succeed.
        let put = cluster.try_put(leader, "meanwhile", "x");
        if within("an answer", put).await.is_ok() {
            acknowledged.push("meanwhile".to_owned());
        }
        stopped(&mut cluster, leader, LOG);
        let next = cluster.leader_after(leader).await;
        for key in &acknowledged {
            let found = cluster.get(next, key).await.unwrap();
            assert!(found.is_some(), "{key} is lost");
        }
        cluster.wait_writable(&cluster.others(leader)).await;
        cluster.restart(leader);
        cluster.wait_writable(&[leader]).await;
        cluster.expect_same_history().await;
    });
}

/// With one of three members down, the follower's disk is needed for the majority.
#[test]
fn what_a_follower_did_not_sync_is_not_acknowledged() {
    not_acknowledged(|_leader, follower| follower);
}

/// The leader's disk is needed, too, although the leader has the write and the follower has synced
/// it.
#[test]
fn what_the_leader_did_not_sync_is_not_acknowledged() {
    not_acknowledged(|leader, _follower| leader);
}

/// One of three members is down, and the syncs of the leader or of the follower fail.
fn not_acknowledged(failing: fn(usize, usize) -> usize) {
    on_three(&[], |mut cluster| async move {
        if not_on_etcd(&cluster, ON_ETCD) {
            return;
        }
        let leader = cluster.leader().await;
        let (follower, gone) = (cluster.others(leader)[0], cluster.others(leader)[1]);
        let failing = failing(leader, follower);
        let survivor = if failing == leader { follower } else { leader };
        cluster.put(leader, "k", "before").await;
        cluster.kill(gone);
        cluster.put(follower, "k", "kept").await;
        let Some(_failing) = FailingSyncs::of(cluster.child(failing).pid()) else {
            return;
        };
        let mut kv = cluster.kv(leader);
        let put = tokio::spawn(async move { kv.put(harness::api::put("k", "unsynced")).await });
        stopped(&mut cluster, failing, LOG);
        no_leader(&cluster, survivor).await;
        // A leader that has ended has returned an error; one that runs may still wait for a
        // majority.
        if failing == leader || put.is_finished() {
            let answer = within("an answer", put).await.unwrap();
            assert!(answer.is_err(), "acknowledged on one disk of three");
        }
        cluster.respawn(gone);
        cluster.wait_writable(&[survivor, gone]).await;
        cluster.restart(failing);
        // It may have been committed by now.
        let found = cluster.get(failing, "k").await.unwrap().unwrap();
        assert!(["kept", "unsynced"].contains(&&found[..]), "{found}");
        cluster.expect_same_history().await;
    });
}

/// No acknowledgement depends on a snapshot that is being received, but a disk that loses a part of
/// it may lose anything.
#[test]
fn a_follower_that_cannot_sync_a_snapshot_stops() {
    on_three(behind::FLAGS, |mut cluster| async move {
        if not_on_etcd(&cluster, ON_ETCD) {
            return;
        }
        let leader = cluster.leader().await;
        let follower = cluster.others(leader)[0];
        cluster.kill(follower);
        let enough = behind::enough(&cluster);
        behind::fill(&cluster, leader, enough, 4 << 10).await;
        // A slow transfer, so that the failing syncs are those of the snapshot.
        cluster.network().slow(leader, follower, 2 << 20);
        cluster.respawn(follower);
        let begun = cluster.child(leader).line("sending a snapshot");
        assert!(begun.is_some());
        let Some(failing) = FailingSyncs::of(cluster.child(follower).pid()) else {
            return;
        };
        stopped(&mut cluster, follower, "member/state.");
        drop(failing);
        cluster.heal();
        cluster.restart(follower);
        cluster.expect_same_history().await;
    });
}

/// Expects the member's process to end by itself, at once, and to name the place.
fn stopped(cluster: &mut Cluster, number: usize, place: &str) {
    let place = cluster.member(number).data_dir().join(place);
    let child = cluster.child(number);
    child.wait_at_most(AT_ONCE);
    child.expect_error(REASON, &place);
    // For the cluster it is dead, not unreachable.
    cluster.kill(number);
}
