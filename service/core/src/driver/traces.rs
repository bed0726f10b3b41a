//! Spans of traced commands from their place in the log until the other members have them, and the
//! span of an election.

use std::collections::VecDeque;

use conclave_storage::log::Append;
use conclave_storage::{Index, MemberId};

use super::Driver;
use crate::clock::Moment;
use crate::consensus::Position;
use crate::limits;
use crate::proposal::Proposal;
use crate::trace::Span;

/// The spans. Empty, and without a cost, while nothing is traced.
#[derive(Default)]
pub(super) struct Traces {
    /// In the order of the log.
    commands: VecDeque<Traced>,
    election: Span,
}

/// A traced command that this leader has put into the log.
struct Traced {
    position: Position,
    /// The command's span. Dropped once it is committed: if the command is another member's, its
    /// part here ends with that.
    span: Span,
    is_appended: bool,
    /// The members that lack the entry, each with the span of its getting it.
    replicas: Vec<(MemberId, Span)>,
    /// When waiting for the others ends: one may be away for days.
    until: Moment,
}

impl Traces {
    fn place(&mut self, position: Position, span: &Span, others: &[MemberId], until: Moment) {
        if self.commands.len() >= limits::TRACED_COMMANDS_MAX {
            self.commands.pop_front();
        }
        span.set("index", position.index.0);
        span.set("term", position.term.0);
        let replicas = others.iter().map(|&member| {
            let replica = span.child("replicate");
            replica.set("member", member);
            (member, replica)
        });
        self.commands.push_back(Traced {
            position,
            span: span.clone(),
            is_appended: false,
            replicas: replicas.collect(),
            until,
        });
    }

    /// Begins the spans of this append.
    fn append(&mut self, append: &Append) -> Vec<Span> {
        let (Some(first), Some(last)) = (append.entries.first(), append.entries.last()) else {
            return Vec::new();
        };
        let entries = first.index..=last.index;
        let traced = self.commands.iter_mut();
        let traced = traced.filter(|one| !one.is_appended && entries.contains(&one.position.index));
        let begin = |one: &mut Traced| {
            one.is_appended = true;
            let span = one.span.child("append");
            span.set("synced", append.sync);
            span
        };
        traced.map(begin).collect()
    }

    /// Ends the spans of what is replicated, and forgets what is done or given up.
    fn follow(
        &mut self,
        committed: Index,
        now: Moment,
        matched: impl Fn(MemberId) -> Option<Index>,
    ) {
        self.commands.retain_mut(|one| {
            let index = one.position.index;
            one.replicas.retain(|(member, span)| {
                let has_it = matched(*member).is_some_and(|matched| matched >= index);
                if !has_it && now >= one.until {
                    span.fail();
                }
                !has_it
            });
            if committed >= index {
                one.span = Span::none();
            }
            now < one.until && (one.span.is_recording() || !one.replicas.is_empty())
        });
    }
}

impl Driver {
    /// Traces those of these proposals that are traced, from their place in the log on.
    pub(super) fn trace(&mut self, position: Position, proposals: &[Proposal]) {
        let mut traced = proposals
            .iter()
            .filter(|one| one.span.is_recording())
            .peekable();
        if traced.peek().is_none() {
            return;
        }
        let others = self.membership.others(self.parts.member_id);
        let until = self.parts.clock.now().after(self.parts.election_timeout);
        for proposal in traced {
            self.traces.place(position, &proposal.span, &others, until);
        }
    }

    /// Begins the spans of this append.
    pub(super) fn trace_append(&mut self, append: &Append) -> Vec<Span> {
        match self.traces.commands.is_empty() {
            true => Vec::new(),
            false => self.traces.append(append),
        }
    }

    /// Follows the traced commands to the other members.
    pub(super) fn follow_traces(&mut self) {
        if self.traces.commands.is_empty() {
            return;
        }
        let (node, now) = (&self.parts.node, self.parts.clock.now());
        let matched = |member| node.matched(member);
        self.traces.follow(node.committed_index(), now, matched);
    }

    /// Ends the spans of a leader that is none any longer.
    pub(super) fn end_traces(&mut self) {
        self.traces.commands.clear();
    }

    /// Begins the span of an election when there is no leader, and ends it when there is one.
    pub(super) fn trace_election(&mut self) {
        let status = self.raft_status;
        let has_leader = status.leader != MemberId::NONE;
        let span = &mut self.traces.election;
        if has_leader {
            span.set("term", status.term.0);
            span.set("member", status.leader);
            *span = Span::none();
        } else if !span.is_recording() {
            *span = self.parts.observer.begin("election");
        }
    }
}
