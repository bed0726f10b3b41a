//! The layer that ends calls whose time is up.
//!
//! A client states with `grpc-timeout` how long it waits. It keeps its own clock as well, but the
//! member must not work on for a client that has stopped to wait and whose reset is lost or late.
//! When the time is up, the call's future or the rest of its response is dropped, as if the client
//! had gone away, and the status is `DeadlineExceeded`. A proposal that is in the log by then may
//! be applied all the same.
//!
//! A client that does not read has its response dropped only when it reads again or resets the
//! stream: the body is not asked for more before there is room for it.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use conclave_proto::ApiError;
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tonic::Status;
use tower::{Layer, Service};

use crate::rpc::status;
use conclave_core::clock::Stopwatch;

/// Makes the layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeadlineLayer;

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadline<S>;

    fn layer(&self, inner: S) -> Deadline<S> {
        Deadline { inner }
    }
}

/// Ends calls at the deadlines that their clients give.
pub(crate) struct Deadline<S> {
    inner: S,
}

impl<'a, S, B, R> Service<Request<B>> for &'a Deadline<S>
where
    &'a S: Service<Request<B>, Response = Response<R>, Error = Infallible>,
{
    type Response = Response<DeadlineBody<R>>;
    type Error = Infallible;
    type Future = DeadlineFuture<<&'a S as Service<Request<B>>>::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        (&mut &self.inner).poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (timer, refusal) = match timeout(request.headers()) {
            Ok(limit) => (limit.map_or(Timer::None, Timer::start), None),
            Err(malformed) => (Timer::None, Some(malformed)),
        };
        // Nothing is begun for a client that gives no time.
        let is_refused = refusal.is_some() || timer.has_passed();
        DeadlineFuture {
            response: (!is_refused).then(|| (&mut &self.inner).call(request)),
            timer,
            refusal,
        }
    }
}

pin_project! {
    /// The future of a response that may be too late.
    pub(crate) struct DeadlineFuture<F> {
        // `None` when the time is up, or malformed.
        #[pin]
        response: Option<F>,
        timer: Timer,
        refusal: Option<MalformedTimeout>,
    }
}

impl<F, R> Future for DeadlineFuture<F>
where
    F: Future<Output = Result<Response<R>, Infallible>>,
{
    type Output = Result<Response<DeadlineBody<R>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(response) = this.response.as_mut().as_pin_mut() {
            if let Poll::Ready(Ok(response)) = response.poll(cx) {
                let timer = std::mem::replace(this.timer, Timer::None);
                let body = |body| DeadlineBody {
                    body: Some(body),
                    timer,
                };
                return Poll::Ready(Ok(response.map(body)));
            }
            if this.timer.poll_passed(cx).is_pending() {
                return Poll::Pending;
            }
            this.response.set(None);
        }
        let response = match this.refusal.take() {
            Some(malformed) => malformed.into_http(),
            None => exceeded().into_http::<()>(),
        };
        Poll::Ready(Ok(response.map(|()| DeadlineBody {
            body: None,
            timer: Timer::None,
        })))
    }
}

pin_project! {
    /// The body of a response that may take too long.
    pub(crate) struct DeadlineBody<B> {
        // `None` when the time is up.
        #[pin]
        body: Option<B>,
        timer: Timer,
    }
}

