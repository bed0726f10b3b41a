//! The leader's memory of when leases end, shared by those who change it and those who ask.
//!
//! The mutex inside is held for one O(log n) operation at a time, or for a page of
//! [`limits::LEASE_LOAD_MAX`] leases after a promotion.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use conclave_proto::ApiError;
use conclave_proto::command::{ExpiredLease, LeaseExpire, LeaseRecord};
use conclave_storage::machine::LeaseEffect;
use conclave_storage::reader::Reader;
use conclave_storage::{Fault, LeaseId};

use super::deadlines::{Deadlines, Found, Known};
use crate::clock::{Clock, Moment};
use crate::limits;
use crate::progress::Progress;

/// The time a lease has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remaining {
    /// Whole seconds left, rounded down as etcd does.
    pub ttl_seconds: i64,
    /// Whole seconds it was granted.
    pub granted_seconds: i64,
}

/// Why the leader's memory could not be asked.
#[derive(Debug)]
pub enum LeaseError {
    /// Not to be had from this member now.
    Refused(ApiError),
    /// The state could not be read.
    Fault(Fault),
}

/// See the module.
#[derive(Clone)]
pub struct Leases {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    deadlines: Mutex<Deadlines>,
    /// Wakes the expiry task when the earliest deadline moves forward.
    deadline_moved: Notify,
    pub(super) clock: Arc<dyn Clock>,
    reader: Reader,
    /// How far the effects of entries are known here.
    pub(super) progress: Arc<Progress>,
    /// What a new leader adds to every lease it finds: the time nobody could renew it.
    grace: Duration,
}

