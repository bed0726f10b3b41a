//! Reads that may be long, and replies that may be large: bounded in number, processor time and
//! memory, so that whatever a client asks for, raft and small requests go on.
//!
//! How long a read takes is known only by trying. So each is first tried as a quick one, with a
//! budget ([`LongReads::quick`]); nearly all end there. What exceeds the budget begins again on a
//! thread of its own with less priority than those that serve ([`crate::workers`]):
//!
//! ```text
//!   quick ── within its budget ──▶ reply
//!     └───── exceeded ─┬─▶ long:   a hash, a count        ──▶ a small result
//!                      ├─▶ pieces: a range in key order   ──▶ read page by page, as it is sent
//!                      └─▶ whole:  a sorted range, a txn, ──▶ built, encoded, sent in pieces
//!                                  a lease's keys
//! ```
//!
//! The processor goes round among these threads ([`Turns`]), half of the cores at a time. One that
//! waits for its client does not hold a turn.
//!
//! # Memory
//!
//! | what | bound |
//! |---|---|
//! | quick reads | [`QUICK_BYTES`] each, [`LongReads::quick`] at a time |
//! | replies in pieces | [`KEPT_BYTES_MAX`] and 3 pieces each, [`PIECED_MAX`] of them: 200 MiB |
//! | whole replies, encoded | [`WHOLE_BYTES_MAX`] together, or one that is larger |
//! | a whole reply being built | one at a time, twice its size |
//!
//! A client that does not take a piece within [`STALL_MAX`], or [`WHOLE_STALL_MAX`] of a reply that
//! others wait for the memory of, loses its reply, so those that do not
//! read cannot keep the others from their turn for longer. What is waiting for a turn costs a task.
//!
//! # The end
//!
//! When the server stops, every read under way is stopped by its meter; [`LongReads::stop`] joins
//! the threads.

use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use conclave_storage::reader::{ReadError, Reader};

use crate::observe::{Observation, Observer};
use crate::workers::Workers;

mod meter;
pub mod pieces;
mod turns;

use meter::{Budget, Paced};
use pieces::{Pieces, Sending};
use turns::Turns;

/// Rows and bytes a quick read may touch: some milliseconds.
const QUICK_ROWS: usize = 5_000;
/// See [`QUICK_ROWS`]. A reply of this size is encoded in a fraction of a millisecond.
pub const QUICK_BYTES: usize = 2 << 20;
/// Quick reads at a time, for each core. They do not wait for anything but the disk.
const QUICK_PER_CORE: usize = 2;

/// Replies in pieces at a time. They wait for their clients most of the time; each has a thread.
const PIECED_MAX: usize = 64;
/// Bytes of a piece: one system call or a few, and a fraction of a millisecond to encode.
pub const PIECE_BYTES: usize = 256 << 10;
/// Bytes of a range kept from the reading that counts them. A reply up to this size is read once, a
/// larger one twice.
pub const KEPT_BYTES_MAX: u64 = 2 << 20;
/// How long a client may take over a piece.
const STALL_MAX: Duration = Duration::from_secs(30);
/// The same for a reply that was built as a whole: others may wait for the memory it takes. It is a
/// rate of 50 KiB a second.
const WHOLE_STALL_MAX: Duration = Duration::from_secs(5);

/// Long reads with a small result at a time.
const LONG_MAX: usize = 16;
/// Steps of watchers that read history, at a time. Each is bounded by what a step may hold.
const STEPS_MAX: usize = 4;
/// Bytes of replies that had to be built as a whole and are being sent.
const WHOLE_BYTES_MAX: usize = 256 << 20;
/// The unit in which they are counted.
const WHOLE_UNIT_BYTES: usize = 64 << 10;
const WHOLE_UNITS_MAX: usize = WHOLE_BYTES_MAX / WHOLE_UNIT_BYTES;

/// Why a read has no result.
#[derive(Debug)]
pub enum Unread {
    /// By rule, or the disk failed.
    Read(ReadError),
    /// No message of gRPC can be that long.
    TooLarge(u64),
    /// The server stops.
    Stopped,
    /// The thread panicked, or the system gave none.
    Unfinished,
}

/// See the module. Cheap to clone.
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
    pieced: Arc<Semaphore>,
    long: Arc<Semaphore>,
    steps: Arc<Semaphore>,
    building: Arc<Semaphore>,
    whole_units: Arc<Semaphore>,
    turns: Arc<Turns>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// The right to build a reply as a whole, one at a time.
