//! The tail of history in memory, bounded in bytes.
//!
//! The applier pushes each revision's changes; the hub, and streams that are a little behind, read
//! from any revision that is still here. Revisions in the ring follow each other without a gap, so
//! finding one is arithmetic. When the state jumps (a snapshot was installed) the ring starts again
//! after the jump, and everyone who asks for less is told that it is gone.

use std::collections::VecDeque;
use std::sync::Arc;

use conclave_storage::Revision;
use conclave_storage::machine::Changes;

/// See the module.
#[derive(Debug)]
pub(crate) struct Ring {
    changes: VecDeque<Arc<Changes>>,
    /// The last revision that happened, whether or not its changes are here.
    newest: Revision,
    /// The compact revision. What is below it may be here all the same.
    compacted: Revision,
    bytes: usize,
    bytes_max: usize,
}

/// How much a read returns at most. At least one revision is returned if there is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadMax {
    /// Revisions.
    pub(crate) revisions: usize,
    /// Bytes of their changes.
    pub(crate) bytes: usize,
}

/// What a read found.
#[derive(Debug)]
pub(crate) enum Found {
    /// Nothing has happened at or after the revision.
    UpToDate,
    /// The changes from the revision on, and whether they are all there are.
    Changes(Vec<Arc<Changes>>, bool),
    /// The ring no longer has the revision. The newest is given.
    Overrun(Revision),
}

impl Ring {
    /// An empty ring for a state at revision `newest` that was never compacted.
    pub(crate) fn new(bytes_max: usize, newest: Revision) -> Ring {
        Ring {
            changes: VecDeque::new(),
            newest,
            compacted: Revision(-1),
            bytes: 0,
            bytes_max,
        }
    }

    /// Takes what one commit changed, in order, and the revision applied after it. The revision
    /// applied last stays in the ring even if it alone exceeds the bound; its memory is there
    /// already.
    pub(crate) fn push(&mut self, changes: &[Arc<Changes>], applied: Revision) {
        for change in changes {
            assert!(
                change.revision > self.newest,
                "revision {} was pushed after {}",
                change.revision,
                self.newest
            );
            if change.revision > self.newest.next() {
                self.clear();
            }
            self.newest = change.revision;
            self.bytes += change.bytes;
            self.changes.push_back(Arc::clone(change));
        }
        assert!(
            applied >= self.newest,
            "{applied} was applied after {}",
            self.newest
        );
        if applied > self.newest {
            self.clear();
            self.newest = applied;
        }
        while self.bytes > self.bytes_max && self.changes.len() > 1 {
            let oldest = self.changes.pop_front().expect("there are two");
            self.bytes -= oldest.bytes;
        }
    }

    /// The state is compacted at this revision.
    pub(crate) fn compact(&mut self, compacted: Revision) {
        self.compacted = self.compacted.max(compacted);
    }

    /// The compact revision.
    pub(crate) fn compacted(&self) -> Revision {
        self.compacted
    }

    /// The last revision that happened.
    pub(crate) fn newest(&self) -> Revision {
        self.newest
    }

    /// The changes from `from` on.
    pub(crate) fn read(&self, from: Revision, max: ReadMax) -> Found {
        if from > self.newest {
            return Found::UpToDate;
        }
        let Some(first) = self.position(from) else {
            return Found::Overrun(self.newest);
        };
        let mut bytes = 0;
        let found: Vec<_> = self
            .changes
            .range(first..)
            .take(max.revisions)
            .take_while(|changes| {
                let fits = bytes == 0 || bytes + changes.bytes <= max.bytes;
                bytes += changes.bytes;
                fits
            })
            .cloned()
            .collect();
        let all = first + found.len() == self.changes.len();
        Found::Changes(found, all)
    }

    /// The last changes up to `through`, as many as there are and as `max` allows, in order.
    pub(crate) fn tail(&self, through: Revision, max: ReadMax) -> Vec<Arc<Changes>> {
        let Some(last) = self.position(through) else {
            return Vec::new();
        };
        let mut bytes = 0;
        let count = self
            .changes
            .range(..=last)
            .rev()
            .take(max.revisions)
            .take_while(|changes| {
                bytes += changes.bytes;
                bytes <= max.bytes
            })
            .count();
        self.changes
            .range(last + 1 - count..=last)
            .cloned()
            .collect()
    }

