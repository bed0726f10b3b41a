//! The owners, put together: from two open stores to a [`Handle`], and back to nothing.
//!
//! | thread | owns | waits for |
//! |---|---|---|
//! | `driver` | consensus, the raft log | its mailbox, or the next tick |
//! | `log-writer` | (writes the log while the driver goes on) | the driver |
//! | `applier` | the state machine | the driver |
//! | `housekeeper` | (flushes the state) | the applier's tally |
//!
//! Each ends when what it waits for ends; so closing the mailbox ends them all, in order, with
//! everything queued done.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use conclave_storage::machine::Machine;
use conclave_storage::reader::Reader;

use crate::StartError;
use crate::admission::Admission;
use crate::applier::Applier;
use crate::away::Away;
use crate::clock::{Clock, SystemClock};
use crate::config::{AutoCompaction, Config};
use crate::consensus::reads::Reads;
use crate::consensus::{Node, node};
use crate::driver::{Driver, Parts};
use crate::fatal::{Fatal, FatalError};
use crate::handle::{self, Handle, Shared};
use crate::housekeeper::{self, Housekeeper, Tally};
use crate::leadership::{self, Leases};
use crate::long_reads::LongReads;
use crate::mailbox::Mailbox;
use crate::metrics::{self, Metrics, PeerStats};
use crate::peers::{Inbox, Peers};
use crate::progress::Progress;
use crate::stores::Stores;
use crate::{compactor, leaderless, limits, log_writer, proposer, reconfiguration, watch};

/// What of the core is configured.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// One raft tick, and the time between two heartbeats.
    pub heartbeat_interval: Duration,
    /// The time without a leader before an election.
    pub election_timeout: Duration,
    /// Whether to ask around before an election.
    pub pre_vote: bool,
    /// Commands between two flushes of the state.
    pub snapshot_count: u64,
    /// Log entries kept for followers.
    pub catch_up_entries: u64,
    /// How often the time leases have left is noted for the next leader, if at all.
    pub lease_checkpoint_interval: Option<Duration>,
    /// Whether the log is synced before anything is acknowledged.
    pub sync: bool,
    /// What requests are checked against.
    pub quota_bytes: Option<u64>,
    /// See [`handle::Settings`].
    pub max_txn_ops: usize,
    /// See [`handle::Settings`].
    pub max_request_bytes: usize,
    /// See [`watch::Settings`].
    pub watch_progress_interval: Duration,
    /// Who judges membership changes, and how strictly.
    pub reconfiguration: reconfiguration::Settings,
    /// How much history is kept when the member compacts by itself.
    pub auto_compaction: Option<AutoCompaction>,
    /// See [`metrics::Settings`].
    pub extensive_metrics: bool,
    /// See [`metrics::Settings`].
    pub sets_local_address: bool,
}

impl Settings {
    /// The part of a configuration that concerns the core.
    pub fn of(config: &Config) -> Settings {
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
            reconfiguration: reconfiguration::Settings::of(config),
            auto_compaction: config.auto_compaction,
            extensive_metrics: config.extensive_metrics,
            sets_local_address: config.peer_local_address.is_some(),
        }
    }

    fn requests(&self) -> handle::Settings {
        handle::Settings {
            max_txn_ops: self.max_txn_ops,
            max_request_bytes: self.max_request_bytes,
            quota_bytes: self.quota_bytes,
            request_timeout: handle::request_timeout(self.election_timeout),
            lease_ttl_seconds_min: proposer::lease_ttl_seconds_min(self.election_timeout),
            reconfiguration: self.reconfiguration,
        }
    }

    fn metrics(&self) -> metrics::Settings {
        metrics::Settings {
            extensive: self.extensive_metrics,
            lease_checkpoint: self.lease_checkpoint_interval.is_some(),
            sets_local_address: self.sets_local_address,
        }
    }

    fn watches(&self) -> watch::Settings {
        watch::Settings::new(self.max_request_bytes, self.watch_progress_interval)
    }

    fn node(&self, member_id: u64, applied: u64, seed: u64) -> node::Settings {
        let ticks = self.election_timeout.as_millis() / self.heartbeat_interval.as_millis().max(1);
        node::Settings {
            member_id,
            heartbeat_ticks: 1,
            election_ticks: usize::try_from(ticks).unwrap_or(usize::MAX / 2).max(2),
            pre_vote: self.pre_vote,
            applied,
            seed,
        }
    }

    fn housekeeping(&self) -> housekeeper::Settings {
        housekeeper::Settings {
            snapshot_count: self.snapshot_count,
            catch_up_entries: self.catch_up_entries,
        }
    }
}

