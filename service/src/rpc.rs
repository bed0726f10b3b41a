//! The public API: one file per etcd service, each thin.
//!
//! A handler does four things: it has the call admitted ([`Context::admit`]: the caller and its
//! permission), checks the request (pure, no state), lets [`Access`] do the work, and completes the
//! response's header. What is the same for all calls is in the layers around the services
//! ([`stack`]). Whatever takes longer to say than that does not
//! belong in a handler: the order of things is below the core's handle, the rules of requests are
//! in [`validate`] and the state machine, the texts of errors in the table of `conclave_proto` and
//! in [`status`].
//!
//! The edge gives the stack all gRPC calls.
//!
//! # Invariants
//!
//! - Nothing is proposed, read or watched for a request that was not judged ([`admitted`],
//!   [`authorization`]).
//! - A header's cluster, member and term are this member's; its revision is the one at which the
//!   response's content was read or written, never a later guess. Three responses have no header or
//!   no revision, because etcd's have none (`Defragment`, `MoveLeader`; `MemberList`).
//! - A call that waits without bound ([`lock`], [`election`]) leaves nothing behind when its client
//!   disconnects.
//! - Every response stream ends by itself when the server stops.

use tonic::{Response, Status};

use crate::method::Method;

pub(crate) mod auth;
pub(crate) mod ballot;
pub(crate) mod cluster;
pub(crate) mod election;
pub(crate) mod health;
pub(crate) mod kv;
pub(crate) mod large;
pub(crate) mod lease;
pub(crate) mod lock;
pub(crate) mod maintenance;
pub(crate) mod reflection;
pub(crate) mod stack;
pub(crate) mod status;
pub(crate) mod stream;
pub(crate) mod validate;
pub(crate) mod watch;

pub(crate) mod authenticator;

mod admitted;
mod audited;
mod authorization;
mod credential;
mod extent;
mod range_stream;

use admitted::Access;
pub(crate) use admitted::Context;
pub(crate) use credential::Peer;

/// Extent of a read, which decides where it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// A few keys: read in the call's own task, since passing it on would cost more than the read.
    Short,
    /// Possibly many keys: read on a thread that may block, so that it does not hold up the other
    /// connections of the task's thread.
    Long,
}

/// Makes the response of a unary call.
pub(crate) fn reply<T>(result: Result<T, Status>) -> Result<Response<T>, Status> {
    result.map(Response::new)
}

/// Answers a call of a method that etcd has and this version does not.
pub(crate) fn not_yet<T>(method: Method) -> Result<Response<T>, Status> {
    Err(Status::unimplemented(format!(
        "conclave: {}/{} is not available in this version",
        method.service(),
        method.name()
    )))
}
