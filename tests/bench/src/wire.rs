//! The gRPC client of this program: framed messages over h2, and TLS below it if the target has it,
//! without further layers.
//!
//! The generator shares its processors with the server it measures, so each microsecond it spends
//! on a request is taken from the server. A general client has a buffering task, a load balancer
//! and a codec between the caller and the connection; here a call is one h2 stream, its headers are
//! cloned from a template, and a request is encoded once, straight into its frame.
//!
//! Invariants:
//!
//! - A call succeeds only with HTTP status 200, `grpc-status` 0 and exactly one message.
//! - Every failure is a [`Failure`]. The report counts errors by its text, so a text contains
//!   nothing that differs between requests.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Request};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::target::{Target, Tls};

/// One byte "not compressed", four bytes of length.
const FRAME_HEADER_BYTES: usize = 5;
/// Limits the memory a server can make us allocate; larger than the answer of any workload here.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// Flow-control window of each stream and connection: wide enough never to stop a server, so that
/// flow control is not part of the measurement.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 64 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The text of an error, as counted and shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure(pub(crate) String);

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Failure {
        Failure(text.into())
    }
}

impl Failure {
    /// Returns true if a server does not know the token of a call.
    pub(crate) fn is_of_token(&self) -> bool {
        self.0.starts_with("grpc 16:")
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<h2::Error> for Failure {
    fn from(error: h2::Error) -> Failure {
        Failure(format!("http2: {error}"))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure(format!("io: {error}"))
    }
}

/// One connection. A clone is another handle to the same connection.
#[derive(Clone)]
pub(crate) struct Wire {
    sender: SendRequest<Bytes>,
    origin: String,
    token: Option<HeaderValue>,
}

impl Wire {
    /// Connects, HTTP/2 with prior knowledge or agreed on by TLS, and spawns a task on the current
    /// runtime that drives the connection until its last handle is dropped. If the target has a
    /// user, calls on the connection have the user's token.
    pub(crate) async fn connect(target: &Target) -> Result<Wire, Failure> {
        let mut wire = Wire::connect_without_token(target).await?;
        if let Some(login) = &target.access.login {
            wire.token = Some(login.token(&wire).await?);
        }
        Ok(wire)
    }

    /// Connects without a token.
    pub(crate) async fn connect_without_token(target: &Target) -> Result<Wire, Failure> {
        let opening = async {
            let stream = TcpStream::connect(target.address).await?;
            stream.set_nodelay(true)?;
            match &target.access.tls {
                None => handshake(stream).await,
                Some(tls) => handshake(tls.connect(stream).await?).await,
            }
        };
        let sender = match tokio::time::timeout(CONNECT_TIMEOUT, opening).await {
            Ok(sender) => sender?,
            Err(_) => return Err(Failure::new("connect: timeout")),
        };
        let scheme = match &target.access.tls {
            None => "http",
            Some(_) => "https",
        };
        Ok(Wire {
            sender,
            origin: format!("{scheme}://{}", target.address),
            token: None,
        })
    }

    /// A method on this connection, for example `/etcdserverpb.KV/Put`.
    pub(crate) fn method(&self, path: &'static str) -> Result<Method, Failure> {
        let mut request = Request::post(format!("{}{path}", self.origin))
            .version(http::Version::HTTP_2)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header(
                "user-agent",
                concat!("conclave-bench/", env!("CARGO_PKG_VERSION")),
            )
            .body(())
            .map_err(|error| Failure(format!("request: {error}")))?;
        if let Some(token) = &self.token {
            request.headers_mut().insert("token", token.clone());
        }
        Ok(Method {
            sender: self.sender.clone(),
            request,
        })
    }
}

/// Begins HTTP/2 on a stream.
async fn handshake<S>(stream: S) -> Result<SendRequest<Bytes>, Failure>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = h2::client::Builder::new()
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(1 << 20)
        .enable_push(false)
        .handshake::<_, Bytes>(stream)
        .await?;
    // A connection's end shows as the failure of the calls on it.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender.ready().await?)
}

impl Tls {
    async fn connect(
        &self,
        stream: TcpStream,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Failure> {
        let connector = TlsConnector::from(std::sync::Arc::clone(&self.config));
        let stream = connector.connect(self.server_name.clone(), stream).await?;
        let version = stream.get_ref().1.protocol_version();
        if self.version.is_some() && version != self.version {
            return Err(Failure(format!("check: {version:?} instead of TLS 1.3")));
        }
        Ok(stream)
    }
}

/// One method on one connection, with prepared headers.
#[derive(Clone)]
pub(crate) struct Method {
    sender: SendRequest<Bytes>,
    request: Request<()>,
}

impl Method {
    /// A unary call.
    pub(crate) async fn call<A: Message + Default>(
        &mut self,
        message: &impl Message,
    ) -> Result<A, Failure> {
        let (response, mut send) = self.start().await?;
        send.send_data(framed(message), true)?;
        let mut incoming = Incoming::start(response.await?)?;
        let Some(answer) = incoming.next().await? else {
            return Err(Failure::new("grpc: answer without a message"));
        };
        if incoming.next().await?.is_some() {
            return Err(Failure::new(
                "grpc: more than one message in a unary answer",
            ));
        }
        decoded(answer)
    }

