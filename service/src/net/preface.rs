//! Recognition of the protocol by the first bytes of a connection.
//!
//! HTTP/2 begins with a fixed sequence of 24 bytes. That many are read, or fewer as soon as one
//! differs, and then put back for the code that serves the connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};

use super::read_through::{Incoming, ReadThrough};

/// The first bytes of HTTP/2 (RFC 9113, section 3.4).
pub(crate) const HTTP2: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A supported protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// A stream with its first bytes put back.
pub(crate) type Rewound<S> = ReadThrough<S, Unread>;

/// The bytes that were put back.
#[derive(Debug)]
pub(crate) struct Unread {
    bytes: [u8; HTTP2.len()],
    /// The part of `bytes` that is still to be read.
    unread: std::ops::Range<usize>,
}

/// Reads as few bytes as possible to recognize the protocol.
pub(crate) async fn recognize<S>(mut stream: S) -> io::Result<(Protocol, Rewound<S>)>
where
    S: AsyncRead + Unpin,
{
    let mut bytes = [0; HTTP2.len()];
    let mut filled = 0;
    let protocol = loop {
        let read = stream.read(&mut bytes[filled..]).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += read;
        if bytes[..filled] != HTTP2[..filled] {
            break Protocol::Http1;
        }
        if filled == HTTP2.len() {
            break Protocol::Http2;
        }
    };
    let unread = 0..filled;
    let incoming = Unread { bytes, unread };
    Ok((protocol, ReadThrough { stream, incoming }))
}

impl Incoming for Unread {
    fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        stream: Pin<&mut S>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            return stream.poll_read(cx, buffer);
        }
        let count = self.unread.len().min(buffer.remaining());
        buffer.put_slice(&self.bytes[self.unread.start..self.unread.start + count]);
        self.unread.start += count;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn recognized(sent: &[u8]) -> (Protocol, Vec<u8>) {
        let (protocol, mut stream) = recognize(sent).await.expect("bytes enough");
        let mut all = Vec::new();
        stream
            .read_to_end(&mut all)
            .await
            .expect("a slice does not fail");
        (protocol, all)
    }

    #[tokio::test]
    async fn the_first_bytes_decide_and_are_put_back() {
        let request = b"GET /health HTTP/1.1\r\n\r\n";
        assert_eq!(
            recognized(request).await,
            (Protocol::Http1, request.to_vec())
        );
        let mut frames = HTTP2.to_vec();
        frames.extend_from_slice(b"frames");
        assert_eq!(recognized(&frames).await, (Protocol::Http2, frames));
    }

    #[tokio::test]
    async fn one_byte_that_differs_is_enough() {
        let unfinished = recognize(&b"PR"[..])
            .await
            .expect_err("could become either");
        assert_eq!(unfinished.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(recognized(b"PUT").await, (Protocol::Http1, b"PUT".to_vec()));
    }
}