    fn position(&self, revision: Revision) -> Option<usize> {
        let oldest = self.changes.front()?.revision;
        let position = usize::try_from(revision.0.checked_sub(oldest.0)?).ok()?;
        (position < self.changes.len()).then_some(position)
    }

    fn clear(&mut self) {
        self.changes.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: ReadMax = ReadMax {
        revisions: 100,
        bytes: 1000,
    };

    fn changes(revision: i64) -> Arc<Changes> {
        Arc::new(Changes {
            revision: Revision(revision),
            changes: Vec::new(),
            bytes: 10,
        })
    }

    fn push(ring: &mut Ring, revisions: impl IntoIterator<Item = i64>) {
        for revision in revisions {
            ring.push(&[changes(revision)], Revision(revision));
        }
    }

    fn read(ring: &Ring, from: i64, max: ReadMax) -> String {
        match ring.read(Revision(from), max) {
            Found::UpToDate => "up to date".to_owned(),
            Found::Overrun(newest) => format!("overrun, newest {newest}"),
            Found::Changes(found, all) => {
                let revisions: Vec<_> = found.iter().map(|c| c.revision.0).collect();
                format!("{revisions:?}{}", if all { " all" } else { "" })
            }
        }
    }

    #[test]
    fn keeps_the_tail_that_fits() {
        let mut ring = Ring::new(35, Revision(1));
        assert_eq!(read(&ring, 2, ALL), "up to date");
        assert_eq!(read(&ring, 1, ALL), "overrun, newest 1");
        push(&mut ring, 2..=6);
        assert_eq!(read(&ring, 3, ALL), "overrun, newest 6");
        assert_eq!(read(&ring, 4, ALL), "[4, 5, 6] all");
        assert_eq!(read(&ring, 7, ALL), "up to date");
    }

    #[test]
    fn reads_no_more_than_asked_but_at_least_one() {
        let mut ring = Ring::new(1000, Revision(1));
        push(&mut ring, 2..=6);
        assert_eq!(
            read(
                &ring,
                2,
                ReadMax {
                    revisions: 2,
                    bytes: 1000
                }
            ),
            "[2, 3]"
        );
        assert_eq!(
            read(
                &ring,
                2,
                ReadMax {
                    revisions: 9,
                    bytes: 30
                }
            ),
            "[2, 3, 4]"
        );
        assert_eq!(
            read(
                &ring,
                2,
                ReadMax {
                    revisions: 9,
                    bytes: 1
                }
            ),
            "[2]"
        );
        assert_eq!(
            read(
                &ring,
                6,
                ReadMax {
                    revisions: 9,
                    bytes: 1
                }
            ),
            "[6] all"
        );
    }

    #[test]
    fn the_tail_ends_where_asked() {
        let mut ring = Ring::new(1000, Revision(1));
        push(&mut ring, 2..=6);
        let tail = |through: i64, revisions: usize, bytes: usize| -> Vec<i64> {
            let tail = ring.tail(Revision(through), ReadMax { revisions, bytes });
            tail.iter().map(|c| c.revision.0).collect()
        };
        assert_eq!(tail(5, 2, 1000), [4, 5]);
        assert_eq!(tail(5, 9, 30), [3, 4, 5]);
        assert_eq!(tail(6, 9, 1000), [2, 3, 4, 5, 6]);
        assert!(tail(6, 9, 9).is_empty());
        assert!(tail(1, 9, 1000).is_empty());
        assert!(tail(7, 9, 1000).is_empty());
    }

    /// One revision larger than the whole ring is still delivered.
    #[test]
    fn the_newest_stays_however_large() {
        let mut ring = Ring::new(5, Revision(1));
        push(&mut ring, 2..=3);
        assert_eq!(read(&ring, 3, ALL), "[3] all");
    }

    /// A snapshot from the leader moves the state by many revisions whose changes nobody here saw.
    #[test]
    fn a_jump_starts_the_ring_again() {
        let mut ring = Ring::new(1000, Revision(1));
        push(&mut ring, 2..=3);
        ring.push(&[], Revision(10));
        assert_eq!(read(&ring, 3, ALL), "overrun, newest 10");
        assert_eq!(read(&ring, 11, ALL), "up to date");
        push(&mut ring, [11]);
        assert_eq!(read(&ring, 11, ALL), "[11] all");
        push(&mut ring, [20]);
        assert_eq!(read(&ring, 12, ALL), "overrun, newest 20");
        assert_eq!(read(&ring, 20, ALL), "[20] all");
    }
}