impl Leases {
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        reader: Reader,
        progress: Arc<Progress>,
        grace: Duration,
        checkpoint_interval: Option<Duration>,
    ) -> Leases {
        Leases {
            shared: Arc::new(Shared {
                deadlines: Mutex::new(Deadlines::new(checkpoint_interval)),
                deadline_moved: Notify::new(),
                clock,
                reader,
                progress,
                grace,
            }),
        }
    }

    /// The time a lease has left, without renewing it. `None` if there is no such lease or it has
    /// ended.
    pub fn time_to_live(&self, id: LeaseId) -> Result<Option<Remaining>, LeaseError> {
        let now = self.shared.clock.now();
        let known = self.ask(id, |deadlines, now| deadlines.look_up(now, id))?;
        Ok(known.map(|(ends, ttl)| Remaining {
            ttl_seconds: whole_seconds(ends.since(now)),
            granted_seconds: whole_seconds(ttl),
        }))
    }

    /// When a lease ends, as the leader knows it, for listing leases by expiry. `None` for one that
    /// has ended, is not loaded yet, or if this member does not lead.
    pub fn ends_at(&self, id: LeaseId) -> Option<Moment> {
        match self.lock().look_up(self.shared.clock.now(), id) {
            Known::Live(at, _) => Some(at),
            Known::Gone | Known::Ask | Known::NotLeading => None,
        }
    }

    /// The driver: this member leads in `term`, which begins with the entry `begins_at`.
    pub(crate) fn promoted(&self, term: u64, begins_at: u64) {
        let now = self.shared.clock.now();
        self.lock().promote(term, begins_at, now, self.shared.grace);
        self.shared.deadline_moved.notify_one();
    }

    /// The driver: it does not lead any more.
    pub(crate) fn demoted(&self) {
        self.lock().demote();
    }

    /// The applier: what happened to leases, in commit order.
    pub(crate) fn applied(&self, effects: &[LeaseEffect]) {
        if effects.is_empty() {
            return;
        }
        let now = self.shared.clock.now();
        let mut deadlines = self.lock();
        let next = deadlines.next();
        for effect in effects {
            match *effect {
                LeaseEffect::Granted {
                    id,
                    ttl_seconds,
                    granted_index,
                } => deadlines.granted(now, id, ttl_duration(ttl_seconds), granted_index),
                LeaseEffect::Revoked { id } => deadlines.revoked(id),
                LeaseEffect::Checkpointed {
                    id,
                    remaining_seconds,
                } => deadlines.checkpointed(id, remaining_seconds),
            }
        }
        let sooner = match (deadlines.next(), next) {
            (Some(after), Some(before)) => after < before,
            (Some(_), None) => true,
            (None, _) => false,
        };
        drop(deadlines);
        if sooner {
            self.shared.deadline_moved.notify_one();
        }
    }

    /// Waits until the earliest deadline moves forward.
    pub(crate) async fn deadline_moved(&self) {
        self.shared.deadline_moved.notified().await;
    }

    /// These leases have been ended.
    pub(crate) fn ended(&self, ids: &[LeaseId]) {
        self.lock().ended(ids);
    }

    /// These leases could not be ended: they are due again after a pause.
    pub(crate) fn retry(&self, ids: &[LeaseId]) {
        let again = self.shared.clock.now().after(limits::EXPIRE_RETRY);
        self.lock().retry(ids, again);
    }

    /// Answers from memory, or, right after a promotion, first takes the one lease in from the
    /// state.
    pub(super) fn ask(
        &self,
        id: LeaseId,
        mut question: impl FnMut(&mut Deadlines, Moment) -> Known,
    ) -> Result<Option<(Moment, Duration)>, LeaseError> {
        let now = self.shared.clock.now();
        let mut deadlines = self.lock();
        if self.shared.progress.applied() < deadlines.begins_at() {
            // Elected and not up to date yet; it will be in a moment.
            return Err(LeaseError::Refused(ApiError::NotLeader));
        }
        let mut known = question(&mut deadlines, now);
        if known == Known::Ask
            && let Some(record) = self.shared.reader.lease(id).map_err(LeaseError::Fault)?
        {
            deadlines.load_one(found(&record));
            known = question(&mut deadlines, now);
        }
        match known {
            Known::Live(at, ttl) => Ok(Some((at, ttl))),
            Known::Gone | Known::Ask => Ok(None),
            Known::NotLeading => Err(LeaseError::Refused(ApiError::NotLeader)),
        }
    }

    /// Loads one page after a promotion.
    pub(crate) fn load_page(&self) -> Result<Loaded, Fault> {
        let mut deadlines = self.lock();
        let Some(after) = deadlines.load_after() else {
            return Ok(Loaded::Everything);
        };
        let begins_at = deadlines.begins_at();
        if self.shared.progress.applied() < begins_at {
            return Ok(Loaded::NothingBefore(begins_at));
        }
        let page = self
            .shared
            .reader
            .leases_after(after, limits::LEASE_LOAD_MAX)?;
        let last = page.len() < limits::LEASE_LOAD_MAX;
        deadlines.load(page.iter().map(found), last);
        Ok(if last {
            Loaded::Everything
        } else {
            Loaded::APage
        })
    }

    /// What is due, and the command that ends it.
    pub(crate) fn due(&self) -> (Vec<LeaseId>, LeaseExpire) {
        let mut deadlines = self.lock();
        let now = self.shared.clock.now();
        let due = deadlines.due(now, limits::EXPIRE_BATCH_LEASES_MAX);
        let expired = |id: &LeaseId| ExpiredLease {
            id: id.0,
            granted_index: deadlines.granted_index(*id).unwrap_or_default(),
        };
        let leases = due.iter().map(expired).collect();
        // Bound to the term in which they were found due: see `LeaseExpire`.
        let term = deadlines.term();
        (due, LeaseExpire { leases, term })
    }

    /// How long there is nothing to do; `None` for ever.
    pub(crate) fn idle_for(&self) -> Option<Duration> {
        let next = self.lock().next();
        // One millisecond more, since the clock rounds down and the timer may fire within the last
        // one.
        next.map(|at| at.since(self.shared.clock.now()) + Duration::from_millis(1))
    }

    /// A panic elsewhere cannot leave it half changed in a way that matters: the worst is a lease
    /// that is due once more.
    pub(super) fn lock(&self) -> MutexGuard<'_, Deadlines> {
        self.shared
            .deadlines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far a new leader is with taking in what it found.
pub(crate) enum Loaded {
    /// There may be more.
    APage,
    /// There is nothing more to load.
    Everything,
    /// It must wait until this index is applied.
    NothingBefore(u64),
}

impl fmt::Debug for Leases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leases")
            .field("remembered", &self.lock().len())
            .finish_non_exhaustive()
    }
}

fn found(record: &LeaseRecord) -> Found {
    Found {
        id: LeaseId(record.id),
        ttl: ttl_duration(record.ttl_seconds),
        granted_index: record.granted_index,
        left: (record.remaining_seconds != 0).then(|| ttl_duration(record.remaining_seconds)),
    }
}

fn ttl_duration(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

pub(super) fn whole_seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