    /// A unary call whose answer may be too large to keep: its bytes are counted and discarded.
    pub(crate) async fn call_discarding(
        &mut self,
        message: &impl Message,
        read_bytes: &AtomicU64,
    ) -> Result<(), Failure> {
        let mut body = self.call_unread(message).await?;
        while let Some(chunk) = body.data().await {
            let chunk_bytes = chunk?.len();
            body.flow_control().release_capacity(chunk_bytes)?;
            read_bytes.fetch_add(chunk_bytes as u64, Ordering::Relaxed);
        }
        check_status(&body.trailers().await?.unwrap_or_default(), false)
    }

    /// A unary call that returns once the answer has begun; only the caller reads it.
    pub(crate) async fn call_unread(
        &mut self,
        message: &impl Message,
    ) -> Result<RecvStream, Failure> {
        let (response, mut send) = self.start().await?;
        send.send_data(framed(message), true)?;
        Ok(Incoming::start(response.await?)?.body)
    }

    async fn start(&mut self) -> Result<(ResponseFuture, SendStream<Bytes>), Failure> {
        poll_fn(|context| self.sender.poll_ready(context)).await?;
        Ok(self.sender.send_request(self.request.clone(), false)?)
    }

    /// Opens a bidirectional stream and sends its first request, since a server may hold its
    /// response headers back until it has one.
    pub(crate) async fn open(&mut self, first: &impl Message) -> Result<Duplex, Failure> {
        let (response, mut send) = self.start().await?;
        send.send_data(framed(first), false)?;
        let incoming = Incoming::start(response.await?)?;
        Ok(Duplex {
            outgoing: Outgoing { send },
            incoming,
        })
    }
}

/// A bidirectional stream.
pub(crate) struct Duplex {
    pub(crate) outgoing: Outgoing,
    pub(crate) incoming: Incoming,
}

/// The requests of a stream. Dropping it resets the stream.
pub(crate) struct Outgoing {
    send: SendStream<Bytes>,
}

impl Outgoing {
    pub(crate) fn send(&mut self, message: &impl Message) -> Result<(), Failure> {
        Ok(self.send.send_data(framed(message), false)?)
    }
}

/// The answers of a call or stream.
pub(crate) struct Incoming {
    body: RecvStream,
    frames: Frames,
}

impl Incoming {
    fn start(response: http::Response<RecvStream>) -> Result<Incoming, Failure> {
        if response.status() != http::StatusCode::OK {
            return Err(Failure(format!(
                "http status {}",
                response.status().as_u16()
            )));
        }
        // An error without any message comes as headers only.
        check_status(response.headers(), true)?;
        Ok(Incoming {
            body: response.into_body(),
            frames: Frames::default(),
        })
    }

    /// The next message; none once the server has ended the call with status 0.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            if let Some(message) = self.frames.take()? {
                return Ok(Some(message));
            }
            match self.body.data().await {
                Some(chunk) => {
                    let chunk = chunk?;
                    self.body.flow_control().release_capacity(chunk.len())?;
                    self.frames.push(chunk);
                }
                None => {
                    let trailers = self.body.trailers().await?.unwrap_or_default();
                    check_status(&trailers, false)?;
                    return Ok(None);
                }
            }
        }
    }

    /// The next message of a stream, decoded; its end is a failure.
    pub(crate) async fn expect<A: Message + Default>(&mut self) -> Result<A, Failure> {
        match self.next().await? {
            Some(message) => decoded(message),
            None => Err(Failure::new("grpc: the server ended the stream")),
        }
    }
}

