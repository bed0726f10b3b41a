//! What the driver and the applier publish for everybody: who leads, how far the log is committed
//! and applied.
//!
//! One writer for each value. The driver writes the standing, the committed index and
//! [`Progress::open_reads_from`]; the applier writes the applied index and the compaction steps.
//!
//! # Why a sole voter may answer linearizable reads without asking anybody
//!
//! A read is linearizable if it sees every write acknowledged before it began. In a cluster with
//! one voter, only that member can commit, and it acknowledges a write after it applied it to the
//! very state the read looks at: so the state at *any* moment after the read began will do. Three
//! conditions remain. What was acknowledged by this member's previous life must have been replayed:
//! hence "applied through the first entry of its own term", which comes after all of them in the
//! log. What another voter acknowledged before it was removed may be ahead of what is applied here:
//! hence "applied through what was committed when this member became the only voter". And there
//! must be no second voter: the driver closes the gate ([`Progress::close_reads`])
//! *before* it gives raft a configuration with one, and a read that found the gate open is ordered
//! before that.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use crate::clock::Moment;
use crate::consensus::Standing;

const CLOSED: u64 = u64::MAX;

/// See the module.
#[derive(Debug)]
pub(crate) struct Progress {
    standing: watch::Sender<Standing>,
    /// When the leader of the standing was found.
    leader_found: AtomicU64,
    leader_changes: AtomicU64,
    committed: AtomicU64,
    /// Reads need not ask once this index is applied; [`CLOSED`] while they must ask.
    reads_from: AtomicU64,
    applied_index: AtomicU64,
    /// The same number, for those who wait for it.
    applied: watch::Sender<u64>,
    compactions: watch::Sender<()>,
}

impl Progress {
    pub(crate) fn new(applied: u64) -> Progress {
        Progress {
            standing: watch::Sender::new(Standing::default()),
            leader_found: AtomicU64::new(0),
            leader_changes: AtomicU64::new(0),
            committed: AtomicU64::new(applied),
            reads_from: AtomicU64::new(CLOSED),
            applied_index: AtomicU64::new(applied),
            applied: watch::Sender::new(applied),
            compactions: watch::Sender::new(()),
        }
    }

    pub(crate) fn standing(&self) -> Standing {
        *self.standing.borrow()
    }

    /// The standing, and since when there has been its leader.
    pub(crate) fn leader_since(&self) -> (Standing, Moment) {
        let found = self.leader_found.load(Ordering::Relaxed);
        (self.standing(), Moment(found))
    }

    pub(crate) fn standings(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
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

    /// See the module.
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

    /// A new value whenever a step of physical compaction was done.
    pub(crate) fn compactions(&self) -> watch::Receiver<()> {
        self.compactions.subscribe()
    }

    /// The driver: who leads has changed.
    pub(crate) fn set_standing(&self, standing: Standing, now: Moment) {
        let before = self.standing.send_replace(standing);
        if standing.leader != before.leader && standing.leader != 0 {
            self.leader_found.store(now.0, Ordering::Relaxed);
            self.leader_changes.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The driver: more is committed.
    pub(crate) fn set_committed(&self, index: u64) {
        self.committed.store(index, Ordering::Relaxed);
    }

    /// The driver, as a sole voter and leader: reads need not ask once `index` is applied. See the
    /// module for which one that is.
    pub(crate) fn open_reads_from(&self, index: u64) {
        self.reads_from.store(index, Ordering::Release);
    }

    /// The driver: reads must ask.
    pub(crate) fn close_reads(&self) {
        self.reads_from.store(CLOSED, Ordering::SeqCst);
    }

    /// The applier, after the state is visible to the reader and before any waiter is answered.
    pub(crate) fn set_applied(&self, index: u64) {
        self.applied_index.store(index, Ordering::Release);
        self.applied.send_replace(index);
    }

    /// The applier: a step of physical compaction was done.
    pub(crate) fn compaction_stepped(&self) {
        self.compactions.send_replace(());
    }
}
