//! One HTTP/2 connection to one server, which knows when it last heard from the server.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::{PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep_until};
use tonic::body::Body;
use tower::{BoxError, Service};

use crate::endpoint::{Address, Target};
use crate::stream::{Heard, Listening, Stream};
use crate::tasks::Tasks;
use crate::tls::Security;

/// Without a frame for this long, a connection with an open call is pinged. The API's servers
/// refuse pings that are more frequent than 5 s.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// Time for the answer to a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(3);
/// Flow-control window of a stream: bytes that a server may send ahead of the reader.
const STREAM_WINDOW: u32 = 1 << 20;
/// The most that HTTP/2 allows: readers that are slow together must not stop the others.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;

/// A connection. It closes when it is dropped and its calls have ended.
#[derive(Debug)]
pub(crate) struct Connection {
    requests: SendRequest<Body>,
    target: Target,
    heard: Heard,
}

/// A request that failed. It has the request if it was provably not sent.
pub(crate) struct NotAnswered {
    pub(crate) error: BoxError,
    pub(crate) unsent: Option<Request<Body>>,
}

impl NotAnswered {
    /// True if the request was not sent, or if the server has refused its stream, which HTTP/2
    /// allows only before anything is done.
    pub(crate) fn was_not_executed(&self) -> bool {
        let mut source: Option<&(dyn Error + 'static)> = Some(&*self.error);
        let is_refused = |error: &h2::Error| error.reason() == Some(h2::Reason::REFUSED_STREAM);
        while let Some(error) = source {
            if error.downcast_ref().is_some_and(is_refused) {
                return true;
            }
            source = error.source();
        }
        self.unsent.is_some()
    }
}

impl Connection {
    /// Connects. `broken` is called when the connection ends.
    pub(crate) async fn open(
        target: &Target,
        security: &Arc<Security>,
        tasks: &Tasks,
        broken: impl FnOnce() + Send + 'static,
    ) -> Result<Self, BoxError> {
        let heard = Heard::default();
        let stream: Box<dyn Stream> = match &target.address {
            Address::Tcp { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
        };
        let stream = match target.is_secure {
            true => security.secure(target, stream).await?,
            false => stream,
        };
        let stream = Listening::new(stream, heard.clone());
        let (requests, connection) = Builder::new(tasks.clone())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .handshake(TokioIo::new(stream))
            .await?;
        tasks.spawn(async move {
            // Each call has its own error.
            let _ = connection.await;
            broken();
        });
        Ok(Self {
            requests,
            target: target.clone(),
            heard,
        })
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.requests.is_closed()
    }

    /// Sends a request and returns the head of the answer.
    pub(crate) async fn send(
        &self,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, NotAnswered> {
        *request.uri_mut() = self.uri(request.uri().path_and_query());
        match self.requests.clone().try_send_request(request).await {
            Ok(response) => Ok(response.map(Body::new)),
            Err(mut failed) => Err(NotAnswered {
                unsent: failed.take_message(),
                error: failed.into_error().into(),
            }),
        }
    }

    fn uri(&self, path: Option<&PathAndQuery>) -> Uri {
        let scheme = match self.target.is_secure {
            true => Scheme::HTTPS,
            false => Scheme::HTTP,
        };
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(scheme);
        parts.authority = Some(self.target.authority.clone());
        parts.path_and_query = path.cloned();
        Uri::from_parts(parts).expect("the generated code has paths")
    }

    /// Returns when nothing has come from the server for `limit`, counted from now at the earliest.
    pub(crate) async fn silent(&self, limit: Duration) {
        let begun = Instant::now();
        loop {
            let until = begun.max(self.heard.last()) + limit;
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }
}

/// A boxed future, as a service returns.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

/// Sends calls over one connection, once.
#[derive(Clone, Debug)]
pub(crate) struct Direct(pub(crate) Arc<Connection>);

impl Service<Request<Body>> for Direct {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let connection = Arc::clone(&self.0);
        Box::pin(async move {
            let answer = connection.send(request).await;
            answer.map_err(|failed| failed.error)
        })
    }
}
