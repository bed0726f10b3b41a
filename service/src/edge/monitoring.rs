//! Ports of their own for `/metrics`, `/health`, `/livez` and `/readyz` (`--listen-metrics-urls`).
//!
//! Probes and Prometheus reach them when the client port is full, firewalled or secured, and before
//! the member is ready: until then `/readyz` says what is missing, and a service manager can tell a
//! member that waits for the others from one that hangs. HTTP/1.1 only, as in etcd; no gRPC.

use std::sync::Arc;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::listener::{Accept, Listener, SocketFile};
use super::places::LogOnce;
use super::{HEADER_BYTES_MAX, HEADER_TIMEOUT, accept, drive, front};
use crate::http as plain;
use crate::metrics::Metrics;
use conclave_core::handle::Handle;

/// Serves metrics and health checks on `listener` until `shutdown` is cancelled and the last
/// connection has ended. All such ports share `places`; one connection more is closed at once.
pub async fn serve(
    listener: Listener,
    handle: Handle,
    metrics: Arc<Metrics>,
    places: Arc<Semaphore>,
    shutdown: CancellationToken,
) {
    let router = plain::monitoring_routes(handle, metrics).fallback(front::not_found);
    match listener {
        Listener::Tcp(listener) => {
            serve_on::<TcpListener>(listener, router, places, shutdown).await
        }
        Listener::Unix(file) => serve_on::<SocketFile>(file, router, places, shutdown).await,
    }
}

async fn serve_on<L>(
    listener: L,
    router: Router,
    places: Arc<Semaphore>,
    shutdown: CancellationToken,
) where
    L: Accept,
    L::Stream: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES_MAX as usize);
    let mut connections = JoinSet::new();
    let failed = LogOnce::default();
    while let Some(stream) = accept(&listener, &failed, &shutdown).await {
        while connections.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = http.serve_connection(TokioIo::new(stream), service);
        let ending = shutdown.child_token();
        connections.spawn(async move {
            let _place = place;
            if let Err(error) = drive(connection, &ending).await {
                tracing::debug!(%error, "a connection for metrics ended with an error");
            }
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}
