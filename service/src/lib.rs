//! A server: one member of a cluster, from its flags to its replies.
//!
//! The member itself is [`conclave_core`]. This crate adds the rest of the process: the command
//! line ([`config`]), a data directory, front ends for clients ([`rpc`], [`http`]), the protocol
//! between members ([`peer`]), metrics and log lines. [`Server`] connects them.
//!
//! # Stop
//!
//! One token stops everything. A signal, [`Server::shutdown`] or a fault cancels it. First the edge
//! finishes or aborts the clients' calls. Then the driver's mailbox is closed, and each owner ends
//! when its queue is closed and empty. Every thread and task is joined.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch as signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use conclave_core::fatal::REMOVED;
use conclave_core::limits;
use conclave_core::member::Member;
use conclave_core::stores::{Origin, Stores, StoresError};
use conclave_storage::Fault;

pub mod banner;
pub mod config;
pub mod descriptors;
pub mod edge;
pub mod http;
pub mod identity;
pub mod join;
pub mod logging;
pub mod metrics;
pub mod net;
pub mod peer;
pub mod reconfiguration;
pub mod rpc;
pub mod service_manager;
pub mod version;

mod attributes;
mod compactor;
mod grpc;
mod leaderless;
mod member;
mod method;
mod network;
mod raft_runtime;
mod stores;

#[cfg(test)]
mod server_tests;

pub use conclave_core::{FatalError, Handle};
pub use config::Config;

use crate::config::MemberUrl;
use crate::descriptors::Budget;
use crate::edge::monitoring;
use crate::edge::places::Places;
use crate::metrics::Metrics;
use crate::net::listener::{Listener, bind_tcp};
use crate::net::tls::Tls;
use crate::peer::Network;
use crate::raft_runtime::RaftRuntime;