impl<B: Body<Error = Status>> Body for DeadlineBody<B> {
    type Data = B::Data;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, Status>>> {
        let mut this = self.project();
        let Some(body) = this.body.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        // A stream that always has more would never let its timer be asked.
        if !this.timer.has_passed() {
            let frame = body.poll_frame(cx);
            if frame.is_ready() || this.timer.poll_passed(cx).is_pending() {
                return frame;
            }
        }
        this.body.set(None);
        let mut trailers = HeaderMap::new();
        let status = exceeded();
        let written = status.add_header(&mut trailers);
        Poll::Ready(Some(written.map(|()| Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Some(body) => body.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

fn exceeded() -> Status {
    status::of_api(ApiError::DeadlineExceeded)
}

/// The time that a call has.
enum Timer {
    /// Any time.
    None,
    /// Nothing has waited for it yet.
    Running { since: Stopwatch, limit: Duration },
    /// Wakes the call's task. Boxed, since most calls have none, and there may be very many
    /// streams.
    Armed {
        since: Stopwatch,
        limit: Duration,
        sleep: Pin<Box<Sleep>>,
    },
}

impl Timer {
    fn start(limit: Duration) -> Timer {
        Timer::Running {
            since: Stopwatch::start(),
            limit,
        }
    }

    fn has_passed(&self) -> bool {
        match self {
            Timer::None => false,
            Timer::Running { since, limit } | Timer::Armed { since, limit, .. } => {
                since.elapsed() >= *limit
            }
        }
    }

    /// Ready when the time is up.
    fn poll_passed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Timer::Running { since, limit } = *self {
            *self = Timer::Armed {
                since,
                limit,
                sleep: Box::pin(sleep(limit.saturating_sub(since.elapsed()))),
            };
        }
        match self {
            Timer::Armed { sleep, .. } => sleep.as_mut().poll(cx),
            Timer::None | Timer::Running { .. } => Poll::Pending,
        }
    }
}

/// The reason why a time is malformed, in the words of Go's gRPC, but without the text itself.
#[derive(Debug, PartialEq)]
struct MalformedTimeout(&'static str);

impl MalformedTimeout {
    /// As Go's gRPC answers, for clients that look at the status of HTTP only.
    fn into_http(self) -> Response<()> {
        let status = Status::internal(format!("malformed grpc-timeout: transport: {}", self.0));
        let mut response = status.into_http();
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response
    }
}

/// Returns the time that the client gives the call, if it gives one: at most eight digits and a
/// unit.
fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, MalformedTimeout> {
    let Some(value) = headers.get("grpc-timeout") else {
        return Ok(None);
    };
    let malformed = |reason| Err(MalformedTimeout(reason));
    let (digits, unit) = match value.as_bytes() {
        [] | [_] => return malformed("timeout string is too short"),
        bytes if bytes.len() > 9 => return malformed("timeout string is too long"),
        [digits @ .., unit] => (digits, unit),
    };
    let unit: fn(u64) -> Duration = match unit {
        b'H' => |hours| Duration::from_secs(hours * 3600),
        b'M' => |minutes| Duration::from_secs(minutes * 60),
        b'S' => Duration::from_secs,
        b'm' => Duration::from_millis,
        b'u' => Duration::from_micros,
        b'n' => Duration::from_nanos,
        _ => return malformed("timeout unit is not recognized"),
    };
    // A sign would parse as well.
    let is_digits = digits.iter().all(u8::is_ascii_digit);
    let count = str::from_utf8(digits).ok().filter(|_| is_digits);
    match count.and_then(|count| count.parse().ok()) {
        Some(count) => Ok(Some(unit(count))),
        None => malformed("timeout is not a number"),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        let with = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", HeaderValue::from_static(value));
            timeout(&headers)
        };
        assert_eq!(with("7S"), Ok(Some(Duration::from_secs(7))));
        assert_eq!(with("2H"), Ok(Some(Duration::from_secs(7200))));
        assert_eq!(
            with("99999999n"),
            Ok(Some(Duration::from_nanos(99_999_999)))
        );
        for (bad, reason) in [
            ("", "timeout string is too short"),
            ("S", "timeout string is too short"),
            ("123456789S", "timeout string is too long"),
            ("5x", "timeout unit is not recognized"),
            ("-1S", "timeout is not a number"),
            ("+1S", "timeout is not a number"),
            ("1.5S", "timeout is not a number"),
        ] {
            assert_eq!(with(bad), Err(MalformedTimeout(reason)));
        }
        assert_eq!(timeout(&HeaderMap::new()), Ok(None));
    }
}
