//! The thread that flushes the state from time to time, so that the raft log can be shortened.
//!
//! The state has no write-ahead log of its own: the raft log serves as one, and changes that the
//! state loses in a crash are applied again. So the log may drop only entries that a flush has put
//! on disk. The housekeeper counts the applied commands and bytes, flushes when there are enough,
//! and reports to the driver how far the log may be dropped. That is not quite the flushed index,
//! since a lagging follower is served from the log much more cheaply than with a snapshot.
//!
//! The kept part of the log is bounded twice, by entries and by bytes, because an entry may be a
//! pack of a thousand commands. The driver keeps more during a snapshot transfer, and that has a
//! bound, too. Bytes are known only at the flushes, so the bounds are exact to one flush.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use conclave_storage::reader::Reader;
use conclave_storage::{Fault, Index};

use crate::clock::{Clock, Moment};
use crate::limits;
use crate::mailbox::{Compaction, Control, Mailbox};
use crate::progress::Progress;

/// Counters of the applied work, by which the applier wakes the housekeeper. Cheap: two additions
/// and a comparison a batch.
#[derive(Debug)]
pub(crate) struct Tally {
    commands: AtomicU64,
    bytes: AtomicU64,
    /// Commands applied between two flushes.
    snapshot_count: u64,
    wake: SyncSender<()>,
}

impl Tally {
    /// Creates the tally, and the receiver that wakes the housekeeper.
    pub(crate) fn new(snapshot_count: u64) -> (Arc<Tally>, Receiver<()>) {
        let (wake, woken) = sync_channel(1);
        let tally = Tally {
            commands: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            snapshot_count,
            wake,
        };
        (Arc::new(tally), woken)
    }

    /// Counts an applied batch.
    pub(crate) fn add(&self, commands: u64, bytes: u64) {
        let reaches = |counter: &AtomicU64, more: u64, bound: u64| {
            let before = counter.fetch_add(more, Ordering::Relaxed);
            before < bound && before + more >= bound
        };
        // Wake once for each bound, not at every batch after it: the housekeeper may have to pause.
        let by_commands = reaches(&self.commands, commands, self.snapshot_count);
        if reaches(&self.bytes, bytes, limits::FLUSH_AFTER_BYTES) || by_commands {
            // Full: a wake-up is already queued. Closed: the housekeeper is stopping.
            let _ = self.wake.try_send(());
        }
    }

    /// Wakes the housekeeper because the server stops.
    pub(crate) fn close(&self) {
        let _ = self.wake.try_send(());
    }
}

/// Decides how much of the log to keep behind the durable index. Pure.
#[derive(Debug)]
pub(crate) struct Retention {
    catch_up_entries: u64,
    /// Flushed indexes and the bytes applied up to each, oldest first.
    flushes: VecDeque<(Index, u64)>,
    total_bytes: u64,
}

impl Retention {
    pub(crate) fn new(catch_up_entries: u64) -> Retention {
        Retention {
            catch_up_entries,
            flushes: VecDeque::new(),
            total_bytes: 0,
        }
    }

    /// The state is durable through `index`, `bytes` more than at the last flush. Returns the
    /// indexes through which the log can and must be dropped.
    pub(crate) fn flushed(&mut self, index: Index, bytes: u64) -> Compaction {
        self.total_bytes += bytes;
        self.flushes.push_back((index, self.total_bytes));
        let can_by_bytes = self.beyond(limits::CATCH_UP_BYTES);
        let must = self.beyond(limits::HELD_LOG_BYTES_MAX);
        self.flushes.retain(|&(flushed, _)| flushed >= must);
        Compaction {
            can: index
                .saturating_sub(self.catch_up_entries)
                .max(can_by_bytes),
            must,
        }
    }

    /// Returns the index of the last flush with more than `bytes` bytes after it, or
    /// [`Index::NONE`].
    fn beyond(&self, bytes: u64) -> Index {
        let is_beyond = |&&(_, at): &&(Index, u64)| self.total_bytes - at > bytes;
        let beyond = self.flushes.iter().take_while(is_beyond).last();
        beyond.map_or(Index::NONE, |&(index, _)| index)
    }
}

/// Runs the flushes, one turn at a time.
pub(crate) struct Housekeeper {
    pub(crate) retention: Retention,
    pub(crate) flushed_at: Option<Moment>,
    pub(crate) reader: Reader,
    pub(crate) tally: Arc<Tally>,
    pub(crate) woken: Receiver<()>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) stopping: tokio_util::sync::CancellationToken,
}

