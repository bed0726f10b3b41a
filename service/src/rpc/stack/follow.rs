//! The layer that follows calls from their beginning to their end.
//!
//! The end of a call is the status that its client gets: from the trailers, or from the headers of
//! a response without a body. What follows a call ([`Ongoing`]) is told of the end once, or dropped
//! without, when the client goes away before.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, Request, Response};
use hyper::body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::{Code, Status};
use tower::{Layer, Service};

/// Begins to follow calls.
pub(crate) trait Follow {
    type Call: Ongoing;

    /// A call begins. Returns `None` if the call is not followed.
    fn begin<B>(&self, request: &mut Request<B>) -> Option<Self::Call>;
}

/// A call that is followed.
pub(crate) trait Ongoing: Sized {
    /// The response begins, and has a body.
    fn begun(&mut self) {}

    fn ended(self, end: End<'_>);
}

/// The end of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End<'a> {
    /// The status is in these headers or trailers.
    Fields(&'a HeaderMap),
    /// The stream is reset, and the client learns this status from the reset.
    Reset(&'a Status),
    /// The response ends without a status.
    Missing,
}

impl End<'_> {
    pub(super) fn code(self) -> Code {
        match self {
            End::Fields(fields) => fields
                .get(Status::GRPC_STATUS)
                .map_or(Code::Unknown, |value| Code::from_bytes(value.as_bytes())),
            End::Reset(status) => status.code(),
            End::Missing => Code::Unknown,
        }
    }
}

/// Makes the layer.
#[derive(Clone)]
pub(super) struct FollowLayer<O>(pub(super) O);

impl<O: Clone, S> Layer<S> for FollowLayer<O> {
    type Service = Following<O, S>;

    fn layer(&self, inner: S) -> Following<O, S> {
        Following {
            follow: self.0.clone(),
            inner,
        }
    }
}

/// Follows the calls of a service.
pub(crate) struct Following<O, S> {
    follow: O,
    inner: S,
}

impl<'a, O, S, B, R> Service<Request<B>> for &'a Following<O, S>
where
    O: Follow,
    &'a S: Service<Request<B>, Response = Response<R>, Error = Infallible>,
{
    type Response = Response<FollowedBody<R, O::Call>>;
    type Error = Infallible;
    type Future = FollowedFuture<<&'a S as Service<Request<B>>>::Future, O::Call>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        (&mut &self.inner).poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let call = self.follow.begin(&mut request);
        FollowedFuture {
            response: (&mut &self.inner).call(request),
            call,
        }
    }
}

pin_project! {
    /// The future of a response whose call is followed.
    pub(crate) struct FollowedFuture<F, C> {
        #[pin]
        response: F,
        call: Option<C>,
    }
}

impl<F, R, C> Future for FollowedFuture<F, C>
where
    F: Future<Output = Result<Response<R>, Infallible>>,
    C: Ongoing,
{
    type Output = Result<Response<FollowedBody<R, C>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(response) = ready!(this.response.poll(cx));
        let mut call = this.call.take();
        if let Some(mut followed) = call.take() {
            // Only a response without a body has its status in the headers.
            if response.headers().contains_key(Status::GRPC_STATUS) {
                followed.ended(End::Fields(response.headers()));
            } else {
                followed.begun();
                call = Some(followed);
            }
        }
        Poll::Ready(Ok(response.map(|body| FollowedBody { body, call })))
    }
}

pin_project! {
    /// The body of a response whose call is followed.
    pub(crate) struct FollowedBody<B, C> {
        #[pin]
        body: B,
        call: Option<C>,
    }
}

impl<B, C> Body for FollowedBody<B, C>
where
    B: Body<Error = Status>,
    C: Ongoing,
{
    type Data = B::Data;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, Status>>> {
        let this = self.project();
        let frame = ready!(this.body.poll_frame(cx));
        let end = match &frame {
            Some(Ok(frame)) => frame.trailers_ref().map(End::Fields),
            Some(Err(status)) => Some(End::Reset(status)),
            None => Some(End::Missing),
        };
        if let Some(end) = end
            && let Some(call) = this.call.take()
        {
            call.ended(end);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
