//! Members on machines whose clocks have nothing to do with each other.

use std::time::{Duration, Instant};

use harness::{Cluster, clocks};

use crate::sessions::{TTL, gone, grant, put_leased};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A lease that one leader granted and the next ends lives its time by either's clock: no less,
/// wherever the next one's clock is, and not much more.
#[test]
fn a_lease_lives_its_time_under_a_leader_with_another_clock() {
    // Member 0 has been up for as long as this machine, the others for very long.
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
        // To a later clock, and to an earlier one.
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
