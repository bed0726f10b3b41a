//! The task of a running server: serves other members, clients and metrics, and ends them in order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch as signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use conclave_core::FatalError;
use conclave_core::handle::Identity;
use conclave_core::member::Member;
use conclave_storage::layout;

use crate::StartError;
use crate::audit::Audit;
use crate::config::{Config, MemberUrl};
use crate::descriptors::{self, Budget};
use crate::edge::places::ClientPlaces;
use crate::edge::{self, monitoring};
use crate::fair_use::FairUse;
use crate::member::{self, Certificates, Running};
use crate::metrics::Metrics;
use crate::net::listener::{Listener, bind_tcp};
use crate::net::tls::Tls;
use crate::raft_runtime::RaftRuntime;
use crate::start::publish;

/// The listeners of a member, bound before its data is opened.
pub(crate) struct Listeners {
    clients: Vec<(MemberUrl, Listener)>,
    peers: Vec<(MemberUrl, TcpListener)>,
    metrics: Vec<(MemberUrl, Listener)>,
}

impl Listeners {
    /// Binds a listener for each configured URL.
    pub(crate) async fn bind(config: &Config, raft: &RaftRuntime) -> Result<Listeners, StartError> {
        let clients = bind(&config.listen_client_urls, listen).await?;
        let peer_urls = config.listen_peer_urls.clone();
        // The runtime that a socket is bound on also wakes the tasks that wait for it.
        let peers = raft.run(async move { bind(&peer_urls, listen_tcp).await });
        Ok(Listeners {
            clients,
            peers: peers.await?,
            metrics: bind(&config.listen_metrics_urls, listen).await?,
        })
    }

    /// Returns the TCP addresses that clients are served on, in the order of the URLs.
    pub(crate) fn client_addresses(&self) -> Vec<SocketAddr> {
        let address = |(_, listener): &(MemberUrl, Listener)| match listener {
            Listener::Tcp(listener) => listener.local_addr().ok(),
            Listener::Unix(_) => None,
        };
        self.clients.iter().filter_map(address).collect()
    }
}

/// The task of a server, from its start to its end.
pub(crate) struct Supervisor {
    pub(crate) config: Config,
    pub(crate) running: Running,
    pub(crate) raft: RaftRuntime,
    pub(crate) certificates: Certificates,
    pub(crate) listeners: Listeners,
    pub(crate) audit: Option<Arc<Audit>>,
    /// Becomes true when clients are served.
    pub(crate) is_ready: signal::Sender<bool>,
    /// Takes the outcome when everything has ended.
    pub(crate) end: signal::Sender<Option<Result<(), FatalError>>>,
}

impl Supervisor {
    pub(crate) async fn run(self) {
        let Supervisor {
            config,
            running,
            raft,
            certificates,
            listeners,
            audit,
            is_ready,
            end,
        } = self;
        let Running {
            member,
            metrics,
            authenticator,
            mut exporting,
            network,
        } = running;
        let handle = member.handle().clone();
        let stopping = handle.stopping().clone();
        exporting.report(&metrics, &handle);
        let (mut edges, mut peers) = (JoinSet::new(), JoinSet::new());
        // Other members are served until the owners have stopped: the last calls of clients need
        // them.
        let peers_stopping = CancellationToken::new();
        let serve_peers = |listener| {
            let (network, tls) = (Arc::clone(&network), certificates.peers.clone());
            member::serve_peers(listener, network, tls, &member, peers_stopping.clone())
        };
        for served in listeners.peers.into_iter().map(serve_peers) {
            peers.spawn_on(member.fatal().guard("peer-listener", served), raft.handle());
        }
        let tls = certificates.clients;
        serve_metrics(&mut edges, listeners.metrics, &member, &metrics, &tls);
        tokio::select! {
            () = publish::publish(&handle, &config) => {
                let stats = metrics.stats();
                let parts = edge::Parts {
                    handle: handle.clone(),
                    metrics: Arc::clone(&metrics),
                    authenticator,
                    fair_use: FairUse::new(&config.fair_use, &stats.refused_by_limit).map(Arc::new),
                    audit: audit.clone(),
                    tracer: exporting.tracer().cloned(),
                };
                serve(&mut edges, listeners.clients, &member, parts, &config, &tls);
                is_ready.send_replace(true);
                stopping.cancelled().await;
            }
            () = stopping.cancelled() => {}
        }
        while edges.join_next().await.is_some() {}
        let outcome = member.stop().await;
        if matches!(outcome, Err(FatalError::Removed)) {
            record_removal(&config, handle.identity());
        }
        peers_stopping.cancel();
        network.stop().await;
        while peers.join_next().await.is_some() {}
        raft.stop().await;
        // No call is left that could add a line.
        if let Some(audit) = audit {
            audit.stop().await;
        }
        exporting.stop().await;
        // Both hold the state open, and a caller that waits for the end may start another server on
        // the same data.
        drop((handle, network));
        end.send_replace(Some(outcome));
    }
}

/// Records the removal for the next start. If the record cannot be written, the next start asks the
/// voters again.
fn record_removal(config: &Config, identity: Identity) {
    let (cluster, member) = (identity.cluster_id, identity.member_id);
    if let Err(fault) = layout::record_removal(&config.member_dir(), cluster, member) {
        tracing::warn!(%fault, "cannot record that this member was removed");
    }
}

/// Starts to serve clients on every listener.
fn serve(
    edges: &mut JoinSet<()>,
    listeners: Vec<(MemberUrl, Listener)>,
    member: &Member,
    parts: edge::Parts,
    config: &Config,
    tls: &Option<Arc<Tls>>,
) {
    let settings = edge::Settings {
        max_concurrent_streams: config.max_concurrent_streams,
        keepalive_interval: config.grpc_keepalive_interval,
        keepalive_timeout: config.grpc_keepalive_timeout,
    };
    let budget = Budget::current();
    budget.report();
    let refused = &parts.metrics.stats().client_connections_refused;
    let places = ClientPlaces::new(budget.clients, refused.clone());
    for (url, listener) in listeners {
        let (parts, places) = (parts.clone(), Arc::clone(&places));
        let tls = tls.clone().filter(|_| url.is_tls());
        let (stopping, fatal) = (parts.handle.stopping().clone(), member.fatal().clone());
        // With port 0, the log is the only place that has the address.
        let address = listener.local_address();
        tracing::info!(%url, address, "ready to serve client requests");
        edges.spawn(member.fatal().guard("client-listener", async move {
            let served = edge::serve(listener, parts, settings, places, tls, stopping);
            if let Err(error) = served.await {
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
    tls: &Option<Arc<Tls>>,
) {
    let places = Arc::new(Semaphore::new(descriptors::MONITORING_MAX));
    for (url, listener) in listeners {
        let address = listener.local_address();
        tracing::info!(%url, address, "ready to serve metrics");
        let (handle, metrics) = (member.handle().clone(), Arc::clone(metrics));
        let stopping = handle.stopping().clone();
        let (places, tls) = (Arc::clone(&places), tls.clone().filter(|_| url.is_tls()));
        let served = monitoring::serve(listener, handle, metrics, places, tls, stopping);
        edges.spawn(member.fatal().guard("metrics-listener", served));
    }
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
