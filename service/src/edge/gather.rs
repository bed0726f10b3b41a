//! Gathers many responses into one `write`.
//!
//! Without this, one event for a thousand watchers of a connection causes a thousand `write` calls,
//! which cost more than everything else together. There are two reasons.
//!
//! - Tokio runs the task that was woken last first. A response wakes its connection, which then
//!   runs before the next response that is ready. So a connection that wrote a moment ago goes to
//!   the end of its worker's queue once when it is woken, and runs after the other responses have
//!   arrived. Other connections do not: going to the end of a queue wakes another worker, a cost
//!   that a client with few calls should not pay.
//! - h2 writes each data frame of more than 256 bytes separately and flushes after it. So its
//!   writes are gathered, a flush does nothing, and the gathered bytes are written when the
//!   connection has nothing more to send for now, which is at the end of its poll.
//!
//! Large writes are not gathered: a copy would cost more than a call. The gathered bytes are
//! limited; at the limit the connection waits for the socket, as it would without gathering.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use prometheus::IntCounter;

use crate::net::listener::Socket;
use conclave_core::clock::Stopwatch;

/// Limit of gathered bytes: several of the largest frames, and not more than a socket accepts at
/// once.
const GATHERED_BYTES_MAX: usize = 64 << 10;
/// A write of this size is not gathered.
const LARGE_WRITE_BYTES: usize = 16 << 10;
/// A connection that wrote this recently may have more to write at once. With a hundred connections
/// and ten concurrent calls on each, 25,000 calls per second are one every 4 ms on a connection. A
/// much shorter time, which spares a lone client the detour, cost that load a quarter of its
/// processor time when it was measured.
const BUSY: Duration = Duration::from_millis(5);
/// Capacity of the buffer that an idle connection keeps.
const KEPT_BYTES: usize = 4 << 10;

/// Byte counters of all client connections together.
#[derive(Clone, Debug)]
pub(super) struct Traffic {
    pub(super) received: IntCounter,
    pub(super) sent: IntCounter,
}

/// A connection's socket, for the code that serves it in a [`Gathering`] task.
#[derive(Debug)]
pub(super) struct Gathered<R, W> {
    reading: R,
    received: IntCounter,
    outgoing: Outgoing<W>,
}

/// The writing half with its unwritten bytes, shared by the socket and the task.
#[derive(Debug)]
pub(super) struct Outgoing<W>(Arc<Mutex<Buffered<W>>>);

#[derive(Debug)]
struct Buffered<W> {
    writing: W,
    bytes: Vec<u8>,
    /// Number of `bytes` that are written.
    written: usize,
    sent: IntCounter,
}

/// The two parts of a socket made by [`gather`].
type Parts<R, W> = (Gathered<R, W>, Outgoing<W>);

/// Divides a socket into the part that the task's future uses and the part that the task writes
/// with.
pub(super) fn gather<S: Socket>(stream: S, traffic: Traffic) -> Parts<S::Reading, S::Writing> {
    let (reading, writing) = stream.divide();
    let Traffic { received, sent } = traffic;
    let buffered = Buffered {
        writing,
        bytes: Vec::new(),
        written: 0,
        sent,
    };
    let outgoing = Outgoing(Arc::new(Mutex::new(buffered)));
    (
        Gathered {
            reading,
            received,
            outgoing: outgoing.clone(),
        },
        outgoing,
    )
}

impl<W> Clone for Outgoing<W> {
    fn clone(&self) -> Outgoing<W> {
        Outgoing(Arc::clone(&self.0))
    }
}

impl<W: AsyncWrite + Unpin> Buffered<W> {
    /// Gathers the slices, or writes them if they are large. Waits while there is no space.
    fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let count = slices.iter().map(|slice| slice.len()).sum();
        if count >= LARGE_WRITE_BYTES {
            ready!(self.poll_drain(cx))?;
            let count = ready!(Pin::new(&mut self.writing).poll_write_vectored(cx, slices))?;
            self.sent.inc_by(count as u64);
            return Poll::Ready(Ok(count));
        }
        if self.bytes.len() + count > GATHERED_BYTES_MAX {
            ready!(self.poll_drain(cx))?;
        }
        slices
            .iter()
            .for_each(|slice| self.bytes.extend_from_slice(slice));
        Poll::Ready(Ok(count))
    }

    /// Writes all gathered bytes.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.bytes.len() {
            let rest = &self.bytes[self.written..];
            let count = ready!(Pin::new(&mut self.writing).poll_write(cx, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
            self.sent.inc_by(count as u64);
        }
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

impl<R: AsyncRead + Unpin, W: Unpin> AsyncRead for Gathered<R, W> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.reading).poll_read(cx, buffer))?;
        let count = buffer.filled().len() - before;
        this.received.inc_by(count as u64);
        Poll::Ready(Ok(()))
    }
}

impl<R: Unpin, W: AsyncWrite + Unpin> AsyncWrite for Gathered<R, W> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.outgoing.0.lock().poll_take(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.outgoing.0.lock().poll_take(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Does nothing: the task writes at the end of its poll.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut buffered = self.outgoing.0.lock();
        ready!(buffered.poll_drain(cx))?;
        Pin::new(&mut buffered.writing).poll_shutdown(cx)
    }
}

