//! The leader's lease deadlines in memory, shared by the threads that change them and the tasks
//! that query them.
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
use conclave_storage::{Fault, Index, LeaseId, Term};

use super::leadership::{Found, Known, Leadership};
use crate::clock::{Clock, Moment};
use crate::limits;
use crate::progress::Progress;

/// The remaining time of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remaining {
    /// Whole seconds left, rounded down as etcd does.
    pub ttl_seconds: i64,
    /// The granted time to live in whole seconds.
    pub granted_seconds: i64,
}

/// The reason why the lease deadlines could not be queried.
#[derive(Debug)]
pub enum LeaseError {
    /// This member cannot answer now.
    Refused(ApiError),
    /// The state could not be read.
    Fault(Fault),
}

/// Handle to the lease deadlines.
#[derive(Clone)]
pub struct Leases {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    leadership: Mutex<Leadership>,
    /// Wakes the expiry task when the earliest deadline moves forward.
    deadline_moved: Notify,
    pub(super) clock: Arc<dyn Clock>,
    reader: Reader,
    /// Gives the index up to which the effects of entries are included here.
    pub(super) progress: Arc<Progress>,
    /// Time that a new leader adds to every lease it loads, for the time in which no client could
    /// renew the lease.
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
                leadership: Mutex::new(Leadership::new(checkpoint_interval)),
                deadline_moved: Notify::new(),
                clock,
                reader,
                progress,
                grace,
            }),
        }
    }

    /// Returns the time a lease has left, without renewing it. `None` if there is no such lease or
    /// it has ended.
    pub fn time_to_live(&self, id: LeaseId) -> Result<Option<Remaining>, LeaseError> {
        let now = self.shared.clock.now();
        let known = self.ask(id, |leadership, now| leadership.look_up(now, id))?;
        Ok(known.map(|(ends, ttl)| Remaining {
            ttl_seconds: whole_seconds(ends.since(now)),
            granted_seconds: whole_seconds(ttl),
        }))
    }

    /// Returns the time at which a lease ends, for listing leases by expiry. `None` if the lease
    /// has ended or is not loaded yet, or if this member is not the leader.
    pub fn ends_at(&self, id: LeaseId) -> Option<Moment> {
        match self.lock().look_up(self.shared.clock.now(), id) {
            Known::Live(at, _) => Some(at),
            Known::Gone | Known::Ask | Known::NotLeading => None,
        }
    }

    /// Called by the driver: this member is the leader of `term`, which begins with the entry
    /// `begins_at`.
    pub(crate) fn promoted(&self, term: Term, begins_at: Index) {
        let now = self.shared.clock.now();
        self.lock().promote(term, begins_at, now, self.shared.grace);
        self.shared.deadline_moved.notify_one();
    }

    /// Called by the driver: this member is not the leader any longer.
    pub(crate) fn demoted(&self) {
        self.lock().demote();
    }

    /// Called by the applier with the effects on leases, in commit order.
    pub(crate) fn applied(&self, effects: &[LeaseEffect]) {
        if effects.is_empty() {
            return;
        }
        let now = self.shared.clock.now();
        let mut leadership = self.lock();
        let next = leadership.next();
        for effect in effects {
            match *effect {
                LeaseEffect::Granted {
                    id,
                    ttl_seconds,
                    granted_index,
                } => leadership.granted(now, id, ttl_duration(ttl_seconds), granted_index),
                LeaseEffect::Revoked { id } => leadership.revoked(id),
                LeaseEffect::Checkpointed {
                    id,
                    remaining_seconds,
                } => leadership.checkpointed(id, remaining_seconds),
            }
        }
        let sooner = match (leadership.next(), next) {
            (Some(after), Some(before)) => after < before,
            (Some(_), None) => true,
            (None, _) => false,
        };
        drop(leadership);
        if sooner {
            self.shared.deadline_moved.notify_one();
        }
    }

    /// Waits until the earliest deadline moves forward.
    pub(crate) async fn deadline_moved(&self) {
        self.shared.deadline_moved.notified().await;
    }

    /// Removes leases that have been ended.
    pub(crate) fn ended(&self, ids: &[LeaseId]) {
        self.lock().ended(ids);
    }

    /// Schedules a retry for leases that could not be ended: they are due again after a pause.
    pub(crate) fn retry(&self, ids: &[LeaseId], now: Moment) {
        self.lock().retry(ids, now.after(limits::EXPIRE_RETRY));
    }

    /// Answers from memory. Right after a promotion, first loads this one lease from the state.
    pub(super) fn ask(
        &self,
        id: LeaseId,
        mut question: impl FnMut(&mut Leadership, Moment) -> Known,
    ) -> Result<Option<(Moment, Duration)>, LeaseError> {
        let now = self.shared.clock.now();
        let mut leadership = self.lock();
        if self.shared.progress.applied() < leadership.begins_at() {
            // Elected, but the new leader's state is not up to date yet; it soon will be.
            return Err(LeaseError::Refused(ApiError::NotLeader));
        }
        let mut known = question(&mut leadership, now);
        if known == Known::Ask
            && let Some(record) = self.shared.reader.lease(id).map_err(LeaseError::Fault)?
        {
            leadership.load_one(found(&record));
            known = question(&mut leadership, now);
        }
        match known {
            Known::Live(at, ttl) => Ok(Some((at, ttl))),
            Known::Gone | Known::Ask => Ok(None),
            Known::NotLeading => Err(LeaseError::Refused(ApiError::NotLeader)),
        }
    }

    /// Loads one page of leases after a promotion.
    pub(crate) fn load_page(&self) -> Result<Loaded, Fault> {
        let mut leadership = self.lock();
        let Some(after) = leadership.load_after() else {
            return Ok(Loaded::Everything);
        };
        let begins_at = leadership.begins_at();
        if self.shared.progress.applied() < begins_at {
            return Ok(Loaded::NothingBefore(begins_at));
        }
        let page = self
            .shared
            .reader
            .leases_after(after, limits::LEASE_LOAD_MAX)?;
        let last = page.len() < limits::LEASE_LOAD_MAX;
        leadership.load(page.iter().map(found), last);
        Ok(if last {
            Loaded::Everything
        } else {
            Loaded::APage
        })
    }

    /// Returns the leases that are due, and the command that ends them.
    pub(crate) fn due(&self, now: Moment) -> (Vec<LeaseId>, LeaseExpire) {
        let mut leadership = self.lock();
        let due = leadership.due(now, limits::EXPIRE_BATCH_LEASES_MAX);
        let expired = |id: &LeaseId| ExpiredLease {
            id: id.0,
            granted_index: leadership.granted_index(*id).unwrap_or_default().0,
        };
        let leases = due.iter().map(expired).collect();
        // Bound to the term in which the leases were found due: see `LeaseExpire`.
        let term = leadership.term().0;
        (due, LeaseExpire { leases, term })
    }

    /// Returns when the next lease or checkpoint is due, if any.
    pub(crate) fn next_due(&self) -> Option<Moment> {
        self.lock().next()
    }

    /// Ignores poisoning. A panic elsewhere cannot leave the data half changed in a way that
    /// matters: at worst a lease is due once more.
    pub(super) fn lock(&self) -> MutexGuard<'_, Leadership> {
        self.shared
            .leadership
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Progress of a new leader in loading the leases from the state.
pub(crate) enum Loaded {
    /// A page was loaded, and there may be more.
    APage,
    /// There is nothing more to load.
    Everything,
    /// Loading must wait until this index is applied.
    NothingBefore(Index),
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
        granted_index: Index(record.granted_index),
        left: (record.remaining_seconds != 0).then(|| ttl_duration(record.remaining_seconds)),
    }
}

fn ttl_duration(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

pub(super) fn whole_seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
