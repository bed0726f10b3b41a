//! The queue from the hub to a stream: bounded in messages and in bytes, and never waited for by
//! the hub.
//!
//! One place is kept for the message that says the queue overflowed; see "Overflow" in
//! [`super::hub`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use conclave_storage::Revision;
use conclave_storage::machine::Changes;
use tokio::sync::mpsc;

use super::Settings;
use super::events::Events;

/// A watcher's name on its stream. Positions are used again, generations are not, so a message for
/// a watcher that is gone never reaches its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Tag {
    /// Where the stream finds the watcher.
    pub(crate) position: u32,
    /// Which of the watchers that were there.
    pub(crate) generation: u32,
}

/// A question for how far the hub has come, answered in the queue behind the events up to there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Ascending on a stream.
    pub(crate) number: u64,
    /// For one request of the client, rather than for the timer.
    pub(crate) manual: bool,
}

/// What the hub tells a stream.
#[derive(Debug)]
pub(crate) enum Message {
    /// Revisions in order, as they happened.
    Deliveries(Vec<Delivery>),
    /// Revisions in order that happened before the registrations that want them were made.
    Replay(Vec<Delivery>),
    /// Everything up to `revision` stands before this in the queue.
    Mark { mark: Mark, revision: Revision },
    /// The registrations of `epoch` are dropped; everything below `from` was delivered to them.
    Behind { epoch: u64, from: Revision },
}

/// One revision for one watcher.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) tag: Tag,
    pub(crate) content: Content,
}

/// In the form the watcher wants.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Events(Arc<Events>),
    Whole(Arc<Changes>),
}

impl Content {
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Content::Events(events) => events.bytes().len(),
            Content::Whole(changes) => changes.bytes,
        }
    }

    /// One and the same, not only equal.
    pub(crate) fn is_same(&self, other: &Content) -> bool {
        match (self, other) {
            (Content::Events(a), Content::Events(b)) => Arc::ptr_eq(a, b),
            (Content::Whole(a), Content::Whole(b)) => Arc::ptr_eq(a, b),
            (Content::Events(_), Content::Whole(_)) | (Content::Whole(_), Content::Events(_)) => {
                false
            }
        }
    }
}

/// The hub's end of a stream's queue, bounded in messages and in bytes.
#[derive(Debug)]
pub(crate) struct Queue {
    messages: mpsc::Sender<(Message, usize)>,
    bytes: Arc<AtomicUsize>,
    bytes_max: usize,
}

/// The stream's end.
#[derive(Debug)]
pub(crate) struct QueueReader {
    messages: mpsc::Receiver<(Message, usize)>,
    bytes: Arc<AtomicUsize>,
}

/// Makes a queue.
pub(crate) fn queue(settings: &Settings) -> (Queue, QueueReader) {
    // One more than ordinary messages may take: see "Overflow".
    let (sender, receiver) = mpsc::channel(settings.queue_messages_max + 1);
    let bytes = Arc::new(AtomicUsize::new(0));
    let queue = Queue {
        messages: sender,
        bytes: Arc::clone(&bytes),
        bytes_max: settings.queue_bytes_max,
    };
    (
        queue,
        QueueReader {
            messages: receiver,
            bytes,
        },
    )
}

impl Queue {
    /// The stream is gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.messages.is_closed()
    }

    /// Room for an ordinary message.
    pub(crate) fn has_room(&self) -> bool {
        self.messages.capacity() >= 2
    }

    /// Sends an ordinary message if there is room. A message larger than the queue may be has the
    /// queue to itself.
    pub(crate) fn offer(&self, message: Message, bytes: usize) -> bool {
        let queued = self.bytes.load(Ordering::Relaxed);
        if !self.has_room() || (queued > 0 && queued + bytes > self.bytes_max) {
            return false;
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        // It fails only if the stream is gone; its `Close` is on the way.
        let _ = self.messages.try_send((message, bytes));
        true
    }

    /// Uses the reserved place.
    pub(crate) fn say_behind(&self, epoch: u64, from: Revision) {
        if let Err(mpsc::error::TrySendError::Full(_)) =
            self.messages.try_send((Message::Behind { epoch, from }, 0))
        {
            unreachable!("the last place of a queue with registrations is free");
        }
    }
}

impl QueueReader {
    /// The next message; `None` when the hub is gone.
    pub(crate) async fn recv(&mut self) -> Option<Message> {
        let (message, bytes) = self.messages.recv().await?;
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        Some(message)
    }

    /// The next message, if it is there.
    pub(crate) fn try_recv(&mut self) -> Option<Message> {
        let (message, bytes) = self.messages.try_recv().ok()?;
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        Some(message)
    }
}
