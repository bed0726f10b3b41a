//! Sets of keys, as disjoint intervals.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use crate::mvcc::range::{KeyRange, successor};

/// A set of keys: disjoint half-open intervals, by their start. Intervals that touch are merged. An
/// interval without an end reaches to the last key.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct KeySet {
    intervals: BTreeMap<Bytes, Option<Bytes>>,
}

impl KeySet {
    /// Adds the keys of a range.
    pub(super) fn insert(&mut self, range: &KeyRange) {
        let mut start = range.start().clone();
        let mut end = match range {
            KeyRange::One(key) => Some(successor(key)),
            KeyRange::Between(_, end) => Some(end.clone()),
            KeyRange::From(_) => None,
        };
        if range.is_empty() {
            return;
        }
        // Merge with the intervals that the new one touches: the last one that begins at or before
        // its end, then the one before that, and so on.
        loop {
            let up_to = end.as_ref().map_or(Bound::Unbounded, Bound::Included);
            let mut touching = self.intervals.range::<Bytes, _>((Bound::Unbounded, up_to));
            let Some((other_start, other_end)) = touching.next_back() else {
                break;
            };
            if other_end
                .as_ref()
                .is_some_and(|other_end| *other_end < start)
            {
                break;
            }
            let (other_start, other_end) = (other_start.clone(), other_end.clone());
            self.intervals.remove(&other_start);
            start = start.min(other_start);
            end = match (end, other_end) {
                (Some(end), Some(other_end)) => Some(end.max(other_end)),
                _ => None,
            };
        }
        self.intervals.insert(start, end);
    }

    /// Returns the interval that a key is in, if the set has the key.
    fn interval(&self, key: &[u8]) -> Option<(&Bytes, Option<&Bytes>)> {
        let up_to = (Bound::Unbounded, Bound::Included(key));
        let (start, end) = self.intervals.range::<[u8], _>(up_to).next_back()?;
        let holds = end.as_ref().is_none_or(|end| key < &end[..]);
        holds.then_some((start, end.as_ref()))
    }
}

/// True if the sets together have every key of the range.
///
/// A range that cannot hold a key (`b` to `a`) shows nothing, and is still refused to those who may
/// not touch the keys around it, as in etcd: one set must reach from its end to its start.
pub(super) fn cover<'s>(sets: impl Iterator<Item = &'s KeySet> + Clone, range: &KeyRange) -> bool {
    let mut sets = sets;
    match range {
        KeyRange::One(key) => sets.any(|set| set.interval(key).is_some()),
        KeyRange::Between(start, end) if end <= start => sets.any(|set| {
            let interval = set.interval(start);
            interval.is_some_and(|(from, _)| from < end)
        }),
        KeyRange::Between(start, end) => reach(sets, start, Some(end)),
        KeyRange::From(start) => reach(sets, start, None),
    }
}

/// True if the sets together have every key from `start` to `end`: goes from interval to interval,
/// each time as far as any set reaches.
fn reach<'s>(
    sets: impl Iterator<Item = &'s KeySet> + Clone,
    start: &Bytes,
    end: Option<&Bytes>,
) -> bool {
    let mut position = start;
    loop {
        let mut furthest: Option<&Bytes> = None;
        for set in sets.clone() {
            match set.interval(position) {
                Some((_, None)) => return true,
                Some((_, Some(to))) => furthest = furthest.max(Some(to)),
                None => {}
            }
        }
        let Some(furthest) = furthest else {
            return false;
        };
        if end.is_some_and(|end| furthest >= end) {
            return true;
        }
        position = furthest;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(key: &str, range_end: &str) -> KeyRange {
        let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        KeyRange::of(&bytes(key), &bytes(range_end))
    }

    fn set(ranges: &[(&str, &str)]) -> KeySet {
        let mut set = KeySet::default();
        for (key, range_end) in ranges {
            set.insert(&range(key, range_end));
        }
        set
    }

    #[test]
    fn intervals_that_touch_are_one() {
        let merged = set(&[("c", "e"), ("a", "b"), ("b", "c"), ("x", ""), ("x\0", "y")]);
        assert_eq!(merged, set(&[("a", "e"), ("x", "y")]));
        assert_eq!(
            set(&[("a", "\0"), ("b", "c"), ("z", "")]),
            set(&[("a", "\0")])
        );
        assert_eq!(set(&[("b", "a"), ("b", "b")]), KeySet::default());
    }

    #[test]
    fn a_range_is_covered_by_several_sets_together() {
        let (one, two) = (set(&[("a", "c"), ("x", "\0")]), set(&[("b", "x")]));
        let both = [&one, &two];
        for (key, range_end, by_one, by_both) in [
            ("a", "", true, true),
            ("a", "c", true, true),
            ("a", "c\0", false, true),
            ("a", "\0", false, true),
            ("A", "c", false, false),
            ("x", "\0", true, true),
            ("w", "\0", false, true),
            // No key: only one set that reaches over all of it counts.
            ("w", "c", false, true),
            ("c", "b", false, false),
            ("b", "a", false, false),
            ("b", "A", false, false),
        ] {
            let range = range(key, range_end);
            assert_eq!(cover([&one].into_iter(), &range), by_one, "{range:?}");
            assert_eq!(cover(both.into_iter(), &range), by_both, "{range:?}");
        }
    }

    proptest! {
        /// The sets cover a range of one-letter keys exactly if each of its keys is in one of them.
        #[test]
        fn what_is_covered_key_by_key_is_covered(
            granted in proptest::collection::vec((0..8u8, 0..9u8, 0..3usize), 0..8),
            start in 0..8u8,
            end in 0..9u8,
        ) {
            prop_assume!(start < end);
            let mut sets = vec![KeySet::default(); 3];
            let key = |number: u8| Bytes::from(vec![b'a' + number]);
            for (from, to, of) in &granted {
                // Beyond the last letter there is no end.
                let to = if *to == 8 { Bytes::from_static(b"\0") } else { key(*to) };
                sets[*of].insert(&KeyRange::of(&key(*from), &to));
            }
            let wanted = if end == 8 {
                KeyRange::From(key(start))
            } else {
                KeyRange::Between(key(start), key(end))
            };
            let has = |number| {
                let range = KeyRange::Between(key(number), key(number + 1));
                let open = KeyRange::From(key(number));
                sets.iter().any(|set| cover([set].into_iter(), &range) ||
                    cover([set].into_iter(), &open))
            };
            let expected = (start..end).all(|number| if number == 7 && end == 8 {
                sets.iter().any(|set| cover([set].into_iter(), &KeyRange::From(key(7))))
            } else {
                has(number)
            });
            prop_assert_eq!(cover(sets.iter(), &wanted), expected);
        }
    }
}
