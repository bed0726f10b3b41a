//! Rate limit for log lines about a failure that repeats.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Moment;

/// A failure that goes on for longer than this is logged again.
pub const AGAIN_AFTER: Duration = Duration::from_secs(600);
/// Different failures within that time. Strangers can make up any number.
const FAILURES_MAX: usize = 64;

/// The failures that were logged lately.
#[derive(Debug, Default)]
pub struct LogOnce {
    logged: Mutex<Logged>,
}

#[derive(Debug, Default)]
struct Logged {
    at: BTreeMap<String, Moment>,
    /// When it was logged that not every failure is.
    overflow: Option<Moment>,
}

impl LogOnce {
    /// Whether this failure should be logged now. If so, it counts as logged.
    pub fn is_new(&self, failure: &str, now: Moment) -> bool {
        let mut logged = self.logged.lock();
        let is_recent = |at: Moment| now.since(at) < AGAIN_AFTER;
        logged.at.retain(|_, at| is_recent(*at));
        if logged.at.contains_key(failure) {
            return false;
        }
        if logged.at.len() >= FAILURES_MAX {
            if !logged.overflow.is_some_and(is_recent) {
                logged.overflow = Some(now);
                tracing::warn!(failure, "too many different failures to log each");
            }
            return false;
        }
        logged.at.insert(failure.to_owned(), now);
        true
    }

    /// This failure is over: the next time it is new.
    pub fn forget(&self, failure: &str) {
        self.logged.lock().at.remove(failure);
    }

    /// All failures are over.
    pub fn forget_all(&self) {
        self.logged.lock().at.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_logged_once_in_a_while() {
        let (once, start) = (LogOnce::default(), Moment(1));
        assert!(once.is_new("a", start) && once.is_new("b", start));
        // However the failures alternate.
        assert!(!once.is_new("a", start) && !once.is_new("b", start));
        let later = start.after(AGAIN_AFTER);
        assert!(once.is_new("a", later) && !once.is_new("a", later));
        assert!(once.is_new("b", later));
        once.forget("a");
        assert!(once.is_new("a", later) && !once.is_new("b", later));
        once.forget_all();
        assert!(once.is_new("b", later));
    }

    #[test]
    fn made_up_failures_do_not_fill_the_log() {
        let once = LogOnce::default();
        let new = (0..1_000).filter(|n| once.is_new(&n.to_string(), Moment(1)));
        assert_eq!(new.count(), FAILURES_MAX);
    }
}
