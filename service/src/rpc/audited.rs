//! Fields of requests and replies in the audit log.
//!
//! A request is described field by field, so that no value, password, hash or token can get into a
//! line by being part of a message. A request without a description cannot be admitted
//! ([`super::authorization::Guarded`]).

use conclave_core::command::LogCommand;
use conclave_proto::authpb::permission::Type;
use conclave_proto::etcdserverpb as pb;
use conclave_proto::etcdserverpb::alarm_request::AlarmAction;
use conclave_proto::etcdserverpb::request_op::Request as Op;
use conclave_proto::etcdserverpb::response_op::Response;
use conclave_proto::v3electionpb::{
    CampaignRequest, LeaderKey, LeaderRequest, ProclaimRequest, ResignRequest,
};
use conclave_proto::v3lockpb::{LockRequest, UnlockRequest};
use conclave_storage::KeyRange;
use conclave_storage::machine::Authenticated;

use super::validate::{self, ReadOnly};
use crate::audit::{Branch, Content, Facts};
use crate::method::Method;

/// A request that the audit log can show.
pub(super) trait Audited {
    /// Adds what the request is about.
    fn describe(&self, content: &mut Content) {
        let _ = content;
    }
}

macro_rules! about_nothing {
    ($($request:ident)+) => {
        $(impl Audited for pb::$request {})+
    };
}

about_nothing! {
    MemberListRequest StatusRequest DefragmentRequest HashRequest SnapshotRequest
    AuthEnableRequest AuthDisableRequest AuthStatusRequest AuthUserListRequest AuthRoleListRequest
    LeaseLeasesRequest
}

macro_rules! described {
    ($($request:ty = |$this:ident, $content:ident| $describe:expr;)+) => {
        $(impl Audited for $request {
            fn describe(&self, $content: &mut Content) {
                let $this = self;
                $describe;
            }
        })+
    };
}

described! {
    pb::RangeRequest = |range, content| content.keys(&range.key, &range.range_end);
    pb::PutRequest = |put, content| {
        content.keys(&put.key, b"");
        content.lease(put.lease);
    };
    pb::DeleteRangeRequest = |delete, content| content.keys(&delete.key, &delete.range_end);
    pb::TxnRequest = |txn, content| {
        add_steps(txn, content);
        match validate::read_only(txn) {
            ReadOnly::No => {}
            ReadOnly::Serializable | ReadOnly::Linearizable => content.reads_only(),
        }
    };
    pb::CompactionRequest = |compact, content| content.number("revision", compact.revision);
    // A new watcher.
    KeyRange = |range, content| match range {
        KeyRange::One(key) => content.keys(key, b""),
        KeyRange::Between(key, end) => content.keys(key, end),
        KeyRange::From(key) => content.keys(key, b"\0"),
    };
    pb::LeaseGrantRequest = |grant, content| {
        content.lease(grant.id);
        content.number("ttl", grant.ttl);
    };
    pb::LeaseRevokeRequest = |revoke, content| content.lease(revoke.id);
    pb::LeaseKeepAliveRequest = |keep_alive, content| content.lease(keep_alive.id);
    pb::LeaseTimeToLiveRequest = |left, content| content.lease(left.id);
    pb::MemberAddRequest = |add, content| {
        content.urls("peer_urls", &add.peer_urls);
        content.flag("learner", add.is_learner);
    };
    pb::MemberRemoveRequest = |remove, content| content.id("member", remove.id);
    pb::MemberUpdateRequest = |update, content| {
        content.id("member", update.id);
        content.urls("peer_urls", &update.peer_urls);
    };
    pb::MemberPromoteRequest = |promote, content| content.id("member", promote.id);
    pb::MoveLeaderRequest = |to, content| content.id("member", to.target_id);
    pb::HashKvRequest = |hash, content| content.number("revision", hash.revision);
    pb::DowngradeRequest = |downgrade, content| content.text("version", &downgrade.version);
    pb::AlarmRequest = |alarm, content| describe_alarm(alarm, content);
    // By its password anybody could be this user.
    pb::AuthenticateRequest = |login, content| content.text("user", &login.name);
    pb::AuthUserAddRequest = |add, content| {
        content.text("user", &add.name);
        let no_password = add.options.is_some_and(|options| options.no_password);
        content.flag("no_password", no_password);
    };
    pb::AuthUserGetRequest = |get, content| content.text("user", &get.name);
    pb::AuthUserDeleteRequest = |delete, content| content.text("user", &delete.name);
    pb::AuthUserChangePasswordRequest = |change, content| content.text("user", &change.name);
    pb::AuthUserGrantRoleRequest = |grant, content| {
        content.text("user", &grant.user);
        content.text("role", &grant.role);
    };
    pb::AuthUserRevokeRoleRequest = |revoke, content| {
        content.text("user", &revoke.name);
        content.text("role", &revoke.role);
    };
    pb::AuthRoleAddRequest = |add, content| content.text("role", &add.name);
    pb::AuthRoleGetRequest = |get, content| content.text("role", &get.role);
    pb::AuthRoleDeleteRequest = |delete, content| content.text("role", &delete.role);
    pb::AuthRoleGrantPermissionRequest = |grant, content| {
        content.text("role", &grant.name);
        if let Some(permission) = &grant.perm {
            content.word("permission", name_of(permission.perm_type));
            content.keys(&permission.key, &permission.range_end);
        }
    };
    pb::AuthRoleRevokePermissionRequest = |revoke, content| {
        content.text("role", &revoke.role);
        content.keys(&revoke.key, &revoke.range_end);
    };
    // The name of a lock or of an election, as the beginning of its keys.
    LockRequest = |lock, content| {
        content.keys(&lock.name, b"");
        content.lease(lock.lease);
    };
    UnlockRequest = |unlock, content| content.keys(&unlock.key, b"");
    CampaignRequest = |campaign, content| {
        content.keys(&campaign.name, b"");
        content.lease(campaign.lease);
    };
    ProclaimRequest = |proclaim, content| describe_leader(proclaim.leader.as_ref(), content);
    ResignRequest = |resign, content| describe_leader(resign.leader.as_ref(), content);
    LeaderRequest = |leader, content| content.keys(&leader.name, b"");
}

