//! One member of a simulated cluster: its disks, and its process while that lives.

use std::sync::Arc;
use std::time::Duration;

use conclave_core::clock::Clock;
use conclave_core::driven::Driven;
use conclave_core::member::{Owners, PeerContext, Seams, Settings};
use conclave_core::observe::Unobserved;
use conclave_core::proposer::Reconfiguration;
use conclave_core::seed::{Seed, Sequence};
use conclave_core::stores::{NewCluster, Opened, Origin};
use conclave_core::workers::Workers;
use conclave_proto::command;
use conclave_storage::engine::memory::MemoryEngine;
use conclave_storage::log::Log;
use conclave_storage::machine::Limits;
use conclave_storage::state_store::StateStore as _;
use conclave_storage::state_store::memory::MemoryStates;
use conclave_storage::{ClusterId, Fault, MemberId};
use tokio_util::sync::CancellationToken;

use crate::network::Network;
use crate::time::SkewedClock;
use crate::work::Queue;

/// Milliseconds of a raft tick.
const TICK_MS: u64 = 10;
/// Milliseconds without a leader before an election.
const ELECTION_MS: u64 = 100;
/// The id of the cluster.
const CLUSTER: ClusterId = ClusterId(0xc1);

/// A member.
pub struct Member {
    /// Its id.
    pub id: MemberId,
    /// Its process, if it lives.
    pub driven: Option<Driven>,
    /// Work of its process that blocks, and has not begun.
    pub work: Queue,
    /// The world's time until which none of its owners gets a turn.
    pub paused_until_ms: u64,
    /// It does not start again: it was removed and knows it, or its log is damaged.
    pub is_gone: bool,
    /// A bit of its log has flipped.
    pub is_damaged: bool,
    /// One of its next writes fails.
    pub is_failing: bool,
    log: MemoryEngine,
    states: MemoryStates,
    clock: Arc<SkewedClock>,
    seed: Arc<Sequence>,
    /// Members of the new cluster that it founds; 0 if it joins one.
    founders: u64,
    catch_up_entries: u64,
}

/// What all members of a run have in common.
#[derive(Clone, Copy, Debug)]
pub struct Cluster {
    /// Members that found it.
    pub founders: u64,
    /// Log entries kept for members that are behind.
    pub catch_up_entries: u64,
}

impl Member {
    /// A member that has not started.
    pub fn new(id: MemberId, cluster: Cluster, clock: SkewedClock, seed: u64) -> Member {
        let is_founder = id.0 <= cluster.founders;
        Member {
            id,
            driven: None,
            work: Queue::default(),
            paused_until_ms: 0,
            is_gone: false,
            is_damaged: false,
            is_failing: false,
            log: MemoryEngine::new(),
            states: MemoryStates::of(MemoryEngine::new()),
            clock: Arc::new(clock),
            seed: Arc::new(Sequence::new(seed)),
            founders: if is_founder { cluster.founders } else { 0 },
            catch_up_entries: cluster.catch_up_entries,
        }
    }

    /// Starts its process on what its disks have. `listed` is the members as another one knows
    /// them, which a member that joins needs at its first start. Without an origin it does
    /// not start.
    pub fn start(&mut self, network: &Network, listed: Option<Vec<command::Member>>) {
        let (log, states) = (Arc::new(self.log.clone()), Arc::new(self.states.clone()));
        let opened = match Opened::on(log, states, Limits::default()) {
            Err(Fault::Damaged { .. }) if self.is_damaged => {
                self.is_gone = true;
                return;
            }
            opened => opened.expect("sound disks"),
        };
        assert!(!self.is_damaged, "a damaged log was opened");
        let origin = match opened.needs_origin().expect("sound disks") {
            false => None,
            true if self.founders > 0 => Some(Origin::New(new_cluster(self.founders, self.id))),
            true => match listed {
                Some(members) => Some(joined(self.id, members)),
                None => return,
            },
        };
        let stores = opened
            .into_stores(origin, false)
            .expect("disks of a member");
        self.work = Queue::default();
        let seams = Seams {
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            seed: Arc::clone(&self.seed) as Arc<dyn Seed>,
            workers: Arc::new(self.work.clone()) as Arc<dyn Workers>,
            observer: Arc::new(Unobserved),
        };
        let stopping = CancellationToken::new();
        let states = self.states.clone();
        let join = |context: PeerContext| network.join(context, states);
        let settings = settings(self.catch_up_entries);
        let owners = Owners::new(stores, settings, seams, stopping, join).expect("sound stores");
        let driven = Driven::new(owners).expect("sound disks");
        network.answer_with(self.id, driven.handle().clone());
        self.driven = Some(driven);
    }

    /// Whether a crash came between the state of a snapshot and its log.
    pub fn is_half_installed(&self) -> bool {
        let snapshot = self.states.open_current().expect("sound disks").snapshot;
        let Ok((log, _)) = Log::open(Arc::new(self.log.clone())) else {
            return false;
        };
        let is_in_log =
            |(index, term)| index <= log.last_index() && log.term(index) == Ok(Some(term));
        snapshot
            .is_some_and(|(index, term)| index >= log.first_index() && !is_in_log((index, term)))
    }

    /// Lets one of the next writes to the log or the state fail, and all after it.
    pub fn fail(&mut self, is_log: bool, after_writes: u64) {
        self.is_failing = true;
        match is_log {
            true => self.log.fail_after(after_writes),
            false => self.states.current().fail_after(after_writes),
        }
    }

    /// Flips a bit of the log of a member whose process does not live. Returns false if the log is
    /// empty.
    pub fn damage(&mut self, seed: u64) -> bool {
        self.is_damaged = self.log.flip_bit(seed);
        self.is_damaged
    }

    /// Kills the process and cuts its power. Of the writes that were not synced, the first few are
    /// on the disks, and perhaps half of the next one.
    pub fn crash(&mut self, network: &Network, log_kept: u64, state_kept: u64) {
        self.log = self.log.crash_torn(log_kept);
        self.states = self.states.crash_torn(state_kept);
        self.is_failing = false;
        network.leave(self.id);
        self.driven = None;
        self.work.clear();
    }
}

/// What all members are configured with.
fn settings(catch_up_entries: u64) -> Settings {
    Settings {
        heartbeat_interval: Duration::from_millis(TICK_MS),
        election_timeout: Duration::from_millis(ELECTION_MS),
        pre_vote: true,
        // Soon, so that the state is sometimes durable and sometimes not.
        snapshot_count: 8,
        catch_up_entries,
        lease_checkpoint_interval: None,
        sync: true,
        quota_bytes: None,
        max_txn_ops: 128,
        max_request_bytes: 1 << 20,
        watch_progress_interval: Duration::from_secs(1),
        auth_token_ttl: Duration::from_secs(300),
        reconfiguration: Reconfiguration {
            strict: true,
            max_learners: 1,
        },
    }
}

/// What the cluster knows of a member when it is added.
pub fn introduced(id: MemberId, is_learner: bool) -> command::Member {
    command::Member {
        id: id.0,
        peer_urls: vec![format!("http://member-{id}:1")],
        is_learner,
        ..command::Member::default()
    }
}

fn new_cluster(size: u64, member_id: MemberId) -> NewCluster {
    NewCluster {
        member_id,
        cluster_id: CLUSTER,
        members: (1..=size)
            .map(|id| introduced(MemberId(id), false))
            .collect(),
    }
}

fn joined(member_id: MemberId, members: Vec<command::Member>) -> Origin {
    Origin::Joined {
        cluster_id: CLUSTER,
        member_id,
        members,
    }
}
