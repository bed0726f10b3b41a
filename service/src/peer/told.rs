//! What the log has been told: the same trouble, twice a second for a day, tells nothing new.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use super::lock;
use crate::clock::Moment;

/// What goes on for longer than this is told again.
const AGAIN_AFTER: Duration = Duration::from_secs(600);
/// Different troubles within that time. Strangers can make up any number.
const TROUBLES_MAX: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Told {
    what: Mutex<What>,
}

#[derive(Debug, Default)]
struct What {
    at: BTreeMap<String, Moment>,
    /// When it was said that not all is told.
    overflow: Option<Moment>,
}

impl Told {
    /// Whether this is to be told now; it counts as told then.
    pub(crate) fn is_new(&self, trouble: &str, now: Moment) -> bool {
        let mut what = lock(&self.what);
        let is_recent = |told: Moment| now.since(told) < AGAIN_AFTER;
        what.at.retain(|_, told| is_recent(*told));
        if what.at.contains_key(trouble) {
            return false;
        }
        if what.at.len() >= TROUBLES_MAX {
            if !what.overflow.is_some_and(is_recent) {
                what.overflow = Some(now);
                tracing::warn!(
                    trouble,
                    "too many different troubles with members to tell each"
                );
            }
            return false;
        }
        what.at.insert(trouble.to_owned(), now);
        true
    }

    /// This one is over; when it comes again it is new.
    pub(super) fn forget(&self, trouble: &str) {
        lock(&self.what).at.remove(trouble);
    }

    /// All is well; whatever comes now is new.
    pub(super) fn forget_all(&self) {
        lock(&self.what).at.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_told_once_in_a_while() {
        let (told, start) = (Told::default(), Moment(1));
        assert!(told.is_new("a", start) && told.is_new("b", start));
        // However they take turns.
        assert!(!told.is_new("a", start) && !told.is_new("b", start));
        let later = start.after(AGAIN_AFTER);
        assert!(told.is_new("a", later) && !told.is_new("a", later));
        assert!(told.is_new("b", later));
        told.forget("a");
        assert!(told.is_new("a", later) && !told.is_new("b", later));
        told.forget_all();
        assert!(told.is_new("b", later));
    }

    #[test]
    fn made_up_troubles_do_not_fill_the_log() {
        let told = Told::default();
        let new = (0..1_000).filter(|n| told.is_new(&n.to_string(), Moment(1)));
        assert_eq!(new.count(), TROUBLES_MAX);
    }
}
