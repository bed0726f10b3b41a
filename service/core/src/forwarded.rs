//! Commands of this member that were forwarded to the leader.
//!
//! Each command was sent under a term, and only the leader of that term proposes it. One of three
//! things ends the wait. The command's entry is applied, and the outcome is matched by request id.
//! Or the leader refuses the command. Or an entry of a *later* term is applied: then no entry of
//! the earlier term can follow, the command can never commit, and it returns to the driver to be
//! proposed again. The caller notices only the delay.
//!
//! One case is left: a parcel that was lost under a leader that stays. Its commands end with their
//! callers' deadlines.

use std::collections::BTreeMap;

use conclave_proto::ApiError;
use conclave_proto::peer::Refusal;
use conclave_proto::peer::refusal::Reason;
use conclave_storage::{RequestId, Term};

use crate::mailbox::{Control, Mailbox};
use crate::outcome::{Refused, Unknown};
use crate::proposal::{Answer, Proposal};

/// The forwarded commands, by request id.
#[derive(Debug, Default)]
pub(crate) struct Forwarded {
    by_request: BTreeMap<RequestId, (Term, Proposal)>,
    /// No command is forwarded under an earlier term. (No term when none is forwarded.)
    oldest_term: Term,
}

impl Forwarded {
    pub(crate) fn add(&mut self, term: Term, proposals: Vec<Proposal>) {
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

    /// Removes the command with this request id, because its outcome has arrived.
    pub(crate) fn take(&mut self, request_id: RequestId) -> Option<Proposal> {
        if self.by_request.is_empty() {
            return None;
        }
        self.by_request
            .remove(&request_id)
            .map(|(_, proposal)| proposal)
    }

    /// Returns the commands of earlier terms to the driver, because an entry of this term is
    /// applied.
    pub(crate) fn passed(&mut self, term: Term, mailbox: &Mailbox) {
        if self.by_request.is_empty() || self.oldest_term >= term {
            return;
        }
        let (gone, stay): (BTreeMap<_, _>, _) = std::mem::take(&mut self.by_request)
            .into_iter()
            .partition(|(_, (sent_under, _))| *sent_under < term);
        self.by_request = stay;
        self.oldest_term = term;
        let gone = gone.into_values().map(|(_, proposal)| proposal);
        again(gone, true, mailbox);
    }

    /// Handles a leader's refusal to propose some commands.
    pub(crate) fn refused(&mut self, refusal: &Refusal, mailbox: &Mailbox) {
        let ids = refusal.request_ids.iter().copied().map(RequestId);
        let mut refused = Vec::new();
        for id in ids {
            let known = self.by_request.get(&id);
            if known.is_some_and(|(term, _)| *term == Term(refusal.term)) {
                refused.extend(self.take(id));
            }
        }
        match refusal.reason() {
            Reason::NotLeader => again(refused.into_iter(), false, mailbox),
            Reason::Busy | Reason::Unspecified => {
                Proposal::refuse_all(refused, Refused(ApiError::RequestTooManyRequests));
            }
            Reason::NotCapable => {
                Proposal::refuse_all(refused, Refused(ApiError::NotCapable));
            }
        }
    }

    /// Drops commands whose callers have given up.
    pub(crate) fn sweep(&mut self) {
        self.by_request
            .retain(|_, (_, proposal)| !proposal.is_abandoned());
    }

    /// Ends all commands: a snapshot replaced the state, so their outcomes cannot be known.
    pub(crate) fn lost(&mut self) {
        for (_, (_, proposal)) in std::mem::take(&mut self.by_request) {
            proposal.answer(Answer::Lost(Unknown(ApiError::LeaderChanged)));
        }
    }
}

/// Returns proposals to the driver in the order of their request ids, which is the order in which
/// they were made. Those of pipelines end here: others of theirs may have been proposed since.
fn again(proposals: impl Iterator<Item = Proposal>, at_once: bool, mailbox: &Mailbox) {
    let (bound, mut proposals): (Vec<_>, Vec<_>) = proposals.partition(Proposal::is_of_pipeline);
    for proposal in bound {
        proposal.answer(Answer::Lost(Unknown(ApiError::LeaderChanged)));
    }
    if proposals.is_empty() {
        return;
    }
    proposals.sort_by_key(|proposal| proposal.slot.as_ref().map(|slot| slot.request_id()));
    mailbox.control(Control::Again { proposals, at_once });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use tokio::sync::oneshot;

    use super::*;
    use crate::admission::{Admission, Priority};
    use crate::mailbox::Waiting;
    use crate::order::Order;
    use crate::proposal::{Payload, Slot};
    use crate::trace::Span;

    type Caller = oneshot::Receiver<Answer>;

    /// A command with this request id, and the receiver of its answer.
    fn proposal(request_id: u64) -> (Proposal, Caller) {
        let (reply, caller) = oneshot::channel();
        let permit = Admission::new(RequestId(0))
            .admit(1, Priority::Ordinary)
            .expect("the first");
        let slot = Slot::new(RequestId(request_id), reply, permit);
        let payload = Payload::Command(Bytes::new());
        let proposal = Proposal::new(payload, Some(slot), Span::none());
        (proposal, caller)
    }

    /// Forwards commands under a term.
    fn send(forwarded: &mut Forwarded, term: u64, request_ids: &[u64]) -> Vec<Caller> {
        let (proposals, callers) = request_ids.iter().copied().map(proposal).unzip();
        forwarded.add(Term(term), proposals);
        callers
    }

    fn refusal(term: u64, request_ids: &[u64], reason: Reason) -> Refusal {
        Refusal {
            term,
            request_ids: request_ids.to_vec(),
            reason: reason.into(),
        }
    }

    /// The request ids of the proposals that came back to the driver, in order.
    fn came_back(mailbox: &Mailbox) -> Vec<u64> {
        let mail = mailbox.take(Waiting::CONTROL, Duration::ZERO);
        let again = mail.control.into_iter().flat_map(|control| match control {
            Control::Again { proposals, .. } => proposals,
            other => panic!("{other:?}"),
        });
        again
            .map(|proposal| proposal.slot.expect("ours").request_id().0)
            .collect()
    }

    #[test]
    fn an_outcome_is_found_by_name_and_once() {
        let mut forwarded = Forwarded::default();
        let _callers = send(&mut forwarded, 2, &[7, 8]);
        assert!(forwarded.take(RequestId(9)).is_none());
        let taken = forwarded.take(RequestId(8)).expect("it was forwarded");
        assert_eq!(taken.slot.map(|slot| slot.request_id()), Some(RequestId(8)));
        assert!(forwarded.take(RequestId(8)).is_none());
    }

    #[test]
    fn an_entry_of_a_later_term_hands_back_what_was_sent_under_earlier_ones() {
        let (mut forwarded, mailbox) = (Forwarded::default(), Mailbox::default());
        let _callers = send(&mut forwarded, 2, &[9, 7]);
        let _callers = send(&mut forwarded, 3, &[8]);
        let _callers = send(&mut forwarded, 5, &[10]);
        forwarded.passed(Term(2), &mailbox);
        assert!(came_back(&mailbox).is_empty());
        forwarded.passed(Term(3), &mailbox);
        assert_eq!(came_back(&mailbox), [7, 9]);
        forwarded.passed(Term(5), &mailbox);
        assert_eq!(came_back(&mailbox), [8]);
        assert!(forwarded.take(RequestId(10)).is_some());
    }

    /// Commands of a leader that stepped down arrive after commands that were forwarded under the
    /// next term.
    #[test]
    fn the_order_in_which_terms_are_told_does_not_matter() {
        let (mut forwarded, mailbox) = (Forwarded::default(), Mailbox::default());
        let _callers = send(&mut forwarded, 4, &[1]);
        let _callers = send(&mut forwarded, 2, &[2]);
        forwarded.passed(Term(4), &mailbox);
        assert_eq!(came_back(&mailbox), [2]);
    }

    /// A refusal may be late: it does not concern the same command sent again under the next term.
    #[test]
    fn a_refusal_is_of_one_term() {
        let (mut forwarded, mailbox) = (Forwarded::default(), Mailbox::default());
        let _callers = send(&mut forwarded, 3, &[7, 8]);
        forwarded.refused(&refusal(2, &[7], Reason::NotLeader), &mailbox);
        assert!(came_back(&mailbox).is_empty());
        forwarded.refused(&refusal(3, &[99, 7], Reason::NotLeader), &mailbox);
        assert_eq!(came_back(&mailbox), [7]);
        assert!(forwarded.take(RequestId(8)).is_some());
    }

    #[test]
    fn a_leader_without_room_is_the_callers_to_know() {
        let (mut forwarded, mailbox) = (Forwarded::default(), Mailbox::default());
        let mut callers = send(&mut forwarded, 3, &[7, 8]);
        forwarded.refused(&refusal(3, &[7], Reason::Busy), &mailbox);
        assert!(came_back(&mailbox).is_empty());
        let refused = Answer::Refused(Refused(ApiError::RequestTooManyRequests));
        let told = callers[0].try_recv().expect("an answer");
        assert_eq!(format!("{told:?}"), format!("{refused:?}"));
        assert!(callers[1].try_recv().is_err());
    }

    #[test]
    fn those_whose_callers_gave_up_are_forgotten() {
        let mut forwarded = Forwarded::default();
        let mut callers = send(&mut forwarded, 3, &[7, 8]);
        callers.remove(0);
        forwarded.sweep();
        assert!(forwarded.take(RequestId(7)).is_none());
        assert!(forwarded.take(RequestId(8)).is_some());
    }

    /// The next command of its pipeline may have been proposed under the new term, or refused.
    #[tokio::test]
    async fn a_command_of_a_pipeline_is_never_proposed_again() {
        for is_refused in [true, false] {
            let (mut forwarded, mailbox) = (Forwarded::default(), Mailbox::default());
            let (mut proposal, mut caller) = proposal(7);
            let order = Order::new(Term(3), true);
            let place = order.next_place().await;
            proposal.slot = proposal.slot.map(|slot| slot.in_place(Some(place)));
            forwarded.add(Term(3), vec![proposal]);
            match is_refused {
                true => forwarded.refused(&refusal(3, &[7], Reason::NotLeader), &mailbox),
                false => forwarded.passed(Term(4), &mailbox),
            }
            assert!(came_back(&mailbox).is_empty());
            let told = caller.try_recv().expect("an answer");
            assert!(matches!(
                told,
                Answer::Lost(Unknown(ApiError::LeaderChanged))
            ));
            assert!(order.has_ended());
        }
    }

    /// A snapshot skips the entries that would have brought the outcomes.
    #[test]
    fn a_state_that_jumped_leaves_them_unknown() {
        let mut forwarded = Forwarded::default();
        let mut callers = send(&mut forwarded, 3, &[7]);
        forwarded.lost();
        let told = callers[0].try_recv().expect("an answer");
        assert!(matches!(
            told,
            Answer::Lost(Unknown(ApiError::LeaderChanged))
        ));
        assert!(forwarded.take(RequestId(7)).is_none());
    }
}
