//! The layer that keeps one client from using what all need ([`crate::fair_use`]).
//!
//! Without limits it does nothing but look at an option. With limits for users it identifies the
//! caller, as the handler will once more: simple tokens are looked up, and the result for a JSON
//! Web Token is remembered. A caller who cannot be identified is limited by address only, and
//! refused by the handler.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::Status;
use tower::{Layer, Service};

use super::method_of;
use super::refusal::Refusable;
use crate::fair_use::{FairUse, Refused, Ticket, Watches};
use crate::method::Method;
use crate::net::origin::Origin;
use crate::rpc::authenticator::Authenticator;
use crate::rpc::credential::{Credential, Peer};
use conclave_core::handle::Handle;

/// Makes the layer.
#[derive(Clone)]
pub(super) struct LimitLayer {
    limiter: Option<Arc<Limiter>>,
}

/// Dependencies of the layer, if there are limits.
struct Limiter {
    fair_use: Arc<FairUse>,
    handle: Handle,
    authenticator: Arc<Authenticator>,
}

impl LimitLayer {
    pub(super) fn new(
        fair_use: Option<Arc<FairUse>>,
        handle: Handle,
        authenticator: Arc<Authenticator>,
    ) -> LimitLayer {
        let limiter = fair_use.map(|fair_use| {
            Arc::new(Limiter {
                fair_use,
                handle,
                authenticator,
            })
        });
        LimitLayer { limiter }
    }
}

impl<S> Layer<S> for LimitLayer {
    type Service = Limit<S>;

    fn layer(&self, inner: S) -> Limit<S> {
        Limit {
            inner,
            limiter: self.limiter.clone(),
        }
    }
}

/// Refuses the calls of those who have used up a limit.
pub(crate) struct Limit<S> {
    inner: S,
    limiter: Option<Arc<Limiter>>,
}

impl Limiter {
    fn begin<B>(&self, method: Method, request: &Request<B>) -> Result<Meter, Refused> {
        let peer = Peer::of(request.extensions());
        let origin = Origin::of(peer.and_then(|peer| peer.remote).map(|remote| remote.ip()));
        let user = self.user(request);
        let now = self.handle.clock().now();
        let ticket = self.fair_use.begin(method, origin, user.as_ref(), now)?;
        Ok(Meter {
            ticket,
            handle: self.handle.clone(),
        })
    }

    /// Returns the user who calls, if that matters and there are users.
    fn user<B>(&self, request: &Request<B>) -> Option<Arc<str>> {
        if !self.fair_use.limits_users() || !self.handle.reader().auth_mark().is_enabled() {
            return None;
        }
        let credential = request.extensions().get::<Credential>()?;
        let identified = credential.identify(&self.handle, &self.authenticator);
        identified.ok().map(|caller| caller.user)
    }
}

/// Counts what a call uses, until its request and its response are dropped.
#[derive(Debug)]
pub(crate) struct Meter {
    ticket: Ticket,
    handle: Handle,
}

impl Meter {
    /// Returns the places for the watchers of a stream.
    pub(crate) fn watches(&self) -> Watches {
        self.ticket.watches()
    }

    fn moved(&self, bytes: usize) {
        self.ticket.moved(bytes, self.handle.clock().now());
    }
}

impl<'a, S, B, R> Service<Request<B>> for &'a Limit<S>
where
    &'a S: Service<Request<Metered<B>>, Response = Response<R>, Error = Infallible>,
    B: Body,
    R: Default,
{
    type Response = Response<Metered<R>>;
    type Error = Infallible;
    type Future = Refusable<MeteredFuture<<&'a S as Service<Request<Metered<B>>>>::Future>, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        (&mut &self.inner).poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let mut meter = None;
        if let Some(limiter) = &self.limiter
            && let Some(method) = method_of(&request)
        {
            match limiter.begin(method, &request) {
                Ok(begun) => {
                    let begun = meter.insert(Arc::new(begun));
                    if method == Method::Watch {
                        request.extensions_mut().insert(Arc::clone(begun));
                    }
                }
                Err(refused) => {
                    let status = Status::resource_exhausted(refused.to_string());
                    return Refusable::refused(request, status);
                }
            }
        }
        let request = request.map(|body| Metered {
            body,
            meter: meter.clone(),
        });
        let response = (&mut &self.inner).call(request);
        Refusable::Admitted {
            response: MeteredFuture { response, meter },
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

impl<F, R> Future for MeteredFuture<F>
where
    F: Future<Output = Result<Response<R>, Infallible>>,
{
    type Output = Result<Response<Metered<R>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(response) = ready!(this.response.poll(cx));
        let meter = this.meter.take();
        Poll::Ready(Ok(response.map(|body| Metered { body, meter })))
    }
}

pin_project! {
    /// The body of a request or a response, whose bytes count.
    #[derive(Default)]
    pub(crate) struct Metered<B> {
        #[pin]
        body: B,
        meter: Option<Arc<Meter>>,
    }
}

impl<B: Body<Data = Bytes>> Body for Metered<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
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
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