/// A running member without its network.
pub struct Core {
    handle: Handle,
    metrics: Arc<Metrics>,
    fatal: Fatal,
    mailbox: Arc<Mailbox>,
    tally: Arc<Tally>,
    threads: Vec<JoinHandle<()>>,
    tasks: JoinSet<()>,
}

/// What the way to the other members needs of this one.
pub struct Neighbourhood {
    /// Who this member is.
    pub identity: handle::Identity,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The state.
    pub reader: Reader,
    /// What is counted of the other members.
    pub stats: PeerStats,
    pub(crate) fatal: Fatal,
}

/// What several owners share.
struct Common {
    clock: Arc<dyn Clock>,
    mailbox: Arc<Mailbox>,
    progress: Arc<Progress>,
    leases: Leases,
    tally: Arc<Tally>,
    metrics: Arc<Metrics>,
    fatal: Fatal,
    stopping: CancellationToken,
}

impl Core {
    /// Wakes the owners. Must be called in a tokio runtime, whose tasks it uses; blocks for as long
    /// as threads take to start. `raft` runs what must not wait for clients; see
    /// [`crate::raft_runtime`]. `connect` makes the way to the other members.
    pub fn start(
        stores: Stores,
        settings: Settings,
        stopping: CancellationToken,
        raft: &runtime::Handle,
        connect: impl FnOnce(Inbox, Neighbourhood) -> Arc<dyn Peers>,
    ) -> Result<Core, StartError> {
        let Stores {
            identity,
            mut machine,
            reader,
            log,
            log_state,
            initial_members,
            state_folder,
            skipped,
        } = stores;
        machine.answer_only(identity.member_id);
        let applied = reader.applied();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let metrics = Metrics::new(identity, settings.metrics())
            .map_err(|error| StartError::System(error.to_string()))?;
        let (tally, woken) = Tally::new(settings.housekeeping());
        let progress = Arc::new(Progress::new(applied.index));
        let common = Common {
            mailbox: Arc::default(),
            leases: Leases::new(
                Arc::clone(&clock),
                reader.clone(),
                Arc::clone(&progress),
                settings.election_timeout,
                settings.lease_checkpoint_interval,
            ),
            progress,
            tally,
            metrics: Arc::new(metrics),
            fatal: Fatal::new(stopping.clone()),
            clock,
            stopping,
        };
        let open_reads = common.metrics.stats().open_reads.clone();
        let reads = LongReads::new(reader.clone(), open_reads, common.stopping.clone());
        let (publisher, watches) = watch::new(
            reader.clone(),
            reads.clone(),
            settings.watches(),
            &common.fatal,
        );
        let peers = connect(
            Inbox::new(Arc::clone(&common.mailbox)),
            Neighbourhood {
                identity,
                clock: Arc::clone(&common.clock),
                reader: reader.clone(),
                stats: common.metrics.peers().clone(),
                fatal: common.fatal.clone(),
            },
        );
        peers.set_members(&initial_members, &[]);
        let handle = Handle::new(Shared {
            identity,
            settings: settings.requests(),
            clock: Arc::clone(&common.clock),
            mailbox: Arc::clone(&common.mailbox),
            admission: Admission::new(rand::random()),
            progress: Arc::clone(&common.progress),
            leases: common.leases.clone(),
            reader: reader.clone(),
            reads,
            reclaim_turn: Arc::new(Semaphore::new(1)),
            watches,
            peers: Arc::clone(&peers),
            stats: Arc::clone(common.metrics.stats()),
            stopping: common.stopping.clone(),
        });

        let unreadable = |_| StartError::System("the raft log's voters cannot be read".to_owned());
        let log = Arc::new(log);
        let node_settings = settings.node(identity.member_id, applied.index, rand::random());
        let node = Node::open(node_settings, Arc::clone(&log), &log_state).map_err(unreadable)?;
        let mut threads = Threads {
            fatal: common.fatal.clone(),
            started: Vec::new(),
        };
        let applying = sync_channel(limits::APPLY_QUEUE_BATCHES_MAX);
        threads.start("applier", {
            let reader = reader.clone();
            let applier =
                common.applier(identity.member_id, machine, reader, publisher, applying.1);
            let applier = Applier { skipped, ..applier };
            move || applier.run()
        })?;
        let (appends, to_append) = log_writer::queue();
        threads.start("log-writer", {
            let (log, mailbox) = (Arc::clone(&log), Arc::clone(&common.mailbox));
            let stats = Arc::clone(common.metrics.stats());
            move || log_writer::run(&log, &to_append, &mailbox, &stats)
        })?;
        threads.start("housekeeper", {
            let housekeeper = common.housekeeper(&settings, reader.clone(), woken);
            move || housekeeper.run()
        })?;
        let runtime = runtime::Handle::current();
        threads.start("driver", {
            let runtime = runtime.clone();
            let reads = Reads::new(
                identity.member_id,
                rand::random(),
                limits::READ_PATIENCE_TICKS,
            );
            let driver = Driver::new(Parts {
                node,
                log,
                log_writer: appends,
                applier: applying.0,
                mailbox: Arc::clone(&common.mailbox),
                peers,
                membership: (*reader.membership()).clone(),
                member_id: identity.member_id,
                state_folder,
                fatal: common.fatal.clone(),
                progress: Arc::clone(&common.progress),
                leases: common.leases.clone(),
                reads,
                clock: Arc::clone(&common.clock),
                stats: Arc::clone(common.metrics.stats()),
                runtime,
                tick: settings.heartbeat_interval,
                election_timeout: settings.election_timeout,
                sync: settings.sync,
            });
            move || driver.run()
        })?;
        let mut tasks = JoinSet::new();
        let expiry = common.expiry(handle.clone());
        tasks.spawn_on(common.fatal.guard("lease-expiry", expiry), raft);
        let leaderless = leaderless::watch(handle.clone(), settings.election_timeout);
        tasks.spawn_on(common.fatal.guard("leaderless", leaderless), &runtime);
        if let Some(retention) = settings.auto_compaction {
            let compacting = compactor::run(handle.clone(), retention);
            tasks.spawn_on(common.fatal.guard("compactor", compacting), &runtime);
        }
        if settings.reconfiguration.auto_promote_learners {
            let promoting = reconfiguration::promote_learners(handle.clone());
            tasks.spawn_on(common.fatal.guard("promotion", promoting), &runtime);
        }
        let Common {
            metrics,
            fatal,
            mailbox,
            tally,
            ..
        } = common;
        Ok(Core {
            handle,
            metrics,
            fatal,
            mailbox,
            tally,
            threads: threads.started,
            tasks,
        })
    }

