//! The queue of parcels to one member, and the frames they are sent in.
//!
//! A queue is open while there is a connection. A closed or full queue drops new parcels: raft
//! sends them or newer ones again, and needs to learn of the loss at once. The limit in bytes
//! bounds the memory that a member which does not read can occupy; the limit in number bounds the
//! overhead of many small messages.
//!
//! This is not a channel: a frame takes many parcels at once, and a connection that ends must leave
//! nothing behind for the next one. Parcels of a former connection may already have arrived, and
//! would arrive again, out of order.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use prost::Message as _;
use tokio_stream::Stream;

use conclave_proto::peer::{Frame, Hello, Parcel};

use crate::metrics::OfPeer;
use conclave_core::limits;

/// Limit of parcels that wait for one member.
const PARCELS_MAX: usize = limits::PEER_MESSAGES_MAX;

/// Limit of a frame in bytes. The receiver decodes a frame as a whole, so in a larger one the first
/// parcel would wait for the last.
const FRAME_BYTES_MAX: usize = 1 << 20;

/// The fate of a parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    Queued,
    /// Dropped; the first since a successful send, so the driver must be notified.
    FirstLost,
    /// Dropped, like those before it.
    Lost,
}

/// A queue of parcels to one member.
#[derive(Debug)]
pub(super) struct Queue {
    inside: Mutex<Inside>,
    stats: Arc<OfPeer>,
}

#[derive(Debug, Default)]
struct Inside {
    /// The current connection's number, incremented at each start and end.
    connection: u64,
    is_open: bool,
    /// True if the driver was notified of a loss.
    loss_told: bool,
    parcels: VecDeque<Parcel>,
    queue_bytes: usize,
    waker: Option<Waker>,
}

impl Queue {
    /// Creates a closed queue that counts what it sends and drops.
    pub(super) fn new(stats: Arc<OfPeer>) -> Queue {
        Queue {
            inside: Mutex::default(),
            stats,
        }
    }

