//! When the time that a lease has left is written to its record, and when that checkpoint must be
//! withdrawn.
//!
//! Without checkpoints every new leader gives each lease its full length, so a lease that no client
//! renews lives on for as long as leaders change often enough. A *checkpoint* puts the remaining
//! time into the state, and the next leader continues from it.
//!
//! ```text
//! granted ──interval──▶ checkpoint: 300 s left ──interval──▶ ...   while more than one is left
//!                              │
//!                          keep-alive ──▶ withdraw the checkpoint, in the log ──▶ answer
//! ```
//!
//! A lease gets a checkpoint if it was not renewed for an interval and ends more than an interval
//! later. So a lease that is renewed often costs nothing, and neither does a short one.
//!
//! # Never early
//!
//! A checkpoint lets the next leader end the lease early, and a renewal forbids that. Where the two
//! cross, the renewal must win under every later leader. So a renewal is answered only after an
//! entry of the same term has withdrawn the checkpoint. For that the leader must know every
//! checkpoint that may be in the log or on its way there. Each batch of checkpoints has a number,
//! assigned in the order of the log, and `noted` is the number of the last batch that may give the
//! lease a checkpoint. A withdrawal with a higher number, once applied, clears `noted`. A batch
//! that failed leaves `noted` as it is: a needless withdrawal does no harm.
//!
//! Checkpoints of earlier leaders come with the lease from the state ([`FOUND`]) or, for a lease
//! that was granted while the state was catching up, as an effect of the entry.
//!
//! The number of seconds is rounded up, and the new leader adds its grace.

use std::time::Duration;

use conclave_storage::{LeaseId, Term};

use super::super::deadlines::Deadlines;
use super::{Leadership, Leading};
use crate::clock::Moment;

/// The number of a checkpoint that another leader made.
pub(super) const FOUND: u64 = 1;

/// The next checkpoint of each lease that is to have one.
#[derive(Debug)]
pub(super) struct Schedule {
    interval: Option<Duration>,
    queue: Deadlines<LeaseId>,
    last_number: u64,
}

impl Schedule {
    pub(super) fn new(interval: Option<Duration>) -> Schedule {
        Schedule {
            interval,
            queue: Deadlines::default(),
            last_number: FOUND,
        }
    }

    pub(super) fn next(&self) -> Option<Moment> {
        self.queue.next()
    }

    /// Schedules a lease that ends at `ends`, an interval after `from`. Returns `None` if the lease
    /// is to have no checkpoint.
    pub(super) fn add(&mut self, id: LeaseId, from: Moment, ends: Moment) -> Option<Moment> {
        let at = from.after(self.interval?);
        if at >= ends {
            return None;
        }
        self.queue.insert(at, id);
        Some(at)
    }

    pub(super) fn remove(&mut self, at: Option<Moment>, id: LeaseId) {
        if let Some(at) = at {
            self.queue.remove(at, id);
        }
    }
}

impl Leadership {
    /// Returns at most `max` leases that are due for a checkpoint, with the whole seconds they have
    /// left, and schedules their next checkpoints, whatever becomes of the proposal. The proposal
    /// must come into the log before any withdrawal that begins later.
    pub(crate) fn due_checkpoints(&mut self, now: Moment, max: usize) -> Vec<(LeaseId, i64)> {
        let Some(leading) = &mut self.leading else {
            return Vec::new();
        };
        let mut due = Vec::new();
        while due.len() < max
            && let Some(id) = leading.checkpoints.queue.pop(now)
        {
            due.extend(leading.note(now, id));
        }
        if !due.is_empty() {
            leading.checkpoints.last_number += 1;
        }
        due
    }

    /// Begins to withdraw the checkpoint of a live lease, if it may have one. Returns the number
    /// with which the caller confirms that by [`Leadership::taken_back`].
    pub(crate) fn take_back(&mut self, id: LeaseId) -> Option<u64> {
        let leading = self.leading.as_mut()?;
        if leading.leases.get(&id)?.noted == 0 {
            return None;
        }
        leading.checkpoints.last_number += 1;
        Some(leading.checkpoints.last_number)
    }

    /// The withdrawal with this number was applied. Has no effect if the term has changed.
    pub(crate) fn taken_back(&mut self, term: Term, id: LeaseId, number: u64) {
        if let Some(leading) = &mut self.leading
            && leading.term == term
            && let Some(lease) = leading.leases.get_mut(&id)
            && lease.noted < number
        {
            lease.noted = 0;
        }
    }

    /// A checkpoint was applied. An earlier leader may have proposed it.
    pub(crate) fn checkpointed(&mut self, id: LeaseId, remaining_seconds: i64) {
        if remaining_seconds != 0
            && let Some(leading) = &mut self.leading
            && let Some(lease) = leading.leases.get_mut(&id)
        {
            lease.noted = lease.noted.max(FOUND);
        }
    }
}

