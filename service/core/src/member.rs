//! A member: the owners put together, from two open stores to a [`Handle`], and back to nothing.
//!
//! | thread | owns | waits for |
//! |---|---|---|
//! | `driver` | consensus, the raft log | its mailbox, or the next tick |
//! | `log-writer` | (writes the log while the driver goes on) | the driver |
//! | `applier` | the state machine | the driver |
//! | `housekeeper` | (flushes the state) | the applier's tally |
//!
//! Each ends when what it waits for ends; so closing the mailbox ends them all, in order, with
//! everything queued done. Two owners are tasks: the watch hub, which ends after the applier, and
//! the expiry of leases, which ends when the member begins to stop.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::runtime;
use tokio::sync::Semaphore;
use tokio::task::{self, JoinSet};
use tokio_util::sync::CancellationToken;

use conclave_storage::log::Log;
use conclave_storage::machine::Machine;
use conclave_storage::reader::Reader;
use conclave_storage::state_store::StateStore;
use conclave_storage::{Fault, Index, MemberId, RequestId};

use crate::admission::Admission;
use crate::applier::{Applier, ToApply};
use crate::clock::Clock;
use crate::consensus::reads::Reads;
use crate::consensus::{Node, node};
use crate::driver::{Driver, Parts};
use crate::expiry::Expiry;
use crate::fatal::{Fatal, FatalError};
use crate::forwarded::Forwarded;
use crate::handle::{self, Handle, Shared};
use crate::housekeeper::{Housekeeper, Retention, Tally};
use crate::lease::Leases;
use crate::log_writer::{self, Job, LogWriter};
use crate::logins::Logins;
use crate::long_reads::LongReads;
use crate::mailbox::{Control, Mailbox};
use crate::observe::Observer;
use crate::peers::{Inbox, Peers};
use crate::progress::Progress;
use crate::seed::Seed;
use crate::stores::Stores;
use crate::workers::Workers;
use crate::{limits, proposer, watch};

/// The configuration of a member.
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
    /// Time without use after which a login ends.
    pub auth_token_ttl: Duration,
    /// How membership changes are judged before they are proposed.
    pub reconfiguration: proposer::Reconfiguration,
}

impl Settings {
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

    fn watches(&self) -> watch::Settings {
        watch::Settings::new(self.max_request_bytes, self.watch_progress_interval)
    }

    fn node(&self, member_id: MemberId, applied: Index, seed: u64) -> node::Settings {
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
}

/// The world as a member sees it. Another implementation of each can stand here.
#[derive(Clone)]
pub struct Seams {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub seed: Arc<dyn Seed>,
    /// Work that blocks.
    pub workers: Arc<dyn Workers>,
    /// Where the member reports to.
    pub observer: Arc<dyn Observer>,
}

/// Why a member cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The system gives no thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// The raft log's voters cannot be read.
    #[error("the raft log's voters cannot be read")]
    Voters,
}

/// The owners of a member, before anything runs them.
pub struct Owners {
    handle: Handle,
    fatal: Fatal,
    mailbox: Arc<Mailbox>,
    tally: Arc<Tally>,
    pub(crate) driver: Driver,
    pub(crate) log_writer: LogWriter,
    pub(crate) applier: Applier,
    pub(crate) housekeeper: Housekeeper,
    pub(crate) hub: watch::HubOwner,
    pub(crate) expiry: Expiry,
}

/// A running member without its network.
pub struct Member {
    handle: Handle,
    fatal: Fatal,
    mailbox: Arc<Mailbox>,
    tally: Arc<Tally>,
    threads: Vec<thread::JoinHandle<()>>,
    tasks: JoinSet<()>,
    /// The task of the hub. It ends with the applier, whose revisions it delivers.
    hub: task::JoinHandle<()>,
}

/// What the peer network needs from this member.
pub struct PeerContext {
    /// The ids of the member and its cluster.
    pub identity: handle::Identity,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The state.
    pub reader: Reader,
    /// Where the network reports what ends the member.
    pub fatal: Fatal,
    /// Where the network reports what it receives.
    pub inbox: Inbox,
}

/// What several owners share.
struct Common {
    clock: Arc<dyn Clock>,
    seed: Arc<dyn Seed>,
    workers: Arc<dyn Workers>,
    reader: Reader,
    mailbox: Arc<Mailbox>,
    progress: Arc<Progress>,
    leases: Leases,
    logins: Logins,
    tally: Arc<Tally>,
    observer: Arc<dyn Observer>,
    fatal: Fatal,
    stopping: CancellationToken,
}

