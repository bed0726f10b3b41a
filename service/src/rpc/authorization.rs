//! What each request needs permission for.
//!
//! This is the one place that says it, and it denies by default: the table of methods
//! ([`crate::method`]) has a column for the permission, and where that depends on the request,
//! [`Guarded::judge`] decides by its keys. A request without its own rule is for administrators,
//! and a message that is not [`Guarded`] cannot be admitted. [`conclave_storage::auth`] compares
//! keys with permissions; the state machine judges commands with the same code once more.
//!
//! The keys of a lease are not in a request, and are judged where they are read: see
//! [`super::admitted`].

use conclave_proto::ApiError;
use conclave_proto::etcdserverpb as pb;
use conclave_proto::etcdserverpb::alarm_request::AlarmAction;
use conclave_proto::v3electionpb::{
    CampaignRequest, LeaderKey, LeaderRequest, ProclaimRequest, ResignRequest,
};
use conclave_proto::v3lockpb::{LockRequest, UnlockRequest};
use conclave_storage::auth::Auth;
use conclave_storage::auth::permits::Permits;
use conclave_storage::{KeyRange, LeaseId};

use super::audited::Audited;
use super::ballot;
use crate::method::Permission;

/// The one who asks, and the state of users and roles that decides.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) auth: &'a Auth,
    /// Name of the user; empty for a caller that has not authenticated itself.
    pub(super) user: &'a str,
    /// The auth revision in the user's token, if there is one in it.
    pub(super) auth_revision: Option<u64>,
}

impl<'a> Asker<'a> {
    /// Judges a request by the column of its method, and by its content if the column says so.
    pub(super) fn judge(
        self,
        permission: Permission,
        request: &dyn Guarded,
    ) -> Result<(), ApiError> {
        match permission {
            Permission::Nothing => Ok(()),
            Permission::User => self.is_user(),
            Permission::Administrator => self.is_administrator(),
            Permission::ReadKeys
            | Permission::WriteKeys
            | Permission::ReadAndWriteKeys
            | Permission::ReadKeysOfLease
            | Permission::WriteKeysOfLease
            | Permission::AdministratorOrSelf
            | Permission::UserOrAdministrator => request.judge(self),
        }
    }

    /// Returns what the user may do.
    pub(super) fn permits(self) -> Result<Permits<'a>, ApiError> {
        let now = self.auth.revision();
        self.auth
            .permits(self.user, self.auth_revision.unwrap_or(now))
    }

    fn is_user(self) -> Result<(), ApiError> {
        self.auth.permits_now(self.user).map(drop)
    }

    fn is_administrator(self) -> Result<(), ApiError> {
        self.auth.check_administrator(self.user)
    }
}

/// A request, whose content may decide what its caller needs.
pub(super) trait Guarded: Audited + Send + Sync + 'static {
    /// Judges the request.
    fn judge(&self, asker: Asker<'_>) -> Result<(), ApiError> {
        asker.is_administrator()
    }
}

macro_rules! judged_by_the_column {
    ($($request:ident)+) => {
        $(impl Guarded for pb::$request {})+
    };
}

// Should a method of one of these be given another column, only administrators may call it.
judged_by_the_column! {
    CompactionRequest LeaseGrantRequest
    MemberAddRequest MemberRemoveRequest MemberUpdateRequest MemberListRequest
    MemberPromoteRequest
    StatusRequest DefragmentRequest HashRequest HashKvRequest SnapshotRequest MoveLeaderRequest
    DowngradeRequest
    AuthEnableRequest AuthDisableRequest AuthStatusRequest AuthenticateRequest
    AuthUserAddRequest AuthUserListRequest AuthUserDeleteRequest AuthUserChangePasswordRequest
    AuthUserGrantRoleRequest AuthUserRevokeRoleRequest
    AuthRoleAddRequest AuthRoleListRequest AuthRoleDeleteRequest AuthRoleGrantPermissionRequest
    AuthRoleRevokePermissionRequest
}

impl Guarded for pb::RangeRequest {
    fn judge(&self, asker: Asker<'_>) -> Result<(), ApiError> {
        asker.permits()?.range(self)
    }
}

impl Guarded for pb::PutRequest {
    fn judge(&self, asker: Asker<'_>) -> Result<(), ApiError> {
        asker.permits()?.put(self)
    }
}

impl Guarded for pb::DeleteRangeRequest {
    fn judge(&self, asker: Asker<'_>) -> Result<(), ApiError> {
        asker.permits()?.delete_range(self)
    }
}

