//! Connections to the servers of a cluster, made when first needed.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tower::balance::p2c::Balance;
use tower::buffer::Buffer;
use tower::discover::ServiceList;
use tower::load::Constant;
use tower::util::{BoxCloneSyncService, service_fn};
use tower::{BoxError, Service, ServiceExt as _};

use crate::Error;
use crate::tls::Tls;

/// Time limit of a connection attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval of probes on an idle connection, so that a dead machine is detected without traffic.
/// etcd refuses clients that ping more often than every 5 s.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// Time to wait for the answer to a probe.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Calls that may wait to be spread over the connections.
const WAITING_MAX: usize = 1024;

/// The connections of a client, one for each server. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Connections {
    calls: BoxCloneSyncService<Request<Body>, Response<Body>, BoxError>,
}

impl Connections {
    /// Checks the endpoints.
    pub(crate) fn new<I, E>(endpoints: I, tls: Option<Tls>) -> Result<Self, Error>
    where
        I: IntoIterator<Item = E>,
        E: AsRef<str>,
    {
        let tls = tls.map(Arc::new);
        let channels = endpoints
            .into_iter()
            .map(|url| channel(url.as_ref(), tls.clone()))
            .collect::<Result<Vec<_>, Error>>()?;
        let calls = match <[Channel; 1]>::try_from(channels) {
            Ok([only]) => BoxCloneSyncService::new(only.map_err(BoxError::from)),
            Err(none) if none.is_empty() => {
                return Err(Error::Endpoint("no endpoint was given".into()));
            }
            Err(several) => {
                // The library has no other way to say that all are equal.
                let equal = several.into_iter().map(|channel| Constant::new(channel, 0));
                let equal: Vec<_> = equal.collect();
                let balance = Balance::new(ServiceList::new::<Request<Body>>(equal));
                BoxCloneSyncService::new(Buffer::new(balance, WAITING_MAX))
            }
        };
        Ok(Self { calls })
    }
}

impl Service<Request<Body>> for Connections {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = <BoxCloneSyncService<Request<Body>, Response<Body>, BoxError> as Service<
        Request<Body>,
    >>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.calls.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.calls.call(request)
    }
}

/// A channel to one server.
fn channel(url: &str, tls: Option<Arc<Tls>>) -> Result<Channel, Error> {
    let endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(|error| Error::Endpoint(format!("{url:?} is not a URL: {error}")))?;
    let endpoint = endpoint
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    if url.starts_with("unix:") {
        // tonic's own connector.
        return Ok(endpoint.connect_lazy());
    }
    let server = Arc::new(Server::of(endpoint.uri(), tls)?);
    let connector = service_fn(move |_: Uri| {
        let server = Arc::clone(&server);
        async move { server.connect().await.map(TokioIo::new) }
    });
    Ok(Channel::new(connector, endpoint))
}

/// Where to connect to, and how.
struct Server {
    host: String,
    port: u16,
    tls: Option<(Arc<Tls>, ServerName<'static>)>,
}

impl Server {
    fn of(uri: &Uri, tls: Option<Arc<Tls>>) -> Result<Self, Error> {
        let bad = |problem: &str| Error::Endpoint(format!("{uri} {problem}"));
        // The brackets around an IPv6 address are the URL's.
        let host = uri.host().ok_or_else(|| bad("has no host"))?;
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let tls = match (uri.scheme_str(), tls) {
            (Some("http"), _) => None,
            (Some("https"), Some(tls)) => {
                let name = tls.server_name().unwrap_or(&host).to_owned();
                let name = ServerName::try_from(name).map_err(|_| {
                    bad("has a host, or a server name, that no certificate can have")
                })?;
                Some((tls, name))
            }
            (Some("https"), None) => return Err(bad("needs the CA to trust: see Options::tls")),
            _ => return Err(bad("does not begin with http://, https:// or unix:")),
        };
        let port = uri
            .port_u16()
            .unwrap_or(if tls.is_some() { 443 } else { 80 });
        Ok(Self { host, port, tls })
    }

    async fn connect(&self) -> Result<Either<TcpStream, Box<TlsStream<TcpStream>>>, BoxError> {
        let connected = timeout(CONNECT_TIMEOUT, async {
            let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
            stream.set_nodelay(true)?;
            let Some((tls, name)) = &self.tls else {
                return Ok(Either::Left(stream));
            };
            let tls = Arc::clone(tls);
            let config = tokio::task::spawn_blocking(move || tls.config()).await?;
            let connector = TlsConnector::from(config);
            let stream = connector.connect(name.clone(), stream).await?;
            Ok(Either::Right(Box::new(stream)))
        });
        match connected.await {
            Ok(connected) => connected,
            Err(_) => Err(format!("no connection within {CONNECT_TIMEOUT:?}").into()),
        }
    }
}
