//! Decompresses requests before tonic reads them.
//!
//! A gzip stream may have several members (RFC 1952, section 2.2), whose contents belong together.
//! grpc-go, and so etcd, decodes all of them. tonic decodes the first and drops the rest without an
//! error: a put would be acknowledged with a part of its value. So in a request with the header
//! `grpc-encoding: gzip` each compressed message is replaced by what it decompresses to:
//!
//! ```text
//!   1 | length | gzip member, gzip member ...   ──▶   0 | length | message
//! ```
//!
//! Messages that are not compressed, and what is no message, are left to tonic.

use std::io::Read as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use flate2::bufread::MultiGzDecoder;
use http::Request;
use hyper::body::{Body, Frame, SizeHint};
use tonic::Status;
use tonic::codegen::StdError;

/// Size of a message's prefix: a flag for compression, and the length.
const PREFIX_BYTES: usize = 5;
const COMPRESSED: u8 = 1;

/// The body of a request, without compressed messages.
pub(crate) enum Decompressed<B> {
    /// An uncompressed body, unchanged.
    Plain(B),
    /// The body of a request that may have compressed messages.
    Gzip(Box<Gunzip<B>>),
}

/// Wraps the body of a request so that its compressed messages are decompressed.
/// `message_bytes_max` limits each message before and after.
pub(super) fn decompressed<B>(
    request: Request<B>,
    message_bytes_max: usize,
) -> Request<Decompressed<B>> {
    let encoding = request.headers().get("grpc-encoding");
    if encoding.is_none_or(|encoding| encoding != "gzip") {
        return request.map(Decompressed::Plain);
    }
    request.map(|body| {
        Decompressed::Gzip(Box::new(Gunzip {
            body,
            message_bytes_max,
            received: BytesMut::new(),
            passing_bytes: 0,
            failed: false,
        }))
    })
}

