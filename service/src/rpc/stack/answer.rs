//! The layer that completes what tonic answers.
//!
//! A large reply takes the place of tonic's body ([`Replacement`]). A refusal by tonic itself gets
//! the words and the code that other implementations of gRPC have ([`status::of_message`]), and the
//! audit log who was refused: no handler has seen the call.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Extensions, Request, Response};
use pin_project_lite::pin_project;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::callers::Callers;
use crate::audit::Note;
use crate::method::{Method, Permission};
use crate::rpc::credential::Credential;
use crate::rpc::large::Replacement;
use crate::rpc::status;

/// Makes the layer.
#[derive(Clone)]
pub(super) struct AnswerLayer {
    pub(super) callers: Arc<Callers>,
}

impl<S> Layer<S> for AnswerLayer {
    type Service = Answer<S>;

    fn layer(&self, inner: S) -> Answer<S> {
        Answer {
            inner,
            callers: Arc::clone(&self.callers),
        }
    }
}

/// Completes responses.
pub(crate) struct Answer<S> {
    inner: S,
    callers: Arc<Callers>,
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
            audited: self.audited(request.extensions()),
            response: (&mut &self.inner).call(request),
        }
    }
}

impl<S> Answer<S> {
    fn audited(&self, extensions: &Extensions) -> Option<Audited> {
        let note = extensions.get::<Arc<Note>>()?;
        if extensions.get::<Method>()?.permission() == Permission::Nothing {
            return None;
        }
        Some(Audited {
            note: Arc::clone(note),
            credential: self.callers.credential(extensions)?.clone(),
            callers: Arc::clone(&self.callers),
        })
    }
}

/// A call for the audit log, and who makes it.
struct Audited {
    note: Arc<Note>,
    credential: Credential,
    callers: Arc<Callers>,
}

pin_project! {
    /// The future of a completed response.
    pub(crate) struct AnswerFuture<F> {
        audited: Option<Audited>,
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
        let this = self.project();
        let Ok(mut response) = ready!(this.response.poll(cx));
        if let Some(body) = Replacement::of(&mut response) {
            *response.body_mut() = body;
            return Poll::Ready(Ok(response));
        }
        // Only a call that failed before it had a response has its status in the headers.
        if !response.headers().contains_key(Status::GRPC_STATUS) {
            return Poll::Ready(Ok(response));
        }
        if let Some(audited) = this
            .audited
            .take()
            .filter(|audited| !audited.note.is_judged())
        {
            audited.callers.note(&audited.note, &audited.credential);
        }
        let corrected = Status::from_header_map(response.headers())
            .and_then(|status| status::of_message(&status))
            .map(Status::into_http);
        Poll::Ready(Ok(corrected.unwrap_or(response)))
    }
}
