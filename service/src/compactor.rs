//! Automatic compaction, by etcd's rules (`--auto-compaction-mode`, `--auto-compaction-retention`).
//!
//! Every member samples its revision at regular intervals, and only the leader compacts. All
//! members keep the samples, so a new leader continues where the old one was. The members need no
//! agreement for this: the state machine refuses a compaction that is done already, and the refusal
//! counts as done.
//!
//! *Periodic.* A sample is due every tenth of the period, or every six minutes if the period is
//! longer than an hour. The oldest sample kept is one period old. The first compaction happens one
//! period after the start. The next ones follow at intervals of the period, or of an hour if the
//! period is longer.
//!
//! *Revision.* A sample is due every five minutes, and the latest revisions are kept.
//!
//! A compaction that failed is retried at the next sample.

use std::collections::VecDeque;
use std::time::Duration;

use conclave_proto::ApiError;
use conclave_proto::etcdserverpb::CompactionRequest;

use crate::config::AutoCompaction;
use conclave_core::clock::Moment;
use conclave_core::handle::{Handle, ProposeError, Rejected};

/// Upper bound of the time between two compactions, however long the period is.
const LONGEST_INTERVAL: Duration = Duration::from_secs(3600);
/// Number of samples in the interval between two compactions.
const LOOKS_PER_INTERVAL: u32 = 10;
/// Interval between two samples in the mode `revision`.
const REVISION_INTERVAL: Duration = Duration::from_secs(300);

/// Compacts until the member stops.
pub(crate) async fn run(handle: Handle, retention: AutoCompaction) {
    let stopping = handle.stopping().clone();
    tokio::select! {
        () = follow(&handle, retention) => {}
        () = stopping.cancelled() => {}
    }
}

async fn follow(handle: &Handle, retention: AutoCompaction) {
    let revision = || handle.reader().applied().revision.0;
    let mut compactor = Compactor::new(retention, handle.clock().now(), revision());
    loop {
        tokio::time::sleep(compactor.interval()).await;
        let is_leader = handle.status().is_leader;
        let due = compactor.look(handle.clock().now(), revision(), is_leader);
        let Some(revision) = due else { continue };
        let request = CompactionRequest {
            revision,
            physical: false,
        };
        match handle.propose(request).await {
            // Rejected: a client has compacted in the meantime.
            Ok(_) | Err(ProposeError::Rejected(Rejected(ApiError::Compacted))) => {
                compactor.compacted(handle.clock().now(), revision);
                tracing::info!(revision, ?retention, "compacted automatically");
            }
            Err(error) => {
                let retry_seconds = compactor.interval().as_secs_f64();
                tracing::warn!(
                    revision,
                    ?retention,
                    retry_seconds,
                    %error,
                    "automatic compaction failed; it will be retried"
                );
            }
        }
    }
}

/// Decides when to compact, and to which revision. Does no I/O.
#[derive(Debug)]
struct Compactor {
    retention: AutoCompaction,
    /// Sampled revisions, oldest first. Only in the mode `periodic`.
    notes: VecDeque<i64>,
    /// The revision of the last compaction.
    compacted: i64,
    /// Time of the last compaction; at first, the time of the start.
    compacted_at: Moment,
    /// Whether one period has passed since the start.
    is_first_due: bool,
}

impl Compactor {
    fn new(retention: AutoCompaction, now: Moment, revision: i64) -> Compactor {
        Compactor {
            retention,
            notes: VecDeque::from([revision]),
            compacted: 0,
            compacted_at: now,
            is_first_due: false,
        }
    }

    /// Returns the time between two samples.
    fn interval(&self) -> Duration {
        match self.retention {
            AutoCompaction::Periodic(period) => period.min(LONGEST_INTERVAL) / LOOKS_PER_INTERVAL,
            AutoCompaction::Revision(_) => REVISION_INTERVAL,
        }
    }

    /// Takes a sample: the state is at `revision`. Returns the revision to compact to, if a
    /// compaction is due.
    fn look(&mut self, now: Moment, revision: i64, is_leader: bool) -> Option<i64> {
        let candidate = match self.retention {
            AutoCompaction::Periodic(period) => {
                let oldest = self.notes.front().copied();
                self.note(period, revision);
                oldest.filter(|_| is_leader && self.is_time(now, period))?
            }
            AutoCompaction::Revision(kept) => {
                Some(revision - kept).filter(|&candidate| is_leader && candidate > 0)?
            }
        };
        (candidate != self.compacted).then_some(candidate)
    }

    fn note(&mut self, period: Duration, revision: i64) {
        self.notes.push_back(revision);
        // One for each sample in the period, and one for its start. A period that is not a multiple
        // of the interval is rounded down by less than an interval, as in etcd.
        let looks = period.as_nanos() / self.interval().as_nanos();
        while self.notes.len() as u128 > looks + 1 {
            self.notes.pop_front();
        }
    }

