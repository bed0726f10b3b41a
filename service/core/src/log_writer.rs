//! The thread that puts the raft log on disk while the driver continues.
//!
//! With followers, the driver must not wait for the disk: it sends the same entries to the
//! followers at the same time, answers heartbeats, and takes acknowledgements. So appends go to
//! this thread, and it answers with a [`Control::Persisted`] in the driver's mailbox. All appends
//! that are queued when a sync ends are written with one more sync: see [`merge`].
//!
//! A sole voter has nothing else to do while its disk is busy, and two thread switches an entry
//! cost as much as the proposal itself. There the driver appends directly, and this thread sleeps.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use conclave_storage::Fault;
use conclave_storage::log::{Append, Log};
use conclave_storage::state_store::StateStore;

use crate::clock::Stopwatch;
use crate::consensus::{Position, Restore};
use crate::limits;
use crate::mailbox::{Control, Mailbox};
use crate::observe::{Observation, Observer};
use crate::trace::Span;

/// A job for the disk, with the number of the work it is part of.
#[derive(Debug)]
pub(crate) enum Job {
    /// Writes to the log; see [`Append`]. With the spans of the commands in it that are traced.
    Append(u64, Append, Vec<Span>),
    /// Replaces state and log by a received snapshot.
    Restore {
        number: u64,
        /// The folder of the new state.
        dir: PathBuf,
        restore: Restore,
        /// The append after the snapshot, with the same number.
        append: Option<Append>,
    },
}

/// Creates the queue to the log writer. It is bounded: the driver waits when it is full, because
/// otherwise the driver would only produce more. The writer never waits for the driver, so the wait
/// ends.
pub(crate) fn queue() -> (SyncSender<Job>, Receiver<Job>) {
    sync_channel(limits::LOG_QUEUE_MAX)
}

/// Owns the writing side of the log.
pub(crate) struct LogWriter {
    pub(crate) log: Arc<Log>,
    pub(crate) states: Arc<dyn StateStore>,
    pub(crate) jobs: Receiver<Job>,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) observer: Arc<dyn Observer>,
}

impl LogWriter {
    /// Runs the thread, one turn after another. Ends when the driver has dropped its end of the
    /// queue.
    pub(crate) fn run(self) -> Result<(), Fault> {
        while let Ok(job) = self.jobs.recv() {
            self.turn(job)?;
        }
        Ok(())
    }

    /// Writes this job, with the appends that are queued behind it. Blocks only for the disk.
    fn turn(&self, job: Job) -> Result<(), Fault> {
        let mut next = Some(job);
        while let Some(job) = next.take() {
            let number = match job {
                Job::Append(mut number, mut append, mut spans) => {
                    while let Ok(later) = self.jobs.try_recv() {
                        let Job::Append(later_number, later, later_spans) = later else {
                            next = Some(later);
                            break;
                        };
                        number = later_number;
                        append = merge(append, later);
                        spans.extend(later_spans);
                    }
                    timed(&self.log, &append, &*self.observer)?;
                    drop(spans);
                    number
                }
                Job::Restore {
                    number,
                    dir,
                    restore,
                    append,
                } => {
                    let Position { index, term } = restore.position;
                    self.states.install(&dir, index, term)?;
                    self.log.restore(index, term, restore.configuration)?;
                    if let Some(append) = append {
                        timed(&self.log, &append, &*self.observer)?;
                    }
                    number
                }
            };
            self.mailbox.control(Control::Persisted(number));
        }
        Ok(())
    }

    /// Takes a turn with the queued jobs. Returns false if there was nothing to do.
    pub(crate) fn turn_now(&self) -> Result<bool, Fault> {
        match self.jobs.try_recv() {
            Ok(job) => self.turn(job).map(|()| true),
            Err(_) => Ok(false),
        }
    }
}

/// Appends, and reports bytes and duration to the observer.
pub(crate) fn timed(log: &Log, append: &Append, observer: &dyn Observer) -> Result<(), Fault> {
    let bytes: usize = append.entries.iter().map(|entry| entry.data.len()).sum();
    let begun = Stopwatch::start();
    log.append(append)?;
    observer.observe(Observation::LogWritten {
        bytes,
        synced: append.sync,
        took: begun.elapsed(),
    });
    Ok(())
}