/// A body with its compressed messages replaced.
pub(crate) struct Gunzip<B> {
    body: B,
    message_bytes_max: usize,
    /// Received, but not passed on.
    received: BytesMut,
    /// Number of remaining bytes of an uncompressed message.
    passing_bytes: usize,
    failed: bool,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Decompressed<B>
where
    B::Error: Into<StdError>,
{
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        match self.get_mut() {
            Decompressed::Plain(body) => {
                let polled = Pin::new(body).poll_frame(cx);
                polled.map(|frame| frame.map(|frame| frame.map_err(Into::into)))
            }
            Decompressed::Gzip(body) => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Decompressed::Plain(body) => body.is_end_stream(),
            Decompressed::Gzip(body) => {
                body.failed || (body.received.is_empty() && body.body.is_end_stream())
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Decompressed::Plain(body) => body.size_hint(),
            Decompressed::Gzip(_) => SizeHint::default(),
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Gunzip<B>
where
    B::Error: Into<StdError>,
{
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        loop {
            if self.failed {
                return Poll::Ready(None);
            }
            match self.next() {
                Ok(Some(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Ok(None) => {}
                Err(status) => {
                    self.failed = true;
                    return Poll::Ready(Some(Err(status.into())));
                }
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.received.extend_from_slice(&data),
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                // tonic returns the error of an incomplete message.
                None if self.received.is_empty() => return Poll::Ready(None),
                None => self.passing_bytes = self.received.len(),
            }
        }
    }

    /// The next bytes for tonic; `None` if more must be received first.
    fn next(&mut self) -> Result<Option<Bytes>, Status> {
        let received = &mut self.received;
        if self.passing_bytes == 0 {
            let Some((prefix, message)) = received.split_first_chunk::<PREFIX_BYTES>() else {
                return Ok(None);
            };
            let [flag, length @ ..] = *prefix;
            let length = u32::from_be_bytes(length) as usize;
            if flag == COMPRESSED {
                if length > self.message_bytes_max {
                    return Err(Status::resource_exhausted(format!(
                        "grpc: received message larger than max ({length} vs. {})",
                        self.message_bytes_max
                    )));
                }
                let Some(message) = message.get(..length) else {
                    return Ok(None);
                };
                let decompressed = gunzip(message, self.message_bytes_max)?;
                let _ = received.split_to(PREFIX_BYTES + length);
                return Ok(Some(decompressed));
            }
            self.passing_bytes = PREFIX_BYTES + length;
        }
        let count = self.passing_bytes.min(received.len());
        self.passing_bytes -= count;
        Ok((count > 0).then(|| received.split_to(count).freeze()))
    }
}

/// All members of a message, with the prefix of one that is not compressed. The errors are
/// grpc-go's.
fn gunzip(compressed: &[u8], message_bytes_max: usize) -> Result<Bytes, Status> {
    let expected = compressed.len().saturating_mul(2).min(message_bytes_max);
    let mut frame = Vec::with_capacity(PREFIX_BYTES + expected);
    frame.extend_from_slice(&[0; PREFIX_BYTES]);
    MultiGzDecoder::new(compressed)
        .take(message_bytes_max as u64 + 1)
        .read_to_end(&mut frame)
        .map_err(|error| {
            Status::internal(format!(
                "grpc: failed to decompress the received message: {error}"
            ))
        })?;
    let length = frame.len() - PREFIX_BYTES;
    let length = u32::try_from(length)
        .ok()
        .filter(|_| length <= message_bytes_max);
    let length = length.ok_or_else(|| {
        Status::resource_exhausted(format!(
            "grpc: received message after decompression larger than max {message_bytes_max}"
        ))
    })?;
    frame[1..PREFIX_BYTES].copy_from_slice(&length.to_be_bytes());
    Ok(frame.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use http_body_util::{BodyExt as _, StreamBody};
    use tonic::Code;

    use super::*;

    const MESSAGE_BYTES_MAX: usize = 1000;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).expect("a vector takes it");
        encoder.finish().expect("a vector takes it")
    }

    fn message(flag: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).expect("short");
        [&[flag], &length.to_be_bytes()[..], content].concat()
    }

    /// The bytes tonic receives of a body that arrives in chunks of this size.
    async fn received(sent: &[u8], chunk: usize) -> Result<Vec<u8>, Status> {
        let chunks: Vec<_> = sent
            .chunks(chunk)
            .map(|bytes| Ok::<_, StdError>(Frame::data(Bytes::copy_from_slice(bytes))))
            .collect();
        let request = Request::builder().header("grpc-encoding", "gzip");
        let request = request.body(StreamBody::new(tokio_stream::iter(chunks)));
        let body = decompressed(request.expect("a request"), MESSAGE_BYTES_MAX).into_body();
        let collected = body.collect().await.map_err(Status::from_error)?;
        Ok(collected.to_bytes().into())
    }

    #[tokio::test]
    async fn every_member_of_every_message_is_decompressed() {
        let several = [gzip(b"one"), gzip(b""), gzip(b"two")].concat();
        let sent = [
            message(1, &several),
            message(0, b"plain"),
            message(0, b""),
            message(1, &gzip(b"three")),
        ];
        let expected = [
            message(0, b"onetwo"),
            message(0, b"plain"),
            message(0, b""),
            message(0, b"three"),
        ];
        for chunk in [1, 2, 7, usize::MAX] {
            let got = received(&sent.concat(), chunk).await;
            assert_eq!(got.expect("it decompresses"), expected.concat(), "{chunk}");
        }
    }

    #[tokio::test]
    async fn what_does_not_decompress_to_the_end_is_refused() {
        let good = gzip(b"one");
        for bad in [
            b"".to_vec(),
            b"garbage".to_vec(),
            good[..good.len() - 1].to_vec(),
            [&good[..], b"\0"].concat(),
            [&good[..], b"garbage"].concat(),
            [&good[..], &good[..5]].concat(),
        ] {
            let status = received(&message(1, &bad), 3).await.expect_err("refused");
            assert_eq!(status.code(), Code::Internal);
            let text = "grpc: failed to decompress the received message: ";
            assert!(status.message().starts_with(text), "{status}");
        }
    }

    #[tokio::test]
    async fn the_bound_holds_before_and_after() {
        let half = gzip(&[b'x'; MESSAGE_BYTES_MAX / 2]);
        let largest = received(&message(1, &[&half[..], &half].concat()), 100).await;
        assert_eq!(
            largest.expect("fits").len(),
            PREFIX_BYTES + MESSAGE_BYTES_MAX
        );
        let members = [&half[..], &half, &gzip(b"x")].concat();
        for (sent, text) in [
            (
                message(1, &members),
                "grpc: received message after decompression larger than max 1000",
            ),
            (
                message(1, &gzip(&[0; 100_000])),
                "grpc: received message after decompression larger than max 1000",
            ),
            (
                message(1, &[0; MESSAGE_BYTES_MAX + 1])[..PREFIX_BYTES].to_vec(),
                "grpc: received message larger than max (1001 vs. 1000)",
            ),
        ] {
            let status = received(&sent, 100).await.expect_err("refused");
            assert_eq!(status.code(), Code::ResourceExhausted);
            assert_eq!(status.message(), text);
        }
    }

    #[tokio::test]
    async fn what_is_no_message_is_left_to_tonic() {
        for sent in [&b"\x02\0\0\0\x01x"[..], b"\x01\0\0\0\x05abc", b"\0\0"] {
            assert_eq!(received(sent, 1).await.expect("passed on"), sent);
        }
    }
}
