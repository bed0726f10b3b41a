//! Members with a damaged log. None of them starts, since it may have lost a vote or an entry that
//! others rely on; the cluster goes on, and a new member replaces it.

use std::fs;
use std::path::Path;

use harness::damage::{files, flip_bits, largest};
use harness::{Cluster, within};

use crate::{not_on_etcd, on_three};

const VALUE_BYTES: usize = 32 << 10;

/// Part of the error about a log that cannot be read at the start.
const NAMES_THE_LOG: &str = "member/log";
/// Part of the error when the leader's messages show that entries are missing.
const NAMES_THE_END: &str = "and its log ends at";

/// Flipped bits in the entries it acknowledged last.
#[test]
fn a_member_with_a_damaged_log_is_replaced() {
    let damage = |log: &Path| flip_bits(&largest(log, "log"));
    refused_and_replaced(100, damage, NAMES_THE_LOG);
}

/// A missing file in the middle, which leaves a hole in the log.
#[test]
fn a_member_with_a_hole_in_its_log_is_replaced() {
    let damage = |log: &Path| {
        let tables = files(log, "sst");
        fs::remove_file(&tables[tables.len() / 2]).unwrap();
    };
    refused_and_replaced(800, damage, NAMES_THE_LOG);
}

/// The last file is missing. Nothing on the member's disk shows it; the leader's messages do.
#[test]
fn a_member_whose_log_lost_its_end_is_replaced() {
    let damage = |log: &Path| {
        assert!(!files(log, "sst").is_empty(), "something is left");
        let newest = files(log, "log").pop().unwrap();
        fs::remove_file(newest).unwrap();
    };
    refused_and_replaced(400, damage, NAMES_THE_END);
}

/// Writes this many keys, kills a follower and damages its log.
fn refused_and_replaced(keys: usize, damage: fn(&Path), says: &str) {
    on_three(&[], |mut cluster| async move {
        if not_on_etcd(&cluster, "its log has another format") {
            return;
        }
        let leader = cluster.leader().await;
        let follower = cluster.others(leader)[0];
        for index in 0..keys {
            put(&cluster, leader, index).await;
        }
        cluster.expect_same_history().await;
        cluster.kill(follower);
        damage(&cluster.member(follower).data_dir().join("member/log"));
        cluster.respawn(follower);
        let child = cluster.child(follower);
        let (status, lines) = (child.wait(), child.lines());
        assert_eq!(status.code(), Some(1), "{lines:#?}");
        let reason = lines.iter().find(|line| line.starts_with("conclave: "));
        let reason = reason.unwrap();
        assert!(reason.contains(says), "{reason}");
        cluster.kill(follower);
        put(&cluster, leader, keys).await;
        cluster.remove(leader, follower).await;
        let new = cluster.add(leader).await;
        cluster.wait_writable(&[new]).await;
        let all = harness::api::range("k", "l");
        let reply = within("a read", cluster.kv(new).range(all)).await;
        assert_eq!(reply.unwrap().into_inner().count, keys as i64 + 1);
        cluster.expect_same_history().await;
    });
}

async fn put(cluster: &Cluster, through: usize, index: usize) {
    // Not compressible, so that the files have their full size.
    let value: Vec<u8> = (0..VALUE_BYTES)
        .map(|at| (at * at / 7 + index * 17) as u8)
        .collect();
    let put = cluster.try_put(through, format!("k{index}"), value);
    within("a put", put).await.unwrap();
}
