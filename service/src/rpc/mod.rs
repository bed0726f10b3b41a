//! The public API: one file per etcd service, each thin.
//!
//! A handler does four things: it admits the call ([`Context::admit`]: counters, metadata), checks
//! the request (pure, no state), lets the [`Handle`] do the work, and completes the response's
//! header. Whatever takes longer to say than that is not a handler's business: the order of things
//! lives below the handle, the rules of requests in [`validate`] and the state machine, the texts
//! of errors in the table of `conclave_proto` and [`status`].
//!
//! [`Services`] holds all of them, each ready to be called with a request for its path; the edge
//! does the dispatch.
//!
//! # Invariants
//!
//! - A header's cluster, member and term are this member's; its revision is one that the response's
//!   content was read or written at, never a later guess. Three responses have no header or no
//!   revision, because etcd's have none (`Defragment`; `MemberList`).
//! - A call that waits without bound ([`lock`], [`election`]) leaves nothing behind when its client
//!   goes.
//! - Every response stream ends by itself when the server stops.

use std::sync::Arc;
use std::time::Duration;

use conclave_proto::ApiError;
use conclave_proto::etcdserverpb::ResponseHeader;
use conclave_storage::Revision;
use conclave_storage::reader::{ReadError, Reader};
use prometheus::IntCounter;
use tonic::metadata::MetadataMap;
use tonic::{Code, Response, Status};

use crate::method::{Method, Permission};
use crate::metrics::{Call, Calls, Clients, Metrics, Stats};
use conclave_core::command::LogCommand;
use conclave_core::handle::Handle;
use conclave_core::limits;

pub(crate) mod auth;
pub(crate) mod ballot;
pub(crate) mod cluster;
pub(crate) mod election;
mod extent;
pub(crate) mod health;
pub(crate) mod kv;
pub(crate) mod large;
pub(crate) mod lease;
pub(crate) mod lock;
pub(crate) mod maintenance;
mod range_stream;
pub(crate) mod reflection;
pub(crate) mod status;
pub(crate) mod stream;
pub(crate) mod validate;
pub(crate) mod watch;

use stream::{Counted, Ending};

/// A stream whose client asked for a leader ends after so many election timeouts without one: an
/// election that goes well must not end it.
const LEADERLESS_ELECTIONS: u32 = 3;

/// What every service holds.
#[derive(Clone)]
pub(crate) struct Context {
    /// The way to everything below.
    pub(crate) handle: Handle,
    /// The counters of calls.
    calls: Arc<Calls>,
    /// The counters of requests by their clients' version.
    clients: Arc<Clients>,
    /// The counters of what the calls ask for.
    pub(crate) stats: Arc<Stats>,
}

/// Whether a read is done where it stands, or handed to a thread that may block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// A few keys: handing it over would cost more than it does.
    Short,
    /// It may touch many keys, and must not hold up the connections this thread serves.
    Long,
}

impl Context {
    pub(crate) fn new(handle: Handle, metrics: &Metrics) -> Context {
        Context {
            handle,
            calls: Arc::clone(metrics.calls()),
            clients: Arc::clone(metrics.clients()),
            stats: Arc::clone(metrics.stats()),
        }
    }

    /// Counts the call and checks what is common to all methods.
    pub(crate) fn admit(&self, method: Method, metadata: &MetadataMap) -> Result<Call, Status> {
        let mut call = Call::start(&self.calls, method);
        match self.check(method, metadata) {
            Ok(()) => Ok(call),
            Err(error) => {
                let status = status::of_api(error);
                call.end(status.code());
                Err(status)
            }
        }
    }

    fn check(&self, method: Method, metadata: &MetadataMap) -> Result<(), ApiError> {
        let version = validate::client_version(metadata)?;
        self.clients.count(version, method.shape());
        if !is_granted(method.permission()) {
            return Err(ApiError::PermissionDenied);
        }
        let raft_status = self.handle.status();
        if raft_status.is_learner && !serves_as_learner(method) {
            return Err(ApiError::NotSupportedForLearner);
        }
        if raft_status.leader == 0 && validate::requires_leader(metadata) {
            return Err(ApiError::NoLeader);
        }
        Ok(())
    }

    /// The counter of messages that clients send on streams of this method.
    pub(crate) fn received(&self, method: Method) -> IntCounter {
        self.calls.received(method)
    }

