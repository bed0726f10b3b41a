//! A stream's connection to the hub, and its reads of history in steps.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use conclave_proto::ApiError;
use conclave_storage::Revision;
use conclave_storage::machine::Changes;
use conclave_storage::reader::ReadError;
use tokio::sync::{mpsc, oneshot};

use super::hub::{Command, Registered, Registration, StreamId};
use super::queue::{self, Mark, Message, QueueReader, Tag};
use super::ring::{Found, ReadMax};
use super::{Watches, lock};
use crate::long_reads::Unread;

/// Error: the hub has ended because the server stops.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closed;

/// Result of reading a step of history.
#[derive(Debug)]
pub(super) enum Step {
    /// Everything from the requested revision up to but not including `next`.
    Changes {
        changes: Vec<Arc<Changes>>,
        next: Revision,
        /// True if no newer revision was known.
        is_last: bool,
    },
    /// The requested revision is compacted; this is the compact revision.
    Compacted(Revision),
}

impl Watches {
    /// Opens a new stream at the hub.
    pub(super) async fn open(&self) -> Result<Port, Closed> {
        let stream = self.shared.next_stream.fetch_add(1, Ordering::Relaxed);
        let (queue, reader) = queue::queue(&self.shared.settings);
        self.commands
            .send(Command::Open { stream, queue })
            .await
            .map_err(|_| Closed)?;
        Ok(Port {
            stream,
            queue: reader,
            watches: self.clone(),
        })
    }

    /// Reads a step of history from `from`, out of the ring if possible. A disk read runs on a
    /// thread that may block.
    pub(super) async fn read(&self, from: Revision) -> Result<Step, ReadError> {
        let bytes = self.shared.settings.step_bytes_max;
        // The ring's changes are shared; this bounds the responses built from them.
        let found = lock(&self.shared.ring).read(
            from,
            ReadMax {
                revisions: 1000,
                bytes,
            },
        );
        match found {
            Found::UpToDate => {
                return Ok(Step::Changes {
                    changes: Vec::new(),
                    next: from,
                    is_last: true,
                });
            }
            Found::Changes(changes, is_last) => {
                let next = changes.last().map_or(from, |last| last.revision.next());
                return Ok(Step::Changes {
                    changes,
                    next,
                    is_last,
                });
            }
            Found::Overrun(_) => {}
        }
        let read = self.reads.step(move |reader| {
            let through = reader.applied().revision;
            match reader.history(from, through, bytes) {
                Ok(history) => Ok(Step::Changes {
                    is_last: history.next > through,
                    changes: history.changes,
                    next: history.next,
                }),
                Err(ReadError::Rejected(ApiError::Compacted)) => {
                    Ok(Step::Compacted(reader.applied().compacted))
                }
                Err(error) => Err(error),
            }
        });
        read.await.map_err(|unread| match unread {
            Unread::Read(error) => error,
            Unread::Stopped | Unread::Unfinished | Unread::TooLarge(_) => ReadError::Stopped,
        })
    }
}

/// A stream's connection to the hub. Dropping it closes the stream.
pub(super) struct Port {
    stream: StreamId,
    queue: QueueReader,
    pub(super) watches: Watches,
}

impl Port {
    /// Offers watchers to the hub and waits for its answer, which is immediate.
    pub(super) async fn register(&self, watchers: Vec<Registration>) -> Result<Registered, Closed> {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Register {
            stream: self.stream,
            watchers,
            answer,
        })
        .await?;
        answered.await.map_err(|_| Closed)
    }

    pub(super) async fn forget(&self, tag: Tag) -> Result<(), Closed> {
        self.send(Command::Forget {
            stream: self.stream,
            tag,
        })
        .await
    }

    /// Requests a mark at or after the revision applied now.
    pub(super) async fn mark(&self, mark: Mark) -> Result<(), Closed> {
        let at_least = self.watches.reader.applied().revision;
        self.send(Command::Mark {
            stream: self.stream,
            mark,
            at_least,
        })
        .await
    }

    /// Returns the next message from the hub, if one is queued.
    pub(super) fn try_recv(&mut self) -> Option<Message> {
        self.queue.try_recv()
    }

    /// Waits for the next message from the hub.
    pub(super) async fn recv(&mut self) -> Result<Message, Closed> {
        self.queue.recv().await.ok_or(Closed)
    }

    async fn send(&self, command: Command) -> Result<(), Closed> {
        self.watches
            .commands
            .send(command)
            .await
            .map_err(|_| Closed)
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        let close = Command::Close {
            stream: self.stream,
        };
        if let Err(mpsc::error::TrySendError::Full(_)) = self.watches.commands.try_send(close) {
            self.watches
                .shared
                .must_sweep
                .store(true, Ordering::Release);
            self.watches.shared.pushed.notify_one();
        }
    }
}
