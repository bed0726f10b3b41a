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
//! when its queue is closed and empty. Every thread and task is joined, but for the threads that
//! check the files of certificates ([`net`]): a file may be on a server that does not answer.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch as signal;
use tokio_util::sync::CancellationToken;

use conclave_core::fatal::REMOVED;
use conclave_core::limits;
use conclave_core::stores::StoresError;
use conclave_storage::Fault;

pub mod banner;
pub mod config;
pub mod descriptors;
pub mod edge;
pub mod fair_use;
pub mod http;
pub mod logging;
pub mod metrics;
pub mod net;
pub mod peer;
pub mod reconfiguration;
pub mod rpc;
pub mod service_manager;
pub mod version;

mod audit;
mod auth;
mod compactor;
mod duration;
mod files;
mod grpc;
mod leader_watchdog;
mod member;
mod method;
mod raft_runtime;
mod stalls;
mod start;
mod supervisor;
mod telemetry;
mod watched;

#[cfg(test)]
mod server_tests;

pub use conclave_core::{FatalError, Handle};
pub use config::Config;

pub use start::join::JoinError;
pub use telemetry::ExportError;

use crate::audit::{Audit, Output};
use crate::member::Certificates;
use crate::raft_runtime::RaftRuntime;
use crate::start::stores;
use crate::supervisor::{Listeners, Supervisor};
use crate::telemetry::Exporting;

/// Less than the least time limit of a request, which is [`limits::REQUEST_TIMEOUT_BASE`].
const NEAR_TIMER: Duration = Duration::from_secs(1);

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
    Join(#[from] JoinError),
    /// A certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] net::tls::TlsError),
    /// The stores do not belong to one member.
    #[error(transparent)]
    Stores(StoresError),
    /// The owners cannot be started.
    #[error("cannot start: {0}")]
    Member(#[from] conclave_core::member::StartError),
    /// The audit log that was asked for cannot be written.
    #[error("cannot write the audit log to {output}: {error}")]
    AuditLog {
        /// Where it was to be written.
        output: config::AuditOutput,
        /// The system's error.
        error: io::Error,
    },
    /// Traces or metrics cannot be sent as configured.
    #[error(transparent)]
    Export(#[from] ExportError),
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
    certificates: Certificates,
    audit: Option<Arc<Audit>>,
    ready: signal::Receiver<bool>,
    /// The outcome of the server; `None` while it runs.
    ended: signal::Receiver<Option<Result<(), FatalError>>>,
    stopping: CancellationToken,
}

/// Keeps a timer of the runtime pending that ends before the time limit of any request.
///
/// A timer that becomes the next one of all wakes the thread that waits for the sockets, which
/// costs two system calls. On a member with little to do, the limit of each request would be that
/// timer.
async fn near_timer() {
    let mut ticks = tokio::time::interval(NEAR_TIMER);
    loop {
        ticks.tick().await;
    }
}

impl Server {
    /// Starts a member: binds its listeners, opens its data, starts its owners. Clients are served
    /// once the member is ready.
    pub async fn start(config: Config) -> Result<Server, StartError> {
        let raft = RaftRuntime::start().map_err(|error| StartError::System(error.to_string()))?;
        let audit_output = config.audit_log.as_ref().map(Output::open).transpose()?;
        let listeners = Listeners::bind(&config, &raft).await?;
        let client_addresses = listeners.client_addresses();
        let stopping = CancellationToken::new();
        let exporting = Exporting::start(config.telemetry.as_ref())?;
        let certificates = {
            let config = config.clone();
            blocking(move || Certificates::open(&config)).await?
        };
        let tls = certificates.peers.clone();
        let opened = {
            let config = config.clone();
            // Opening reads the raft log, which may take a second.
            blocking(move || stores::open(&config)).await?
        };
        let origin = match opened.needs_origin()? {
            true => Some(member::origin(&config, tls.clone()).await?),
            false => None,
        };
        let running = {
            let (config, raft) = (config.clone(), raft.handle().clone());
            let common = (stopping.clone(), exporting);
            blocking(move || member::start(opened, origin, &config, tls, common, &raft)).await?
        };
        let sets = [&certificates.peers, &certificates.clients];
        let sets = sets.into_iter().flatten().cloned().collect();
        let watched = running.metrics.watch_certificates(sets);
        watched.map_err(|error| StartError::System(error.to_string()))?;
        let handle = running.member.handle().clone();
        let audit = audit_output.map(|output| {
            Audit::start(output, handle.identity().member_id, &running.metrics).map(Arc::new)
        });
        let audit = audit.transpose().map_err(StartError::System)?;
        let (is_ready, ready) = signal::channel(false);
        let (end, ended) = signal::channel(None);
        let supervisor = Supervisor {
            config,
            running,
            raft,
            certificates: certificates.clone(),
            listeners,
            audit: audit.clone(),
            is_ready,
            end,
        };
        tokio::spawn(supervisor.run());
        tokio::spawn(stopping.clone().run_until_cancelled_owned(near_timer()));
        Ok(Server {
            handle,
            client_addresses,
            certificates,
            audit,
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

    /// Reads the files of the certificates again, without ending a connection.
    pub fn reload_certificates(&self) {
        let Certificates { peers, clients } = &self.certificates;
        for tls in [clients, peers].into_iter().flatten() {
            tls.reload();
        }
    }

    /// Opens the file of the audit log anew, as after it was moved.
    pub fn reopen_audit_log(&self) {
        if let Some(audit) = &self.audit {
            audit.reopen();
        }
    }

    /// Returns true while the server serves clients.
    pub(crate) fn is_ready(&self) -> bool {
        *self.ready.borrow()
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

/// Runs a blocking closure on a thread for blocking work.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}
