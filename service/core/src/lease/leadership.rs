//! The leader's knowledge of when leases end. Pure.
//!
//! A lease in the state has an id and a length. When it ends is known to the leader alone, and
//! every new leader gives each lease its full length again. [`Leadership`] is that knowledge: time
//! comes in as an argument, the due leases come out in batches, and every operation costs O(log n).
//!
//! # The life of a lease in this module
//!
//! ```text
//! granted ──▶ live ──deadline──▶ ending ──revoked (committed)──▶ gone
//!              ▲│                  │
//!     keep_alive└┘                 └─ proposal failed: due again later
//! ```
//!
//! A lease never goes back from *ending* to live: once it was returned as due, a keep-alive finds
//! it gone, whatever becomes of the proposal. Otherwise a leader could promise ten more seconds to
//! a client while the revoke is already in its log. Only a new leader, which begins with all leases
//! live, may find the lease alive again. That breaks no promise: the old leader reported to no
//! client that the lease had ended.
//!
//! With [`checkpoints`], a lease that no client renews does not get its full length from every new
//! leader.
//!
//! # Promotion
//!
//! A new leader may find a million leases. [`Leadership::promote`] only records the time;
//! [`Leadership::load`] takes in the leases page by page, in id order. Until the last page, an
//! unknown id may still be in the state: see [`Known`]. At the promotion the state may be behind,
//! and entries of earlier terms still grant leases and write checkpoints. So no lease is loaded
//! before the state has applied the first entry of the term ([`Leadership::begins_at`]).
//!
//! A loaded lease ends its full length and an election timeout after the promotion, however late
//! the lease was loaded. If that time has passed before the lease's page came, the lease is due at
//! once. That is right: for all that time, this leader has accepted keep-alives.

use std::collections::HashMap;
use std::time::Duration;

use conclave_storage::{Index, LeaseId, Term};

use super::deadlines::Deadlines;
use crate::clock::Moment;

mod checkpoints;

use checkpoints::Schedule;

/// A member's knowledge of when leases end; empty while the member is not the leader.
#[derive(Debug, Default)]
pub(crate) struct Leadership {
    /// Time between two checkpoints of a lease; `None` for no checkpoints.
    checkpoint_interval: Option<Duration>,
    leading: Option<Leading>,
}

/// The knowledge of the leader of one term.
#[derive(Debug)]
struct Leading {
    term: Term,
    begins_at: Index,
    since: Moment,
    /// Added to the first deadline of every loaded lease.
    grace: Duration,
    loading: Loading,
    /// Only looked up by id: its order is a random one.
    leases: HashMap<LeaseId, Lease>,
    /// The end of each live lease, and the retry of each ending lease whose proposal failed.
    ends: Deadlines<LeaseId>,
    checkpoints: Schedule,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loading {
    After(Option<LeaseId>),
    Done,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    ttl: Duration,
    /// Its deadline in `Leading::ends`.
    at: Moment,
    ending: bool,
    /// Its deadline in the schedule of checkpoints.
    checkpoint_at: Option<Moment>,
    /// The index of the entry that granted it: an id can be granted again after a revoke.
    granted_index: Index,
    /// Number of the last checkpoint that may be in the lease's record; 0 if there is none. See
    /// [`checkpoints`].
    noted: u64,
}

/// A lease as the state has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) id: LeaseId,
    pub(crate) ttl: Duration,
    /// The index of the entry that granted it.
    pub(crate) granted_index: Index,
    /// Time left at its last checkpoint, if it was not renewed since.
    pub(crate) left: Option<Duration>,
}

/// What a member knows of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// The lease ends at this moment, unless it is renewed; its full length.
    Live(Moment, Duration),
    /// The lease has ended, or there is none.
    Gone,
    /// Not loaded yet: the state must be asked.
    Ask,
    /// This member is not the leader.
    NotLeading,
}

impl Leadership {
    /// Creates the knowledge of a member that does not lead yet. For `checkpoint_interval`, see
    /// [`checkpoints`].
    pub(crate) fn new(checkpoint_interval: Option<Duration>) -> Leadership {
        Leadership {
            checkpoint_interval,
            leading: None,
        }
    }

