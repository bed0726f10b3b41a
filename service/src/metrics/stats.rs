//! Counts and durations that the core reports as it works. See [`crate::metrics`].

use std::sync::Arc;

use conclave_core::observe::{Observation, Observer};
use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, exponential_buckets,
};

use super::durations::Durations;

/// Counters and histograms of the core. Clones share them.
#[derive(Clone, Debug)]
pub struct Stats {
    /// Seconds to sync appended log entries.
    pub wal_fsync: Histogram,
    /// Seconds to write to the log, including the sync if there is one, since both are one call.
    pub wal_write: Histogram,
    /// Bytes of entries written to the log. A gauge, because it is one in etcd.
    pub wal_write_bytes: IntGauge,
    /// Seconds to write one batch of applied entries to the state.
    pub backend_commit: Histogram,
    /// Seconds to reclaim the space of deleted keys.
    pub defrag: Histogram,
    /// 1 while space is being reclaimed, else 0.
    pub defrag_inflight: IntGauge,
    /// Seconds to hash the whole state.
    pub hash: Histogram,
    /// Seconds to hash the keys at a revision.
    pub hash_rev: Histogram,
    /// Reads of the state in progress.
    pub open_reads: IntGauge,
    /// Durations by kind of request.
    pub durations: Arc<Durations>,
    /// Watch streams that ended because a client's message could not be decoded.
    pub watch_streams_failed: IntCounter,
    /// Keep-alive streams that ended because a client's message could not be decoded.
    pub keep_alive_streams_failed: IntCounter,
    /// Batches of entries that took longer than the limit to apply.
    pub slow_applies: IntCounter,
    /// Linearizable reads that waited longer than the limit for their turn.
    pub slow_reads: IntCounter,
    /// Linearizable reads that were refused.
    pub reads_failed: IntCounter,
    /// Bytes received on client connections.
    pub client_received_bytes: IntCounter,
    /// Bytes sent on client connections.
    pub client_sent_bytes: IntCounter,
    /// Client connections closed because there were too many.
    pub client_connections_refused: IntCounter,
    /// Proposals that were refused, or whose outcome is unknown.
    pub proposals_failed: IntCounter,
    /// Rounds of heartbeats that this leader sent late.
    pub heartbeats_late: IntCounter,
    /// Raft messages from other members that were dropped because no correct member sends them.
    pub raft_messages_refused: IntCounter,
    /// 1 while a received snapshot is being installed, else 0.
    pub installing: IntGauge,
    /// Learners promoted by this member.
    pub promotions: IntCounter,
    /// Promotions requested of this member that failed, by the reason.
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
    /// Leases that this member, as the leader, revoked because they had expired.
    pub leases_expired: IntCounter,
    /// Keep-alives answered by this member.
    pub leases_renewed: IntCounter,
}

