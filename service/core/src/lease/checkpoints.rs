//! Renewing a lease that has a checkpoint, and proposing checkpoints.
//!
//! Both put their command into the mailbox under the lock of the leadership, so the commands are in
//! the log in the order of the decisions. [`super::leadership::checkpoints`] explains why that
//! order matters.

use conclave_proto::command::{Checkpoint, LeaseCheckpoint, command::Body};
use conclave_storage::{Index, LeaseId, Term};

use super::leadership::Known;
use super::leases::{LeaseError, Leases, whole_seconds};
use crate::clock::Moment;
use crate::limits;

/// The result of renewing a lease.
pub(crate) struct Renewed<W> {
    /// The lease's full length in seconds. `None` if there is no such lease or it has ended.
    pub(crate) ttl_seconds: Option<i64>,
    /// The withdrawal of the lease's checkpoint; the renewal counts once that is done.
    pub(crate) taking_back: Option<TakingBack<W>>,
}

/// A checkpoint that is being withdrawn.
pub(crate) struct TakingBack<W> {
    /// The checkpoint's term, and its number among the checkpoints of the term.
    pub(crate) number: (Term, u64),
    /// The pending command in the mailbox.
    pub(crate) waiting: W,
}

impl Leases {
    /// Renews a lease from now on. `enqueue` puts a command into the mailbox.
    pub(crate) fn renew<W>(
        &self,
        id: LeaseId,
        enqueue: impl Fn(Body) -> W,
    ) -> Result<Renewed<W>, LeaseError> {
        let mut taking_back = None;
        let known = self.ask(id, |leadership, now| {
            let known = leadership.keep_alive(now, id);
            if matches!(known, Known::Live(..))
                && let Some(number) = leadership.take_back(id)
            {
                let term = leadership.term();
                taking_back = Some(TakingBack {
                    number: (term, number),
                    waiting: enqueue(body(vec![(id, 0)], term, Index::NONE)),
                });
            }
            known
        })?;
        Ok(Renewed {
            ttl_seconds: known.map(|(_, ttl)| whole_seconds(ttl)),
            taking_back,
        })
    }

    /// Records that a checkpoint was withdrawn, in the term in which the lease was renewed.
    pub(crate) fn taken_back(&self, id: LeaseId, (term, number): (Term, u64)) {
        self.lock().taken_back(term, id, number);
    }

    /// Proposes the next checkpoints that are due.
    pub(crate) fn begin_checkpoints<W>(
        &self,
        now: Moment,
        enqueue: impl Fn(Body) -> W,
    ) -> Option<W> {
        let mut leadership = self.lock();
        let due = leadership.due_checkpoints(now, limits::LEASE_CHECKPOINT_BATCH_MAX);
        if due.is_empty() {
            return None;
        }
        // The leadership includes the effects of all entries up to this index.
        let as_of_index = self.shared.progress.applied();
        Some(enqueue(body(due, leadership.term(), as_of_index)))
    }
}

fn body(leases: Vec<(LeaseId, i64)>, term: Term, as_of_index: Index) -> Body {
    let checkpoints = leases
        .into_iter()
        .map(|(id, remaining_seconds)| Checkpoint {
            id: id.0,
            remaining_seconds,
        })
        .collect();
    Body::LeaseCheckpoint(LeaseCheckpoint {
        checkpoints,
        term: term.0,
        as_of_index: as_of_index.0,
    })
}
