//! Metrics of the exchange with each other member, with etcd's names. See [`crate::metrics`].
//!
//! Labels have members' ids in hexadecimal. All series of a member are present at zero from when
//! this member first knows it, so that a rate includes the first failure. They are removed when the
//! member is removed, so that no alert waits for it to come back.

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    exponential_buckets,
};

use conclave_core::clock::Stopwatch;
use conclave_storage::MemberId;

/// The series of all other members.
#[derive(Clone, Debug)]
pub struct PeerStats {
    known: IntGaugeVec,
    active: IntGaugeVec,
    disconnected: IntCounterVec,
    sent_bytes: IntCounterVec,
    send_failures: IntCounterVec,
    received_bytes: IntCounterVec,
    receive_failures: IntCounterVec,
    round_trips: HistogramVec,
    sending: TransferStats,
    receiving: TransferStats,
    /// Connections to this member's peer port that were closed because there were too many.
    pub(crate) refused: IntCounter,
    /// Label of this member.
    local: String,
}

/// Series of snapshots in one direction.
#[derive(Clone, Debug)]
struct TransferStats {
    inflight: IntGaugeVec,
    success: IntCounterVec,
    failures: IntCounterVec,
    seconds: HistogramVec,
    /// Durations for all members together.
    total_seconds: Histogram,
}

/// The series of one other member.
#[derive(Debug)]
pub(crate) struct OfPeer {
    /// Whether this member is connected to the other one.
    pub(crate) active: IntGauge,
    /// Connections to the other member that broke.
    pub(crate) disconnected: IntCounter,
    /// Bytes of messages and snapshots given to the network; not all may have arrived.
    pub(crate) sent_bytes: IntCounter,
    /// Messages dropped because of no connection, a full queue, or a broken connection.
    pub(crate) send_failures: IntCounter,
    /// Bytes of messages and snapshots received.
    pub(crate) received_bytes: IntCounter,
    /// Incoming streams from this member that broke, and its messages that were dropped because the
    /// driver's mailbox was full.
    pub(crate) receive_failures: IntCounter,
    /// Seconds between a question and its answer.
    pub(crate) round_trips: Histogram,
    /// Snapshots sent to the other member.
    pub(crate) sending: Transfers,
    /// Snapshots received from the other member.
    pub(crate) receiving: Transfers,
}

/// Series of snapshots to or from one member.
#[derive(Debug)]
pub(crate) struct Transfers {
    /// Transfers in progress.
    pub(crate) inflight: IntGauge,
    /// Transfers whose snapshot was installed by the receiver.
    pub(crate) success: IntCounter,
    /// Transfers that failed. A snapshot that was declined because it is not needed is not counted.
    pub(crate) failures: IntCounter,
    /// Seconds that successful transfers took.
    pub(crate) seconds: Histogram,
    /// Durations for all members together.
    total_seconds: Histogram,
}

/// A transfer in progress.
#[derive(Debug)]
pub(crate) struct Transfer<'a> {
    of: &'a Transfers,
    since: Stopwatch,
}

impl Transfers {
    /// Counts the start of a transfer.
    pub(crate) fn begin(&self) -> Transfer<'_> {
        self.inflight.inc();
        Transfer {
            of: self,
            since: Stopwatch::start(),
        }
    }
}

impl Transfer<'_> {
    /// Counts a snapshot that was installed.
    pub(crate) fn succeeded(&self) {
        self.of.success.inc();
        let took = self.since.elapsed().as_secs_f64();
        self.of.seconds.observe(took);
        self.of.total_seconds.observe(took);
    }

    /// Counts a transfer that failed.
    pub(crate) fn failed(&self) {
        self.of.failures.inc();
    }
}

impl Drop for Transfer<'_> {
    fn drop(&mut self) {
        self.of.inflight.dec();
    }
}

/// Labels for both ends of a connection.
const ENDS: &[&str] = &["Local", "Remote"];
const TO: &[&str] = &["To"];
const FROM: &[&str] = &["From"];

