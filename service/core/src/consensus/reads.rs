//! Read-index rounds, which find the index to apply before a linearizable read is served.
//!
//! All reads that are waiting when a round starts share that round: one exchange of heartbeats with
//! a majority serves all of them, and reads that arrive meanwhile join the next round. [`Reads`]
//! does the bookkeeping, without I/O; [`super::node::Node`] sends the requests to raft.
//!
//! # Why a context is used once
//!
//! Raft identifies a round by the context we pass, and keeps pending rounds in a map keyed by it.
//! If a context were used twice, the second round could count acknowledgements of the first, which
//! may be older than the waiting reads. So a context is (member, boot, counter). An answer counts
//! only if it is for the round in progress, and if leader and term are the same as when the round
//! was started.
//!
//! Raft drops a read silently when there is no leader or the leader has not yet committed in its
//! term, and messages can be lost. So a round without an answer is requested again after
//! [`Reads::patience_ticks`], under a new context. The round keeps its earlier contexts: if an
//! answer takes longer than the patience, the answer to the first request still arrives and is
//! correct, since all reads of the round began before any of its contexts was created.

use std::collections::VecDeque;

use conclave_storage::MemberId;

use super::RaftStatus;

/// Largest number of contexts under which a round accepts an answer. At two ticks per context, this
/// covers more than the longest time a request may take.
const NAMES_MAX: usize = 128;

/// Identifier of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// Id of the member that asks.
    pub member_id: MemberId,
    /// Id of this start of the member.
    pub boot_id: u64,
    /// Number of the round since this start.
    pub counter: u64,
}

impl Context {
    /// Encodes the context as 24 bytes, big-endian.
    pub fn encode(self) -> Vec<u8> {
        [self.member_id.0, self.boot_id, self.counter]
            .iter()
            .flat_map(|n| n.to_be_bytes())
            .collect()
    }
}

/// Bookkeeping of read-index rounds. `S` is the waiting read.
#[derive(Debug)]
pub struct Reads<S> {
    next: Context,
    patience_ticks: u32,
    waiting: Vec<S>,
    round: Option<Round<S>>,
}

#[derive(Debug)]
struct Round<S> {
    /// Contexts of the round's requests, at most [`NAMES_MAX`], the latest last.
    names: VecDeque<Context>,
    raft_status: RaftStatus,
    ticks: u32,
    /// The patience has run out: the round must be requested again.
    is_late: bool,
    slots: Vec<S>,
}

impl<S> Reads<S> {
    /// Creates the bookkeeping without waiting reads. `boot_id` must differ for every start of the
    /// member.
    pub fn new(member_id: MemberId, boot_id: u64, patience_ticks: u32) -> Reads<S> {
        let next = Context {
            member_id,
            boot_id,
            counter: 1,
        };
        Reads {
            next,
            patience_ticks,
            waiting: Vec::new(),
            round: None,
        }
    }

    /// Adds waiting reads.
    pub fn add(&mut self, slots: Vec<S>) {
        if self.waiting.is_empty() {
            self.waiting = slots;
        } else {
            self.waiting.extend(slots);
        }
    }

    /// Returns the context for the next request to raft. Returns `None` without a leader, if no
    /// reads wait, or while a round is in progress that is not late.
    pub fn begin(&mut self, raft_status: RaftStatus) -> Option<Context> {
        let nothing_to_ask = match &self.round {
            Some(round) => !round.is_late,
            None => self.waiting.is_empty(),
        };
        if nothing_to_ask || raft_status.leader == MemberId::NONE {
            return None;
        }
        let context = self.next;
        if !cfg!(conclave_bug = "read_context_twice") {
            self.next.counter += 1;
        }
        let waiting = &mut self.waiting;
        let round = self.round.get_or_insert_with(|| Round {
            names: VecDeque::new(),
            raft_status,
            ticks: 0,
            is_late: false,
            slots: std::mem::take(waiting),
        });
        round.is_late = false;
        if round.names.len() == NAMES_MAX {
            round.names.pop_front();
        }
        round.names.push_back(context);
        Some(context)
    }

    /// Returns true while a round is in progress: new reads wait for its end.
    pub(crate) fn is_asking(&self) -> bool {
        self.round.is_some()
    }

