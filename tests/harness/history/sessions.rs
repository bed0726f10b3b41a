//! Locks and leases.
//!
//! Both rules are about time that nobody measured where it counts, so each is stated about the
//! part of it that is certain. A lock was held at least from the *return* of the first check that
//! found it held to the *invocation* of the last; two such spans of one lock must not overlap. A
//! lease was renewed no earlier than its last acknowledged keep-alive was *sent*; its key may not
//! be *seen* removed before that and its time to live are over.

use std::time::{Duration, Instant};

use super::{Moment, Violation};

/// A lock that was held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Which lock.
    pub lock: String,
    /// The holder's key.
    pub key: String,
    /// The revision that made the key: later holders have higher ones.
    pub fence: i64,
    /// When the first check that it is held had returned.
    pub from: Moment,
    /// When the last check that found it held was sent.
    pub until: Moment,
}

/// A lease that was kept alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// The key attached to it.
    pub key: String,
    /// How long it lives without a keep-alive.
    pub ttl: Duration,
    /// When the last keep-alive that was acknowledged was sent.
    pub renewed: Instant,
    /// The client ended it itself.
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

/// Checks that no lease ended early. `removed` is each removed key and when that was seen.
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
