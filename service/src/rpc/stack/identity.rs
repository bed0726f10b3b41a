//! The layer that finds out what a call shows for its identity.

use std::task::{Context, Poll};

use http::Request;
use tower::{Layer, Service};

use crate::rpc::credential::Credential;

/// Makes the layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdentityLayer;

impl<S> Layer<S> for IdentityLayer {
    type Service = Identity<S>;

    fn layer(&self, inner: S) -> Identity<S> {
        Identity { inner }
    }
}

/// Puts the [`Credential`] of a call into the extensions of its request, if the call has one. It is
/// not checked here: while authentication is disabled any will do, and for some methods always.
pub(crate) struct Identity<S> {
    inner: S,
}

impl<'a, S, B> Service<Request<B>> for &'a Identity<S>
where
    &'a S: Service<Request<B>>,
{
    type Response = <&'a S as Service<Request<B>>>::Response;
    type Error = <&'a S as Service<Request<B>>>::Error;
    type Future = <&'a S as Service<Request<B>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        (&mut &self.inner).poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if let Some(credential) = Credential::of(request.headers(), request.extensions()) {
            request.extensions_mut().insert(credential);
        }
        (&mut &self.inner).call(request)
    }
}
