//! Loss of the leader, by each way in which a process can fail.

use std::sync::Arc;

use harness::history::load::{PREFIX, Size};
use harness::history::{Follower, Load, Recorder};
use harness::{Cluster, eventually, within};

use crate::{check_history, on_three};

const SIZE: Size = Size {
    clients: 6,
    keys: 5,
    seed: 1,
};

#[test]
fn writes_resume_after_the_leader_is_killed() {
    on_three(&[], |mut cluster| async move {
        let leader = cluster.leader().await;
        let others = cluster.others(leader);
        // A watcher on a follower, whose stream stays open.
        let (endpoint, prefix) = (cluster.endpoint(others[0]).to_owned(), "k");
        let follower = Follower::start("watcher", &[endpoint], prefix, 1);
        let before = cluster.put(leader, "k", "before").await;
        follower.reach(before).await;
        cluster.kill(leader);
        for &through in &others {
            cluster.put(through, "k", "after").await;
        }
        let last = cluster.revision(others[1]).await.unwrap();
        follower.reach(last).await;
        assert_eq!(
            follower.resumed(),
            0,
            "the stream of a live member does not break"
        );
        cluster.restart(leader);
        assert_eq!(
            cluster.get(leader, "k").await.unwrap().as_deref(),
            Some("after")
        );
        cluster.expect_same_history().await;
    });
}

/// The leader is killed repeatedly while clients of all members work.
#[test]
fn nothing_acknowledged_is_lost_when_leaders_are_killed() {
    on_three(&[], |mut cluster| async move {
        let recorder = Arc::new(Recorder::default());
        let followers = follow_each(&cluster);
        let load = Load::start(&cluster.endpoints(), SIZE, &recorder);
        for _ in 0..4 {
            load.wait_for(100).await;
            let leader = cluster.leader().await;
            cluster.kill(leader);
            cluster.leader_after(leader).await;
            load.wait_for(50).await;
            cluster.restart(leader);
        }
        load.stop().await;
        cluster.wait_writable(&cluster.numbers()).await;
        check_history(&cluster, &recorder, &followers).await;
    });
}

/// A suspended leader is replaced. When it resumes it does not know that yet, and at that moment it
/// finds read requests that are already in its sockets.
#[test]
fn a_paused_leader_does_not_answer_stale() {
    on_three(&[], |mut cluster| async move {
        for round in 0..3 {
            let leader = cluster.leader().await;
            let old = format!("old {round}");
            cluster.put(leader, "a", &old).await;
            // Connections made before the pause.
            let mut readers: Vec<_> = (0..8).map(|_| cluster.kv(leader)).collect();
            for reader in &mut readers {
                reader.range(harness::api::get("a")).await.unwrap();
            }
            cluster.pause(leader);
            let new_leader = cluster.leader_after(leader).await;
            let new = format!("new {round}");
            let written = cluster.put(new_leader, "a", &new).await;
            let reads: Vec<_> = readers
                .into_iter()
                .map(|mut reader| {
                    tokio::spawn(async move { reader.range(harness::api::get("a")).await })
                })
                .collect();
            cluster.resume(leader);
            for read in reads {
                let answer = within("a read of the old leader", read).await.unwrap();
                let Ok(reply) = answer else { continue };
                let reply = reply.into_inner();
                assert!(
                    harness::api::revision_of(&reply.header) >= written,
                    "{reply:?}"
                );
                assert_eq!(
                    harness::api::values(&reply.kvs),
                    std::slice::from_ref(&new),
                    "round {round}"
                );
            }
            cluster.wait_writable(&cluster.numbers()).await;
        }
        cluster.expect_same_history().await;
    });
}

/// A graceful stop transfers leadership first, so that writes hardly pause.
#[test]
fn a_leader_that_is_asked_to_stop_hands_over() {
    on_three(&[], |mut cluster| async move {
        let leader = cluster.leader().await;
        let other = cluster.others(leader)[0];
        cluster.put(leader, "a", "1").await;
        let term = cluster.status(other).await.unwrap().raft_term;
        cluster.terminate(leader);
        let new = cluster.leader_after(leader).await;
        cluster.put(new, "a", "2").await;
        let status = cluster.status(new).await.unwrap();
        assert_eq!(
            status.raft_term,
            term + 1,
            "one election, and no vote was split"
        );
        cluster.restart(leader);
        eventually("the old leader to have it", || async {
            let value = cluster.local(leader, "a").await.ok().flatten();
            (value.as_deref() == Some("2")).then_some(())
        })
        .await;
    });
}

/// Starts one watcher of the load at each member, from the beginning.
pub(crate) fn follow_each(cluster: &Cluster) -> Vec<Follower> {
    let follow = |number| {
        let endpoint = cluster.endpoint(number).to_owned();
        Follower::start(&format!("watcher at {number}"), &[endpoint], PREFIX, 1)
    };
    cluster.numbers().into_iter().map(follow).collect()
}
