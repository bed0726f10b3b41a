//! What is exchanged with each other member, under the names etcd gave it. See [`crate::metrics`].
//!
//! Members are named by their ids in hexadecimal. All series of a member are there, at zero, from
//! when this member first hears of it, so that a rate sees the first failure; they go when it
//! is removed, so that no alert waits for one that will not come back.

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    exponential_buckets,
};

use conclave_core::clock::Stopwatch;

/// The series of every other member.
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
    /// Connections to this member closed for lack of a place.
    pub(crate) refused: IntCounter,
    /// This member.
    local: String,
}

/// Snapshots in one direction.
#[derive(Clone, Debug)]
struct TransferStats {
    inflight: IntGaugeVec,
    success: IntCounterVec,
    failures: IntCounterVec,
    seconds: HistogramVec,
    /// The same of all members together.
    total_seconds: Histogram,
}

/// The series of one other member, resolved.
#[derive(Debug)]
pub(crate) struct OfPeer {
    /// Whether there is a connection to it.
    pub(crate) active: IntGauge,
    /// Connections to it that broke.
    pub(crate) disconnected: IntCounter,
    /// Bytes of messages and snapshots given to the network; some of them may not have arrived.
    pub(crate) sent_bytes: IntCounter,
    /// Messages that were dropped: no connection, no room, or a connection that broke.
    pub(crate) send_failures: IntCounter,
    /// Bytes of messages and snapshots taken in.
    pub(crate) received_bytes: IntCounter,
    /// Streams of its that broke, and messages that were dropped because too many waited.
    pub(crate) receive_failures: IntCounter,
    /// Seconds from a question to its answer.
    pub(crate) round_trips: Histogram,
    /// Snapshots to it.
    pub(crate) sending: Transfers,
    /// Snapshots from it.
    pub(crate) receiving: Transfers,
}

/// Snapshots to or from one member.
#[derive(Debug)]
pub(crate) struct Transfers {
    /// Under way.
    pub(crate) inflight: IntGauge,
    /// In place on the other side, or here.
    pub(crate) success: IntCounter,
    /// Those that failed. What was declined because it is not needed counts nowhere.
    pub(crate) failures: IntCounter,
    /// How long the successful ones took, in seconds.
    pub(crate) seconds: Histogram,
    /// The same of all members together.
    total_seconds: Histogram,
}

/// One snapshot under way.
#[derive(Debug)]
pub(crate) struct Transfer<'a> {
    of: &'a Transfers,
    since: Stopwatch,
}

impl Transfers {
    /// One begins.
    pub(crate) fn begin(&self) -> Transfer<'_> {
        self.inflight.inc();
        Transfer {
            of: self,
            since: Stopwatch::start(),
        }
    }
}

impl Transfer<'_> {
    /// It is in place.
    pub(crate) fn succeeded(&self) {
        self.of.success.inc();
        let took = self.since.elapsed().as_secs_f64();
        self.of.seconds.observe(took);
        self.of.total_seconds.observe(took);
    }

    /// It is not.
    pub(crate) fn failed(&self) {
        self.of.failures.inc();
    }
}

impl Drop for Transfer<'_> {
    fn drop(&mut self) {
        self.of.inflight.dec();
    }
}

/// Both ends of a connection.
const ENDS: &[&str] = &["Local", "Remote"];
const TO: &[&str] = &["To"];
const FROM: &[&str] = &["From"];

impl PeerStats {
    /// The numbers of this member's peers, and what a registry takes to show them.
    pub(crate) fn new(member_id: u64) -> prometheus::Result<(PeerStats, Vec<Box<dyn Collector>>)> {
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
                "Connections of other members or strangers closed for lack of a place.",
            )?,
            local: name(member_id),
        };
        // etcd counts a member among those it knows.
        let own = [stats.local.as_str(), stats.local.as_str()];
        stats.known.with_label_values(&own).set(1);
        let mut collectors: Vec<Box<dyn Collector>> = vec![
            Box::new(stats.round_trips.clone()),
            Box::new(stats.refused.clone()),
        ];
        for gauges in [&stats.known, &stats.active] {
            collectors.push(Box::new(gauges.clone()));
        }
        for counters in stats.counters() {
            collectors.push(Box::new(counters.clone()));
        }
        for transfers in [&stats.sending, &stats.receiving] {
            collectors.push(Box::new(transfers.inflight.clone()));
            collectors.push(Box::new(transfers.success.clone()));
            collectors.push(Box::new(transfers.failures.clone()));
            collectors.push(Box::new(transfers.seconds.clone()));
            collectors.push(Box::new(transfers.total_seconds.clone()));
        }
        Ok((stats, collectors))
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

    /// The series of a member, which are there from now on.
    pub(crate) fn of(&self, member_id: u64) -> OfPeer {
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

    /// Shows a member no longer. It may have been forgotten already, or never have been known.
    pub(crate) fn forget(&self, member_id: u64) {
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

/// An id as members are named everywhere.
fn name(member_id: u64) -> String {
    format!("{member_id:x}")
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

/// The buckets of [`durations`] in a histogram without labels.
fn total(name: &str, help: &str, (first, count): (f64, usize)) -> prometheus::Result<Histogram> {
    let buckets = exponential_buckets(first, 2.0, count)?;
    Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))
}

/// So many buckets, of which each is twice as long as the one before: etcd's.
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

    /// A member's series are there before anything happened, and all of them go with it.
    #[test]
    fn a_member_is_shown_from_the_first_word_of_it_to_its_removal() {
        let (stats, collectors) = PeerStats::new(0xa).expect("distinct names");
        let registry = Registry::new();
        for collector in collectors {
            registry.register(collector).expect("distinct names");
        }
        let text = || {
            let encoded = TextEncoder::new().encode_to_string(&registry.gather());
            encoded.expect("text")
        };
        assert!(!text().contains(r#"="bc""#), "{}", text());
        let peer = stats.of(0xbc);
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
        // Known again, it is the same member.
        assert_eq!(stats.of(0xbc).sent_bytes.get(), 7);
        stats.forget(0xbc);
        stats.forget(0xbc);
        assert!(!text().contains(r#"="bc""#), "{}", text());
    }
}
