//! When the time a lease has left is noted in its record, and when that note must be taken back.
//!
//! Without notes every leader begins every lease anew, so a lease nobody renews lives on for as
//! long as leaders change often enough. A *checkpoint* puts the time left into the state, where the
//! next leader begins with it.
//!
//! ```text
//! granted ──interval──▶ note: 300 s left ──interval──▶ ...        while more than one is left
//!                              │
//!                          keep-alive ──▶ take the note back, in the log ──▶ answer
//! ```
//!
//! A lease is noted when it was not renewed for an interval and lives for more than another one. So
//! one that is renewed often costs nothing, and neither does a short one.
//!
//! # Never early
//!
//! A note is a promise to end the lease, a renewal one not to. Where they cross, the renewal must
//! win under every later leader, so it is answered only after the note was taken back by an entry
//! of the same term. For that the leader must know of every note that may be in the log or on its
//! way. Each batch of notes has a number, given out in the order of the log, and `noted` is the
//! last one for a lease that may come to pass; a taking-back with a higher number, once applied,
//! ends it. A batch that failed leaves its number where it is: a needless taking-back does no harm.
//!
//! Notes of earlier leaders come with the lease, from the state ([`FOUND`]), or, for one granted
//! while the state was catching up, as an effect of the entry.
//!
//! The number of seconds is rounded up, and the new leader adds its grace.

use std::collections::BTreeSet;
use std::time::Duration;

use conclave_storage::LeaseId;

use super::{Deadlines, Reign};
use crate::clock::Moment;

/// The number of a note that another leader made.
pub(super) const FOUND: u64 = 1;

/// Which leases are noted when.
#[derive(Debug)]
pub(super) struct Schedule {
    interval: Option<Duration>,
    queue: BTreeSet<(Moment, LeaseId)>,
    last_number: u64,
}

impl Schedule {
    pub(super) fn new(interval: Option<Duration>) -> Schedule {
        Schedule {
            interval,
            queue: BTreeSet::new(),
            last_number: FOUND,
        }
    }

    pub(super) fn next(&self) -> Option<Moment> {
        self.queue.first().map(|&(at, _)| at)
    }

    /// Schedules a lease that runs to `ends`, an interval after `from`. `None`: it is not worth it.
    pub(super) fn add(&mut self, id: LeaseId, from: Moment, ends: Moment) -> Option<Moment> {
        let at = from.after(self.interval?);
        if at >= ends {
            return None;
        }
        self.queue.insert((at, id));
        Some(at)
    }

    pub(super) fn remove(&mut self, at: Option<Moment>, id: LeaseId) {
        if let Some(at) = at {
            self.queue.remove(&(at, id));
        }
    }
}

impl Deadlines {
    /// At most `max` leases whose time is to be noted, with the whole seconds they have left. They
    /// are scheduled anew whatever becomes of the proposal, which must come into the log before any
    /// taking-back that begins later.
    pub(crate) fn due_checkpoints(&mut self, now: Moment, max: usize) -> Vec<(LeaseId, i64)> {
        let Some(reign) = &mut self.reign else {
            return Vec::new();
        };
        let mut due = Vec::new();
        while due.len() < max
            && let Some(&(at, id)) = reign.checkpoints.queue.first()
            && at <= now
        {
            reign.checkpoints.queue.pop_first();
            due.extend(reign.note(now, id));
        }
        if !due.is_empty() {
            reign.checkpoints.last_number += 1;
        }
        due
    }

    /// A live lease's note is to be taken back, if there may be one: the number to confirm that
    /// with, by [`Deadlines::taken_back`].
    pub(crate) fn take_back(&mut self, id: LeaseId) -> Option<u64> {
        let reign = self.reign.as_mut()?;
        if reign.leases.get(&id)?.noted == 0 {
            return None;
        }
        reign.checkpoints.last_number += 1;
        Some(reign.checkpoints.last_number)
    }

    /// What was taken back under this number is gone, if the term is still the same.
    pub(crate) fn taken_back(&mut self, term: u64, id: LeaseId, number: u64) {
        if let Some(reign) = &mut self.reign
            && reign.term == term
            && let Some(lease) = reign.leases.get_mut(&id)
            && lease.noted < number
        {
            lease.noted = 0;
        }
    }

    /// A note was applied. It may be one that this leader did not make.
    pub(crate) fn checkpointed(&mut self, id: LeaseId, remaining_seconds: i64) {
        if remaining_seconds != 0
            && let Some(reign) = &mut self.reign
            && let Some(lease) = reign.leases.get_mut(&id)
        {
            lease.noted = lease.noted.max(FOUND);
        }
    }
}

impl Reign {
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

    /// A leader since 0 that notes every 300 seconds.
    fn leading() -> Deadlines {
        let mut deadlines = Deadlines::new(Some(seconds(300)));
        deadlines.promote(1, 1, at(0), seconds(1));
        deadlines.load([], true);
        deadlines
    }

    fn found(left: Option<u64>) -> Found {
        Found {
            id: A,
            ttl: seconds(1000),
            granted_index: 1,
            left: left.map(seconds),
        }
    }

