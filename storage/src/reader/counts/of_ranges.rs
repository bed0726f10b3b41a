//! Counts of ranges, updated by each commit.
//!
//! Only a key that is created or deleted changes a count. So the counts of the last few large
//! ranges are kept, and the machine notes what each commit creates and deletes before it publishes
//! the commit.
//!
//! Commits go on while a range is being counted. So its changes are noted from before the count
//! begins, and the result, which is of an earlier revision, is brought up to date with them:
//!
//! ```text
//!   follow        at          end
//!     |           |            |
//!   --o----- +1 --o-- +1 -- -1 o----->   the count at `at` is 7: it is 7 + 1 - 1 now
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::ids::Revision;
use crate::mvcc::range::KeyRange;
use crate::mvcc::{Change, ChangeKind, Changes};

/// Ranges whose counts are kept, and as many that are being counted. Each created or deleted key is
/// compared with all of them.
const RANGES_MAX: usize = 32;
/// Size of the longest bounds of a range that is kept, in bytes.
const BOUNDS_BYTES_MAX: usize = 4 << 10;
/// A range with fewer keys is counted each time.
const KEYS_MIN: i64 = if cfg!(test) { 3 } else { 1000 };
/// Steps of a range: enough for those that a quick cluster makes while a million keys are counted.
const STEPS_MAX: usize = if cfg!(test) { 4 } else { 8 << 10 };

/// Ranges whose counts are updated by each commit.
#[derive(Debug, Default)]
pub(super) struct RangeCounts {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The revision up to which changes were noted.
    noted: Revision,
    /// Ranges that are being counted, by the number of their [`Following`].
    counting: Vec<(u64, Followed)>,
    next_number: u64,
    /// Ranges with a count. The one that was used last is the last one.
    counted: VecDeque<Followed>,
}

/// A range with its count and the latest changes of the count.
#[derive(Debug)]
struct Followed {
    range: KeyRange,
    /// The earliest revision of which the count is known, and all later changes.
    since: Revision,
    /// The count at the newest revision; while the range is being counted, only the sum of `steps`
    /// so far.
    count: i64,
    /// Revisions after `since` that have changed the count, in order, and by how much.
    steps: VecDeque<(Revision, i64)>,
}

/// Registration of a range that is being counted. Dropping it without [`Following::end`] discards
/// the range.
#[derive(Debug)]
pub(super) struct Following<'a> {
    counts: &'a RangeCounts,
    number: u64,
}

impl RangeCounts {
    /// Returns the number of keys that `range` has at `at`, a published revision, if it is known.
    pub(super) fn of(&self, range: &KeyRange, at: Revision) -> Option<i64> {
        let counted = &mut self.state.lock().counted;
        let is_it = |known: &Followed| known.range == *range && known.since <= at;
        let position = counted.iter().rposition(is_it)?;
        let known = counted.remove(position)?;
        let count = known.at(at);
        counted.push_back(known);
        Some(count)
    }

    /// Registers a range that is about to be counted, so that its changes are noted. Returns `None`
    /// if its bounds are too long, or if too many ranges are being counted.
    pub(super) fn follow(&self, range: KeyRange) -> Option<Following<'_>> {
        let bounds_bytes = match &range {
            KeyRange::One(_) => return None,
            KeyRange::Between(start, end) => start.len() + end.len(),
            KeyRange::From(start) => start.len(),
        };
        let mut state = self.state.lock();
        if bounds_bytes > BOUNDS_BYTES_MAX || state.counting.len() == RANGES_MAX {
            return None;
        }
        let number = state.next_number;
        state.next_number += 1;
        let followed = Followed {
            range,
            since: state.noted,
            count: 0,
            steps: VecDeque::new(),
        };
        state.counting.push((number, followed));
        Some(Following {
            counts: self,
            number,
        })
    }

    /// Notes the changes that led to `revision`, which is published after it. If revisions were
    /// left out, as by a snapshot, nothing is known any more.
    pub(super) fn note(&self, changes: &[Arc<Changes>], revision: Revision) {
        let state = &mut *self.state.lock();
        for changes in changes {
            if changes.revision != state.noted.next() {
                state.clear();
            }
            state.noted = changes.revision;
            let counting = state.counting.iter_mut().map(|(_, followed)| followed);
            for followed in counting.chain(&mut state.counted) {
                followed.note(changes);
            }
        }
        if revision != state.noted {
            state.clear();
            state.noted = revision;
        }
    }

    pub(super) fn clear(&self) {
        self.state.lock().clear();
    }
}

