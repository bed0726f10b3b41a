//! Bodies and messages whose bytes and number are limited.
//!
//! What a call moves is counted as it moves. What a stream moves waits for its turn first: a frame
//! that the stream has ready is cut into slices, and each of them reserves its place among all that
//! the streams of the same user or address move. While a slice waits, the body is not asked for
//! more. So to a stream its limit is like a client that reads slowly, or, for the messages of the
//! client, like a member that does.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use hyper::body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio_stream::Stream;

use crate::fair_use::{Amount, Ticket, Watches};
use conclave_core::clock::{Clock, Sleep};

/// Largest part of a stream that waits for its turn: a frame of HTTP/2, unless the client permits
/// larger ones. With many streams behind their limit, each waits for one such part of every other.
const SLICE_BYTES: usize = 16 << 10;

/// Counts what a call uses, until its request and its response are dropped.
pub(crate) struct Meter {
    ticket: Ticket,
    clock: Arc<dyn Clock>,
    /// Whether the bytes wait for their turn.
    reserves_bytes: bool,
}

impl Meter {
    pub(super) fn new(ticket: Ticket, clock: Arc<dyn Clock>) -> Meter {
        let reserves_bytes = ticket.reserves_bytes();
        Meter {
            ticket,
            clock,
            reserves_bytes,
        }
    }

    /// Returns the places for the watchers of a stream.
    pub(crate) fn watches(&self) -> Watches {
        self.ticket.watches()
    }

    fn moved(&self, bytes: usize) {
        self.ticket.moved(bytes, self.clock.now());
    }
}

/// The turn of a part of a stream. If it is not waited for, the reservation is given back.
struct Turn {
    meter: Arc<Meter>,
    amount: Amount,
    /// `None` once the turn has come.
    sleep: Option<Sleep>,
}

impl Turn {
    fn reserve(meter: &Arc<Meter>, amount: Amount) -> Turn {
        let wait = meter.ticket.reserve(amount, meter.clock.now());
        Turn {
            meter: Arc::clone(meter),
            amount,
            sleep: (!wait.is_zero()).then(|| meter.clock.sleep(wait)),
        }
    }

    fn has_come(&self) -> bool {
        self.sleep.is_none()
    }

    fn poll_come(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(sleep) = &mut self.sleep {
            ready!(sleep.as_mut().poll(cx));
            self.sleep = None;
        }
        Poll::Ready(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.has_come() {
            self.meter.ticket.give_back(self.amount);
        }
    }
}

pin_project! {
    /// The future of a response that is metered.
    pub(crate) struct MeteredFuture<F> {
        #[pin]
        response: F,
        meter: Option<Arc<Meter>>,
    }
}

impl<F> MeteredFuture<F> {
    pub(super) fn new(response: F, meter: Option<Arc<Meter>>) -> MeteredFuture<F> {
        MeteredFuture { response, meter }
    }
}

impl<F, R> Future for MeteredFuture<F>
where
    F: Future<Output = Result<Response<R>, Infallible>>,
{
    type Output = Result<Response<Metered<R>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(response) = ready!(this.response.poll(cx));
        let meter = this.meter.take();
        Poll::Ready(Ok(response.map(|body| Metered::new(body, meter))))
    }
}

pin_project! {
    /// The body of a request or a response, whose bytes count.
    #[derive(Default)]
    pub(crate) struct Metered<B> {
        #[pin]
        body: B,
        meter: Option<Arc<Meter>>,
        // Boxed, since there may be very many streams, most of them quiet.
        held: Option<Box<Held>>,
    }
}

/// What a body gave and has not been passed on.
struct Held {
    rest: Bytes,
    /// Of the next slice.
    turn: Turn,
}

impl Held {
    fn new(meter: &Arc<Meter>, rest: Bytes) -> Held {
        let amount = Amount::Bytes(rest.len().min(SLICE_BYTES));
        Held {
            rest,
            turn: Turn::reserve(meter, amount),
        }
    }
}

