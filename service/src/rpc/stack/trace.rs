//! The layer that traces calls.
//!
//! The span of a call that is traced is in the extensions of its request, for what is done inside
//! it, and ends with the last frame of the response or when nothing holds it any longer. A call
//! that is not traced costs this layer a check of an `Option`, and with tracing on a lookup of
//! `traceparent`.

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
use crate::telemetry::Tracer;
use conclave_core::trace::Span;

/// Makes the layer.
#[derive(Clone)]
pub(super) struct TraceLayer {
    tracer: Option<Arc<Tracer>>,
}

impl TraceLayer {
    pub(super) fn new(tracer: Option<Arc<Tracer>>) -> TraceLayer {
        TraceLayer { tracer }
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = Trace<S>;

    fn layer(&self, inner: S) -> Trace<S> {
        Trace {
            inner,
            tracer: self.tracer.clone(),
        }
    }
}

/// Traces the calls of the public API.
pub(crate) struct Trace<S> {
    inner: S,
    tracer: Option<Arc<Tracer>>,
}

impl<'a, S, B, R> Service<Request<B>> for &'a Trace<S>
where
    &'a S: Service<Request<B>, Response = Response<R>, Error = Infallible>,
{
    type Response = Response<TraceBody<R>>;
    type Error = Infallible;
    type Future = TraceFuture<<&'a S as Service<Request<B>>>::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        (&mut &self.inner).poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let mut span = Span::none();
        if let Some(tracer) = &self.tracer
            && let Some(method) = method_of(&request)
        {
            span = tracer.call(method, request.headers());
            if span.is_recording() {
                request.extensions_mut().insert(span.clone());
            }
        }
        TraceFuture {
            response: (&mut &self.inner).call(request),
            span,
        }
    }
}

pin_project! {
    /// The future of a response whose call is traced.
    pub(crate) struct TraceFuture<F> {
        #[pin]
        response: F,
        span: Span,
    }
}

impl<F, R> Future for TraceFuture<F>
where
    F: Future<Output = Result<Response<R>, Infallible>>,
{
    type Output = Result<Response<TraceBody<R>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(response) = ready!(this.response.poll(cx));
        let mut span = std::mem::take(this.span);
        // Only a response without a body has its status in the headers.
        if response.headers().contains_key(Status::GRPC_STATUS) {
            end(&mut span, response.headers());
        }
        Poll::Ready(Ok(response.map(|body| TraceBody { body, span })))
    }
}

pin_project! {
    /// The body of a response whose call is traced.
    pub(crate) struct TraceBody<B> {
        #[pin]
        body: B,
        span: Span,
    }
}

impl<B: Body> Body for TraceBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let frame = ready!(this.body.poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    end(this.span, trailers);
                }
            }
            Some(Err(_)) | None => {
                this.span.fail();
                *this.span = Span::none();
            }
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

/// Ends the span with the status of the call.
fn end(span: &mut Span, fields: &HeaderMap) {
    if !span.is_recording() {
        return;
    }
    let value = fields.get(Status::GRPC_STATUS);
    let code = value.map_or(Code::Unknown, |value| Code::from_bytes(value.as_bytes()));
    span.set("rpc.grpc.status_code", code as u64);
    if code != Code::Ok {
        span.fail();
    }
    *span = Span::none();
}
