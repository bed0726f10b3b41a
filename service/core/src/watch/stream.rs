//! One stream of the Watch method: waits for requests, the hub, history and the timer, and leaves
//! the decisions to the [`Session`].
//!
//! The stream runs inside the task that writes the response body, not in a task of its own, so an
//! event wakes only that task on its way to the socket. For this, [`Responses`] is a stream that
//! holds a future. The future puts responses into a shared outbox and continues only after they
//! were taken. All ready responses are taken at once, and the codec packs them into few frames.
//!
//! That bounds a slow client: while the client does not read, no code here runs, requests are not
//! read, and the hub finds the queue full.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use conclave_proto::ApiError;
use conclave_proto::etcdserverpb::watch_request::RequestUnion;
use conclave_proto::etcdserverpb::{ResponseHeader, WatchRequest};
use conclave_storage::auth::AuthMark;
use conclave_storage::reader::ReadError;
use conclave_storage::{KeyRange, Revision};
use tokio_stream::{Stream, StreamExt as _};

use super::index;
use super::pack::Allowance;
use super::port::{Closed, Port, Step};
use super::queue::Message;
use super::response::EncodedWatchResponse;
use super::session::{Limits, Session};
use super::{Shared, Watches, lock};
use crate::seed::with_jitter;
use crate::trace::Span;

/// Capacity for responses that a quiet stream keeps.
const READY_KEPT: usize = 16;

/// Responses on their way from the future to the stream that holds it.
type Outbox = Arc<Mutex<VecDeque<EncodedWatchResponse>>>;

/// The response stream of one client. `E` is the error of the request stream.
pub struct Responses<E> {
    /// The running future; `None` once it has ended.
    serving: Option<Pin<Box<dyn Future<Output = End<E>> + Send>>>,
    outbox: Outbox,
    ready: VecDeque<EncodedWatchResponse>,
    /// Last item of the stream.
    end: Option<End<E>>,
}

/// The client of a watch stream, as its front sees it: its header and its permissions.
pub trait Viewer: Send + Sync + 'static {
    /// Returns the member's fields of a response's header.
    fn header(&self) -> ResponseHeader;

    /// Returns a mark that changes when the client may have lost permissions.
    fn mark(&self) -> AuthMark;

    /// Permits a new watcher of these keys, or not.
    fn permit(&self, range: &KeyRange) -> impl Future<Output = Result<(), ApiError>> + Send;

    /// Takes a place for another watcher, or returns the reason why there is none.
    fn add_watcher(&self) -> Result<(), String>;

    /// Gives back all places but those of this many watchers.
    fn keep_watchers(&self, count: usize);

    /// Permits a watcher of these keys to go on after the mark has changed, or not.
    fn permit_still(&self, range: &KeyRange) -> Result<(), ApiError>;

    /// Returns the span of the stream.
    fn span(&self) -> Span {
        Span::none()
    }
}

/// Serves the requests of one client.
pub fn serve<I, E, V>(watches: Watches, requests: I, viewer: V) -> Responses<E>
where
    I: Stream<Item = Result<WatchRequest, E>> + Send + Unpin + 'static,
    E: Send + 'static,
    V: Viewer,
{
    let outbox = Outbox::default();
    let serving = {
        let outbox = Arc::clone(&outbox);
        Box::pin(async move {
            match run(watches, requests, viewer, outbox).await {
                Ok(never) => match never {},
                Err(end) => end,
            }
        })
    };
    Responses {
        serving: Some(serving),
        outbox,
        ready: VecDeque::new(),
        end: None,
    }
}

// No field is pinned in place.
impl<E> Unpin for Responses<E> {}

impl<E> Stream for Responses<E> {
    type Item = Result<EncodedWatchResponse, End<E>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(response) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(response)));
            }
            let Some(serving) = &mut this.serving else {
                return Poll::Ready(this.end.take().map(Err));
            };
            // A stream that is quiet for hours must not keep the capacity of a burst.
            this.ready.shrink_to(READY_KEPT);
            let polled = serving.as_mut().poll(cx);
            mem::swap(&mut this.ready, &mut lock(&this.outbox));
            match polled {
                Poll::Ready(end) => {
                    this.serving = None;
                    this.end = Some(end);
                }
                Poll::Pending if this.ready.is_empty() => return Poll::Pending,
                // The future waits until its responses are taken, and only this loop wakes it.
                Poll::Pending => {}
            }
        }
    }
}

/// Reason why a stream ended. A stream always ends with an error: etcd keeps it open even when the
/// client sends no further requests.
#[derive(Debug)]
pub enum End<E> {
    /// The request stream failed.
    Client(E),
    /// History cannot be read.
    Read(ReadError),
    /// The server is stopping.
    Stopped,
}

impl<E> From<Closed> for End<E> {
    fn from(Closed: Closed) -> End<E> {
        End::Stopped
    }
}