    /// Adds a parcel, if there is a connection and space.
    pub(super) fn push(&self, parcel: Parcel) -> Pushed {
        let parcel_bytes = parcel.encoded_len();
        let waker = {
            let mut inside = self.inside.lock();
            let has_room = inside.parcels.len() < PARCELS_MAX
                && (inside.parcels.is_empty()
                    || inside.queue_bytes + parcel_bytes <= limits::PEER_QUEUE_BYTES_MAX);
            if !inside.is_open || !has_room {
                self.stats.send_failures.inc();
                let told = std::mem::replace(&mut inside.loss_told, true);
                return if told {
                    Pushed::Lost
                } else {
                    Pushed::FirstLost
                };
            }
            inside.queue_bytes += parcel_bytes;
            inside.parcels.push_back(parcel);
            inside.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Pushed::Queued
    }

    /// Begins a connection. Returns its frames, of which `hello` is the first; parcels follow once
    /// the queue is opened.
    pub(super) fn start(self: &Arc<Self>, hello: Hello) -> Frames {
        let mut inside = self.inside.lock();
        inside.connection += 1;
        Frames {
            connection: inside.connection,
            queue: Arc::clone(self),
            hello: Some(hello),
        }
    }

    /// Opens the queue for parcels, once the other end has identified itself.
    pub(super) fn open(&self) {
        let mut inside = self.inside.lock();
        inside.is_open = true;
        inside.loss_told = false;
    }

    /// Ends the connection and drops all waiting parcels. Returns true if the queue was open, so
    /// that parcels may have been lost: the caller notifies the driver then, and further losses
    /// cause no notification.
    pub(super) fn close(&self) -> bool {
        let mut inside = self.inside.lock();
        let was_open = std::mem::replace(&mut inside.is_open, false);
        inside.connection += 1;
        inside.loss_told |= was_open;
        self.stats.send_failures.inc_by(inside.parcels.len() as u64);
        inside.parcels.clear();
        inside.queue_bytes = 0;
        if let Some(waker) = inside.waker.take() {
            waker.wake();
        }
        was_open
    }
}

/// The frames of one connection, as a stream that ends with the connection.
#[derive(Debug)]
pub(super) struct Frames {
    queue: Arc<Queue>,
    connection: u64,
    hello: Option<Hello>,
}

impl Stream for Frames {
    type Item = Frame;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        let this = self.get_mut();
        if let Some(hello) = this.hello.take() {
            return Poll::Ready(Some(Frame {
                hello: Some(hello),
                parcels: Vec::new(),
            }));
        }
        let mut inside = this.queue.inside.lock();
        if inside.connection != this.connection {
            return Poll::Ready(None);
        }
        if inside.parcels.is_empty() {
            inside.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let (parcels, frame_bytes) = inside.gather();
        this.queue.stats.sent_bytes.inc_by(frame_bytes as u64);
        Poll::Ready(Some(Frame {
            hello: None,
            parcels,
        }))
    }
}

impl Inside {
    /// Takes the parcels of the next frame, at least one, and returns them with their size.
    fn gather(&mut self) -> (Vec<Parcel>, usize) {
        let mut frame_bytes = 0;
        let mut count = 0;
        for parcel in &self.parcels {
            let parcel_bytes = parcel.encoded_len();
            if count > 0 && frame_bytes + parcel_bytes > FRAME_BYTES_MAX {
                break;
            }
            frame_bytes += parcel_bytes;
            count += 1;
        }
        self.queue_bytes -= frame_bytes;
        // There is space again, so the next loss is reported again.
        self.loss_told = false;
        (self.parcels.drain(..count).collect(), frame_bytes)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use conclave_proto::peer::parcel::Content;
    use conclave_storage::MemberId;
    use tokio_stream::StreamExt as _;

    use super::*;
    use crate::metrics::PeerStats;

    fn parcel(size_bytes: usize) -> Parcel {
        Parcel {
            content: Some(Content::Raft(vec![7; size_bytes].into())),
        }
    }

    pub(in crate::peer) fn closed() -> Arc<Queue> {
        let (stats, _) = PeerStats::new(MemberId(1)).expect("distinct names");
        Arc::new(Queue::new(Arc::new(stats.of(MemberId(2)))))
    }

    fn open() -> (Arc<Queue>, Frames) {
        let queue = closed();
        let frames = queue.start(Hello::default());
        queue.open();
        (queue, frames)
    }

    #[tokio::test]
    async fn what_waits_goes_together_and_in_bounds() {
        let (queue, mut frames) = open();
        let mut next = async || frames.next().await.expect("a frame");
        assert!(next().await.hello.is_some());
        for size_bytes in [10, 20, FRAME_BYTES_MAX, 30] {
            assert_eq!(queue.push(parcel(size_bytes)), Pushed::Queued);
        }
        let mut counts = Vec::new();
        for _ in 0..3 {
            counts.push(next().await.parcels.len());
        }
        assert_eq!(counts, [2, 1, 1]);
    }

    #[tokio::test]
    async fn a_loss_is_told_once_until_there_is_room_again() {
        let (queue, mut frames) = open();
        assert!(frames.next().await.is_some());
        while queue.push(parcel(1 << 20)) == Pushed::Queued {}
        assert_eq!(queue.push(parcel(1 << 20)), Pushed::Lost);
        assert!(frames.next().await.is_some());
        assert_eq!(queue.push(parcel(1 << 20)), Pushed::Queued);
        assert_eq!(queue.push(parcel(1 << 20)), Pushed::FirstLost);
    }

    #[tokio::test]
    async fn nothing_is_left_for_the_next_connection() {
        let queue = closed();
        assert_eq!(queue.push(parcel(1)), Pushed::FirstLost);
        assert_eq!(queue.push(parcel(1)), Pushed::Lost);
        let mut first = queue.start(Hello::default());
        assert_eq!(queue.push(parcel(1)), Pushed::Lost);
        queue.open();
        assert_eq!(queue.push(parcel(1)), Pushed::Queued);
        assert!(queue.close());
        assert_eq!(queue.push(parcel(1)), Pushed::Lost);
        let mut second = queue.start(Hello::default());
        queue.open();
        assert_eq!(queue.push(parcel(2)), Pushed::Queued);
        assert!(first.next().await.expect("hello").hello.is_some());
        assert_eq!(first.next().await, None);
        assert!(second.next().await.expect("hello").hello.is_some());
        let frame = second.next().await.expect("a frame");
        assert_eq!(frame.parcels, [parcel(2)]);
    }
}