/// The task of a connection. It writes what was gathered at the end of each poll.
pub(super) struct Gathering<F, W> {
    connection: Pin<Box<F>>,
    outgoing: Outgoing<W>,
    has_waited: bool,
    since_write: Option<Stopwatch>,
    /// [`BUSY`].
    busy: Duration,
}

impl<F, W> Gathering<F, W> {
    /// `connection` serves the socket `outgoing` came with.
    pub(super) fn new(connection: F, outgoing: Outgoing<W>) -> Gathering<F, W> {
        Gathering {
            connection: Box::pin(connection),
            outgoing,
            has_waited: false,
            since_write: None,
            busy: BUSY,
        }
    }
}

impl<F: Future<Output = ()>, W: AsyncWrite + Unpin> Future for Gathering<F, W> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let is_busy = || {
            this.since_write
                .is_some_and(|since| since.elapsed() < this.busy)
        };
        this.has_waited = !this.has_waited && is_busy();
        if this.has_waited {
            // A task that wakes itself while it runs goes to the end of the queue.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = this.connection.as_mut().poll(cx);
        let mut outgoing = this.outgoing.0.lock();
        if !outgoing.bytes.is_empty() {
            this.since_write = Some(Stopwatch::start());
        }
        match outgoing.poll_drain(cx) {
            // The socket cannot be written any more, so the connection is over.
            Poll::Ready(Err(_)) => Poll::Ready(()),
            // When the connection is over, bytes that the socket does not take at once are dropped:
            // an orderly end has drained them, in `poll_shutdown`.
            Poll::Ready(Ok(())) | Poll::Pending => polled,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// Records the size of each write; the first takes ten bytes.
    #[derive(Default)]
    struct Writes(Vec<usize>);

    impl AsyncWrite for Writes {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let count = if self.0.is_empty() {
                bytes.len().min(10)
            } else {
                bytes.len()
            };
            self.get_mut().0.push(count);
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn traffic() -> Traffic {
        let counter = |name| IntCounter::new(name, "bytes").expect("a valid name");
        Traffic {
            received: counter("received"),
            sent: counter("sent"),
        }
    }

    #[test]
    fn small_writes_are_gathered_and_large_ones_passed_on() {
        let mut buffered = Buffered {
            writing: Writes::default(),
            bytes: Vec::new(),
            written: 0,
            sent: traffic().sent,
        };
        let mut cx = Context::from_waker(Waker::noop());
        let mut take = |buffered: &mut Buffered<Writes>, size: usize| {
            let bytes = vec![0; size];
            assert!(
                buffered
                    .poll_take(&mut cx, &[IoSlice::new(&bytes)])
                    .is_ready()
            );
        };
        (0..100).for_each(|_| take(&mut buffered, 300));
        assert!(buffered.writing.0.is_empty());
        take(&mut buffered, 20_000);
        assert_eq!(buffered.writing.0, [10, 29_990, 20_000]);
        (0..300).for_each(|_| take(&mut buffered, 300));
        assert_eq!(
            buffered.writing.0[3..],
            [218 * 300],
            "as much as fits in 64 KiB"
        );
    }

    #[tokio::test]
    async fn gathered_bytes_arrive() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (mut client, (stream, _)) = (client.expect("connects"), accepted.expect("accepts"));
        let counted = traffic();
        let (mut socket, outgoing) = gather(stream, counted.clone());
        let served = tokio::spawn(Gathering::new(
            async move {
                let mut asked = [0; 3];
                socket.read_exact(&mut asked).await.expect("asked");
                for _ in 0..1000 {
                    socket.write_all(&asked).await.expect("the client reads");
                }
                socket
                    .write_all(&[b'x'; 100_000])
                    .await
                    .expect("the client reads");
                // Only the task flushes the rest.
                socket.write_all(b"end").await.expect("the client reads");
                socket.read_exact(&mut asked).await.expect("thanked");
            },
            outgoing,
        ));
        client.write_all(b"abc").await.expect("served");
        let mut got = vec![0; 3000 + 100_000 + 3];
        client.read_exact(&mut got).await.expect("served");
        assert!(got.starts_with(b"abcabc") && got.ends_with(b"xxxend"));
        client.write_all(b"abc").await.expect("served");
        served.await.expect("no panics");
        assert_eq!((counted.received.get(), counted.sent.get()), (6, 103_003));
    }

    #[tokio::test]
    async fn a_busy_connection_lets_others_go_first() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (_client, (stream, _)) = (client.expect("connects"), accepted.expect("accepts"));
        let (_socket, outgoing) = gather(stream, traffic());
        let order = Arc::new(Mutex::new(Vec::new()));
        let note = |name: &'static str| {
            let order = Arc::clone(&order);
            async move { order.lock().push(name) }
        };
        let mut connection = Gathering::new(note("connection"), outgoing);
        connection.since_write = Some(Stopwatch::start());
        connection.busy = Duration::MAX;
        let connection = tokio::spawn(connection);
        let others = [tokio::spawn(note("first")), tokio::spawn(note("second"))];
        for task in others {
            task.await.expect("no panics");
        }
        connection.await.expect("no panics");
        assert_eq!(*order.lock(), ["first", "second", "connection"]);
    }
}
