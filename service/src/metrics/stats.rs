//! What the core counts as it goes. See [`crate::metrics`].

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, exponential_buckets,
};

/// Counters and histograms of the core. Cloning one of them shares it.
#[derive(Clone, Debug)]
pub struct Stats {
    /// Seconds to make appended log entries durable.
    pub wal_fsync: Histogram,
    /// Seconds to write one batch of applied entries to the state.
    pub backend_commit: Histogram,
    /// Batches of entries that took long to apply.
    pub slow_applies: IntCounter,
    /// Linearizable reads that waited long for their turn.
    pub slow_reads: IntCounter,
    /// Linearizable reads that were refused.
    pub reads_failed: IntCounter,
    /// Bytes received on client connections.
    pub client_received_bytes: IntCounter,
    /// Bytes sent on client connections.
    pub client_sent_bytes: IntCounter,
    /// Proposals that were refused, or whose outcome is unknown.
    pub proposals_failed: IntCounter,
    /// Heartbeats of this leader that left late.
    pub heartbeats_late: IntCounter,
    /// Whether a received snapshot is being put in place: 1 is yes.
    pub installing: IntGauge,
    /// Learners promoted by this member.
    pub promotions: IntCounter,
    /// Promotions asked of this member in vain, by the reason.
    pub promotions_failed: IntCounterVec,
    /// Range requests answered by this member.
    pub ranges: IntCounter,
    /// Puts requested of this member, outside of transactions.
    pub puts: IntCounter,
    /// Deletes requested of this member, outside of transactions.
    pub deletes: IntCounter,
    /// Transactions requested of this member.
    pub txns: IntCounter,
    /// Leases granted by requests to this member.
    pub leases_granted: IntCounter,
    /// Leases revoked by requests to this member.
    pub leases_revoked: IntCounter,
    /// Leases this member, as the leader, found expired and ended.
    pub leases_expired: IntCounter,
    /// Keep-alives answered by this member.
    pub leases_renewed: IntCounter,
}

impl Stats {
    /// The numbers, and what a registry takes to show them.
    pub(super) fn new() -> prometheus::Result<(Stats, Vec<Box<dyn Collector>>)> {
        let stats = Stats {
            wal_fsync: durations(
                "etcd_disk_wal_fsync_duration_seconds",
                "Time to make appended log entries durable.",
            )?,
            backend_commit: durations(
                "etcd_disk_backend_commit_duration_seconds",
                "Time to write one batch of applied entries to the state.",
            )?,
            slow_applies: IntCounter::new(
                "etcd_server_slow_apply_total",
                "Batches of entries that took more than 100 ms to apply.",
            )?,
            slow_reads: IntCounter::new(
                "etcd_server_slow_read_indexes_total",
                "Linearizable reads that waited more than 500 ms for their turn.",
            )?,
            reads_failed: IntCounter::new(
                "etcd_server_read_indexes_failed_total",
                "Linearizable reads that were refused.",
            )?,
            client_received_bytes: IntCounter::new(
                "etcd_network_client_grpc_received_bytes_total",
                "Bytes received on client connections.",
            )?,
            client_sent_bytes: IntCounter::new(
                "etcd_network_client_grpc_sent_bytes_total",
                "Bytes sent on client connections.",
            )?,
            proposals_failed: IntCounter::new(
                "etcd_server_proposals_failed_total",
                "Proposals that were refused or whose outcome is unknown.",
            )?,
            heartbeats_late: IntCounter::new(
                "etcd_server_heartbeat_send_failures_total",
                "Rounds of heartbeats this leader sent more than an interval late.",
            )?,
            installing: IntGauge::new(
                "etcd_server_snapshot_apply_in_progress_total",
                "Whether a received snapshot is being put in place: 1 is yes.",
            )?,
            promotions: IntCounter::new(
                "etcd_server_learner_promote_successes",
                "Learners promoted by this member.",
            )?,
            promotions_failed: IntCounterVec::new(
                Opts::new(
                    "etcd_server_learner_promote_failures",
                    "Promotions asked of this member in vain.",
                ),
                &["Reason"],
            )?,
            ranges: IntCounter::new("etcd_mvcc_range_total", "Ranges read by this member.")?,
            puts: IntCounter::new("etcd_mvcc_put_total", "Puts asked of this member.")?,
            deletes: IntCounter::new("etcd_mvcc_delete_total", "Deletes asked of this member.")?,
            txns: IntCounter::new("etcd_mvcc_txn_total", "Transactions asked of this member.")?,
            leases_granted: IntCounter::new(
                "etcd_debugging_lease_granted_total",
                "Leases granted by this member.",
            )?,
            leases_revoked: IntCounter::new(
                "etcd_debugging_lease_revoked_total",
                "Leases revoked at a client's request.",
            )?,
            leases_expired: IntCounter::new(
                "etcd_debugging_server_lease_expired_total",
                "Leases this member, as the leader, ended because they had expired.",
            )?,
            leases_renewed: IntCounter::new(
                "etcd_debugging_lease_renewed_total",
                "Keep-alives answered by this member.",
            )?,
        };
        let collectors: Vec<Box<dyn Collector>> = vec![
            Box::new(stats.wal_fsync.clone()),
            Box::new(stats.backend_commit.clone()),
            Box::new(stats.slow_applies.clone()),
            Box::new(stats.slow_reads.clone()),
            Box::new(stats.reads_failed.clone()),
            Box::new(stats.client_received_bytes.clone()),
            Box::new(stats.client_sent_bytes.clone()),
            Box::new(stats.proposals_failed.clone()),
            Box::new(stats.heartbeats_late.clone()),
            Box::new(stats.installing.clone()),
            Box::new(stats.promotions.clone()),
            Box::new(stats.promotions_failed.clone()),
            Box::new(stats.ranges.clone()),
            Box::new(stats.puts.clone()),
            Box::new(stats.deletes.clone()),
            Box::new(stats.txns.clone()),
            Box::new(stats.leases_granted.clone()),
            Box::new(stats.leases_revoked.clone()),
            Box::new(stats.leases_expired.clone()),
            Box::new(stats.leases_renewed.clone()),
        ];
        Ok((stats, collectors))
    }
}

/// A histogram of disk times: 1 ms to 8 s, doubling, which is where etcd's alerts look.
fn durations(name: &str, help: &str) -> prometheus::Result<Histogram> {
    let buckets = exponential_buckets(0.001, 2.0, 14)?;
    Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))
}
