//! Metrics for Prometheus, under the names that etcd's dashboards and alerts use.
//!
//! There are three kinds, by what changes them:
//!
//! - [`Calls`] and [`Clients`]: gRPC calls, counted by the layers around the services.
//! - [`Stats`]: counts of the core, and [`PeerStats`]: counts of the network for each other member.
//!   Their parts are plain counters and histograms, looked up once; updating one is an atomic
//!   addition.
//! - Gauges of the present state: read from the [`Handle`] and the system when Prometheus scrapes.
//!
//! A metric that has no meaning here (bbolt's internals, the v2 store) is absent rather than zero.
//! The runbook lists the metrics of etcd that are absent. `tests/process/metrics.rs` compares
//! names, types, labels and buckets with those of a real etcd.
//!
//! # Cost
//!
//! A get updates two counters of calls, one of its client's version, two histograms and a gauge,
//! and reads the clock four times. The clock is most of the cost: 0.26 us on a machine where
//! reading the clock takes 0.07 us, and a get 25 us. `--metrics=extensive` adds a histogram and two
//! readings of the clock to each call, 0.17 us. Scrapes are rendered one at a time
//! ([`renderings`]).

use std::sync::Arc;

use bytes::Bytes;
use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

use crate::net::tls::Tls;
use crate::version::{API_VERSION, CLUSTER_VERSION};
use conclave_core::handle::{Handle, Identity};

mod audit;
mod calls;
mod certificates;
mod clients;
mod durations;
mod gauges;
mod peers;
mod process;
mod renderings;
mod stats;

pub(crate) use audit::AuditStats;
pub(crate) use calls::{Call, Calls, code_name};
pub(crate) use clients::Clients;
pub use durations::Durations;
pub(crate) use peers::OfPeer;
pub use peers::PeerStats;
#[cfg(test)]
pub(crate) use peers::Transfers;
pub use stats::Stats;

use certificates::Certificates;
use gauges::Gauges;
use process::Process;
use renderings::Renderings;

/// The configuration of the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Whether the duration of calls is measured by method, which adds many series.
    pub extensive: bool,
    /// Whether the remaining time of leases is recorded for the next leader.
    pub lease_checkpoint: bool,
    /// Whether connections to other members use the advertised address.
    pub sets_local_address: bool,
}

/// All metrics of a member.
pub struct Metrics {
    registry: Registry,
    calls: Arc<Calls>,
    clients: Arc<Clients>,
    stats: Arc<Stats>,
    peers: PeerStats,
    gauges: Gauges,
    process: Process,
    health: Health,
    scrapes: Scrapes,
    renderings: Renderings,
}

/// The two lists of health checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    /// `/livez`.
    Live,
    /// `/readyz`.
    Ready,
}

impl Probe {
    const fn label(self) -> &'static str {
        match self {
            Probe::Live => "livez",
            Probe::Ready => "readyz",
        }
    }
}

/// Counts of the scrapes themselves.
struct Scrapes {
    running: IntGauge,
    succeeded: IntCounter,
    failed: IntCounter,
}

/// Counts of health checks over HTTP.
struct Health {
    success: IntCounter,
    failures: IntCounter,
    current: IntGaugeVec,
    total: IntCounterVec,
}

impl Metrics {
    /// Returns every metric, at zero, for this member. Fails only if two metrics have the same
    /// name, which is a defect.
    pub fn new(identity: Identity, settings: Settings) -> prometheus::Result<Metrics> {
        let registry = Registry::new();
        let mut collectors: Vec<Box<dyn Collector>> = Vec::new();
        let (calls, of_calls) = Calls::new(settings.extensive)?;
        collectors.extend(of_calls);
        let (clients, of_clients) = Clients::new()?;
        collectors.extend(of_clients);
        let (stats, of_stats) = Stats::new()?;
        collectors.extend(of_stats);
        let (peers, of_peers) = PeerStats::new(identity.member_id)?;
        collectors.extend(of_peers);
        let (gauges, of_gauges) = Gauges::new()?;
        collectors.extend(of_gauges);
        let (health, of_health) = Health::new()?;
        collectors.extend(of_health);
        let (process, of_process) = Process::new()?;
        collectors.extend(of_process);
        let (scrapes, of_scrapes) = Scrapes::new()?;
        collectors.extend(of_scrapes);
        collectors.extend(facts(identity)?);
        collectors.push(features(settings)?);
        for collector in collectors {
            registry.register(collector)?;
        }
        Ok(Metrics {
            registry,
            calls: Arc::new(calls),
            clients: Arc::new(clients),
            stats: Arc::new(stats),
            peers,
            gauges,
            process,
            health,
            scrapes,
            renderings: Renderings::default(),
        })
    }

