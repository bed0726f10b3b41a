//! The values that the driver and the applier publish: the current leader, and how far the log is
//! committed and applied.
//!
//! Each value has one writer. The driver writes the raft status, the committed index and
//! [`Progress::open_reads_from`]; the applier writes the applied index and the compaction steps.
//!
//! # Why a sole voter may answer linearizable reads without a round
//!
//! A read is linearizable if it sees every write acknowledged before it began. In a cluster with
//! one voter, only that member can commit, and it acknowledges a write after it applied the write
//! to the same state that the read uses. So the state at *any* moment after the read began is
//! recent enough. Three conditions remain. Writes that this member acknowledged before a restart
//! must have been replayed: hence "applied through the first entry of its own term", which comes
//! after all of them in the log. Writes that another voter acknowledged before it was removed may
//! be ahead of this member's applied index: hence "applied through what was committed when this
//! member became the only voter". And there must be no second voter: the driver closes the gate
//! ([`Progress::close_reads`]) *before* it gives raft a configuration with one, and a read that
//! found the gate open is ordered before that.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use crate::clock::Moment;
use crate::consensus::RaftStatus;

const CLOSED: u64 = u64::MAX;

/// The published values.
#[derive(Debug)]
pub(crate) struct Progress {
    raft_status: watch::Sender<RaftStatus>,
    /// Time at which the current leader was found.
    leader_found: AtomicU64,
    leader_changes: AtomicU64,
    committed: AtomicU64,
    /// Reads need no round once this index is applied; [`CLOSED`] while they need one.
    reads_from: AtomicU64,
    applied_index: AtomicU64,
    /// The applied index again, for tasks that wait for it.
    applied: watch::Sender<u64>,
    compactions: watch::Sender<()>,
}

impl Progress {
    pub(crate) fn new(applied: u64) -> Progress {
        Progress {
            raft_status: watch::Sender::new(RaftStatus::default()),
            leader_found: AtomicU64::new(0),
            leader_changes: AtomicU64::new(0),
            committed: AtomicU64::new(applied),
            reads_from: AtomicU64::new(CLOSED),
            applied_index: AtomicU64::new(applied),
            applied: watch::Sender::new(applied),
            compactions: watch::Sender::new(()),
        }
    }

    pub(crate) fn raft_status(&self) -> RaftStatus {
        *self.raft_status.borrow()
    }

    /// Returns the raft status, and the time since which its leader has been known.
    pub(crate) fn leader_since(&self) -> (RaftStatus, Moment) {
        let found = self.leader_found.load(Ordering::Relaxed);
        (self.raft_status(), Moment(found))
    }

    pub(crate) fn raft_statuses(&self) -> watch::Receiver<RaftStatus> {
        self.raft_status.subscribe()
    }

    pub(crate) fn leader_changes(&self) -> u64 {
        self.leader_changes.load(Ordering::Relaxed)
    }

    pub(crate) fn committed(&self) -> u64 {
        self.committed.load(Ordering::Relaxed)
    }

    pub(crate) fn applied(&self) -> u64 {
        self.applied_index.load(Ordering::Acquire)
    }

    /// Returns true if a linearizable read needs no round now; see the module head.
    pub(crate) fn may_read_at_once(&self) -> bool {
        self.reads_from.load(Ordering::Acquire) <= self.applied_index.load(Ordering::Acquire)
    }

    /// Waits until `index` is applied and visible to the reader.
    pub(crate) async fn applied_through(&self, index: u64) {
        if self.applied() < index {
            // The sender is in `self`, so the wait cannot fail.
            let _ = self
                .applied
                .subscribe()
                .wait_for(|&applied| applied >= index)
                .await;
        }
    }

    /// Returns a receiver that changes after every step of physical compaction.
    pub(crate) fn compactions(&self) -> watch::Receiver<()> {
        self.compactions.subscribe()
    }

    /// Called by the driver when leader, term or role has changed.
    pub(crate) fn set_raft_status(&self, raft_status: RaftStatus, now: Moment) {
        let before = self.raft_status.send_replace(raft_status);
        if raft_status.leader != before.leader && raft_status.leader != 0 {
            self.leader_found.store(now.0, Ordering::Relaxed);
            self.leader_changes.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Called by the driver when the committed index has advanced.
    pub(crate) fn set_committed(&self, index: u64) {
        self.committed.store(index, Ordering::Relaxed);
    }

    /// Called by the driver of a sole voter and leader: reads need no round once `index` is
    /// applied. The module head explains the index.
    pub(crate) fn open_reads_from(&self, index: u64) {
        self.reads_from.store(index, Ordering::Release);
    }

    /// Called by the driver: reads need a round.
    pub(crate) fn close_reads(&self) {
        self.reads_from.store(CLOSED, Ordering::SeqCst);
    }

    /// Called by the applier, after the state is visible to the reader and before any caller is
    /// answered.
    pub(crate) fn set_applied(&self, index: u64) {
        self.applied_index.store(index, Ordering::Release);
        self.applied.send_replace(index);
    }

    /// Called by the applier after a step of physical compaction.
    pub(crate) fn compaction_stepped(&self) {
        self.compactions.send_replace(());
    }
}