impl Guarded for pb::TxnRequest {
    fn judge(&self, asker: Asker<'_>) -> Result<(), ApiError> {
        asker.permits()?.txn(self)
    }
}

/// A new watcher.
impl Guarded for KeyRange {
    fn judge(&self, asker: Asker<'_>) -> Result<(), ApiError> {
        asker.permits()?.read(self)
    }
}

/// The state machine judges the keys of the lease.
impl Guarded for pb::LeaseRevokeRequest {
    fn judge(&self, asker: Asker<'_>) -> Result<(), ApiError> {
        asker.permits().map(drop)
    }
}

/// The keys of the lease are judged before it is renewed.
impl Guarded for pb::LeaseKeepAliveRequest {
    fn judge(&self, asker: Asker<'_>) -> Result<(), ApiError> {
        asker.permits().map(drop)
    }
}

/// The keys of the lease are judged if they are in the reply.
impl Guarded for pb::LeaseTimeToLiveRequest {
    fn judge(&self, asker: Asker<'_>) -> Result<(), ApiError> {
        asker.permits().map(drop)
    }
}

/// The keys of all leases are judged.
impl Guarded for pb::LeaseLeasesRequest {
    fn judge(&self, asker: Asker<'_>) -> Result<(), ApiError> {
        asker.permits().map(drop)
    }
}

/// Any user may list alarms.
impl Guarded for pb::AlarmRequest {
    fn judge(&self, asker: Asker<'_>) -> Result<(), ApiError> {
        match AlarmAction::try_from(self.action) {
            Ok(AlarmAction::Get) => asker.is_user(),
            Ok(AlarmAction::Activate | AlarmAction::Deactivate) | Err(_) => {
                asker.is_administrator()
            }
        }
    }
}

/// A user may look at itself.
impl Guarded for pb::AuthUserGetRequest {
    fn judge(&self, asker: Asker<'_>) -> Result<(), ApiError> {
        match asker.is_administrator() {
            Err(_) if !self.name.is_empty() && self.name == asker.user => asker.is_user(),
            judged => judged,
        }
    }
}

/// A user may look at its roles.
impl Guarded for pb::AuthRoleGetRequest {
    fn judge(&self, asker: Asker<'_>) -> Result<(), ApiError> {
        let user = asker.auth.user(asker.user);
        match asker.is_administrator() {
            Err(_) if user.is_some_and(|user| user.has_role(&self.role)) => Ok(()),
            judged => judged,
        }
    }
}

/// Judges the place of a contender in a queue: it looks at all places, and writes its own. The name
/// of its key is known only if it brings a lease; the state machine judges the key that is written.
fn contends(name: &bytes::Bytes, lease: LeaseId, asker: Asker<'_>) -> Result<(), ApiError> {
    let permits = asker.permits()?;
    permits.read(&KeyRange::prefix(ballot::prefix(name)))?;
    if lease != LeaseId::NONE {
        permits.write(&KeyRange::One(ballot::key(name, lease)))?;
    }
    Ok(())
}

/// Judges a change of a place by its owner: its key is compared and written.
fn owns(leader: Option<&LeaderKey>, asker: Asker<'_>) -> Result<(), ApiError> {
    let permits = asker.permits()?;
    let Some(leader) = leader else {
        return Ok(());
    };
    let key = KeyRange::One(leader.key.clone());
    permits.read(&key)?;
    permits.write(&key)
}

impl Guarded for LockRequest {
    fn judge(&self, asker: Asker<'_>) -> Result<(), ApiError> {
        contends(&self.name, LeaseId(self.lease), asker)
    }
}

impl Guarded for UnlockRequest {
    fn judge(&self, asker: Asker<'_>) -> Result<(), ApiError> {
        asker.permits()?.write(&KeyRange::One(self.key.clone()))
    }
}

impl Guarded for CampaignRequest {
    fn judge(&self, asker: Asker<'_>) -> Result<(), ApiError> {
        contends(&self.name, LeaseId(self.lease), asker)
    }
}

impl Guarded for ProclaimRequest {
    fn judge(&self, asker: Asker<'_>) -> Result<(), ApiError> {
        owns(self.leader.as_ref(), asker)
    }
}

impl Guarded for ResignRequest {
    fn judge(&self, asker: Asker<'_>) -> Result<(), ApiError> {
        owns(self.leader.as_ref(), asker)
    }
}

impl Guarded for LeaderRequest {
    fn judge(&self, asker: Asker<'_>) -> Result<(), ApiError> {
        let queue = KeyRange::prefix(ballot::prefix(&self.name));
        asker.permits()?.read(&queue)
    }
}
