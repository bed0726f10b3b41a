//! Queries that only the leader can answer: a member sends them to the leader, and answers those of
//! other members.
//!
//! Only the leader knows how long a lease still lives. Another member asks the leader. While there
//! is no leader, or the member asked is not the leader any longer, it tries again until the
//! request's timeout, so a client does not notice an election.
//!
//! # A leader that was replaced
//!
//! A leader that was paused may take itself for the leader for a moment after another member was
//! elected, and the new leader may have ended the lease meanwhile. So a leader answers "renewed"
//! only after a majority has confirmed its leadership since the query came. (All queries that wait
//! share one round of read-index.) A later leader gives every lease its full length, so the promise
//! is kept.

use std::time::Duration;

use conclave_proto::ApiError;
use conclave_proto::peer::{HashKvReply, Introduction, TimeToLive, answer, question};
use conclave_storage::reader::ReadError;
use conclave_storage::{Index, LeaseId, MemberId};

use crate::admission::Priority;
use crate::consensus::RaftStatus;
use crate::handle::{Handle, Refused};
use crate::lease::{LeaseError, Remaining};
use crate::long_reads::Unread;

/// Pause between attempts to reach the leader.
const RETRY: Duration = Duration::from_millis(50);

/// Renews a lease at the leader, and returns its length in seconds. `None` if there is no such
/// lease.
pub async fn keep_alive(handle: &Handle, id: LeaseId) -> Result<Option<i64>, LeaseError> {
    let asked = ask_leader(handle, question::Question::KeepAlive(id.0)).await?;
    match asked {
        answer::Answer::KeepAlive(0) => Ok(None),
        answer::Answer::KeepAlive(seconds) => Ok(Some(seconds)),
        _ => Err(LeaseError::Refused(ApiError::NotCapable)),
    }
}

/// Asks the leader for the time a lease has left. `None` if there is no such lease.
pub async fn time_to_live(handle: &Handle, id: LeaseId) -> Result<Option<Remaining>, LeaseError> {
    let asked = ask_leader(handle, question::Question::TimeToLive(id.0)).await?;
    match asked {
        answer::Answer::TimeToLive(left) if left.ttl_seconds < 0 => Ok(None),
        answer::Answer::TimeToLive(left) => Ok(Some(Remaining {
            ttl_seconds: left.ttl_seconds,
            granted_seconds: left.granted_seconds,
        })),
        _ => Err(LeaseError::Refused(ApiError::NotCapable)),
    }
}

async fn ask_leader(
    handle: &Handle,
    question: question::Question,
) -> Result<answer::Answer, LeaseError> {
    let attempts = async {
        loop {
            if let Some(answer) = try_leader(handle, question).await {
                return answer;
            }
            handle.clock().sleep(RETRY).await;
        }
    };
    let timeout = handle.settings().request_timeout;
    tokio::select! {
        biased;
        answer = attempts => answer,
        () = handle.clock().sleep(timeout) => {
            let leaderless = handle.status().leader == MemberId::NONE;
            let error = if leaderless { ApiError::NoLeader } else { ApiError::Timeout };
            Err(LeaseError::Refused(error))
        }
        () = handle.stopping().cancelled() => Err(LeaseError::Refused(ApiError::Stopped)),
    }
}

/// Asks the current leader once. `None` if there is no leader, it has changed, or it cannot be
/// reached.
async fn try_leader(
    handle: &Handle,
    question: question::Question,
) -> Option<Result<answer::Answer, LeaseError>> {
    let raft_status = handle.status();
    if raft_status.leader == MemberId::NONE {
        return None;
    }
    // A leadership that was not confirmed in time counts as no answer: the state at the request's
    // timeout decides which error the client gets.
    if raft_status.is_leader {
        return match of_leases(handle, question).await {
            Err(LeaseError::Refused(ApiError::NotLeader | ApiError::Timeout)) => None,
            answer => Some(answer),
        };
    }
    match handle.peers().ask(raft_status.leader, question).await {
        Ok(answer::Answer::Error(text)) => match ApiError::from_text(&text) {
            Some(ApiError::NotLeader | ApiError::Timeout | ApiError::Stopped) | None => None,
            Some(error) => Some(Err(LeaseError::Refused(error))),
        },
        Ok(answer) => Some(Ok(answer)),
        Err(_) => None,
    }
}