enum Never {}

async fn run<I, E, V>(
    watches: Watches,
    mut requests: I,
    viewer: V,
    outbox: Outbox,
) -> Result<Never, End<E>>
where
    I: Stream<Item = Result<WatchRequest, E>> + Send + Unpin + 'static,
    V: Viewer,
{
    let settings = watches.shared.settings;
    let (clock, seed) = (Arc::clone(&watches.clock), Arc::clone(&watches.seed));
    // etcd adds up to a tenth as well.
    let pause = || with_jitter(&*seed, settings.progress_interval);
    let mut serving = Serving {
        port: watches.open().await?,
        gauges: Gauges::new(Arc::clone(&watches.shared)),
        allowance: Allowance::new(Arc::clone(&watches.shared.pack_stock)),
        watches,
        session: Session::new(Limits::new(&settings)),
        judged: viewer.mark(),
        viewer,
        outbox,
        must_join: false,
        newest_first: false,
        catching_up: Span::none(),
    };
    let mut tick = clock.sleep(pause());
    let mut has_requests = true;
    let mut may_look_first = true;
    loop {
        serving.flush().await;
        // Usually the hub wakes a stream. So one message is received before the other sources are
        // polled, but not a second, or a busy hub would keep the client's requests from being read.
        if may_look_first && let Some(message) = serving.port.try_recv() {
            serving.message(message).await?;
            may_look_first = false;
            continue;
        }
        may_look_first = true;
        tokio::select! {
            biased;
            request = requests.next(), if has_requests => match request {
                Some(Ok(request)) => serving.request(request).await?,
                Some(Err(error)) => return Err(End::Client(error)),
                None => has_requests = false,
            },
            message = serving.port.recv() => serving.message(message?).await?,
            () = &mut tick => {
                tick = clock.sleep(pause());
                serving.tick().await?;
            }
            () = std::future::ready(()), if serving.session.lagging() > 0 => {
                serving.catch_up().await?;
            }
        }
    }
}

struct Serving<V> {
    port: Port,
    gauges: Gauges,
    watches: Watches,
    session: Session,
    /// Allowance for events that the session packs from one step of history to the next.
    allowance: Allowance,
    viewer: V,
    /// The mark under which all watchers were permitted.
    judged: AuthMark,
    outbox: Outbox,
    /// True if there are lagging watchers that the hub may accept.
    must_join: bool,
    /// Selects the lagging watcher to read for next, see [`Serving::catch_up`].
    newest_first: bool,
    /// The span of reading history, until no watcher lags.
    catching_up: Span,
}

impl<V: Viewer> Serving<V> {
    async fn request<E>(&mut self, request: WatchRequest) -> Result<(), End<E>> {
        match request.request_union {
            Some(RequestUnion::CreateRequest(request)) => {
                // etcd refuses a negative start before it asks for permission.
                let range = index::range_of(&request.key, &request.range_end);
                if request.start_revision >= 0
                    && let Err(error) = self.viewer.permit(&range).await
                {
                    self.session.refuse(error.go_text(), self.now());
                    return Ok(());
                }
                // If the session refuses it, the place is given back with the next flush.
                if let Err(reason) = self.viewer.add_watcher() {
                    self.session.refuse(reason, self.now());
                    return Ok(());
                }
                let applied = self.watches.reader.applied();
                self.session
                    .create(request, applied.revision, applied.compacted);
                self.must_join = true;
            }
            Some(RequestUnion::CancelRequest(request)) => {
                let now = self.now();
                if let Some(tag) = self.session.cancel(request.watch_id, now) {
                    self.port.forget(tag).await?;
                }
            }
            Some(RequestUnion::ProgressRequest(_)) => {
                // A watcher created just before must be registered first, or it would count as
                // lagging here. It stays lagging only if it needs history.
                if mem::take(&mut self.must_join) {
                    self.join().await?;
                }
                if let Some(mark) = self.session.request_progress() {
                    self.port.mark(mark).await?;
                }
            }
            // A request kind of a later release. etcd ignores it, too.
            None => {}
        }
        Ok(())
    }

    /// Ends the watchers that the client may not have any longer. Called with events at hand: what
    /// was revoked before them is known by now.
    async fn end_forbidden(&mut self) -> Result<(), Closed> {
        let mark = self.viewer.mark();
        if mark == self.judged {
            return Ok(());
        }
        for (id, range) in self.session.ranges() {
            if let Err(error) = self.viewer.permit_still(&range) {
                let now = self.now();
                let tag = self.session.end(id, error.go_text().into(), now);
                self.port.forget(tag).await?;
            }
        }
        self.judged = mark;
        Ok(())
    }

