//! Read-index rounds: which index must be applied before a linearizable read may look.
//!
//! All reads that wait when a round begins share it: one exchange of heartbeats with a majority
//! serves them all, and reads that come meanwhile go into the next. [`Reads`] is the bookkeeping,
//! pure; [`super::node::Node`] asks raft.
//!
//! # Why a context is used once
//!
//! Raft names a round by the context we give it and keeps rounds in a map by that name. A name used
//! twice meets the acknowledgements of its first use, which may be older than the reads that wait
//! now. So a name is (member, boot, counter), and an answer counts only if it is for the round in
//! progress and leader and term are those under which it was asked.
//!
//! Raft drops a read silently when there is no leader or the leader has not yet committed in its
//! term, and messages are lost. So a round without an answer is asked for again after
//! [`Reads::patience_ticks`], under another name. It keeps the names it had: where an answer takes
//! longer than the patience, the first one still comes, and it is right, since all reads of a round
//! began before any of its names was given.

use std::collections::VecDeque;

use super::Standing;

/// Names of a round that an answer may come under. With two ticks between them this is the time a
/// request may take, and more.
const NAMES_MAX: usize = 128;

/// Names a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// Who asks.
    pub member_id: u64,
    /// Which life of the member.
    pub boot_id: u64,
    /// Which round of that life.
    pub counter: u64,
}

impl Context {
    /// 24 bytes, big-endian.
    pub fn encode(self) -> Vec<u8> {
        [self.member_id, self.boot_id, self.counter]
            .iter()
            .flat_map(|n| n.to_be_bytes())
            .collect()
    }
}

/// See the module. `S` is whatever waits.
#[derive(Debug)]
pub struct Reads<S> {
    next: Context,
    patience_ticks: u32,
    waiting: Vec<S>,
    round: Option<Round<S>>,
}

#[derive(Debug)]
struct Round<S> {
    /// What it was asked for under, at most [`NAMES_MAX`], the latest last.
    names: VecDeque<Context>,
    standing: Standing,
    ticks: u32,
    /// The patience is over: it is to be asked for again.
    is_late: bool,
    slots: Vec<S>,
}

impl<S> Reads<S> {
    /// Nobody waits. `boot_id` must differ from that of every other life of the member.
    pub fn new(member_id: u64, boot_id: u64, patience_ticks: u32) -> Reads<S> {
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

    /// More reads wait.
    pub fn add(&mut self, slots: Vec<S>) {
        if self.waiting.is_empty() {
            self.waiting = slots;
        } else {
            self.waiting.extend(slots);
        }
    }

    /// The context to ask raft with, if there is a leader to ask, and reads wait and no round is in
    /// progress, or it is late.
    pub fn begin(&mut self, standing: Standing) -> Option<Context> {
        let nothing_to_ask = match &self.round {
            Some(round) => !round.is_late,
            None => self.waiting.is_empty(),
        };
        if nothing_to_ask || standing.leader == 0 {
            return None;
        }
        let context = self.next;
        if !cfg!(conclave_bug = "read_context_twice") {
            self.next.counter += 1;
        }
        let waiting = &mut self.waiting;
        let round = self.round.get_or_insert_with(|| Round {
            names: VecDeque::new(),
            standing,
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

    /// Whether a round is in progress: reads that come wait for its end.
    pub fn is_asking(&self) -> bool {
        self.round.is_some()
    }

    /// Raft's answer: the reads it is for. Empty for an answer to a round that is no more.
    pub fn answered(&mut self, context: &[u8], standing: Standing) -> Vec<S> {
        let is_of = |round: &mut Round<S>| round.names.iter().any(|name| name.encode() == context);
        match self.round.take_if(is_of) {
            Some(round) if round.is_under(standing) => round.slots,
            Some(round) => {
                self.again(round);
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    /// Leader or term may have changed: a round begun under another is given up.
    pub fn standing_changed(&mut self, standing: Standing) {
        if let Some(round) = self.round.take_if(|round| !round.is_under(standing)) {
            self.again(round);
        }
    }

    /// Time passes: a round without an answer is asked for again.
    pub fn tick(&mut self) {
        if let Some(round) = &mut self.round {
            round.ticks += 1;
            if round.ticks >= self.patience_ticks {
                round.ticks = 0;
                round.is_late = true;
            }
        }
    }

    /// Removes those that gave up, so that a member without a leader does not gather them.
    pub fn retain(&mut self, mut keep: impl FnMut(&S) -> bool) {
        self.waiting.retain(&mut keep);
        if let Some(round) = &mut self.round {
            round.slots.retain(keep);
        }
        self.round.take_if(|round| round.slots.is_empty());
    }

    /// Everybody, at the end.
    pub fn drain(&mut self) -> Vec<S> {
        if let Some(round) = self.round.take() {
            self.again(round);
        }
        std::mem::take(&mut self.waiting)
    }

    /// Reads waiting or in a round.
    pub fn len(&self) -> usize {
        self.waiting.len() + self.round.as_ref().map_or(0, |round| round.slots.len())
    }

    /// True when nobody waits.
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
    fn is_under(&self, standing: Standing) -> bool {
        self.standing.leader == standing.leader && self.standing.term == standing.term
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LED_BY_2: Standing = Standing {
        term: 5,
        leader: 2,
        is_leader: false,
        is_learner: false,
        is_sole_voter: false,
    };

    fn reads(slots: Vec<u32>) -> Reads<u32> {
        let mut reads = Reads::new(1, 77, 3);
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
        let later = Standing {
            term: 6,
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
            // It came after the first was asked: none of these answers is for it.
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
            reads.begin(Standing {
                leader: 0,
                ..LED_BY_2
            }),
            None
        );
        reads.retain(|&slot| slot == 2);
        assert_eq!(reads.drain(), [2]);
    }
}
