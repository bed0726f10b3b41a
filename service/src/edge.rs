//! The edge for clients: from a connection to calls.
//!
//! [`crate::net`] accepts connections and gives each a task. The edge is its endpoint for clients:
//! one more task for each HTTP/2 stream, and the limits that tonic's server does not have: the
//! number of connections ([`places`]), the time until a request begins, the bytes held for clients
//! that do not read ([`unread`]).
//!
//! gRPC over HTTP/2 shares the port with health checks and metrics over HTTP/1.1 and HTTP/2. The
//! headers of a request select what answers it ([`front`]). The
//! `:authority` of HTTP/2 requests is ignored ([`authority`]). Responses to many streams of one
//! connection are sent in one write ([`gather`]).
//!
//! At shutdown a connection finishes the calls that have begun, and is cut off after
//! [`conclave_core::limits::SHUTDOWN_GRACE`]; see [`crate::net`].

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio_util::sync::CancellationToken;

use crate::net;
use crate::net::drain::drive;
use crate::net::endpoint::Stream;
use crate::net::listener::{Listener, Socket};
use crate::net::newcomers::Newcomer;
use crate::net::preface::Protocol;
use crate::net::tls::{Offer, Tls};
use crate::net::{Accepted, Connection, Endpoint, Opening, OpeningError};
pub(crate) use crate::rpc::stack::Parts;

mod authority;
mod front;
mod gather;
pub mod monitoring;
pub mod places;
mod unread;

use authority::WithoutAuthority;
use front::Front;
use gather::{Gathering, Traffic, gather};
use places::{ClientPlace, ClientPlaces, PROBE_TIMEOUT};
use unread::Unread;

/// Limit of concurrent calls on one connection, whatever the configuration says (etcd's default is
/// no limit). A client that needs more opens another connection, which also spreads its work over
/// more threads.
const STREAMS_MAX: u32 = 100_000;

/// Timeout of a client's first bytes, and of the header of an HTTP/1 request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Limit of request headers in bytes. The largest headers are auth tokens.
const HEADER_BYTES_MAX: u32 = 16 << 10;

/// Bytes that a client may send on one stream before we have read them: enough for most requests
/// to arrive without waiting for us.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// The same limit for all streams of a connection together, which bounds the memory that a
/// connection can occupy.
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// Response bytes held for one stream whose client does not read. Each stalled watcher can cost
/// this much.
const SEND_BUFFER_BYTES: usize = 128 << 10;

/// Calls that a client may open and reset before we have accepted them. More is an attack
/// (CVE-2023-44487).
const PENDING_RESETS_MAX: usize = 128;

/// Configuration of the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Calls at a time on one connection, up to [`STREAMS_MAX`].
    pub max_concurrent_streams: u32,
    /// How long a connection may be silent before the client is pinged; `None` for no pings.
    pub keepalive_interval: Option<Duration>,
    /// How long a client may leave a ping unanswered.
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
/// With `tls` every connection must begin with its handshake.
/// Several listeners are served by as many calls, with the same `parts` and `places`.
pub(crate) async fn serve(
    listener: Listener,
    parts: Parts,
    settings: Settings,
    places: Arc<ClientPlaces>,
    tls: Option<Arc<Tls>>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let traffic = Traffic {
        received: parts.metrics.stats().client_received_bytes.clone(),
        sent: parts.metrics.stats().client_sent_bytes.clone(),
    };
    let front = Front::new(parts).await.map_err(io::Error::other)?;
    let clients = Arc::new(Clients {
        opening: Opening {
            tls,
            offer: Offer::Both,
            timeout: HEADER_TIMEOUT,
            unacknowledged_max: None,
        },
        protocols: Protocols::new(&settings),
        front,
        traffic,
        places,
    });
    match listener {
        Listener::Tcp(listener) => net::serve(listener, clients, shutdown).await,
        Listener::Unix(file) => net::serve(file, clients, shutdown).await,
    }
    Ok(())
}

/// The endpoint for clients.
struct Clients {
    opening: Opening,
    protocols: Protocols,
    front: Front,
    traffic: Traffic,
    places: Arc<ClientPlaces>,
}

impl Endpoint for Clients {
    type Place = ClientPlace;

    fn opening(&self) -> &Opening {
        &self.opening
    }

    fn admit(&self, remote: Option<SocketAddr>) -> Option<ClientPlace> {
        self.places.take(remote.map(|remote| remote.ip()))
    }

