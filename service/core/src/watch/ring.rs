//! The tail of history in memory, bounded in bytes.
//!
//! The applier pushes each revision's changes. The hub, and streams that lag a little, read from
//! any revision that the ring still holds. Revisions in the ring are consecutive, so finding one is
//! arithmetic. When the state jumps (a snapshot was installed), the ring restarts after the jump,
//! and reads of earlier revisions return [`Found::Overrun`].

use std::collections::VecDeque;
use std::sync::Arc;

use conclave_storage::Revision;
use conclave_storage::machine::Changes;

/// The tail of history in memory.
#[derive(Debug)]
pub(crate) struct Ring {
    changes: VecDeque<Arc<Changes>>,
    /// Last revision that happened; its changes may not be in the ring.
    newest: Revision,
    /// Compact revision. The ring may still hold revisions below it.
    compacted: Revision,
    bytes: usize,
    bytes_max: usize,
}

/// Limits of a read. At least one revision is returned if there is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadMax {
    /// Number of revisions.
    pub(crate) revisions: usize,
    /// Bytes of their changes.
    pub(crate) bytes: usize,
}

/// Result of a read.
#[derive(Debug)]
pub(crate) enum Found {
    /// No revision at or after the requested one has happened.
    UpToDate,
    /// Changes from the requested revision on, and true if nothing newer is in the ring.
    Changes(Vec<Arc<Changes>>, bool),
    /// The ring no longer holds the requested revision. Contains the newest revision.
    Overrun(Revision),
}

impl Ring {
    /// Creates an empty ring for a state at revision `newest` that was never compacted.
    pub(crate) fn new(bytes_max: usize, newest: Revision) -> Ring {
        Ring {
            changes: VecDeque::new(),
            newest,
            compacted: Revision(-1),
            bytes: 0,
            bytes_max,
        }
    }

    /// Adds the changes of one commit, in order; `applied` is the revision applied after it. The
    /// last revision stays in the ring even if it alone exceeds the bound, since its memory is
    /// already allocated.
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

    /// Records that the state is compacted at this revision.
    pub(crate) fn compact(&mut self, compacted: Revision) {
        self.compacted = self.compacted.max(compacted);
    }

    /// Returns the compact revision.
    pub(crate) fn compacted(&self) -> Revision {
        self.compacted
    }

    /// Returns the last revision that happened.
    pub(crate) fn newest(&self) -> Revision {
        self.newest
    }

    /// Reads the changes from `from` on.
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

    /// Returns the last changes up to `through`, in order and within `max`.
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

    /// A snapshot from the leader moves the state by many revisions whose changes this member never
    /// had.
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
