//! Long reads and large replies, bounded in number, processor time and memory, so that raft and
//! small requests keep running whatever a client asks for.
//!
//! The duration of a read is not known in advance. So a range is first tried as a brief read, in
//! the task of its call ([`LongReads::brief`]): to hand a hundred keys to another thread and back
//! costs as much as a part of the reading. A range that exceeds this budget, and every other read,
//! is tried as a quick read, with a larger budget, on a thread that may block
//! ([`LongReads::quick`]); nearly all finish within it. A read that exceeds the larger budget, too,
//! starts again on a thread of its own, with a lower priority than the serving threads
//! ([`crate::workers`]):
//!
//! ```text
//!   brief ── within its budget ──▶ reply
//!     └───── exceeded ─┐
//!   quick ── within its budget ──▶ reply
//!     └───── exceeded ─┬─▶ long:   a hash, a count        ──▶ a small result
//!                      ├─▶ pieces: a range in key order   ──▶ up to 2 MiB: sent whole
//!                      │                                      above: read page by page, as the
//!                      │                                      client takes the pages
//!                      └─▶ whole:  a sorted range, a txn, ──▶ built, encoded, sent in pieces
//!                                  a lease's keys
//! ```
//!
//! These threads share half of the cores in turns ([`Turns`]). A thread that waits for its client
//! holds no turn.
//!
//! # Memory
//!
//! | memory | bound |
//! |---|---|
//! | brief reads | [`BRIEF_BYTES`] each, one for each serving thread |
//! | quick reads | [`QUICK_BYTES`] each, [`LongReads::quick`] at a time |
//! | their replies, until they are sent | [`WAITING_BYTES_MAX`] together ([`LongReads::room`]) |
//! | pieces of streams, likewise | [`STREAMED_BYTES_MAX`] together |
//! | replies in pieces | [`KEPT_BYTES_MAX`] and 3 pieces each, [`PIECED_MAX`] of them: 200 MiB |
//! | whole replies, encoded | [`WHOLE_BYTES_MAX`] together, or one that is larger |
//! | a whole reply being built | one at a time, twice its size |
//!
//! A reply of a brief or quick read that finds no room is dropped and read again, as a range in
//! pieces or as a whole reply. Replies up to [`UNCOUNTED_BYTES`] are not counted, since the stream
//! of such a call takes as much memory.
//!
//! A client that does not take a piece within [`STALL_MAX`] loses its reply. For a whole reply,
//! whose memory other replies may wait for, the limit is [`WHOLE_STALL_MAX`]. So a client that does
//! not read cannot delay other clients for longer than this. A read that waits for a turn costs
//! only a task.
//!
//! # The end
//!
//! When the server stops, the meter of every running read stops that read; [`LongReads::stop`]
//! joins the threads.

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use conclave_storage::reader::{ReadError, Reader};

use crate::observe::{Observation, Observer};
use crate::workers::Workers;

mod meter;
pub mod pieces;
mod places;
mod turns;

use meter::{Budget, Paced};
use pieces::{Pieces, Sending, Sent, Start};
pub use places::Room;
use places::{Memory, Place};
use turns::Turns;

/// Rows that a brief read may touch: a fraction of a millisecond.
const BRIEF_ROWS: usize = 256;
/// Bytes that a brief read may touch: less than a piece of a large reply.
const BRIEF_BYTES: usize = 256 << 10;

/// Rows that a quick read may touch: a few milliseconds.
const QUICK_ROWS: usize = 5_000;
/// Bytes that a quick read may touch: a few milliseconds. A reply of this size is encoded in a
/// fraction of a millisecond.
pub const QUICK_BYTES: usize = 2 << 20;
/// Concurrent quick reads per core. They wait only for the disk.
const QUICK_PER_CORE: usize = 2;

/// Bytes of all replies of brief and quick reads that wait for their clients.
const WAITING_BYTES_MAX: usize = 128 << 20;
/// Bytes of all pieces of streams that wait for their clients.
const STREAMED_BYTES_MAX: usize = 128 << 20;
/// Replies and pieces up to this size do not count towards [`WAITING_BYTES_MAX`] and
/// [`STREAMED_BYTES_MAX`].
pub const UNCOUNTED_BYTES: usize = 16 << 10;

