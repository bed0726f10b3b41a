//! When leases end: the leader's memory, pure.
//!
//! A lease in the state has an id and a length; when it ends is known to the leader alone, and
//! begins anew with every leader. [`Deadlines`] is that knowledge: time comes in as an argument,
//! what is due comes out in batches, and every operation costs O(log n).
//!
//! # A lease's life here
//!
//! ```text
//! granted ──▶ live ──deadline──▶ ending ──revoked (committed)──▶ gone
//!              ▲│                  │
//!     keep_alive└┘                 └─ proposal failed: due again later
//! ```
//!
//! *Ending* is a one-way street: once a lease was handed out as due, a keep-alive finds it gone,
//! whatever becomes of the proposal. Otherwise a client could be told "you have ten more seconds"
//! by a leader whose revoke is already in the log. Only a new leader, which begins with all leases
//! live, may find it alive again; and that is no lie either, since the old one told nobody that it
//! had ended.
//!
//! With [`checkpoints`], a lease that nobody renews does not begin anew with every leader.
//!
//! # Promotion
//!
//! A new leader may find a million leases. [`Deadlines::promote`] only notes the time;
//! [`Deadlines::load`] takes them in page by page, in id order, and until that is done an unknown
//! id may still be there: see [`Known`]. The state may be behind at that moment, and entries of
//! earlier terms still grant leases and note their time; so nothing is taken from it before it has
//! applied the entry the term begins with ([`Deadlines::begins_at`]).
//!
//! A loaded lease ends its full length (and an election timeout) after the promotion, however late
//! it was loaded. Those that would already have ended while the page waited are due at once, which
//! is right: so long has this leader been there for keep-alives.
//!
//! Units are milliseconds, since sessions of another protocol will need them.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use conclave_storage::LeaseId;

use crate::clock::Moment;

mod checkpoints;

use checkpoints::Schedule;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    /// From one checkpoint of a lease to the next; `None` if there are to be none.
    checkpoint_interval: Option<Duration>,
    /// `None` on a member that does not lead: it remembers nothing and nothing ends.
    reign: Option<Reign>,
}

#[derive(Debug)]
struct Reign {
    term: u64,
    begins_at: u64,
    since: Moment,
    /// Added to the first deadline of every lease found at the promotion.
    grace: Duration,
    loading: Loading,
    leases: HashMap<LeaseId, Deadline>,
    /// The live ones by when they end. Ids break ties, so the order is the same on every run.
    queue: BTreeSet<(Moment, LeaseId)>,
    checkpoints: Schedule,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loading {
    After(Option<LeaseId>),
    Done,
}

#[derive(Clone, Copy, Debug)]
struct Deadline {
    ttl: Duration,
    /// The key in the queue.
    at: Moment,
    ending: bool,
    /// Its place in the schedule of checkpoints.
    checkpoint_at: Option<Moment>,
    /// Which of the leases with this id it is.
    granted_index: u64,
    /// The last checkpoint that may stand in its record; 0 if none can. See [`checkpoints`].
    noted: u64,
}

/// A lease as the state has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) id: LeaseId,
    pub(crate) ttl: Duration,
    /// The index of the entry that granted it.
    pub(crate) granted_index: u64,
    /// As of its last checkpoint, if it was not renewed since.
    pub(crate) left: Option<Duration>,
}

/// What is known of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// It ends at this moment, unless renewed; its full length.
    Live(Moment, Duration),
    /// It has ended, or there is none.
    Gone,
    /// Not loaded yet: the state knows.
    Ask,
    /// This member does not lead.
    NotLeading,
}

impl Deadlines {
    /// Of a member that does not lead yet. `checkpoint_interval`: see [`checkpoints`].
    pub(crate) fn new(checkpoint_interval: Option<Duration>) -> Deadlines {
        Deadlines {
            checkpoint_interval,
            reign: None,
        }
    }