impl PeerStats {
    /// Returns this member's series, and the collectors to register.
    pub(crate) fn new(
        member_id: MemberId,
    ) -> prometheus::Result<(PeerStats, Vec<Box<dyn Collector>>)> {
        let stats = PeerStats {
            known: gauges("known_peers", "Members this one knows.", ENDS)?,
            active: gauges("active_peers", "Members this one is connected to.", ENDS)?,
            disconnected: counters(
                "disconnected_peers_total",
                "Connections to a member that broke.",
                ENDS,
            )?,
            sent_bytes: counters("peer_sent_bytes_total", "Bytes sent to a member.", TO)?,
            send_failures: counters(
                "peer_sent_failures_total",
                "Messages to a member that were dropped.",
                TO,
            )?,
            received_bytes: counters(
                "peer_received_bytes_total",
                "Bytes received from a member.",
                FROM,
            )?,
            receive_failures: counters(
                "peer_received_failures_total",
                "Streams of a member that broke, and messages of its that were dropped.",
                FROM,
            )?,
            round_trips: durations(
                "peer_round_trip_time_seconds",
                "Time from a question to a member to its answer.",
                TO,
                (0.0001, 16),
            )?,
            sending: TransferStats::new(
                "snapshot_send",
                "Snapshots sent to a member",
                TO,
                total(
                    "etcd_disk_backend_snapshot_duration_seconds",
                    "Time to make a snapshot and send it.",
                    (0.01, 17),
                )?,
            )?,
            receiving: TransferStats::new(
                "snapshot_receive",
                "Snapshots received from a member",
                FROM,
                total(
                    "etcd_snap_db_save_total_duration_seconds",
                    "Time to receive a snapshot and have it on disk.",
                    (0.1, 10),
                )?,
            )?,
            refused: IntCounter::new(
                "conclave_peer_connections_refused_total",
                "Connections to the peer port closed because there were too many.",
            )?,
            local: name(member_id),
        };
        // In etcd a member also knows itself.
        let own = [stats.local.as_str(), stats.local.as_str()];
        stats.known.with_label_values(&own).set(1);
        let collectors = stats.collectors();
        Ok((stats, collectors))
    }

    fn collectors(&self) -> Vec<Box<dyn Collector>> {
        let mut collectors: Vec<Box<dyn Collector>> = vec![
            Box::new(self.round_trips.clone()),
            Box::new(self.refused.clone()),
        ];
        for gauges in [&self.known, &self.active] {
            collectors.push(Box::new(gauges.clone()));
        }
        for counters in self.counters() {
            collectors.push(Box::new(counters.clone()));
        }
        for transfers in [&self.sending, &self.receiving] {
            collectors.push(Box::new(transfers.inflight.clone()));
            collectors.push(Box::new(transfers.success.clone()));
            collectors.push(Box::new(transfers.failures.clone()));
            collectors.push(Box::new(transfers.seconds.clone()));
            collectors.push(Box::new(transfers.total_seconds.clone()));
        }
        collectors
    }

    fn counters(&self) -> [&IntCounterVec; 5] {
        [
            &self.disconnected,
            &self.sent_bytes,
            &self.send_failures,
            &self.received_bytes,
            &self.receive_failures,
        ]
    }

    /// Returns the series of a member, and shows them from now on.
    pub(crate) fn of(&self, member_id: MemberId) -> OfPeer {
        let remote = name(member_id);
        let ends = [self.local.as_str(), remote.as_str()];
        let one = [remote.as_str()];
        self.known.with_label_values(&ends).set(1);
        OfPeer {
            active: self.active.with_label_values(&ends),
            disconnected: self.disconnected.with_label_values(&ends),
            sent_bytes: self.sent_bytes.with_label_values(&one),
            send_failures: self.send_failures.with_label_values(&one),
            received_bytes: self.received_bytes.with_label_values(&one),
            receive_failures: self.receive_failures.with_label_values(&one),
            round_trips: self.round_trips.with_label_values(&one),
            sending: self.sending.of(&remote),
            receiving: self.receiving.of(&remote),
        }
    }

    /// Removes the series of a member. The member may have been removed already, or never been
    /// known.
    pub(crate) fn forget(&self, member_id: MemberId) {
        let remote = name(member_id);
        let ends = [self.local.as_str(), remote.as_str()];
        for gauges in [&self.known, &self.active] {
            let _ = gauges.remove_label_values(&ends);
        }
        let _ = self.disconnected.remove_label_values(&ends);
        for counters in &self.counters()[1..] {
            let _ = counters.remove_label_values(&[&remote]);
        }
        let _ = self.round_trips.remove_label_values(&[&remote]);
        self.sending.forget(&remote);
        self.receiving.forget(&remote);
    }
}

impl TransferStats {
    fn new(
        prefix: &str,
        what: &str,
        label: &[&str],
        total_seconds: Histogram,
    ) -> prometheus::Result<TransferStats> {
        Ok(TransferStats {
            total_seconds,
            inflight: gauges(
                &format!("{prefix}_inflights_total"),
                &format!("{what}: those under way."),
                label,
            )?,
            success: counters(
                &format!("{prefix}_success"),
                &format!("{what}, whole."),
                label,
            )?,
            failures: counters(
                &format!("{prefix}_failures"),
                &format!("{what}: those that failed."),
                label,
            )?,
            seconds: durations(
                &format!("{prefix}_total_duration_seconds"),
                &format!("{what}: how long the successful ones took."),
                label,
                (0.1, 10),
            )?,
        })
    }

