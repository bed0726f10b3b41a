//! Proposing checkpoints, and renewing a lease that has one.
//!
//! Both put their command into the mailbox under the lock of the deadlines: what was decided first
//! comes first in the log. Why that matters stands in `deadlines/checkpoints.rs`.

use tokio::sync::oneshot;

use conclave_proto::ApiError;
use conclave_proto::command::{Checkpoint, LeaseCheckpoint, command::Body};
use conclave_storage::LeaseId;
use conclave_storage::machine::Reply;

use super::{LeaseError, Leases, whole_seconds};
use crate::deadlines::Known;
use crate::handle::{Answer, Handle};
use crate::limits;

/// A command in the mailbox.
type Waiting = Result<oneshot::Receiver<Answer>, ApiError>;

impl Leases {
    /// Renews a lease: its full length, in seconds, from now on. `None` if there is no such lease
    /// or it has ended, which is the same to the client: a TTL of 0.
    pub async fn keep_alive(
        &self,
        handle: &Handle,
        id: LeaseId,
    ) -> Result<Option<i64>, LeaseError> {
        let mut taking_back = None;
        let known = self.ask(id, |deadlines, now| {
            let known = deadlines.keep_alive(now, id);
            if matches!(known, Known::Live(..))
                && let Some(number) = deadlines.take_back(id)
            {
                let term = deadlines.term();
                let waiting = handle.enqueue(body(vec![(id, 0)], term, 0));
                taking_back = Some((term, number, waiting));
            }
            known
        })?;
        if let Some((term, number, waiting)) = taking_back {
            taken_back(handle, waiting).await?;
            self.lock().taken_back(term, id, number);
        }
        Ok(known.map(|(_, ttl)| whole_seconds(ttl)))
    }

    /// Proposes the next checkpoints that are due.
    pub(super) fn begin_checkpoints(&self, handle: &Handle) -> Option<Waiting> {
        let mut deadlines = self.lock();
        let now = self.shared.clock.now();
        let due = deadlines.due_checkpoints(now, limits::LEASE_CHECKPOINT_BATCH_MAX);
        if due.is_empty() {
            return None;
        }
        // Everything through it was told to the deadlines.
        let as_of_index = self.shared.progress.applied();
        Some(handle.enqueue(body(due, deadlines.term(), as_of_index)))
    }
}

/// Waits for what became of checkpoints. If they failed, the next come an interval later: until
/// then a change of leader gives the leases a little more time than it might.
pub(super) async fn follow(handle: &Handle, waiting: Waiting) {
    let outcome = match waiting {
        Ok(waiting) => handle.outcome(waiting).await.map_err(|e| e.api_error()),
        Err(error) => Err(error),
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "the time leases have left is not noted");
    }
}

/// It is in the log, in the term in which the lease was renewed: no later leader goes by the time
/// noted before.
async fn taken_back(handle: &Handle, waiting: Waiting) -> Result<(), LeaseError> {
    let waiting = waiting.map_err(LeaseError::Refused)?;
    match handle.outcome(waiting).await {
        Ok(Reply::LeaseCheckpoint(true)) => Ok(()),
        // Another term: the renewal is asked of the leader that is now.
        Ok(_) => Err(LeaseError::Refused(ApiError::NotLeader)),
        Err(error) => Err(LeaseError::Refused(error.api_error())),
    }
}

fn body(leases: Vec<(LeaseId, i64)>, term: u64, as_of_index: u64) -> Body {
    let checkpoints = leases
        .into_iter()
        .map(|(id, remaining_seconds)| Checkpoint {
            id: id.0,
            remaining_seconds,
        })
        .collect();
    Body::LeaseCheckpoint(LeaseCheckpoint {
        checkpoints,
        term,
        as_of_index,
    })
}