    /// This member leads from `now` on, in a term whose first entry has the index `begins_at`.
    /// Everything known from an earlier term is dropped.
    pub(crate) fn promote(&mut self, term: Term, begins_at: Index, now: Moment, grace: Duration) {
        self.leading = Some(Leading {
            term,
            begins_at,
            since: now,
            grace,
            loading: Loading::After(None),
            leases: HashMap::new(),
            ends: Deadlines::default(),
            checkpoints: Schedule::new(self.checkpoint_interval),
        });
    }

    /// Returns the index that must be applied before leases are loaded from the state.
    pub(crate) fn begins_at(&self) -> Index {
        self.leading
            .as_ref()
            .map_or(Index::NONE, |leading| leading.begins_at)
    }

    /// Returns the term in which this member leads, or [`Term::NONE`].
    pub(crate) fn term(&self) -> Term {
        self.leading
            .as_ref()
            .map_or(Term::NONE, |leading| leading.term)
    }

    /// This member is not the leader any longer.
    pub(crate) fn demote(&mut self) {
        self.leading = None;
    }

    /// Returns the id after which the next page begins, if there is a page left to load.
    pub(crate) fn load_after(&self) -> Option<Option<LeaseId>> {
        match self.leading.as_ref()?.loading {
            Loading::After(id) => Some(id),
            Loading::Done => None,
        }
    }

    /// Takes in a page of leases in id order, as the state has them now. `last` if there are no
    /// more. The caller must hold the lock for [`Leadership::granted`] and [`Leadership::revoked`]
    /// since before it read the page, so that no change is lost between the two.
    pub(crate) fn load(&mut self, page: impl IntoIterator<Item = Found>, last: bool) {
        for found in page {
            self.load_one(found);
            if let Some(leading) = &mut self.leading {
                leading.loading = Loading::After(Some(found.id));
            }
        }
        if last && let Some(leading) = &mut self.leading {
            leading.loading = Loading::Done;
        }
    }

    /// Takes in one lease ahead of its page, under the same lock.
    pub(crate) fn load_one(&mut self, found: Found) {
        let Found {
            id,
            ttl,
            granted_index,
            left,
        } = found;
        if let Some(leading) = &mut self.leading
            && !leading.leases.contains_key(&id)
        {
            // A leader that makes no checkpoints ignores the time in those of other leaders. But a
            // renewal must withdraw them all the same, since the next leader may use them.
            let counts = left.filter(|_| self.checkpoint_interval.is_some());
            let since = leading.since;
            let at = since.after(leading.grace).after(counts.unwrap_or(ttl));
            let noted = match left {
                Some(_) => checkpoints::FOUND,
                None => 0,
            };
            leading.set(id, (ttl, granted_index), noted, since, at);
        }
    }

    /// A grant was applied, as the entry of this index.
    pub(crate) fn granted(&mut self, now: Moment, id: LeaseId, ttl: Duration, index: Index) {
        if let Some(leading) = &mut self.leading {
            leading.set(id, (ttl, index), 0, now, now.after(ttl));
        }
    }

    /// Returns the index of the entry that granted a known lease.
    pub(crate) fn granted_index(&self, id: LeaseId) -> Option<Index> {
        let lease = self.leading.as_ref()?.leases.get(&id)?;
        Some(lease.granted_index)
    }

    /// A revoke was applied.
    pub(crate) fn revoked(&mut self, id: LeaseId) {
        if let Some(leading) = &mut self.leading {
            leading.forget(id);
        }
    }

    /// Returns what is known of a lease at `now`. A lease past its deadline is gone, even before
    /// [`Leadership::due`] has returned it.
    pub(crate) fn look_up(&self, now: Moment, id: LeaseId) -> Known {
        let Some(leading) = &self.leading else {
            return Known::NotLeading;
        };
        match leading.leases.get(&id) {
            Some(lease) if !lease.ending && now < lease.at => Known::Live(lease.at, lease.ttl),
            Some(_) => Known::Gone,
            None if leading.loading == Loading::Done => Known::Gone,
            None => Known::Ask,
        }
    }

