//! What comes out of the machine: an outcome for each command, and the effects of a commit.

use std::sync::Arc;

use conclave_proto::command;
use conclave_proto::errors::ApiError;
use conclave_proto::etcdserverpb as api;

use super::kind::CommandKind;
use crate::ids::{LeaseId, Revision};
use crate::mvcc::Changes;

/// What became of a command.
pub type Outcome = Result<Reply, Rejected>;

/// A command that was applied, and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    /// The member that proposed it.
    pub member_id: u64,
    /// Its name among those of that member.
    pub request_id: u64,
    /// What it does.
    pub kind: CommandKind,
    /// What became of it.
    pub outcome: Outcome,
}

/// A command the rules refused. Final, and the same on every member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Rejected(pub ApiError);

/// What a command that was carried out answers. Headers have the revision only; who, where and
/// under which term is for the server to add.
#[derive(Clone, Debug, PartialEq)]
#[allow(
    missing_docs,
    reason = "each is the answer to the command of that name"
)]
pub enum Reply {
    Put(api::PutResponse),
    DeleteRange(api::DeleteRangeResponse),
    Txn(api::TxnResponse),
    Compaction(api::CompactionResponse),
    LeaseGrant(api::LeaseGrantResponse),
    LeaseRevoke(api::LeaseRevokeResponse),
    LeaseExpire,
    /// Whether the term was right; if not, nothing was noted.
    LeaseCheckpoint(bool),
    Alarm(api::AlarmResponse),
    MemberAttributes,
    /// The members after the change.
    Members(Vec<command::Member>),
}

/// What a commit made true, for whoever has to act on it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// The changes of keys, revision by revision.
    pub changes: Vec<Arc<Changes>>,
    /// What happened to leases, in order.
    pub leases: Vec<LeaseEffect>,
    /// The compact revision, if it moved.
    pub compacted: Option<Revision>,
    /// Whether the member list changed.
    pub members_changed: bool,
    /// Whether the raised alarms changed.
    pub alarms_changed: bool,
}

/// A lease began or ended, or its time was noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseEffect {
    /// It began.
    Granted {
        /// The lease.
        id: LeaseId,
        /// As granted.
        ttl_seconds: i64,
        /// The index of the entry that granted it.
        granted_index: u64,
    },
    /// It was revoked or has expired.
    Revoked {
        /// The lease.
        id: LeaseId,
    },
    /// How long it has left was noted.
    Checkpointed {
        /// The lease.
        id: LeaseId,
        /// 0 if there is no checkpoint any more.
        remaining_seconds: i64,
    },
}
