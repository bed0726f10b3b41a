//! Watches: delivery of changes to clients.
//!
//! # The model
//!
//! A watcher is a cursor over history. The states live, catching up and slow describe only how far
//! the cursor is from the end, and where its events come from:
//!
//! ```text
//!   applier ──push──▶ ring ──▶ hub ──try_send──▶ queue ──▶ session ──responses──▶ client
//!                      │                                     ▲
//!                      ├────────── a little behind ──────────┤
//!   state on disk ─────┴──────────────── far behind ─────────┘
//! ```
//!
//! 1. The applier calls [`Publisher::publish`] after a commit. The changes go into the [`ring`],
//!    which is bounded in bytes, and the hub is woken. The applier never accesses a watcher.
//! 2. The [`hub`] matches each revision against an [`index`] of all live watchers, encodes the
//!    events once for all watchers that want the same encoding ([`events`]), and puts them into the
//!    bounded queue of each affected stream, without waiting.
//! 3. The stream's [`session`] checks each watcher's [`cursor`] to decide if it shows the events,
//!    and builds a [`response`] from a small header and the shared bytes.
//! 4. If the queue is full, or the ring overran the hub, the stream's watchers lag: the stream
//!    reads the missing events from the ring or from disk, in bounded steps, and registers the
//!    watchers again at an exact revision.
//!
//! # An example
//!
//! A client creates a watcher on `job/` from revision 5 while the store is at 900. The
//! acknowledgement is sent. The stream offers the hub the watcher at revision 5, and the hub
//! refuses, since it replays only a short history. The stream reads revisions 5 to 310 from disk
//! (half a mebibyte), keeps the 40 that concern `job/`, reads on to 900, sends the result as one
//! response, and then offers the watcher at revision 901. Meanwhile 901 and 902 were written. The
//! hub replays these two from the ring to this stream, and has the watcher in its index from 903
//! on.
//!
//! # Invariants
//!
//! Tests and scripts are named after the invariants, and random runs check all of them
//! (`tests/random.rs`).
//!
//! - *Revisions never go back*, for a watcher, and *nothing below start* is sent; *a future start
//!   waits*.
//! - *A revision stays together*, in one response, *unless fragmented* at the watcher's request.
//! - *Nothing is lost or repeated* across a queue overflow, an overrun ring, or a snapshot from the
//!   leader; compaction *ends a watcher that needs what is gone*.
//! - *Progress never overtakes an event*: after "you have seen everything to R", no event at or
//!   below R follows.
//! - *No event precedes the acknowledgement* of its watcher.
//! - *A stream that does not read holds up nobody*: its cost is its queue, one step of history and
//!   its watchers.
//!
//! # Packing
//!
//! Events that a watcher missed are sent in few responses ([`pack`]), up to a thousand revisions in
//! each, as in etcd. This applies to events that the hub replays to a joining watcher, and to
//! events that a watcher catching up finds in several steps of its history. A watcher that keeps up
//! gets one response per revision, even if several revisions are ready at once, since etcd does so
//! and clients rely on it. The header's revision is the store's revision when the response was
//! built, so it is at or above the revision of the last event; more events at or below it may
//! follow.
//!
//! Events packed from one step of history to the next are sent before anything else about their
//! watcher: before the hub may take the watcher, and before the watcher ends, at the client's
//! request or by a compaction. So packing changes only where responses begin and end.
//!
//! # Previous values
//!
//! A watcher may ask for previous values. An event of revision R then has a previous value if
//! revision R - 1 is readable when the event is encoded, that is, if it is not below the compact
//! revision. The ring keeps the value longer than the state on disk does, but the watcher's events
//! must not depend on their source, nor on a restart or a snapshot in between. etcd reads the value
//! at R - 1 when it sends the event, which has the same effect.
//!
//! # Differences from etcd that clients can see
//!
//! A response that is not fragmented holds at most [`Settings::response_bytes_max`], or more if a
//! single revision does. etcd sends a thousand revisions regardless of their size, which exceeds
//! the 4 MiB that most clients accept by default. With fragments, [`Settings::pack_bytes_max`]
//! limits a response: up to that size, a client that joins fragments sees the same as with etcd.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use conclave_storage::machine::Changes;
use conclave_storage::reader::{Applied, Reader};
use conclave_storage::{KeyRange, Revision};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::long_reads::LongReads;
use crate::seed::Seed;