impl State {
    fn clear(&mut self) {
        self.counting.clear();
        self.counted.clear();
    }
}

impl Followed {
    fn note(&mut self, changes: &Changes) {
        let step = |change: &Change| match change.kind {
            ChangeKind::Put if change.kv.version == 1 => 1,
            ChangeKind::Put => 0,
            ChangeKind::Delete => -1,
        };
        let inside = |change: &&Change| step(change) != 0 && self.range.contains(&change.kv.key);
        let by: i64 = changes.changes.iter().filter(inside).map(step).sum();
        if by == 0 {
            return;
        }
        self.count += by;
        self.steps.push_back((changes.revision, by));
        if self.steps.len() > STEPS_MAX
            && let Some((revision, _)) = self.steps.pop_front()
        {
            self.since = revision;
        }
    }

    /// The count at `at`, which is not before `since`.
    fn at(&self, at: Revision) -> i64 {
        // Reads are mostly at the newest revision.
        let later = self.steps.iter().rev().take_while(|step| step.0 > at);
        self.count - later.map(|step| step.1).sum::<i64>()
    }
}

impl Following<'_> {
    /// Keeps the count that the range has at `at`, if all changes since then were noted.
    pub(super) fn end(self, at: Revision, count: i64) {
        let state = &mut *self.counts.state.lock();
        let position = state.counting.iter().position(|(of, _)| *of == self.number);
        let Some(position) = position else { return };
        let (_, mut followed) = state.counting.swap_remove(position);
        if count < KEYS_MIN || at < followed.since {
            return;
        }
        followed.count += count - followed.at(at);
        followed.steps.retain(|step| step.0 > at);
        followed.since = at;
        // A copy, because the bounds may be slices of something larger.
        let copy = Bytes::copy_from_slice;
        followed.range = KeyRange::of(
            &copy(followed.range.start()),
            &copy(&followed.range.range_end()),
        );
        state.counted.retain(|other| other.range != followed.range);
        if state.counted.len() == RANGES_MAX {
            state.counted.pop_front();
        }
        state.counted.push_back(followed);
    }
}

