//! Sends one reply from the reading thread to the connection, a piece at a time.
//!
//! The thread prepares the next piece while the previous piece is being sent, and then waits
//! without holding a turn. The wait for the client is bounded: when it expires, the reply is broken
//! off and its memory is freed, even if the connection never asks again.
//!
//! A reply that turns out to be short leaves the thread whole ([`Sending::whole`]), and the
//! thread's place is free for the next read. Only a long reply needs one of the places for replies
//! in pieces, because a client that does not read holds such a place until it is broken off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use conclave_storage::reader::ReadError;
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::Unread;
use super::places::Place;
use super::turns::Turns;

/// Reason why a reply ended before its last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokenOff {
    /// The client did not take a piece in time.
    Stalled,
    /// The read failed, or the server is stopping.
    Failed,
}

/// A reply that has begun.
pub enum Sent {
    /// The buffers of a short one.
    Whole(Vec<Bytes>),
    /// A long one.
    Pieces(Pieces),
}

/// The sending thread's end of a reply.
pub struct Sending {
    shared: Arc<Shared>,
    turns: Arc<Turns>,
    place: Place,
    stall_max: Duration,
    begun: Option<oneshot::Sender<Result<Start, Unread>>>,
}

/// The connection's end of a reply: a stream of pieces.
#[derive(Debug)]
pub struct Pieces {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Notified when the slot is empty or the connection's end was dropped.
    taken: Condvar,
    /// Set when the connection's end was dropped; the meter of the thread's reader checks it.
    abandoned: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct State {
    piece: Option<Bytes>,
    /// Set when no piece follows the one in the slot.
    ended: Option<Result<(), BrokenOff>>,
    waker: Option<Waker>,
}

/// How a reply starts.
pub(super) enum Start {
    /// The buffers of a short reply, which has ended.
    Whole(Vec<Bytes>),
    /// The first piece is available.
    Pieces,
    /// It does not: it is a long one, and there is no place for one.
    NoPlace,
}

/// Receives the start of the reply, or the reason why there is none.
pub(super) type Begun = oneshot::Receiver<Result<Start, Unread>>;

/// Returns what precedes a gRPC message of this length: the uncompressed flag, and the length.
/// Fails if a gRPC message cannot be that long.
pub fn frame_header(size_bytes: u64) -> Result<[u8; 5], Unread> {
    let length = u32::try_from(size_bytes).map_err(|_| Unread::TooLarge(size_bytes))?;
    let [a, b, c, d] = length.to_be_bytes();
    Ok([0, a, b, c, d])
}

/// Creates both ends of a reply.
pub(super) fn channel(
    turns: Arc<Turns>,
    place: Place,
    abandoned: Arc<AtomicBool>,
    stall_max: Duration,
) -> (Sending, Pieces, Begun) {
    let (begin, begun) = oneshot::channel();
    let shared = Arc::new(Shared {
        state: Mutex::default(),
        taken: Condvar::new(),
        abandoned,
    });
    let sending = Sending {
        shared: Arc::clone(&shared),
        turns,
        place,
        stall_max,
        begun: Some(begin),
    };
    (sending, Pieces { shared }, begun)
}

impl Sending {
    /// Sends a short message whole. Nothing can be sent after it.
    pub fn whole(&mut self, buffers: Vec<Bytes>) {
        self.answer(Ok(Start::Whole(buffers)));
    }

    /// Begins a message of this length. Fails if a gRPC message cannot be that long, or if there
    /// is no place for a reply in pieces.
    pub fn begin(&mut self, size_bytes: u64) -> Result<(), ReadError> {
        let frame = match frame_header(size_bytes) {
            Ok(frame) => frame,
            Err(too_large) => {
                self.answer(Err(too_large));
                return Err(ReadError::Stopped);
            }
        };
        if !self.place.pass_on() {
            self.answer(Ok(Start::NoPlace));
            return Err(ReadError::Stopped);
        }
        self.answer(Ok(Start::Pieces));
        self.send(Bytes::copy_from_slice(&frame))
    }

    /// Sends a piece once the previous piece has been taken.
    pub fn send(&mut self, piece: Bytes) -> Result<(), ReadError> {
        if piece.is_empty() {
            return Ok(());
        }
        let is_free = self.shared.state.lock().piece.is_none();
        if !is_free {
            self.turns.without(|| self.shared.wait(self.stall_max))?;
        }
        if self.shared.abandoned.load(Ordering::Relaxed) {
            return Err(ReadError::Stopped);
        }
        self.shared.state.lock().put(piece);
        Ok(())
    }

    /// Ends the reply with the result of the work.
    pub(super) fn end(mut self, worked: Result<(), ReadError>) {
        if let (Some(begun), Err(error)) = (self.begun.take(), &worked) {
            let _ = begun.send(Err(match error {
                ReadError::Stopped => Unread::Stopped,
                error => Unread::Read(error.clone()),
            }));
        }
        if let Err(ReadError::Fault(fault)) = &worked {
            tracing::error!(%fault, "cannot read the state");
        }
        self.shared.end(worked.map_err(|_| BrokenOff::Failed));
    }

    fn answer(&mut self, answer: Result<Start, Unread>) {
        if let Some(begun) = self.begun.take() {
            let _ = begun.send(answer);
        }
    }
}

impl Drop for Sending {
    /// Ends the reply on every exit, including a panic, so that the connection does not wait for
    /// ever.
    fn drop(&mut self) {
        self.shared.end(Err(BrokenOff::Failed));
    }
}

impl Shared {
    /// Waits until the slot is empty. Breaks the reply off if that takes longer than `stall_max`.
    fn wait(&self, stall_max: Duration) -> Result<(), ReadError> {
        let waits =
            |state: &mut State| state.piece.is_some() && !self.abandoned.load(Ordering::Relaxed);
        let mut state = self.state.lock();
        let waited = self.taken.wait_while_for(&mut state, waits, stall_max);
        if waited.timed_out() {
            tracing::debug!(
                ?stall_max,
                "a client does not read its reply, which is broken off"
            );
            // A piece that the client does not read must not stay in memory.
            state.piece = None;
            state.end(Err(BrokenOff::Stalled));
            return Err(ReadError::Stopped);
        }
        Ok(())
    }

    fn end(&self, how: Result<(), BrokenOff>) {
        self.state.lock().end(how);
    }
}

impl State {
    fn put(&mut self, piece: Bytes) {
        self.piece = Some(piece);
        self.wake();
    }

    /// Records the end of the reply; only the first call has an effect.
    fn end(&mut self, how: Result<(), BrokenOff>) {
        self.ended.get_or_insert(how);
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Pieces {
    /// Polls for the next piece, or the end.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        let mut state = self.shared.state.lock();
        if let Some(piece) = state.piece.take() {
            self.shared.taken.notify_one();
            return Poll::Ready(Some(Ok(piece)));
        }
        match state.ended {
            Some(Ok(())) => Poll::Ready(None),
            Some(Err(broken_off)) => Poll::Ready(Some(Err(broken_off))),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        // Setting the flag under the lock ensures that the thread either is waiting and is woken,
        // or sees the flag.
        let _state = self.shared.state.lock();
        self.shared.abandoned.store(true, Ordering::Relaxed);
        self.shared.taken.notify_one();
    }
}
