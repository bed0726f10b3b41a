//! The member in this process: its configuration, and the tasks besides its owners.

use std::sync::Arc;
use std::time::Duration;

use conclave_core::clock::SystemClock;
use conclave_core::limits;
use conclave_core::member::{Member, Owners, PeerContext, Seams, Settings};
use conclave_core::peers::Peers;
use conclave_core::proposer::Reconfiguration;
use conclave_core::seed::Seed;
use conclave_core::stores::Stores;
use conclave_core::workers::Threads;
use tokio::runtime;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::metrics::{self, Metrics};
use crate::{StartError, compactor, leaderless, reconfiguration};

/// The system's random numbers.
struct SystemSeed;

impl Seed for SystemSeed {
    fn next(&self) -> u64 {
        rand::random()
    }
}

/// Starts a member on open stores. Must be called on the clients' runtime. `raft` runs the tasks
/// that must not wait for clients. `connect` makes the network to the other members.
pub(crate) fn start(
    stores: Stores,
    config: &Config,
    metrics: &Metrics,
    stopping: CancellationToken,
    raft: &runtime::Handle,
    connect: impl FnOnce(PeerContext) -> Arc<dyn Peers>,
) -> Result<Member, StartError> {
    let seams = Seams {
        clock: Arc::new(SystemClock::new()),
        seed: Arc::new(SystemSeed),
        workers: Arc::new(Threads),
        observer: Arc::clone(metrics.stats()) as _,
    };
    let settings = settings(config);
    let owners = Owners::new(stores, settings, seams, stopping, connect)?;
    let mut member = Member::start(owners, raft)?;
    let (handle, runtime) = (member.handle().clone(), runtime::Handle::current());
    let watchdog = leaderless::watch(handle.clone(), settings.election_timeout);
    member.spawn("leaderless", watchdog, &runtime);
    if let Some(retention) = config.auto_compaction {
        let compacting = compactor::run(handle.clone(), retention);
        member.spawn("compactor", compacting, &runtime);
    }
    if config.auto_promote_learners {
        let promotions = metrics.stats().promotions.clone();
        let promoting = reconfiguration::promote_learners(handle, promotions);
        member.spawn("promotion", promoting, &runtime);
    }
    Ok(member)
}

fn settings(config: &Config) -> Settings {
    Settings {
        heartbeat_interval: Duration::from_millis(config.heartbeat_interval_ms),
        election_timeout: Duration::from_millis(config.election_timeout_ms),
        pre_vote: config.pre_vote,
        snapshot_count: config.snapshot_count,
        catch_up_entries: config.snapshot_catchup_entries,
        lease_checkpoint_interval: config
            .lease_checkpoint
            .then_some(limits::LEASE_CHECKPOINT_INTERVAL),
        sync: !config.unsafe_no_fsync,
        quota_bytes: config.quota_backend_bytes,
        max_txn_ops: config.max_txn_ops,
        max_request_bytes: config.max_request_bytes,
        watch_progress_interval: config.watch_progress_notify_interval,
        reconfiguration: Reconfiguration {
            strict: config.strict_reconfig_check,
            max_learners: config.max_learners,
        },
    }
}

/// Returns the configuration of the metrics.
pub(crate) fn metrics_settings(config: &Config) -> metrics::Settings {
    metrics::Settings {
        extensive: config.extensive_metrics,
        lease_checkpoint: config.lease_checkpoint,
        sets_local_address: config.peer_local_address.is_some(),
    }
}