    /// This member leads from `now` on, in a term that begins with the entry `begins_at`. All that
    /// was remembered of an earlier reign is void.
    pub(crate) fn promote(&mut self, term: u64, begins_at: u64, now: Moment, grace: Duration) {
        self.reign = Some(Reign {
            term,
            begins_at,
            since: now,
            grace,
            loading: Loading::After(None),
            leases: HashMap::new(),
            queue: BTreeSet::new(),
            checkpoints: Schedule::new(self.checkpoint_interval),
        });
    }

    /// The index that must be applied before leases are taken from the state.
    pub(crate) fn begins_at(&self) -> u64 {
        self.reign.as_ref().map_or(0, |reign| reign.begins_at)
    }

    /// The term of the reign; 0 on a member that does not lead.
    pub(crate) fn term(&self) -> u64 {
        self.reign.as_ref().map_or(0, |reign| reign.term)
    }

    /// This member does not lead any more.
    pub(crate) fn demote(&mut self) {
        self.reign = None;
    }

    /// Where the next page begins, while there is one to load.
    pub(crate) fn load_after(&self) -> Option<Option<LeaseId>> {
        match self.reign.as_ref()?.loading {
            Loading::After(id) => Some(id),
            Loading::Done => None,
        }
    }

    /// Takes in a page of leases in id order, as the state has them now. The caller holds the lock
    /// under which [`Deadlines::granted`] and [`Deadlines::revoked`] are called from before it read
    /// the page, so that no change falls between the two. `last`: there are no more.
    pub(crate) fn load(&mut self, page: impl IntoIterator<Item = Found>, last: bool) {
        for found in page {
            self.load_one(found);
            if let Some(reign) = &mut self.reign {
                reign.loading = Loading::After(Some(found.id));
            }
        }
        if last && let Some(reign) = &mut self.reign {
            reign.loading = Loading::Done;
        }
    }

    /// Takes in one lease ahead of its page, under the same rules.
    pub(crate) fn load_one(&mut self, found: Found) {
        let Found {
            id,
            ttl,
            granted_index,
            left,
        } = found;
        if let Some(reign) = &mut self.reign
            && !reign.leases.contains_key(&id)
        {
            // Without checkpoints of its own, this leader does not go by those of others, but they
            // must be taken back all the same: the leader after it may.
            let counts = left.filter(|_| self.checkpoint_interval.is_some());
            let at = reign.since.after(reign.grace).after(counts.unwrap_or(ttl));
            let noted = if left.is_some() {
                checkpoints::FOUND
            } else {
                0
            };
            reign.set(id, (ttl, granted_index), noted, reign.since, at);
        }
    }

    /// A grant was applied, as the entry of this index.
    pub(crate) fn granted(&mut self, now: Moment, id: LeaseId, ttl: Duration, index: u64) {
        if let Some(reign) = &mut self.reign {
            reign.set(id, (ttl, index), 0, now, now.after(ttl));
        }
    }

    /// The index of the entry that granted a lease which is remembered.
    pub(crate) fn granted_index(&self, id: LeaseId) -> Option<u64> {
        let lease = self.reign.as_ref()?.leases.get(&id)?;
        Some(lease.granted_index)
    }

    /// A revoke was applied.
    pub(crate) fn revoked(&mut self, id: LeaseId) {
        if let Some(reign) = &mut self.reign {
            reign.forget(id);
        }
    }

    /// What is known of a lease at `now`. One past its deadline is gone, also if nobody has asked
    /// for the due ones yet.
    pub(crate) fn look_up(&self, now: Moment, id: LeaseId) -> Known {
        let Some(reign) = &self.reign else {
            return Known::NotLeading;
        };
        match reign.leases.get(&id) {
            Some(lease) if !lease.ending && now < lease.at => Known::Live(lease.at, lease.ttl),
            Some(_) => Known::Gone,
            None if reign.loading == Loading::Done => Known::Gone,
            None => Known::Ask,
        }
    }