/// Concurrent replies in pieces. They mostly wait for their clients; each has a thread.
const PIECED_MAX: usize = 64;
/// Size of a piece in bytes: one or a few system calls, and a fraction of a millisecond to encode.
pub const PIECE_BYTES: usize = 256 << 10;
/// Bytes of a range that are kept from the pass that counts it. A reply up to this size is read
/// once, a larger reply twice.
pub const KEPT_BYTES_MAX: u64 = 2 << 20;
/// Longest time a client may take over a piece.
const STALL_MAX: Duration = Duration::from_secs(30);
/// Longest time a client may take over a piece of a whole reply, whose memory other replies may
/// wait for. This is a rate of 50 KiB per second.
const WHOLE_STALL_MAX: Duration = Duration::from_secs(5);

/// Concurrent long reads with a small result, or whose result is not known to be large.
const LONG_MAX: usize = 16;
/// Concurrent history reads for watchers. Each is bounded by the size of a step.
const STEPS_MAX: usize = 4;
/// Bytes of all whole replies that are being sent.
const WHOLE_BYTES_MAX: usize = 256 << 20;
/// Unit in which these bytes are counted.
const WHOLE_UNIT_BYTES: usize = 64 << 10;
const WHOLE_UNITS_MAX: usize = WHOLE_BYTES_MAX / WHOLE_UNIT_BYTES;

/// Reason why a read has no result.
#[derive(Debug)]
pub enum Unread {
    /// The read was rejected, or the disk failed.
    Read(ReadError),
    /// The reply exceeds the length limit of a gRPC message.
    TooLarge(u64),
    /// The server is stopping.
    Stopped,
    /// The thread panicked, or the system could not start one.
    Unfinished,
}

/// Runs long reads and large replies within bounds. Cheap to clone.
#[derive(Clone)]
pub struct LongReads {
    shared: Arc<Shared>,
}

struct Shared {
    reader: Reader,
    workers: Arc<dyn Workers>,
    observer: Arc<dyn Observer>,
    stopping: CancellationToken,
    quick: Arc<Semaphore>,
    waiting: Memory,
    streamed: Memory,
    pieced: Arc<Semaphore>,
    long: Arc<Semaphore>,
    steps: Arc<Semaphore>,
    building: Arc<Semaphore>,
    whole_units: Arc<Semaphore>,
    turns: Arc<Turns>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Permit to build a whole reply; there is only one.
pub struct BuildTurn {
    _permit: OwnedSemaphorePermit,
}

impl LongReads {
    /// Creates the reads of `reader`. They run until `stopping` is cancelled.
    pub(crate) fn new(
        reader: Reader,
        (workers, observer): (Arc<dyn Workers>, Arc<dyn Observer>),
        stopping: CancellationToken,
    ) -> LongReads {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let places = |count| Arc::new(Semaphore::new(count));
        LongReads {
            shared: Arc::new(Shared {
                reader,
                workers,
                observer,
                stopping,
                quick: places(cores * QUICK_PER_CORE),
                waiting: Memory::new(WAITING_BYTES_MAX, UNCOUNTED_BYTES),
                streamed: Memory::new(STREAMED_BYTES_MAX, UNCOUNTED_BYTES),
                pieced: places(PIECED_MAX),
                long: places(LONG_MAX),
                steps: places(STEPS_MAX),
                building: places(1),
                whole_units: places(WHOLE_UNITS_MAX),
                turns: Arc::new(Turns::new(cores.div_ceil(2))),
                threads: Mutex::default(),
            }),
        }
    }

