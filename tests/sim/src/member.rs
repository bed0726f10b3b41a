//! One member of a simulated cluster: its disks, and its process while that lives.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use conclave_core::clock::Clock;
use conclave_core::driven::Driven;
use conclave_core::member::{Owners, Seams, Settings};
use conclave_core::observe::Unobserved;
use conclave_core::proposer::Reconfiguration;
use conclave_core::seed::{Seed, Sequence};
use conclave_core::stores::{NewCluster, Opened, Origin};
use conclave_core::workers::Workers;
use conclave_proto::command;
use conclave_storage::engine::memory::MemoryEngine;
use conclave_storage::machine::Limits;
use conclave_storage::state_store::memory::MemoryStates;
use tokio_util::sync::CancellationToken;

use crate::network::Network;
use crate::time::{SkewedClock, Time};

/// Milliseconds of a raft tick.
const TICK_MS: u64 = 10;
/// Milliseconds without a leader before an election.
const ELECTION_MS: u64 = 100;

/// A member.
pub struct Member {
    /// Its id.
    pub id: u64,
    /// Its process, if it lives.
    pub driven: Option<Driven>,
    /// The world's time until which none of its owners gets a turn.
    pub paused_until_ms: u64,
    log: MemoryEngine,
    states: MemoryStates,
    clock: Arc<SkewedClock>,
    seed: Arc<Sequence>,
    size: u64,
}

impl Member {
    /// A member of a new cluster of so many, that has not started.
    pub fn new(id: u64, size: u64, time: Time, skew_ms: u64, seed: u64) -> Member {
        Member {
            id,
            driven: None,
            paused_until_ms: 0,
            log: MemoryEngine::new(),
            states: MemoryStates::of(MemoryEngine::new()),
            clock: Arc::new(SkewedClock { time, skew_ms }),
            seed: Arc::new(Sequence::new(seed)),
            size,
        }
    }

    /// Starts its process on what its disks have.
    pub fn start(&mut self, network: &Network) {
        let (log, states) = (Arc::new(self.log.clone()), Arc::new(self.states.clone()));
        let opened = Opened::on(log, states, Limits::default()).expect("sound disks");
        let needs_origin = opened.needs_origin().expect("sound disks");
        let origin = needs_origin.then(|| Origin::New(new_cluster(self.size, self.id)));
        let stores = opened
            .into_stores(origin, false)
            .expect("disks of a member");
        let seams = Seams {
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            seed: Arc::clone(&self.seed) as Arc<dyn Seed>,
            workers: Arc::new(AtOnce),
            observer: Arc::new(Unobserved),
        };
        let stopping = CancellationToken::new();
        let join =
            |context: conclave_core::member::PeerContext| network.join(self.id, context.inbox);
        let owners = Owners::new(stores, settings(), seams, stopping, join).expect("sound stores");
        let driven = Driven::new(owners).expect("sound disks");
        network.answer_with(self.id, driven.handle().clone());
        self.driven = Some(driven);
    }

    /// Kills the process and cuts its power. Of the writes that were not synced, the first few are
    /// on the disks.
    pub fn crash(&mut self, network: &Network, log_kept: u64, state_kept: u64) {
        self.log = self.log.crash_seeded(log_kept);
        self.states = self.states.crash_seeded(state_kept);
        network.leave(self.id);
        self.driven = None;
    }
}

/// What all members are configured with.
fn settings() -> Settings {
    Settings {
        heartbeat_interval: Duration::from_millis(TICK_MS),
        election_timeout: Duration::from_millis(ELECTION_MS),
        pre_vote: true,
        // Soon, so that the state is sometimes durable and sometimes not.
        snapshot_count: 8,
        // A state in memory cannot be sent, so the log is kept.
        catch_up_entries: u64::MAX / 2,
        lease_checkpoint_interval: None,
        sync: true,
        quota_bytes: None,
        max_txn_ops: 128,
        max_request_bytes: 1 << 20,
        watch_progress_interval: Duration::from_secs(1),
        reconfiguration: Reconfiguration {
            strict: true,
            max_learners: 1,
        },
    }
}

fn new_cluster(size: u64, member_id: u64) -> NewCluster {
    let member = |id| command::Member {
        id,
        peer_urls: vec![format!("http://member-{id}:1")],
        ..command::Member::default()
    };
    NewCluster {
        member_id,
        cluster_id: 0xc1,
        members: (1..=size).map(member).collect(),
    }
}

/// Work that blocks is done where it is asked for: there is one thread.
struct AtOnce;

impl Workers for AtOnce {
    fn start(
        &self,
        _name: &'static str,
        work: Box<dyn FnOnce() + Send>,
    ) -> io::Result<Option<JoinHandle<()>>> {
        work();
        Ok(None)
    }
}
