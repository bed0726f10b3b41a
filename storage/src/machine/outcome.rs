//! The results of the machine: an outcome for each command, and the effects of each commit.

use std::sync::Arc;

use bytes::Bytes;
use conclave_proto::command;
use conclave_proto::errors::ApiError;
use conclave_proto::etcdserverpb as api;

use super::kind::CommandKind;
use crate::ids::{Index, LeaseId, Revision};
use crate::mvcc::Changes;

/// Result of a command.
pub type Outcome = Result<Reply, Rejected>;

/// An applied command and its outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    /// What its proposer said of it, with the proposing member and the request's id.
    pub header: command::Header,
    /// Kind of the command.
    pub kind: CommandKind,
    /// Its outcome.
    pub outcome: Outcome,
}

/// A command that the rules refused. Final, and the same on every member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Rejected(pub ApiError);

/// Reply to a command that succeeded. Headers have the revision only; the server adds the ids and
/// the term.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each is the reply to the command of that name")]
pub enum Reply {
    Put(api::PutResponse),
    DeleteRange(api::DeleteRangeResponse),
    Txn(api::TxnResponse),
    Compaction(api::CompactionResponse),
    LeaseGrant(api::LeaseGrantResponse),
    LeaseRevoke(api::LeaseRevokeResponse),
    LeaseExpire,
    /// True if the checkpoint was of the current term; if not, it changed nothing.
    LeaseCheckpoint(bool),
    Alarm(api::AlarmResponse),
    MemberAttributes,
    /// The members after the change.
    Members(Vec<command::Member>),
    AuthEnable(api::AuthEnableResponse),
    AuthDisable(api::AuthDisableResponse),
    Authenticate(Authenticated),
    UserAdd(api::AuthUserAddResponse),
    UserDelete(api::AuthUserDeleteResponse),
    UserChangePassword(api::AuthUserChangePasswordResponse),
    UserGrantRole(api::AuthUserGrantRoleResponse),
    UserRevokeRole(api::AuthUserRevokeRoleResponse),
    RoleAdd(api::AuthRoleAddResponse),
    RoleDelete(api::AuthRoleDeleteResponse),
    RoleGrantPermission(api::AuthRoleGrantPermissionResponse),
    RoleRevokePermission(api::AuthRoleRevokePermissionResponse),
}

/// Reply to the login of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authenticated {
    /// Header of the response.
    pub header: Option<api::ResponseHeader>,
    /// The index of the login's entry, which ends the token: a member that has applied this entry
    /// knows the token.
    pub index: Index,
}

/// Effects of a commit, for the components that act on them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// The changes of keys, revision by revision.
    pub changes: Vec<Arc<Changes>>,
    /// The changes of leases, in order.
    pub leases: Vec<LeaseEffect>,
    /// The compact revision, if it moved.
    pub compacted: Option<Revision>,
    /// True if the members changed.
    pub members_changed: bool,
    /// True if the raised alarms changed.
    pub alarms_changed: bool,
    /// True if users, roles or their settings changed.
    pub auth_changed: bool,
    /// The changes of logins, in order.
    pub logins: Vec<LoginEffect>,
}

/// A change of the logins, which members keep in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginEffect {
    /// A user has logged in.
    Began {
        /// Name of the user.
        user: String,
        /// Digest of the token.
        token_digest: Bytes,
        /// The index of the entry, which ends the token.
        index: Index,
    },
    /// The tokens of a user are void: it was deleted, or its password has changed.
    Ended {
        /// Name of the user.
        user: String,
    },
    /// All tokens are void: authentication was disabled.
    AllEnded,
}

/// A change of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseEffect {
    /// The lease was granted.
    Granted {
        /// Id of the lease.
        id: LeaseId,
        /// Time to live as granted.
        ttl_seconds: i64,
        /// The index of the entry that granted it.
        granted_index: Index,
    },
    /// The lease was revoked or has expired.
    Revoked {
        /// Id of the lease.
        id: LeaseId,
    },
    /// The remaining time of the lease was recorded.
    Checkpointed {
        /// Id of the lease.
        id: LeaseId,
        /// 0 if the checkpoint was removed.
        remaining_seconds: i64,
    },
}
