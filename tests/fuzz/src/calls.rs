//! Calls of a member with raw bytes: any path, any messages.

use std::time::Duration;

use bytes::Bytes;
use harness::raw::Unchanged;
use http::uri::PathAndQuery;
use tokio_stream::StreamExt as _;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};

/// Timeout of a call that may stay unanswered. Its effect on the member is immediate.
const PATIENCE: Duration = Duration::from_millis(20);

/// Limit of responses read per call.
const RESPONSES_MAX: usize = 64;

/// Methods by number. Seeds contain the numbers, so new methods are appended.
pub const METHODS: &[Method] = &[
    method("/etcdserverpb.KV/Range"),
    method("/etcdserverpb.KV/Put"),
    method("/etcdserverpb.KV/DeleteRange"),
    method("/etcdserverpb.KV/Txn"),
    method("/etcdserverpb.KV/Compact"),
    method("/etcdserverpb.KV/RangeStream"),
    waiting("/etcdserverpb.Watch/Watch"),
    method("/etcdserverpb.Lease/LeaseGrant"),
    method("/etcdserverpb.Lease/LeaseRevoke"),
    waiting("/etcdserverpb.Lease/LeaseKeepAlive"),
    method("/etcdserverpb.Lease/LeaseTimeToLive"),
    method("/etcdserverpb.Lease/LeaseLeases"),
    method("/etcdserverpb.Cluster/MemberAdd"),
    method("/etcdserverpb.Cluster/MemberRemove"),
    method("/etcdserverpb.Cluster/MemberUpdate"),
    method("/etcdserverpb.Cluster/MemberList"),
    method("/etcdserverpb.Cluster/MemberPromote"),
    method("/etcdserverpb.Maintenance/Alarm"),
    method("/etcdserverpb.Maintenance/Status"),
    method("/etcdserverpb.Maintenance/Defragment"),
    method("/etcdserverpb.Maintenance/Hash"),
    method("/etcdserverpb.Maintenance/HashKV"),
    method("/etcdserverpb.Maintenance/Snapshot"),
    method("/etcdserverpb.Maintenance/MoveLeader"),
    method("/etcdserverpb.Maintenance/Downgrade"),
    method("/etcdserverpb.Auth/AuthEnable"),
    method("/etcdserverpb.Auth/AuthDisable"),
    method("/etcdserverpb.Auth/AuthStatus"),
    method("/etcdserverpb.Auth/Authenticate"),
    method("/etcdserverpb.Auth/UserAdd"),
    method("/etcdserverpb.Auth/UserGet"),
    method("/etcdserverpb.Auth/UserList"),
    method("/etcdserverpb.Auth/UserDelete"),
    method("/etcdserverpb.Auth/UserChangePassword"),
    method("/etcdserverpb.Auth/UserGrantRole"),
    method("/etcdserverpb.Auth/UserRevokeRole"),
    method("/etcdserverpb.Auth/RoleAdd"),
    method("/etcdserverpb.Auth/RoleGet"),
    method("/etcdserverpb.Auth/RoleList"),
    method("/etcdserverpb.Auth/RoleDelete"),
    method("/etcdserverpb.Auth/RoleGrantPermission"),
    method("/etcdserverpb.Auth/RoleRevokePermission"),
    waiting("/v3lockpb.Lock/Lock"),
    method("/v3lockpb.Lock/Unlock"),
    waiting("/v3electionpb.Election/Campaign"),
    method("/v3electionpb.Election/Proclaim"),
    method("/v3electionpb.Election/Leader"),
    waiting("/v3electionpb.Election/Observe"),
    method("/v3electionpb.Election/Resign"),
    method("/grpc.health.v1.Health/Check"),
    waiting("/grpc.health.v1.Health/Watch"),
    waiting("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"),
    waiting("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"),
];

/// The methods of `conclave.peer.Peer`, by number.
pub const PEER_METHODS: &[Method] = &[
    waiting("/conclave.peer.Peer/Stream"),
    method("/conclave.peer.Peer/Snapshot"),
    method("/conclave.peer.Peer/Ask"),
    method("/conclave.peer.Peer/Introduce"),
];

/// A method, as a client calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// Its path.
    pub path: &'static str,
    /// True if a call may stay without an answer, or without an end.
    pub waits: bool,
}

const fn method(path: &'static str) -> Method {
    Method { path, waits: false }
}

const fn waiting(path: &'static str) -> Method {
    Method { path, waits: true }
}

/// A connection that is established when first used.
pub fn connect(address: &str) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}"));
    let endpoint = endpoint.expect("an address makes a URL");
    endpoint.tcp_nodelay(true).connect_lazy()
}

/// Calls a method with these messages and returns the status code; `None` if a call that may stay
/// unanswered does. Panics if any other call stays unanswered.
pub async fn call(channel: &Channel, method: Method, messages: Vec<Bytes>) -> Option<Code> {
    let called = ended(channel.clone(), method.path, messages);
    if method.waits {
        return tokio::time::timeout(PATIENCE, called).await.ok();
    }
    Some(harness::within(method.path, called).await)
}

async fn ended(channel: Channel, path: &'static str, messages: Vec<Bytes>) -> Code {
    let mut grpc = Grpc::new(channel).max_decoding_message_size(usize::MAX);
    if grpc.ready().await.is_err() {
        return Code::Unavailable;
    }
    let request = Request::new(tokio_stream::iter(messages));
    let path = PathAndQuery::from_static(path);
    let responses = match grpc.streaming(request, path, Unchanged).await {
        Ok(responses) => responses,
        Err(status) => return status.code(),
    };
    let mut responses = responses.into_inner().take(RESPONSES_MAX);
    while let Some(response) = responses.next().await {
        if let Err(status) = response {
            return status.code();
        }
    }
    Code::Ok
}