/// Answers a query about leases on the leader.
async fn of_leases(
    handle: &Handle,
    question: question::Question,
) -> Result<answer::Answer, LeaseError> {
    let leases = handle.leases();
    match question {
        question::Question::KeepAlive(id) => {
            confirm(handle).await?;
            let ttl = handle.keep_alive(LeaseId(id)).await?;
            Ok(answer::Answer::KeepAlive(ttl.unwrap_or(0)))
        }
        question::Question::TimeToLive(id) => {
            confirm(handle).await?;
            let left = leases.time_to_live(LeaseId(id))?;
            Ok(answer::Answer::TimeToLive(left.map_or(
                TimeToLive {
                    ttl_seconds: -1,
                    granted_seconds: 0,
                },
                |left| TimeToLive {
                    ttl_seconds: left.ttl_seconds,
                    granted_seconds: left.granted_seconds,
                },
            )))
        }
        question::Question::LearnerReady(_) | question::Question::HashKv(_) => {
            Err(LeaseError::Refused(ApiError::NotCapable))
        }
    }
}

/// Returns when a majority has confirmed, after the call, that this member is the leader, and
/// everything acknowledged before the call is applied here.
async fn confirm(handle: &Handle) -> Result<(), LeaseError> {
    let mut raft_statuses = handle.raft_statuses();
    let before = *raft_statuses.borrow_and_update();
    let leads = |raft_status: &RaftStatus| raft_status.is_leader && raft_status.term == before.term;
    let not_leader = || Err(LeaseError::Refused(ApiError::NotLeader));
    if !before.is_leader {
        return not_leader();
    }
    tokio::select! {
        biased;
        // Waits for the applied index, too: a lease whose grant was answered by another member must
        // be known here.
        confirmed = handle.linearize_with(Priority::Lease) => {
            confirmed.map_err(|Refused(error)| LeaseError::Refused(error))?;
        }
        // Without this, a leader that has lost its majority would wait until the timeout.
        _ = raft_statuses.wait_for(|raft_status| !leads(raft_status)) => return not_leader(),
    }
    let still_leads = leads(&raft_statuses.borrow());
    if still_leads { Ok(()) } else { not_leader() }
}

/// Answers a query of another member.
pub async fn answer(handle: &Handle, question: question::Question) -> answer::Answer {
    let answered = match question {
        question::Question::KeepAlive(_) | question::Question::TimeToLive(_) => {
            of_leases(handle, question).await
        }
        question::Question::LearnerReady(id) => learner_ready(handle, MemberId(id)).await,
        question::Question::HashKv(request) => hash_kv(handle, request.revision).await,
    };
    match answered {
        Ok(answer) => answer,
        Err(LeaseError::Refused(error)) => answer::Answer::Error(error.text().to_owned()),
        Err(LeaseError::Fault(fault)) => {
            tracing::error!(%fault, "cannot read the state");
            answer::Answer::Error("conclave: this member cannot read its state".to_owned())
        }
    }
}

/// A learner has caught up when its log agrees with this part of the leader's log, as in etcd.
const READY_NUMERATOR: u64 = 9;
/// See [`READY_NUMERATOR`].
const READY_DENOMINATOR: u64 = 10;

/// Returns true if a learner has caught up. Only the leader knows.
pub async fn is_learner_ready(handle: &Handle, id: MemberId) -> Result<bool, Refused> {
    let (own, theirs) = handle
        .look(move |node| (node.last_index(), node.matched(id)))
        .await?;
    Ok(theirs.is_some_and(|matched| {
        u128::from(matched.0) * u128::from(READY_DENOMINATOR)
            >= u128::from(own.0) * u128::from(READY_NUMERATOR)
            && matched > Index::NONE
    }))
}

async fn learner_ready(handle: &Handle, id: MemberId) -> Result<answer::Answer, LeaseError> {
    let ready = is_learner_ready(handle, id).await;
    ready
        .map(answer::Answer::LearnerReady)
        .map_err(|Refused(error)| LeaseError::Refused(error))
}

async fn hash_kv(handle: &Handle, revision: i64) -> Result<answer::Answer, LeaseError> {
    let hashed = handle.reads().read(move |reader| reader.hash_kv(revision));
    let hash = hashed.await.map_err(|unread| match unread {
        Unread::Read(ReadError::Rejected(error)) => LeaseError::Refused(error),
        Unread::Read(ReadError::Fault(fault)) => LeaseError::Fault(fault),
        Unread::Read(ReadError::Stopped)
        | Unread::Stopped
        | Unread::Unfinished
        | Unread::TooLarge(_) => LeaseError::Refused(ApiError::Stopped),
    })?;
    Ok(answer::Answer::HashKv(HashKvReply {
        member_id: handle.identity().member_id.0,
        hash: hash.hash,
        hash_revision: hash.hash_revision,
        compact_revision: hash.compact_revision,
        revision: handle.reader().applied().revision.0,
    }))
}

/// Describes the cluster to a member that is about to join it.
pub fn introduce(handle: &Handle) -> Introduction {
    let membership = handle.reader().membership();
    let identity = handle.identity();
    Introduction {
        cluster_id: identity.cluster_id.0,
        member_id: identity.member_id.0,
        members: membership.members(),
        removed: membership.removed().iter().map(|id| id.0).collect(),
        // The network fills it in.
        boot_id: 0,
    }
}
