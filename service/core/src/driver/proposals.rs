//! The way of commands to the log: a leader packs them into entries, other members pack them into
//! parcels for the leader.

use std::collections::VecDeque;

use conclave_proto::ApiError;
use conclave_proto::command::member_change::Change;
use conclave_proto::peer::refusal::Reason;
use conclave_proto::peer::{Forward, Parcel, Refusal, TracedCommand, parcel::Content};
use conclave_storage::{Fault, Index, MemberId, RequestId, Term};

use super::relayed::Relayed;
use super::{Driver, Placed};
use crate::applier::ToApply;
use crate::consensus::{NotProposed, Position, codec, node};
use crate::limits;
use crate::observe::Observation;
use crate::outcome::Refused;
use crate::proposal::{Answer, Payload, Proposal, Slot};
use crate::trace::Span;

impl Driver {
    /// Takes a parcel that a member sent.
    pub(super) fn take_parcel(&mut self, from: MemberId, parcel: Parcel) -> Result<(), Fault> {
        match parcel.content {
            Some(Content::Raft(message)) => match self.parts.node.step(from, &message) {
                Ok(()) => {}
                Err(refused @ (node::Refused::Malformed | node::Refused::Unfit(_))) => {
                    self.message_refused(from, refused);
                }
                Err(node::Refused::LogLost {
                    expected,
                    last_index,
                }) => return Err(self.log_lost(expected, last_index)),
            },
            Some(Content::Forward(forward)) => self.take_forward(from, forward),
            Some(Content::Refusal(refusal)) => self.tell_applier(vec![ToApply::Refused(refusal)]),
            None => {
                let from = from.to_string();
                tracing::warn!(from, "a member of a newer release sent something unknown");
            }
        }
        Ok(())
    }

    /// Counts a raft message that was dropped because no correct member sends it, and logs the
    /// first message of each kind from a member.
    fn message_refused(&self, from: MemberId, refused: node::Refused) {
        self.parts.observer.observe(Observation::MessageRefused);
        let (from, reason) = (from.to_string(), refused.to_string());
        let now = self.parts.clock.now();
        if self.refusals.is_new(&format!("{from} {reason}"), now) {
            tracing::warn!(from, reason, "a raft message from a member was refused");
        }
    }

    /// Takes commands that clients sent to another member. Only the leader that they were sent to
    /// proposes them: the member that forwarded them relies on it.
    fn take_forward(&mut self, from: MemberId, mut forward: Forward) {
        let is_for_us = self.raft_status.is_leader && self.raft_status.term == Term(forward.term);
        if !is_for_us {
            return self.refuse_forward(from, &forward, Reason::NotLeader);
        }
        if forward.change.is_some() {
            if self.changes.len() >= limits::WAITING_CHANGES_MAX {
                return self.refuse_forward(from, &forward, Reason::Busy);
            }
            self.changes
                .extend(forward.change.take().map(Proposal::change_of_another));
        }
        let mut traces = forward.traces.iter().peekable();
        let (mut busy, mut unknown) = (Vec::new(), Vec::new());
        for (index, command) in (0..).zip(std::mem::take(&mut forward.commands)) {
            let trace = traces.next_if(|trace| trace.command == index);
            match self.relayed.admit(&command) {
                Ok(()) => {
                    let span = self.resume(from, trace);
                    self.pending.push_back(Proposal::of_another(command, span));
                }
                Err(Reason::NotCapable) => unknown.push(command),
                Err(_) => busy.push(command),
            }
        }
        if !unknown.is_empty() {
            let from = from.to_string();
            tracing::warn!(
                from,
                "a member sent commands that this release does not know"
            );
        }
        for (commands, reason) in [(busy, Reason::Busy), (unknown, Reason::NotCapable)] {
            if !commands.is_empty() {
                forward.commands = commands;
                self.refuse_forward(from, &forward, reason);
            }
        }
    }

    /// Notifies a member that what is left in its parcel will not be proposed.
    fn refuse_forward(&self, to: MemberId, forward: &Forward, reason: Reason) {
        let request_ids = codec::request_ids(forward);
        self.refuse(to, Term(forward.term), request_ids, reason);
    }

    /// Begins this member's part of a command's trace.
    fn resume(&self, from: MemberId, trace: Option<&TracedCommand>) -> Span {
        let Some(context) = trace.and_then(|trace| trace.context.as_ref()) else {
            return Span::none();
        };
        let span = self.parts.observer.resume("lead", context);
        span.set("member", from);
        span
    }

