//! The queue from the hub to a stream: bounded in messages and in bytes. The hub never waits for a
//! slot.
//!
//! One slot is reserved for the message that reports an overflow; see "Overflow" in [`super::hub`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use conclave_storage::Revision;
use conclave_storage::machine::Changes;
use tokio::sync::mpsc;

use super::Settings;
use super::events::Events;

/// Identifier of a watcher on its stream. Positions are reused and generations are not, so a
/// message for a removed watcher never reaches the next watcher at its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Tag {
    /// Position of the watcher on the stream.
    pub(crate) position: u32,
    /// Number of the watcher among the watchers that the stream ever had.
    pub(crate) generation: u32,
}

/// Request for the hub's position. The hub answers in the queue, behind the events up to that
/// position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Number of the mark, ascending on a stream.
    pub(crate) number: u64,
    /// True for a request of the client, false for the timer.
    pub(crate) manual: bool,
}

/// Messages from the hub to a stream.
#[derive(Debug)]
pub(crate) enum Message {
    /// Revisions in order, delivered as they happen.
    Deliveries(Vec<Delivery>),
    /// Revisions in order that happened before the registrations that want them.
    Replay(Vec<Delivery>),
    /// Everything up to `revision` precedes this message in the queue.
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

/// Content of a delivery, in the form that the watcher wants.
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

    /// Returns true if both share the same allocation; equality is not enough.
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

/// The stream's end of its queue.
#[derive(Debug)]
pub(crate) struct QueueReader {
    messages: mpsc::Receiver<(Message, usize)>,
    bytes: Arc<AtomicUsize>,
}

/// Creates a queue.
pub(crate) fn queue(settings: &Settings) -> (Queue, QueueReader) {
    // One slot more than ordinary messages may take: see "Overflow".
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
    /// Returns true if the stream has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.messages.is_closed()
    }

    /// Returns true if there is room for an ordinary message.
    pub(crate) fn has_room(&self) -> bool {
        self.messages.capacity() >= 2
    }

    /// Sends an ordinary message if there is room. A message larger than the queue's bound is
    /// accepted only by a queue without other bytes.
    pub(crate) fn offer(&self, message: Message, bytes: usize) -> bool {
        let queued = self.bytes.load(Ordering::Relaxed);
        if !self.has_room() || (queued > 0 && queued + bytes > self.bytes_max) {
            return false;
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        // This fails only if the stream has ended; its `Close` follows.
        let _ = self.messages.try_send((message, bytes));
        true
    }

    /// Reports an overflow, in the reserved slot.
    pub(crate) fn say_behind(&self, epoch: u64, from: Revision) {
        if let Err(mpsc::error::TrySendError::Full(_)) =
            self.messages.try_send((Message::Behind { epoch, from }, 0))
        {
            unreachable!("the last place of a queue with registrations is free");
        }
    }
}

impl QueueReader {
    /// Waits for the next message; returns `None` when the hub has ended.
    pub(crate) async fn recv(&mut self) -> Option<Message> {
        let (message, bytes) = self.messages.recv().await?;
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        Some(message)
    }

    /// Returns the next message, if one is queued.
    pub(crate) fn try_recv(&mut self) -> Option<Message> {
        let (message, bytes) = self.messages.try_recv().ok()?;
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        Some(message)
    }
}