    /// Adds gauges of these certificates.
    pub(crate) fn watch_certificates(&self, sets: Vec<Arc<Tls>>) -> prometheus::Result<()> {
        if sets.is_empty() {
            return Ok(());
        }
        let gauges = Certificates::new(sets)?;
        self.registry.register(Box::new(gauges))
    }

    /// Adds the counts of an audit log, and returns them.
    pub(crate) fn count_audit_lines(&self) -> prometheus::Result<AuditStats> {
        let stats = AuditStats::new()?;
        for collector in stats.collectors() {
            self.registry.register(collector)?;
        }
        Ok(stats)
    }

    /// The counters of gRPC calls.
    pub(crate) fn calls(&self) -> &Arc<Calls> {
        &self.calls
    }

    /// The counters of requests by their clients' version.
    pub(crate) fn clients(&self) -> &Arc<Clients> {
        &self.clients
    }

    /// The core's counts.
    pub fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    /// The network's counts for other members.
    pub fn peers(&self) -> &PeerStats {
        &self.peers
    }

    /// Counts the outcome of a named check.
    pub(crate) fn probed(&self, probe: Probe, check: &str, success: bool) {
        let outcome = if success { "success" } else { "error" };
        let health = &self.health;
        health
            .total
            .with_label_values(&[probe.label(), check, outcome])
            .inc();
        health
            .current
            .with_label_values(&[probe.label(), check])
            .set(i64::from(success));
    }

    /// Counts the outcome of `/health`.
    pub(crate) fn health_checked(&self, success: bool) {
        let counter = if success {
            &self.health.success
        } else {
            &self.health.failures
        };
        counter.inc();
    }

    /// Renders all metrics in Prometheus' text format.
    pub(crate) async fn exposition(self: &Arc<Self>, handle: &Handle) -> prometheus::Result<Bytes> {
        let _running = Running::begin(&self.scrapes.running);
        let (metrics, handle) = (Arc::clone(self), handle.clone());
        let text = self.renderings.text(move || metrics.render(&handle)).await;
        match &text {
            Ok(_) => self.scrapes.succeeded.inc(),
            Err(_) => self.scrapes.failed.inc(),
        }
        text
    }

    /// Returns all metrics, for another format. `None` if they cannot be read.
    pub(crate) async fn families(self: &Arc<Self>, handle: &Handle) -> Option<Vec<MetricFamily>> {
        let (metrics, handle) = (Arc::clone(self), handle.clone());
        // To read them takes milliseconds, as for a scrape.
        let gathering = tokio::task::spawn_blocking(move || metrics.gather(&handle));
        gathering.await.ok()
    }

    fn render(&self, handle: &Handle) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.gather(handle))
    }

    fn gather(&self, handle: &Handle) -> Vec<MetricFamily> {
        self.gauges.read(handle);
        self.process.read();
        self.calls.settle();
        self.registry.gather()
    }
}

/// Counts a scrape as running until it is dropped.
struct Running(IntGauge);

