//! A watch for the server's own use: locks and elections wait for the deletion of keys.
//!
//! A subscription uses the same hub, queue and history as a client's stream, with one watcher, and
//! whole revisions instead of encoded events.

use std::fmt;
use std::sync::Arc;

use conclave_storage::machine::Changes;
use conclave_storage::reader::ReadError;
use conclave_storage::{KeyRange, Revision};

use super::hub::{Form, Registration};
use super::port::{Closed, Port, Step};
use super::queue::{Content, Message, Tag};

/// Reason why a subscription ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// The next revision is compacted; this is the compact revision. The current data must be read
    /// from the state.
    #[error("the revision needed is compacted; history begins at {0}")]
    Compacted(Revision),
    /// The server is stopping.
    #[error("the server stops")]
    Closed,
    /// The state cannot be read.
    #[error(transparent)]
    Read(ReadError),
}

impl From<Closed> for WatchError {
    fn from(Closed: Closed) -> WatchError {
        WatchError::Closed
    }
}

/// The revisions that change some keys, in order, from a given revision on, without gaps or
/// repetitions.
///
/// A subscription that is not read costs a bounded queue; revisions it missed are read from history
/// later.
pub struct Subscription {
    port: Port,
    range: KeyRange,
    next: Revision,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The watcher is to be offered to the hub.
    Joining,
    /// The watcher is to be fed from history.
    Lagging,
    Live,
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Subscription");
        debug
            .field("range", &self.range)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

const TAG: Tag = Tag {
    position: 0,
    generation: 0,
};

impl Subscription {
    pub(super) fn new(port: Port, range: KeyRange, from: Revision) -> Subscription {
        Subscription {
            port,
            range,
            next: from,
            stage: Stage::Joining,
        }
    }

    /// Waits for revisions in which something in the range changed, and returns at least one. Each
    /// contains all changes of its revision, including those outside the range. After an error, no
    /// more revisions follow.
    ///
    /// Cancelling the call loses no revision: the next call continues where the cancelled one
    /// stopped.
    pub async fn next(&mut self) -> Result<Vec<Arc<Changes>>, WatchError> {
        loop {
            let found = match self.stage {
                Stage::Joining => {
                    self.join().await?;
                    Vec::new()
                }
                Stage::Lagging => self.read().await?,
                Stage::Live => self.receive().await?,
            };
            if !found.is_empty() {
                return Ok(found);
            }
        }
    }

    async fn join(&mut self) -> Result<(), WatchError> {
        let registration = Registration {
            tag: TAG,
            range: self.range.clone(),
            form: Form::Whole,
            from: self.next,
        };
        // If this call is cancelled after the hub has answered but before the answer arrives, the
        // hub has the watcher and this subscription does not know it. A `Forget` before each
        // registration makes joining repeatable; messages for the lost registration are filtered by
        // revision.
        self.port.forget(TAG).await?;
        let registered = self.port.register(vec![registration]).await?;
        self.stage = if registered.refused.is_empty() {
            Stage::Live
        } else {
            Stage::Lagging
        };
        Ok(())
    }

    async fn read(&mut self) -> Result<Vec<Arc<Changes>>, WatchError> {
        match self
            .port
            .watches
            .read(self.next)
            .await
            .map_err(WatchError::Read)?
        {
            Step::Compacted(compacted) => Err(WatchError::Compacted(compacted)),
            Step::Changes {
                mut changes,
                next,
                is_last,
            } => {
                self.next = next;
                if is_last {
                    self.stage = Stage::Joining;
                }
                changes.retain(|changes| self.concerns(changes));
                Ok(changes)
            }
        }
    }

    async fn receive(&mut self) -> Result<Vec<Arc<Changes>>, WatchError> {
        let deliveries = match self.port.recv().await? {
            Message::Deliveries(deliveries) | Message::Replay(deliveries) => deliveries,
            Message::Behind { from, .. } => {
                self.next = self.next.max(from);
                self.stage = Stage::Joining;
                return Ok(Vec::new());
            }
            Message::Mark { .. } => unreachable!("subscriptions ask for no marks"),
        };
        let mut found = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            let Content::Whole(changes) = delivery.content else {
                unreachable!("subscriptions register for whole revisions")
            };
            if changes.revision >= self.next {
                self.next = changes.revision.next();
                found.push(changes);
            }
        }
        Ok(found)
    }

    fn concerns(&self, changes: &Changes) -> bool {
        let mut keys = changes.changes.iter().map(|change| &change.kv.key);
        keys.any(|key| self.range.contains(key))
    }
}
