//! Decompresses requests.
//!
//! Requests may be compressed with gzip, which is the encoding that grpc-go, and so etcd, accepts
//! ([`gzip`](super::gzip)). The limit of a message's size applies before it is decompressed and
//! after. Replies are never compressed: a client must accept uncompressed ones, and compression
//! would cost the member processor time.

use http::Request;

use super::gzip::{Decompressed, decompressed};
use super::map::MapRequest;

/// Replaces compressed messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decompress {
    pub(super) message_bytes_max: usize,
}

impl<B> MapRequest<B> for Decompress {
    type Body = Decompressed<B>;

    fn map(&self, request: Request<B>) -> Request<Decompressed<B>> {
        decompressed(request, self.message_bytes_max)
    }
}