mod cursor;
mod events;
mod hub;
mod index;
mod intervals;
mod pack;
mod port;
mod queue;
mod response;
mod ring;
mod session;
mod stream;
mod subscription;
#[cfg(test)]
mod tests;

use hub::{Command, Hub, Turned};
use port::Closed;
use ring::Ring;

pub use response::EncodedWatchResponse;
pub use stream::{End, Responses, Viewer, serve};
pub use subscription::{Subscription, WatchError};

/// Capacity of the hub's command queue. A stream waits for a free slot, so this bounds memory, and
/// no command goes unanswered.
const COMMANDS_MAX: usize = 1024;
/// Commands that the hub processes in one turn, before it checks the ring again.
const COMMANDS_AT_A_TIME: usize = 256;

/// Limits of this subsystem, and its one interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Size of the ring, the tail of history in memory. Streams that lag by less are served without
    /// disk reads.
    pub ring_bytes_max: usize,
    /// Messages in a stream's queue; each message holds up to a batch of revisions.
    pub queue_messages_max: usize,
    /// Bytes in a stream's queue. Streams at the same position share these bytes.
    pub queue_bytes_max: usize,
    /// Bytes of history read for a stream in one step.
    pub step_bytes_max: usize,
    /// Steps of history that are read for a stream before their events are sent.
    pub pack_steps_max: usize,
    /// Largest number of revisions in one response.
    pub pack_revisions_max: usize,
    /// Bytes of events that a stream packs from several steps before it sends them. This is also
    /// the most that all fragments of one response hold together.
    pub pack_bytes_max: usize,
    /// Bytes of events that all streams together keep from one step of history for the next. Beyond
    /// this limit, each stream sends after every step.
    pub pack_stock_bytes: usize,
    /// Bytes of events in a response that has several revisions and is not fragmented.
    pub response_bytes_max: usize,
    /// Largest number of watchers on a stream.
    pub watchers_per_stream_max: usize,
    /// Responses with more bytes of events than this are fragmented, for watchers that allow it.
    pub fragment_bytes: usize,
    /// Interval of progress notifications to a quiet watcher that asked for them. A random tenth is
    /// added, so that the streams of a restarted server do not all tick together.
    pub progress_interval: Duration,
}

impl Settings {
    /// Returns the limits that fit a limit on request size.
    pub fn new(max_request_bytes: usize, progress_interval: Duration) -> Settings {
        Settings {
            // A few seconds of 1 KiB writes at full speed: longer than a client's short pause.
            ring_bytes_max: 8 << 20,
            // Enough for several wake-ups; each message holds everything the hub found in one turn.
            queue_messages_max: 32,
            // Ten thousand streams that do not read and share nothing would hold 2.5 GiB.
            queue_bytes_max: 256 << 10,
            step_bytes_max: 512 << 10,
            // Sparse events wait for at most 16 MiB of history, which is read quickly.
            pack_steps_max: 32,
            // The same number as in etcd.
            pack_revisions_max: 1000,
            pack_bytes_max: 16 << 20,
            pack_stock_bytes: 64 << 20,
            // A larger message does not reduce the cost per event, and its stream keeps a buffer of
            // that size. This is well below the 4 MiB that gRPC clients accept by default.
            response_bytes_max: 512 << 10,
            // A watcher takes about 300 bytes on the stream and in the index.
            watchers_per_stream_max: 1 << 20,
            fragment_bytes: max_request_bytes,
            progress_interval,
        }
    }
}

/// Counters for the metrics.
#[derive(Debug, Default)]
pub struct Stats {
    streams: AtomicU64,
    watchers: AtomicU64,
    slow_watchers: AtomicU64,
    events: AtomicU64,
}

impl Stats {
    /// Returns the number of open watch streams.
    pub fn streams(&self) -> u64 {
        self.streams.load(Ordering::Relaxed)
    }

    /// Returns the number of watchers on all streams.
    pub fn watchers(&self) -> u64 {
        self.watchers.load(Ordering::Relaxed)
    }

    /// Returns the number of watchers that are not live.
    pub fn slow_watchers(&self) -> u64 {
        self.slow_watchers.load(Ordering::Relaxed)
    }

    /// Returns the number of events sent since the start.
    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    /// Held only while a bounded number of references is copied.
    ring: Mutex<Ring>,
    pushed: Notify,
    /// Set when a stream could not report its end to the hub.
    must_sweep: AtomicBool,
    /// Cancelled when the publisher is dropped; the hub ends then.
    closed: CancellationToken,
    next_stream: AtomicU64,
    /// See [`Settings::pack_stock_bytes`].
    pack_stock: Arc<Semaphore>,
    stats: Stats,
}

