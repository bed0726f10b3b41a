//! From a member's URL to a connection that can carry calls.
//!
//! This is hyper's HTTP/2 client with nothing around it, so a connection is one object with a known
//! end. tonic's channel would dial again by itself, at its own pace. Each connection uses the
//! certificates as they are when it is dialled.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime;
use tokio::task::JoinSet;
use tonic::body::Body;

use conclave_proto::peer::peer_client::PeerClient;

use super::{Common, root};
use crate::config::MemberUrl;
use crate::net::listener::prepare_tcp;
use crate::net::tls::Tls;

/// Bytes that the other end may send before we have read them, on a stream and on the connection:
/// several appends of 1 MiB, so that a long round trip does not slow them down.
pub(super) const WINDOW_BYTES: u32 = 8 << 20;

/// Bytes of one HTTP/2 frame that the other end may send. A frame is one system call to write and a
/// few to read; with the 16 KiB HTTP/2 begins with, an append of 1 MiB took hundreds.
pub(super) const HTTP_FRAME_BYTES_MAX: u32 = 1 << 20;

/// Bytes of a stream that are buffered before the network has taken them. Further parcels wait in
/// their queue, where they are counted.
pub(super) const SEND_BUFFER_BYTES: usize = 1 << 20;

/// The reason why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("{0:?} is not a URL of a member: {1}")]
    Url(String, String),
    #[error("its URL is https:// and this member has no --peer-cert-file")]
    NoTls,
    #[error("{0}")]
    Connect(io::Error),
    #[error("TLS: {}", crate::net::tls::reason(.0))]
    Tls(io::Error),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("HTTP/2: {}", root(.0))]
    Http(#[from] hyper::Error),
}

/// How long a ping may go unanswered. It is queued behind data that was sent before, which may be
/// several MiB, and a slow network must not be taken for a dead process.
const PONG_MAX: Duration = Duration::from_secs(10);

/// How long the network may acknowledge nothing of what was sent, unless a call is more patient.
pub(super) fn unacknowledged_max(patience: Duration) -> Duration {
    patience * 2
}

/// Parameters of a new connection.
#[derive(Clone, Debug)]
pub(super) struct Dialling {
    pub(super) tls: Option<Arc<Tls>>,
    /// The address to connect from; `None` leaves the choice to the system.
    local_address: Option<IpAddr>,
    /// How long to wait for the connection.
    pub(super) patience: Duration,
    /// How long the network may acknowledge nothing of what was sent. The kernel watches this.
    pub(super) unacknowledged_max: Duration,
    /// How long a process may leave a ping unanswered.
    pub(super) pong_max: Duration,
    pub(super) message_bytes_max: usize,
}

/// A connection; dropping it ends it, with every call on it.
#[derive(Debug)]
pub(super) struct Connection {
    client: PeerClient<Transport>,
    sender: http2::SendRequest<Body>,
    tasks: Tasks,
}

impl Connection {
    /// Returns a client for calls on this connection.
    pub(super) fn client(&self) -> PeerClient<Transport> {
        self.client.clone()
    }

    /// Sends a GET request for a URL that is no call.
    pub(super) async fn get(&self, url: &str) -> hyper::Result<Response<Incoming>> {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = Uri::try_from(url).unwrap_or_default();
        self.sender.clone().send_request(request).await
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.tasks.set.lock().abort_all();
    }
}

impl Dialling {
    /// Dials for calls that are short, or last as long as both ends do.
    pub(super) fn new(
        tls: Option<Arc<Tls>>,
        patience: Duration,
        message_bytes_max: usize,
    ) -> Dialling {
        Dialling {
            tls,
            local_address: None,
            patience,
            unacknowledged_max: unacknowledged_max(patience),
            pong_max: PONG_MAX,
            message_bytes_max,
        }
    }

    /// Dials with the timeouts of the configuration.
    pub(super) fn of(common: &Common) -> Dialling {
        let settings = &common.settings;
        let tls = settings.tls.clone();
        Dialling::new(tls, settings.patience(), settings.message_bytes_max())
            .with_local_address(settings.local_address)
    }

    /// Uses this local address, if one is given.
    pub(super) fn with_local_address(self, local_address: Option<IpAddr>) -> Dialling {
        Dialling {
            local_address,
            ..self
        }
    }

    /// Dials for calls that keep the network, and the disk at the other end, busy for as long as
    /// they last.
    pub(super) fn patiently(self, silence_max: Duration) -> Dialling {
        Dialling {
            unacknowledged_max: silence_max,
            pong_max: silence_max,
            ..self
        }
    }

    /// Connects to a member's URL.
    pub(super) async fn dial(&self, url: &str) -> Result<Connection, DialError> {
        tokio::time::timeout(self.patience, self.connect(url))
            .await
            .unwrap_or(Err(DialError::Timeout(self.patience)))
    }

