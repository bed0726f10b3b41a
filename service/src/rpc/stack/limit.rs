//! The layer that keeps one client from using what all need ([`crate::fair_use`]): it refuses
//! calls, and puts [`super::metered`] bodies around those that it admits.
//!
//! Without limits it does nothing but look at an option. With limits for users it identifies the
//! caller, as the handler will once more: simple tokens are looked up, and the result for a JSON
//! Web Token is remembered. A caller who cannot be identified is limited by address only, and
//! refused by the handler.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use hyper::body::Body;
use tonic::Status;
use tower::{Layer, Service};

use super::callers::Callers;
use super::metered::{Meter, Metered, MeteredFuture};
use super::method_of;
use super::refusal::Refusable;
use crate::audit::Note;
use crate::fair_use::{FairUse, Refused};
use crate::method::Method;
use crate::net::origin::Origin;
use crate::rpc::credential::Peer;

/// Makes the layer.
#[derive(Clone)]
pub(super) struct LimitLayer {
    limiter: Option<Arc<Limiter>>,
}

/// Dependencies of the layer, if there are limits.
struct Limiter {
    fair_use: Arc<FairUse>,
    callers: Arc<Callers>,
}

impl LimitLayer {
    pub(super) fn new(fair_use: Option<Arc<FairUse>>, callers: Arc<Callers>) -> LimitLayer {
        let limiter = fair_use.map(|fair_use| Arc::new(Limiter { fair_use, callers }));
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
        let clock = self.callers.handle.clock();
        let now = clock.now();
        let begun = self.fair_use.begin(method, origin, user.as_ref(), now);
        let ticket = begun.inspect_err(|_| self.note_caller(request))?;
        Ok(Meter::new(ticket, Arc::clone(clock)))
    }

    /// Returns the user who calls, if that matters and there are users.
    fn user<B>(&self, request: &Request<B>) -> Option<Arc<str>> {
        if !self.fair_use.limits_users() {
            return None;
        }
        let credential = self.callers.credential(request.extensions())?;
        self.callers.user_of(credential)
    }

    /// Notes who made a call that is refused, for the audit log. No handler will.
    fn note_caller<B>(&self, request: &Request<B>) {
        if let Some(note) = request.extensions().get::<Arc<Note>>()
            && let Some(credential) = self.callers.credential(request.extensions())
        {
            self.callers.note(note, credential);
        }
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
        let request = request.map(|body| Metered::new(body, meter.clone()));
        let response = (&mut &self.inner).call(request);
        Refusable::Admitted {
            response: MeteredFuture::new(response, meter),
        }
    }
}
