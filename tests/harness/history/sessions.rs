//! Rules for locks and leases.
//!
//! The server decides about both at instants that no client can measure, so each rule is stated for
//! the interval that is certain. A lock was held at least from the *return* of the first check that
//! found it held to the *invocation* of the last; two such intervals of one lock must not overlap.
//! A lease was renewed no earlier than its last acknowledged keep-alive was *sent*; its key must
//! not be *seen* removed before its time to live has passed since then.

use std::time::{Duration, Instant};

use super::{Moment, Violation};

/// One client's tenure of a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The lock's name.
    pub lock: String,
    /// The holder's key.
    pub key: String,
    /// The revision that created the key: later holders have higher ones.
    pub fence: i64,
    /// When the first check that found the lock held returned.
    pub from: Moment,
    /// When the last check that found it held was sent.
    pub until: Moment,
}

/// A lease that was kept alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// The key attached to the lease.
    pub key: String,
    /// Its time to live.
    pub ttl: Duration,
    /// When the last acknowledged keep-alive was sent.
    pub renewed: Instant,
    /// True if the client revoked it.
    pub revoked: bool,
}

/// Checks that no lock had two holders.
pub fn check_locks(holds: &[Hold]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut holds: Vec<&Hold> = holds.iter().collect();
    holds.sort_by_key(|hold| (&hold.lock, hold.from));
    for two in holds.windows(2) {
        let (first, second) = (two[0], two[1]);
        if first.lock != second.lock {
            continue;
        }
        let details = format!("{first:?} and {second:?}");
        if second.from < first.until {
            violations.push(Violation::new("a lock with two holders", details));
        } else if second.fence <= first.fence {
            violations.push(Violation::new("a lock's fence went back", details));
        }
    }
    violations
}

/// Checks that no lease expired early. `removed` has each removed key and when the removal was
/// seen.
pub fn check_leases(lives: &[Life], removed: &[(String, Instant)]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for life in lives.iter().filter(|life| !life.revoked) {
        let Some((_, seen)) = removed.iter().find(|(key, _)| *key == life.key) else {
            continue;
        };
        let lived = seen.saturating_duration_since(life.renewed);
        if lived < life.ttl {
            let details = format!("{} lived {lived:?} of {:?}", life.key, life.ttl);
            violations.push(Violation::new("a lease ended early", details));
        }
    }
    violations
}
