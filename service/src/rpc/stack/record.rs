//! The layer that records calls in the audit log ([`crate::audit`]).
//!
//! A call gets a [`Note`] in the extensions of its request, where the handlers find it and add what
//! they know: the caller and the content when the request is judged, the revision when there is a
//! reply. The note ends with the status that the client gets. Without an audit log there is no
//! note, and all of this is one branch.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, Request, Response};
use hyper::body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::Status;
use tower::{Layer, Service};

use super::method_of;
use crate::audit::{Audit, Note, Origin, Outcome};
use crate::method::Method;
use crate::rpc::credential::Peer;

/// Makes the layer.
#[derive(Clone)]
pub(super) struct RecordLayer {
    audit: Option<Arc<Audit>>,
}

impl RecordLayer {
    pub(super) fn new(audit: Option<Arc<Audit>>) -> RecordLayer {
        RecordLayer { audit }
    }
}

impl<S> Layer<S> for RecordLayer {
    type Service = Record<S>;

    fn layer(&self, inner: S) -> Record<S> {
        Record {
            inner,
            audit: self.audit.clone(),
        }
    }
}

/// Records the calls of the public API, if there is an audit log.
pub(crate) struct Record<S> {
    inner: S,
    audit: Option<Arc<Audit>>,
}

impl<S> Record<S> {
    fn begin<B>(&self, request: &mut Request<B>) -> Option<Ongoing> {
        let audit = self.audit.as_ref()?;
        let method = method_of(request)?;
        let peer = Peer::of(request.extensions());
        let origin = Origin {
            remote: peer.and_then(|peer| peer.remote),
            certificate: peer.and_then(|peer| peer.common_name.clone()),
        };
        let note = Arc::new(Note::new(audit, method, origin));
        request.extensions_mut().insert(Arc::clone(&note));
        Some(Ongoing {
            note: Some(note),
            method,
            is_begun: false,
        })
    }
}

impl<'a, S, B, R> Service<Request<B>> for &'a Record<S>
where
    &'a S: Service<Request<B>, Response = Response<R>, Error = Infallible>,
{
    type Response = Response<RecordBody<R>>;
    type Error = Infallible;
    type Future = RecordFuture<<&'a S as Service<Request<B>>>::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        (&mut &self.inner).poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let ongoing = self.begin(&mut request);
        RecordFuture {
            response: (&mut &self.inner).call(request),
            ongoing,
        }
    }
}

pin_project! {
    /// The future of a response whose call is recorded.
    pub(crate) struct RecordFuture<F> {
        #[pin]
        response: F,
        ongoing: Option<Ongoing>,
    }
}

impl<F, R> Future for RecordFuture<F>
where
    F: Future<Output = Result<Response<R>, Infallible>>,
{
    type Output = Result<Response<RecordBody<R>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(response) = ready!(this.response.poll(cx));
        let mut ongoing = this.ongoing.take();
        if let Some(ongoing) = &mut ongoing {
            ongoing.answered(response.headers());
        }
        Poll::Ready(Ok(response.map(|body| RecordBody { body, ongoing })))
    }
}

pin_project! {
    /// The body of a response whose call is recorded.
    pub(crate) struct RecordBody<B> {
        #[pin]
        body: B,
        ongoing: Option<Ongoing>,
    }
}

impl<B: Body<Error = Status>> Body for RecordBody<B> {
    type Data = B::Data;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, Status>>> {
        let this = self.project();
        let frame = ready!(this.body.poll_frame(cx));
        if let Some(ongoing) = this.ongoing {
            match &frame {
                Some(Ok(frame)) => {
                    if let Some(trailers) = frame.trailers_ref() {
                        ongoing.end_by(trailers);
                    }
                }
                // The stream is reset, and the client learns this code from the reset.
                Some(Err(status)) => ongoing.end(Outcome::of(status)),
                None => {}
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

/// A call that has not ended. One that is dropped counts as canceled, since its client has gone
/// away.
struct Ongoing {
    /// `None` once the call is recorded.
    note: Option<Arc<Note>>,
    method: Method,
    /// Whether the call was recorded as begun, so that only a refusal is news.
    is_begun: bool,
}

impl Ongoing {
    /// The service has answered, with these headers.
    fn answered(&mut self, headers: &HeaderMap) {
        // Only a response without a body has its status in the headers.
        if headers.contains_key(Status::GRPC_STATUS) {
            return self.end_by(headers);
        }
        match self.method {
            // Each of their messages is recorded when it is judged or answered.
            Method::Watch | Method::LeaseKeepAlive => self.note = None,
            // It has no end of its own.
            Method::Observe => {
                self.is_begun = true;
                if let Some(note) = &self.note {
                    note.end(Outcome::OK);
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, outcome: Outcome) {
        match self.note.take() {
            Some(note) if self.is_begun => note.end_if_refused(outcome),
            Some(note) => note.end(outcome),
            None => {}
        }
    }

    /// The call ends with the status in these fields, if there is one.
    fn end_by(&mut self, fields: &HeaderMap) {
        if let Some(status) = Status::from_header_map(fields) {
            self.end(Outcome::of(&status));
        }
    }
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        self.end(Outcome::CANCELED);
    }
}