impl Running {
    fn begin(running: &IntGauge) -> Running {
        running.inc();
        Running(running.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Scrapes {
    fn new() -> prometheus::Result<(Scrapes, Vec<Box<dyn Collector>>)> {
        let running = IntGauge::new(
            "promhttp_metric_handler_requests_in_flight",
            "Scrapes that are being answered.",
        )?;
        let total = IntCounterVec::new(
            Opts::new(
                "promhttp_metric_handler_requests_total",
                "Scrapes by HTTP status.",
            ),
            &["code"],
        )?;
        let scrapes = Scrapes {
            running: running.clone(),
            succeeded: total.with_label_values(&["200"]),
            failed: total.with_label_values(&["500"]),
        };
        Ok((scrapes, vec![Box::new(running), Box::new(total)]))
    }
}

impl Health {
    fn new() -> prometheus::Result<(Health, Vec<Box<dyn Collector>>)> {
        let health = Health {
            success: IntCounter::new("etcd_server_health_success", "Successful health checks.")?,
            failures: IntCounter::new("etcd_server_health_failures", "Failed health checks.")?,
            current: IntGaugeVec::new(
                Opts::new(
                    "etcd_server_healthcheck",
                    "The last outcome of a check: 1 is success.",
                ),
                &["type", "name"],
            )?,
            total: IntCounterVec::new(
                Opts::new("etcd_server_healthchecks_total", "Checks run, by outcome."),
                &["type", "name", "status"],
            )?,
        };
        let collectors: Vec<Box<dyn Collector>> = vec![
            Box::new(health.success.clone()),
            Box::new(health.failures.clone()),
            Box::new(health.current.clone()),
            Box::new(health.total.clone()),
        ];
        Ok((health, collectors))
    }
}

/// Facts that do not change while the process runs: gauges that are 1, with the fact as a label.
fn facts(identity: Identity) -> prometheus::Result<Vec<Box<dyn Collector>>> {
    let member_id = identity.member_id.to_string();
    let facts = [
        (
            "etcd_server_version",
            "Which API level is running.",
            "server_version",
            API_VERSION,
        ),
        (
            "etcd_cluster_version",
            "Which level the cluster is at.",
            "cluster_version",
            CLUSTER,
        ),
        (
            "etcd_server_id",
            "Who this member is, in hexadecimal.",
            "server_id",
            &member_id,
        ),
    ];
    let gauge = |(name, help, label, value): (&str, &str, &str, &str)| {
        let gauge = IntGauge::with_opts(Opts::new(name, help).const_label(label, value))?;
        gauge.set(1);
        Ok(Box::new(gauge) as Box<dyn Collector>)
    };
    facts.into_iter().map(gauge).collect()
}

/// etcd's feature gates, with their stage and whether this server has what the gate stands for. The
/// gates that `--feature-gates` can turn on are in [`features`].
const FEATURES: &[(&str, &str, bool)] = &[
    ("AllAlpha", "ALPHA", false),
    ("AllBeta", "BETA", false),
    ("CompactHashCheck", "ALPHA", false),
    ("FastLeaseKeepAlive", "BETA", true),
    ("InitialCorruptCheck", "ALPHA", false),
    ("PriorityRequest", "ALPHA", false),
    ("StopGRPCServiceOnDefrag", "ALPHA", false),
    ("TxnModeWriteWithSharedBuffer", "BETA", true),
];

fn features(settings: Settings) -> prometheus::Result<Box<dyn Collector>> {
    let enabled = IntGaugeVec::new(
        Opts::new(
            "etcd_server_feature_enabled",
            "Whether a feature of etcd is on: 1 is yes.",
        ),
        &["name", "stage"],
    )?;
    let configured = [
        ("LeaseCheckpoint", "ALPHA", settings.lease_checkpoint),
        ("LeaseCheckpointPersist", "ALPHA", settings.lease_checkpoint),
        ("SetMemberLocalAddr", "ALPHA", settings.sets_local_address),
    ];
    for &(name, stage, is_on) in FEATURES.iter().chain(&configured) {
        let gauge = enabled.with_label_values(&[name, stage]);
        gauge.set(i64::from(is_on));
    }
    Ok(Box::new(enabled))
}

/// The cluster's version as this metric has it, without its patch level.
const CLUSTER: &str = CLUSTER_VERSION.split_at(3).0;

#[cfg(test)]
mod tests {
    use conclave_storage::{ClusterId, MemberId};

    use super::*;

    #[test]
    fn no_two_metrics_share_a_name_and_dashboards_find_theirs() {
        let identity = Identity {
            cluster_id: ClusterId(1),
            member_id: MemberId(0xabc),
        };
        let metrics = Metrics::new(identity, Settings::default()).expect("distinct names");
        metrics.probed(Probe::Live, "serializable_read", true);
        let text = TextEncoder::new()
            .encode_to_string(&metrics.registry.gather())
            .expect("text");
        for line in [
            r#"etcd_server_version{server_version="3.7.1"} 1"#,
            r#"etcd_cluster_version{cluster_version="3.7"} 1"#,
            r#"etcd_server_id{server_id="abc"} 1"#,
            r#"etcd_server_healthcheck{name="serializable_read",type="livez"} 1"#,
            r#"grpc_service="etcdserverpb.KV",grpc_type="unary"} 0"#,
            "etcd_server_has_leader 0",
            "etcd_server_leader_changes_seen_total 0",
            "etcd_disk_wal_fsync_duration_seconds_count 0",
            "etcd_disk_backend_commit_duration_seconds_count 0",
            "etcd_mvcc_put_total 0",
            "process_max_fds ",
        ] {
            assert!(text.contains(line), "{line} is missing");
        }
    }
}
