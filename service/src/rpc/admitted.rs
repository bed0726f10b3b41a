//! The way from a call to the member below.
//!
//! [`Context::admit`] is the only source of an [`Admitted`], and [`Access`], which is in it, is the
//! only way to propose, to read, to watch and to touch leases: the core's [`Handle`] is private to
//! this module. So no handler can do anything for a caller that was not admitted, and every command
//! carries its caller into the log.

use std::sync::Arc;
use std::time::Duration;

use conclave_proto::ApiError;
use conclave_proto::command::Member;
use conclave_proto::etcdserverpb::ResponseHeader;
use conclave_storage::reader::{ReadError, Reader};
use conclave_storage::{LeaseId, MemberId, Revision};
use prometheus::IntCounter;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;
use tonic::{Response, Status};

use conclave_core::caller::Caller;
use conclave_core::clock::Moment;
use conclave_core::command::LogCommand;
use conclave_core::handle::{self, Handle, ProposeError, Refused, Remaining};
use conclave_core::lease::LeaseError;
use conclave_core::long_reads::LongReads;
use conclave_core::watch::Watches;
use conclave_core::{leader_queries, limits};

use super::stream::{Counted, Ending};
use super::{status, validate};
use crate::method::{Method, Permission};
use crate::metrics::{Call, Calls, Clients, Metrics, Stats};
use crate::reconfiguration::{self, Changed};

/// A stream whose client asked for a leader ends after this many election timeouts without one: a
/// successful election must not end it.
const LEADERLESS_ELECTIONS: u32 = 3;

/// The entrance to the member, which every service holds. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Context {
    entrance: Arc<Entrance>,
}

struct Entrance {
    handle: Handle,
    calls: Arc<Calls>,
    clients: Arc<Clients>,
    stats: Arc<Stats>,
}

/// A call that was admitted.
pub(super) struct Admitted {
    /// Counts the call's end.
    pub(super) call: Call,
    /// What the call may use.
    pub(super) access: Access,
}

/// The member, in the name of the caller of an admitted call. Cheap to clone, for what outlives the
/// call's own future.
#[derive(Clone)]
pub(super) struct Access {
    /// Proposes in the caller's name.
    handle: Handle,
    entrance: Arc<Entrance>,
}

impl Context {
    pub(crate) fn new(handle: Handle, metrics: &Metrics) -> Context {
        Context {
            entrance: Arc::new(Entrance {
                handle,
                calls: Arc::clone(metrics.calls()),
                clients: Arc::clone(metrics.clients()),
                stats: Arc::clone(metrics.stats()),
            }),
        }
    }

    /// Counts the call, finds out who makes it, and checks what is common to all methods.
    pub(super) fn admit(&self, method: Method, metadata: &MetadataMap) -> Result<Admitted, Status> {
        let mut call = Call::start(&self.entrance.calls, method);
        let caller = Caller::Anonymous;
        match self.entrance.check(&caller, method, metadata) {
            Ok(()) => Ok(Admitted {
                call,
                access: Access {
                    handle: self.entrance.handle.in_the_name_of(caller),
                    entrance: Arc::clone(&self.entrance),
                },
            }),
            Err(error) => {
                let status = status::of_api(error);
                call.end(status.code());
                Err(status)
            }
        }
    }
}

impl Entrance {
    fn check(
        &self,
        caller: &Caller,
        method: Method,
        metadata: &MetadataMap,
    ) -> Result<(), ApiError> {
        let version = validate::client_version(metadata)?;
        self.clients.count(version, method.shape());
        if !is_granted(caller, method.permission()) {
            return Err(ApiError::PermissionDenied);
        }
        let raft_status = self.handle.status();
        if raft_status.is_learner && !serves_as_learner(method) {
            return Err(ApiError::NotSupportedForLearner);
        }
        if raft_status.leader == MemberId::NONE && validate::requires_leader(metadata) {
            return Err(ApiError::NoLeader);
        }
        Ok(())
    }
}

/// Returns true if the caller has this permission: always, while there is no authentication.
fn is_granted(caller: &Caller, permission: Permission) -> bool {
    match (caller, permission) {
        (
            Caller::Member | Caller::Anonymous | Caller::User(_),
            Permission::Nothing
            | Permission::User
            | Permission::ReadKeys
            | Permission::WriteKeys
            | Permission::ReadAndWriteKeys
            | Permission::ReadKeysOfLease
            | Permission::WriteKeysOfLease
            | Permission::Administrator
            | Permission::AdministratorOrSelf
            | Permission::UserOrAdministrator,
        ) => true,
    }
}

/// Returns true if a learner, which has no vote and may be far behind, serves this method. Of
/// ranges it serves only serializable ones, which the handler checks.
fn serves_as_learner(method: Method) -> bool {
    matches!(method, Method::Status | Method::Snapshot | Method::Range)
}

impl Access {
    /// Proposes a command and waits for its outcome.
    pub(super) async fn propose<C: LogCommand>(&self, command: C) -> Result<C::Reply, Status> {
        let proposed = self.handle.propose(command).await;
        proposed.map_err(status::of_proposal)
    }

    /// Waits until the local state is as new as this call.
    pub(super) async fn linearize(&self) -> Result<(), Refused> {
        self.handle.linearize().await
    }

