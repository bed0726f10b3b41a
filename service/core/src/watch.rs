//! Watches: telling everyone what changed.
//!
//! # The model
//!
//! A watcher is a cursor over history. That it is live, catching up or slow says only how far the
//! cursor is from the end, and where its events come from:
//!
//! ```text
//!   applier ──push──▶ ring ──▶ hub ──try_send──▶ queue ──▶ session ──responses──▶ client
//!                      │                                     ▲
//!                      ├────────── a little behind ──────────┤
//!   state on disk ─────┴──────────────── far behind ─────────┘
//! ```
//!
//! 1. The applier calls [`Publisher::publish`] after a commit. The changes go into the [`ring`],
//!    bounded in bytes, and the hub is woken. The applier never looks at watchers.
//! 2. The [`hub`] matches each revision against an [`index`] of all live watchers, encodes the
//!    events once for all that want the same ([`events`]), and puts them into the bounded queue of
//!    each stream concerned, without waiting.
//! 3. The stream's [`session`] asks each watcher's [`cursor`] whether to show them, and a
//!    [`response`] is a small header and the shared bytes.
//! 4. If the queue is full, or the ring overran the hub, the stream's watchers lag: the stream
//!    reads what they miss from the ring or from disk, in bounded steps, and registers them again
//!    at an exact revision.
//!
//! # An example
//!
//! A client creates a watcher on `job/` from revision 5 while the store is at 900. The
//! acknowledgement goes out. The hub is offered the watcher at 5 and refuses, since its replay is
//! short. The stream reads revisions 5 to 310 from disk (half a mebibyte), keeps the 40 that
//! concern `job/`, reads on to 900, sends what it found as one response, and offers the watcher at
//! 901. Meanwhile 901 and 902 were written; the hub replays these two from the ring to this stream
//!    and has the watcher in its index from 903 on.
//!
//! # Invariants
//!
//! Tests and scripts are named after them, and all are checked on random runs (`tests/random.rs`).
//!
//! - *Revisions never go back*, for a watcher, and *nothing below start* is sent; *a future start
//!   waits*.
//! - *A revision stays together*, in one response, *unless fragmented* at the watcher's wish.
//! - *Nothing is lost or repeated* across queue overflow, an overrun ring, a snapshot from the
//!   leader; compaction *ends a watcher that needs what is gone*.
//! - *Progress never overtakes an event*: after "you have seen everything to R", no event at or
//!   below R follows.
//! - *No event precedes the acknowledgement* of its watcher.
//! - *A stream that does not read holds up nobody*: it costs its queue, one step of history and its
//!   watchers.
//!
//! # Packing
//!
//! What a watcher missed goes out in few responses ([`pack`]): what the hub replays to one that
//! joins, and what one that catches up finds in several steps of its history; up to a thousand
//! revisions in each, as from etcd. A watcher that keeps up gets a response for each revision, also
//! where several are ready at once, since that is what etcd does and clients count on. The header's
//! revision is the store's when the response was made, so at or above that of the last event; more
//! events at or below it may follow.
//!
//! What is packed from one step of history to the next is sent before anything else about its
//! watcher: before the hub may have it, before it ends, by the client's wish or by a compaction. So
//! packing changes where responses begin and end, and nothing else.
//!
//! # Previous values
//!
//! For a watcher that asks for previous values, an event of revision R has one if R - 1 can be read
//! when the event is encoded: if it is not below the compact revision. The ring has the value
//! longer, the state on disk does not, and what a watcher gets must not depend on which of them it
//! is fed from, nor on a restart or a snapshot in between. etcd reads the value at R - 1 when it
//! sends the event, which comes to the same.
//!
//! # Differences from etcd that clients can see
//!
//! A response that is not cut into fragments holds [`Settings::response_bytes_max`], and more only
//! if a single revision does. etcd sends a thousand revisions whatever their size, which the 4 MiB
//! that most clients take by default does not let through. With fragments it is
//! [`Settings::pack_bytes_max`] that ends a response: a client which joins fragments sees the same
//! as with etcd up to there.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use conclave_storage::Revision;
use conclave_storage::machine::Changes;
use conclave_storage::reader::{Applied, Reader};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::fatal::Fatal;
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
mod slots;
mod stream;
mod subscription;
#[cfg(test)]
mod tests;

use hub::{Command, Hub};
use port::Closed;
use ring::Ring;

pub use index::KeyRange;
pub use response::EncodedWatchResponse;
pub use stream::{End, Responses, serve};
pub use subscription::{Subscription, WatchError};

/// Commands waiting for the hub. A stream waits for a place, so this bounds memory and costs nobody
/// an answer.
const COMMANDS_MAX: usize = 1024;
/// Commands the hub does before it looks at the ring again.
const COMMANDS_AT_A_TIME: usize = 256;