    async fn connect(&self, url: &str) -> Result<Connection, DialError> {
        let url = MemberUrl::parse(url).map_err(|why| DialError::Url(url.to_owned(), why))?;
        let tls = match (url.is_tls(), &self.tls) {
            (false, _) => None,
            (true, Some(tls)) => Some(tls),
            (true, None) => return Err(DialError::NoTls),
        };
        let opened = match self.local_address {
            None => TcpStream::connect((url.host(), url.port())).await,
            Some(local) => connect_from(local, url.host(), url.port()).await,
        };
        let stream = opened.map_err(DialError::Connect)?;
        prepare_tcp(&stream, Some(self.unacknowledged_max));
        match tls {
            None => self.handshake(&url, stream).await,
            Some(tls) => {
                let connected = tls.connect(url.host(), stream).await;
                self.handshake(&url, connected.map_err(DialError::Tls)?)
                    .await
            }
        }
    }

    async fn handshake<S>(&self, url: &MemberUrl, stream: S) -> Result<Connection, DialError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let tasks = Tasks::new();
        let mut http = http2::Builder::new(tasks.clone());
        http.timer(TokioTimer::new())
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .max_send_buf_size(SEND_BUFFER_BYTES)
            .keep_alive_interval(self.patience)
            .keep_alive_timeout(self.pong_max)
            .keep_alive_while_idle(true);
        let (sender, connection) = http.handshake(TokioIo::new(stream)).await?;
        tasks.execute(async move {
            // Calls on the connection fail as well, and their callers log why.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a member ended with an error");
            }
        });
        let transport = Transport {
            sender: sender.clone(),
        };
        let client = PeerClient::with_origin(transport, origin(url))
            .max_decoding_message_size(self.message_bytes_max)
            .max_encoding_message_size(usize::MAX);
        Ok(Connection {
            client,
            sender,
            tasks,
        })
    }
}

/// Connects from `local` to the first address of the host that is of the same kind and answers.
async fn connect_from(local: IpAddr, host: &str, port: u16) -> io::Result<TcpStream> {
    let mut failed = None;
    for remote in tokio::net::lookup_host((host, port)).await? {
        let socket = match (local, remote) {
            (IpAddr::V4(_), SocketAddr::V4(_)) => TcpSocket::new_v4()?,
            (IpAddr::V6(_), SocketAddr::V6(_)) => TcpSocket::new_v6()?,
            (IpAddr::V4(_), SocketAddr::V6(_)) | (IpAddr::V6(_), SocketAddr::V4(_)) => continue,
        };
        socket.bind(SocketAddr::new(local, 0)).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("cannot connect from {local}: {error}"),
            )
        })?;
        match socket.connect(remote).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or_else(|| {
        io::Error::new(
            io::ErrorKind::AddrNotAvailable,
            format!("{host} has no address that can be reached from {local}"),
        )
    }))
}

/// The head of every request's URI. Members do not look at it.
fn origin(url: &MemberUrl) -> Uri {
    Uri::try_from(url.as_str()).unwrap_or_default()
}

/// The tasks of one connection: hyper spawns some of its own, and they must end with it.
#[derive(Clone, Debug)]
struct Tasks {
    set: Arc<Mutex<JoinSet<()>>>,
    runtime: runtime::Handle,
}

impl Tasks {
    fn new() -> Tasks {
        Tasks {
            set: Arc::default(),
            runtime: runtime::Handle::current(),
        }
    }
}

impl<F> Executor<F> for Tasks
where
    F: Future + Send + 'static,
{
    fn execute(&self, task: F) {
        let mut set = self.set.lock();
        while set.try_join_next().is_some() {}
        set.spawn_on(async move { drop(task.await) }, &self.runtime);
    }
}

/// hyper's half of a connection, in the form that tonic needs.
#[derive(Clone, Debug)]
pub(super) struct Transport {
    sender: http2::SendRequest<Body>,
}

impl tower::Service<Request<Body>> for Transport {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = hyper::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.sender.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.sender.send_request(request))
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_connection_is_made_from_the_local_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let local = |text: &str| text.parse::<IpAddr>().expect("an address");
        let connecting = connect_from(local("127.0.0.7"), "localhost", port);
        let (connected, accepted) = tokio::join!(connecting, listener.accept());
        let connected = connected.expect("it listens");
        let (_, from) = accepted.expect("a connection came");
        assert_eq!(from.ip(), local("127.0.0.7"));
        assert_eq!(connected.local_addr().expect("connected"), from);

        let foreign = connect_from(local("192.0.2.7"), "127.0.0.1", port).await;
        let text = foreign
            .expect_err("it is no address of this machine")
            .to_string();
        assert!(
            text.starts_with("cannot connect from 192.0.2.7: "),
            "{text}"
        );
        let other_kind = connect_from(local("::1"), "127.0.0.1", port).await;
        let text = other_kind.expect_err("IPv6 and IPv4").to_string();
        assert_eq!(
            text,
            "127.0.0.1 has no address that can be reached from ::1"
        );
    }
}
