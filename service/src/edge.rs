//! The network edge: from a listener to calls.
//!
//! An accept loop, one task for each connection, and one more for each HTTP/2 stream. All of it is
//! here rather than in tonic's server, because the bounds are: how many connections ([`places`]),
//! how long one may take to say what it wants, how much a slow reader can make us hold.
//!
//! gRPC, health checks and metrics share the port, on HTTP/1.1 and HTTP/2 alike. The first bytes
//! say which of the two a connection speaks ([`preface`]); the path of a request says the rest
//! ([`front`]). Where clients are on the same machine, a Unix socket serves them as a port does
//! ([`listener`]). How a client names the server in its HTTP/2 requests is not looked at
//! ([`authority`]).
//!
//! # The end
//!
//! When `shutdown` is cancelled the listener is closed first, so that clients go elsewhere at once.
//! Then every connection is told to finish what it has begun, and is cut after
//! [`limits::SHUTDOWN_GRACE`]. [`serve`] returns when the last connection has ended.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::newcomers::Newcomer;
use conclave_core::handle::Handle;
use conclave_core::limits;

mod authority;
mod front;
mod gather;
mod incoming;
pub mod listener;
pub mod monitoring;
pub mod places;
pub(crate) mod preface;

use authority::WithoutAuthority;
use front::Front;
use gather::{Gathering, Traffic, gather};
use listener::{Accept, Listener};
use places::{LogOnce, PROBE_TIMEOUT, Place, Places};
use preface::Protocol;

/// Calls at a time on one connection, whatever the configuration says (etcd's default is no bound).
/// A client that needs more opens another connection, which also spreads its work over more
/// threads.
const STREAMS_MAX: u32 = 100_000;

/// How long a client may take to say which protocol it speaks, and over the header of an HTTP/1
/// request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of request headers. Auth tokens are the largest thing in there.
const HEADER_BYTES_MAX: u32 = 16 << 10;

/// What a client may send on one stream, and on all streams of a connection, before we have taken
/// it in. The first lets most requests arrive without waiting for us, the second bounds what a
/// connection can pin.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// See [`STREAM_WINDOW_BYTES`].
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// Response bytes held for one stream whose client does not read. Each watcher that stalls can cost
/// this much.
const SEND_BUFFER_BYTES: usize = 128 << 10;

/// Calls a client may open and reset before we have taken them in. More is not a client in a hurry
/// but an attack (CVE-2023-44487).
const PENDING_RESETS_MAX: usize = 128;

/// The pause after a failed accept. It is most likely a lack of file descriptors, which the reserve
/// of [`crate::descriptors`] should prevent.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What of the edge is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Calls at a time on one connection; above [`STREAMS_MAX`] has no effect.
    pub max_concurrent_streams: u32,
    /// After so much silence on a connection the client is asked whether it is there.
    pub keepalive_interval: Option<Duration>,
    /// How long it may take to say yes.
    pub keepalive_timeout: Duration,
}

impl Default for Settings {
    /// etcd's defaults.
    fn default() -> Self {
        Settings {
            max_concurrent_streams: u32::MAX,
            keepalive_interval: Some(Duration::from_secs(2 * 60 * 60)),
            keepalive_timeout: Duration::from_secs(20),
        }
    }
}

/// Serves clients on `listener` until `shutdown` is cancelled and the last connection has ended.
/// Several listeners are served by as many calls, with the same `metrics` and `places`.
pub async fn serve(
    listener: Listener,
    handle: Handle,
    metrics: Arc<Metrics>,
    settings: Settings,
    places: Arc<Places>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let protocols = Arc::new(Protocols::new(&settings));
    let traffic = Traffic {
        received: metrics.stats().client_received_bytes.clone(),
        sent: metrics.stats().client_sent_bytes.clone(),
    };
    let front = Front::new(handle, metrics)
        .await
        .map_err(io::Error::other)?;
    match listener {
        Listener::Tcp(listener) => {
            serve_on(listener, protocols, front, traffic, places, shutdown).await;
        }
        Listener::Unix(file) => {
            serve_on(file, protocols, front, traffic, places, shutdown).await;
        }
    }
    Ok(())
}