impl Leading {
    fn note(&mut self, now: Moment, id: LeaseId) -> Option<(LeaseId, i64)> {
        let lease = self.leases.get_mut(&id)?;
        lease.checkpoint_at = None;
        if now >= lease.at {
            return None;
        }
        lease.checkpoint_at = self.checkpoints.add(id, now, lease.at);
        lease.noted = self.checkpoints.last_number + 1;
        let left = lease.at.since(now).as_millis().div_ceil(1000);
        Some((id, i64::try_from(left).unwrap_or(i64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use conclave_storage::Index;

    use super::super::{Found, Known};
    use super::*;

    const A: LeaseId = LeaseId(1);
    const B: LeaseId = LeaseId(2);
    const ALL: usize = 10;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn at(second: u64) -> Moment {
        Moment(second * 1000)
    }

    /// A leader since 0 that makes checkpoints every 300 seconds.
    fn leading() -> Leadership {
        let mut leadership = Leadership::new(Some(seconds(300)));
        leadership.promote(Term(1), Index(1), at(0), seconds(1));
        leadership.load([], true);
        leadership
    }

    fn found(left: Option<u64>) -> Found {
        Found {
            id: A,
            ttl: seconds(1000),
            granted_index: Index(1),
            left: left.map(seconds),
        }
    }

    #[test]
    fn a_lease_gets_a_checkpoint_each_interval_while_it_has_more_than_one_left() {
        let mut leadership = leading();
        leadership.granted(at(0), A, seconds(900), Index::NONE);
        leadership.granted(at(0), B, seconds(300), Index::NONE);
        assert_eq!(leadership.next(), Some(at(300)));
        assert!(leadership.due_checkpoints(at(299), ALL).is_empty());
        assert_eq!(leadership.due_checkpoints(Moment(300_001), ALL), [(A, 600)]);
        assert_eq!(leadership.due(at(300), ALL), [B]);
        // One millisecond before the second interval would end with the lease.
        assert!(leadership.due_checkpoints(at(600), ALL).is_empty());
        assert_eq!(leadership.due_checkpoints(at(601), ALL), [(A, 299)]);
        assert_eq!(leadership.next(), Some(at(900)));
    }

    #[test]
    fn checkpoints_come_in_batches() {
        let mut leadership = leading();
        for id in 0..25 {
            leadership.granted(at(0), LeaseId(id), seconds(900), Index::NONE);
        }
        let batches = [10, 10, 5, 0];
        assert!(
            batches
                .iter()
                .all(|&size| leadership.due_checkpoints(at(300), 10).len() == size)
        );
    }

    #[test]
    fn a_lease_renewed_often_gets_no_checkpoint() {
        let mut leadership = leading();
        leadership.granted(at(0), A, seconds(900), Index::NONE);
        for second in (200..2000).step_by(200) {
            leadership.keep_alive(at(second), A);
            assert!(leadership.due_checkpoints(at(second + 100), ALL).is_empty());
            assert_eq!(leadership.take_back(A), None);
        }
    }

    #[test]
    fn a_renewal_withdraws_a_checkpoint() {
        let mut leadership = leading();
        leadership.granted(at(0), A, seconds(900), Index::NONE);
        leadership.due_checkpoints(at(300), ALL);
        leadership.keep_alive(at(400), A);
        let number = leadership.take_back(A).expect("it has a checkpoint");
        // Until that is known to have come to pass, the next renewal must do it again.
        assert!(leadership.take_back(A).is_some());
        leadership.taken_back(Term(1), A, number);
        assert_eq!(leadership.take_back(A), None);
    }

    /// Another checkpoint may be on its way before the first one was withdrawn: it stays.
    #[test]
    fn a_withdrawal_does_not_concern_a_later_checkpoint() {
        let mut leadership = leading();
        leadership.granted(at(0), A, seconds(900), Index::NONE);
        leadership.due_checkpoints(at(300), ALL);
        leadership.keep_alive(at(400), A);
        let number = leadership.take_back(A).expect("it has a checkpoint");
        assert_eq!(leadership.due_checkpoints(at(700), ALL), [(A, 600)]);
        leadership.taken_back(Term(1), A, number);
        assert!(leadership.take_back(A).is_some());
    }

    /// This member led in an earlier term, and its withdrawals from then do not concern what it
    /// found later.
    #[test]
    fn a_confirmation_from_another_term_is_void() {
        let mut leadership = leading();
        leadership.promote(Term(3), Index(1), at(0), seconds(1));
        leadership.load([found(Some(10))], true);
        leadership.taken_back(Term(1), A, 99);
        assert!(leadership.take_back(A).is_some());
    }

    #[test]
    fn a_new_leader_begins_with_what_is_left() {
        let mut leadership = leading();
        leadership.promote(Term(2), Index(1), at(5000), seconds(1));
        leadership.load([found(Some(400))], true);
        let ends = at(5401);
        assert_eq!(
            leadership.look_up(at(5000), A),
            Known::Live(ends, seconds(1000))
        );
        // Renewed, it has its full length again, and the checkpoint must be withdrawn.
        leadership.keep_alive(at(5100), A);
        assert!(leadership.take_back(A).is_some());
        assert_eq!(leadership.due(at(6099), ALL), []);
    }

    /// The gate may differ from member to member while a cluster is being configured.
    #[test]
    fn a_leader_that_makes_no_checkpoints_withdraws_those_of_others() {
        let mut leadership = Leadership::new(None);
        leadership.promote(Term(2), Index(1), at(0), seconds(1));
        leadership.load([found(Some(400))], true);
        let ends = at(1001);
        assert_eq!(
            leadership.look_up(at(0), A),
            Known::Live(ends, seconds(1000))
        );
        assert!(leadership.due_checkpoints(at(900), ALL).is_empty());
        assert!(leadership.take_back(A).is_some());
    }

    /// An earlier leader wrote a grant and a checkpoint, and both are applied only now.
    #[test]
    fn a_checkpoint_that_comes_as_an_effect_is_known() {
        let mut leadership = leading();
        leadership.granted(at(0), A, seconds(900), Index::NONE);
        leadership.checkpointed(A, 0);
        assert_eq!(leadership.take_back(A), None);
        leadership.checkpointed(A, 600);
        assert!(leadership.take_back(A).is_some());
        // Granted again, it is another lease.
        leadership.granted(at(0), A, seconds(900), Index::NONE);
        assert_eq!(leadership.take_back(A), None);
    }
}