    /// Processes raft's answer and returns the reads it serves. Returns none if the answer belongs
    /// to a round that has ended.
    pub fn answered(&mut self, context: &[u8], raft_status: RaftStatus) -> Vec<S> {
        let is_of = |round: &mut Round<S>| round.names.iter().any(|name| name.encode() == context);
        match self.round.take_if(is_of) {
            Some(round) if round.is_under(raft_status) => round.slots,
            Some(round) => {
                self.again(round);
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    /// Notes a possible change of leader or term: a round started under another leader or term is
    /// abandoned, and its reads wait for the next round.
    pub(crate) fn raft_status_changed(&mut self, raft_status: RaftStatus) {
        if let Some(round) = self.round.take_if(|round| !round.is_under(raft_status)) {
            self.again(round);
        }
    }

    /// Counts a tick. A round without an answer in time is marked to be requested again.
    pub fn tick(&mut self) {
        if let Some(round) = &mut self.round {
            round.ticks += 1;
            if round.ticks >= self.patience_ticks {
                round.ticks = 0;
                round.is_late = true;
            }
        }
    }

    /// Removes reads whose callers have given up, so that they do not accumulate on a member
    /// without a leader.
    pub fn retain(&mut self, mut keep: impl FnMut(&S) -> bool) {
        self.waiting.retain(&mut keep);
        if let Some(round) = &mut self.round {
            round.slots.retain(keep);
        }
        self.round.take_if(|round| round.slots.is_empty());
    }

    /// Removes and returns all reads, at shutdown.
    pub fn drain(&mut self) -> Vec<S> {
        if let Some(round) = self.round.take() {
            self.again(round);
        }
        std::mem::take(&mut self.waiting)
    }

    /// Returns the number of reads that wait or are in a round.
    pub fn len(&self) -> usize {
        self.waiting.len() + self.round.as_ref().map_or(0, |round| round.slots.len())
    }

    /// Returns true if there are no reads.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn again(&mut self, round: Round<S>) {
        let mut slots = round.slots;
        slots.append(&mut self.waiting);
        self.waiting = slots;
    }
}

impl<S> Round<S> {
    fn is_under(&self, raft_status: RaftStatus) -> bool {
        self.raft_status.leader == raft_status.leader && self.raft_status.term == raft_status.term
    }
}

#[cfg(test)]
mod tests {
    use conclave_storage::Term;

    use super::*;

    const LED_BY_2: RaftStatus = RaftStatus {
        term: Term(5),
        leader: MemberId(2),
        is_leader: false,
        is_learner: false,
        is_sole_voter: false,
    };

    fn reads(slots: Vec<u32>) -> Reads<u32> {
        let mut reads = Reads::new(MemberId(1), 77, 3);
        reads.add(slots);
        reads
    }

    #[test]
    fn reads_that_wait_share_a_round_and_later_ones_the_next() {
        let mut reads = reads(vec![1, 2]);
        let first = reads.begin(LED_BY_2).expect("two wait");
        reads.add(vec![3]);
        assert_eq!(reads.begin(LED_BY_2), None);
        assert_eq!(reads.answered(&first.encode(), LED_BY_2), [1, 2]);
        let second = reads.begin(LED_BY_2).expect("one waits");
        assert_ne!(first, second);
        assert_eq!(reads.answered(&second.encode(), LED_BY_2), [3]);
        assert!(reads.is_empty());
    }

    #[test]
    fn a_round_begun_under_another_term_does_not_count() {
        let mut reads = reads(vec![1]);
        let context = reads.begin(LED_BY_2).expect("one waits");
        let later = RaftStatus {
            term: Term(6),
            ..LED_BY_2
        };
        assert_eq!(reads.answered(&context.encode(), later), [] as [u32; 0]);
        let again = reads.begin(later).expect("it waits again");
        assert_eq!(reads.answered(&again.encode(), later), [1]);
    }

    #[test]
    fn an_answer_may_take_longer_than_the_patience() {
        let mut reads = reads(vec![1]);
        let mut names = Vec::new();
        for _ in 0..5 {
            names.extend(reads.begin(LED_BY_2));
            // Read 2 arrived after the round started, so none of these answers serves it.
            reads.add(vec![2]);
            assert_eq!(reads.begin(LED_BY_2), None);
            (0..3).for_each(|_| reads.tick());
        }
        assert_eq!(names.len(), 5);
        assert_eq!(reads.answered(&names[1].encode(), LED_BY_2), [1]);
        for name in &names {
            assert_eq!(reads.answered(&name.encode(), LED_BY_2), [] as [u32; 0]);
        }
        let next = reads.begin(LED_BY_2).expect("they wait");
        assert!(!names.contains(&next));
        assert_eq!(reads.answered(&next.encode(), LED_BY_2), [2; 5]);
    }

    #[test]
    fn a_round_nobody_waits_for_ends() {
        let mut reads = reads(vec![1]);
        let name = reads.begin(LED_BY_2).expect("one waits");
        reads.retain(|_| false);
        assert!(!reads.is_asking());
        assert_eq!(reads.answered(&name.encode(), LED_BY_2), [] as [u32; 0]);
    }

    #[test]
    fn nothing_is_asked_without_a_leader() {
        let mut reads = reads(vec![1, 2]);
        assert_eq!(
            reads.begin(RaftStatus {
                leader: MemberId::NONE,
                ..LED_BY_2
            }),
            None
        );
        reads.retain(|&slot| slot == 2);
        assert_eq!(reads.drain(), [2]);
    }
}