    fn of(&self, remote: &str) -> Transfers {
        Transfers {
            inflight: self.inflight.with_label_values(&[remote]),
            success: self.success.with_label_values(&[remote]),
            failures: self.failures.with_label_values(&[remote]),
            seconds: self.seconds.with_label_values(&[remote]),
            total_seconds: self.total_seconds.clone(),
        }
    }

    fn forget(&self, remote: &str) {
        let _ = self.inflight.remove_label_values(&[remote]);
        let _ = self.success.remove_label_values(&[remote]);
        let _ = self.failures.remove_label_values(&[remote]);
        let _ = self.seconds.remove_label_values(&[remote]);
    }
}

/// Formats an id the way members are named everywhere.
fn name(member_id: MemberId) -> String {
    member_id.to_string()
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("etcd_network_{name}"), help)
}

fn gauges(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
    IntGaugeVec::new(opts(name, help), labels)
}

fn counters(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    IntCounterVec::new(opts(name, help), labels)
}

/// A histogram without labels, with buckets as in [`durations`].
fn total(name: &str, help: &str, (first, count): (f64, usize)) -> prometheus::Result<Histogram> {
    let buckets = exponential_buckets(first, 2.0, count)?;
    Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))
}

/// A histogram with `count` buckets, each twice as wide as the one before, as in etcd.
fn durations(
    name: &str,
    help: &str,
    labels: &[&str],
    (first, count): (f64, usize),
) -> prometheus::Result<HistogramVec> {
    let buckets = exponential_buckets(first, 2.0, count)?;
    HistogramVec::new(
        HistogramOpts::from(opts(name, help)).buckets(buckets),
        labels,
    )
}

#[cfg(test)]
mod tests {
    use prometheus::{Registry, TextEncoder};

    use super::*;

    /// A member's series are present before anything happened, and all are removed with it.
    #[test]
    fn a_member_is_shown_from_the_first_word_of_it_to_its_removal() {
        let (stats, collectors) = PeerStats::new(MemberId(0xa)).expect("distinct names");
        let registry = Registry::new();
        for collector in collectors {
            registry.register(collector).expect("distinct names");
        }
        let text = || {
            let encoded = TextEncoder::new().encode_to_string(&registry.gather());
            encoded.expect("text")
        };
        assert!(!text().contains(r#"="bc""#), "{}", text());
        let peer = stats.of(MemberId(0xbc));
        peer.sent_bytes.inc_by(7);
        for line in [
            r#"etcd_network_known_peers{Local="a",Remote="a"} 1"#,
            r#"etcd_network_known_peers{Local="a",Remote="bc"} 1"#,
            r#"etcd_network_active_peers{Local="a",Remote="bc"} 0"#,
            r#"etcd_network_disconnected_peers_total{Local="a",Remote="bc"} 0"#,
            r#"etcd_network_peer_sent_bytes_total{To="bc"} 7"#,
            r#"etcd_network_peer_sent_failures_total{To="bc"} 0"#,
            r#"etcd_network_peer_received_bytes_total{From="bc"} 0"#,
            r#"etcd_network_peer_received_failures_total{From="bc"} 0"#,
            r#"etcd_network_peer_round_trip_time_seconds_count{To="bc"} 0"#,
            r#"etcd_network_snapshot_send_inflights_total{To="bc"} 0"#,
            r#"etcd_network_snapshot_send_success{To="bc"} 0"#,
            r#"etcd_network_snapshot_send_failures{To="bc"} 0"#,
            r#"etcd_network_snapshot_send_total_duration_seconds_count{To="bc"} 0"#,
            r#"etcd_network_snapshot_receive_inflights_total{From="bc"} 0"#,
            r#"etcd_network_snapshot_receive_success{From="bc"} 0"#,
            r#"etcd_network_snapshot_receive_failures{From="bc"} 0"#,
            r#"etcd_network_snapshot_receive_total_duration_seconds_count{From="bc"} 0"#,
        ] {
            assert!(text().contains(line), "{line} is missing in {}", text());
        }
        // Known again, the member has the same series.
        assert_eq!(stats.of(MemberId(0xbc)).sent_bytes.get(), 7);
        stats.forget(MemberId(0xbc));
        stats.forget(MemberId(0xbc));
        assert!(!text().contains(r#"="bc""#), "{}", text());
    }
}
