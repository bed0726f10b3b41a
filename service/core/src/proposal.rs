//! A command on its way into the log, and the slot for its answer.

use bytes::Bytes;
use tokio::sync::oneshot;

use conclave_proto::command::MemberChange;
use conclave_storage::machine::Outcome;
use conclave_storage::{RequestId, Term};

use crate::admission::Permit;
use crate::order::Place;
use crate::outcome::{Refused, Unknown};
use crate::trace::Span;

/// A command or membership change to be put into the log, encoded once by the task that proposes
/// it.
#[derive(Debug)]
pub(crate) struct Proposal {
    pub(crate) payload: Payload,
    /// The slot for the outcome. `None` for a command of another member, which tracks it by itself.
    pub(crate) slot: Option<Slot>,
    /// The span of its way to the outcome.
    pub(crate) span: Span,
    /// The span of its way to the leader and back, while it is forwarded.
    pub(crate) forwarding: Span,
}

/// The content of a proposal.
#[derive(Debug)]
pub(crate) enum Payload {
    /// A command, framed by [`crate::consensus::codec::frame`].
    Command(Bytes),
    /// A membership change.
    Change(Box<MemberChange>),
}

impl Proposal {
    pub(crate) fn new(payload: Payload, slot: Option<Slot>, span: Span) -> Proposal {
        Proposal {
            payload,
            slot,
            span,
            forwarding: Span::none(),
        }
    }

    pub(crate) fn of_another(framed: Bytes, span: Span) -> Proposal {
        Proposal::new(Payload::Command(framed), None, span)
    }

    pub(crate) fn change_of_another(change: MemberChange) -> Proposal {
        Proposal::new(Payload::Change(Box::new(change)), None, Span::none())
    }

    /// Returns the framed command. Membership changes have a separate queue.
    pub(crate) fn framed(&self) -> &Bytes {
        match &self.payload {
            Payload::Command(framed) => framed,
            Payload::Change(_) => unreachable!("a membership change among commands"),
        }
    }

    /// Returns the membership change; see [`Proposal::framed`].
    pub(crate) fn change(&self) -> &MemberChange {
        match &self.payload {
            Payload::Change(change) => change,
            Payload::Command(_) => unreachable!("a command among membership changes"),
        }
    }

    /// Returns true if the caller has given up.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.slot.as_ref().is_some_and(Slot::is_abandoned)
    }

    /// Returns true if this is a command of a pipeline: it must never be proposed again.
    pub(crate) fn is_of_pipeline(&self) -> bool {
        self.slot.as_ref().is_some_and(|slot| slot.place.is_some())
    }

    /// Returns false if this is a command of a pipeline that has ended, or that ends because the
    /// term is this one and this member leads in it or not.
    pub(crate) fn is_in_order(&self, term: Term, leads: bool) -> bool {
        let place = self.slot.as_ref().and_then(|slot| slot.place.as_ref());
        place.is_none_or(|place| place.order().holds(term, leads))
    }

    /// Reports to the callers that these proposals are refused.
    pub(crate) fn refuse_all(proposals: impl IntoIterator<Item = Proposal>, refused: Refused) {
        for proposal in proposals {
            proposal.answer(Answer::Refused(refused));
        }
    }

    /// Answers the caller, if the proposal is one of this member's own.
    pub(crate) fn answer(self, answer: Answer) {
        if let Some(slot) = self.slot {
            slot.answer(answer);
        }
    }
}

/// The reply slot of a command. Dropping it reports that the server stopped before there was an
/// outcome.
#[derive(Debug)]
pub(crate) struct Slot {
    request_id: RequestId,
    reply: oneshot::Sender<Answer>,
    _permit: Permit,
    /// The place in its pipeline, if it is a command of one.
    place: Option<Box<Place>>,
}

/// The answer to a proposal.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The state machine's outcome.
    Outcome(Outcome, Replying),
    /// Refused before it was proposed.
    Refused(Refused),
    /// Dropped without a known outcome: a snapshot replaced the entries that would have brought it.
    Lost(Unknown),
}

/// The span of an outcome on its way to its caller. The span that it is inside of ends after it.
#[derive(Debug, Default)]
pub(crate) struct Replying {
    pub(crate) span: Span,
    _around: Span,
}

impl Replying {
    /// Begins the span inside that of the proposal.
    pub(crate) fn begin(proposal: Span) -> Replying {
        Replying {
            span: proposal.child("reply"),
            _around: proposal,
        }
    }
}

impl Slot {
    pub(crate) fn new(
        request_id: RequestId,
        reply: oneshot::Sender<Answer>,
        permit: Permit,
    ) -> Slot {
        Slot {
            request_id,
            reply,
            _permit: permit,
            place: None,
        }
    }

    /// Gives the command a place in its pipeline.
    pub(crate) fn in_place(self, place: Option<Place>) -> Slot {
        let place = place.map(Box::new);
        Slot { place, ..self }
    }

    /// Returns the command's id, unique among the commands of this member.
    pub(crate) fn request_id(&self) -> RequestId {
        self.request_id
    }

    /// Sends the answer. The caller may have given up; that is not an error.
    pub(crate) fn answer(mut self, answer: Answer) {
        if let Some(place) = self.place.take()
            && matches!(answer, Answer::Outcome(..))
        {
            place.vacate();
        }
        let _ = self.reply.send(answer);
    }

    /// Returns true if the caller has given up: a command that is not proposed yet can be dropped.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }
}
