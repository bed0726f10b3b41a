//! A watch for the server's own use: locks and elections wait for keys to go away.
//!
//! The same hub, queue and history as a client's stream, with one watcher, and whole revisions
//! instead of encoded events.

use std::fmt;
use std::sync::Arc;

use conclave_storage::Revision;
use conclave_storage::machine::Changes;
use conclave_storage::reader::ReadError;

use super::hub::{Form, Registration};
use super::index::KeyRange;
use super::port::{Closed, Port, Step};
use super::queue::{Content, Message, Tag};

/// Why a subscription ends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// The revision needed next is compacted; this is the compact revision. What is true now must
    /// be read from the state.
    #[error("the revision needed is compacted; history begins at {0}")]
    Compacted(Revision),
    /// The server stops.
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

/// The revisions that change some keys, in order, from a given one on: none is left out and none
/// comes twice.
///
/// A subscription that is not read costs a bounded queue; what it missed is read from history
/// later.
pub struct Subscription {
    port: Port,
    range: KeyRange,
    next: Revision,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// To be offered to the hub.
    Joining,
    /// To be fed from history.
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

    /// Waits for revisions in which something in the range changed. At least one is returned. Each
    /// holds all changes of its revision, also those outside the range. After an error there is
    /// nothing more.
    ///
    /// May be cancelled: nothing is lost, the next call goes on where this one was.
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
        // If this call is cancelled between the hub's answer and its arrival, the hub has the
        // watcher and we do not know. Asking it to forget first makes joining repeatable; messages
        // of the lost registration are sorted out by revision.
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
        let keys = changes
            .changes
            .iter()
            .filter_map(|change| change.event.kv.as_ref());
        keys.into_iter().any(|kv| self.range.contains(&kv.key))
    }
}