/// Operations of a transaction in the order in which a line shows them. There may be more than a
/// line has place for, so what changes something comes first.
const STEPS: [&str; 4] = ["delete", "put", "range", "compare"];

fn add_steps(txn: &pb::TxnRequest, content: &mut Content) {
    for op in STEPS {
        add_steps_of(op, txn, &Branch::default(), content);
    }
}

/// Adds the steps with one operation, those of nested transactions as well.
fn add_steps_of(op: &'static str, txn: &pb::TxnRequest, outer: &Branch, content: &mut Content) {
    if op == "compare" {
        for compare in &txn.compare {
            content.step(op, outer, &compare.key, &compare.range_end, 0);
        }
    }
    for (is_success, ops) in [(true, &txn.success), (false, &txn.failure)] {
        let branch = outer.of(is_success);
        for request in ops.iter().filter_map(|op| op.request.as_ref()) {
            match request {
                Op::RequestRange(range) if op == "range" => {
                    content.step(op, &branch, &range.key, &range.range_end, 0);
                }
                Op::RequestPut(put) if op == "put" => {
                    content.step(op, &branch, &put.key, b"", put.lease);
                }
                Op::RequestDeleteRange(delete) if op == "delete" => {
                    content.step(op, &branch, &delete.key, &delete.range_end, 0);
                }
                Op::RequestTxn(nested) => add_steps_of(op, nested, &branch, content),
                Op::RequestRange(_) | Op::RequestPut(_) | Op::RequestDeleteRange(_) => {}
            }
        }
    }
}

fn describe_alarm(alarm: &pb::AlarmRequest, content: &mut Content) {
    match AlarmAction::try_from(alarm.action) {
        Ok(AlarmAction::Activate) => content.word("action", "activate"),
        Ok(AlarmAction::Deactivate) => content.word("action", "deactivate"),
        Ok(AlarmAction::Get) | Err(_) => content.reads_only(),
    }
    content.id("member", alarm.member_id);
    if let Ok(kind) = pb::AlarmType::try_from(alarm.alarm) {
        content.word("alarm", kind.as_str_name());
    }
}

fn describe_leader(leader: Option<&LeaderKey>, content: &mut Content) {
    if let Some(leader) = leader {
        content.keys(&leader.key, b"");
        content.lease(leader.lease);
    }
}

fn name_of(permission: i32) -> &'static str {
    match Type::try_from(permission) {
        Ok(Type::Read) => "read",
        Ok(Type::Write) => "write",
        Ok(Type::Readwrite) => "readwrite",
        Err(_) => "unknown",
    }
}

/// A reply of the state machine, which the audit log takes the revision from.
pub(super) trait Replied {
    /// Adds what the reply says.
    fn add_to(&self, facts: &mut Facts);
}

/// A command whose reply the audit log can show.
pub(super) trait AuditedCommand: LogCommand<Reply: Replied> {}

impl<C: LogCommand<Reply: Replied>> AuditedCommand for C {}

macro_rules! replies {
    ($($reply:ty)+) => {
        $(impl Replied for $reply {
            fn add_to(&self, facts: &mut Facts) {
                add_revision(self.header.as_ref(), facts);
            }
        })+
    };
}

replies! {
    pb::PutResponse pb::DeleteRangeResponse pb::CompactionResponse pb::LeaseRevokeResponse
    pb::AlarmResponse Authenticated
    pb::AuthEnableResponse pb::AuthDisableResponse
    pb::AuthUserAddResponse pb::AuthUserDeleteResponse pb::AuthUserChangePasswordResponse
    pb::AuthUserGrantRoleResponse pb::AuthUserRevokeRoleResponse
    pb::AuthRoleAddResponse pb::AuthRoleDeleteResponse pb::AuthRoleGrantPermissionResponse
    pb::AuthRoleRevokePermissionResponse
}

impl Replied for pb::TxnResponse {
    fn add_to(&self, facts: &mut Facts) {
        add_revision(self.header.as_ref(), facts);
        // Locks and elections are made of transactions as well.
        if facts.method == Method::Txn {
            facts.content.flag("succeeded", self.succeeded);
            let mut nested = Vec::new();
            add_nested(self, &mut nested);
            facts.content.flags("nested_succeeded", nested);
        }
    }
}

/// Adds whether the nested transactions that ran have succeeded, each before those that are in it.
fn add_nested(txn: &pb::TxnResponse, succeeded: &mut Vec<bool>) {
    for response in &txn.responses {
        if let Some(Response::ResponseTxn(nested)) = &response.response {
            succeeded.push(nested.succeeded);
            add_nested(nested, succeeded);
        }
    }
}

impl Replied for pb::LeaseGrantResponse {
    fn add_to(&self, facts: &mut Facts) {
        add_revision(self.header.as_ref(), facts);
        facts.content.lease(self.id);
    }
}

fn add_revision(header: Option<&pb::ResponseHeader>, facts: &mut Facts) {
    facts.revision = header.map_or(0, |header| header.revision);
}