    /// Notifies a member which of its commands will not be proposed.
    fn refuse(&self, to: MemberId, term: Term, request_ids: Vec<RequestId>, reason: Reason) {
        let reason = reason.into();
        let refusal = Refusal {
            term: term.0,
            request_ids: bare(&request_ids),
            reason,
        };
        self.send(to, Content::Refusal(refusal));
    }

    /// Proposes pending commands, or forwards them to the leader.
    pub(super) fn propose(&mut self) {
        if self.is_applier_behind() {
            return;
        }
        if !self.raft_status.is_leader {
            // Without a leader, commands wait for the next leader or for their deadline.
            if self.raft_status.leader != MemberId::NONE {
                self.forward();
            }
            return;
        }
        // During a transfer commands wait here; the next leader gets them.
        while !self.pending.is_empty() && !self.parts.node.is_transferring() {
            if self.is_applier_behind() {
                return;
            }
            let (count, is_full) = next_pack(&self.pending);
            if self.is_writing() && !is_full {
                return;
            }
            let payload = codec::pack(self.pending.iter().take(count).map(Proposal::framed));
            let packed: Vec<_> = self.pending.drain(..count).collect();
            for proposal in packed.iter().filter(|proposal| proposal.slot.is_none()) {
                self.relayed.remove(proposal.framed());
            }
            match self.parts.node.propose(payload) {
                Some(position) => self.place(position, packed),
                None => self.not_proposed(packed),
            }
        }
    }

    /// Raft refused these commands: it has no room for them, or this member was removed. In the
    /// second case this member's own commands wait for the next leader.
    fn not_proposed(&mut self, proposals: Vec<Proposal>) {
        let term = self.raft_status.term;
        let (own, others): (Vec<_>, Vec<_>) = proposals
            .into_iter()
            .partition(|proposal| proposal.slot.is_some());
        let origins = others
            .iter()
            .map(Proposal::framed)
            .filter_map(codec::origin);
        for (member_id, request_id) in origins {
            self.refuse(member_id, term, vec![request_id], Reason::Busy);
        }
        let (held_back, refused): (Vec<_>, Vec<_>) = own
            .into_iter()
            .partition(|proposal| self.is_removed() && !proposal.is_of_pipeline());
        self.held_back.extend(held_back);
        Proposal::refuse_all(refused, Refused(ApiError::RequestTooManyRequests));
        // What follows them in their pipelines must not get into the log without them.
        self.end_pipelines();
    }

    /// Takes commands from the mailbox.
    pub(super) fn add_commands(&mut self, commands: VecDeque<Proposal>) {
        let (term, leads) = (self.raft_status.term, self.raft_status.is_leader);
        for proposal in commands {
            if proposal.is_in_order(term, leads) {
                self.pending.push_back(proposal);
            } else {
                proposal.answer(Answer::Refused(Refused(ApiError::LeaderChanged)));
            }
        }
    }

    /// Refuses the pending commands of pipelines that have ended.
    fn end_pipelines(&mut self) {
        let (term, leads) = (self.raft_status.term, self.raft_status.is_leader);
        if self.pending.iter().all(|p| p.is_in_order(term, leads)) {
            return;
        }
        let pending = std::mem::take(&mut self.pending);
        self.add_commands(pending);
    }

    /// Proposes one membership change at a time; the others wait until it is applied.
    pub(super) fn propose_changes(&mut self) {
        if !self.raft_status.is_leader {
            return;
        }
        while let Some(proposal) = self.changes.pop_front() {
            let removes_us = matches!(proposal.change().change, Some(Change::Remove(id))
                if MemberId(id) == self.parts.member_id);
            if removes_us && self.hands_over_to_leave() {
                self.changes.push_front(proposal);
                return;
            }
            match self.parts.node.propose_change(proposal.change()) {
                Ok(position) => self.place(position, vec![proposal]),
                Err(NotProposed::Busy | NotProposed::NotLeader) => {
                    self.changes.push_front(proposal);
                    return;
                }
                Err(NotProposed::Malformed) => {
                    proposal.answer(Answer::Refused(Refused(ApiError::NotCapable)));
                }
            }
        }
    }

    fn place(&mut self, position: Position, mut proposals: Vec<Proposal>) {
        self.trace(position, &proposals);
        // Commands of other members are tracked by those members.
        proposals.retain(|proposal| proposal.slot.is_some());
        if !proposals.is_empty() {
            self.placed.push_back(Placed {
                position,
                proposals,
            });
        }
    }