    /// Tries a read in the caller's own task, within the budget of a brief read. Returns `None` if
    /// the read exceeds it.
    pub fn brief<T>(
        &self,
        look: impl FnOnce(&Reader) -> Result<T, ReadError>,
    ) -> Result<Option<T>, ReadError> {
        let budget = Budget::new(BRIEF_ROWS, BRIEF_BYTES);
        match look(&self.shared.reader.metered(Arc::new(budget))) {
            Ok(found) => Ok(Some(found)),
            Err(ReadError::Stopped) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Tries a read within the budget. Returns `None` if the read exceeds it.
    pub async fn quick<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Reader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<Option<T>, Unread> {
        let place = place(&self.shared.quick).await;
        let budget = Budget::new(QUICK_ROWS, QUICK_BYTES);
        let reader = self.shared.reader.metered(Arc::new(budget));
        let open = Open::new(&self.shared.observer);
        let looked = tokio::task::spawn_blocking(move || {
            let _open = open;
            // The permit is released when the read ends, even if the client has disconnected
            // meanwhile.
            let _place = place;
            look(&reader)
        });
        match looked.await {
            Ok(Ok(found)) => Ok(Some(found)),
            Ok(Err(ReadError::Stopped)) => Ok(None),
            Ok(Err(error)) => Err(Unread::Read(error)),
            Err(_) => Err(Unread::Unfinished),
        }
    }

    /// Runs a read of any length, with a small result.
    pub async fn long<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Reader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Unread> {
        let place = place(&self.shared.long).await;
        self.look(place, look).await
    }

    /// Runs a read, first as a quick read, then as a long one.
    pub async fn read<T: Send + 'static>(
        &self,
        look: impl Fn(&Reader) -> Result<T, ReadError> + Send + Sync + 'static,
    ) -> Result<T, Unread> {
        let look = Arc::new(look);
        let again = Arc::clone(&look);
        match self.quick(move |reader| look(reader)).await? {
            Some(found) => Ok(found),
            None => self.long(move |reader| again(reader)).await,
        }
    }

    /// Reads a step of history for a watcher: bounded, and not urgent.
    pub(crate) async fn step<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Reader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Unread> {
        let place = place(&self.shared.steps).await;
        self.look(place, look).await
    }

    /// Reserves room for the reply of a brief or a quick read, until the reply is sent. Returns
    /// `None` if other replies have all the room: the reply must then be sent in pieces or as a
    /// whole one.
    pub fn room(&self, size_bytes: usize) -> Option<Room> {
        self.shared.waiting.room(size_bytes)
    }

    /// Reserves room for a piece of a stream, until it is sent. Returns `None` if other pieces have
    /// all the room: a shorter one may need none.
    pub fn room_in_stream(&self, size_bytes: usize) -> Option<Room> {
        self.shared.streamed.room(size_bytes)
    }

    /// Waits for room for a piece of a stream: until other clients have taken theirs.
    pub async fn wait_for_room_in_stream(&self, size_bytes: usize) -> Room {
        self.shared.streamed.wait_for_room(size_bytes).await
    }

    /// Runs `work`, which sends a short reply whole, or a long one in pieces, each after the client
    /// has taken the previous one. Returns when the first byte is available, or with the reason why
    /// there is none. A long reply for which there is no place waits for it, and is read again.
    pub async fn pieces<W>(&self, work: W) -> Result<Sent, Unread>
    where
        W: Fn(&Reader, &mut Sending) -> Result<(), ReadError> + Clone + Send + 'static,
    {
        let permit = place(&self.shared.long).await;
        let of_read = Place::of_read(permit, Arc::clone(&self.shared.pieced));
        if let Some(sent) = self.begin(of_read, STALL_MAX, work.clone()).await? {
            return Ok(sent);
        }
        let of_pieces = Place::of_pieces(place(&self.shared.pieced).await);
        let begun = self.begin(of_pieces, STALL_MAX, work).await?;
        begun.ok_or(Unread::Unfinished)
    }

    /// Begins a reply. Returns `None` if it is a long one and there is no place for it.
    async fn begin(
        &self,
        place: Place,
        stall_max: Duration,
        work: impl FnOnce(&Reader, &mut Sending) -> Result<(), ReadError> + Send + 'static,
    ) -> Result<Option<Sent>, Unread> {
        let abandoned = Arc::<AtomicBool>::default();
        let (mut sending, pieces, begun) = pieces::channel(
            Arc::clone(&self.shared.turns),
            place,
            Arc::clone(&abandoned),
            stall_max,
        );
        self.spawn(abandoned, move |reader| {
            let worked = work(reader, &mut sending);
            sending.end(worked);
        })?;
        Ok(match begun.await.unwrap_or(Err(Unread::Unfinished))? {
            Start::Whole(buffers) => Some(Sent::Whole(buffers)),
            Start::Pieces => Some(Sent::Pieces(pieces)),
            Start::NoPlace => None,
        })
    }

    /// Waits for the permit to build a whole reply.
    pub async fn build_turn(&self) -> BuildTurn {
        BuildTurn {
            _permit: place(&self.shared.building).await,
        }
    }

    /// Builds a whole reply and sends it in pieces. `build` returns the encoded reply.
    pub async fn whole(
        &self,
        turn: BuildTurn,
        build: impl FnOnce(&Reader) -> Result<Vec<u8>, ReadError> + Send + 'static,
    ) -> Result<Pieces, Unread> {
        let encoded = self.long(build).await?;
        let units = encoded
            .len()
            .div_ceil(WHOLE_UNIT_BYTES)
            .min(WHOLE_UNITS_MAX);
        let units = u32::try_from(units).expect("a few thousand at most");
        let held = Arc::clone(&self.shared.whole_units)
            .acquire_many_owned(units)
            .await;
        let held = held.expect("the semaphore is never closed");
        // If there is no memory for two such replies, the next is built only after this reply is
        // sent.
        let turn = (encoded.len() > WHOLE_BYTES_MAX / 2).then_some(turn);
        let place = Place::of_pieces(place(&self.shared.pieced).await);
        let begun = self.begin(place, WHOLE_STALL_MAX, move |_, sending| {
            let _held = (held, turn);
            sending.begin(encoded.len() as u64)?;
            // Send copies: a slice that a client does not read would keep the whole reply in
            // memory.
            encoded
                .chunks(PIECE_BYTES)
                .try_for_each(|piece| sending.send(bytes::Bytes::copy_from_slice(piece)))
        });
        match begun.await? {
            Some(Sent::Pieces(pieces)) => Ok(pieces),
            Some(Sent::Whole(_)) | None => Err(Unread::Unfinished),
        }
    }

    /// Waits until every thread has ended. Called when the server is stopping and no further reads
    /// start.
    pub(crate) async fn stop(&self) {
        let threads = std::mem::take(&mut *self.shared.threads.lock());
        let join = move || threads.into_iter().for_each(|thread| drop(thread.join()));
        // The panic was already printed, and the caller of that read got no result.
        let _ = tokio::task::spawn_blocking(join).await;
    }

    /// Runs `look` on a thread of its own. Dropping this future stops the read.
    async fn look<T: Send + 'static>(
        &self,
        place: OwnedSemaphorePermit,
        look: impl FnOnce(&Reader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Unread> {
        let abandoned = Arc::<AtomicBool>::default();
        let _abandon = Abandon(Arc::clone(&abandoned));
        let (result, looked) = oneshot::channel();
        self.spawn(abandoned, move |reader| {
            let _place = place;
            // The receiver is gone if the caller gave up; the result is then dropped.
            let _ = result.send(look(reader));
        })?;
        match looked.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(ReadError::Stopped)) => Err(Unread::Stopped),
            Ok(Err(error)) => Err(Unread::Read(error)),
            Err(_) => Err(Unread::Unfinished),
        }
    }