impl Owners {
    /// Makes the owners. Must be called in a tokio runtime, whose tasks they use. `connect` makes
    /// the network to the other members.
    pub fn new(
        stores: Stores,
        settings: Settings,
        seams: Seams,
        stopping: CancellationToken,
        connect: impl FnOnce(PeerContext) -> Arc<dyn Peers>,
    ) -> Result<Owners, StartError> {
        let Stores {
            identity,
            mut machine,
            reader,
            log,
            log_state,
            initial_members,
            states,
            skipped,
        } = stores;
        machine.answer_only(identity.member_id);
        let applied = reader.applied();
        let (tally, woken) = Tally::new(settings.snapshot_count);
        let common = Common::new(&settings, seams, stopping, reader.clone(), tally);
        let (reads, (publisher, watches, hub)) = common.reading(&settings, &reader);
        let peers = connect(common.peer_context(identity));
        peers.set_members(&initial_members, &[]);
        let handle = common.handle(identity, &settings, reads, watches, Arc::clone(&peers));
        let seed = &common.seed;
        let log = Arc::new(log);
        let node_settings = settings.node(identity.member_id, applied.index, seed.next());
        let node = Node::open(node_settings, Arc::clone(&log), &log_state)
            .map_err(|_| StartError::Voters)?;
        let (to_apply, inbox) = sync_channel(limits::APPLY_QUEUE_BATCHES_MAX);
        let applier = common.applier(identity.member_id, machine, publisher, inbox);
        let (appends, jobs) = log_writer::queue();
        let driver = Driver::new(Parts {
            node,
            log: Arc::clone(&log),
            log_writer: appends,
            applier: to_apply,
            mailbox: Arc::clone(&common.mailbox),
            peers,
            membership: (*reader.membership()).clone(),
            member_id: identity.member_id,
            states: Arc::clone(&states),
            reader: reader.clone(),
            workers: Arc::clone(&common.workers),
            fatal: common.fatal.clone(),
            progress: Arc::clone(&common.progress),
            leases: common.leases.clone(),
            reads: Reads::new(identity.member_id, seed.next(), limits::READ_PATIENCE_TICKS),
            clock: Arc::clone(&common.clock),
            observer: Arc::clone(&common.observer),
            runtime: runtime::Handle::current(),
            tick: settings.heartbeat_interval,
            election_timeout: settings.election_timeout,
            sync: settings.sync,
        });
        Ok(Owners {
            expiry: Expiry::new(handle.clone()),
            handle,
            driver,
            log_writer: common.log_writer(log, states, jobs),
            applier: Applier { skipped, ..applier },
            housekeeper: common.housekeeper(&settings, woken),
            hub,
            fatal: common.fatal,
            mailbox: common.mailbox,
            tally: common.tally,
        })
    }

    /// All that a front may ask for.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Where to report what ends the member.
    pub fn fatal(&self) -> &Fatal {
        &self.fatal
    }
}

impl Member {
    /// Starts the owners, each in a thread or a task. Blocks for as long as threads take to start.
    /// Must be called in the runtime of the clients, which runs the watch hub. `raft` runs the
    /// tasks that must not wait for clients.
    pub fn start(owners: Owners, raft: &runtime::Handle) -> Result<Member, StartError> {
        let Owners {
            handle,
            fatal,
            mailbox,
            tally,
            driver,
            log_writer,
            applier,
            housekeeper,
            hub,
            expiry,
        } = owners;
        let hub = tokio::spawn(fatal.guard("watch-hub", hub.run()));
        let mut member = Member {
            handle,
            fatal,
            mailbox,
            tally,
            threads: Vec::new(),
            tasks: JoinSet::new(),
            hub,
        };
        member.start_thread("applier", move || applier.run())?;
        member.start_thread("log-writer", move || log_writer.run())?;
        member.start_thread("housekeeper", move || housekeeper.run())?;
        member.start_thread("driver", move || driver.run())?;
        let fatal = member.fatal.clone();
        let ending = async move {
            if let Err(fault) = expiry.run().await {
                fatal.report(fault.into());
            }
        };
        member.spawn("lease-expiry", ending, raft);
        Ok(member)
    }

    fn start_thread(
        &mut self,
        name: &'static str,
        owner: impl FnOnce() -> Result<(), Fault> + Send + 'static,
    ) -> Result<(), StartError> {
        self.threads.push(self.fatal.spawn(name, owner)?);
        Ok(())
    }

    /// All that a front may ask for.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Where to report what ends the member.
    pub fn fatal(&self) -> &Fatal {
        &self.fatal
    }