impl Stats {
    /// Returns the series, and the collectors to register.
    pub(super) fn new() -> prometheus::Result<(Stats, Vec<Box<dyn Collector>>)> {
        let (by_kind, mut collectors) = Durations::new()?;
        let stream_failures = IntCounterVec::new(
            Opts::new(
                "etcd_network_server_stream_failures_total",
                "Streams that ended because what a client sent could not be read.",
            ),
            &["Type", "API"],
        )?;
        let stats = Stats {
            wal_fsync: durations(
                "etcd_disk_wal_fsync_duration_seconds",
                "Time to make appended log entries durable.",
                FROM_A_MILLISECOND,
            )?,
            wal_write: durations(
                "etcd_disk_wal_write_duration_seconds",
                "Time to write to the log, with the sync where there is one.",
                FROM_A_MILLISECOND,
            )?,
            wal_write_bytes: IntGauge::new(
                "etcd_disk_wal_write_bytes_total",
                "Bytes of entries written to the log.",
            )?,
            backend_commit: durations(
                "etcd_disk_backend_commit_duration_seconds",
                "Time to write one batch of applied entries to the state.",
                FROM_A_MILLISECOND,
            )?,
            defrag: durations(
                "etcd_disk_backend_defrag_duration_seconds",
                "Time to reclaim the space of deleted keys.",
                (0.1, 13),
            )?,
            defrag_inflight: IntGauge::new(
                "etcd_disk_defrag_inflight",
                "Whether the space of deleted keys is being reclaimed: 1 is yes.",
            )?,
            hash: durations(
                "etcd_mvcc_hash_duration_seconds",
                "Time to hash the whole state.",
                (0.01, 15),
            )?,
            hash_rev: durations(
                "etcd_mvcc_hash_rev_duration_seconds",
                "Time to hash the keys at a revision.",
                (0.01, 15),
            )?,
            open_reads: IntGauge::new(
                "etcd_mvcc_db_open_read_transactions",
                "Reads that look at the state now.",
            )?,
            durations: Arc::new(by_kind),
            watch_streams_failed: stream_failures.with_label_values(&["receive", "watch"]),
            keep_alive_streams_failed: stream_failures
                .with_label_values(&["receive", "lease-keepalive"]),
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
            client_connections_refused: IntCounter::new(
                "conclave_client_connections_refused_total",
                "Client connections closed because there were too many.",
            )?,
            proposals_failed: IntCounter::new(
                "etcd_server_proposals_failed_total",
                "Proposals that were refused or whose outcome is unknown.",
            )?,
            heartbeats_late: IntCounter::new(
                "etcd_server_heartbeat_send_failures_total",
                "Rounds of heartbeats this leader sent more than an interval late.",
            )?,
            raft_messages_refused: IntCounter::new(
                "conclave_raft_messages_refused_total",
                "Raft messages dropped because no correct member sends them.",
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
        let own: Vec<Box<dyn Collector>> = vec![
            Box::new(stream_failures),
            Box::new(stats.wal_write.clone()),
            Box::new(stats.wal_write_bytes.clone()),
            Box::new(stats.defrag.clone()),
            Box::new(stats.defrag_inflight.clone()),
            Box::new(stats.hash.clone()),
            Box::new(stats.hash_rev.clone()),
            Box::new(stats.open_reads.clone()),
            Box::new(stats.wal_fsync.clone()),
            Box::new(stats.backend_commit.clone()),
            Box::new(stats.slow_applies.clone()),
            Box::new(stats.slow_reads.clone()),
            Box::new(stats.reads_failed.clone()),
            Box::new(stats.client_received_bytes.clone()),
            Box::new(stats.client_sent_bytes.clone()),
            Box::new(stats.client_connections_refused.clone()),
            Box::new(stats.proposals_failed.clone()),
            Box::new(stats.heartbeats_late.clone()),
            Box::new(stats.raft_messages_refused.clone()),
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
        collectors.extend(own);
        Ok((stats, collectors))
    }
}

impl Observer for Stats {
    fn observe(&self, observation: Observation<'_>) {
        match observation {
            Observation::LogWritten {
                bytes,
                synced,
                took,
            } => {
                self.wal_write.observe(took.as_secs_f64());
                if synced {
                    self.wal_fsync.observe(took.as_secs_f64());
                }
                self.wal_write_bytes.add(bytes as i64);
            }
            Observation::Applied {
                commands,
                commit_took,
            } => {
                self.backend_commit.observe(commit_took.as_secs_f64());
                self.durations.applied(commands);
            }
            Observation::SlowApply => self.slow_applies.inc(),
            Observation::Request {
                kind,
                is_decided,
                took,
            } => self.durations.request(kind, is_decided, took),
            Observation::ProposalFailed => self.proposals_failed.inc(),
            Observation::SlowRead => self.slow_reads.inc(),
            Observation::ReadFailed => self.reads_failed.inc(),
            Observation::ReadOpened => self.open_reads.inc(),
            Observation::ReadClosed => self.open_reads.dec(),
            Observation::ReclaimBegun => self.defrag_inflight.inc(),
            Observation::ReclaimEnded(took) => {
                self.defrag.observe(took.as_secs_f64());
                self.defrag_inflight.dec();
            }
            Observation::LeasesExpired(count) => self.leases_expired.inc_by(count as u64),
            Observation::HeartbeatLate => self.heartbeats_late.inc(),
            Observation::MessageRefused => self.raft_messages_refused.inc(),
            Observation::InstallBegun => self.installing.set(1),
            Observation::InstallEnded => self.installing.set(0),
        }
    }
}

/// Buckets for disk times: 1 ms to 8 s, the range of etcd's alerts.
const FROM_A_MILLISECOND: (f64, usize) = (0.001, 14);

/// A histogram with `count` buckets from `first` on, each twice as wide as the one before.
fn durations(
    name: &str,
    help: &str,
    (first, count): (f64, usize),
) -> prometheus::Result<Histogram> {
    let buckets = exponential_buckets(first, 2.0, count)?;
    Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))
}
