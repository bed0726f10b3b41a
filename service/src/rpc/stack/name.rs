//! The layer that finds the method of a call.

use std::task::{Context, Poll};

use http::Request;
use tower::{Layer, Service};

use crate::method::Method;

/// Makes the layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct NameLayer;

impl<S> Layer<S> for NameLayer {
    type Service = Name<S>;

    fn layer(&self, inner: S) -> Name<S> {
        Name { inner }
    }
}

/// Puts the [`Method`] into the extensions of a request, if its path is that of one.
#[derive(Debug)]
pub(crate) struct Name<S> {
    inner: S,
}

impl<'a, S, B> Service<Request<B>> for &'a Name<S>
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
        if let Some(method) = Method::of_path(request.uri().path()) {
            request.extensions_mut().insert(method);
        }
        (&mut &self.inner).call(request)
    }
}
