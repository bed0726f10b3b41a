//! The trait between a listener and the code behind it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::listener::Socket;
use super::preface::{Protocol, Rewound, recognize};
use super::stream::MaybeTls;
use super::tls::{self, Offer, Tls};

/// The code behind one or several listeners.
pub(crate) trait Endpoint: Sized + Send + Sync + 'static {
    /// Permission for one connection, given back when it is dropped.
    type Place: Send + Sync + 'static;

    /// The configuration of a connection's opening.
    fn opening(&self) -> &Opening;

    /// Takes a place for a connection. `None` closes the connection.
    fn admit(&self, remote: Option<SocketAddr>) -> Option<Self::Place>;

    /// Returns when a connection must end at once, whatever it does. Never returns by default.
    fn revoked(&self, _place: &Self::Place) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// Logs that no connection could be accepted. [`serve`](super::serve) goes on after a pause.
    fn accept_failed(&self, error: &io::Error);

    /// Records a connection that ended before it could be served.
    fn opening_failed(&self, place: &Self::Place, remote: Option<SocketAddr>, error: &OpeningError);

    /// Serves a connection to its end. Once `ending` is cancelled, only what has begun is finished.
    fn serve<S: Stream>(
        &self,
        connection: Connection<S>,
        place: &Self::Place,
        ending: &CancellationToken,
    ) -> impl Future<Output = ()> + Send;

    /// The task of a connection. An endpoint that wraps the socket below TLS overrides this.
    fn task<S: Socket>(
        self: Arc<Self>,
        socket: S,
        accepted: Accepted<Self::Place>,
    ) -> impl Future<Output = ()> + Send + 'static {
        accepted.run(self, socket)
    }
}

/// Bytes in both directions.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

/// Configuration of a connection's opening.
#[derive(Debug)]
pub(crate) struct Opening {
    /// Certificates for the handshake of every connection; `None` for connections without TLS.
    pub(crate) tls: Option<Arc<Tls>>,
    /// The protocols that the endpoint serves, for the handshake.
    pub(crate) offer: Offer,
    /// Timeout of the handshake and the first bytes together.
    pub(crate) timeout: Duration,
    /// How long sent data may stay unacknowledged by the network; `None` leaves it to the kernel.
    pub(crate) unacknowledged_max: Option<Duration>,
}

/// The reason why a connection could not be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpeningError {
    /// The TLS handshake failed, or the certificate was refused.
    #[error("TLS: {}", super::tls::reason(.0))]
    Tls(io::Error),
    /// The connection ended before its protocol was known.
    #[error(transparent)]
    FirstBytes(io::Error),
    /// The timeout passed.
    #[error("it did not open in time")]
    Timeout,
}

impl OpeningError {
    /// Returns the reason if TLS refused the connection, for the operator. `None` if the other end
    /// gave up, like a member that waited too long while this one was starting, or a probe that
    /// only connects. An end that refuses our certificate sends an alert instead.
    pub(crate) fn rejection(&self) -> Option<String> {
        use io::ErrorKind::{ConnectionReset, UnexpectedEof};
        match self {
            OpeningError::Tls(error) if matches!(error.kind(), UnexpectedEof | ConnectionReset) => {
                None
            }
            OpeningError::Tls(error) => Some(super::tls::reason(error)),
            OpeningError::FirstBytes(_) | OpeningError::Timeout => None,
        }
    }
}

/// A connection that can be served.
#[derive(Debug)]
pub(crate) struct Connection<S> {
    /// The protocol recognized by the first bytes.
    pub(crate) protocol: Protocol,
    /// The stream from its first byte on, inside TLS.
    pub(crate) stream: Rewound<MaybeTls<S>>,
    /// The other end.
    pub(crate) info: ConnectionInfo,
}

/// The other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// Its address; `None` over a Unix socket.
    pub remote: Option<SocketAddr>,
    /// Its certificate, verified, if it has shown one.
    pub certificate: Option<CertificateDer<'static>>,
}

impl ConnectionInfo {
    /// Returns the common name in the certificate, if there is one.
    pub(crate) fn common_name(&self) -> Option<String> {
        self.certificate
            .as_ref()
            .and_then(|der| tls::common_name(der))
    }
}

/// A connection that was accepted and has a place.
#[derive(Debug)]
pub(crate) struct Accepted<P> {
    pub(super) remote: Option<SocketAddr>,
    pub(super) place: P,
    /// Cancelled when the listener stops.
    pub(super) ending: CancellationToken,
}

impl<P: Send + Sync + 'static> Accepted<P> {
    /// Opens the connection and has it served, until it ends or its place is revoked. `stream` is
    /// the socket, or a wrapper of it.
    pub(crate) async fn run<E, S>(self, endpoint: Arc<E>, stream: S)
    where
        E: Endpoint<Place = P>,
        S: Stream,
    {
        let Accepted {
            remote,
            place,
            ending,
        } = self;
        let served = async {
            let opened = tokio::select! {
                biased;
                opened = open(stream, remote, endpoint.opening()) => opened,
                // No request has begun, so there is nothing to finish.
                () = ending.cancelled() => return,
            };
            match opened {
                Ok(connection) => endpoint.serve(connection, &place, &ending).await,
                Err(error) => endpoint.opening_failed(&place, remote, &error),
            }
        };
        tokio::select! {
            biased;
            () = endpoint.revoked(&place) => {}
            () = served => {}
        }
    }
}

/// Makes the TLS handshake and recognizes the protocol, within the timeout.
async fn open<S: Stream>(
    stream: S,
    remote: Option<SocketAddr>,
    opening: &Opening,
) -> Result<Connection<S>, OpeningError> {
    let opened = async {
        let (stream, certificate) = match &opening.tls {
            None => (MaybeTls::Plain(stream), None),
            Some(tls) => {
                let accepted = tls.accept(stream, remote, opening.offer).await;
                let stream = accepted.map_err(OpeningError::Tls)?;
                let chain = stream.get_ref().1.peer_certificates();
                let certificate = chain.and_then(<[_]>::first).cloned();
                (MaybeTls::Tls(Box::new(stream)), certificate)
            }
        };
        let recognized = recognize(stream).await;
        let (protocol, stream) = recognized.map_err(OpeningError::FirstBytes)?;
        Ok(Connection {
            protocol,
            stream,
            info: ConnectionInfo {
                remote,
                certificate: certificate.map(CertificateDer::into_owned),
            },
        })
    };
    tokio::time::timeout(opening.timeout, opened)
        .await
        .unwrap_or(Err(OpeningError::Timeout))
}
