//! The layer that changes requests and nothing else.

use std::task::{Context, Poll};

use http::Request;
use tower::{Layer, Service};

/// Changes a request.
pub(crate) trait MapRequest<B> {
    /// The body of the changed request.
    type Body;

    fn map(&self, request: Request<B>) -> Request<Self::Body>;
}

/// Makes the layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct MapLayer<M>(pub(super) M);

impl<M: Clone, S> Layer<S> for MapLayer<M> {
    type Service = Map<M, S>;

    fn layer(&self, inner: S) -> Map<M, S> {
        Map {
            map: self.0.clone(),
            inner,
        }
    }
}

/// Passes requests on, changed.
pub(crate) struct Map<M, S> {
    map: M,
    inner: S,
}

impl<'a, M, S, B> Service<Request<B>> for &'a Map<M, S>
where
    M: MapRequest<B>,
    &'a S: Service<Request<M::Body>>,
{
    type Response = <&'a S as Service<Request<M::Body>>>::Response;
    type Error = <&'a S as Service<Request<M::Body>>>::Error;
    type Future = <&'a S as Service<Request<M::Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        (&mut &self.inner).poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        (&mut &self.inner).call(self.map.map(request))
    }
}
