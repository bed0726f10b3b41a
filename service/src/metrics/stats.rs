//! Counts and durations that the core reports as it works. See [`crate::metrics`].

use std::sync::Arc;

use conclave_core::observe::{Observation, Observer};
use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, exponential_buckets,
};

use super::durations::Durations;

/// Makes one metric of the table.
macro_rules! made {
    (Histogram, $name:literal, $help:literal, $buckets:expr) => {
        durations($name, $help, $buckets)?
    };
    ($type:ident, $name:literal, $help:literal) => {
        $type::new($name, $help)?
    };
}

/// Declares the metrics of the core: a line for the help, which documents the field, and a line for
/// the field, its type, its name, and a histogram's first bucket and number of buckets.
macro_rules! declare {
    ($($help:literal $field:ident: $type:ident = $name:literal $(, $buckets:expr)?;)*) => {
        /// Counters and histograms of the core. Clones share them.
        #[derive(Clone, Debug)]
        pub struct Stats {
            $(#[doc = $help] pub $field: $type,)*
            /// Durations by kind of request.
            pub durations: Arc<Durations>,
            /// Watch streams that ended because a client's message could not be decoded.
            pub watch_streams_failed: IntCounter,
            /// Keep-alive streams that ended because a client's message could not be decoded.
            pub keep_alive_streams_failed: IntCounter,
            /// Promotions requested of this member that failed, by the reason.
            pub promotions_failed: IntCounterVec,
            /// Calls and watchers that were refused by a limit of fair use, by the limit's flag.
            pub refused_by_limit: IntCounterVec,
        }

        impl Stats {
            /// Returns the series, and the collectors to register.
            pub(super) fn new() -> prometheus::Result<(Stats, Vec<Box<dyn Collector>>)> {
                let (durations, mut collectors) = Durations::new()?;
                let stream_failures = stream_failures()?;
                let failed = |api| stream_failures.with_label_values(&["receive", api]);
                let stats = Stats {
                    $($field: made!($type, $name, $help $(, $buckets)?),)*
                    durations: Arc::new(durations),
                    watch_streams_failed: failed("watch"),
                    keep_alive_streams_failed: failed("lease-keepalive"),
                    promotions_failed: promotions_failed()?,
                    refused_by_limit: refused_by_limit()?,
                };
                $(collectors.push(Box::new(stats.$field.clone()));)*
                collectors.push(Box::new(stats.promotions_failed.clone()));
                collectors.push(Box::new(stats.refused_by_limit.clone()));
                collectors.push(Box::new(stream_failures));
                Ok((stats, collectors))
            }
        }
    };
}

declare! {
    "Time to make appended log entries durable."
    wal_fsync: Histogram = "etcd_disk_wal_fsync_duration_seconds", FROM_A_MILLISECOND;
    "Time to write to the log, with the sync where there is one."
    wal_write: Histogram = "etcd_disk_wal_write_duration_seconds", FROM_A_MILLISECOND;
    "Bytes of entries written to the log."
    wal_write_bytes: IntGauge = "etcd_disk_wal_write_bytes_total";
    "Time to write one batch of applied entries to the state."
    backend_commit: Histogram = "etcd_disk_backend_commit_duration_seconds", FROM_A_MILLISECOND;
    "Time to reclaim the space of deleted keys."
    defrag: Histogram = "etcd_disk_backend_defrag_duration_seconds", (0.1, 13);
    "Whether the space of deleted keys is being reclaimed: 1 is yes."
    defrag_inflight: IntGauge = "etcd_disk_defrag_inflight";
    "Time to hash the whole state."
    hash: Histogram = "etcd_mvcc_hash_duration_seconds", (0.01, 15);
    "Time to hash the keys at a revision."
    hash_rev: Histogram = "etcd_mvcc_hash_rev_duration_seconds", (0.01, 15);
    "Reads that look at the state now."
    open_reads: IntGauge = "etcd_mvcc_db_open_read_transactions";
    "Batches of entries that took more than 100 ms to apply."
    slow_applies: IntCounter = "etcd_server_slow_apply_total";
    "Linearizable reads that waited more than 500 ms for their turn."
    slow_reads: IntCounter = "etcd_server_slow_read_indexes_total";
    "Linearizable reads that were refused."
    reads_failed: IntCounter = "etcd_server_read_indexes_failed_total";
    "Bytes received on client connections."
    client_received_bytes: IntCounter = "etcd_network_client_grpc_received_bytes_total";
    "Bytes sent on client connections."
    client_sent_bytes: IntCounter = "etcd_network_client_grpc_sent_bytes_total";
    "Client connections closed because there were too many."
    client_connections_refused: IntCounter = "conclave_client_connections_refused_total";
    "Proposals that were refused or whose outcome is unknown."
    proposals_failed: IntCounter = "etcd_server_proposals_failed_total";
    "Rounds of heartbeats this leader sent more than an interval late."
    heartbeats_late: IntCounter = "etcd_server_heartbeat_send_failures_total";
    "Raft messages from other members that were dropped because no correct member sends them."
    raft_messages_refused: IntCounter = "conclave_raft_messages_refused_total";
    "Whether a received snapshot is being put in place: 1 is yes."
    installing: IntGauge = "etcd_server_snapshot_apply_in_progress_total";
    "Learners promoted by this member."
    promotions: IntCounter = "etcd_server_learner_promote_successes";
    "Ranges read by this member."
    ranges: IntCounter = "etcd_mvcc_range_total";
    "Puts asked of this member."
    puts: IntCounter = "etcd_mvcc_put_total";
    "Deletes asked of this member."
    deletes: IntCounter = "etcd_mvcc_delete_total";
    "Transactions asked of this member."
    txns: IntCounter = "etcd_mvcc_txn_total";
    "Leases granted by this member."
    leases_granted: IntCounter = "etcd_debugging_lease_granted_total";
    "Leases revoked at a client's request."
    leases_revoked: IntCounter = "etcd_debugging_lease_revoked_total";
    "Leases this member, as the leader, ended because they had expired."
    leases_expired: IntCounter = "etcd_debugging_server_lease_expired_total";
    "Keep-alives answered by this member."
    leases_renewed: IntCounter = "etcd_debugging_lease_renewed_total";
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

fn stream_failures() -> prometheus::Result<IntCounterVec> {
    let opts = Opts::new(
        "etcd_network_server_stream_failures_total",
        "Streams that ended because what a client sent could not be read.",
    );
    IntCounterVec::new(opts, &["Type", "API"])
}

fn promotions_failed() -> prometheus::Result<IntCounterVec> {
    let opts = Opts::new(
        "etcd_server_learner_promote_failures",
        "Promotions asked of this member in vain.",
    );
    IntCounterVec::new(opts, &["Reason"])
}

fn refused_by_limit() -> prometheus::Result<IntCounterVec> {
    let opts = Opts::new(
        "conclave_refused_by_limit_total",
        "Calls and watchers that were refused because a user or an address has reached a limit.",
    );
    IntCounterVec::new(opts, &["limit"])
}

/// A histogram with this many buckets from the first on, each twice as long as the one before.
fn durations(
    name: &str,
    help: &str,
    (first, count): (f64, usize),
) -> prometheus::Result<Histogram> {
    let buckets = exponential_buckets(first, 2.0, count)?;
    Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))
}
