//! The task that ends leases while this member leads.
//!
//! Expiry is a proposal like any other: the state machine does not know that a clock was involved.
//! It is proposed again until it is applied, and proposing it twice is harmless. There is no cap on
//! revokes per second: the batches are bounded, and the next one begins when the last was applied,
//! so expiry takes its place among the clients.
//!
//! With `--feature-gates=LeaseCheckpoint=true` the task also notes the time leases have left, for
//! the next leader.

use std::time::Duration;

use tokio::sync::oneshot;

use conclave_proto::ApiError;
use conclave_proto::command::{LeaseExpire, command::Body};
use conclave_storage::{Fault, LeaseId};

use crate::handle::Handle;
use crate::lease::{Leases, Loaded};
use crate::observe::Observation;
use crate::proposal::Answer;

/// A timer cannot be set for ever.
const IDLE_MAX: Duration = Duration::from_secs(86_400);

/// Returns when the server stops, or with the fault that must stop it.
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

/// Waits for the outcome of checkpoints. If they failed, the next come an interval later: until
/// then a change of leader gives the leases a little more time than it might.
async fn follow_checkpoints(handle: &Handle, waiting: Result<oneshot::Receiver<Answer>, ApiError>) {
    let outcome = match waiting {
        Ok(waiting) => handle.outcome(waiting).await.map_err(|e| e.api_error()),
        Err(error) => Err(error),
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "the time leases have left is not noted");
    }
}
