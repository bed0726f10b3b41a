//! One stream of the Watch method: waits for requests, the hub, history and the timer, and lets the
//! [`Session`] decide.
//!
//! It runs inside the task that writes the response body, not in one of its own: an event wakes
//! that task, and nothing else, on its way to the socket. So [`Responses`] is a stream that holds a
//! future; the future puts responses into a shared outbox and goes on only when they were taken.
//! What is ready is taken in one go, and the codec packs it into few frames.
//!
//! That gives the bounds: while the client does not read, nothing here runs, requests are not read,
//! and the hub finds the queue full.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use conclave_proto::etcdserverpb::watch_request::RequestUnion;
use conclave_proto::etcdserverpb::{ResponseHeader, WatchRequest};
use conclave_storage::Revision;
use conclave_storage::reader::ReadError;
use tokio_stream::{Stream, StreamExt as _};

use super::pack::Allowance;
use super::port::{Closed, Port, Step};
use super::queue::Message;
use super::response::EncodedWatchResponse;
use super::session::{Limits, Session};
use super::{Shared, Watches, lock};
use crate::seed::with_jitter;

/// Places for responses that a quiet stream keeps.
const READY_KEPT: usize = 16;

/// Responses on their way from the future to the stream that holds it.
type Outbox = Arc<Mutex<VecDeque<EncodedWatchResponse>>>;

/// The response stream. See the module. `E` is the error of the request stream.
pub struct Responses<E> {
    /// `None` once it has ended.
    serving: Option<Pin<Box<dyn Future<Output = End<E>> + Send>>>,
    outbox: Outbox,
    ready: VecDeque<EncodedWatchResponse>,
    /// The last item of the stream.
    end: Option<End<E>>,
}

/// Serves the requests of one client. `header` gives the member's part of each response's header.
pub fn serve<I, E, H>(watches: Watches, requests: I, header: H) -> Responses<E>
where
    I: Stream<Item = Result<WatchRequest, E>> + Send + Unpin + 'static,
    E: Send + 'static,
    H: Fn() -> ResponseHeader + Send + Sync + 'static,
{
    let outbox = Outbox::default();
    let serving = {
        let outbox = Arc::clone(&outbox);
        Box::pin(async move {
            match run(watches, requests, header, outbox).await {
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

// Nothing is pinned within it.
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
            // A burst must not leave its size behind on a stream that is quiet for hours.
            this.ready.shrink_to(READY_KEPT);
            let polled = serving.as_mut().poll(cx);
            mem::swap(&mut this.ready, &mut lock(&this.outbox));
            match polled {
                Poll::Ready(end) => {
                    this.serving = None;
                    this.end = Some(end);
                }
                Poll::Pending if this.ready.is_empty() => return Poll::Pending,
                // The future waits for its responses to be taken, and no one else will wake it.
                Poll::Pending => {}
            }
        }
    }
}

/// Why a stream ends. It always ends with an error: etcd keeps it open even when the client sends
/// no more requests.
#[derive(Debug)]
pub enum End<E> {
    /// The stream of requests failed.
    Client(E),
    /// History cannot be read.
    Read(ReadError),
    /// The server stops.
    Stopped,
}

impl<E> From<Closed> for End<E> {
    fn from(Closed: Closed) -> End<E> {
        End::Stopped
    }
}

enum Never {}

async fn run<I, E, H>(
    watches: Watches,
    mut requests: I,
    header: H,
    outbox: Outbox,
) -> Result<Never, End<E>>
where
    I: Stream<Item = Result<WatchRequest, E>> + Send + Unpin + 'static,
    H: Fn() -> ResponseHeader + Send + Sync + 'static,
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
        header,
        outbox,
        must_join: false,
        newest_first: false,
    };
    let mut tick = clock.sleep(pause());
    let mut has_requests = true;
    let mut may_look_first = true;
    loop {
        serving.flush().await;
        // Usually it is the hub that wakes a stream. One message is taken before all the other
        // ends are asked, but not a second, or a busy hub would keep the client from being heard.
        if may_look_first && let Some(message) = serving.port.try_recv() {
            serving.message(message);
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
            message = serving.port.recv() => serving.message(message?),
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

struct Serving<H> {
    port: Port,
    gauges: Gauges,
    watches: Watches,
    session: Session,
    /// For what the session packs from one step of history to the next.
    allowance: Allowance,
    header: H,
    outbox: Outbox,
    /// There are lagging watchers the hub may take.
    must_join: bool,
    /// Which of the lagging watchers is read for next, see [`Serving::catch_up`].
    newest_first: bool,
}

impl<H: Fn() -> ResponseHeader> Serving<H> {
    async fn request<E>(&mut self, request: WatchRequest) -> Result<(), End<E>> {
        match request.request_union {
            Some(RequestUnion::CreateRequest(request)) => {
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
                // A watcher that was created just before is in step unless it needs history.
                if mem::take(&mut self.must_join) {
                    self.join().await?;
                }
                if let Some(mark) = self.session.request_progress() {
                    self.port.mark(mark).await?;
                }
            }
            // A kind of request from the future. etcd lets it pass, too.
            None => {}
        }
        Ok(())
    }

    fn message(&mut self, message: Message) {
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
    }

    async fn tick<E>(&mut self) -> Result<(), End<E>> {
        match self.session.tick() {
            Some(mark) => Ok(self.port.mark(mark).await?),
            None => Ok(()),
        }
    }

    /// One step for the watchers that lag. Steps alternate between the one that is furthest behind
    /// and the one that is least, so that a watcher of old history does not hold up one that missed
    /// a moment.
    async fn catch_up<E>(&mut self) -> Result<(), End<E>> {
        if mem::take(&mut self.must_join) {
            return self.join().await;
        }
        let Some((oldest, newest)) = self.session.needed() else {
            return Ok(());
        };
        let from = if self.newest_first { newest } else { oldest };
        self.newest_first = !self.newest_first;
        match self.watches.read(from).await.map_err(End::Read)? {
            Step::Compacted(compacted) => self.session.compact(compacted, self.now()),
            Step::Changes {
                changes,
                next,
                is_last,
            } => {
                let applied = self.watches.reader.applied();
                let now = applied.revision;
                self.session
                    .feed(from, next, &changes, (now, applied.compacted));
                let packed = self.session.packed_bytes();
                let more = !is_last && self.allowance.covers_another_step(packed);
                self.session.end_step(more, now);
                self.must_join = is_last;
                if more {
                    // Steps out of the ring do not wait for anything, and there may be many of them
                    // before there is something to send.
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

    /// Hands all responses over and waits until they are taken.
    async fn flush(&mut self) {
        self.gauges.set(self.session.len(), self.session.lagging());
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
        let header = (self.header)();
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

/// What a stream adds to the gauges, and takes back when it ends.
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