/// The reason why a member cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data on disk cannot be used.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A URL cannot be listened on.
    #[error("cannot listen on {url}: {error}")]
    Listen {
        /// The URL, as configured.
        url: String,
        /// The system's error.
        error: io::Error,
    },
    /// The member was removed from the cluster. etcd's text.
    #[error("{REMOVED}")]
    Removed,
    /// The data directory is empty, and the other members refuse this one, or do not answer.
    #[error(transparent)]
    Join(#[from] join::JoinError),
    /// A certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] net::tls::TlsError),
    /// The stores do not belong to one member.
    #[error(transparent)]
    Stores(StoresError),
    /// The owners cannot be started.
    #[error("cannot start: {0}")]
    Member(#[from] conclave_core::member::StartError),
    /// The system cannot create a thread, or two metrics have the same name.
    #[error("cannot start: {0}")]
    System(String),
}

impl From<StoresError> for StartError {
    fn from(error: StoresError) -> StartError {
        match error {
            StoresError::Fault(fault) => StartError::Fault(fault),
            StoresError::Removed => StartError::Removed,
            error @ StoresError::NoIdentity => StartError::Stores(error),
        }
    }
}

/// A running member.
pub struct Server {
    handle: Handle,
    client_addresses: Vec<SocketAddr>,
    ready: signal::Receiver<bool>,
    /// The outcome of the server; `None` while it runs.
    ended: signal::Receiver<Option<Result<(), FatalError>>>,
    stopping: CancellationToken,
}

impl Server {
    /// Starts a member: binds its listeners, opens its data, starts its owners. Clients are served
    /// once the member is ready.
    pub async fn start(config: Config) -> Result<Server, StartError> {
        let listeners = bind(&config.listen_client_urls, listen).await?;
        let raft = RaftRuntime::start().map_err(|error| StartError::System(error.to_string()))?;
        let peer_listeners = {
            let urls = config.listen_peer_urls.clone();
            // A socket's tasks are woken by the runtime that the socket was bound on.
            let bound = raft.run(async move { bind(&urls, listen_tcp).await });
            bound.await?
        };
        let metrics_listeners = bind(&config.listen_metrics_urls, listen).await?;
        let client_addresses: Vec<SocketAddr> = listeners
            .iter()
            .filter_map(|(_, listener)| match listener {
                Listener::Tcp(listener) => listener.local_addr().ok(),
                Listener::Unix(_) => None,
            })
            .collect();
        let stopping = CancellationToken::new();
        let tls = network::open_tls(&config)?;
        let opened = {
            let config = config.clone();
            // Opening reads the raft log, which may take a second.
            blocking(move || stores::open(&config)).await?
        };
        let origin = match opened.needs_origin()? {
            true => Some(network::origin(&config, tls.clone()).await?),
            false => None,
        };
        let (member, metrics, network) = {
            let (config, stopping) = (config.clone(), stopping.clone());
            let tls = tls.clone();
            let raft = raft.handle().clone();
            blocking(move || {
                let message = match &origin {
                    Some(Origin::New(_)) => "starting a member of a new cluster",
                    Some(Origin::Joined { .. }) => "starting a member that was added to a cluster",
                    None => "restarting the member",
                };
                let stores = opened.into_stores(origin, config.force_new_cluster)?;
                log_start(message, &stores, &config);
                let metrics = Metrics::new(stores.identity(), member::metrics_settings(&config))
                    .map_err(|error| StartError::System(error.to_string()))?;
                let (member, network) =
                    network::start(stores, &config, &metrics, tls, stopping, &raft)?;
                Ok::<_, StartError>((member, Arc::new(metrics), network))
            })
            .await?
        };
        let handle = member.handle().clone();
        let (is_ready, ready) = signal::channel(false);
        let (end, ended) = signal::channel(None);
        let supervisor = Supervisor {
            config,
            member,
            metrics,
            network,
            raft,
            tls,
            listeners,
            peer_listeners,
            metrics_listeners,
            is_ready,
            end,
        };
        tokio::spawn(supervisor.run());
        Ok(Server {
            handle,
            client_addresses,
            ready,
            ended,
            stopping,
        })
    }

    /// The handle, for front ends and tests.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The addresses that clients are served on, in the order of the configured URLs, with the
    /// assigned port where port 0 is configured. Without Unix sockets.
    pub fn client_addresses(&self) -> &[SocketAddr] {
        &self.client_addresses
    }

    /// Returns true once there is a leader and the cluster knows this member's name and addresses.
    /// Returns false if the server stops before that.
    pub async fn ready(&self) -> bool {
        // The supervisor drops the sender when the server stops.
        self.ready.clone().wait_for(|ready| *ready).await.is_ok()
    }

    /// Returns when the server has stopped, with the error that stopped it, if any.
    pub async fn stopped(&self) -> Result<(), FatalError> {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().expect("waited for"),
            Err(_) => Err(FatalError::Panic("supervisor")),
        }
    }

    /// Stops the server, and returns when everything has ended. Another server can use the data
    /// directory as soon as no clone of the handle is left.
    ///
    /// A leader gives up leadership first, so that the other members do not have to wait for an
    /// election timeout.
    pub async fn shutdown(self) -> Result<(), FatalError> {
        let handed_over = self.handle.transfer_leadership(None);
        if let Ok(Err(error)) = tokio::time::timeout(limits::HAND_OVER_MAX, handed_over).await {
            // This member is not the leader, or no other member can become the leader.
            tracing::debug!(%error, "cannot hand over leadership");
        }
        self.stopping.cancel();
        self.stopped().await
    }
}

impl Drop for Server {
    /// Stops the server, without waiting for its end.
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("client_addresses", &self.client_addresses)
            .finish_non_exhaustive()
    }
}

/// The task of a server, from its start to its end.
struct Supervisor {
    config: Config,
    member: Member,
    metrics: Arc<Metrics>,
    network: Arc<Network>,
    raft: RaftRuntime,
    tls: Option<Arc<Tls>>,
    listeners: Vec<(MemberUrl, Listener)>,
    peer_listeners: Vec<(MemberUrl, TcpListener)>,
    metrics_listeners: Vec<(MemberUrl, Listener)>,
    is_ready: signal::Sender<bool>,
    end: signal::Sender<Option<Result<(), FatalError>>>,
}

impl Supervisor {
    async fn run(self) {
        let Supervisor {
            config,
            member,
            metrics,
            network,
            raft,
            tls,
            listeners,
            peer_listeners,
            metrics_listeners,
            is_ready,
            end,
        } = self;
        let handle = member.handle().clone();
        let stopping = handle.stopping().clone();
        let mut edges = JoinSet::new();
        // Other members are served until the owners have stopped, because the last calls of clients
        // need them.
        let mut peers = JoinSet::new();
        let peers_stopping = CancellationToken::new();
        for (url, listener) in peer_listeners {
            let served = network::serve(
                (url, listener),
                Arc::clone(&network),
                tls.clone(),
                &member,
                peers_stopping.clone(),
            );
            peers.spawn_on(member.fatal().guard("peer-listener", served), raft.handle());
        }
        serve_metrics(&mut edges, metrics_listeners, &member, &metrics);
        tokio::select! {
            () = attributes::publish(&handle, &config) => {
                serve(&mut edges, listeners, &member, &metrics, &config);
                is_ready.send_replace(true);
                stopping.cancelled().await;
            }
            () = stopping.cancelled() => {}
        }
        while edges.join_next().await.is_some() {}
        let outcome = member.stop().await;
        peers_stopping.cancel();
        network.stop().await;
        while peers.join_next().await.is_some() {}
        raft.stop().await;
        // Both keep the state open, and a caller that waits for the end may start another server on
        // the same data.
        drop((handle, network));
        end.send_replace(Some(outcome));
    }
}

