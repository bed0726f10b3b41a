//! A follower that needs entries which the leader's log no longer has: it receives a snapshot.

use std::sync::Arc;

use harness::history::{self, Follower, Truth, follow, watches};
use harness::wait::DEADLINE;
use harness::{Cluster, api, eventually};
use rand::distr::{Alphanumeric, SampleString as _};

use crate::{not_on_etcd, on_three};

/// Flags that keep few log entries below the last snapshot. (etcd 3.4 keeps 5,000, which no flag
/// changes.) The leader must stay leader although its disk may stall under the writes, hence the
/// timeouts, as in [`crate::partition::PATIENT`].
pub(crate) const FLAGS: &[&str] = &[
    "--snapshot-count=2000",
    "--snapshot-catchup-entries=5",
    "--election-timeout=4000",
    "--heartbeat-interval=100",
];
/// Values so large that conclave compacts its log because of their size. Because of the number of
/// entries it compacts once at first, and then every ten seconds at most.
const LARGE: usize = 64 << 10;

/// Number of clients that put at the same time.
pub(crate) const CLIENTS: usize = 128;

/// Number of puts that need a snapshot. Concurrent puts share entries, so there are more puts than
/// entries.
pub(crate) fn enough(cluster: &Cluster) -> usize {
    if cluster.is_etcd() { 9_000 } else { 3_000 }
}

/// The line a member logs when it has installed a snapshot.
fn installed(cluster: &Cluster) -> &'static str {
    if cluster.is_etcd() {
        "applied snapshot"
    } else {
        "a snapshot is put in place"
    }
}

/// The lines of etcd and conclave when a leader sends a snapshot.
const SENT: [&str; 2] = ["sending database snapshot", "sending a snapshot"];

/// Watchers of the follower see every event once, including those that waited for missed events.
#[test]
fn a_snapshot_hides_nothing_from_watchers() {
    on_three(FLAGS, |mut cluster| async move {
        let leader = cluster.leader().await;
        let follower = cluster.others(leader)[0];
        let endpoint = [cluster.endpoint(follower).to_owned()];
        let first = cluster.put(leader, "k/0", "first").await;
        let watchers = [
            Follower::start("from the start", &endpoint, "k/", 1),
            Follower::start("from then on", &endpoint, "k/", first + 1),
            Follower::start("from the middle", &endpoint, "k/", first + 100),
            Follower::start("of others", &endpoint, "z/", 1),
        ];
        watchers[0].reach(first).await;
        // Isolated, not killed: the streams stay open while the snapshot is installed.
        cluster.isolate(follower);
        fill(&cluster, leader, enough(&cluster), 1).await;
        cluster.heal();
        let said = installed(&cluster);
        assert!(cluster.child(follower).line(said).is_some());
        expect_counted(&cluster, leader, follower).await;
        cluster.put(leader, "k/0", "last").await;
        cluster.put(leader, "z/0", "last").await;
        let last = cluster.expect_same_history().await;
        let events = follow::tell_all(cluster.endpoint(leader), last).await;
        let (truth, violations) = Truth::replay(events);
        history::expect_none(&violations);
        for watcher in &watchers {
            watcher.reach(last - 1).await;
            let (told, range) = (watcher.events(), (watcher.from(), last));
            let (name, prefix) = (watcher.name(), watcher.prefix());
            history::expect_none(&watches::check(name, &told, &truth, prefix, range));
            assert_eq!(watcher.resumed(), 0, "{name}: its stream stayed open");
        }
    });
}