    /// Gives a live lease its full length from `now` on.
    pub(crate) fn keep_alive(&mut self, now: Moment, id: LeaseId) -> Known {
        let known = self.look_up(now, id);
        if let (Known::Live(_, ttl), Some(reign)) = (known, &mut self.reign) {
            let lease = reign.leases.get(&id).copied();
            let (index, noted) = lease.map_or((0, 0), |lease| (lease.granted_index, lease.noted));
            reign.set(id, (ttl, index), noted, now, now.after(ttl));
            return Known::Live(now.after(ttl), ttl);
        }
        known
    }

    /// When [`Deadlines::due`] or [`Deadlines::due_checkpoints`] will next have something.
    pub(crate) fn next(&self) -> Option<Moment> {
        let reign = self.reign.as_ref()?;
        let end = reign.queue.first().map(|&(at, _)| at);
        let checkpoint = reign.checkpoints.next();
        end.into_iter().chain(checkpoint).min()
    }

    /// At most `max` leases whose time is up, longest overdue first. They are now ending: the
    /// caller proposes their revocation and then says how it went, with [`Deadlines::ended`] or
    /// [`Deadlines::retry`].
    pub(crate) fn due(&mut self, now: Moment, max: usize) -> Vec<LeaseId> {
        let Some(reign) = &mut self.reign else {
            return Vec::new();
        };
        let mut due = Vec::new();
        while due.len() < max
            && let Some(&(at, id)) = reign.queue.first()
            && at <= now
        {
            reign.queue.pop_first();
            let lease = reign
                .leases
                .get_mut(&id)
                .expect("what is in the queue is in the map");
            lease.ending = true;
            let checkpoint_at = lease.checkpoint_at.take();
            reign.checkpoints.remove(checkpoint_at, id);
            due.push(id);
        }
        due
    }

    /// The revocation was applied. That the leases are forgotten matters for those that were gone
    /// from the state already, of which no [`Deadlines::revoked`] will tell; one granted anew
    /// meanwhile is not ending and stays.
    pub(crate) fn ended(&mut self, ids: &[LeaseId]) {
        let Some(reign) = &mut self.reign else { return };
        for &id in ids {
            if reign.leases.get(&id).is_some_and(|lease| lease.ending) {
                reign.forget(id);
            }
        }
    }

    /// The proposal failed: the same leases are due again at `at`.
    pub(crate) fn retry(&mut self, ids: &[LeaseId], at: Moment) {
        let Some(reign) = &mut self.reign else { return };
        for &id in ids {
            if let Some(lease) = reign.leases.get_mut(&id)
                && lease.ending
            {
                lease.at = at;
                reign.queue.insert((at, id));
            }
        }
    }

    /// Leases remembered.
    pub(crate) fn len(&self) -> usize {
        self.reign.as_ref().map_or(0, |reign| reign.leases.len())
    }
}

impl Reign {
    /// A lease, as it was granted, whose time runs from `from` to `at`.
    fn set(
        &mut self,
        id: LeaseId,
        (ttl, granted_index): (Duration, u64),
        noted: u64,
        from: Moment,
        at: Moment,
    ) {
        self.forget(id);
        let checkpoint_at = self.checkpoints.add(id, from, at);
        let lease = Deadline {
            ttl,
            at,
            ending: false,
            checkpoint_at,
            granted_index,
            noted,
        };
        self.leases.insert(id, lease);
        self.queue.insert((at, id));
    }

    fn forget(&mut self, id: LeaseId) {
        if let Some(lease) = self.leases.remove(&id) {
            self.queue.remove(&(lease.at, id));
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
            granted_index: 0,
            ttl: seconds(ttl),
            left: None,
        }
    }

    fn leading() -> Deadlines {
        let mut deadlines = Deadlines::default();
        deadlines.promote(1, 1, at(0), seconds(1));
        deadlines.load([], true);
        deadlines
    }

    #[test]
    fn leases_come_due_in_order_and_in_batches() {
        let mut deadlines = leading();
        deadlines.granted(at(0), B, seconds(5), 0);
        deadlines.granted(at(0), A, seconds(5), 0);
        deadlines.granted(at(0), C, seconds(2), 0);
        assert_eq!(deadlines.next(), Some(at(2)));
        assert_eq!(deadlines.due(at(1), 10), []);
        assert_eq!(deadlines.due(at(9), 2), [C, A]);
        assert_eq!(deadlines.due(at(9), 2), [B]);
        assert_eq!(deadlines.next(), None);
    }