async fn serve_on<L: Accept>(
    listener: L,
    protocols: Arc<Protocols>,
    front: Front,
    traffic: Traffic,
    places: Arc<Places>,
    shutdown: CancellationToken,
) {
    let mut connections = JoinSet::new();
    while let Some(stream) = accept(&listener, &places.accept_failed, &shutdown).await {
        // Those that ended since; each pass takes in at least as many as came.
        while connections.try_join_next().is_some() {}
        let Some(place) = places.take() else {
            continue;
        };
        // A child token has its own lock, which is touched at each wake-up of the connection.
        let ending = shutdown.child_token();
        let (protocols, front) = (Arc::clone(&protocols), front.clone());
        let (stream, outgoing) = gather(stream, traffic.clone());
        match place {
            Place::Client { .. } => {
                let served = connection(stream, protocols, front, ending, place);
                connections.spawn(Gathering::new(served, outgoing));
            }
            Place::Probe(newcomer) => {
                let served = probe(
                    stream,
                    protocols,
                    front,
                    ending,
                    newcomer,
                    Arc::clone(&places),
                );
                connections.spawn(Gathering::new(served, outgoing));
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// The next connection, or `None` when the server stops.
async fn accept<L: Accept>(
    listener: &L,
    failed: &LogOnce,
    shutdown: &CancellationToken,
) -> Option<L::Stream> {
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(stream) => return Some(stream),
            Err(error) if of_the_client(&error) => {}
            Err(error) => {
                if failed.is_new() {
                    tracing::warn!(%error, "cannot accept connections");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Errors of a connection that ended between its arrival and its acceptance.
fn of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted
    )
}

/// One connection, from its first byte to its end. Errors end it and are nobody's business: the
/// client knows, and the calls it had are counted.
async fn connection<S>(
    stream: S,
    protocols: Arc<Protocols>,
    front: Front,
    shutdown: CancellationToken,
    _place: Place,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let recognized = tokio::select! {
        biased;
        recognized = tokio::time::timeout(HEADER_TIMEOUT, preface::recognize(stream)) => recognized,
        () = shutdown.cancelled() => return,
    };
    let Ok(Ok((protocol, stream))) = recognized else {
        return;
    };
    let served = protocols.serve(protocol, stream, front, &shutdown).await;
    if let Err(error) = served {
        tracing::debug!(%error, "a client connection ended with an error");
    }
}

/// A connection beyond the limit: one HTTP/1 request, in a short time.
async fn probe<S>(
    stream: S,
    protocols: Arc<Protocols>,
    front: Front,
    shutdown: CancellationToken,
    newcomer: Newcomer,
    places: Arc<Places>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let served = async {
        let Ok((Protocol::Http1, stream)) = preface::recognize(stream).await else {
            return places.refuse();
        };
        newcomer.has_spoken();
        let served = protocols
            .probe
            .serve_connection(TokioIo::new(stream), front);
        if let Err(error) = drive(served, &shutdown).await {
            tracing::debug!(%error, "a probe beyond the limit of connections failed");
        }
    };
    tokio::select! {
        biased;
        () = newcomer.evicted().cancelled() => {}
        () = shutdown.cancelled() => {}
        timely = tokio::time::timeout(PROBE_TIMEOUT, served) => {
            if timely.is_err() {
                places.refuse();
            }
        }
    }
}

/// The two protocols, configured once.
struct Protocols {
    http1: http1::Builder,
    /// For one request a connection.
    probe: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl Protocols {
    fn new(settings: &Settings) -> Protocols {
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(HEADER_BYTES_MAX as usize);
        let mut probe = http1.clone();
        probe.keep_alive(false);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(settings.max_concurrent_streams.min(STREAMS_MAX))
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(SEND_BUFFER_BYTES)
            .max_header_list_size(HEADER_BYTES_MAX)
            .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
            .keep_alive_interval(settings.keepalive_interval)
            .keep_alive_timeout(settings.keepalive_timeout)
            // No client of ours looks at it, and it is one more header to encode.
            .auto_date_header(false);
        Protocols {
            http1,
            probe,
            http2,
        }
    }

    async fn serve<S>(
        &self,
        protocol: Protocol,
        stream: S,
        front: Front,
        shutdown: &CancellationToken,
    ) -> hyper::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        match protocol {
            Protocol::Http1 => {
                let io = TokioIo::new(stream);
                drive(self.http1.serve_connection(io, front), shutdown).await
            }
            Protocol::Http2 => {
                let io = TokioIo::new(WithoutAuthority::new(stream));
                drive(self.http2.serve_connection(io, front), shutdown).await
            }
        }
    }
}

/// Drives a connection to its end: its own, or the server's.
async fn drive<C>(connection: C, shutdown: &CancellationToken) -> hyper::Result<()>
where
    C: GracefulConnection<Error = hyper::Error> + Future<Output = hyper::Result<()>>,
{
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        biased;
        ended = connection.as_mut() => return ended,
        () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    // Whoever has not finished by then is cut off: that is what the grace is for.
    tokio::time::timeout(limits::SHUTDOWN_GRACE, connection)
        .await
        .unwrap_or(Ok(()))
}