    fn spawn(
        &self,
        abandoned: Arc<AtomicBool>,
        work: impl FnOnce(&Reader) + Send + 'static,
    ) -> Result<(), Unread> {
        let shared = &self.shared;
        // This lock prevents a thread from being started after `stop` has collected the threads.
        let mut threads = shared.threads.lock();
        if shared.stopping.is_cancelled() {
            return Err(Unread::Stopped);
        }
        let turns = Arc::clone(&shared.turns);
        let paced = Paced::new(Arc::clone(&turns), abandoned, shared.stopping.clone());
        let reader = shared.reader.metered(Arc::new(paced));
        let open = Open::new(&shared.observer);
        let work = Box::new(move || {
            let _open = open;
            let _turn = turns.take();
            work(&reader);
        });
        let thread = shared.workers.start("long-read", work).map_err(|error| {
            tracing::warn!(%error, "no thread for a long read");
            Unread::Unfinished
        })?;
        threads.retain(|thread| !thread.is_finished());
        threads.extend(thread);
        Ok(())
    }
}

/// A read in progress, for the metrics.
struct Open(Arc<dyn Observer>);

impl Open {
    fn new(observer: &Arc<dyn Observer>) -> Open {
        observer.observe(Observation::ReadOpened);
        Open(Arc::clone(observer))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.observe(Observation::ReadClosed);
    }
}

/// Marks a read as abandoned when dropped.
struct Abandon(Arc<AtomicBool>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

async fn place(places: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    let place = Arc::clone(places).acquire_owned().await;
    place.expect("the semaphore is never closed")
}

#[cfg(test)]
mod tests;
