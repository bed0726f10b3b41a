//! Removing history that nobody may read any more, a bounded step at a time.
//!
//! A compaction at `c` first moves the compact revision (an entry of the log, at once, on all
//! members); then every version that no read at `c` or later can find is removed, whenever each
//! member gets round to it. Those are the versions that have a successor at or below `c`, and
//! tombstones below `c`.
//!
//! Only what changed since the previous compaction is looked at. The walk goes over the rows of
//! `REV` from that compact revision to `c`; each row's version supersedes the one before it, so
//! that one is removed; and a tombstone below `c` removes itself. What lies before the walk's start
//! is, of each key, at most one version (the earlier walk left no more) and goes when the walk
//! meets its successor. The start is inclusive: a tombstone exactly at the previous compact
//! revision was kept and goes now.
//!
//! Every step's removals and the place where the next goes on are one batch, so the walk resumes
//! after a restart. A further compaction while a walk is under way restarts from where it stands,
//! with the new goal. The result depends on the last compact revision only, not on the steps.

use super::record::{self, Kind, RevRow, Version};
use super::view::find_row;
use crate::engine::{Batch, Direction, Read};
use crate::fault::Fault;
use crate::ids::Revision;
use crate::layout;

/// How far the removal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The last compact revision whose removal ended.
    pub(crate) finished: Revision,
    /// The next row of `REV` to look at; zero when no walk is under way.
    next: (Revision, u32),
}

impl Progress {
    /// Nothing was ever compacted.
    pub(crate) const NEVER: Progress = Progress {
        finished: NEVER_COMPACTED,
        next: (Revision(0), 0),
    };

    /// What is left to do changes to "everything up to a newer compact revision".
    pub(crate) fn retarget(&mut self) {
        let from = if self.next.0 > Revision(0) {
            self.next.0
        } else {
            self.finished
        };
        // From the first change of that revision: under the old goal its tombstones may have been
        // kept.
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

/// What one step wants written.
pub(crate) struct Step {
    pub(crate) batch: Batch,
    /// Bytes of logical size it frees.
    pub(crate) freed: i64,
    pub(crate) progress: Progress,
}

/// Looks at up to `rows` rows towards the removal of everything superseded at `target`.
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
        if let Some(before) = find_row(read, row.key, row.revision.previous())?
            // A tombstone removes itself when the walk is at it, and the walk is behind it.
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
        self.batch.delete(layout::KV, layout::kv_key(key, revision));
        self.batch
            .delete(layout::REV, layout::rev_key(revision, sub));
        self.freed += record::logical_size(key, value_len);
    }
}