/// `grpc-status` in `headers`. Trailers must have it; headers have it only for an early error.
fn check_status(headers: &HeaderMap, may_lack: bool) -> Result<(), Failure> {
    let Some(status) = headers.get("grpc-status") else {
        let failure = Failure::new("grpc: call ended without a status");
        return if may_lack { Ok(()) } else { Err(failure) };
    };
    if status.as_bytes() == b"0" {
        return Ok(());
    }
    let text = |name| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("?")
    };
    Err(Failure(format!(
        "grpc {}: {}",
        text("grpc-status"),
        text("grpc-message")
    )))
}

fn decoded<A: Message + Default>(message: Bytes) -> Result<A, Failure> {
    A::decode(message).map_err(|error| Failure(format!("decode: {error}")))
}

fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(FRAME_HEADER_BYTES + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).expect("our own requests are far below 4 GiB"));
    message
        .encode(&mut frame)
        .expect("the buffer was made for the message");
    frame.freeze()
}

/// Cuts chunks of bytes into messages. A message that came in one piece is not copied.
#[derive(Default)]
struct Frames {
    /// Complete messages, possibly followed by the beginning of one.
    whole: Bytes,
    /// The beginning of an incomplete message.
    partial: BytesMut,
}

impl Frames {
    /// Adds a chunk. Call only when `take` has returned none.
    fn push(&mut self, chunk: Bytes) {
        if self.partial.is_empty() {
            self.whole = chunk;
        } else {
            self.partial.extend_from_slice(&chunk);
        }
    }

    fn take(&mut self) -> Result<Option<Bytes>, Failure> {
        if !self.partial.is_empty() {
            let Some(end) = frame_end(&self.partial)? else {
                return Ok(None);
            };
            if self.partial.len() < end {
                self.partial.reserve(end - self.partial.len());
                return Ok(None);
            }
            self.whole = std::mem::take(&mut self.partial).freeze();
        }
        match frame_end(&self.whole)? {
            Some(end) if self.whole.len() >= end => {
                let mut message = self.whole.split_to(end);
                message.advance(FRAME_HEADER_BYTES);
                Ok(Some(message))
            }
            Some(_) | None => {
                self.partial.extend_from_slice(&self.whole);
                self.whole = Bytes::new();
                Ok(None)
            }
        }
    }
}

/// The end of the first frame in `bytes`; none if its header is incomplete.
fn frame_end(bytes: &[u8]) -> Result<Option<usize>, Failure> {
    let Some((header, _)) = bytes.split_first_chunk::<FRAME_HEADER_BYTES>() else {
        return Ok(None);
    };
    let [compressed, length @ ..] = *header;
    let length = u32::from_be_bytes(length) as usize;
    if compressed != 0 || length > MESSAGE_BYTES_MAX {
        return Err(Failure::new("grpc: a message compressed or too large"));
    }
    Ok(Some(FRAME_HEADER_BYTES + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0];
        frame.extend_from_slice(&(payload.len() as u32).to_be_bytes());
        frame.extend_from_slice(payload);
        frame
    }

    #[test]
    fn messages_survive_any_cut() {
        let mut bytes = frame(b"one");
        bytes.extend(frame(b""));
        bytes.extend(frame(b"three"));
        for size in 1..=bytes.len() {
            let mut frames = Frames::default();
            let mut messages = Vec::new();
            for chunk in bytes.chunks(size) {
                frames.push(Bytes::copy_from_slice(chunk));
                while let Some(message) = frames.take().expect("well formed") {
                    messages.push(message);
                }
            }
            assert_eq!(messages, ["one", "", "three"], "in pieces of {size}");
        }
    }

    #[test]
    fn a_compressed_message_is_refused() {
        let mut frames = Frames::default();
        frames.push(Bytes::from_static(&[1, 0, 0, 0, 0]));
        assert!(frames.take().is_err());
    }

    #[test]
    fn a_status_other_than_zero_is_named_by_code_and_text() {
        let mut trailers = HeaderMap::new();
        assert!(check_status(&trailers, true).is_ok());
        assert!(check_status(&trailers, false).is_err());
        trailers.insert("grpc-status", "8".parse().expect("a header value"));
        trailers.insert(
            "grpc-message",
            "too many requests".parse().expect("a header value"),
        );
        let failure = check_status(&trailers, false).expect_err("status 8");
        assert_eq!(failure.0, "grpc 8: too many requests");
    }
}