impl<B> Metered<B> {
    pub(super) fn new(body: B, meter: Option<Arc<Meter>>) -> Metered<B> {
        Metered {
            body,
            meter,
            held: None,
        }
    }
}

impl<B: Body<Data = Bytes>> Metered<B> {
    /// Returns the next frame of a body whose bytes wait for their turn.
    fn poll_slice(
        self: Pin<&mut Self>,
        meter: &Arc<Meter>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        if this.held.is_none() {
            let frame = match ready!(this.body.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            };
            match frame.into_data() {
                Ok(data) if !data.is_empty() => {
                    let held = Held::new(meter, data);
                    if held.turn.has_come() && held.rest.len() <= SLICE_BYTES {
                        return Poll::Ready(Some(Ok(Frame::data(held.rest))));
                    }
                    *this.held = Some(Box::new(held));
                }
                Ok(empty) => return Poll::Ready(Some(Ok(Frame::data(empty)))),
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let held = this.held.as_mut().expect("just put there");
        ready!(held.turn.poll_come(cx));
        let slice = held.rest.split_to(held.rest.len().min(SLICE_BYTES));
        if held.rest.is_empty() {
            *this.held = None;
        } else {
            **held = Held::new(meter, held.rest.split_off(0));
        }
        Poll::Ready(Some(Ok(Frame::data(slice))))
    }
}

impl<B: Body<Data = Bytes>> Body for Metered<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(meter) = self.meter.as_ref().filter(|meter| meter.reserves_bytes) {
            let meter = Arc::clone(meter);
            return self.poll_slice(&meter, cx);
        }
        let this = self.project();
        let frame = ready!(this.body.poll_frame(cx));
        if let Some(meter) = this.meter
            && let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            meter.moved(data.len());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.held {
            Some(_) => SizeHint::default(),
            None => self.body.size_hint(),
        }
    }
}

/// The messages of a client on a stream. Each waits for its turn.
pub(crate) struct Messages<S: Stream> {
    messages: S,
    meter: Option<Arc<Meter>>,
    // Boxed for the same reason as in `Metered`.
    held: Option<Box<(Turn, S::Item)>>,
}

impl<S: Stream> Messages<S> {
    /// Without a meter no message waits.
    pub(crate) fn new(messages: S, meter: Option<Arc<Meter>>) -> Messages<S> {
        Messages {
            messages,
            meter,
            held: None,
        }
    }
}

