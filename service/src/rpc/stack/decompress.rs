//! The layer that decompresses requests.
//!
//! Requests may be compressed with gzip, which is the encoding that grpc-go, and so etcd, accepts
//! ([`gzip`](super::gzip)). The limit of a message's size applies before it is decompressed and
//! after. Replies are never compressed: a client must accept uncompressed ones, and compression
//! would cost the member processor time.

use std::task::{Context, Poll};

use http::Request;
use tower::{Layer, Service};

use super::gzip::{Decompressed, decompressed};

/// Makes the layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct DecompressLayer {
    message_bytes_max: usize,
}

impl DecompressLayer {
    pub(super) fn new(message_bytes_max: usize) -> DecompressLayer {
        DecompressLayer { message_bytes_max }
    }
}

impl<S> Layer<S> for DecompressLayer {
    type Service = Decompress<S>;

    fn layer(&self, inner: S) -> Decompress<S> {
        Decompress {
            inner,
            message_bytes_max: self.message_bytes_max,
        }
    }
}

/// Passes on requests with uncompressed messages.
pub(crate) struct Decompress<S> {
    inner: S,
    message_bytes_max: usize,
}

impl<'a, S, B> Service<Request<B>> for &'a Decompress<S>
where
    &'a S: Service<Request<Decompressed<B>>>,
{
    type Response = <&'a S as Service<Request<Decompressed<B>>>>::Response;
    type Error = <&'a S as Service<Request<Decompressed<B>>>>::Error;
    type Future = <&'a S as Service<Request<Decompressed<B>>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        (&mut &self.inner).poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        (&mut &self.inner).call(decompressed(request, self.message_bytes_max))
    }
}