    /// Runs a task beside the owners, until the member stops. The task must end then; its panic
    /// ends the member.
    pub fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
        runtime: &runtime::Handle,
    ) {
        self.tasks.spawn_on(self.fatal.guard(name, task), runtime);
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
        let joined = task::spawn_blocking(move || {
            threads.into_iter().for_each(|thread| drop(thread.join()));
        });
        let _ = joined.await;
        // The applier has dropped the publisher. A panic of the hub was reported as well.
        let _ = self.hub.await;
        self.fatal.reported().map_or(Ok(()), Err)
    }
}

impl Common {
    fn new(
        settings: &Settings,
        seams: Seams,
        stopping: CancellationToken,
        reader: Reader,
        tally: Arc<Tally>,
    ) -> Common {
        let Seams {
            clock,
            seed,
            workers,
            observer,
        } = seams;
        let progress = Arc::new(Progress::new(reader.applied().index));
        let leases = Leases::new(
            Arc::clone(&clock),
            reader.clone(),
            Arc::clone(&progress),
            settings.election_timeout,
            settings.lease_checkpoint_interval,
        );
        Common {
            logins: Logins::new(Arc::clone(&clock), settings.auth_token_ttl),
            clock,
            seed,
            workers,
            observer,
            reader,
            mailbox: Arc::default(),
            progress,
            leases,
            tally,
            fatal: Fatal::new(stopping.clone()),
            stopping,
        }
    }

    /// Makes the interfaces for long reads and for watchers, and the owner of the watchers.
    fn reading(
        &self,
        settings: &Settings,
        reader: &Reader,
    ) -> (
        LongReads,
        (watch::Publisher, watch::Watches, watch::HubOwner),
    ) {
        let reads = LongReads::new(
            reader.clone(),
            (Arc::clone(&self.workers), Arc::clone(&self.observer)),
            self.stopping.clone(),
        );
        let watching = watch::new(
            reader.clone(),
            reads.clone(),
            (Arc::clone(&self.clock), Arc::clone(&self.seed)),
            settings.watches(),
        );
        (reads, watching)
    }

    fn log_writer(
        &self,
        log: Arc<Log>,
        states: Arc<dyn StateStore>,
        jobs: Receiver<Job>,
    ) -> LogWriter {
        LogWriter {
            log,
            states,
            jobs,
            mailbox: Arc::clone(&self.mailbox),
            observer: Arc::clone(&self.observer),
        }
    }

    fn peer_context(&self, identity: handle::Identity) -> PeerContext {
        let mailbox = Arc::clone(&self.mailbox);
        PeerContext {
            identity,
            clock: Arc::clone(&self.clock),
            reader: self.reader.clone(),
            fatal: self.fatal.clone(),
            inbox: Inbox::new(move |event| mailbox.control(Control::Peer(event))),
        }
    }

    fn handle(
        &self,
        identity: handle::Identity,
        settings: &Settings,
        reads: LongReads,
        watches: watch::Watches,
        peers: Arc<dyn Peers>,
    ) -> Handle {
        Handle::new(Shared {
            identity,
            settings: settings.requests(),
            clock: Arc::clone(&self.clock),
            mailbox: Arc::clone(&self.mailbox),
            admission: Admission::new(RequestId(self.seed.next())),
            progress: Arc::clone(&self.progress),
            leases: self.leases.clone(),
            logins: self.logins.clone(),
            reader: self.reader.clone(),
            reads,
            reclaim_turn: Arc::new(Semaphore::new(1)),
            watches,
            peers,
            observer: Arc::clone(&self.observer),
            seed: Arc::clone(&self.seed),
            stopping: self.stopping.clone(),
        })
    }

    fn applier(
        &self,
        member_id: MemberId,
        machine: Machine,
        publisher: watch::Publisher,
        inbox: Receiver<Vec<ToApply>>,
    ) -> Applier {
        Applier {
            member_id,
            machine,
            mailbox: Arc::clone(&self.mailbox),
            forwarded: Forwarded::default(),
            reader: self.reader.clone(),
            publisher,
            progress: Arc::clone(&self.progress),
            leases: self.leases.clone(),
            logins: self.logins.clone(),
            tally: Arc::clone(&self.tally),
            observer: Arc::clone(&self.observer),
            skipped: Vec::new(),
            is_compacting: true,
            inbox,
            runtime: runtime::Handle::current(),
        }
    }

    fn housekeeper(&self, settings: &Settings, woken: Receiver<()>) -> Housekeeper {
        Housekeeper {
            retention: Retention::new(settings.catch_up_entries),
            flushed_at: None,
            reader: self.reader.clone(),
            tally: Arc::clone(&self.tally),
            woken,
            progress: Arc::clone(&self.progress),
            mailbox: Arc::clone(&self.mailbox),
            clock: Arc::clone(&self.clock),
            stopping: self.stopping.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
