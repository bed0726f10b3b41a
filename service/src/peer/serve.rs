//! The listener for other members: from a connection to calls of the [`Service`].
//!
//! Built like the listener for clients ([`crate::edge`]), for other reasons: there are few
//! connections and they live long, but what comes over them is believed. So a connection is
//! authenticated, where that is configured, before a byte of HTTP is read from it, and whoever is
//! turned away is logged with the reason. A connection on which no member says who it is has little
//! time, and may have to make room for the next one ([`super::places`]).
//!
//! `/version` is served beside the calls, since tools ask peers for it.

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower::Service as _;

use conclave_proto::peer::peer_server::PeerServer;

use super::dial::{
    HTTP_FRAME_BYTES_MAX, SEND_BUFFER_BYTES, WINDOW_BYTES, prepare, unacknowledged_max,
};
use super::places::Place;
use super::service::{Remote, Service};
use super::{Answers, Network};
use crate::edge::preface::recognize;
use crate::tls::{self, Tls};
use crate::{http as plain, limits};

/// How long a connection may take until a member has said who it is: over its TLS handshake, over
/// saying which protocol it speaks, and over the first message. Tools ask for something and leave.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a ping may go unanswered, which waits its turn behind what the other side has sent: on
/// a slow network that may be much. The dialler watches more closely, and the kernel here sees when
/// the network acknowledges nothing.
const PONG_MAX: Duration = Duration::from_secs(60);

/// Bytes of request headers. Members send a few hundred.
const HEADER_BYTES_MAX: u32 = 16 << 10;

/// Calls at a time on one connection. Each question is one, and members forward many.
const STREAMS_MAX: u32 = 4_096;

/// The pause after a failed accept, which is most likely a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The path of every call, up to its method.
const CALLS: &str = "/conclave.peer.Peer/";

