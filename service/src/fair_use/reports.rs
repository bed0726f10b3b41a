//! Metrics and log lines about limits that are reached.

use std::array::from_fn;
use std::num::NonZeroU64;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use prometheus::{IntCounter, IntCounterVec};

use super::{Resource, Scope};
use conclave_core::clock::Moment;
use conclave_core::log_once::{AGAIN_AFTER, LogOnce};

/// Reports of all accounts.
#[derive(Debug)]
pub(super) struct Reports {
    /// Refusals by limit, as [`Scope::ALL`] and [`Resource::ALL`] list them.
    refusals: [[IntCounter; Resource::ALL.len()]; Scope::ALL.len()],
    logged: LogOnce,
}

/// A limit that an account has reached.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reached<'a> {
    pub(super) who: &'a str,
    pub(super) scope: Scope,
    pub(super) resource: Resource,
    pub(super) limit: NonZeroU64,
}

impl Reports {
    pub(super) fn new(by_limit: &IntCounterVec) -> Reports {
        let refusals = Scope::ALL.map(|scope| {
            Resource::ALL.map(|resource| by_limit.with_label_values(&[&scope.flag(resource)]))
        });
        Reports {
            refusals,
            logged: LogOnce::default(),
        }
    }

    /// Counts a refusal.
    pub(super) fn count(&self, reached: Reached<'_>) {
        self.refusals[reached.scope as usize][reached.resource as usize].inc();
    }

    /// Logs a limit, each once in a while. `recent` is the account's own memory, so that a limit
    /// which is reached very often costs no lock.
    pub(super) fn log(&self, reached: Reached<'_>, recent: &Recent, now: Moment) {
        if recent.is_over(reached.resource, now) && self.is_new(reached, now) {
            let Reached { who, limit, .. } = reached;
            let flag = reached.flag();
            tracing::warn!(client = who, flag, limit, "a client has reached a limit");
        }
    }

    fn is_new(&self, reached: Reached<'_>, now: Moment) -> bool {
        let key = format!("{} {}", reached.who, reached.flag());
        self.logged.is_new(&key, now)
    }
}

impl Reached<'_> {
    fn flag(&self) -> String {
        format!("--{}", self.scope.flag(self.resource))
    }
}

/// The moments up to which an account does not ask whether to log a limit, in milliseconds.
#[derive(Debug)]
pub(super) struct Recent([AtomicU64; Resource::ALL.len()]);

impl Default for Recent {
    fn default() -> Recent {
        Recent(from_fn(|_| AtomicU64::new(0)))
    }
}

impl Recent {
    /// Returns true once in a while.
    fn is_over(&self, resource: Resource, now: Moment) -> bool {
        let until = &self.0[resource as usize];
        let is_over = until.load(Relaxed) <= now.0;
        if is_over {
            until.store(now.after(AGAIN_AFTER).0, Relaxed);
        }
        is_over
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Opts;

    use super::*;

    #[test]
    fn each_limit_of_each_account_is_logged_once_in_a_while() {
        let by_limit = IntCounterVec::new(Opts::new("refusals", "by limit"), &["limit"]);
        let reports = Reports::new(&by_limit.expect("a valid name"));
        let reached = |who, resource| Reached {
            who,
            scope: Scope::User,
            resource,
            limit: NonZeroU64::MIN,
        };
        let (alice, bob) = (Resource::Bytes, Resource::Streams);
        let (alice, bob) = (reached("alice", alice), reached("bob", bob));
        let start = Moment(5);
        assert!(reports.is_new(alice, start) && reports.is_new(bob, start));
        assert!(!reports.is_new(alice, start));
        assert!(reports.is_new(reached("alice", Resource::Watches), start));
        let later = start.after(AGAIN_AFTER);
        assert!(reports.is_new(alice, later));
        // An account asks as often.
        let recent = Recent::default();
        assert!(recent.is_over(Resource::Bytes, start));
        assert!(!recent.is_over(Resource::Bytes, Moment(later.0 - 1)));
        assert!(recent.is_over(Resource::Streams, start));
        assert!(recent.is_over(Resource::Bytes, later));
    }
}