impl Housekeeper {
    /// Runs the thread, one turn after another. Ends when the server stops.
    pub(crate) fn run(mut self) -> Result<(), Fault> {
        while self.woken.recv().is_ok() {
            while let Some(pause) = self.pause() {
                match self.woken.recv_timeout(pause) {
                    Ok(()) | Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return Ok(()),
                }
            }
            if self.stopping.is_cancelled() {
                return Ok(());
            }
            self.turn()?;
        }
        Ok(())
    }

    /// Flushes the state, and reports to the driver how much of the log may be dropped. Blocks for
    /// as long as the disk takes.
    fn turn(&mut self) -> Result<(), Fault> {
        // Read before the flush: entries applied during the flush may or may not be in it.
        let applied = self.progress.applied();
        let bytes = self.tally.bytes.swap(0, Ordering::Relaxed);
        self.tally.commands.store(0, Ordering::Relaxed);
        self.reader.engine().flush()?;
        self.flushed_at = Some(self.clock.now());
        let compaction = self.retention.flushed(applied, bytes);
        tracing::debug!(applied = applied.0, ?compaction, "the state is durable");
        self.mailbox.control(Control::Durable {
            applied,
            compaction,
        });
        Ok(())
    }

    /// Takes a turn if one is due. Returns false if not.
    pub(crate) fn turn_now(&mut self) -> Result<bool, Fault> {
        if self.pause().is_some() || self.woken.try_recv().is_err() {
            return Ok(false);
        }
        self.turn().map(|()| true)
    }

    /// Returns the time left of the minimum interval between flushes. `None` if the interval has
    /// passed, the byte bound is reached, or the server stops.
    fn pause(&self) -> Option<Duration> {
        let passed = self.clock.now().since(self.flushed_at?);
        let is_many = self.tally.bytes.load(Ordering::Relaxed) >= limits::FLUSH_AFTER_BYTES;
        let is_over = is_many || self.stopping.is_cancelled();
        let left = limits::FLUSH_INTERVAL_MIN.saturating_sub(passed);
        (!is_over && !left.is_zero()).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_keeps_entries_for_followers() {
        let mut retention = Retention::new(5_000);
        assert_eq!(retention.flushed(Index(3_000), 1).can, Index(0));
        assert_eq!(retention.flushed(Index(9_000), 1).can, Index(4_000));
    }

    #[test]
    fn the_log_keeps_no_more_than_so_many_bytes() {
        let mut retention = Retention::new(5_000);
        let third = limits::CATCH_UP_BYTES / 3 + 1;
        assert_eq!(retention.flushed(Index(10), third).can, Index(0));
        assert_eq!(retention.flushed(Index(20), third).can, Index(0));
        assert_eq!(retention.flushed(Index(30), third).can, Index(0));
        // There are now more bytes after the first flush than are kept.
        assert_eq!(retention.flushed(Index(40), third).can, Index(10));
        assert_eq!(retention.flushed(Index(50), third).can, Index(20));
    }

    #[test]
    fn no_more_than_so_many_bytes_are_held_for_anybody() {
        let mut retention = Retention::new(5_000);
        let half = limits::HELD_LOG_BYTES_MAX / 2 + 1;
        let compaction = |can, must| Compaction {
            can: Index(can),
            must: Index(must),
        };
        assert_eq!(retention.flushed(Index(10), half), compaction(0, 0));
        assert_eq!(retention.flushed(Index(20), half), compaction(10, 0));
        assert_eq!(retention.flushed(Index(30), half), compaction(20, 10));
        assert_eq!(retention.flushed(Index(40), 1), compaction(20, 10));
        assert_eq!(retention.flushed(Index(50), half), compaction(40, 20));
    }

    #[test]
    fn the_housekeeper_is_woken_once_for_enough() {
        let (tally, woken) = Tally::new(10);
        tally.add(9, 0);
        assert!(woken.try_recv().is_err());
        tally.add(1, 0);
        tally.add(1, 0);
        assert!(woken.try_recv().is_ok());
        assert!(woken.try_recv().is_err());
        tally.add(0, limits::FLUSH_AFTER_BYTES);
        assert!(woken.try_recv().is_ok());
    }
}