pub struct BuildTurn {
    _permit: OwnedSemaphorePermit,
}

impl LongReads {
    /// Reads through `reader` until `stopping` is cancelled.
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

    /// Tries a read within the budget. `None` if that is exceeded.
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
            // The place is free with the end of the read, also if the client has gone meanwhile.
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

    /// A read of any length, with a small result.
    pub async fn long<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Reader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Unread> {
        let place = place(&self.shared.long).await;
        self.look(place, look).await
    }

    /// A read that is first tried as a quick one.
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

    /// A step of history for a watcher: bounded, and in no hurry.
    pub(crate) async fn step<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Reader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Unread> {
        let place = place(&self.shared.steps).await;
        self.look(place, look).await
    }

    /// A reply that `work` sends in pieces, each when the client has taken the one before. Returns
    /// when the first byte is there, or why there is none.
    pub async fn pieces(
        &self,
        work: impl FnOnce(&Reader, &mut Sending) -> Result<(), ReadError> + Send + 'static,
    ) -> Result<Pieces, Unread> {
        self.pieces_within(STALL_MAX, work).await
    }

    async fn pieces_within(
        &self,
        stall_max: Duration,
        work: impl FnOnce(&Reader, &mut Sending) -> Result<(), ReadError> + Send + 'static,
    ) -> Result<Pieces, Unread> {
        let place = place(&self.shared.pieced).await;
        let abandoned = Arc::<AtomicBool>::default();
        let (mut sending, pieces, begun) = pieces::channel(
            Arc::clone(&self.shared.turns),
            Arc::clone(&abandoned),
            stall_max,
        );
        self.spawn(place, abandoned, move |reader| {
            let worked = work(reader, &mut sending);
            sending.end(worked);
        })?;
        begun.await.unwrap_or(Err(Unread::Unfinished))?;
        Ok(pieces)
    }

    /// Waits for the right to build a reply as a whole.
    pub async fn build_turn(&self) -> BuildTurn {
        BuildTurn {
            _permit: place(&self.shared.building).await,
        }
    }

    /// A reply that has to be built as a whole: `build` returns it encoded.
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
        // The next one is built when this one is sent, if there is no memory for both.
        let turn = (encoded.len() > WHOLE_BYTES_MAX / 2).then_some(turn);
        self.pieces_within(WHOLE_STALL_MAX, move |_, sending| {
            let _held = (held, turn);
            sending.begin(encoded.len() as u64)?;
            // Copies, since a piece that a client does not read would keep all of it in memory.
            encoded
                .chunks(PIECE_BYTES)
                .try_for_each(|piece| sending.send(bytes::Bytes::copy_from_slice(piece)))
        })
        .await
    }

    /// Returns when every thread has ended. The server is stopping, and nobody reads any more.
    pub(crate) async fn stop(&self) {
        let threads = std::mem::take(&mut *lock(&self.shared.threads));
        let join = move || threads.into_iter().for_each(|thread| drop(thread.join()));
        // A panic was printed where it happened, and its caller got no result.
        let _ = tokio::task::spawn_blocking(join).await;
    }

    /// Runs `look` on a thread of its own. If this future is dropped, the read stops.
    async fn look<T: Send + 'static>(
        &self,
        place: OwnedSemaphorePermit,
        look: impl FnOnce(&Reader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Unread> {
        let abandoned = Arc::<AtomicBool>::default();
        let _abandon = Abandon(Arc::clone(&abandoned));
        let (result, looked) = oneshot::channel();
        self.spawn(place, abandoned, move |reader| {
            // Nobody may be listening any more.
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
        place: OwnedSemaphorePermit,
        abandoned: Arc<AtomicBool>,
        work: impl FnOnce(&Reader) + Send + 'static,
    ) -> Result<(), Unread> {
        let shared = &self.shared;
        // Under this lock, so that none is started behind `stop`'s back.
        let mut threads = lock(&shared.threads);
        if shared.stopping.is_cancelled() {
            return Err(Unread::Stopped);
        }
        let turns = Arc::clone(&shared.turns);
        let paced = Paced::new(Arc::clone(&turns), abandoned, shared.stopping.clone());
        let reader = shared.reader.metered(Arc::new(paced));
        let open = Open::new(&shared.observer);
        let work = Box::new(move || {
            let (_place, _open) = (place, open);
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

/// A read that looks at the state, for the metrics.
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

/// Says that nobody waits for a read any more.
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

/// Nothing here is left half changed by a panic, so a poisoned lock is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