    #[test]
    fn keep_alive_gives_the_full_length_again() {
        let mut deadlines = leading();
        deadlines.granted(at(0), A, seconds(5), 0);
        assert_eq!(
            deadlines.keep_alive(at(4), A),
            Known::Live(at(9), seconds(5))
        );
        assert_eq!(deadlines.due(at(8), 10), []);
        assert_eq!(deadlines.due(at(9), 10), [A]);
    }

    #[test]
    fn a_lease_past_its_deadline_cannot_be_kept_alive() {
        let mut deadlines = leading();
        deadlines.granted(at(0), A, seconds(5), 0);
        // Not handed out yet, and nevertheless over.
        assert_eq!(deadlines.keep_alive(at(5), A), Known::Gone);
        assert_eq!(deadlines.due(at(5), 10), [A]);
        assert_eq!(deadlines.keep_alive(at(5), A), Known::Gone);
        deadlines.retry(&[A], at(6));
        assert_eq!(deadlines.keep_alive(at(5), A), Known::Gone);
        assert_eq!(deadlines.due(at(6), 10), [A]);
    }

    #[test]
    fn a_revoke_of_what_was_gone_already_is_not_repeated() {
        let mut deadlines = leading();
        deadlines.granted(at(0), A, seconds(5), 0);
        assert_eq!(deadlines.due(at(5), 10), [A]);
        deadlines.ended(&[A]);
        assert_eq!(deadlines.len(), 0);
    }

    #[test]
    fn a_lease_granted_anew_survives_the_end_of_its_namesake() {
        let mut deadlines = leading();
        deadlines.granted(at(0), A, seconds(5), 0);
        assert_eq!(deadlines.due(at(5), 10), [A]);
        deadlines.revoked(A);
        deadlines.granted(at(6), A, seconds(5), 0);
        deadlines.ended(&[A]);
        deadlines.retry(&[A], at(7));
        assert_eq!(deadlines.look_up(at(7), A), Known::Live(at(11), seconds(5)));
        assert_eq!(deadlines.due(at(20), 10), [A]);
    }

    #[test]
    fn a_new_leader_counts_from_its_promotion() {
        let mut deadlines = Deadlines::default();
        deadlines.promote(1, 1, at(100), seconds(1));
        assert_eq!(deadlines.load_after(), Some(None));
        assert_eq!(deadlines.look_up(at(100), A), Known::Ask);
        deadlines.load([found(A, 10)], false);
        assert_eq!(deadlines.load_after(), Some(Some(A)));
        // Granted under this leader before its page came: the page does not shorten it.
        deadlines.granted(at(109), B, seconds(10), 0);
        deadlines.load([found(B, 10), found(C, 10)], true);
        assert_eq!(deadlines.load_after(), None);
        assert_eq!(deadlines.due(at(111), 10), [A, C]);
        assert_eq!(
            deadlines.look_up(at(111), B),
            Known::Live(at(119), seconds(10))
        );
    }

    #[test]
    fn a_follower_remembers_nothing_and_ends_nothing() {
        let mut deadlines = leading();
        deadlines.granted(at(0), A, seconds(5), 0);
        deadlines.demote();
        deadlines.granted(at(0), B, seconds(5), 0);
        assert_eq!(deadlines.due(at(99), 10), []);
        assert_eq!(deadlines.keep_alive(at(1), A), Known::NotLeading);
        assert_eq!(deadlines.len(), 0);
    }

    #[test]
    fn deadlines_beyond_the_end_of_time_saturate() {
        let mut deadlines = leading();
        deadlines.granted(Moment(u64::MAX - 1), A, seconds(9_000_000_000), 0);
        assert_eq!(deadlines.due(Moment(u64::MAX - 1), 10), []);
    }
}