/// Serves other members on `listener` until `shutdown` is cancelled and the last connection has
/// ended. With `tls` every connection must begin with its handshake. Several listeners are served
/// by as many calls, with the same `network`.
pub async fn serve(
    listener: TcpListener,
    network: Arc<Network>,
    answers: Arc<dyn Answers>,
    tls: Option<Arc<Tls>>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let unacknowledged_max = unacknowledged_max(network.common.settings.patience());
    let endpoint = Arc::new(Endpoint::new(network, answers, tls, shutdown.clone()));
    let mut connections = JoinSet::new();
    while let Some((stream, remote)) = accept(&listener, &shutdown).await {
        while connections.try_join_next().is_some() {}
        let Some(place) = endpoint.admit(remote) else {
            continue;
        };
        prepare(&stream, unacknowledged_max);
        let endpoint = Arc::clone(&endpoint);
        connections.spawn(async move {
            tokio::select! {
                () = endpoint.connection(stream, remote, &place) => {}
                () = place.ending().cancelled() => {}
                () = overdue(&place) => {}
            }
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    Ok(())
}

/// The next connection, or `None` when the member stops.
async fn accept(
    listener: &TcpListener,
    shutdown: &CancellationToken,
) -> Option<(TcpStream, SocketAddr)> {
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(accepted) => return Some(accepted),
            Err(error) => {
                tracing::debug!(%error, "cannot accept a peer connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Returns when a connection has had its time and no member has said who it is.
async fn overdue(place: &Place) {
    tokio::time::sleep(HELLO_TIMEOUT).await;
    if !place.is_newcomer() {
        std::future::pending().await
    }
}

/// What every connection of a listener needs.
struct Endpoint {
    http: auto::Builder<TokioExecutor>,
    front: Front,
    tls: Option<Arc<Tls>>,
    shutdown: CancellationToken,
}

impl Endpoint {
    fn new(
        network: Arc<Network>,
        answers: Arc<dyn Answers>,
        tls: Option<Arc<Tls>>,
        shutdown: CancellationToken,
    ) -> Endpoint {
        let settings = &network.common.settings;
        let patience = settings.patience();
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HELLO_TIMEOUT)
            .max_buf_size(HEADER_BYTES_MAX as usize);
        http.http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .max_frame_size(HTTP_FRAME_BYTES_MAX)
            .max_send_buf_size(SEND_BUFFER_BYTES)
            .max_header_list_size(HEADER_BYTES_MAX)
            .keep_alive_interval(patience)
            .keep_alive_timeout(PONG_MAX)
            .auto_date_header(false);
        let message_bytes_max = settings.message_bytes_max();
        let service = Service {
            network: Arc::clone(&network),
            answers,
            ending: shutdown.clone(),
        };
        let server = PeerServer::new(service)
            .max_decoding_message_size(message_bytes_max)
            .max_encoding_message_size(usize::MAX);
        Endpoint {
            http,
            front: Front { server, network },
            tls,
            shutdown,
        }
    }

    /// A place for a connection. `None` if it has to be closed.
    fn admit(&self, remote: SocketAddr) -> Option<Place> {
        let network = &self.front.network;
        let admitted = network.places.admit(remote.ip());
        if admitted
            .as_ref()
            .is_none_or(|(_, has_evicted)| *has_evicted)
        {
            network.common.stats.refused.inc();
            if self.is_new("too many") {
                tracing::warn!(
                    %remote,
                    "too many connections to the peer endpoint on which no member says who it is; \
                     closing the oldest"
                );
            }
        }
        admitted.map(|(place, _)| place)
    }

    /// One connection, from its first byte to its end.
    async fn connection(&self, stream: TcpStream, remote: SocketAddr, place: &Place) {
        let Some(tls) = &self.tls else {
            return self.drive(stream, remote, place).await;
        };
        let accepted = tokio::select! {
            accepted = tls.accept(stream, remote) => accepted,
            () = self.shutdown.cancelled() => return,
        };
        match accepted {
            Ok(stream) => self.drive(stream, remote, place).await,
            Err(error) => self.log_rejection(&error, remote),
        }
    }

    /// Whether to log that a connection was turned away for this.
    fn is_new(&self, trouble: &str) -> bool {
        let network = &self.front.network;
        let now = network.common.clock.now();
        network.rejections.is_new(trouble, now)
    }

    fn log_rejection(&self, error: &io::Error, remote: SocketAddr) {
        if matches!(
            error.kind(),
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
        ) {
            // It gave up, as a member does that has waited while this one was starting. Who does
            // not like our certificate says so.
            tracing::debug!(%remote, "a peer connection ended in its TLS handshake");
            return;
        }
        let reason = tls::reason(error);
        if self.is_new(&format!("{} {reason}", remote.ip())) {
            tracing::warn!(%remote, reason, "rejected connection on peer endpoint");
        }
    }

    /// Speaks HTTP until the other side leaves, or this member stops.
    async fn drive<S>(&self, stream: S, remote: SocketAddr, place: &Place)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let recognized = tokio::select! {
            recognized = recognize(stream) => recognized,
            () = self.shutdown.cancelled() => return,
        };
        let Ok((_, stream)) = recognized else {
            return;
        };
        place.has_spoken();
        let front = FrontOf {
            front: self.front.clone(),
            remote: Remote(remote, place.number()),
        };
        let served = self.http.serve_connection(TokioIo::new(stream), front);
        let mut served = std::pin::pin!(served);
        let ended = tokio::select! {
            biased;
            ended = served.as_mut() => ended,
            () = self.shutdown.cancelled() => {
                served.as_mut().graceful_shutdown();
                let grace = limits::SHUTDOWN_GRACE;
                tokio::time::timeout(grace, served).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            tracing::debug!(error, "a peer connection ended with an error");
        }
    }
}

/// Answers requests.
#[derive(Clone)]
struct Front {
    server: PeerServer<Service>,
    network: Arc<Network>,
}

/// Answers the requests of one connection.
struct FrontOf {
    front: Front,
    remote: Remote,
}

impl hyper::service::Service<Request<Incoming>> for FrontOf {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        if request.uri().path().starts_with(CALLS) {
            request.extensions_mut().insert(self.remote);
            return self.front.server.clone().call(request);
        }
        let path = request.uri().path();
        if path == "/version" {
            return Box::pin(async { Ok(plain::version().await.map(Body::new)) });
        }
        let mut response = Response::new(Body::new("404 page not found\n".to_owned()));
        *response.status_mut() = StatusCode::NOT_FOUND;
        Box::pin(std::future::ready(Ok(response)))
    }
}
