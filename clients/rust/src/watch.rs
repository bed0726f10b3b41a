//! Watches: every change once and in order, across broken connections.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Extensions, Streaming};

use crate::api::{
    Event, WatchCreateRequest, WatchRequest, WatchResponse, watch_request::RequestUnion,
};
use crate::{Client, Error, Keys, REPEATS_MAX};

/// Pause before a broken watch is opened again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);

impl Client {
    /// Returns a builder for a watch on `keys`; [`WatchBuilder::open`] opens it.
    pub fn watch(&self, keys: impl Into<Keys>) -> WatchBuilder {
        let Keys {
            key,
            end: range_end,
        } = keys.into();
        let request = WatchCreateRequest {
            key,
            range_end,
            ..Default::default()
        };
        WatchBuilder {
            client: self.clone(),
            request,
        }
    }
}

/// A watch that is not open yet.
#[derive(Debug)]
pub struct WatchBuilder {
    client: Client,
    request: WatchCreateRequest,
}

impl WatchBuilder {
    /// Starts at this revision. It may be in the past, and then the events since that revision come
    /// first, or in the future.
    pub fn from(mut self, revision: i64) -> Self {
        self.request.start_revision = revision;
        self
    }

    /// Asks for the value before each change.
    pub fn with_previous(mut self) -> Self {
        self.request.prev_kv = true;
        self
    }

    /// Opens the watch. Every change after this returns is delivered.
    pub async fn open(self) -> Result<Watch, Error> {
        let mut watch = Watch {
            client: self.client,
            request: self.request,
            stream: None,
            ended: false,
        };
        watch.connect().await?;
        Ok(watch)
    }
}

/// An open watch. Dropping it ends the watch.
#[derive(Debug)]
pub struct Watch {
    client: Client,
    /// The request that would open the watch again: its start is the first revision not seen yet.
    request: WatchCreateRequest,
    stream: Option<OpenStream>,
    ended: bool,
}

#[derive(Debug)]
struct OpenStream {
    /// Kept open, because the server ends the stream when this side closes.
    _requests: mpsc::Sender<WatchRequest>,
    responses: Streaming<WatchResponse>,
    /// Names the token that the stream was opened with.
    used: Extensions,
}

/// Changes up to and including `revision`.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The revision up to which everything has been delivered.
    pub revision: i64,
    /// The changes in order. All changes of a revision are in the same batch.
    pub events: Vec<Event>,
}

impl Watch {
    /// Returns the next changes, or `None` after the watch has ended with an error. When the
    /// connection breaks, the watch connects again and continues where it was.
    ///
    /// # Errors
    /// [`Error::Compacted`] if the next events have been compacted, [`Error::WatchCanceled`] if the
    /// server cancels the watch. The watch has ended then. Other errors are those of a login or of
    /// a connection; after them the next call tries again, from the same revision.
    pub async fn next(&mut self) -> Result<Option<Batch>, Error> {
        while !self.ended {
            let Some(stream) = &mut self.stream else {
                match self.connect().await {
                    Err(error) if error.is_unavailable() => {
                        tokio::time::sleep(RECONNECT_PAUSE).await;
                    }
                    outcome => outcome?,
                }
                continue;
            };
            match stream.responses.message().await {
                Ok(Some(response)) if response.canceled => {
                    let reason = &response.cancel_reason;
                    match self.client.forget_refused(&stream.used, reason).await {
                        true => self.stream = None,
                        false => drop(self.accept(response)?),
                    }
                }
                Ok(Some(response)) => {
                    if let Some(batch) = self.accept(response)? {
                        return Ok(Some(batch));
                    }
                }
                Ok(None) => self.stream = None,
                Err(status) => {
                    let reason = status.message();
                    let is_refused = self.client.forget_refused(&stream.used, reason).await;
                    let error = Error::from(status);
                    if !is_refused && !error.is_unavailable() {
                        self.ended = true;
                        return Err(error);
                    }
                    self.stream = None;
                }
            }
        }
        Ok(None)
    }

    /// Opens a stream and waits for the acknowledgement. A watch that was refused for its token is
    /// opened with another one.
    async fn connect(&mut self) -> Result<(), Error> {
        for _ in 0..REPEATS_MAX {
            if self.open_stream().await? {
                return Ok(());
            }
        }
        self.open_stream().await?;
        Ok(())
    }

    /// Returns false if the watch was refused for its token, which is forgotten.
    async fn open_stream(&mut self) -> Result<bool, Error> {
        let (requests, receiver) = mpsc::channel(1);
        let create = RequestUnion::CreateRequest(self.request.clone());
        let first = WatchRequest {
            request_union: Some(create),
        };
        requests
            .try_send(first)
            .expect("the channel is new and holds one");
        let mut watches = self.client.watches();
        let opened = watches.watch(ReceiverStream::new(receiver)).await?;
        let (_, mut responses, used) = opened.into_parts();
        let created = responses.message().await?;
        let created = created.ok_or(Error::Protocol("the watch ended before it was created"))?;
        let reason = &created.cancel_reason;
        if created.canceled && self.client.forget_refused(&used, reason).await {
            return Ok(false);
        }
        let revision = created.header.as_ref().map_or(0, |header| header.revision);
        self.stream = Some(OpenStream {
            _requests: requests,
            responses,
            used,
        });
        self.accept(created)?;
        if self.request.start_revision == 0 {
            // The start is fixed from now on, so that a reconnection does not skip changes made in
            // the meantime.
            self.request.start_revision = revision + 1;
        }
        Ok(true)
    }

    /// Records the last revision of a response, and returns its changes.
    fn accept(&mut self, response: WatchResponse) -> Result<Option<Batch>, Error> {
        if response.canceled {
            self.ended = true;
            return Err(match response.compact_revision {
                0 => Error::WatchCanceled(response.cancel_reason),
                revision => Error::Compacted { revision },
            });
        }
        let last = response
            .events
            .iter()
            .filter_map(|event| event.kv.as_ref())
            .next_back();
        let Some(revision) = last.map(|kv| kv.mod_revision) else {
            return Ok(None);
        };
        self.request.start_revision = revision + 1;
        Ok(Some(Batch {
            revision,
            events: response.events,
        }))
    }
}
