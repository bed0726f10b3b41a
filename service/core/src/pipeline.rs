//! A pipeline: the commands of one connection, in order.
//!
//! [`Handle::propose`](crate::handle::Handle::propose) keeps no order between proposals that are
//! under way together. A pipeline does: *the commands of it that are applied are a prefix of those
//! that were proposed, in their order*. It pays for that with its life. It is bound to the term in
//! which it began, and ends with the first of its commands whose outcome is not that of the state
//! machine, for whatever reason: the term is over, the leader had no room, the deadline passed.
//! Then what is under way is [`Unknown`] or [`Refused`], what follows is refused, and nothing is
//! ever proposed again. The front closes the connection, or begins another pipeline.
//!
//! ```text
//! put a ─▶ put b ─▶ put c ─▶ put d        term 4
//!   reply    reply   Unknown   Refused     c was in the log of a leader that is no more
//!                                          another pipeline ─▶ put e    term 5
//! ```
//!
//! # Why that holds
//!
//! - *On the leader* commands leave the mailbox in order and get rising positions of the log, in
//!   one term. If the entry at a position of a term is committed, so are all entries of this term
//!   before it. A command that the driver drops or refuses ends the order (`order`), and
//!   the driver then refuses those that wait behind it, before it proposes anything else.
//! - *On another member* a parcel for the leader may be lost while the next one arrives, and the
//!   leader does not know of pipelines. So one command at a time is under way:
//!   [`Pipeline::propose`] waits until the command before has its outcome. A front that needs
//!   throughput sends its clients to the leader.
//! - *From one term to the next:* the leader of a term proposes only commands that were sent to it
//!   under this term. So a command that is left from an earlier term has its place in the log
//!   before those of a later term, or none. (Not so within a term: a command that is unknown
//!   because its deadline passed may still be applied after those of another pipeline.)

use std::marker::PhantomData;
use std::sync::Arc;

use conclave_storage::MemberId;
use tokio::sync::{oneshot, watch};

use conclave_proto::ApiError;

use crate::command::LogCommand;
use crate::consensus::RaftStatus;
use crate::handle::{Handle, reply_to};
use crate::order::Order;
use crate::outcome::{ProposeError, Refused, Unknown};
use crate::proposal::Answer;

/// The commands of one connection, in order.
pub struct Pipeline {
    handle: Handle,
    order: Arc<Order>,
    raft_statuses: watch::Receiver<RaftStatus>,
}

/// A command that has its place in the order of a pipeline. Dropping it ends the pipeline, unless
/// the command has its outcome by then or gets it soon after.
pub struct Proposed<C> {
    handle: Handle,
    order: Arc<Order>,
    raft_statuses: watch::Receiver<RaftStatus>,
    waiting: oneshot::Receiver<Answer>,
    command: PhantomData<fn() -> C>,
}

impl Pipeline {
    /// Begins a pipeline in the current term, in the name of the handle's caller. Refused while
    /// there is no leader.
    pub fn begin(handle: &Handle) -> Result<Pipeline, Refused> {
        let mut raft_statuses = handle.raft_statuses();
        let raft_status = *raft_statuses.borrow_and_update();
        if raft_status.leader == MemberId::NONE {
            return Err(Refused(ApiError::NoLeader));
        }
        Ok(Pipeline {
            handle: handle.clone(),
            order: Order::new(raft_status.term, raft_status.is_leader),
            raft_statuses,
        })
    }

    /// Puts a command behind those before it. Its outcome is waited for separately.
    ///
    /// # Errors
    /// A refusal ends the pipeline, except one for lack of space ([`ApiError::NoSpace`]): the next
    /// command was not proposed yet, so the caller decides if it goes on.
    pub async fn propose<C: LogCommand>(&mut self, command: C) -> Result<Proposed<C>, Refused> {
        let body = self.handle.prepare(command.into_body()).await?;
        let place = tokio::select! {
            biased;
            () = term_ends(&mut self.raft_statuses, &self.order) => None,
            place = self.order.next_place() => Some(place),
        };
        // The command that the place was free after may have ended the order.
        let place = place.filter(|_| !self.order.has_ended());
        let place = place.ok_or(Refused(ApiError::LeaderChanged))?;
        Ok(Proposed {
            waiting: self.handle.enqueue_in(Some(place), body)?,
            handle: self.handle.clone(),
            order: Arc::clone(&self.order),
            raft_statuses: self.raft_statuses.clone(),
            command: PhantomData,
        })
    }
}

impl<C: LogCommand> Proposed<C> {
    /// Waits for the outcome, up to the request timeout.
    pub async fn outcome(mut self) -> Result<C::Reply, ProposeError> {
        let result = tokio::select! {
            biased;
            result = self.handle.outcome(self.waiting) => result.and_then(reply_to::<C>),
            () = term_ends(&mut self.raft_statuses, &self.order) => {
                Err(Unknown(ApiError::LeaderChanged).into())
            }
        };
        if let Err(ProposeError::Refused(_) | ProposeError::Unknown(_)) = result {
            self.order.end();
        }
        result
    }
}

/// Resolves when the order's term is over, or when this member stops to lead in it.
async fn term_ends(raft_statuses: &mut watch::Receiver<RaftStatus>, order: &Order) {
    // The handle keeps the sender, so the wait cannot fail.
    let _ = raft_statuses
        .wait_for(|now| !order.holds(now.term, now.is_leader))
        .await;
}
