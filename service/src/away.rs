//! Commands of this member that are on their way into the log of another.
//!
//! Each was sent under a term, and only the leader of that term proposes it. Its outcome comes with
//! the entry it is in, found by name. Or the leader refuses it. Or an entry of a *later* term is
//! applied: then no entry of the earlier one can follow, the command is in nobody's log that counts,
//! and it goes back to the driver to be proposed anew. The caller notices nothing but the time.
//!
//! What is left are commands of which nobody knows: a parcel that was lost under a leader that
//! stays. Their callers' deadline ends them.

use std::collections::HashMap;

use conclave_proto::ApiError;
use conclave_proto::peer::Refusal;
use conclave_proto::peer::refusal::Reason;

use crate::handle::Answer;
use crate::mailbox::{Control, Mailbox, Proposal};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Away {
    by_request: HashMap<u64, (u64, Proposal)>,
    /// No command is away under an earlier term. (0 when none is away.)
    oldest_term: u64,
}

impl Away {
    pub(crate) fn add(&mut self, term: u64, proposals: Vec<Proposal>) {
        for proposal in proposals {
            let Some(slot) = &proposal.slot else { continue };
            let request_id = slot.request_id();
            if self.by_request.is_empty() {
                self.oldest_term = term;
            }
            self.oldest_term = self.oldest_term.min(term);
            self.by_request.insert(request_id, (term, proposal));
        }
    }

    /// The one of this name: its outcome is there.
    pub(crate) fn take(&mut self, request_id: u64) -> Option<Proposal> {
        if self.by_request.is_empty() {
            return None;
        }
        self.by_request
            .remove(&request_id)
            .map(|(_, proposal)| proposal)
    }

    /// An entry of this term is applied.
    pub(crate) fn passed(&mut self, term: u64, mailbox: &Mailbox) {
        if self.by_request.is_empty() || self.oldest_term >= term {
            return;
        }
        let (gone, stay): (HashMap<_, _>, _) = std::mem::take(&mut self.by_request)
            .into_iter()
            .partition(|(_, (sent_under, _))| *sent_under < term);
        self.by_request = stay;
        self.oldest_term = term;
        again(gone.into_values().map(|(_, proposal)| proposal), mailbox);
    }

    /// The leader does not propose these.
    pub(crate) fn refused(&mut self, refusal: &Refusal, mailbox: &Mailbox) {
        let ids = refusal.request_ids.iter();
        let mut refused = Vec::new();
        for id in ids {
            let known = self.by_request.get(id);
            if known.is_some_and(|(term, _)| *term == refusal.term) {
                refused.extend(self.take(*id));
            }
        }
        match refusal.reason() {
            Reason::NotLeader => again(refused.into_iter(), mailbox),
            Reason::Busy | Reason::Unspecified => {
                for proposal in refused {
                    proposal.answer(Answer::Refused(ApiError::RequestTooManyRequests));
                }
            }
        }
    }

    /// Forgets those whose callers gave up.
    pub(crate) fn sweep(&mut self) {
        self.by_request
            .retain(|_, (_, proposal)| !proposal.is_abandoned());
    }

    /// The state jumped: what became of them on the way cannot be known.
    pub(crate) fn lost(&mut self) {
        for (_, (_, proposal)) in self.by_request.drain() {
            proposal.answer(Answer::Lost(ApiError::LeaderChanged));
        }
    }
}

/// In the order of their names, which is the order in which they were made.
fn again(proposals: impl Iterator<Item = Proposal>, mailbox: &Mailbox) {
    let mut proposals: Vec<_> = proposals.collect();
    if proposals.is_empty() {
        return;
    }
    proposals.sort_by_key(|proposal| proposal.slot.as_ref().map(|slot| slot.request_id()));
    mailbox.control(Control::Again(proposals));
}
