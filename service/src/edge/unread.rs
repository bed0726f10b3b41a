//! Limit on the memory of replies that clients do not read, for all connections.
//!
//! A reply is kept until its client takes it. Reads have limits of their own, and wait or are sent
//! in pieces (`conclave_core::long_reads`). But a value is in other messages as well: in the events
//! of watches, in the leader of an election, in the previous version that a write returns. Its size
//! is the writer's choice, thousands of streams may each hold one, and a reply to an executed write
//! cannot be refused. So the bytes that all connections hold are counted, and beyond the limit the
//! connection that holds the most is closed. Its client connects again, and its watches go on where
//! they were.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use conclave_core::long_reads::UNCOUNTED_BYTES;
use hyper::body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use pin_project_lite::pin_project;
use tokio_util::sync::CancellationToken;

/// Bytes that all connections may hold together: more than the sum of the limits of reads.
const HELD_BYTES_MAX: usize = 768 << 20;

/// Reply bytes that the client connections of a member hold.
#[derive(Debug, Default)]
pub(super) struct UnreadReplies {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bytes: usize,
    /// The connections that are not being closed, by number.
    connections: HashMap<u64, Held>,
    next_number: u64,
}

#[derive(Debug)]
struct Held {
    bytes: usize,
    closing: CancellationToken,
}

/// Counter of the unread reply bytes of one connection. Dropping it ends the count.
#[derive(Debug)]
pub(super) struct Unread {
    all: Arc<UnreadReplies>,
    number: u64,
    closing: CancellationToken,
}

impl UnreadReplies {
    /// Adds a counter for a new connection.
    pub(super) fn of_connection(self: &Arc<Self>) -> Arc<Unread> {
        let closing = CancellationToken::new();
        let held = Held {
            bytes: 0,
            closing: closing.clone(),
        };
        let mut state = self.state.lock();
        let number = state.next_number;
        state.next_number += 1;
        state.connections.insert(number, held);
        Arc::new(Unread {
            all: Arc::clone(self),
            number,
            closing,
        })
    }
}

impl State {
    fn add(&mut self, number: u64, bytes: usize) {
        let Some(held) = self.connections.get_mut(&number) else {
            return;
        };
        held.bytes += bytes;
        self.bytes += bytes;
        if self.bytes > HELD_BYTES_MAX {
            let largest = self.connections.iter().max_by_key(|(_, held)| held.bytes);
            let largest = largest.map(|(number, _)| *number);
            if let Some(closed) = largest.and_then(|number| self.remove(number)) {
                closed.closing.cancel();
            }
        }
    }

    fn subtract(&mut self, number: u64, bytes: usize) {
        if let Some(held) = self.connections.get_mut(&number) {
            held.bytes -= bytes;
            self.bytes -= bytes;
        }
    }

    /// Stops counting a connection whose memory is about to be freed.
    fn remove(&mut self, number: u64) -> Option<Held> {
        let held = self.connections.remove(&number)?;
        self.bytes -= held.bytes;
        Some(held)
    }
}

impl Unread {
    /// Returns when the connection must be closed.
    pub(super) async fn closing(&self) {
        self.closing.cancelled().await;
    }

    /// Counts a part of a reply until it is sent. Short parts are not counted, as in the limits of
    /// reads.
    fn keep(self: &Arc<Self>, part: Bytes) -> Bytes {
        if part.len() <= UNCOUNTED_BYTES {
            return part;
        }
        self.all.state.lock().add(self.number, part.len());
        Bytes::from_owner(Kept {
            part,
            of: Arc::clone(self),
        })
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.all.state.lock().remove(self.number);
    }
}

struct Kept {
    part: Bytes,
    of: Arc<Unread>,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.part
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let mut state = self.of.all.state.lock();
        state.subtract(self.of.number, self.part.len());
    }
}

pin_project! {
    /// Body of a reply, whose parts are counted until they are sent.
    pub(super) struct UnreadBody<B> {
        #[pin]
        body: B,
        // `None` for a probe.
        of: Option<Arc<Unread>>,
    }
}

impl<B> UnreadBody<B> {
    pub(super) fn new(body: B, of: Option<Arc<Unread>>) -> UnreadBody<B> {
        UnreadBody { body, of }
    }
}

impl<B: Body<Data = Bytes>> Body for UnreadBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let frame = ready!(this.body.poll_frame(cx));
        let Some(of) = this.of else {
            return Poll::Ready(frame);
        };
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(|part| of.keep(part)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE_BYTES: usize = HELD_BYTES_MAX / 8;

    fn part() -> Bytes {
        // Memory that is not touched takes none.
        Bytes::from(vec![0; LARGE_BYTES])
    }

    #[test]
    fn the_connection_that_holds_the_most_is_closed() {
        let all = Arc::<UnreadReplies>::default();
        let (greedy, modest) = (all.of_connection(), all.of_connection());
        let mut kept: Vec<_> = (0..6).map(|_| greedy.keep(part())).collect();
        kept.extend((0..2).map(|_| modest.keep(part())));
        assert!(!greedy.closing.is_cancelled());
        kept.push(modest.keep(part()));
        assert!(greedy.closing.is_cancelled() && !modest.closing.is_cancelled());
        assert_eq!(all.state.lock().bytes, 3 * LARGE_BYTES);
        // What the closed one still holds does not count any more.
        kept.push(greedy.keep(part()));
        kept.truncate(6);
        assert_eq!(all.state.lock().bytes, 0);
    }

    #[test]
    fn what_was_sent_does_not_count() {
        let all = Arc::<UnreadReplies>::default();
        let of = all.of_connection();
        let kept = of.keep(part());
        let half = kept.slice(..LARGE_BYTES / 2);
        drop(kept);
        assert_eq!(all.state.lock().bytes, LARGE_BYTES);
        drop(half);
        assert_eq!(all.state.lock().bytes, 0);
        drop(of.keep(Bytes::from(vec![0; UNCOUNTED_BYTES])));
        let kept = of.keep(part());
        drop(of);
        assert_eq!(all.state.lock().bytes, LARGE_BYTES);
        drop(kept);
        assert!(all.state.lock().connections.is_empty());
    }
}
