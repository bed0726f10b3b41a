//! Removal of history that can no longer be read, in bounded steps.
//!
//! A compaction at `c` has two parts. A log entry moves the compact revision, on all members alike.
//! Then each member removes, in its own time, every version that no read at `c` or later can find:
//! the versions with a successor at or below `c`, and tombstones below `c`.
//!
//! The walk visits only the changes since the previous compaction: the rows of `REV` from the
//! previous compact revision to `c`. The version of each row supersedes the one before it, which is
//! removed; a tombstone below `c` removes itself as well. Before the start of the walk each key has
//! at most one version, because the earlier walk left no more, and that version is removed when the
//! walk meets its successor. The start is inclusive: a tombstone exactly at the previous compact
//! revision was kept then and is removed now.
//!
//! For example, with `put a` at 2, `put a` at 3, `delete a` at 4 and a compaction at 4: the row at
//! 2 has nothing before it; the row at 3 removes `a@2`; the row at 4 removes `a@3`, and its
//! tombstone stays. The next compaction, at 5, begins at the row at 4 and removes that tombstone.
//!
//! Invariants:
//!
//! * The removals of a step and the position of the next step are one batch, so the walk resumes
//!   after a restart.
//! * A compaction during a walk continues the walk from its position towards the new revision. The
//!   result depends only on the last compact revision, not on the steps.

use super::record::{self, Kind, RevRow, Version};
use super::view::find_old;
use crate::engine::{Batch, Direction, Read};
use crate::fault::Fault;
use crate::ids::Revision;
use crate::layout;

/// Progress of the removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The last compact revision whose removal ended.
    pub(crate) finished: Revision,
    /// The next row of `REV` to visit; zero when no walk is under way.
    next: (Revision, u32),
}

impl Progress {
    /// Nothing was ever compacted.
    pub(crate) const NEVER: Progress = Progress {
        finished: NEVER_COMPACTED,
        next: (Revision(0), 0),
    };

    /// Makes the walk end at a newer compact revision. Starts a walk if none is under way.
    pub(crate) fn retarget(&mut self) {
        let from = if self.next.0 > Revision(0) {
            self.next.0
        } else {
            self.finished
        };
        // Begin again at the first change of that revision: its tombstones may have been kept
        // because it was the compact revision.
        self.next = (from.max(Revision(1)), 0);
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let row = layout::rev_key(self.next.0, self.next.1);
        [&self.finished.0.to_be_bytes()[..], &row].concat()
    }

    pub(crate) fn decode(row: &[u8]) -> Result<Progress, Fault> {
        row.split_first_chunk::<8>()
            .and_then(|(finished, next)| {
                let finished = Revision(i64::from_be_bytes(*finished));
                Some(Progress {
                    finished,
                    next: layout::split_rev_key(next)?,
                })
            })
            .ok_or_else(|| record::damaged("meta: the progress of the compaction".into()))
    }
}

/// The compact revision of a store that was never compacted.
pub(crate) const NEVER_COMPACTED: Revision = Revision(-1);

/// The result of one step.
pub(crate) struct Step {
    pub(crate) batch: Batch,
    /// The logical size that it frees.
    pub(crate) freed: i64,
    pub(crate) progress: Progress,
}

/// Visits up to `rows` rows of the walk that ends at `target`.
pub(crate) fn step(
    read: &dyn Read,
    progress: Progress,
    target: Revision,
    rows: usize,
) -> Result<Step, Fault> {
    let mut step = Step {
        batch: Batch::default(),
        freed: 0,
        progress,
    };
    let from = layout::rev_key(progress.next.0, progress.next.1);
    let to = layout::rev_key(target.next(), 0);
    let mut scan = read.scan(layout::REV, &from, Some(&to), Direction::Forward)?;
    let mut looked_at = 0;
    while let Some(row) = scan.next()? {
        let row = RevRow::decode(row)?;
        if looked_at == rows {
            step.progress.next = (row.revision, row.sub);
            return Ok(step);
        }
        looked_at += 1;
        if let Some(before) = find_old(read, row.key, row.revision.previous())?
            // A tombstone was removed when the walk visited its own row.
            && before.head.is_put()
        {
            step.remove(row.key, &before);
        }
        if row.kind == Kind::Tombstone && row.revision < target {
            step.remove_version(row.key, row.revision, row.sub, 0);
        }
    }
    step.progress = Progress {
        finished: target,
        next: (Revision(0), 0),
    };
    Ok(step)
}

impl Step {
    fn remove(&mut self, key: &[u8], version: &Version) {
        let head = &version.head;
        self.remove_version(key, head.modified, head.sub, version.value.len());
    }

    fn remove_version(&mut self, key: &[u8], revision: Revision, sub: u32, value_len: usize) {
        self.batch
            .delete(layout::OLD, layout::old_key(key, revision));
        self.batch
            .delete(layout::REV, layout::rev_key(revision, sub));
        self.freed += record::logical_size(key, value_len);
    }
}
