//! The owner that ends leases while this member is the leader.
//!
//! Expiry is a normal proposal: the state machine does not depend on a clock. It is proposed again
//! until it is applied, and proposing it twice is harmless. There is no cap on revokes per second:
//! the batches are bounded, and the next batch begins when the last one was applied, so expiry
//! shares the log with the clients.
//!
//! With `--feature-gates=LeaseCheckpoint=true` the owner also proposes checkpoints of the leases'
//! remaining time, for the next leader.
//!
//! [`Expiry::turn`] gets the time and the answer to the last proposal, and returns what the next
//! turn has to wait for. [`Expiry::run`] is the task around it, which does the waiting.

use std::time::Duration;

use tokio::sync::oneshot::{self, error::TryRecvError};

use conclave_proto::ApiError;
use conclave_proto::command::command::Body;
use conclave_storage::{Fault, Index, LeaseId};

use crate::clock::Moment;
use crate::handle::Handle;
use crate::lease::{Leases, Loaded};
use crate::observe::Observation;
use crate::outcome::{Refused, Rejected, Unknown};
use crate::proposal::Answer;

/// Longest sleep, because a timer has an upper bound.
const IDLE_MAX: Duration = Duration::from_secs(86_400);

/// Owns the end of leases and runs its task, one turn at a time.
pub(crate) struct Expiry {
    handle: Handle,
    leases: Leases,
    /// The proposal that has no answer yet.
    proposed: Option<Proposed>,
}

struct Proposed {
    /// The leases that the proposal ends; none if it proposes checkpoints.
    due: Vec<LeaseId>,
    waiting: oneshot::Receiver<Answer>,
    /// After this moment, the outcome counts as unknown.
    times_out: Moment,
}

/// What the next turn has to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing: there is more to do.
    Turn,
    /// The answer to the proposal.
    Answer { times_out: Moment },
    /// The state has applied this index, or the leadership has changed.
    Applied(Index),
    /// This moment has come, if there is one, or the earliest deadline has moved forward.
    Due(Option<Moment>),
}

impl Expiry {
    pub(crate) fn new(handle: Handle) -> Expiry {
        Expiry {
            leases: handle.leases().clone(),
            handle,
            proposed: None,
        }
    }

    /// Runs the task, one turn after another. Ends when the server stops.
    pub(crate) async fn run(mut self) -> Result<(), Fault> {
        let stopping = self.handle.stopping().clone();
        let mut answer = None;
        while !stopping.is_cancelled() {
            let next = self.turn(answer.take(), self.handle.clock().now())?;
            tokio::select! {
                biased;
                () = stopping.cancelled() => {}
                received = self.wait(next) => answer = received,
            }
        }
        Ok(())
    }

    /// Takes a turn with the answer to the last proposal, if it is there. Returns false if there
    /// was nothing to do.
    pub(crate) fn turn_now(&mut self) -> Result<bool, Fault> {
        let answer = match &mut self.proposed {
            Some(proposed) => match proposed.waiting.try_recv() {
                Ok(answer) => Some(answer),
                Err(TryRecvError::Closed) => Some(DROPPED),
                Err(TryRecvError::Empty) => None,
            },
            None => None,
        };
        let is_answered = answer.is_some();
        let next = self.turn(answer, self.handle.clock().now())?;
        Ok(is_answered || next == Next::Turn)
    }

    /// Notes how the last proposal went, and makes the next one that is due, or loads a page of
    /// leases after a promotion. Never blocks.
    fn turn(&mut self, answer: Option<Answer>, now: Moment) -> Result<Next, Fault> {
        if let Some(proposed) = self.proposed.take() {
            match answer {
                Some(answer) => self.settle(&proposed.due, answer, now),
                None if proposed.times_out <= now => {
                    self.settle(&proposed.due, Answer::Lost(Unknown(ApiError::Timeout)), now);
                }
                None => {
                    let times_out = proposed.times_out;
                    self.proposed = Some(proposed);
                    return Ok(Next::Answer { times_out });
                }
            }
        }
        match self.leases.load_page()? {
            Loaded::Everything => {}
            Loaded::APage => return Ok(Next::Turn),
            Loaded::NothingBefore(index) => return Ok(Next::Applied(index)),
        }
        let (due, command) = self.leases.due(now);
        if !due.is_empty() {
            let enqueued = self.handle.enqueue(Body::LeaseExpire(command));
            self.proposed(due, enqueued, now);
            return Ok(Next::Turn);
        }
        let handle = &self.handle;
        let enqueued = self
            .leases
            .begin_checkpoints(now, |body| handle.enqueue(body));
        if let Some(enqueued) = enqueued {
            self.proposed(Vec::new(), enqueued, now);
            return Ok(Next::Turn);
        }
        Ok(Next::Due(self.leases.next_due()))
    }

    fn proposed(
        &mut self,
        due: Vec<LeaseId>,
        enqueued: Result<oneshot::Receiver<Answer>, Refused>,
        now: Moment,
    ) {
        match enqueued {
            Ok(waiting) => {
                self.proposed = Some(Proposed {
                    due,
                    waiting,
                    times_out: now.after(self.handle.settings().request_timeout),
                });
            }
            Err(refused) => self.settle(&due, Answer::Refused(refused), now),
        }
    }

    /// If checkpoints failed, the next ones follow an interval later. Until then, a change of
    /// leader may extend leases slightly more than necessary.
    fn settle(&self, due: &[LeaseId], answer: Answer, now: Moment) {
        let failed = match answer {
            Answer::Outcome(Ok(_), _) => None,
            Answer::Outcome(Err(Rejected(error)), _)
            | Answer::Refused(Refused(error))
            | Answer::Lost(Unknown(error)) => Some(error),
        };
        match failed {
            None if due.is_empty() => {}
            None => {
                self.handle.observe(Observation::LeasesExpired(due.len()));
                self.leases.ended(due);
            }
            Some(error) if due.is_empty() => {
                tracing::debug!(%error, "the checkpoints of leases were not written");
            }
            Some(error) => {
                tracing::debug!(%error, leases = due.len(), "expired leases are proposed again");
                self.leases.retry(due, now);
            }
        }
    }

    /// Waits until the next turn is due. Returns the answer to the proposal, if that came.
    async fn wait(&mut self, next: Next) -> Option<Answer> {
        let clock = self.handle.clock();
        // One millisecond more, since the clock rounds down and the timer may fire within the last
        // millisecond.
        let left = |until: Moment| until.since(clock.now()) + Duration::from_millis(1);
        match (next, &mut self.proposed) {
            (Next::Answer { times_out }, Some(proposed)) => {
                tokio::select! {
                    biased;
                    answer = &mut proposed.waiting => return Some(answer.unwrap_or(DROPPED)),
                    () = clock.sleep(left(times_out)) => {}
                }
            }
            (Next::Turn | Next::Answer { .. }, _) => tokio::task::yield_now().await,
            (Next::Applied(index), _) => tokio::select! {
                biased;
                () = self.handle.applied_through(index) => {}
                () = self.leases.deadline_moved() => {}
            },
            (Next::Due(at), _) => {
                let idle = at.map_or(IDLE_MAX, left).min(IDLE_MAX);
                tokio::select! {
                    biased;
                    () = clock.sleep(idle) => {}
                    () = self.leases.deadline_moved() => {}
                }
            }
        }
        None
    }
}

/// The slot was dropped: a fault, or the server stopped between log and reply.
const DROPPED: Answer = Answer::Lost(Unknown(ApiError::Stopped));
