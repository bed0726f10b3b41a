//! Being told of changes, once each and in order, across broken connections.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::api::{
    Event, WatchCreateRequest, WatchRequest, WatchResponse, watch_request::RequestUnion,
};
use crate::{Client, Error, Keys};

/// The pause before a broken watch is opened again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);

impl Client {
    /// Describes a watch on `keys`; [`WatchBuilder::open`] starts it.
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
    /// Starts at this revision, which may be in the past (its events come first) or in the future.
    pub fn from(mut self, revision: i64) -> Self {
        self.request.start_revision = revision;
        self
    }

    /// Asks for the value before each change.
    pub fn with_previous(mut self) -> Self {
        self.request.prev_kv = true;
        self
    }

    /// Opens the watch. When this returns, every later change will be seen.
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

/// An open watch. Dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    client: Client,
    /// As it would be sent to open the watch again: its start is the first revision not seen yet.
    request: WatchCreateRequest,
    stream: Option<OpenStream>,
    ended: bool,
}

#[derive(Debug)]
struct OpenStream {
    /// Held because the server ends the stream when it closes.
    _requests: mpsc::Sender<WatchRequest>,
    responses: Streaming<WatchResponse>,
}

/// What changed, up to and including `revision`.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The revision up to which everything has been delivered.
    pub revision: i64,
    /// The changes in order; those of one revision are never torn apart.
    pub events: Vec<Event>,
}

impl Watch {
    /// The next changes; `None` after the server ended the watch, which it does not do by itself.
    /// When the connection breaks, it is made again and the watch goes on where it was.
    ///
    /// # Errors
    /// [`Error::Compacted`] when the events to come next do not exist any more,
    /// [`Error::WatchCanceled`] when the server refuses to go on. The watch is over then.
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
                Ok(Some(response)) => {
                    if let Some(batch) = self.accept(response)? {
                        return Ok(Some(batch));
                    }
                }
                Ok(None) => self.stream = None,
                Err(status) => {
                    let error = Error::from(status);
                    if !error.is_unavailable() {
                        self.ended = true;
                        return Err(error);
                    }
                    self.stream = None;
                }
            }
        }
        Ok(None)
    }

    /// Opens a stream and waits for the acknowledgement.
    async fn connect(&mut self) -> Result<(), Error> {
        let (requests, receiver) = mpsc::channel(1);
        let create = RequestUnion::CreateRequest(self.request.clone());
        let first = WatchRequest {
            request_union: Some(create),
        };
        requests
            .try_send(first)
            .expect("the channel is new and holds one");
        let responses = self
            .client
            .watches()
            .watch(ReceiverStream::new(receiver))
            .await?;
        let mut responses = responses.into_inner();
        let created = responses.message().await?;
        let created = created.ok_or(Error::Protocol("the watch ended before it was created"))?;
        let revision = created.header.as_ref().map_or(0, |header| header.revision);
        self.stream = Some(OpenStream {
            _requests: requests,
            responses,
        });
        self.accept(created)?;
        if self.request.start_revision == 0 {
            // From now on the start is fixed: a reconnection must not skip what happens meanwhile.
            self.request.start_revision = revision + 1;
        }
        Ok(())
    }

    /// Notes how far the watch has come.
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
