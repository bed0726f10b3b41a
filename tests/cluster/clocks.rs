//! Members with unrelated monotonic clocks, and wall clocks that jump.

use std::time::{Duration, Instant};

use harness::wall_clock::WallClock;
use harness::{Cluster, clocks, eventually};

use crate::sessions::{TTL, gone, grant, keep_alive, put_leased};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A lease granted by one leader and inherited by the next lives for its TTL, whichever clock the
/// next leader has: not less, and not much more.
#[test]
fn a_lease_lives_its_time_under_a_leader_with_another_clock() {
    // Member 0 has this machine's uptime, the others seem to have been up for much longer.
    let words: Option<Vec<_>> = [DAY, 365 * DAY]
        .into_iter()
        .map(clocks::up_longer_by)
        .collect();
    let Some(words) = words else { return };
    harness::run(async {
        let mut cluster = Cluster::prepare(3, &[], "a-test");
        for (number, words) in (1..).zip(&words) {
            cluster.member(number).set_wrapper(words);
        }
        cluster.start_all().await;
        // To a leader with a later clock, and to one with an earlier clock.
        for leader in [0, 2] {
            cluster.move_leader(leader).await;
            let through = cluster.others(leader)[0];
            let lease = 1 + leader as i64;
            grant(&cluster, leader, lease, TTL).await;
            put_leased(&cluster, through, "leased", lease).await;
            let killed = Instant::now();
            cluster.kill(leader);
            gone(&cluster, through, "leased").await;
            let lived = killed.elapsed();
            assert!(
                lived >= Duration::from_secs(TTL as u64),
                "it lived for {lived:?}"
            );
            cluster.restart(leader);
            cluster.wait_writable(&[leader]).await;
        }
        cluster.expect_same_history().await;
    });
}

/// Setting each machine's wall clock, far ahead or far back, causes no election, and no lease ends
/// early or late.
#[test]
fn a_wall_clock_that_jumps_changes_nothing() {
    // Centuries and decades, as seconds since 1970: 2200, 1980, 2100.
    const JUMPS: [u64; 3] = [7_258_118_400, 315_532_800, 4_102_444_800];
    let clocks: Option<Vec<_>> = (0..3).map(|_| WallClock::new()).collect();
    let Some(clocks) = clocks else { return };
    harness::run(async {
        let mut cluster = Cluster::prepare(3, &[], "a-test");
        for (number, clock) in clocks.iter().enumerate() {
            cluster.member(number).set_wrapper(&clock.words());
        }
        cluster.start_all().await;
        let leader = cluster.leader().await;
        let term = cluster.status(leader).await.expect("a status").raft_term;
        let through = cluster.others(leader)[0];
        grant(&cluster, through, 1, TTL).await;
        put_leased(&cluster, through, "kept", 1).await;
        let keeper = keep_alive(&cluster, through, 1);
        for (turn, _) in JUMPS.iter().enumerate() {
            let lease = 10 + turn as i64;
            let granted = Instant::now();
            grant(&cluster, through, lease, TTL).await;
            put_leased(&cluster, through, "left", lease).await;
            for (number, clock) in clocks.iter().enumerate() {
                clock.set(Duration::from_secs(JUMPS[(turn + number) % JUMPS.len()]));
            }
            gone(&cluster, through, "left").await;
            let lived = granted.elapsed();
            assert!(
                lived >= Duration::from_secs(TTL as u64),
                "it lived for {lived:?}"
            );
        }
        let kept = cluster.get(through, "kept").await.expect("an answer");
        assert!(kept.is_some(), "it expired");
        keeper.abort();
        let status = cluster.status(leader).await.expect("a status");
        assert_eq!(status.raft_term, term, "there was an election");

        // The timestamps of the members' logs show that the clocks have moved.
        cluster.move_leader(through).await;
        for number in cluster.numbers() {
            let child = cluster.child(number);
            let far = |line: &String| ["2200-", "1980-", "2100-"].iter().any(|y| line.contains(y));
            eventually("a line of another time", || async {
                child.lines().iter().any(far).then_some(())
            })
            .await;
        }
        cluster.expect_same_history().await;
    });
}
