//! Watches: every change once and in order, across broken connections.

use std::time::Duration;

use conclave_proto::ApiError;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Extensions, Streaming};

use crate::Error;
use crate::api::watch_create_request::FilterType;
use crate::api::watch_request::RequestUnion;
use crate::api::{Event, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse};
use crate::backoff::Backoff;
use crate::calls::Served;
use crate::client::{Client, with_leader};
use crate::effect::Effect;
use crate::keys::Keys;
use crate::transport::REPEATS_MAX;

/// Time for a server to confirm a watch, after which another one is asked.
const CREATE_MAX: Duration = Duration::from_secs(5);

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

    /// Leaves out puts: the watch delivers deletions only.
    pub fn deletions(mut self) -> Self {
        self.request.filters = vec![FilterType::Noput.into()];
        self
    }

    /// Opens the watch. Every change after this returns is delivered. Waits for a server that can
    /// serve it, for at most the client's deadline.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Deadline`] if no server could open it in time,
    /// [`Error::Api`] if it was refused.
    pub async fn open(self) -> Result<Watch, Error> {
        let deadline = self.client.deadline();
        let mut watch = self.not_open();
        match timeout(deadline, watch.reopen()).await {
            Ok(opened) => opened.map(|()| watch),
            Err(_) => Err(watch
                .failure
                .unwrap_or_else(|| Error::Deadline("the watch was not confirmed".into()))),
        }
    }

    /// A watch that opens when it is first asked for changes. Its start must be known.
    pub(crate) fn not_open(self) -> Watch {
        let mut request = self.request;
        // Now and then the server says how far the watch is, so that a quiet one does not depend on
        // history that is compacted.
        request.progress_notify = true;
        Watch {
            client: self.client,
            request,
            created: 0,
            stream: None,
            served: None,
            failure: None,
            ended: false,
        }
    }
}

/// An open watch. Dropping it ends the watch.
#[derive(Debug)]
pub struct Watch {
    client: Client,
    /// The request that would open the watch again: its start is the first revision not seen yet.
    request: WatchCreateRequest,
    /// The store's revision when the watch was last created.
    created: i64,
    stream: Option<OpenStream>,
    /// The endpoint of the last stream, which is asked last for the next one.
    served: Option<Served>,
    /// Why the last attempt to open a stream failed.
    failure: Option<Error>,
    ended: bool,
}

#[derive(Debug)]
struct OpenStream {
    requests: mpsc::Sender<WatchRequest>,
    responses: Streaming<WatchResponse>,
    /// Names the token that the stream was opened with.
    used: Extensions,
}

/// Changes up to and including `revision`.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The revision up to which everything has been delivered.
    pub revision: i64,
    /// The changes in order. All changes of a revision are in the same batch. In a batch for the
    /// crate's own use there may be none.
    pub events: Vec<Event>,
}

impl Watch {
    /// The store's revision when the watch was created.
    pub fn revision(&self) -> i64 {
        self.created
    }

    /// Returns the next changes, or `None` after the watch has ended with an error. When the
    /// connection breaks, the watch connects again and continues where it was, on another endpoint
    /// if there is one. Can be cancelled without losing changes.
    ///
    /// # Errors
    /// [`Error::Compacted`] if the next events have been compacted, [`Error::Api`] or
    /// [`Error::WatchCanceled`] if the server cancels the watch. The watch has ended then. After an
    /// error of a login the next call tries again, from the same revision.
    pub async fn next(&mut self) -> Result<Option<Batch>, Error> {
        loop {
            match self.next_or_progress().await? {
                Some(batch) if batch.events.is_empty() => {}
                batch => return Ok(batch),
            }
        }
    }

    /// [`Watch::next`], and batches without events when the server says how far the watch is.
    pub(crate) async fn next_or_progress(&mut self) -> Result<Option<Batch>, Error> {
        let client = self.client.clone();
        client.until_closing(Box::pin(self.advance())).await
    }

    async fn advance(&mut self) -> Result<Option<Batch>, Error> {
        while !self.ended {
            let Some(stream) = &mut self.stream else {
                self.reopen().await?;
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
                    self.stream = None;
                    let error = Error::of_call(status, Effect::Read);
                    if !is_refused && !error.is_retriable() {
                        self.ended = true;
                        return Err(error);
                    }
                }
            }
        }
        Ok(None)
    }

    /// Asks the server how far the watch is. The answer is a batch without events, which may fail
    /// to come while the watch is behind.
    pub(crate) fn ask_progress(&self) {
        let request_union = Some(RequestUnion::ProgressRequest(WatchProgressRequest {}));
        if let Some(stream) = &self.stream {
            // If one is under way already, that is as good.
            let _ = stream.requests.try_send(WatchRequest { request_union });
        }
    }

    /// Opens a stream, on one endpoint after another (R2) until one confirms the watch. A watch
    /// that was refused for its token is opened with another one.
    async fn reopen(&mut self) -> Result<(), Error> {
        let mut pauses = Backoff::of_calls();
        let mut refusals = 0;
        loop {
            let opened = match timeout(CREATE_MAX, self.open_stream()).await {
                Ok(opened) => opened,
                Err(_) => Err(Error::Unavailable(
                    "a server did not confirm the watch".into(),
                )),
            };
            match opened {
                Ok(true) => return Ok(()),
                Ok(false) if refusals < REPEATS_MAX => refusals += 1,
                Ok(false) => return Err(Error::Api(ApiError::InvalidAuthToken)),
                Err(error) if error.is_retriable() => {
                    self.failure = Some(error);
                    sleep(pauses.next()).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns false if the watch was refused for its token, which is forgotten.
    async fn open_stream(&mut self) -> Result<bool, Error> {
        let (requests, receiver) = mpsc::channel(2);
        let create = RequestUnion::CreateRequest(self.request.clone());
        let first = WatchRequest {
            request_union: Some(create),
        };
        requests
            .try_send(first)
            .expect("the channel is new and holds two");
        let mut request = with_leader(ReceiverStream::new(receiver));
        if let Some(served) = self.served {
            request.extensions_mut().insert(served);
        }
        let opened = self.client.watches().watch(request).await;
        let opened = opened.map_err(|status| Error::of_call(status, Effect::Read))?;
        let (_, mut responses, used) = opened.into_parts();
        self.served = used.get().copied();
        let created = match responses.message().await {
            Ok(created) => created,
            Err(status) if self.client.forget_refused(&used, status.message()).await => {
                return Ok(false);
            }
            Err(status) => return Err(Error::of_call(status, Effect::Read)),
        };
        let created =
            created.ok_or_else(|| Error::Unavailable("a server ended the new watch".into()))?;
        let reason = &created.cancel_reason;
        if created.canceled && self.client.forget_refused(&used, reason).await {
            return Ok(false);
        }
        let revision = created.header.as_ref().map_or(0, |header| header.revision);
        self.accept(created)?;
        self.created = revision;
        self.stream = Some(OpenStream {
            requests,
            responses,
            used,
        });
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
            self.stream = None;
            return Err(match response.compact_revision {
                0 => Error::of_cancelled_watch(&response.cancel_reason),
                revision => Error::Compacted { revision },
            });
        }
        let last = response
            .events
            .iter()
            .filter_map(|event| event.kv.as_ref())
            .next_back();
        let revision = match last {
            Some(kv) => kv.mod_revision,
            None if response.created => return Ok(None),
            None => match response.header {
                Some(header) => header.revision,
                None => return Ok(None),
            },
        };
        self.request.start_revision = self.request.start_revision.max(revision + 1);
        Ok(Some(Batch {
            revision,
            events: response.events,
        }))
    }
}