    /// The way in.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// What is measured.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    pub(crate) fn fatal(&self) -> &Fatal {
        &self.fatal
    }

    /// Stops the owners and waits for them. What is in their queues is done first.
    pub async fn stop(mut self) -> Result<(), FatalError> {
        self.handle.stopping().cancel();
        // Their panics are reported where they happen.
        while self.tasks.join_next().await.is_some() {}
        self.handle.reads().stop().await;
        self.mailbox.close();
        self.tally.close();
        let threads = self.threads;
        // Joining cannot fail: panics were caught and reported where they happened.
        let joined = tokio::task::spawn_blocking(move || {
            threads.into_iter().for_each(|thread| drop(thread.join()));
        });
        let _ = joined.await;
        self.fatal.reported().map_or(Ok(()), Err)
    }
}

impl Common {
    fn applier(
        &self,
        member_id: u64,
        machine: Machine,
        reader: Reader,
        publisher: watch::Publisher,
        inbox: std::sync::mpsc::Receiver<Vec<crate::applier::ToApply>>,
    ) -> Applier {
        Applier {
            member_id,
            machine,
            mailbox: Arc::clone(&self.mailbox),
            away: Away::default(),
            reader,
            publisher,
            progress: Arc::clone(&self.progress),
            leases: self.leases.clone(),
            tally: Arc::clone(&self.tally),
            stats: Arc::clone(self.metrics.stats()),
            applies: self.metrics.stats().durations.applies(),
            skipped: Vec::new(),
            inbox,
            runtime: runtime::Handle::current(),
        }
    }

    fn housekeeper(
        &self,
        settings: &Settings,
        reader: Reader,
        woken: std::sync::mpsc::Receiver<()>,
    ) -> Housekeeper {
        Housekeeper {
            settings: settings.housekeeping(),
            reader,
            tally: Arc::clone(&self.tally),
            woken,
            progress: Arc::clone(&self.progress),
            mailbox: Arc::clone(&self.mailbox),
            clock: Arc::clone(&self.clock),
            stopping: self.stopping.clone(),
        }
    }

    fn expiry(&self, handle: Handle) -> impl Future<Output = ()> + Send + 'static {
        let fatal = self.fatal.clone();
        async move {
            if let Err(fault) = leadership::run(handle).await {
                fatal.report(fault.into());
            }
        }
    }
}

/// The threads started so far.
struct Threads {
    fatal: Fatal,
    started: Vec<JoinHandle<()>>,
}

impl Threads {
    fn start(
        &mut self,
        name: &'static str,
        owner: impl FnOnce() -> Result<(), conclave_storage::Fault> + Send + 'static,
    ) -> Result<(), StartError> {
        let thread = self.fatal.spawn(name, owner);
        self.started
            .push(thread.map_err(|error| StartError::System(error.to_string()))?);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