    async fn message(&mut self, message: Message) -> Result<(), Closed> {
        self.end_forbidden().await?;
        match message {
            Message::Deliveries(deliveries) => {
                let now = self.now();
                self.session.deliver(&deliveries, now);
            }
            Message::Replay(deliveries) => {
                let now = self.now();
                self.session.replay(&deliveries, now);
            }
            Message::Mark { mark, revision } => self.session.reach(mark, revision),
            Message::Behind { epoch, from } => {
                self.session.fall_behind(epoch, from);
                self.must_join = true;
            }
        }
        Ok(())
    }

    async fn tick<E>(&mut self) -> Result<(), End<E>> {
        match self.session.tick() {
            Some(mark) => Ok(self.port.mark(mark).await?),
            None => Ok(()),
        }
    }

    /// Reads one step of history for the lagging watchers. Steps alternate between the watcher that
    /// lags most and the one that lags least, so that a watcher of old history does not hold up a
    /// watcher that missed a moment.
    async fn catch_up<E>(&mut self) -> Result<(), End<E>> {
        if mem::take(&mut self.must_join) {
            return self.join().await;
        }
        let Some((oldest, newest)) = self.session.needed() else {
            return Ok(());
        };
        if !self.catching_up.is_recording() {
            self.catching_up = self.viewer.span().child("catch up");
            self.catching_up.set("revision", oldest.0 as u64);
        }
        let from = if self.newest_first { newest } else { oldest };
        self.newest_first = !self.newest_first;
        match self.watches.read(from).await.map_err(End::Read)? {
            Step::Compacted(compacted) => self.session.compact(compacted, self.now()),
            Step::Changes {
                changes,
                next,
                is_last,
            } => {
                self.end_forbidden().await?;
                let applied = self.watches.reader.applied();
                let now = applied.revision;
                self.session
                    .feed(from, next, &changes, (now, applied.compacted));
                let packed = self.session.packed_bytes();
                let more = !is_last && self.allowance.covers_another_step(packed);
                self.session.end_step(more, now);
                self.must_join = is_last;
                if more {
                    // Steps out of the ring never wait, and many may follow each other before there
                    // is a response to send.
                    tokio::task::yield_now().await;
                }
            }
        }
        Ok(())
    }

    async fn join<E>(&mut self) -> Result<(), End<E>> {
        let registrations = self.session.registrations(self.now());
        if registrations.is_empty() {
            return Ok(());
        }
        let asked: Vec<_> = registrations
            .iter()
            .map(|registration| registration.tag)
            .collect();
        let answer = self.port.register(registrations).await?;
        self.session.registered(&asked, &answer);
        Ok(())
    }

    /// Puts all responses into the outbox and waits until they are taken.
    async fn flush(&mut self) {
        self.gauges.set(self.session.len(), self.session.lagging());
        self.viewer.keep_watchers(self.session.len());
        if self.session.lagging() == 0 {
            self.catching_up = Span::none();
        }
        let responses = self.session.take_responses();
        if responses.is_empty() {
            return;
        }
        let events: usize = responses.iter().map(|response| response.event_count).sum();
        self.gauges
            .shared
            .stats
            .events
            .fetch_add(events as u64, Ordering::Relaxed);
        let header = self.viewer.header();
        lock(&self.outbox).extend(responses.into_iter().map(|response| EncodedWatchResponse {
            header: ResponseHeader {
                revision: response.revision.0,
                ..header
            },
            response,
        }));
        let outbox = &self.outbox;
        poll_fn(|_| {
            if lock(outbox).is_empty() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        if self.session.packed_bytes() == 0 {
            self.allowance.reset();
        }
    }

    fn now(&self) -> Revision {
        self.watches.reader.applied().revision
    }
}

/// A stream's contribution to the gauges, which is subtracted when the stream ends.
struct Gauges {
    shared: Arc<Shared>,
    watchers: usize,
    slow: usize,
}

impl Gauges {
    fn new(shared: Arc<Shared>) -> Gauges {
        shared.stats.streams.fetch_add(1, Ordering::Relaxed);
        Gauges {
            shared,
            watchers: 0,
            slow: 0,
        }
    }

    fn set(&mut self, watchers: usize, slow: usize) {
        let stats = &self.shared.stats;
        move_by(
            &stats.watchers,
            mem::replace(&mut self.watchers, watchers),
            watchers,
        );
        move_by(
            &stats.slow_watchers,
            mem::replace(&mut self.slow, slow),
            slow,
        );
    }
}

impl Drop for Gauges {
    fn drop(&mut self) {
        self.set(0, 0);
        self.shared.stats.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

fn move_by(gauge: &AtomicU64, from: usize, to: usize) {
    if to > from {
        gauge.fetch_add((to - from) as u64, Ordering::Relaxed);
    } else if to < from {
        gauge.fetch_sub((from - to) as u64, Ordering::Relaxed);
    }
}