/// Expects both ends to have counted the snapshot.
async fn expect_counted(cluster: &Cluster, from: usize, to: usize) {
    let (sender, receiver) = (cluster.id(from, from).await, cluster.id(from, to).await);
    let prefix = "etcd_network_snapshot";
    for (number, series) in [
        (
            from,
            format!(r#"{prefix}_send_success{{To="{receiver:x}"}}"#),
        ),
        (
            to,
            format!(r#"{prefix}_receive_success{{From="{sender:x}"}}"#),
        ),
    ] {
        eventually("a snapshot to be counted", || async {
            (cluster.metric(number, &series).await >= 1.0).then_some(())
        })
        .await;
    }
}

/// A member killed at any point of an installation restarts with its previous state or with the
/// snapshot's.
#[test]
fn killed_while_it_receives_a_snapshot() {
    on_three(FLAGS, |mut cluster| async move {
        let leader = cluster.leader().await;
        let follower = cluster.others(leader)[0];
        // etcd needs many more entries for each snapshot.
        let (rounds, count, size) = match cluster.is_etcd() {
            true => (2, enough(&cluster), 1),
            false => (4, 1_200, LARGE),
        };
        for round in 0..rounds {
            cluster.kill(follower);
            fill(&cluster, leader, count, size).await;
            cluster.respawn(follower);
            // Killed later in each round: after a few reads through the leader at first, then after
            // more.
            for _ in 0..(20_u32 << round) {
                cluster.get(leader, "k/0").await.unwrap();
            }
        }
        let last = cluster.put(leader, "k/0", "last").await;
        eventually("the follower to catch up", || async {
            let revision = cluster.local_revision(follower).await.ok()?;
            (revision >= last).then_some(())
        })
        .await;
        cluster.expect_same_history().await;
        let lines = cluster.child(leader).lines();
        let sent = |line: &String| SENT.iter().any(|sent| line.contains(sent));
        assert!(lines.iter().any(sent), "no snapshot was sent");
    });
}

/// A member that receives its snapshot over a slow line gets it without delaying other members,
/// including one that was added since and needs a newer snapshot. It needs no second snapshot,
/// although more is written meanwhile than the log usually keeps.
#[test]
fn a_slow_receiver_holds_up_nobody() {
    on_three(FLAGS, |mut cluster| async move {
        if not_on_etcd(
            &cluster,
            "it keeps 5,000 entries, and 5,000 such values take long",
        ) {
            return;
        }
        let leader = cluster.leader().await;
        let slow = cluster.others(leader)[0];
        cluster.kill(slow);
        fill(&cluster, leader, enough(&cluster), 4 << 10).await;
        cluster.network().slow(leader, slow, 1 << 20);
        cluster.respawn(slow);
        let slow_id = cluster.id(leader, slow).await;
        let of_slow = |what: &str| format!(r#""{what}","member":"{slow_id:x}""#);
        let begun = cluster.child(leader).line(&of_slow("sending a snapshot"));
        assert!(begun.is_some());
        fill(&cluster, leader, 1_200, LARGE).await;
        let added = cluster.add_learner(leader).await;
        let said = installed(&cluster);
        assert!(cluster.child(added).line(said).is_some());
        let count = |cluster: &mut Cluster, what: &str| {
            let lines = cluster.child(leader).lines();
            lines.iter().filter(|line| line.contains(what)).count()
        };
        assert_eq!(
            count(&mut cluster, "a snapshot was sent"),
            1,
            "to the added"
        );
        let done = cluster.child(leader).line(&of_slow("a snapshot was sent"));
        assert!(done.is_some());
        cluster.heal();
        cluster.promote(leader, added).await;
        cluster.expect_same_history().await;
        assert_eq!(count(&mut cluster, &of_slow("sending a snapshot")), 1);
    });
}

/// A large value takes seconds to reach a follower; the connection survives, although messages
/// queue behind it, and puts do not wait for that follower.
#[test]
fn a_slow_line_carries_large_values() {
    on_three(FLAGS, |mut cluster| async move {
        let leader = cluster.leader().await;
        let slow = cluster.others(leader)[0];
        cluster.network().slow(leader, slow, 600 << 10);
        fill(&cluster, leader, 2, 1_400_000).await;
        let revision = cluster.revision(leader).await.unwrap();
        eventually("the values to arrive", || async {
            (cluster.local_revision(slow).await.ok()? >= revision).then_some(())
        })
        .await;
        cluster.expect_same_history().await;
        let lines = cluster.child(leader).lines();
        let broken = |line: &&String| line.contains("disconnected from a member");
        assert_eq!(lines.iter().find(broken), None);
    });
}

/// Writes `count` puts of values of `size` bytes, by concurrent clients. The values cannot be
/// compressed, so a snapshot is as large as they are.
pub(crate) async fn fill(cluster: &Cluster, through: usize, count: usize, size: usize) {
    const NOISE: usize = 1 << 20;
    let kv = cluster.kv(through);
    // Each value is a different slice of it.
    let noise: Arc<str> = Alphanumeric
        .sample_string(&mut rand::rng(), NOISE + size)
        .into();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (mut kv, noise) = (kv.clone(), noise.clone());
            tokio::spawn(async move {
                for number in (client..count).step_by(CLIENTS) {
                    let value = format!("{number} {}", &noise[number * 7_919 % NOISE..][..size]);
                    let key = format!("k/{}", number % 100);
                    kv.put(api::put(key, value)).await.unwrap();
                }
            })
        })
        .collect();
    // The only slow step of these tests, and etcd syncs in small batches.
    let deadline = tokio::time::Instant::now() + 3 * DEADLINE;
    for client in clients {
        let done = tokio::time::timeout_at(deadline, client).await;
        done.expect("puts take no minute").unwrap();
    }
}
