//! The values that the driver and the applier publish: the current leader, how far the log is
//! committed and applied, and their own turns.
//!
//! Each value has one writer. The driver writes the raft status, the committed index and
//! [`Progress::open_reads_from`]; the applier writes the applied index and the compaction steps.
//!
//! # Why a sole member may answer linearizable reads without a round
//!
//! A read is linearizable if it sees every write acknowledged before it began. In a cluster of one
//! member, only that member can commit, and it acknowledges a write after it applied the write to
//! the same state that the read uses. (A sole voter with a learner is not enough: the learner may
//! apply and acknowledge a write of its own clients before the leader has applied it.) So the state
//! at *any* moment after the read began is recent enough. Three conditions remain. Writes that this
//! member acknowledged before a restart must have been replayed: hence "applied through the first
//! entry of its own term", which comes after all of them in the log. Writes that another member
//! acknowledged before it was removed may be ahead of this member's applied index: hence "applied
//! through what was committed when this member became the only one". And there must be no second
//! member: the driver closes the gate ([`Progress::close_reads`]) *before* it gives raft a
//! configuration with one, and a read that found the gate open is ordered before that.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use conclave_storage::{Index, MemberId};
use tokio::sync::{oneshot, watch};

use crate::clock::Moment;
use crate::consensus::RaftStatus;
use crate::turns::TurnCounter;

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
    /// Written under the lock of `waiters`.
    applied: AtomicU64,
    waiters: Mutex<Waiters>,
    compactions: watch::Sender<()>,
    driver_turns: TurnCounter,
    applier_turns: TurnCounter,
}

/// Notifies a task that waits for an applied index.
pub(crate) type Waiter = oneshot::Sender<()>;

/// The tasks that wait for an index to be applied. In order, so that a batch wakes only the tasks
/// whose index it reaches, and wakes them in the same order on every run.
#[derive(Debug, Default)]
struct Waiters {
    /// By index, then by arrival.
    queue: BTreeMap<(Index, u64), Waiter>,
    arrivals: u64,
}

/// Removes a waiter that gives up.
struct Waiting<'a> {
    progress: &'a Progress,
    key: (Index, u64),
    is_reached: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.is_reached {
            self.progress.waiters().queue.remove(&self.key);
        }
    }
}

impl Progress {
    pub(crate) fn new(applied: Index) -> Progress {
        Progress {
            raft_status: watch::Sender::new(RaftStatus::default()),
            leader_found: AtomicU64::new(0),
            leader_changes: AtomicU64::new(0),
            committed: AtomicU64::new(applied.0),
            reads_from: AtomicU64::new(CLOSED),
            applied: AtomicU64::new(applied.0),
            waiters: Mutex::default(),
            compactions: watch::Sender::new(()),
            driver_turns: TurnCounter::default(),
            applier_turns: TurnCounter::default(),
        }
    }

    pub(crate) fn driver_turns(&self) -> &TurnCounter {
        &self.driver_turns
    }

