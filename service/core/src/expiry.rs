//! The task that expires leases while this member is the leader.
//!
//! Expiry is a normal proposal: the state machine does not depend on a clock. It is proposed again
//! until it is applied, and proposing it twice is harmless. There is no cap on revokes per second:
//! the batches are bounded, and the next batch begins when the last one was applied, so expiry
//! shares the log with the clients.
//!
//! With `--feature-gates=LeaseCheckpoint=true` the task also proposes checkpoints of the leases'
//! remaining time, for the next leader.

use std::time::Duration;

use tokio::sync::oneshot;

use conclave_proto::ApiError;
use conclave_proto::command::{LeaseExpire, command::Body};
use conclave_storage::{Fault, LeaseId};

use crate::handle::Handle;
use crate::lease::{Leases, Loaded};
use crate::observe::Observation;
use crate::proposal::Answer;

/// Longest sleep, because a timer has an upper bound.
const IDLE_MAX: Duration = Duration::from_secs(86_400);

/// Expires leases until the server stops. Returns early with the fault that must stop the server.
pub(crate) async fn run(handle: Handle) -> Result<(), Fault> {
    let stopping = handle.stopping().clone();
    let leases = handle.leases().clone();
    while !stopping.is_cancelled() {
        match leases.load_page()? {
            Loaded::Everything => {}
            Loaded::APage => {
                tokio::task::yield_now().await;
                continue;
            }
            Loaded::NothingBefore(index) => {
                tokio::select! {
                    biased;
                    () = stopping.cancelled() => {}
                    () = handle.applied_through(index) => {}
                    () = leases.deadline_moved() => {}
                }
                continue;
            }
        }
        let (due, command) = leases.due();
        if !due.is_empty() {
            tokio::select! {
                biased;
                () = stopping.cancelled() => {}
                () = expire(&handle, &leases, &due, command) => {}
            }
            continue;
        }
        if let Some(waiting) = leases.begin_checkpoints(|body| handle.enqueue(body)) {
            tokio::select! {
                biased;
                () = stopping.cancelled() => {}
                () = follow_checkpoints(&handle, waiting) => {}
            }
            continue;
        }
        let idle = leases.idle_for().unwrap_or(Duration::MAX).min(IDLE_MAX);
        tokio::select! {
            biased;
            () = stopping.cancelled() => {}
            () = handle.clock().sleep(idle) => {}
            () = leases.deadline_moved() => {}
        }
    }
    Ok(())
}

async fn expire(handle: &Handle, leases: &Leases, due: &[LeaseId], command: LeaseExpire) {
    let proposed = handle.propose_prepared(Body::LeaseExpire(command));
    match proposed.await {
        Ok(_) => {
            handle.observe(Observation::LeasesExpired(due.len()));
            leases.ended(due);
        }
        Err(error) => {
            tracing::debug!(%error, leases = due.len(), "expired leases are proposed again");
            leases.retry(due);
        }
    }
}

/// Waits for the outcome of checkpoints. If they failed, the next ones follow an interval later.
/// Until then, a change of leader may extend leases slightly more than necessary.
async fn follow_checkpoints(handle: &Handle, waiting: Result<oneshot::Receiver<Answer>, ApiError>) {
    let outcome = match waiting {
        Ok(waiting) => handle.outcome(waiting).await.map_err(|e| e.api_error()),
        Err(error) => Err(error),
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "the time leases have left is not noted");
    }
}