    #[test]
    fn a_lease_is_noted_each_interval_while_it_has_more_than_one_left() {
        let mut deadlines = leading();
        deadlines.granted(at(0), A, seconds(900), 0);
        deadlines.granted(at(0), B, seconds(300), 0);
        assert_eq!(deadlines.next(), Some(at(300)));
        assert!(deadlines.due_checkpoints(at(299), ALL).is_empty());
        assert_eq!(deadlines.due_checkpoints(Moment(300_001), ALL), [(A, 600)]);
        assert_eq!(deadlines.due(at(300), ALL), [B]);
        // One millisecond before the second interval would end with the lease.
        assert!(deadlines.due_checkpoints(at(600), ALL).is_empty());
        assert_eq!(deadlines.due_checkpoints(at(601), ALL), [(A, 299)]);
        assert_eq!(deadlines.next(), Some(at(900)));
    }

    #[test]
    fn notes_come_in_batches() {
        let mut deadlines = leading();
        for id in 0..25 {
            deadlines.granted(at(0), LeaseId(id), seconds(900), 0);
        }
        let batches = [10, 10, 5, 0];
        assert!(
            batches
                .iter()
                .all(|&size| deadlines.due_checkpoints(at(300), 10).len() == size)
        );
    }

    #[test]
    fn a_lease_renewed_often_is_never_noted() {
        let mut deadlines = leading();
        deadlines.granted(at(0), A, seconds(900), 0);
        for second in (200..2000).step_by(200) {
            deadlines.keep_alive(at(second), A);
            assert!(deadlines.due_checkpoints(at(second + 100), ALL).is_empty());
            assert_eq!(deadlines.take_back(A), None);
        }
    }

    #[test]
    fn a_renewal_takes_back_what_was_noted() {
        let mut deadlines = leading();
        deadlines.granted(at(0), A, seconds(900), 0);
        deadlines.due_checkpoints(at(300), ALL);
        deadlines.keep_alive(at(400), A);
        let number = deadlines.take_back(A).expect("noted");
        // Until that is known to have come to pass, the next renewal must do it again.
        assert!(deadlines.take_back(A).is_some());
        deadlines.taken_back(1, A, number);
        assert_eq!(deadlines.take_back(A), None);
    }

    /// Another note may be on its way before the first was taken back: that one stands.
    #[test]
    fn a_note_made_meanwhile_is_not_taken_back_with_the_one_before() {
        let mut deadlines = leading();
        deadlines.granted(at(0), A, seconds(900), 0);
        deadlines.due_checkpoints(at(300), ALL);
        deadlines.keep_alive(at(400), A);
        let number = deadlines.take_back(A).expect("noted");
        assert_eq!(deadlines.due_checkpoints(at(700), ALL), [(A, 600)]);
        deadlines.taken_back(1, A, number);
        assert!(deadlines.take_back(A).is_some());
    }

    /// What an earlier reign of this member has confirmed says nothing of what it found later.
    #[test]
    fn a_confirmation_from_another_term_is_void() {
        let mut deadlines = leading();
        deadlines.promote(3, 1, at(0), seconds(1));
        deadlines.load([found(Some(10))], true);
        deadlines.taken_back(1, A, 99);
        assert!(deadlines.take_back(A).is_some());
    }

    #[test]
    fn a_new_leader_begins_with_what_is_left() {
        let mut deadlines = leading();
        deadlines.promote(2, 1, at(5000), seconds(1));
        deadlines.load([found(Some(400))], true);
        let ends = at(5401);
        assert_eq!(
            deadlines.look_up(at(5000), A),
            Known::Live(ends, seconds(1000))
        );
        // Renewed, it has its full length again, and the note must go.
        deadlines.keep_alive(at(5100), A);
        assert!(deadlines.take_back(A).is_some());
        assert_eq!(deadlines.due(at(6099), ALL), []);
    }

    /// The gate may differ from member to member while a cluster is being configured.
    #[test]
    fn a_leader_that_makes_no_notes_takes_them_back_all_the_same() {
        let mut deadlines = Deadlines::new(None);
        deadlines.promote(2, 1, at(0), seconds(1));
        deadlines.load([found(Some(400))], true);
        let ends = at(1001);
        assert_eq!(
            deadlines.look_up(at(0), A),
            Known::Live(ends, seconds(1000))
        );
        assert!(deadlines.due_checkpoints(at(900), ALL).is_empty());
        assert!(deadlines.take_back(A).is_some());
    }

    /// A grant and a note of it by an earlier leader, both applied only now.
    #[test]
    fn a_note_that_comes_as_an_effect_is_known() {
        let mut deadlines = leading();
        deadlines.granted(at(0), A, seconds(900), 0);
        deadlines.checkpointed(A, 0);
        assert_eq!(deadlines.take_back(A), None);
        deadlines.checkpointed(A, 600);
        assert!(deadlines.take_back(A).is_some());
        // Granted anew, it is another lease.
        deadlines.granted(at(0), A, seconds(900), 0);
        assert_eq!(deadlines.take_back(A), None);
    }
}
