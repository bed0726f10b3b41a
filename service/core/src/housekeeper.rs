//! The thread that makes the state durable now and then, so that the raft log can be shortened.
//!
//! The state has no write-ahead log of its own: the raft log is it, and what the state lost in a
//! crash is applied again. So the log may forget only what a flush has put on disk. The housekeeper
//! counts what was applied, flushes when it is enough, and tells the driver how far the log may be
//! dropped: not quite to the flushed index, since a follower that lags is served from the log much
//! more cheaply than with a snapshot.
//!
//! What is kept is bounded twice, by entries and by bytes, because an entry may be a pack of a
//! thousand commands. More is kept while a snapshot is on its way, which the driver knows of; that
//! too has a bound. Bytes are known at the flushes only, so bounds are kept to the grain of one
//! flush.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use conclave_storage::Fault;
use conclave_storage::reader::Reader;

use crate::clock::{Clock, Moment};
use crate::limits;
use crate::mailbox::{Compaction, Control, Mailbox};
use crate::progress::Progress;

/// What the applier tells the housekeeper. Cheap: two additions and a comparison a batch.
#[derive(Debug)]
pub(crate) struct Tally {
    commands: AtomicU64,
    bytes: AtomicU64,
    /// Commands applied between two flushes.
    snapshot_count: u64,
    wake: SyncSender<()>,
}

impl Tally {
    /// The tally and the housekeeper's end of it.
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

    /// A batch was applied.
    pub(crate) fn add(&self, commands: u64, bytes: u64) {
        let reaches = |counter: &AtomicU64, more: u64, bound: u64| {
            let before = counter.fetch_add(more, Ordering::Relaxed);
            before < bound && before + more >= bound
        };
        // Once each, not at every batch from then on: the housekeeper may have a pause to keep.
        let by_commands = reaches(&self.commands, commands, self.snapshot_count);
        if reaches(&self.bytes, bytes, limits::FLUSH_AFTER_BYTES) || by_commands {
            // Full: it has been told. Closed: it is stopping.
            let _ = self.wake.try_send(());
        }
    }

    /// The server stops.
    pub(crate) fn close(&self) {
        let _ = self.wake.try_send(());
    }
}

/// What the log keeps behind the durable index. Pure.
#[derive(Debug)]
pub(crate) struct Retention {
    catch_up_entries: u64,
    /// Flushed indexes and the bytes applied up to each, oldest first.
    flushes: VecDeque<(u64, u64)>,
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
    pub(crate) fn flushed(&mut self, index: u64, bytes: u64) -> Compaction {
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

    /// The last flush with more than so many bytes after it, or 0.
    fn beyond(&self, bytes: u64) -> u64 {
        let is_beyond = |&&(_, at): &&(u64, u64)| self.total_bytes - at > bytes;
        let beyond = self.flushes.iter().take_while(is_beyond).last();
        beyond.map_or(0, |&(index, _)| index)
    }
}

/// See the module.
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
    /// The thread around the turns. Ends when the server stops.
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

    /// Flushes the state, and tells the driver how much of the log may go. Blocks for as long as
    /// the disk takes.
    fn turn(&mut self) -> Result<(), Fault> {
        // Before the flush: what is applied meanwhile may or may not be in it.
        let applied = self.progress.applied();
        let bytes = self.tally.bytes.swap(0, Ordering::Relaxed);
        self.tally.commands.store(0, Ordering::Relaxed);
        self.reader.engine().flush()?;
        self.flushed_at = Some(self.clock.now());
        let compaction = self.retention.flushed(applied, bytes);
        tracing::debug!(applied, ?compaction, "the state is durable");
        self.mailbox.control(Control::Durable {
            applied,
            compaction,
        });
        Ok(())
    }

    /// Takes a turn if one is due. False if not.
    pub(crate) fn turn_now(&mut self) -> Result<bool, Fault> {
        if self.pause().is_some() || self.woken.try_recv().is_err() {
            return Ok(false);
        }
        self.turn().map(|()| true)
    }

    /// How long to wait for the least distance between flushes. `None` if that has passed, the
    /// bytes are many, or the server stops.
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
        assert_eq!(retention.flushed(3_000, 1).can, 0);
        assert_eq!(retention.flushed(9_000, 1).can, 4_000);
    }

    #[test]
    fn the_log_keeps_no_more_than_so_many_bytes() {
        let mut retention = Retention::new(5_000);
        let third = limits::CATCH_UP_BYTES / 3 + 1;
        assert_eq!(retention.flushed(10, third).can, 0);
        assert_eq!(retention.flushed(20, third).can, 0);
        assert_eq!(retention.flushed(30, third).can, 0);
        // Behind the first flush there are now more bytes than are kept.
        assert_eq!(retention.flushed(40, third).can, 10);
        assert_eq!(retention.flushed(50, third).can, 20);
    }

    #[test]
    fn no_more_than_so_many_bytes_are_held_for_anybody() {
        let mut retention = Retention::new(5_000);
        let half = limits::HELD_LOG_BYTES_MAX / 2 + 1;
        let compaction = |can, must| Compaction { can, must };
        assert_eq!(retention.flushed(10, half), compaction(0, 0));
        assert_eq!(retention.flushed(20, half), compaction(10, 0));
        assert_eq!(retention.flushed(30, half), compaction(20, 10));
        assert_eq!(retention.flushed(40, 1), compaction(20, 10));
        assert_eq!(retention.flushed(50, half), compaction(40, 20));
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