    async fn revoked(&self, place: &ClientPlace) {
        match place {
            ClientPlace::Client { newcomer, .. } => newcomer.evicted().cancelled().await,
            ClientPlace::Probe(newcomer) => tokio::select! {
                biased;
                () = newcomer.evicted().cancelled() => {}
                () = tokio::time::sleep(PROBE_TIMEOUT) => self.places.refuse(),
            },
        }
    }

    fn accept_failed(&self, error: &io::Error) {
        if self.places.is_new("cannot accept") {
            tracing::warn!(%error, "cannot accept connections");
        }
    }

    fn opening_failed(
        &self,
        place: &ClientPlace,
        remote: Option<SocketAddr>,
        error: &OpeningError,
    ) {
        if let Some(reason) = error.rejection() {
            let address = remote.map(|remote| remote.ip());
            if self.places.is_new(&format!("{address:?} {reason}")) {
                let remote = remote.map(tracing::field::display);
                tracing::warn!(remote, reason, "rejected connection on client endpoint");
            }
        }
        // Only a connection beyond the limit counts as refused. Other connections may end in any
        // way.
        if let ClientPlace::Probe(_) = place {
            self.places.refuse();
        }
    }

    async fn serve<S: Stream>(
        &self,
        connection: Connection<S>,
        place: &ClientPlace,
        ending: &CancellationToken,
    ) {
        match place {
            ClientPlace::Client { newcomer, .. } => {
                self.places.opened(newcomer);
                let remote = connection.info.remote;
                let unread = self.places.unread().of_connection();
                let spoken = tokio::select! {
                    biased;
                    () = unread.closing() => return self.places.closed_unread(remote),
                    spoken = self.speak(connection, &unread, ending) => spoken,
                };
                // The client gets the error, too, and its calls are counted.
                if let Err(error) = spoken {
                    tracing::debug!(%error, "a client connection ended with an error");
                }
            }
            ClientPlace::Probe(newcomer) => self.probe(connection, newcomer, ending).await,
        }
    }

    /// Gathers the writes of a connection; see [`gather`].
    fn task<S: Socket>(
        self: Arc<Self>,
        socket: S,
        accepted: Accepted<ClientPlace>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (stream, outgoing) = gather(socket, self.traffic.clone());
        Gathering::new(accepted.run(self, stream), outgoing)
    }
}

impl Clients {
    async fn speak<S: Stream>(
        &self,
        connection: Connection<S>,
        unread: &Arc<Unread>,
        ending: &CancellationToken,
    ) -> hyper::Result<()> {
        let Connection {
            protocol,
            stream,
            info,
        } = connection;
        let tls = self.opening.tls.as_ref();
        let user = tls.filter(|tls| tls.certificates_name_users());
        let user = user.and_then(|_| info.common_name());
        let front = self.front.on(&info, user, Arc::clone(unread));
        match protocol {
            Protocol::Http1 => {
                let io = TokioIo::new(stream);
                drive(self.protocols.http1.serve_connection(io, front), ending).await
            }
            Protocol::Http2 => {
                let io = TokioIo::new(WithoutAuthority::new(stream));
                drive(self.protocols.http2.serve_connection(io, front), ending).await
            }
        }
    }

    /// Serves one HTTP/1 request on a connection beyond the limit.
    async fn probe<S: Stream>(
        &self,
        connection: Connection<S>,
        newcomer: &Newcomer,
        ending: &CancellationToken,
    ) {
        if connection.protocol != Protocol::Http1 {
            return self.places.refuse();
        }
        newcomer.has_spoken();
        let io = TokioIo::new(connection.stream);
        let served = self
            .protocols
            .probe
            .serve_connection(io, self.front.clone());
        // Cut off at shutdown, without grace: a probe of a stopping member has no value.
        let served = tokio::select! {
            biased;
            () = ending.cancelled() => return,
            served = served => served,
        };
        if let Err(error) = served {
            tracing::debug!(%error, "a probe beyond the limit of connections failed");
        }
    }
}

/// The protocols, configured once.
struct Protocols {
    http1: http1::Builder,
    /// HTTP/1.1 with one request per connection, for probes.
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
            // gRPC clients ignore the date, and it is one more header to encode.
            .auto_date_header(false);
        Protocols {
            http1,
            probe,
            http2,
        }
    }
}
