//! A command on its way into the log, and the slot its answer goes to.

use bytes::Bytes;
use tokio::sync::oneshot;

use conclave_proto::ApiError;
use conclave_proto::command::MemberChange;
use conclave_storage::machine::Outcome;

use crate::admission::Permit;

/// A command on its way into the log: encoded once, by the task that proposes it.
#[derive(Debug)]
pub(crate) struct Proposal {
    pub(crate) payload: Payload,
    /// Where the outcome goes. None for one of another member, which follows it by itself.
    pub(crate) slot: Option<Slot>,
}

/// What is proposed.
#[derive(Debug)]
pub(crate) enum Payload {
    /// A command, framed by [`crate::consensus::codec::frame`].
    Command(Bytes),
    /// A membership change.
    Change(Box<MemberChange>),
}

impl Proposal {
    pub(crate) fn of_another(framed: Bytes) -> Proposal {
        Proposal {
            payload: Payload::Command(framed),
            slot: None,
        }
    }

    pub(crate) fn change_of_another(change: MemberChange) -> Proposal {
        Proposal {
            payload: Payload::Change(Box::new(change)),
            slot: None,
        }
    }

    /// The command. Membership changes have a queue of their own.
    pub(crate) fn framed(&self) -> &Bytes {
        match &self.payload {
            Payload::Command(framed) => framed,
            Payload::Change(_) => unreachable!("a membership change among commands"),
        }
    }

    /// The membership change; see [`Proposal::framed`].
    pub(crate) fn change(&self) -> &MemberChange {
        match &self.payload {
            Payload::Change(change) => change,
            Payload::Command(_) => unreachable!("a command among membership changes"),
        }
    }

    /// Whether its caller gave up.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.slot.as_ref().is_some_and(Slot::is_abandoned)
    }

    /// Tells the callers that these are not proposed.
    pub(crate) fn refuse_all(proposals: impl IntoIterator<Item = Proposal>, error: ApiError) {
        for proposal in proposals {
            proposal.answer(Answer::Refused(error));
        }
    }

    /// Tells the caller, if it is one of ours.
    pub(crate) fn answer(self, answer: Answer) {
        if let Some(slot) = self.slot {
            slot.answer(answer);
        }
    }
}

/// Where a command's outcome goes. Dropping it says the server stopped before there was one.
#[derive(Debug)]
pub(crate) struct Slot {
    request_id: u64,
    reply: oneshot::Sender<Answer>,
    _permit: Permit,
}

/// What a slot is told.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The machine's word.
    Outcome(Outcome),
    /// It never entered the log.
    Refused(ApiError),
    /// It was in the log when the leader that put it there lost its place.
    Lost(ApiError),
}

impl Slot {
    pub(crate) fn new(request_id: u64, reply: oneshot::Sender<Answer>, permit: Permit) -> Slot {
        Slot {
            request_id,
            reply,
            _permit: permit,
        }
    }

    /// Names the command among those of this member.
    pub(crate) fn request_id(&self) -> u64 {
        self.request_id
    }

    /// Answers. Nobody may be listening any more; that is theirs to know.
    pub(crate) fn answer(self, answer: Answer) {
        let _ = self.reply.send(answer);
    }

    /// True when the caller has given up: a command not yet proposed need not be.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }
}