/// Merges two appends into one with the same effect as both in order.
pub(crate) fn merge(mut first: Append, second: Append) -> Append {
    if let Some(start) = second.entries.first().map(|entry| entry.index) {
        // Entries that the second append replaces need not be written. If the second begins before
        // the first, all of the first is dropped, and the second's truncation covers the first's.
        first.entries.retain(|entry| entry.index < start);
        first.entries.extend(second.entries);
    }
    Append {
        entries: first.entries,
        hard_state: second.hard_state.or(first.hard_state),
        conf_state: second.conf_state.or(first.conf_state),
        sync: first.sync || second.sync,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use conclave_storage::engine::memory::MemoryEngine;
    use conclave_storage::log::{Entry, EntryKind, HardState};
    use conclave_storage::state_store::memory::MemoryStates;
    use conclave_storage::{Index, MemberId, Term};

    use super::*;
    use crate::mailbox::Waiting;
    use crate::observe::Unobserved;

    fn append(indexes: impl IntoIterator<Item = u64>, term: u64, sync: bool) -> Append {
        let entry = |index| Entry {
            index: Index(index),
            term: Term(term),
            kind: EntryKind::Normal,
            data: Bytes::new(),
        };
        Append {
            entries: indexes.into_iter().map(entry).collect(),
            hard_state: None,
            conf_state: None,
            sync,
        }
    }

    fn positions(append: &Append) -> Vec<(u64, u64)> {
        append
            .entries
            .iter()
            .map(|entry| (entry.index.0, entry.term.0))
            .collect()
    }

    #[test]
    fn entries_that_follow_are_added() {
        let merged = merge(append(4..=5, 1, true), append(6..=6, 1, false));
        assert_eq!(positions(&merged), [(4, 1), (5, 1), (6, 1)]);
        assert!(merged.sync);
    }

    #[test]
    fn entries_that_replace_leave_no_trace_of_the_replaced() {
        let merged = merge(append(4..=6, 1, true), append(5..=5, 2, true));
        assert_eq!(positions(&merged), [(4, 1), (5, 2)]);
        let merged = merge(append(4..=6, 1, true), append(3..=3, 2, true));
        assert_eq!(positions(&merged), [(3, 2)]);
    }

    /// One ready list may have a snapshot and the entries after it, under one number. In the
    /// reverse order the entries would have no predecessor, or be dropped with the old log.
    #[test]
    fn a_snapshot_comes_after_what_was_before_it_and_before_what_follows() {
        let states = MemoryStates::of(MemoryEngine::new());
        let state = PathBuf::from("state.10.1");
        states.receive(state.clone(), MemoryEngine::new().encode());
        let (log, _) = Log::open(Arc::new(MemoryEngine::new())).expect("a fresh log");
        let log = Arc::new(log);
        let (jobs, to_do) = queue();
        let position = Position {
            index: Index(10),
            term: Term(2),
        };
        for job in [
            Job::Append(1, append(1..=3, 1, true), Vec::new()),
            Job::Restore {
                number: 2,
                dir: state,
                restore: Restore {
                    position,
                    configuration: Bytes::new(),
                },
                append: Some(append(11..=12, 2, true)),
            },
            Job::Append(3, append(13..=13, 2, true), Vec::new()),
        ] {
            jobs.send(job).expect("there is room");
        }
        drop(jobs);
        let mailbox = Arc::<Mailbox>::default();
        let writer = LogWriter {
            log: Arc::clone(&log),
            states: Arc::new(states.clone()),
            jobs: to_do,
            mailbox: Arc::clone(&mailbox),
            observer: Arc::new(Unobserved),
        };
        writer.run().expect("written");
        let mail = mailbox.take(Waiting::CONTROL, Duration::ZERO).control;
        let number = |control: &Control| match control {
            Control::Persisted(number) => *number,
            other => panic!("{other:?}"),
        };
        assert_eq!(mail.iter().map(number).collect::<Vec<_>>(), [1, 2, 3]);
        let entries = log
            .entries(Index(11), Index(20), u64::MAX)
            .expect("readable");
        let indexes: Vec<_> = entries.iter().map(|entry| entry.index.0).collect();
        assert_eq!((log.first_index(), indexes), (Index(11), vec![11, 12, 13]));
        let current = states.open_current().expect("it opens");
        assert_eq!(current.snapshot, Some((Index(10), Term(2))));
    }

    #[test]
    fn the_later_state_wins_and_an_absent_one_does_not() {
        let state = |term| {
            Some(HardState {
                term: Term(term),
                vote: MemberId::NONE,
                commit: Index::NONE,
            })
        };
        let with = |term| Append {
            hard_state: state(term),
            ..append([], 1, false)
        };
        assert_eq!(merge(with(1), with(2)).hard_state, state(2));
        assert_eq!(merge(with(1), append([], 1, false)).hard_state, state(1));
    }
}