/// The bounds of this subsystem, and its one interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The tail of history in memory. Streams that are behind by less are served without a disk.
    pub ring_bytes_max: usize,
    /// Messages in a stream's queue, each up to a batch of revisions.
    pub queue_messages_max: usize,
    /// Bytes in a stream's queue. What it holds is shared with other streams that are at the same
    /// place.
    pub queue_bytes_max: usize,
    /// History read for a stream at a time.
    pub step_bytes_max: usize,
    /// Steps of history read for a stream before it is sent what they found.
    pub pack_steps_max: usize,
    /// Revisions in one response.
    pub pack_revisions_max: usize,
    /// Bytes of events that a stream packs from several steps before it sends them; the most that
    /// the fragments of one response hold together.
    pub pack_bytes_max: usize,
    /// Bytes of events that all streams keep from one step of history for the next. Beyond this,
    /// each sends what a step found.
    pub pack_stock_bytes: usize,
    /// Bytes of events in a response that carries several revisions and is not cut.
    pub response_bytes_max: usize,
    /// Watchers on a stream.
    pub watchers_per_stream_max: usize,
    /// Responses with more events than this are cut, for watchers that allow it.
    pub fragment_bytes: usize,
    /// How often a quiet watcher that asked for it is told how far it is. A tenth is added at
    /// random, so that not all streams of a restarted server tick together.
    pub progress_interval: Duration,
}

impl Settings {
    /// The bounds that go with a limit on requests.
    pub fn new(max_request_bytes: usize, progress_interval: Duration) -> Settings {
        Settings {
            // Some seconds of writes of a kibibyte at full speed: longer than a client's hiccup.
            ring_bytes_max: 8 << 20,
            // Several wake-ups' worth; each message is everything the hub found in one turn.
            queue_messages_max: 32,
            // Ten thousand streams that do not read and share nothing would hold 2.5 GiB.
            queue_bytes_max: 256 << 10,
            step_bytes_max: 512 << 10,
            // Events that are few and far between wait for 16 MiB of history, a moment's reading.
            pack_steps_max: 32,
            // As many as etcd sends.
            pack_revisions_max: 1000,
            pack_bytes_max: 16 << 20,
            pack_stock_bytes: 64 << 20,
            // A larger message costs no less for each event, and its stream keeps a buffer of that
            // size. Well below the 4 MiB that gRPC's clients take unless told otherwise.
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
    /// Watch streams that are open.
    pub fn streams(&self) -> u64 {
        self.streams.load(Ordering::Relaxed)
    }

    /// Watchers on them.
    pub fn watchers(&self) -> u64 {
        self.watchers.load(Ordering::Relaxed)
    }

    /// Those of the watchers that are not live.
    pub fn slow_watchers(&self) -> u64 {
        self.slow_watchers.load(Ordering::Relaxed)
    }

    /// Events sent since the start.
    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    /// Held for the copying of a bounded number of references, never longer.
    ring: Mutex<Ring>,
    pushed: Notify,
    /// Some stream could not say that it is gone.
    must_sweep: AtomicBool,
    /// The publisher is gone, and the hub with it.
    closed: CancellationToken,
    next_stream: AtomicU64,
    /// See [`Settings::pack_stock_bytes`].
    pack_stock: Arc<Semaphore>,
    stats: Stats,
}

/// Begins: the applier gets the one end, everyone who watches the other. Spawns the hub, which ends
/// when the publisher is dropped; must be called in a runtime.
pub(crate) fn new(
    reader: Reader,
    reads: LongReads,
    (clock, seed): (Arc<dyn Clock>, Arc<dyn Seed>),
    settings: Settings,
    fatal: &Fatal,
) -> (Publisher, Watches) {
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
    let hub = run(Hub::new(newest, &settings), inbox, Arc::clone(&shared));
    tokio::spawn(fatal.guard("watch-hub", hub));
    (
        Publisher {
            shared: Arc::clone(&shared),
        },
        Watches {
            shared,
            commands,
            reader,
            reads,
            clock,
            seed,
        },
    )
}

/// Drives the hub.
async fn run(mut hub: Hub, mut inbox: mpsc::Receiver<Command>, shared: Arc<Shared>) {
    loop {
        for _ in 0..COMMANDS_AT_A_TIME {
            let Ok(command) = inbox.try_recv() else { break };
            hub.command(command, &shared.ring);
        }
        if shared.must_sweep.swap(false, Ordering::AcqRel) {
            hub.sweep();
        }
        if hub.advance(&shared.ring) {
            // The streams that were woken run now, before there is more for them.
            tokio::task::yield_now().await;
            continue;
        }
        tokio::select! {
            biased;
            () = shared.closed.cancelled() => return,
            () = shared.pushed.notified() => {}
            command = inbox.recv() => match command {
                Some(command) => hub.command(command, &shared.ring),
                // Nobody watches, and nobody can begin to.
                None => return,
            },
        }
    }
}

/// The applier's end.
#[derive(Debug)]
pub struct Publisher {
    shared: Arc<Shared>,
}

impl Publisher {
    /// Takes what a commit changed, in order, and how far the state is after it. Does not wait for
    /// anyone.
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

/// The watchers' end. Cheap to clone.
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
    /// Follows the changes of some keys from within the process. See [`Subscription`].
    pub async fn subscribe(
        &self,
        range: KeyRange,
        from: Revision,
    ) -> Result<Subscription, WatchError> {
        let port = self.open().await.map_err(|Closed| WatchError::Closed)?;
        Ok(Subscription::new(port, range, from))
    }

    /// Counters for the metrics.
    pub fn stats(&self) -> &Stats {
        &self.shared.stats
    }
}

/// Locks what no panic can leave half done: each critical section is a few assignments.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