impl Drop for Following<'_> {
    fn drop(&mut self) {
        let counting = &mut self.counts.state.lock().counting;
        counting.retain(|(number, _)| *number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use conclave_proto::mvccpb::KeyValue;

    use super::*;

    fn range() -> KeyRange {
        KeyRange::prefix("k".into())
    }

    fn put(key: &'static str, version: i64) -> Change {
        let kv = KeyValue {
            key: key.into(),
            version,
            ..KeyValue::default()
        };
        Change::put(kv, None)
    }

    fn delete(key: &'static str) -> Change {
        Change::delete(key.into(), Revision(1), None)
    }

    fn note(counts: &RangeCounts, revision: i64, changes: Vec<Change>) {
        let revision = Revision(revision);
        let changes = Changes::new(revision, changes);
        counts.note(&[Arc::new(changes)], revision);
    }

    /// Counts of a store at revision 10.
    fn at_ten() -> RangeCounts {
        let counts = RangeCounts::default();
        counts.note(&[], Revision(10));
        counts
    }

    fn known(counts: &RangeCounts, from: i64, through: i64) -> Vec<Option<i64>> {
        (from..=through)
            .map(|at| counts.of(&range(), Revision(at)))
            .collect()
    }

    #[test]
    fn a_count_follows_keys_that_are_created_and_deleted() {
        let counts = at_ten();
        counts.follow(range()).unwrap().end(Revision(10), 7);
        note(
            &counts,
            11,
            vec![put("k1", 1), put("k2", 1), put("other", 1)],
        );
        note(&counts, 12, vec![put("k1", 2), delete("other")]);
        note(&counts, 13, vec![delete("k1"), delete("k5"), delete("k6")]);
        assert_eq!(
            known(&counts, 9, 13),
            [None, Some(7), Some(9), Some(9), Some(6)]
        );
        assert_eq!(counts.of(&KeyRange::From("k".into()), Revision(13)), None);
    }

    /// The count is of a revision before some of the changes that were noted meanwhile.
    #[test]
    fn changes_during_a_count_are_part_of_it() {
        let counts = at_ten();
        let following = counts.follow(range()).unwrap();
        note(&counts, 11, vec![put("k1", 1)]);
        note(&counts, 12, vec![put("k2", 1)]);
        note(&counts, 13, vec![delete("k1")]);
        following.end(Revision(11), 8);
        assert_eq!(known(&counts, 10, 13), [None, Some(8), Some(9), Some(8)]);
    }

    /// Changes between the count and the beginning are not known.
    #[test]
    fn a_count_of_an_earlier_revision_is_not_kept() {
        let counts = at_ten();
        let following = counts.follow(range()).unwrap();
        following.end(Revision(9), 8);
        assert_eq!(known(&counts, 8, 10), [None; 3]);
    }

    #[test]
    fn only_the_last_steps_are_known() {
        let counts = at_ten();
        let during = counts.follow(range()).unwrap();
        counts.follow(range()).unwrap().end(Revision(10), 7);
        for revision in 11..=10 + STEPS_MAX as i64 {
            note(&counts, revision, vec![put("k", 1)]);
        }
        assert_eq!(counts.of(&range(), Revision(10)), Some(7));
        note(&counts, 15, vec![put("k", 1)]);
        assert_eq!(known(&counts, 10, 12), [None, Some(8), Some(9)]);
        assert_eq!(counts.of(&range(), Revision(15)), Some(12));
        counts.clear();
        during.end(Revision(10), 7);
        assert_eq!(known(&counts, 10, 15), [None; 6]);
    }

    #[test]
    fn a_jump_of_the_revision_forgets_everything() {
        for revisions in [12..=12, 11..=12] {
            let counts = at_ten();
            let during = counts.follow(range()).unwrap();
            counts.follow(range()).unwrap().end(Revision(10), 7);
            match revisions.clone().count() {
                1 => counts.note(&[], Revision(12)),
                _ => note(&counts, 12, vec![put("k", 1)]),
            }
            during.end(Revision(10), 7);
            assert_eq!(known(&counts, 10, 12), [None; 3], "{revisions:?}");
        }
    }

    #[test]
    fn what_is_followed_is_bounded() {
        let counts = at_ten();
        let long = Bytes::from(vec![b'k'; BOUNDS_BYTES_MAX + 1]);
        assert!(counts.follow(KeyRange::From(long)).is_none());
        assert!(counts.follow(KeyRange::One("k".into())).is_none());
        let mut all: Vec<_> = (0..RANGES_MAX).map(|_| counts.follow(range())).collect();
        assert!(counts.follow(range()).is_none());
        all.truncate(1);
        counts
            .follow(range())
            .unwrap()
            .end(Revision(10), KEYS_MIN - 1);
        assert_eq!(counts.of(&range(), Revision(10)), None);
        counts.follow(range()).unwrap().end(Revision(10), KEYS_MIN);
        for n in 1..RANGES_MAX {
            let other = KeyRange::prefix(n.to_string().into());
            counts.follow(other).unwrap().end(Revision(10), 100);
        }
        // It is used, so another one makes room.
        assert_eq!(counts.of(&range(), Revision(10)), Some(KEYS_MIN));
        let last = KeyRange::prefix("last".into());
        counts.follow(last).unwrap().end(Revision(10), 100);
        assert_eq!(counts.of(&range(), Revision(10)), Some(KEYS_MIN));
        let first = KeyRange::prefix("1".into());
        assert_eq!(counts.of(&first, Revision(10)), None);
        assert_eq!(counts.state.lock().counting.len(), 1);
    }
}