/// Logs the first line of a member: its ids and its addresses.
fn log_start(message: &str, stores: &Stores, config: &Config) {
    let (cluster, member) = (stores.identity().cluster_id, stores.identity().member_id);
    let urls = |urls: &[MemberUrl]| {
        let texts: Vec<&str> = urls.iter().map(MemberUrl::as_str).collect();
        texts.join(",")
    };
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        name = config.name,
        member = format!("{member:x}"),
        cluster = format!("{cluster:x}"),
        data_dir = %config.data_dir.display(),
        log_dir = %config.log_dir().display(),
        listen_peer_urls = urls(&config.listen_peer_urls),
        listen_client_urls = urls(&config.listen_client_urls),
        advertise_client_urls = urls(&config.advertise_client_urls),
        "{message}"
    );
}

/// Starts to serve clients on every listener.
fn serve(
    edges: &mut JoinSet<()>,
    listeners: Vec<(MemberUrl, Listener)>,
    member: &Member,
    metrics: &Arc<Metrics>,
    config: &Config,
) {
    let settings = edge::Settings {
        max_concurrent_streams: config.max_concurrent_streams,
        keepalive_interval: config.grpc_keepalive_interval,
        keepalive_timeout: config.grpc_keepalive_timeout,
    };
    let budget = Budget::current();
    budget.report();
    let refused = &metrics.stats().client_connections_refused;
    let places = Places::new(budget.clients, refused.clone());
    for (url, listener) in listeners {
        let (handle, metrics) = (member.handle().clone(), Arc::clone(metrics));
        let places = Arc::clone(&places);
        let (stopping, fatal) = (handle.stopping().clone(), member.fatal().clone());
        // With port 0, the address is only in the log.
        let address = listener.local_address();
        tracing::info!(%url, address, "ready to serve client requests");
        edges.spawn(member.fatal().guard("client-listener", async move {
            let served = edge::serve(listener, handle, metrics, settings, places, stopping).await;
            if let Err(error) = served {
                fatal.report(FatalError::Process(format!(
                    "serving {url} failed: {error}"
                )));
            }
        }));
    }
}

/// Starts to serve metrics and health checks on their own ports.
fn serve_metrics(
    edges: &mut JoinSet<()>,
    listeners: Vec<(MemberUrl, Listener)>,
    member: &Member,
    metrics: &Arc<Metrics>,
) {
    let places = Arc::new(Semaphore::new(descriptors::MONITORING_MAX));
    for (url, listener) in listeners {
        let address = listener.local_address();
        tracing::info!(%url, address, "ready to serve metrics");
        let (handle, metrics) = (member.handle().clone(), Arc::clone(metrics));
        let stopping = handle.stopping().clone();
        let served = monitoring::serve(listener, handle, metrics, Arc::clone(&places), stopping);
        edges.spawn(member.fatal().guard("metrics-listener", served));
    }
}

/// Runs a blocking closure on a thread for blocking work.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// Listens on a URL: on a TCP port or on a Unix socket.
async fn listen(url: &MemberUrl) -> io::Result<Listener> {
    match url.socket_path() {
        Some(path) => Listener::bind_unix(path).await,
        None => listen_tcp(url).await.map(Listener::Tcp),
    }
}

async fn listen_tcp(url: &MemberUrl) -> io::Result<TcpListener> {
    bind_tcp(&url.bind_addresses()).await
}

/// Binds one listener for each URL.
async fn bind<'a, L>(
    urls: &'a [MemberUrl],
    listen: impl AsyncFn(&'a MemberUrl) -> io::Result<L>,
) -> Result<Vec<(MemberUrl, L)>, StartError> {
    let mut listeners = Vec::new();
    for url in urls {
        let listener = listen(url).await.map_err(|error| StartError::Listen {
            url: url.to_string(),
            error,
        })?;
        listeners.push((url.clone(), listener));
    }
    Ok(listeners)
}
