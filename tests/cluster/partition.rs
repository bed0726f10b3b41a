//! Links that are cut, or that carry one way only.

use std::sync::Arc;

use harness::history::load::Size;
use harness::history::{Load, Recorder};
use harness::{Cluster, eventually};

use crate::failover::follow_each;
use crate::{check_history, on_three};

/// Elections that are called only when they must be, however busy the machine is: where none may
/// happen.
pub(crate) const PATIENT: &[&str] = &["--election-timeout=4000", "--heartbeat-interval=100"];

/// What is done to the links of one member.
type Fault = fn(&Cluster, usize);

#[test]
fn a_follower_cut_off_catches_up() {
    follower(Cluster::isolate);
}

#[test]
fn a_follower_that_hears_nothing_catches_up() {
    follower(Cluster::deafen);
}

#[test]
fn a_follower_that_is_not_heard_catches_up() {
    follower(Cluster::silence);
}

/// A follower out of reach does not disturb the others, and comes back without an election: it
/// asks before it calls one.
fn follower(fault: Fault) {
    on_three(PATIENT, |cluster| async move {
        let leader = cluster.leader().await;
        let follower = cluster.others(leader)[0];
        let recorder = Arc::new(Recorder::default());
        let followers = follow_each(&cluster);
        let endpoints = cluster.endpoints();
        let size = Size {
            clients: 4,
            keys: 5,
            seed: 2,
        };
        let load = Load::start(&endpoints, size, &recorder);
        load.wait_for(30).await;
        let term = cluster.status(leader).await.unwrap().raft_term;
        fault(&cluster, follower);
        load.wait_for(300).await;
        cluster.heal();
        cluster.wait_writable(&[follower]).await;
        load.stop().await;
        let after = cluster.status(leader).await.unwrap().raft_term;
        assert_eq!(after, term, "an election");
        check_history(&cluster, &recorder, &followers).await;
    });
}

#[test]
fn a_leader_cut_off_is_replaced() {
    leader(Cluster::isolate);
}

/// Its heartbeats do not arrive; it hears the others' votes.
#[test]
fn a_leader_that_is_not_heard_is_replaced() {
    leader(Cluster::silence);
}

/// Its heartbeats arrive, and no answer to them: it must give up by itself, or nobody would.
#[test]
fn a_leader_that_hears_nothing_is_replaced() {
    leader(Cluster::deafen);
}

fn leader(fault: Fault) {
    on_three(&[], |cluster| async move {
        let recorder = Arc::new(Recorder::default());
        let followers = follow_each(&cluster);
        let size = Size {
            clients: 6,
            keys: 5,
            seed: 3,
        };
        let load = Load::start(&cluster.endpoints(), size, &recorder);
        for _ in 0..2 {
            load.wait_for(50).await;
            let old = cluster.leader().await;
            let others = cluster.others(old);
            fault(&cluster, old);
            cluster.wait_writable(&others).await;
            load.wait_for(50).await;
            cluster.heal();
            cluster.wait_writable(&[old]).await;
        }
        load.stop().await;
        check_history(&cluster, &recorder, &followers).await;
    });
}

/// A leader cut off from everyone answers no linearizable read, however long it believes.
#[test]
fn a_leader_cut_off_answers_nothing_stale() {
    on_three(&[], |cluster| async move {
        let old = cluster.leader().await;
        cluster.put(old, "a", "old").await;
        cluster.isolate(old);
        let new = cluster.others(old)[0];
        let read = cluster.get(old, "a");
        let write = cluster.put(new, "a", "new");
        let answer = async {
            // Asked at once, it has not noticed yet. What it answers, if it does, was true when
            // it was asked.
            tokio::time::timeout(std::time::Duration::from_millis(300), read).await
        };
        let (early, _) = tokio::join!(answer, write);
        assert!(
            !matches!(early, Ok(Ok(Some(ref value))) if value != "old"),
            "{early:?}"
        );
        // Now there is something newer, and it cannot know that.
        let late = tokio::time::timeout(
            std::time::Duration::from_millis(1500),
            cluster.get(old, "a"),
        );
        let late = late.await;
        assert!(!matches!(late, Ok(Ok(_))), "{late:?}");
        assert_eq!(
            cluster.local(old, "a").await.unwrap().as_deref(),
            Some("old")
        );
        cluster.heal();
        eventually("the old leader to read what is new", || async {
            let value = cluster.get(old, "a").await.ok().flatten();
            (value.as_deref() == Some("new")).then_some(())
        })
        .await;
    });
}
