//! Separate ports for `/metrics`, `/health`, `/livez` and `/readyz` (`--listen-metrics-urls`).
//!
//! Probes and Prometheus can use them when the client port is full, firewalled or secured, and
//! before the member is ready: until then `/readyz` lists the failing checks, and a service manager
//! can distinguish a member that waits for the others from a member that hangs. HTTP/1.1 only; no
//! gRPC. With `https://` the certificates are those for clients, and a client has to present a
//! certificate where it has to on the client port, as in etcd.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::{HEADER_BYTES_MAX, HEADER_TIMEOUT, front};
use crate::http as plain;
use crate::metrics::Metrics;
use crate::net;
use crate::net::drain::drive;
use crate::net::endpoint::Stream;
use crate::net::listener::Listener;
use crate::net::tls::{Offer, Tls};
use crate::net::{Connection, Endpoint, Opening, OpeningError};
use conclave_core::clock::{Clock as _, SystemClock};
use conclave_core::handle::Handle;
use conclave_core::log_once::LogOnce;

/// Serves metrics and health checks on `listener` until `shutdown` is cancelled and the last
/// connection has ended. All such ports share `places`; connections beyond them are closed at once.
pub async fn serve(
    listener: Listener,
    handle: Handle,
    metrics: Arc<Metrics>,
    places: Arc<Semaphore>,
    tls: Option<Arc<Tls>>,
    shutdown: CancellationToken,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES_MAX as usize);
    let monitoring = Arc::new(Monitoring {
        opening: Opening {
            tls,
            // A client that may choose HTTP/2 would not be answered.
            offer: Offer::Http1,
            timeout: HEADER_TIMEOUT,
            unacknowledged_max: None,
        },
        http,
        router: plain::monitoring_routes(handle, metrics).fallback(front::not_found),
        places,
        log_once: LogOnce::default(),
        clock: SystemClock::new(),
    });
    match listener {
        Listener::Tcp(listener) => net::serve(listener, monitoring, shutdown).await,
        Listener::Unix(file) => net::serve(file, monitoring, shutdown).await,
    }
}

/// The endpoint for probes and scrapers.
struct Monitoring {
    opening: Opening,
    http: http1::Builder,
    router: Router,
    places: Arc<Semaphore>,
    log_once: LogOnce,
    clock: SystemClock,
}

impl Endpoint for Monitoring {
    type Place = OwnedSemaphorePermit;

    fn opening(&self) -> &Opening {
        &self.opening
    }

    fn admit(&self, _remote: Option<SocketAddr>) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    fn accept_failed(&self, error: &io::Error) {
        if self.log_once.is_new("cannot accept", self.clock.now()) {
            tracing::warn!(%error, "cannot accept connections");
        }
    }

    fn opening_failed(
        &self,
        _place: &OwnedSemaphorePermit,
        remote: Option<SocketAddr>,
        error: &OpeningError,
    ) {
        if let Some(reason) = error.rejection() {
            let failure = format!("{:?} {reason}", remote.map(|remote| remote.ip()));
            if self.log_once.is_new(&failure, self.clock.now()) {
                let remote = remote.map(tracing::field::display);
                tracing::warn!(remote, reason, "rejected connection on metrics endpoint");
            }
            return;
        }
        tracing::debug!(%error, "a connection for metrics ended with an error");
    }

    async fn serve<S: Stream>(
        &self,
        connection: Connection<S>,
        _place: &OwnedSemaphorePermit,
        ending: &CancellationToken,
    ) {
        // hyper refuses anything but HTTP/1.1.
        let io = TokioIo::new(connection.stream);
        let service = TowerToHyperService::new(self.router.clone());
        let served = self.http.serve_connection(io, service);
        if let Err(error) = drive(served, ending).await {
            tracing::debug!(%error, "a connection for metrics ended with an error");
        }
    }
}
