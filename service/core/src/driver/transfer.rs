//! Leadership transfer: on request, before this member stops, or because its disk stalls.

use conclave_proto::ApiError;
use conclave_storage::{MemberId, Term};

use super::Driver;
use crate::clock::Moment;
use crate::mailbox::Done;

/// Number of ticks on which the transfer message is sent again.
const TICKS_OF_REPEATING: u32 = 3;

/// A leadership transfer in progress.
#[derive(Default)]
pub(super) struct Transfer {
    /// The successor, and the reply channel of the caller.
    waiting: Option<(MemberId, Done)>,
    /// Ticks the transfer has taken so far.
    ticks: u32,
    /// When this leader began to give up leadership because of its disk.
    for_disk: Option<Moment>,
    /// The term in which this leader tried to transfer leadership before its own removal.
    left_in: Option<Term>,
}

impl Driver {
    /// Starts a transfer to this member, or to the best successor if `to` is `None`.
    pub(super) fn begin_transfer(&mut self, to: Option<MemberId>, done: Done) {
        if !self.raft_status.is_leader {
            let _ = done.send(Err(ApiError::NotLeader));
            return;
        }
        let successor = match to {
            Some(id) if id == self.parts.member_id => {
                let _ = done.send(Ok(()));
                return;
            }
            Some(id) => self.parts.node.is_voter(id).then_some(id),
            None => self.parts.node.successor(),
        };
        let Some(to) = successor else {
            let _ = done.send(Err(ApiError::BadLeaderTransferee));
            return;
        };
        tracing::info!(to = to.to_string(), "leadership is handed over");
        self.parts.node.transfer_leader(to);
        self.transfer.ticks = 0;
        if let Some((_, superseded)) = self.transfer.waiting.replace((to, done)) {
            let _ = superseded.send(Err(ApiError::Timeout));
        }
    }

    pub(super) fn follow_transfer(&mut self) {
        let Some((to, _)) = self.transfer.waiting else {
            return;
        };
        // Use raft's current status: the last published one may be older than the start of the
        // transfer.
        let now = self.parts.node.raft_status();
        let was_given_up = now.is_leader && !self.parts.node.is_transferring();
        let another_leads = !now.is_leader && now.leader != MemberId::NONE && now.leader != to;
        let outcome = if self.raft_status.leader == to {
            Ok(())
        } else if was_given_up || another_leads {
            Err(ApiError::Timeout)
        } else {
            return;
        };
        if let Some((_, done)) = self.transfer.waiting.take() {
            let _ = done.send(outcome);
        }
    }

    /// Repeats the message that asks the successor to campaign: raft sends it once, and it may be
    /// lost. It is repeated on a few ticks. If that does not help, raft ends the attempt after an
    /// election timeout, during which nothing is proposed.
    pub(super) fn repeat_transfer(&mut self) {
        let Some((to, _)) = self.transfer.waiting else {
            return;
        };
        self.transfer.ticks += 1;
        if self.transfer.ticks <= TICKS_OF_REPEATING && self.raft_status.is_leader {
            self.parts.node.transfer_again(to);
        }
    }

    /// Makes a leader that is to be removed transfer leadership first, once; the next leader
    /// proposes the removal. Returns true while the transfer is in progress.
    pub(super) fn hands_over_to_leave(&mut self) -> bool {
        if self.parts.node.is_transferring() {
            return true;
        }
        let Some(to) = self.parts.node.successor() else {
            return false;
        };
        if self.transfer.left_in == Some(self.raft_status.term) {
            return false;
        }
        self.transfer.left_in = Some(self.raft_status.term);
        self.parts.node.transfer_leader(to);
        true
    }

    /// Makes a leader whose disk stalls for an election timeout transfer leadership. If that has
    /// not worked after another election timeout, the leader steps down without a successor. (Its
    /// followers would go on committing, but this member could neither apply nor answer anything.)
    pub(super) fn watch_disk(&mut self, now: Moment) {
        let patience = self.parts.election_timeout;
        let stalled = self.is_writing() && now.since(self.writing_since) >= patience;
        if !stalled || !self.raft_status.is_leader || self.raft_status.is_sole_voter {
            self.transfer.for_disk = None;
            return;
        }
        match self.transfer.for_disk {
            None => {
                self.transfer.for_disk = Some(now);
                let stalled_ms = now.since(self.writing_since).as_millis() as u64;
                let successor = self.parts.node.successor();
                let to = successor.map(|id| id.to_string());
                tracing::warn!(stalled_ms, to, "the disk stalls; leadership is handed over");
                if let Some(to) = successor {
                    self.parts.node.transfer_leader(to);
                }
            }
            Some(since) if now.since(since) >= patience => {
                tracing::warn!("the disk stalls and nobody took over; this member resigns");
                self.transfer.for_disk = None;
                self.parts.node.resign();
            }
            Some(_) => {}
        }
    }
}
