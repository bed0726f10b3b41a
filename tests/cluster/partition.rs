//! Links that are cut, or that carry one direction only.

use std::sync::Arc;

use harness::history::load::Size;
use harness::history::{Load, Recorder};
use harness::{Cluster, eventually};

use crate::failover::follow_each;
use crate::{check_history, on_three};

/// Flags with long timeouts, for tests in which no unnecessary election may happen, however busy
/// the machine is.
pub(crate) const PATIENT: &[&str] = &["--election-timeout=4000", "--heartbeat-interval=100"];

/// A fault of one member's links.
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

/// An unreachable follower does not disturb the others, and returns without an election, because of
/// pre-vote.
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

/// The leader's heartbeats do not arrive; the others' votes reach it.
#[test]
fn a_leader_that_is_not_heard_is_replaced() {
    leader(Cluster::silence);
}

/// The leader's heartbeats arrive, but the answers do not: it must step down by itself, since the
/// followers see no reason for an election.
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

/// An isolated leader answers no linearizable read, even while it still believes to lead.
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
            // Sent at once, before the leader has noticed. An answer, if there is one, must be
            // current as of the request.
            tokio::time::timeout(std::time::Duration::from_millis(300), read).await
        };
        let (early, _) = tokio::join!(answer, write);
        assert!(
            !matches!(early, Ok(Ok(Some(ref value))) if value != "old"),
            "{early:?}"
        );
        // Now a newer value exists that the old leader cannot know of.
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
