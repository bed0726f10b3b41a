//! A log entry that no member can apply, in the logs of all members.

use conclave_proto::etcdserverpb as pb;
use harness::poison::{self, Poison};
use harness::{Cluster, eventually};

use crate::{not_on_etcd, on_three};

/// The runbook's procedure: read the members' errors, compare them, name the entry to each member.
#[test]
fn all_members_go_on_without_it_when_all_have_the_flag() {
    on_three(&[], |mut cluster| async move {
        if not_on_etcd(&cluster, "its log is of another kind") {
            return;
        }
        let poison = poison_all(&mut cluster).await;
        for number in cluster.numbers() {
            cluster.respawn(number);
            expect_end(&mut cluster, number, poison);
        }
        // A single member has no majority, and waits for the others.
        start_skipping(&mut cluster, 0, poison);
        let skipped = cluster.child(0).line("a log entry is skipped");
        assert!(skipped.is_some(), "{:#?}", cluster.child(0).lines());
        cluster.respawn(1);
        expect_end(&mut cluster, 1, poison);
        for number in [1, 2] {
            start_skipping(&mut cluster, number, poison);
        }
        for number in cluster.numbers() {
            cluster.member(number).expect_ready();
        }
        cluster.leader().await;
        cluster.wait_writable(&cluster.numbers()).await;
        for number in cluster.numbers() {
            let before = cluster.get(number, "before").await.unwrap();
            assert_eq!(before.as_deref(), Some("it"));
        }
        cluster.expect_same_history().await;
        without_the_flag(&mut cluster).await;
    });
}

/// Only members that have the entry in their logs need the flag. A member that joins later gets a
/// snapshot.
async fn without_the_flag(cluster: &mut Cluster) {
    for number in cluster.numbers() {
        cluster.terminate(number);
        cluster.member(number).set_own_flags::<String>(&[]);
        cluster.restart(number);
        cluster.leader().await;
    }
    let new = cluster.add(0).await;
    cluster.wait_writable(&[new]).await;
    cluster.expect_same_history().await;
}

/// Writes a key, and then an entry at the same index in the log of every member. Leaves all members
/// stopped.
async fn poison_all(cluster: &mut Cluster) -> Poison {
    cluster.put(0, "before", "it").await;
    cluster.expect_same_history().await;
    same_applied_index(cluster).await;
    // The leader is stopped last: otherwise the others would elect a new leader, whose log has
    // another entry.
    let leader = cluster.leader().await;
    for number in cluster.numbers() {
        if number != leader {
            cluster.kill(number);
        }
    }
    cluster.kill(leader);
    let (kind, payload, _) = poison::payloads().swap_remove(0);
    let mut placed = Vec::new();
    for number in cluster.numbers() {
        let data_dir = cluster.member(number).data_dir();
        placed.push(poison::append(&data_dir, kind, payload.clone()));
    }
    assert!(placed.windows(2).all(|two| two[0] == two[1]), "{placed:?}");
    placed[0]
}

/// Waits until all members have applied the same last entry.
async fn same_applied_index(cluster: &Cluster) {
    eventually("all members to have applied the same entries", || async {
        let mut indexes = Vec::new();
        for number in cluster.numbers() {
            let status: pb::StatusResponse = cluster.status(number).await.ok()?;
            indexes.push((status.raft_applied_index, status.raft_index));
        }
        let first = indexes[0];
        let is_done = first.0 == first.1;
        (is_done && indexes.iter().all(|&index| index == first)).then_some(())
    })
    .await;
}

fn start_skipping(cluster: &mut Cluster, number: usize, poison: Poison) {
    cluster.member(number).set_own_flags(&[poison.flag()]);
    cluster.respawn(number);
}

fn expect_end(cluster: &mut Cluster, number: usize, poison: Poison) {
    let child = cluster.child(number);
    let (status, lines) = (child.wait(), child.lines());
    assert_eq!(status.code(), Some(1), "{lines:#?}");
    let reason = lines.iter().find(|line| line.starts_with("conclave: "));
    assert!(reason.unwrap().contains(&poison.flag()), "{lines:#?}");
}