    /// Gives a live lease its full length from `now` on.
    pub(crate) fn keep_alive(&mut self, now: Moment, id: LeaseId) -> Known {
        let known = self.look_up(now, id);
        if let (Known::Live(_, ttl), Some(leading)) = (known, &mut self.leading) {
            let lease = leading.leases.get(&id).copied();
            let (index, noted) =
                lease.map_or((Index::NONE, 0), |lease| (lease.granted_index, lease.noted));
            leading.set(id, (ttl, index), noted, now, now.after(ttl));
            return Known::Live(now.after(ttl), ttl);
        }
        known
    }

    /// Returns when [`Leadership::due`] or [`Leadership::due_checkpoints`] will next return
    /// something.
    pub(crate) fn next(&self) -> Option<Moment> {
        let leading = self.leading.as_ref()?;
        let times = [leading.ends.next(), leading.checkpoints.next()];
        times.into_iter().flatten().min()
    }

    /// Returns at most `max` leases whose time is up, longest overdue first. They are ending from
    /// now on: the caller proposes their revocation, and then reports the outcome with
    /// [`Leadership::ended`] or [`Leadership::retry`].
    pub(crate) fn due(&mut self, now: Moment, max: usize) -> Vec<LeaseId> {
        let Some(leading) = &mut self.leading else {
            return Vec::new();
        };
        let mut due = Vec::new();
        while due.len() < max
            && let Some(id) = leading.ends.pop(now)
        {
            let lease = leading
                .leases
                .get_mut(&id)
                .expect("a lease with a deadline is in the map");
            lease.ending = true;
            let checkpoint_at = lease.checkpoint_at.take();
            leading.checkpoints.remove(checkpoint_at, id);
            due.push(id);
        }
        due
    }

    /// The revocation was applied. Forgets the leases that were gone from the state already, for
    /// which [`Leadership::revoked`] is not called. A lease that was granted again meanwhile is not
    /// ending, and stays.
    pub(crate) fn ended(&mut self, ids: &[LeaseId]) {
        let Some(leading) = &mut self.leading else {
            return;
        };
        for &id in ids {
            if leading.leases.get(&id).is_some_and(|lease| lease.ending) {
                leading.forget(id);
            }
        }
    }

    /// The proposal failed: the leases are due again at `at`.
    pub(crate) fn retry(&mut self, ids: &[LeaseId], at: Moment) {
        let Some(leading) = &mut self.leading else {
            return;
        };
        for &id in ids {
            if let Some(lease) = leading.leases.get_mut(&id)
                && lease.ending
            {
                lease.at = at;
                leading.ends.insert(at, id);
            }
        }
    }

    /// Returns the number of known leases.
    pub(crate) fn len(&self) -> usize {
        self.leading
            .as_ref()
            .map_or(0, |leading| leading.leases.len())
    }
}

impl Leading {
    /// Records a lease with its length and the index of its grant, whose time runs from `from` to
    /// `at`.
    fn set(
        &mut self,
        id: LeaseId,
        (ttl, granted_index): (Duration, Index),
        noted: u64,
        from: Moment,
        at: Moment,
    ) {
        self.forget(id);
        let checkpoint_at = self.checkpoints.add(id, from, at);
        let lease = Lease {
            ttl,
            at,
            ending: false,
            checkpoint_at,
            granted_index,
            noted,
        };
        self.leases.insert(id, lease);
        self.ends.insert(at, id);
    }

