//! The layer that counts calls.
//!
//! The outcome of a call is the status that its client gets: from the trailers, or from the headers
//! of a response without a body. A response that is dropped before its end, since its client has
//! gone away, counts as canceled ([`Call`]).

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, Request, Response};
use hyper::body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::method_of;
use crate::metrics::{Call, Calls, Metrics};

/// Makes the layer.
#[derive(Clone)]
pub(super) struct CountLayer {
    calls: Arc<Calls>,
}

impl CountLayer {
    pub(super) fn new(metrics: &Metrics) -> CountLayer {
        CountLayer {
            calls: Arc::clone(metrics.calls()),
        }
    }
}

impl<S> Layer<S> for CountLayer {
    type Service = Count<S>;

    fn layer(&self, inner: S) -> Count<S> {
        Count {
            inner,
            calls: Arc::clone(&self.calls),
        }
    }
}

/// Counts the calls of the public API.
pub(crate) struct Count<S> {
    inner: S,
    calls: Arc<Calls>,
}

impl<'a, S, B, R> Service<Request<B>> for &'a Count<S>
where
    &'a S: Service<Request<B>, Response = Response<R>, Error = Infallible>,
{
    type Response = Response<CountBody<R>>;
    type Error = Infallible;
    type Future = CountFuture<<&'a S as Service<Request<B>>>::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        (&mut &self.inner).poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let call = method_of(&request).map(|method| Call::start(&self.calls, method));
        CountFuture {
            response: (&mut &self.inner).call(request),
            call,
        }
    }
}

pin_project! {
    /// The future of a response whose call is counted.
    pub(crate) struct CountFuture<F> {
        #[pin]
        response: F,
        call: Option<Call>,
    }
}

impl<F, R> Future for CountFuture<F>
where
    F: Future<Output = Result<Response<R>, Infallible>>,
{
    type Output = Result<Response<CountBody<R>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(response) = ready!(this.response.poll(cx));
        let mut call = this.call.take();
        // Only a response without a body has its status in the headers.
        if let Some(code) = code_of(response.headers()) {
            end(&mut call, code);
        }
        Poll::Ready(Ok(response.map(|body| CountBody { body, call })))
    }
}

pin_project! {
    /// The body of a response whose call is counted.
    pub(crate) struct CountBody<B> {
        #[pin]
        body: B,
        call: Option<Call>,
    }
}

impl<B: Body<Error = Status>> Body for CountBody<B> {
    type Data = B::Data;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, Status>>> {
        let this = self.project();
        let frame = ready!(this.body.poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    end(this.call, code_of(trailers).unwrap_or(Code::Unknown));
                }
            }
            // The stream is reset, and the client learns this code from the reset.
            Some(Err(status)) => end(this.call, status.code()),
            None => end(this.call, Code::Unknown),
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

fn code_of(fields: &HeaderMap) -> Option<Code> {
    let value = fields.get(Status::GRPC_STATUS)?;
    Some(Code::from_bytes(value.as_bytes()))
}

fn end(call: &mut Option<Call>, code: Code) {
    if let Some(mut call) = call.take() {
        call.end(code);
    }
}