    /// Makes `items` the response stream of a call.
    pub(crate) fn stream<S>(
        &self,
        call: Call,
        metadata: &MetadataMap,
        items: S,
    ) -> Response<Counted<S>> {
        let ending = self.ending(validate::requires_leader(metadata));
        Response::new(Counted::new(items, call, ending))
    }

    /// When, and with which status, a response stream ends before its time.
    pub(crate) fn ending(&self, requires_leader: bool) -> Ending {
        let handle = self.handle.clone();
        Box::pin(async move {
            let stopping = handle.stopping().clone();
            if !requires_leader {
                stopping.cancelled().await;
                return status::of_api(ApiError::Stopped);
            }
            tokio::select! {
                biased;
                () = stopping.cancelled() => status::of_api(ApiError::Stopped),
                () = leader_lost(&handle) => status::of_api(ApiError::NoLeader),
            }
        })
    }

    /// Proposes a command and waits for its outcome.
    pub(crate) async fn propose<C: LogCommand>(&self, command: C) -> Result<C::Reply, Status> {
        let proposed = self.handle.propose(command).await;
        proposed.map_err(status::of_proposal)
    }

    /// Waits until the local state is as new as this call.
    pub(crate) async fn linearize(&self) -> Result<(), Status> {
        self.handle.linearize().await.map_err(status::of_refused)
    }

    /// Looks at the local state for as long as it takes, on threads that may block. What is found
    /// must be small.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        look: impl Fn(&Reader) -> Result<T, ReadError> + Send + Sync + 'static,
    ) -> Result<T, Status> {
        self.handle
            .reads()
            .read(look)
            .await
            .map_err(status::of_unread)
    }

    /// Completes a header the state machine or a read began with its revision.
    pub(crate) fn complete(&self, header: &mut Option<ResponseHeader>) {
        let revision = header.as_ref().map_or(0, |header| header.revision);
        *header = Some(self.handle.header(Revision(revision)));
    }

    /// A header at the revision applied last.
    pub(crate) fn header_now(&self) -> Option<ResponseHeader> {
        Some(self.handle.header(self.handle.reader().applied().revision))
    }
}

/// Returns true if the caller of a method has this permission. Without authentication every caller
/// has every permission.
fn is_granted(permission: Permission) -> bool {
    match permission {
        Permission::Nothing
        | Permission::User
        | Permission::ReadKeys
        | Permission::WriteKeys
        | Permission::ReadAndWriteKeys
        | Permission::ReadKeysOfLease
        | Permission::WriteKeysOfLease
        | Permission::Administrator
        | Permission::AdministratorOrSelf
        | Permission::UserOrAdministrator => true,
    }
}

/// What a member does that has no vote and may be far behind. Of ranges, only serializable ones:
/// the handler sees to that.
fn serves_as_learner(method: Method) -> bool {
    matches!(method, Method::Status | Method::Snapshot | Method::Range)
}

/// Resolves when there has been no leader for [`LEADERLESS_ELECTIONS`].
async fn leader_lost(handle: &Handle) {
    let mut raft_statuses = handle.raft_statuses();
    loop {
        let lost = raft_statuses
            .wait_for(|raft_status| raft_status.leader == 0)
            .await
            .is_ok();
        let found = raft_statuses.wait_for(|raft_status| raft_status.leader != 0);
        if !lost
            || tokio::time::timeout(leaderless_patience(handle), found)
                .await
                .is_err()
        {
            return;
        }
    }
}

fn leaderless_patience(handle: &Handle) -> Duration {
    // The request timeout is made of a constant and two election timeouts.
    let elections = handle
        .settings()
        .request_timeout
        .saturating_sub(limits::REQUEST_TIMEOUT_BASE);
    elections / 2 * LEADERLESS_ELECTIONS
}

/// Ends a unary call: counts its outcome and makes the response.
pub(crate) fn reply<T>(mut call: Call, result: Result<T, Status>) -> Result<Response<T>, Status> {
    match result {
        Ok(message) => {
            call.end(Code::Ok);
            Ok(Response::new(message))
        }
        Err(status) => {
            call.end(status.code());
            Err(status)
        }
    }
}

/// The answer to a method that etcd has and this version does not.
pub(crate) fn not_yet<T>(mut call: Call, method: Method) -> Result<Response<T>, Status> {
    call.end(Code::Unimplemented);
    Err(Status::unimplemented(format!(
        "conclave: {}/{} is not available in this version",
        method.service(),
        method.name()
    )))
}
