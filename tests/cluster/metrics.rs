//! Metrics about the other members, under etcd's names.

use harness::exposition::{families, of_etcd};
use harness::{eventually, http1};

use crate::partition::PATIENT;
use crate::{not_on_etcd, on_three};

/// Both ends count bytes; a cut link and its recovery show in the metrics.
#[test]
fn a_peer_out_of_reach_is_seen_in_the_metrics() {
    on_three(PATIENT, |cluster| async move {
        let leader = cluster.leader().await;
        let follower = cluster.others(leader)[0];
        let own = cluster.id(leader, leader).await;
        let other = cluster.id(leader, follower).await;
        let ends = format!(r#"{{Local="{own:x}",Remote="{other:x}"}}"#);
        let active = format!("etcd_network_active_peers{ends}");
        let broken = format!("etcd_network_disconnected_peers_total{ends}");
        let sent = format!(r#"etcd_network_peer_sent_bytes_total{{To="{other:x}"}}"#);
        let lost = format!(r#"etcd_network_peer_sent_failures_total{{To="{other:x}"}}"#);
        let received = format!(r#"etcd_network_peer_received_bytes_total{{From="{own:x}"}}"#);

        assert_eq!(cluster.metric(leader, &active).await, 1.0);
        let mut before = Vec::new();
        for (number, series) in [(leader, &sent), (follower, &received)] {
            before.push((number, series, cluster.metric(number, series).await));
        }
        let large = 100_000;
        cluster.put(leader, "a", &"x".repeat(large)).await;
        for (number, series, before) in before {
            eventually("the bytes to be counted", || async {
                let now = cluster.metric(number, series).await;
                (now >= before + large as f64).then_some(())
            })
            .await;
        }

        let broken_before = cluster.metric(leader, &broken).await;
        cluster.isolate(follower);
        eventually("the cut to be seen", || async {
            let is_active = cluster.metric(leader, &active).await;
            let broken = cluster.metric(leader, &broken).await;
            (is_active == 0.0 && broken > broken_before).then_some(())
        })
        .await;
        let lost_before = cluster.metric(leader, &lost).await;
        eventually("messages to be lost", || async {
            let lost = cluster.metric(leader, &lost).await;
            (lost > lost_before).then_some(())
        })
        .await;
        cluster.heal();
        eventually("the connection to be seen", || async {
            let is_active = cluster.metric(leader, &active).await;
            (is_active == 1.0).then_some(())
        })
        .await;
        if cluster.is_etcd() {
            // etcd exports round trips after half a minute.
            return;
        }
        let asked = format!(r#"etcd_network_peer_round_trip_time_seconds_count{{To="{other:x}"}}"#);
        let took = format!(r#"etcd_network_peer_round_trip_time_seconds_sum{{To="{other:x}"}}"#);
        eventually("a round trip", || async {
            let asked = cluster.metric(leader, &asked).await;
            // One request per connection, of which there were two.
            (asked >= 2.0).then_some(())
        })
        .await;
        assert!(cluster.metric(leader, &took).await > 0.0);
    });
}

/// The remaining families are in the tier `process`, which needs one member only.
#[test]
fn what_only_members_with_peers_export_is_as_in_etcd() {
    on_three(&[], |cluster| async move {
        let leader = cluster.leader().await;
        if not_on_etcd(&cluster, "the list of metrics is 3.7's") {
            return;
        }
        let address = cluster.endpoint(leader).trim_start_matches("http://");
        let ours = families(&http1::get(address, "/metrics").await);
        for (name, theirs) in of_etcd(&["several"]) {
            assert_eq!(ours.get(&name), Some(&theirs), "{name}");
        }
    });
}

/// Messages dropped at a full queue, as on an overloaded machine, are counted.
#[test]
fn a_leader_that_was_held_up_has_sent_heartbeats_late() {
    on_three(&[], |mut cluster| async move {
        const LATE: &str = "etcd_server_heartbeat_send_failures_total";
        let old = cluster.leader().await;
        let before = cluster.metric(old, LATE).await;
        cluster.pause(old);
        cluster.leader_after(old).await;
        cluster.resume(old);
        eventually("the late heartbeats to be counted", || async {
            let late = cluster.metric(old, LATE).await;
            (late > before).then_some(())
        })
        .await;
    });
}
