//! Counters of the owners' turns, from which a watchdog outside sees whether an owner hangs.
//!
//! A turn is short, whatever the cluster does: an owner without a leader, without work or with a
//! full queue waits between two turns, not in one. So one turn that does not end shows that
//! something is wrong here: a thread that is blocked, or a disk that does not answer.

use std::sync::atomic::{AtomicU64, Ordering};

/// The position of one owner: odd while it takes a turn, even while it waits for work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn(pub u64);

/// The positions of the owners at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turns {
    /// The driver.
    pub driver: Turn,
    /// The applier.
    pub applier: Turn,
}

impl Turn {
    /// Returns true if the owner has been in one turn since it was at this earlier position.
    pub fn has_lasted_since(self, earlier: Turn) -> bool {
        self == earlier && self.0 % 2 == 1
    }
}

/// Counts the turns of one owner.
#[derive(Debug, Default)]
pub(crate) struct TurnCounter(AtomicU64);

impl TurnCounter {
    /// Takes a turn and counts it.
    pub(crate) fn count<T>(&self, turn: impl FnOnce() -> T) -> T {
        // Only the owner writes, and readers compare two values of one counter.
        self.0.fetch_add(1, Ordering::Relaxed);
        let outcome = turn();
        self.0.fetch_add(1, Ordering::Relaxed);
        outcome
    }

    pub(crate) fn now(&self) -> Turn {
        Turn(self.0.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_turn_that_does_not_end_has_lasted() {
        let counter = TurnCounter::default();
        let waiting = counter.now();
        assert!(!counter.now().has_lasted_since(waiting), "it may wait");
        counter.count(|| {
            let begun = counter.now();
            assert!(!begun.has_lasted_since(waiting), "it has just begun");
            assert!(counter.now().has_lasted_since(begun));
        });
        let begun = Turn(1);
        assert!(!counter.now().has_lasted_since(begun), "it has ended");
        counter.count(|| assert!(!counter.now().has_lasted_since(begun), "another one"));
    }
}