    /// Returns the local state.
    pub(super) fn reader(&self) -> &Reader {
        self.handle.reader()
    }

    /// Returns the interface for reads of the local state that may be long.
    pub(super) fn reads(&self) -> &LongReads {
        self.handle.reads()
    }

    /// Reads the local state for as long as it takes, on threads that may block. The result must be
    /// small.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        look: impl Fn(&Reader) -> Result<T, ReadError> + Send + Sync + 'static,
    ) -> Result<T, Status> {
        let read = self.handle.reads().read(look).await;
        read.map_err(status::of_unread)
    }

    /// Returns the interface for watchers.
    pub(super) fn watches(&self) -> &Watches {
        self.handle.watches()
    }

    /// Renews a lease, wherever the leader is. `None` if there is no such lease.
    pub(super) async fn keep_alive(&self, id: LeaseId) -> Result<Option<i64>, LeaseError> {
        leader_queries::keep_alive(&self.handle, id).await
    }

    /// Returns the time a lease has left, wherever the leader is. `None` if there is no such lease.
    pub(super) async fn time_to_live(&self, id: LeaseId) -> Result<Option<Remaining>, LeaseError> {
        leader_queries::time_to_live(&self.handle, id).await
    }

    /// Returns the time at which a lease ends, if this member knows it.
    pub(super) fn lease_ends_at(&self, id: LeaseId) -> Option<Moment> {
        self.handle.leases().ends_at(id)
    }

    /// Adds a member; returns it, and all members.
    pub(super) async fn add_member(
        &self,
        peer_urls: &[String],
        is_learner: bool,
    ) -> Result<(Member, Vec<Member>), ProposeError> {
        reconfiguration::add(&self.handle, peer_urls, is_learner).await
    }

    /// Makes a learner a voter.
    pub(super) async fn promote_member(&self, id: MemberId) -> Changed {
        reconfiguration::promote(&self.handle, id).await
    }

    /// Removes a member.
    pub(super) async fn remove_member(&self, id: MemberId) -> Changed {
        reconfiguration::remove(&self.handle, id).await
    }

    /// Changes the URLs of a member.
    pub(super) async fn update_member(&self, id: MemberId, peer_urls: &[String]) -> Changed {
        reconfiguration::update(&self.handle, id, peer_urls).await
    }

    /// Transfers leadership to this voter.
    pub(super) async fn transfer_leadership(&self, to: MemberId) -> Result<(), ApiError> {
        self.handle.transfer_leadership(Some(to)).await
    }

    /// Reclaims the space of deleted keys.
    pub(super) async fn reclaim(&self) -> Result<(), Status> {
        self.handle.reclaim().await.map_err(status::of_fault)
    }

    /// Waits until the physical part of a compaction is done.
    pub(super) async fn wait_compaction(&self, revision: Revision) -> Result<(), Refused> {
        self.handle.wait_compaction(revision).await
    }

    /// Returns the member's current status.
    pub(super) fn status(&self) -> handle::Status {
        self.handle.status()
    }

    /// Returns the limits that a request is checked against before it is proposed.
    pub(super) fn settings(&self) -> &handle::Settings {
        self.handle.settings()
    }

    /// Returns the token that is cancelled when the server begins to stop.
    pub(super) fn stopping(&self) -> &CancellationToken {
        self.handle.stopping()
    }

    /// Returns the counters of what calls ask for.
    pub(super) fn stats(&self) -> &Stats {
        &self.entrance.stats
    }

    /// Returns the counter of messages that clients send on streams of this method.
    pub(super) fn received(&self, method: Method) -> IntCounter {
        self.entrance.calls.received(method)
    }

    /// Builds a header with this revision.
    pub(super) fn header(&self, revision: Revision) -> ResponseHeader {
        self.handle.header(revision)
    }

    /// Builds a header with the revision applied last.
    pub(super) fn header_now(&self) -> Option<ResponseHeader> {
        Some(self.header(self.reader().applied().revision))
    }

    /// Completes a header to which the state machine or a read gave its revision.
    pub(super) fn complete(&self, header: &mut Option<ResponseHeader>) {
        let revision = header.as_ref().map_or(0, |header| header.revision);
        *header = Some(self.header(Revision(revision)));
    }

    /// Makes `items` the response stream of a call.
    pub(super) fn stream<S>(
        &self,
        call: Call,
        metadata: &MetadataMap,
        items: S,
    ) -> Response<Counted<S>> {
        let ending = self.ending(validate::requires_leader(metadata));
        Response::new(Counted::new(items, call, ending))
    }

    /// Returns a future that resolves when a response stream must end early, with its status.
    fn ending(&self, requires_leader: bool) -> Ending {
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
}

/// Resolves when there has been no leader for [`LEADERLESS_ELECTIONS`].
async fn leader_lost(handle: &Handle) {
    let mut raft_statuses = handle.raft_statuses();
    loop {
        let lost = raft_statuses
            .wait_for(|raft_status| raft_status.leader == MemberId::NONE)
            .await
            .is_ok();
        let found = raft_statuses.wait_for(|raft_status| raft_status.leader != MemberId::NONE);
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