    fn forget(&mut self, id: LeaseId) {
        if let Some(lease) = self.leases.remove(&id) {
            self.ends.remove(lease.at, id);
            self.checkpoints.remove(lease.checkpoint_at, id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: LeaseId = LeaseId(1);
    const B: LeaseId = LeaseId(2);
    const C: LeaseId = LeaseId(3);

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn at(second: u64) -> Moment {
        Moment(second * 1000)
    }

    fn found(id: LeaseId, ttl: u64) -> Found {
        Found {
            id,
            granted_index: Index::NONE,
            ttl: seconds(ttl),
            left: None,
        }
    }

    fn leading() -> Leadership {
        let mut leadership = Leadership::default();
        leadership.promote(Term(1), Index(1), at(0), seconds(1));
        leadership.load([], true);
        leadership
    }

    #[test]
    fn leases_come_due_in_order_and_in_batches() {
        let mut leadership = leading();
        leadership.granted(at(0), B, seconds(5), Index::NONE);
        leadership.granted(at(0), A, seconds(5), Index::NONE);
        leadership.granted(at(0), C, seconds(2), Index::NONE);
        assert_eq!(leadership.next(), Some(at(2)));
        assert_eq!(leadership.due(at(1), 10), []);
        assert_eq!(leadership.due(at(9), 2), [C, A]);
        assert_eq!(leadership.due(at(9), 2), [B]);
        assert_eq!(leadership.next(), None);
    }

    #[test]
    fn keep_alive_gives_the_full_length_again() {
        let mut leadership = leading();
        leadership.granted(at(0), A, seconds(5), Index::NONE);
        assert_eq!(
            leadership.keep_alive(at(4), A),
            Known::Live(at(9), seconds(5))
        );
        assert_eq!(leadership.due(at(8), 10), []);
        assert_eq!(leadership.due(at(9), 10), [A]);
    }

    #[test]
    fn a_lease_past_its_deadline_cannot_be_kept_alive() {
        let mut leadership = leading();
        leadership.granted(at(0), A, seconds(5), Index::NONE);
        // Not handed out yet, and nevertheless over.
        assert_eq!(leadership.keep_alive(at(5), A), Known::Gone);
        assert_eq!(leadership.due(at(5), 10), [A]);
        assert_eq!(leadership.keep_alive(at(5), A), Known::Gone);
        leadership.retry(&[A], at(6));
        assert_eq!(leadership.keep_alive(at(5), A), Known::Gone);
        assert_eq!(leadership.due(at(6), 10), [A]);
    }

    #[test]
    fn a_revoke_of_what_was_gone_already_is_not_repeated() {
        let mut leadership = leading();
        leadership.granted(at(0), A, seconds(5), Index::NONE);
        assert_eq!(leadership.due(at(5), 10), [A]);
        leadership.ended(&[A]);
        assert_eq!(leadership.len(), 0);
    }

    #[test]
    fn a_lease_granted_anew_survives_the_end_of_its_namesake() {
        let mut leadership = leading();
        leadership.granted(at(0), A, seconds(5), Index::NONE);
        assert_eq!(leadership.due(at(5), 10), [A]);
        leadership.revoked(A);
        leadership.granted(at(6), A, seconds(5), Index::NONE);
        leadership.ended(&[A]);
        leadership.retry(&[A], at(7));
        assert_eq!(
            leadership.look_up(at(7), A),
            Known::Live(at(11), seconds(5))
        );
        assert_eq!(leadership.due(at(20), 10), [A]);
    }

    #[test]
    fn a_new_leader_counts_from_its_promotion() {
        let mut leadership = Leadership::default();
        leadership.promote(Term(1), Index(1), at(100), seconds(1));
        assert_eq!(leadership.load_after(), Some(None));
        assert_eq!(leadership.look_up(at(100), A), Known::Ask);
        leadership.load([found(A, 10)], false);
        assert_eq!(leadership.load_after(), Some(Some(A)));
        // Granted under this leader before its page came: the page does not shorten it.
        leadership.granted(at(109), B, seconds(10), Index::NONE);
        leadership.load([found(B, 10), found(C, 10)], true);
        assert_eq!(leadership.load_after(), None);
        assert_eq!(leadership.due(at(111), 10), [A, C]);
        assert_eq!(
            leadership.look_up(at(111), B),
            Known::Live(at(119), seconds(10))
        );
    }

    #[test]
    fn a_follower_remembers_nothing_and_ends_nothing() {
        let mut leadership = leading();
        leadership.granted(at(0), A, seconds(5), Index::NONE);
        leadership.demote();
        leadership.granted(at(0), B, seconds(5), Index::NONE);
        assert_eq!(leadership.due(at(99), 10), []);
        assert_eq!(leadership.keep_alive(at(1), A), Known::NotLeading);
        assert_eq!(leadership.len(), 0);
    }

    #[test]
    fn leadership_beyond_the_end_of_time_saturate() {
        let mut leadership = leading();
        leadership.granted(Moment(u64::MAX - 1), A, seconds(9_000_000_000), Index::NONE);
        assert_eq!(leadership.due(Moment(u64::MAX - 1), 10), []);
    }
}
