//! Decisions of the proposer, which the state machine may not make: ids, minimum TTLs, the cost of
//! a command for the quota, and the parts of a reply's header that differ from member to member.
//! Pure, except for the random lease id.

use std::time::Duration;

use conclave_proto::command::command::Body;
use conclave_proto::etcdserverpb::alarm_request::AlarmAction;
use conclave_proto::etcdserverpb::request_op::Request;
use conclave_proto::etcdserverpb::{
    AlarmRequest, AlarmType, PutRequest, RequestOp, ResponseHeader, TxnRequest,
};
use conclave_storage::MemberId;
use conclave_storage::machine::Reply;
use conclave_storage::reader::Reader;

use crate::admission::Priority;
use crate::limits;
use crate::seed::Seed;

/// Limits that a request is checked against before it is proposed, from the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Operations a transaction may have.
    pub max_txn_ops: usize,
    /// Encoded bytes a command may have.
    pub max_request_bytes: usize,
    /// Logical bytes the state may have; `None` for no quota.
    pub quota_bytes: Option<u64>,
    /// Longest time for a proposal or a linearizable read.
    pub request_timeout: Duration,
    /// Minimum TTL of a lease, in seconds.
    pub lease_ttl_seconds_min: i64,
    /// Checks of a membership change before it is proposed.
    pub reconfiguration: Reconfiguration,
}

/// Checks of a membership change by the member that received the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconfiguration {
    /// True to refuse a change that would endanger the quorum.
    pub strict: bool,
    /// Largest number of learners.
    pub max_learners: usize,
}

/// Returns the minimum TTL of a lease in whole seconds: one and a half election timeouts. A lease
/// must outlive an election, because without a leader no client can renew it.
pub(crate) fn lease_ttl_seconds_min(election_timeout: Duration) -> i64 {
    let millis = election_timeout.as_millis() * 3 / 2;
    i64::try_from(millis.div_ceil(1000)).unwrap_or(i64::MAX)
}

/// Fills in what the client left to the server.
pub(crate) fn prepare(mut body: Body, settings: &Settings, seed: &dyn Seed) -> Body {
    if let Body::LeaseGrant(grant) = &mut body {
        if grant.id == 0 {
            // From 1 to the largest id.
            grant.id = ((seed.next() >> 1) as i64).max(1);
        }
        grant.ttl = grant.ttl.max(settings.lease_ttl_seconds_min);
    }
    body
}

/// Returns the priority of a command.
pub(crate) fn priority(body: &Body) -> Priority {
    match body {
        Body::LeaseRevoke(_) | Body::LeaseExpire(_) => Priority::Lease,
        _ => Priority::Ordinary,
    }
}

/// Returns how much a command may add to the logical size, by etcd's rule of thumb. Zero for a
/// command that only reads or deletes: it is admitted however little space is left.
pub(crate) fn quota_cost(body: &Body) -> u64 {
    match body {
        Body::Put(put) => put_cost(put),
        Body::Txn(txn) => txn_cost(txn),
        Body::LeaseGrant(_) => limits::QUOTA_LEASE_BYTES,
        Body::DeleteRange(_)
        | Body::Compaction(_)
        | Body::LeaseRevoke(_)
        | Body::LeaseExpire(_)
        | Body::LeaseCheckpoint(_)
        | Body::Alarm(_)
        | Body::MemberAttributes(_)
        | Body::AuthEnable(_)
        | Body::AuthDisable(_)
        | Body::Authenticate(_)
        | Body::UserAdd(_)
        | Body::UserDelete(_)
        | Body::UserChangePassword(_)
        | Body::UserGrantRole(_)
        | Body::UserRevokeRole(_)
        | Body::RoleAdd(_)
        | Body::RoleDelete(_)
        | Body::RoleGrantPermission(_)
        | Body::RoleRevokePermission(_) => 0,
    }
}

fn put_cost(put: &PutRequest) -> u64 {
    limits::QUOTA_PUT_OVERHEAD_BYTES + (put.key.len() + put.value.len()) as u64
}

/// Returns the cost of the dearer branch, since the branch that is taken is not known yet.
/// Validation bounds the depth of nesting.
fn txn_cost(txn: &TxnRequest) -> u64 {
    let branch = |ops: &[RequestOp]| -> u64 {
        ops.iter()
            .map(|op| match &op.request {
                Some(Request::RequestPut(put)) => put_cost(put),
                Some(Request::RequestTxn(nested)) => txn_cost(nested),
                Some(Request::RequestRange(_) | Request::RequestDeleteRange(_)) | None => 0,
            })
            .sum()
    };
    branch(&txn.success).max(branch(&txn.failure))
}

/// Returns true if this member's NOSPACE alarm is raised.
pub(crate) fn has_no_space_alarm(reader: &Reader, member_id: MemberId) -> bool {
    reader
        .alarms()
        .iter()
        .any(|alarm| alarm.member_id == member_id.0 && alarm.alarm == AlarmType::Nospace as i32)
}

/// Builds the command that raises this member's NOSPACE alarm.
pub(crate) fn no_space_alarm(member_id: MemberId) -> Body {
    Body::Alarm(AlarmRequest {
        action: AlarmAction::Activate as i32,
        member_id: member_id.0,
        alarm: AlarmType::Nospace as i32,
    })
}

/// Calls `fill` on the reply's header. Headers inside a transaction's reply have only a revision,
/// as in etcd.
pub(crate) fn fill_header(reply: &mut Reply, fill: impl FnOnce(&mut ResponseHeader)) {
    let header = match reply {
        Reply::Put(response) => &mut response.header,
        Reply::DeleteRange(response) => &mut response.header,
        Reply::Txn(response) => &mut response.header,
        Reply::Compaction(response) => &mut response.header,
        Reply::LeaseGrant(response) => &mut response.header,
        Reply::LeaseRevoke(response) => &mut response.header,
        Reply::Alarm(response) => &mut response.header,
        Reply::AuthEnable(response) => &mut response.header,
        Reply::AuthDisable(response) => &mut response.header,
        Reply::Authenticate(response) => &mut response.header,
        Reply::UserAdd(response) => &mut response.header,
        Reply::UserDelete(response) => &mut response.header,
        Reply::UserChangePassword(response) => &mut response.header,
        Reply::UserGrantRole(response) => &mut response.header,
        Reply::UserRevokeRole(response) => &mut response.header,
        Reply::RoleAdd(response) => &mut response.header,
        Reply::RoleDelete(response) => &mut response.header,
        Reply::RoleGrantPermission(response) => &mut response.header,
        Reply::RoleRevokePermission(response) => &mut response.header,
        Reply::LeaseExpire
        | Reply::LeaseCheckpoint(_)
        | Reply::MemberAttributes
        | Reply::Members(_) => return,
    };
    fill(header.get_or_insert_default());
}