/// Creates the subsystem: the [`Publisher`] for the applier, the [`Watches`] for everything that
/// watches, and the owner between them.
pub(crate) fn new(
    reader: Reader,
    reads: LongReads,
    (clock, seed): (Arc<dyn Clock>, Arc<dyn Seed>),
    settings: Settings,
) -> (Publisher, Watches, HubOwner) {
    let applied = reader.applied();
    let newest = applied.revision;
    let mut ring = Ring::new(settings.ring_bytes_max, newest);
    ring.compact(applied.compacted);
    let shared = Arc::new(Shared {
        settings,
        ring: Mutex::new(ring),
        pushed: Notify::new(),
        must_sweep: AtomicBool::new(false),
        closed: CancellationToken::new(),
        next_stream: AtomicU64::new(0),
        pack_stock: Arc::new(Semaphore::new(settings.pack_stock_bytes)),
        stats: Stats::default(),
    });
    let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
    let publisher = Publisher {
        shared: Arc::clone(&shared),
    };
    let owner = HubOwner {
        hub: Hub::new(newest, &settings),
        inbox,
        shared: Arc::clone(&shared),
    };
    let watches = Watches {
        shared,
        commands,
        reader,
        reads,
        clock,
        seed,
    };
    (publisher, watches, owner)
}

/// Owns the [`Hub`] and runs its task, one turn at a time.
#[derive(Debug)]
pub(crate) struct HubOwner {
    hub: Hub,
    inbox: mpsc::Receiver<Command>,
    shared: Arc<Shared>,
}

impl HubOwner {
    /// Runs the task, one turn after another. Ends when the publisher is dropped.
    pub(crate) async fn run(mut self) {
        let mut received = None;
        loop {
            if self.turn(received.take()) == Turned::More {
                // Let the streams that were just woken run before they get more messages.
                tokio::task::yield_now().await;
                continue;
            }
            received = tokio::select! {
                biased;
                () = self.shared.closed.cancelled() => return,
                () = self.shared.pushed.notified() => None,
                command = self.inbox.recv() => match command {
                    Some(command) => Some(command),
                    // All senders are dropped: there are no watchers, and none can start.
                    None => return,
                },
            };
        }
    }

    /// Takes a turn with the queued commands and revisions. Returns false if there were none.
    pub(crate) fn turn_now(&mut self) -> bool {
        self.turn(None) != Turned::Idle
    }

    fn turn(&mut self, received: Option<Command>) -> Turned {
        let queued = std::iter::from_fn(|| self.inbox.try_recv().ok());
        let commands = received.into_iter().chain(queued).take(COMMANDS_AT_A_TIME);
        let must_sweep = self.shared.must_sweep.swap(false, Ordering::AcqRel);
        self.hub.turn(commands, must_sweep, &self.shared.ring)
    }
}

/// The applier's end: publishes the changes of each commit.
#[derive(Debug)]
pub struct Publisher {
    shared: Arc<Shared>,
}

impl Publisher {
    /// Publishes the changes of a commit, in order, and the state's position after it. Does not
    /// wait for any watcher.
    pub fn publish(&self, changes: &[Arc<Changes>], applied: Applied) {
        let mut ring = lock(&self.shared.ring);
        let before = ring.newest();
        ring.push(changes, applied.revision);
        ring.compact(applied.compacted);
        let moved = ring.newest() != before;
        drop(ring);
        if moved {
            self.shared.pushed.notify_one();
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.shared.closed.cancel();
    }
}

/// The watchers' end: opens streams and subscriptions. Cheap to clone.
#[derive(Clone)]
pub struct Watches {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    reader: Reader,
    reads: LongReads,
    clock: Arc<dyn Clock>,
    seed: Arc<dyn Seed>,
}

impl fmt::Debug for Watches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watches")
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}

impl Watches {
    /// Subscribes to the changes of some keys from within the process. See [`Subscription`].
    pub async fn subscribe(
        &self,
        range: KeyRange,
        from: Revision,
    ) -> Result<Subscription, WatchError> {
        let port = self.open().await.map_err(|Closed| WatchError::Closed)?;
        Ok(Subscription::new(port, range, from))
    }

    /// Returns the counters for the metrics.
    pub fn stats(&self) -> &Stats {
        &self.shared.stats
    }
}

/// Locks a mutex and ignores poisoning. No panic can leave the data inconsistent: each critical
/// section is a few assignments.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
