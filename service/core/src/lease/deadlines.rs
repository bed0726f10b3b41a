//! Keys by the time at which each is due, in milliseconds. Pure: time comes in as an argument.

use std::collections::BTreeSet;

use crate::clock::Moment;

/// Keys by the time at which each is due. The owner of a key remembers that time, so a key is
/// stored once. Ties are broken by the order of the keys, so every run has the same order.
#[derive(Debug)]
pub(crate) struct Deadlines<K> {
    queue: BTreeSet<(Moment, K)>,
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Deadlines {
            queue: BTreeSet::new(),
        }
    }
}

impl<K: Copy + Ord> Deadlines<K> {
    pub(crate) fn insert(&mut self, at: Moment, key: K) {
        self.queue.insert((at, key));
    }

    /// Removes a key that is due at this time, if it is still there.
    pub(crate) fn remove(&mut self, at: Moment, key: K) {
        self.queue.remove(&(at, key));
    }

    /// Returns the earliest deadline.
    pub(crate) fn next(&self) -> Option<Moment> {
        self.queue.first().map(|&(at, _)| at)
    }

    /// Removes and returns the key that is longest overdue at `now`.
    pub(crate) fn pop(&mut self, now: Moment) -> Option<K> {
        let is_due = self.next().is_some_and(|at| at <= now);
        let first = is_due.then(|| self.queue.pop_first()).flatten();
        first.map(|(_, key)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_due_in_the_order_of_time_and_then_of_the_keys() {
        let mut deadlines = Deadlines::default();
        for (at, key) in [(5, 'b'), (7, 'd'), (5, 'a'), (2, 'c'), (2, 'e')] {
            deadlines.insert(Moment(at), key);
        }
        deadlines.remove(Moment(2), 'e');
        // It is not due at this time: nothing is removed.
        deadlines.remove(Moment(3), 'c');
        assert_eq!(deadlines.next(), Some(Moment(2)));
        let mut due = |now| deadlines.pop(Moment(now));
        assert_eq!([due(1), due(2), due(2)], [None, Some('c'), None]);
        assert_eq!([due(6), due(6), due(6)], [Some('a'), Some('b'), None]);
        assert_eq!([due(7), due(7)], [Some('d'), None]);
        assert_eq!(deadlines.next(), None);
    }
}