impl<S, M, E> Stream for Messages<S>
where
    S: Stream<Item = Result<M, E>> + Unpin,
{
    type Item = Result<M, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.held.is_none() {
            let message = ready!(Pin::new(&mut this.messages).poll_next(cx));
            let (meter, message) = match (&this.meter, message) {
                (Some(meter), Some(Ok(message))) => (meter, Ok(message)),
                (_, message) => return Poll::Ready(message),
            };
            let turn = Turn::reserve(meter, Amount::Message);
            if turn.has_come() {
                return Poll::Ready(Some(message));
            }
            this.held = Some(Box::new((turn, message)));
        }
        if let Some(held) = &mut this.held {
            ready!(held.0.poll_come(cx));
        }
        let held = this.held.take();
        Poll::Ready(held.map(|held| held.1))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;
    use std::sync::atomic::AtomicU64;
    use std::sync::atomic::Ordering::Relaxed;
    use std::time::Duration;

    use http::HeaderMap;
    use http_body_util::{BodyExt as _, StreamBody};
    use prometheus::{IntCounterVec, Opts};
    use tokio_stream::StreamExt as _;

    use super::*;
    use crate::fair_use::{FairUse, Limits, Settings};
    use crate::method::Method;
    use crate::net::origin::Origin;
    use conclave_core::clock::Moment;

    /// A clock that moves when somebody sleeps.
    #[derive(Clone, Default)]
    struct Skipping(Arc<AtomicU64>);

    impl Clock for Skipping {
        fn now(&self) -> Moment {
            Moment(self.0.load(Relaxed))
        }

        fn wall_ms(&self) -> i64 {
            0
        }

        fn sleep(&self, duration: Duration) -> Sleep {
            let (clock, until) = (self.clone(), self.now().after(duration));
            Box::pin(async move {
                clock.0.fetch_max(until.0, Relaxed);
            })
        }
    }

    fn meter(method: Method, clock: &Skipping) -> Arc<Meter> {
        let limits = Limits {
            requests_per_second: NonZeroU64::new(10),
            bytes_per_second: NonZeroU64::new(10_000),
            ..Limits::default()
        };
        let settings = Settings {
            per_address: limits,
            ..Settings::default()
        };
        let refusals = IntCounterVec::new(Opts::new("refusals", "by limit"), &["limit"]);
        let fair_use = FairUse::new(&settings, &refusals.expect("a valid name"));
        let fair_use = fair_use.expect("there are limits");
        let ticket = fair_use.begin(method, Origin::UnixSocket, None, clock.now());
        Arc::new(Meter::new(
            ticket.expect("nothing used"),
            Arc::new(clock.clone()),
        ))
    }

    /// Moves 100,000 bytes. Returns the size of each part, and the time that it took.
    async fn moved(method: Method) -> (Vec<usize>, u64) {
        let clock = Skipping::default();
        let sent: Vec<u8> = (0..=u8::MAX).cycle().take(100_000).collect();
        let data = Frame::data(Bytes::from(sent.clone()));
        let frames: [Result<_, Infallible>; 2] = [Ok(data), Ok(Frame::trailers(HeaderMap::new()))];
        let body = StreamBody::new(tokio_stream::iter(frames));
        let mut body = Metered::new(body, Some(meter(method, &clock)));
        let (mut sizes, mut received) = (Vec::new(), Vec::new());
        while let Some(Ok(frame)) = body.frame().await {
            match frame.into_data() {
                Ok(data) => {
                    sizes.push(data.len());
                    received.extend(data);
                }
                Err(frame) => assert!(frame.is_trailers()),
            }
        }
        assert!(received == sent);
        (sizes, clock.now().0)
    }

    #[tokio::test]
    async fn the_body_of_a_stream_waits_slice_by_slice() {
        let (sizes, took) = moved(Method::Watch).await;
        assert_eq!(
            sizes,
            [&[SLICE_BYTES; 6][..], &[100_000 - 6 * SLICE_BYTES]].concat()
        );
        // Ten seconds' worth, of which one comes at once.
        assert!((8_980..=9_000).contains(&took), "{took} ms");
    }

    #[tokio::test]
    async fn the_body_of_a_call_does_not_wait() {
        assert_eq!(moved(Method::Range).await, (vec![100_000], 0));
    }

    #[tokio::test]
    async fn messages_wait() {
        let clock = Skipping::default();
        let messages = tokio_stream::iter((0..12).map(Ok::<_, Infallible>));
        let messages = Messages::new(messages, Some(meter(Method::Watch, &clock)));
        let received: Vec<_> = messages
            .map(|message| message.expect("a message"))
            .collect()
            .await;
        assert_eq!(received, Vec::from_iter(0..12));
        assert_eq!(clock.now(), Moment(200));
    }

    #[test]
    fn a_turn_that_is_not_waited_for_is_given_back() {
        let clock = Skipping::default();
        let meter = meter(Method::Watch, &clock);
        let first = Turn::reserve(&meter, Amount::Bytes(10_000));
        assert!(first.has_come());
        drop(first);
        let second = Turn::reserve(&meter, Amount::Bytes(10_000));
        assert!(!second.has_come());
        drop(second);
        let wait = meter.ticket.reserve(Amount::Bytes(1_000), clock.now());
        assert_eq!(wait, Duration::from_millis(100));
    }
}