    fn forward(&mut self) {
        while !self.pending.is_empty() {
            let (count, _) = next_pack(&self.pending);
            let mut proposals: Vec<_> = self.pending.drain(..count).collect();
            let mut forward = Forward {
                commands: proposals.iter().map(|p| p.framed().clone()).collect(),
                ..Forward::default()
            };
            for (command, proposal) in (0..).zip(&mut proposals) {
                proposal.forwarding = proposal.span.child("forward");
                proposal.forwarding.set("member", self.raft_status.leader);
                if let context @ Some(_) = proposal.forwarding.context() {
                    forward.traces.push(TracedCommand { command, context });
                }
            }
            self.forward_to_leader(forward, proposals);
        }
        while let Some(proposal) = self.changes.pop_front() {
            let forward = Forward {
                change: Some(proposal.change().clone()),
                ..Forward::default()
            };
            self.forward_to_leader(forward, vec![proposal]);
        }
    }

    fn forward_to_leader(&mut self, mut forward: Forward, proposals: Vec<Proposal>) {
        let term = self.raft_status.term;
        let slots = proposals.iter().filter_map(|p| p.slot.as_ref());
        let request_ids: Vec<_> = slots.map(Slot::request_id).collect();
        // The applier must have the proposals before an entry can bring their outcome.
        self.tell_applier(vec![ToApply::Forwarded { term, proposals }]);
        self.forwarded_unanswered = true;
        forward.term = term.0;
        if !self.send(self.raft_status.leader, Content::Forward(forward)) {
            // The leader is still the leader and this member will soon reach it again, so a retry
            // at the next tick is early enough.
            let reason = Reason::NotLeader.into();
            self.tell_applier(vec![ToApply::Refused(Refusal {
                term: term.0,
                request_ids: bare(&request_ids),
                reason,
            })]);
        }
    }

    /// Handles a change of the leader or of its term. `led`: this member was the leader before.
    pub(super) fn leader_changed(&mut self, led: bool) {
        let mut forwarded = Vec::new();
        for Placed {
            position,
            proposals,
        } in self.placed.drain(..)
        {
            let term = position.term;
            forwarded.push(ToApply::Forwarded { term, proposals });
        }
        if !forwarded.is_empty() {
            self.forwarded_unanswered = true;
            self.tell_applier(forwarded);
        }
        if led {
            self.end_traces();
            // These were sent to the leader of that term only and are not in the log. The members
            // that forwarded them propose them again.
            self.pending.retain(|proposal| proposal.slot.is_some());
            self.changes.retain(|proposal| proposal.slot.is_some());
            self.relayed = Relayed::default();
        }
        self.end_pipelines();
        self.release_held_back();
    }

    pub(super) fn release_held_back(&mut self) {
        for mut proposal in self.held_back.drain(..) {
            proposal.forwarding = Span::none();
            match proposal.payload {
                Payload::Command(_) => self.pending.push_back(proposal),
                Payload::Change(_) => self.changes.push_back(proposal),
            }
        }
    }

    /// Drops proposals whose callers have given up.
    pub(super) fn forget_abandoned(&mut self) {
        self.pending.retain(|proposal| !proposal.is_abandoned());
        self.changes.retain(|proposal| !proposal.is_abandoned());
        self.end_pipelines();
        if self.forwarded_unanswered {
            // Sweep once more after this member has become the leader; the applier then has nothing
            // to drop.
            self.forwarded_unanswered = !self.raft_status.is_leader;
            self.tell_applier(vec![ToApply::Sweep]);
        }
    }

    fn log_lost(&self, expected: Index, last_index: Index) -> Fault {
        let id = self.parts.member_id;
        Fault::Damaged {
            path: "log".into(),
            detail: format!(
                "this member, {id}, acknowledged log entries up to {expected} and its log ends at \
                 {last_index}: its data was lost or replaced, if it says so after a restart as well"
            ),
        }
    }
}

/// The ids as a message has them.
fn bare(request_ids: &[RequestId]) -> Vec<u64> {
    request_ids.iter().map(|id| id.0).collect()
}

/// Returns how many pending commands go into the next entry, and if they fill it.
fn next_pack(pending: &VecDeque<Proposal>) -> (usize, bool) {
    let mut bytes = 0;
    for (count, proposal) in (1..).zip(pending) {
        bytes += proposal.framed().len();
        if bytes >= limits::ENTRY_BYTES_MAX || count >= limits::ENTRY_COMMANDS_MAX {
            return (count, true);
        }
    }
    (pending.len(), false)
}
