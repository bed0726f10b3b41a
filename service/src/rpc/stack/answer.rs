//! The layer that completes what tonic answers.
//!
//! A large reply takes the place of tonic's body ([`Replacement`]). A refusal by tonic itself gets
//! the words and the code that other implementations of gRPC have ([`status::of_message`]).

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::rpc::large::Replacement;
use crate::rpc::status;

/// Makes the layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnswerLayer;

impl<S> Layer<S> for AnswerLayer {
    type Service = Answer<S>;

    fn layer(&self, inner: S) -> Answer<S> {
        Answer { inner }
    }
}

/// Completes responses.
pub(crate) struct Answer<S> {
    inner: S,
}

impl<'a, S, B> Service<Request<B>> for &'a Answer<S>
where
    &'a S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = AnswerFuture<<&'a S as Service<Request<B>>>::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        (&mut &self.inner).poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        AnswerFuture {
            response: (&mut &self.inner).call(request),
        }
    }
}

pin_project! {
    /// The future of a completed response.
    pub(crate) struct AnswerFuture<F> {
        #[pin]
        response: F,
    }
}

impl<F> Future for AnswerFuture<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Ok(mut response) = ready!(self.project().response.poll(cx));
        if let Some(body) = Replacement::of(&mut response) {
            *response.body_mut() = body;
            return Poll::Ready(Ok(response));
        }
        // Only a call that failed before it had a response has its status in the headers.
        if !response.headers().contains_key(Status::GRPC_STATUS) {
            return Poll::Ready(Ok(response));
        }
        let corrected = Status::from_header_map(response.headers())
            .and_then(|status| status::of_message(&status))
            .map(Status::into_http);
        Poll::Ready(Ok(corrected.unwrap_or(response)))
    }
}
