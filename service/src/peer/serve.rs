//! The endpoint for other members: from a connection to calls of the [`PeerService`].
//!
//! There are few connections and they live long, but their messages are believed. So, where TLS is
//! configured, a connection is authenticated before a byte of HTTP is read from it ([`crate::net`]
//! does that), and each rejection is logged with its reason. A connection on which no member has
//! said hello has little time, and may have to make room for the next one ([`super::places`]).
//!
//! `/version` is served beside the calls, since tools ask peers for it.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower::Service as _;

use conclave_proto::peer::peer_server::PeerServer;

use super::dial::{HTTP_FRAME_BYTES_MAX, SEND_BUFFER_BYTES, WINDOW_BYTES, unacknowledged_max};
use super::places::PeerPlace;
use super::service::{Caller, PeerService};
use super::{Answers, Network};
use crate::net::drain::drive;
use crate::net::endpoint::Stream;
use crate::net::tls::{Offer, Tls};
use crate::net::{Connection, Endpoint, Opening, OpeningError};
use crate::{grpc, http as plain, net};

/// How long a connection may take until a member has said hello on it: over its TLS handshake, its
/// first bytes and the first message. Tools make one request and leave.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a ping may go unanswered. The answer is queued behind the data that the other end has
/// sent, which takes long on a slow network. The end that dials watches more closely, and the
/// kernel at this end notices when the network acknowledges nothing.
const PONG_MAX: Duration = Duration::from_secs(60);

/// Bytes of request headers. Members send a few hundred.
const HEADER_BYTES_MAX: u32 = 16 << 10;

/// Calls at a time on one connection. Each question is a call, and members forward many.
const STREAMS_MAX: u32 = 4_096;

/// The path of every call, without its method.
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
    let members = MemberEndpoint::new(network, answers, tls, shutdown.clone());
    net::serve(listener, Arc::new(members), shutdown).await;
    Ok(())
}

/// The endpoint for other members.
struct MemberEndpoint {
    opening: Opening,
    http: auto::Builder<TokioExecutor>,
    front: Front,
}

impl MemberEndpoint {
    fn new(
        network: Arc<Network>,
        answers: Arc<dyn Answers>,
        tls: Option<Arc<Tls>>,
        shutdown: CancellationToken,
    ) -> MemberEndpoint {
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
        let service = PeerService {
            network: Arc::clone(&network),
            answers,
            ending: shutdown,
        };
        let server = PeerServer::new(service)
            .max_decoding_message_size(message_bytes_max)
            .max_encoding_message_size(usize::MAX);
        MemberEndpoint {
            opening: Opening {
                tls,
                offer: Offer::Both,
                timeout: HELLO_TIMEOUT,
                unacknowledged_max: Some(unacknowledged_max(patience)),
            },
            http,
            front: Front { server, network },
        }
    }

    /// Returns true if this rejection of a connection should be logged.
    fn is_new(&self, failure: &str) -> bool {
        let network = &self.front.network;
        let now = network.common.clock.now();
        network.rejections.is_new(failure, now)
    }
}

impl Endpoint for MemberEndpoint {
    type Place = PeerPlace;

    fn opening(&self) -> &Opening {
        &self.opening
    }

    fn admit(&self, remote: Option<SocketAddr>) -> Option<PeerPlace> {
        let network = &self.front.network;
        let admitted = network.places.admit(remote.map(|remote| remote.ip()));
        if admitted
            .as_ref()
            .is_none_or(|(_, has_evicted)| *has_evicted)
        {
            network.common.stats.refused.inc();
            if self.is_new("too many") {
                tracing::warn!(
                    remote = remote.map(tracing::field::display),
                    "too many connections to the peer endpoint on which no member said hello; \
                     closing the oldest"
                );
            }
        }
        admitted.map(|(place, _)| place)
    }

    /// Returns when a connection must end: its place is needed for another one, or its time without
    /// a Hello is up.
    async fn revoked(&self, place: &PeerPlace) {
        tokio::select! {
            () = place.ending().cancelled() => {}
            () = overdue(place) => {}
        }
    }

    fn accept_failed(&self, error: &io::Error) {
        tracing::debug!(%error, "cannot accept a peer connection");
    }

    fn opening_failed(&self, _: &PeerPlace, remote: Option<SocketAddr>, error: &OpeningError) {
        let address = remote.map(|remote| remote.ip());
        let remote = remote.map(tracing::field::display);
        let Some(reason) = error.rejection() else {
            tracing::debug!(remote, %error, "a peer connection ended before it was served");
            return;
        };
        if self.is_new(&format!("{address:?} {reason}")) {
            tracing::warn!(remote, reason, "rejected connection on peer endpoint");
        }
    }

    async fn serve<S: Stream>(
        &self,
        connection: Connection<S>,
        place: &PeerPlace,
        ending: &CancellationToken,
    ) {
        place.has_spoken();
        let front = FrontOf {
            front: self.front.clone(),
            caller: Caller {
                connection: Arc::new(connection.info),
                number: place.number(),
            },
        };
        let io = TokioIo::new(connection.stream);
        if let Err(error) = drive(self.http.serve_connection(io, front), ending).await {
            tracing::debug!(error, "a peer connection ended with an error");
        }
    }
}

/// Returns when a connection's time is up and no member has said hello on it.
async fn overdue(place: &PeerPlace) {
    tokio::time::sleep(HELLO_TIMEOUT).await;
    if !place.is_newcomer() {
        std::future::pending().await
    }
}

/// Answers requests.
#[derive(Clone)]
struct Front {
    server: PeerServer<PeerService>,
    network: Arc<Network>,
}

/// Answers the requests of one connection.
struct FrontOf {
    front: Front,
    caller: Caller,
}

impl hyper::service::Service<Request<Incoming>> for FrontOf {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        if request.uri().path().starts_with(CALLS) {
            if !grpc::is_call(&request) {
                return Box::pin(std::future::ready(Ok(grpc::refuse(&request))));
            }
            request.extensions_mut().insert(self.caller.clone());
            return self.front.server.clone().call(request);
        }
        let path = request.uri().path();
        if path == "/version" {
            return Box::pin(async { Ok(plain::version().await.map(Body::new)) });
        }
        Box::pin(std::future::ready(Ok(grpc::not_found())))
    }
}
