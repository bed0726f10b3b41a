//! Members whose messages must be refused.

use std::fs;
use std::path::Path;

use harness::{Cluster, eventually, within};

use crate::{not_on_etcd, on_three};

/// Logged by etcd and conclave when a member of another cluster connects.
const OF_ANOTHER_CLUSTER: [&str; 2] = ["cluster ID mismatch", "--initial-cluster-token"];

/// Logged by either server to refuse a member that has run before and has lost its data.
const BOOTSTRAPPED: &str = "has already been bootstrapped";

/// Expects the member to log this reason and to end with a failure.
fn expect_end(cluster: &mut Cluster, number: usize, said: &str) {
    let child = cluster.child(number);
    assert!(child.line(said).is_some(), "{:#?}", child.lines());
    let status = child.wait();
    assert!(!status.success(), "{status}");
}

#[test]
fn a_member_with_another_token_is_refused() {
    harness::run(async {
        let mut cluster = Cluster::prepare(3, &[], "a-test");
        cluster.member(2).set_token("another-test");
        for number in 0..2 {
            cluster.respawn(number);
        }
        for number in 0..2 {
            cluster.member(number).expect_ready();
        }
        cluster.put(0, "a", "1").await;
        cluster.respawn(2);
        let mut said = |number: usize| {
            let lines = cluster.child(number).lines();
            let about = |line: &&String| OF_ANOTHER_CLUSTER.iter().any(|text| line.contains(text));
            lines.iter().find(about).cloned()
        };
        let mut tries = tokio::time::interval(std::time::Duration::from_millis(20));
        let found = async {
            loop {
                tries.tick().await;
                if let Some(line) = (0..3).find_map(&mut said) {
                    return line;
                }
            }
        };
        within("a log line about it", found).await;
        let ready = |line: &String| line.contains("ready to serve client requests");
        assert!(!cluster.child(2).lines().iter().any(ready), "it serves");
        // With the right token it joins.
        cluster.kill(2);
        cluster.wipe(2);
        cluster.member(2).set_token("a-test");
        cluster.restart(2);
        assert_eq!(cluster.get(2, "a").await.unwrap().as_deref(), Some("1"));
    });
}

/// A member that has lost its data has forgotten its votes, and could vote twice in one term.
#[test]
fn an_emptied_directory_is_refused() {
    on_three(&[], |mut cluster| async move {
        let leader = cluster.leader().await;
        let victim = cluster.others(leader)[0];
        cluster.put(victim, "a", "1").await;
        cluster.kill(victim);
        cluster.wipe(victim);
        cluster.respawn(victim);
        expect_end(&mut cluster, victim, BOOTSTRAPPED);
        cluster.put(leader, "a", "2").await;
        // To return, it has to be removed and added again.
        cluster.remove(leader, victim).await;
        let new = cluster.add(leader).await;
        eventually("the new one to have it", || async {
            let value = cluster.local(new, "a").await.ok().flatten();
            (value.as_deref() == Some("2")).then_some(())
        })
        .await;
    });
}

/// At its start no other member answers, so it takes itself for a founder of a new cluster. It is
/// corrected by the first member it reaches, before it sends any raft message: otherwise these two
/// would be a majority, and the one that misses a write could lead it.
#[test]
fn an_emptied_directory_is_refused_by_those_it_meets_later() {
    on_three(&[], |mut cluster| async move {
        if not_on_etcd(&cluster, "it becomes a member again") {
            return;
        }
        let leader = cluster.leader().await;
        let (victim, behind) = (cluster.others(leader)[0], cluster.others(leader)[1]);
        // It has recorded that all members have been ready.
        cluster.list(behind).await;
        cluster.isolate(behind);
        cluster.put(leader, "a", "1").await;
        for number in [victim, leader, behind] {
            cluster.kill(number);
        }
        cluster.wipe(victim);
        cluster.respawn(victim);
        assert!(
            cluster
                .child(victim)
                .line("the raft log ends here")
                .is_some()
        );
        cluster.heal();
        // It is asked before it knows which entries of its log are committed.
        cluster.respawn(behind);
        expect_end(&mut cluster, victim, BOOTSTRAPPED);
        // A restart on the directory it began does not help.
        cluster.respawn(victim);
        expect_end(&mut cluster, victim, BOOTSTRAPPED);
        cluster.restart(leader);
        assert_eq!(
            cluster.get(behind, "a").await.unwrap().as_deref(),
            Some("1")
        );
    });
}

/// A copy of a member's directory lacks what was acknowledged after the copy was made.
#[test]
fn a_directory_put_back_from_a_copy_is_refused() {
    on_three(&[], |mut cluster| async move {
        let leader = cluster.leader().await;
        let victim = cluster.others(leader)[0];
        cluster.put(leader, "a", "1").await;
        cluster.terminate(victim);
        let (data_dir, copy) = (
            cluster.member(victim).data_dir(),
            tempfile::tempdir().unwrap(),
        );
        copy_folder(&data_dir, copy.path());
        cluster.restart(victim);
        // The victim acknowledges this write: the third member is down.
        let other = cluster.others(leader).into_iter().find(|&n| n != victim);
        let other = other.unwrap();
        cluster.isolate(other);
        cluster.put(leader, "a", "2").await;
        cluster.heal();
        // With both down the leader would step down, and it alone has what the victim acknowledged.
        eventually("the third to have it", || async {
            let value = cluster.local(other, "a").await.ok().flatten();
            (value.as_deref() == Some("2")).then_some(())
        })
        .await;
        cluster.kill(victim);
        cluster.wipe(victim);
        copy_folder(copy.path(), &data_dir);
        cluster.respawn(victim);
        // etcd fails with the raft library's panic.
        let said = if cluster.is_etcd() {
            "Was the raft log corrupted, truncated, or lost?"
        } else {
            "acknowledged log entries up to"
        };
        expect_end(&mut cluster, victim, said);
        assert_eq!(
            cluster.get(leader, "a").await.unwrap().as_deref(),
            Some("2")
        );
    });
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Two processes must not be the same member: the second to open a data directory is refused.
#[test]
fn a_directory_of_another_member_is_refused() {
    on_three(&[], |mut cluster| async move {
        if not_on_etcd(&cluster, "it waits for the other to end") {
            return;
        }
        let leader = cluster.leader().await;
        let (victim, owner) = (cluster.others(leader)[0], cluster.others(leader)[1]);
        cluster.put(owner, "a", "1").await;
        cluster.kill(victim);
        let taken = cluster.member(owner).data_dir();
        cluster
            .member(victim)
            .set_own_flags(&[format!("--data-dir={}", taken.display())]);
        cluster.respawn(victim);
        let status = cluster.child(victim).wait();
        let lines = cluster.child(victim).lines();
        assert_eq!(status.code(), Some(1), "{lines:#?}");
        let says = |line: &String| line.contains("is in use by another process");
        assert!(lines.iter().any(says), "{lines:#?}");
        // The first process is not disturbed, and with its own directory the second is a member
        // again.
        cluster.put(owner, "a", "2").await;
        cluster.member(victim).set_own_flags::<String>(&[]);
        cluster.restart(victim);
        assert_eq!(
            cluster.get(victim, "a").await.unwrap().as_deref(),
            Some("2")
        );
        cluster.expect_same_history().await;
    });
}