    fn is_time(&mut self, now: Moment, period: Duration) -> bool {
        let wait = match self.is_first_due {
            true => period.min(LONGEST_INTERVAL),
            false => period,
        };
        let is_time = now.since(self.compacted_at) >= wait;
        self.is_first_due |= is_time;
        is_time
    }

    /// Records that the compaction to this revision is done.
    fn compacted(&mut self, now: Moment, revision: i64) {
        self.compacted = revision;
        self.compacted_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_secs(3600);

    /// A compactor and its clock. The revision is 100 times the number of the sample.
    struct World {
        compactor: Compactor,
        now: Moment,
        looks: i64,
    }

    impl World {
        fn new(retention: AutoCompaction) -> World {
            World {
                compactor: Compactor::new(retention, Moment(0), 100),
                now: Moment(0),
                looks: 0,
            }
        }

        /// One interval later.
        fn look(&mut self, is_leader: bool) -> Option<i64> {
            self.now = self.now.after(self.compactor.interval());
            self.looks += 1;
            let revision = 100 * (self.looks + 1);
            self.compactor.look(self.now, revision, is_leader)
        }

        /// Takes samples as the leader, and every compaction succeeds. Returns the time and
        /// revision of each compaction.
        fn lead(&mut self, looks: usize) -> Vec<(Duration, i64)> {
            let mut done = Vec::new();
            for _ in 0..looks {
                if let Some(revision) = self.look(true) {
                    self.compactor.compacted(self.now, revision);
                    done.push((self.now.since(Moment(0)), revision));
                }
            }
            done
        }
    }

    #[test]
    fn a_short_period_is_kept_and_is_the_interval() {
        let mut world = World::new(AutoCompaction::Periodic(5 * SECOND));
        assert_eq!(world.compactor.interval(), SECOND / 2);
        // To the revision that was current five seconds before, or a sample earlier.
        let expected = [(5, 100), (10, 1_000), (15, 2_000)];
        let expected = expected.map(|(seconds, revision)| (seconds * SECOND, revision));
        assert_eq!(world.lead(34), expected);
    }

    #[test]
    fn a_long_period_is_compacted_every_hour() {
        let mut world = World::new(AutoCompaction::Periodic(3 * HOUR));
        assert_eq!(world.compactor.interval(), HOUR / 10);
        // To the revision that was current three hours before, or a sample earlier.
        let expected = [(3, 100), (4, 1_000), (5, 2_000)];
        let expected = expected.map(|(hours, revision)| (hours * HOUR, revision));
        assert_eq!(world.lead(50), expected);
    }

    #[test]
    fn notes_do_not_grow_beyond_the_period() {
        let mut world = World::new(AutoCompaction::Periodic(3 * HOUR));
        world.lead(1_000);
        assert_eq!(world.compactor.notes.len(), 31);
    }

    #[test]
    fn a_follower_notes_and_leaves_it_to_the_leader() {
        let mut world = World::new(AutoCompaction::Periodic(10 * SECOND));
        assert!((0..25).all(|_| world.look(false).is_none()));
        // The member becomes the leader, and has the revision of ten seconds before.
        assert_eq!(world.lead(1), [(26 * SECOND, 1_600)]);
    }

    #[test]
    fn what_failed_is_tried_again_at_the_next_look() {
        let mut world = World::new(AutoCompaction::Periodic(10 * SECOND));
        assert_eq!(world.lead(9), []);
        assert_eq!(world.look(true), Some(100));
        // The compaction was not done, so the next sample asks for it again.
        assert_eq!(world.look(true), Some(100));
        assert_eq!(world.lead(1), [(12 * SECOND, 200)]);
        assert_eq!(world.lead(9), []);
    }

    #[test]
    fn what_is_compacted_is_not_compacted_again() {
        let mut compactor = Compactor::new(AutoCompaction::Periodic(SECOND), Moment(0), 7);
        let mut due = Vec::new();
        for tenth in 1..=100 {
            let now = Moment(100 * tenth);
            if let Some(revision) = compactor.look(now, 7, true) {
                compactor.compacted(now, revision);
                due.push(revision);
            }
        }
        assert_eq!(due, [7]);
    }

    #[test]
    fn the_latest_revisions_are_kept() {
        let mut world = World::new(AutoCompaction::Revision(250));
        assert_eq!(world.compactor.interval(), 300 * SECOND);
        assert_eq!(world.look(true), None, "there are fewer");
        assert_eq!(world.look(true), Some(50));
        assert_eq!(world.look(false), None, "the leader does it");
        assert_eq!(world.lead(1), [(1_200 * SECOND, 250)]);
        // Nothing was written since.
        let (now, revision) = (world.now, 500);
        assert_eq!(world.compactor.look(now, revision, true), None);
    }
}
