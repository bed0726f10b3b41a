//! Clusters of several members, each a process: elections, faults of processes and of links,
//! changes of the membership, and their effect on clients.
//!
//! `CONCLAVE_TEST_SERVER=etcd` runs all of it against real etcd 3.4, which is how the tests
//! themselves are tested. A test that 3.4 cannot pass says so ([`not_on_etcd`]).
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod accounts;
mod audited;
mod basics;
mod behind;
mod certificates;
mod chaos;
mod checker;
mod clocks;
mod crowds;
mod damaged;
mod failed_sync;
mod failover;
mod forced;
mod full_disks;
mod large_reads;
mod logins;
mod membership;
mod metrics;
mod namespaces;
mod nested;
mod partition;
mod poisoned;
mod quorum;
mod refused;
mod rejoin;
mod rolling;
mod rotation;
mod sequences;
mod sessions;
mod traces;
mod web_tokens;

use std::future::Future;

use harness::Cluster;
use harness::history::{self, Recorder, Truth, follow, operations, watches};

/// Runs a test on a fresh cluster of three.
fn on_three<F: Future<Output = ()>>(flags: &[&str], test: impl FnOnce(Cluster) -> F) {
    harness::run(async { test(Cluster::start(3, flags).await).await });
}

/// Returns true, and prints the reason, on etcd 3.4, where the rest of the test does not apply.
fn not_on_etcd(cluster: &Cluster, reason: &str) -> bool {
    if cluster.is_etcd() {
        eprintln!("skipped on etcd 3.4: {reason}");
    }
    cluster.is_etcd()
}

/// Checks the recorded history, and that all members have the same one. All members must be
/// reachable.
async fn check_history(cluster: &Cluster, recorder: &Recorder, followers: &[history::Follower]) {
    let last = cluster.expect_same_history().await;
    let mut truth = None;
    for number in cluster.alive() {
        let events = follow::tell_all(cluster.endpoint(number), last).await;
        let (told, violations) = Truth::replay(events);
        history::expect_none(&violations);
        let first = truth.get_or_insert_with(|| told.clone());
        assert_eq!(
            first.events(),
            told.events(),
            "member {number} has another history"
        );
    }
    for number in cluster.alive() {
        // Correct members send no message that is refused.
        let refused = "conclave_raft_messages_refused_total";
        let refused = cluster.metric(number, refused).await;
        assert_eq!(refused, 0.0, "raft messages to member {number}");
    }
    let truth = truth.expect("a cluster has a member");
    let done = recorder.operations();
    history::expect_none(&operations::check(&done, &truth, history::load::PREFIX));
    for follower in followers {
        let concerns = |event: &&history::Event| event.key.starts_with(follower.prefix());
        let events = truth.events().iter().filter(concerns);
        let until = events.map(|event| event.revision).max().unwrap_or(0);
        follower.reach(until).await;
        let (told, range) = (follower.events(), (follower.from(), last));
        let (name, prefix) = (follower.name(), follower.prefix());
        history::expect_none(&watches::check(name, &told, &truth, prefix, range));
    }
}