    pub(crate) fn applier_turns(&self) -> &TurnCounter {
        &self.applier_turns
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

    pub(crate) fn committed(&self) -> Index {
        Index(self.committed.load(Ordering::Relaxed))
    }

    pub(crate) fn applied(&self) -> Index {
        Index(self.applied.load(Ordering::Acquire))
    }

    /// Returns true if a linearizable read needs no round now; see the module head.
    pub(crate) fn may_read_at_once(&self) -> bool {
        self.reads_from.load(Ordering::Acquire) <= self.applied.load(Ordering::Acquire)
    }

    /// Waits until `index` is applied and visible to the reader.
    pub(crate) async fn applied_through(&self, index: Index) {
        // Nearly always the index is applied already, and then there is no lock.
        if self.applied() < index
            && let Some((mut waiting, reached)) = self.wait_for(index)
        {
            // The waiter is used or dropped only after the index was reached.
            let _ = reached.await;
            waiting.is_reached = true;
        }
    }

    fn wait_for(&self, index: Index) -> Option<(Waiting<'_>, oneshot::Receiver<()>)> {
        let mut waiters = self.waiters();
        // Under the lock, or the index could be reached before the waiter is in the queue.
        if self.applied() >= index {
            return None;
        }
        waiters.arrivals += 1;
        let key = (index, waiters.arrivals);
        let (waiter, reached) = oneshot::channel();
        waiters.queue.insert(key, waiter);
        let waiting = Waiting {
            progress: self,
            key,
            is_reached: false,
        };
        Some((waiting, reached))
    }

    /// Ignores poisoning: no panic can leave the queue inconsistent.
    fn waiters(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a receiver that changes after every step of physical compaction.
    pub(crate) fn compactions(&self) -> watch::Receiver<()> {
        self.compactions.subscribe()
    }

    /// Called by the driver when leader, term or role has changed.
    pub(crate) fn set_raft_status(&self, raft_status: RaftStatus, now: Moment) {
        let before = self.raft_status.send_replace(raft_status);
        if raft_status.leader != before.leader && raft_status.leader != MemberId::NONE {
            self.leader_found.store(now.0, Ordering::Relaxed);
            self.leader_changes.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Called by the driver when the committed index has advanced.
    pub(crate) fn set_committed(&self, index: Index) {
        self.committed.store(index.0, Ordering::Relaxed);
    }

    /// Called by the driver of a sole member and leader: reads need no round once `index` is
    /// applied. The module head explains the index.
    pub(crate) fn open_reads_from(&self, index: Index) {
        self.reads_from.store(index.0, Ordering::Release);
    }

    /// Called by the driver: reads need a round.
    pub(crate) fn close_reads(&self) {
        self.reads_from.store(CLOSED, Ordering::SeqCst);
    }

    /// Called by the applier, after the state is visible to the reader and before any caller is
    /// answered. Returns the waiters whose index is reached, in order; the applier notifies them.
    #[must_use]
    pub(crate) fn set_applied(&self, index: Index) -> Vec<Waiter> {
        let mut waiters = self.waiters();
        self.applied.store(index.0, Ordering::Release);
        if waiters.queue.is_empty() {
            return Vec::new();
        }
        let later = waiters.queue.split_off(&(index.next(), 0));
        let reached = std::mem::replace(&mut waiters.queue, later);
        reached.into_values().collect()
    }

    /// Called by the applier after a step of physical compaction.
    pub(crate) fn compaction_stepped(&self) {
        self.compactions.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    fn notify(reached: Vec<Waiter>) -> usize {
        let count = reached.len();
        for waiter in reached {
            waiter.send(()).expect("it is waited for");
        }
        count
    }

    #[test]
    fn a_batch_wakes_the_tasks_whose_index_it_reaches() {
        let progress = Progress::new(Index(5));
        let mut cx = Context::from_waker(Waker::noop());
        let mut applied = pin!(progress.applied_through(Index(5)));
        assert!(applied.as_mut().poll(&mut cx).is_ready());
        let mut next = pin!(progress.applied_through(Index(6)));
        let mut later = pin!(progress.applied_through(Index(8)));
        assert!(next.as_mut().poll(&mut cx).is_pending());
        assert!(later.as_mut().poll(&mut cx).is_pending());
        assert_eq!(notify(progress.set_applied(Index(7))), 1);
        assert!(next.as_mut().poll(&mut cx).is_ready());
        assert!(later.as_mut().poll(&mut cx).is_pending());
        assert_eq!(notify(progress.set_applied(Index(8))), 1);
        assert!(later.as_mut().poll(&mut cx).is_ready());
        assert_eq!(notify(progress.set_applied(Index(9))), 0);
    }

    #[test]
    fn tasks_are_woken_by_index_and_then_by_arrival() {
        let progress = Progress::new(Index::NONE);
        let mut waiting: Vec<_> = [3, 1, 3, 2, 1]
            .into_iter()
            .map(|index| progress.wait_for(Index(index)).expect("it is not applied"))
            .collect();
        let mut order = Vec::new();
        for waiter in progress.set_applied(Index(3)) {
            waiter.send(()).expect("it is waited for");
            let woken = |(_, reached): &mut (_, oneshot::Receiver<()>)| reached.try_recv().is_ok();
            order.push(waiting.iter_mut().position(woken));
        }
        assert_eq!(order, [1, 4, 3, 0, 2].map(Some));
    }

    #[test]
    fn a_task_that_gives_up_leaves_nothing() {
        let progress = Progress::new(Index::NONE);
        let mut cx = Context::from_waker(Waker::noop());
        {
            let mut waiting = pin!(progress.applied_through(Index(1)));
            assert!(waiting.as_mut().poll(&mut cx).is_pending());
        }
        assert!(progress.set_applied(Index(1)).is_empty());
    }
}
