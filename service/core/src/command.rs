//! The commands of the log by the types of their requests: what is proposed decides the type of the
//! reply.
//!
//! A request becomes a [`Body`] on its way into the log, and the state machine answers each kind of
//! body with the [`Reply`] of the same name. [`LogCommand`] says that once for each request, in the
//! table below, so that no caller takes a reply apart.

use conclave_proto::command::command::Body;
use conclave_proto::command::{Authenticate, LeaseCheckpoint, LeaseExpire, MemberAttributes};
use conclave_proto::etcdserverpb::{
    AlarmRequest, AlarmResponse, AuthDisableRequest, AuthDisableResponse, AuthEnableRequest,
    AuthEnableResponse, AuthRoleAddRequest, AuthRoleAddResponse, AuthRoleDeleteRequest,
    AuthRoleDeleteResponse, AuthRoleGrantPermissionRequest, AuthRoleGrantPermissionResponse,
    AuthRoleRevokePermissionRequest, AuthRoleRevokePermissionResponse, AuthUserAddRequest,
    AuthUserAddResponse, AuthUserChangePasswordRequest, AuthUserChangePasswordResponse,
    AuthUserDeleteRequest, AuthUserDeleteResponse, AuthUserGrantRoleRequest,
    AuthUserGrantRoleResponse, AuthUserRevokeRoleRequest, AuthUserRevokeRoleResponse,
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse,
    LeaseGrantRequest, LeaseGrantResponse, LeaseRevokeRequest, LeaseRevokeResponse, PutRequest,
    PutResponse, TxnRequest, TxnResponse,
};
use conclave_storage::machine::{Authenticated, Reply};

/// A request that becomes a command of the log.
pub trait LogCommand {
    /// The reply to this request.
    type Reply;

    /// Returns the command as it goes into the log.
    fn into_body(self) -> Body;

    /// Returns the reply to this request, or `None` if the reply belongs to another kind of
    /// command.
    ///
    /// The state machine never mixes them up. But an entry's outcome is matched to its caller by
    /// request id, and a member whose data was replaced by an older copy may have given one id to
    /// two commands.
    fn reply_from(reply: Reply) -> Option<Self::Reply>;
}

macro_rules! log_commands {
    ($($request:ty => $kind:ident $(($inside:ident))?, $reply:ty = $value:expr;)+) => {
        $(impl LogCommand for $request {
            type Reply = $reply;

            fn into_body(self) -> Body {
                Body::$kind(self)
            }

            fn reply_from(reply: Reply) -> Option<$reply> {
                match reply {
                    Reply::$kind $(($inside))? => Some($value),
                    _ => None,
                }
            }
        })+
    };
}

log_commands! {
    PutRequest => Put(reply), PutResponse = reply;
    DeleteRangeRequest => DeleteRange(reply), DeleteRangeResponse = reply;
    TxnRequest => Txn(reply), TxnResponse = reply;
    CompactionRequest => Compaction(reply), CompactionResponse = reply;
    LeaseGrantRequest => LeaseGrant(reply), LeaseGrantResponse = reply;
    LeaseRevokeRequest => LeaseRevoke(reply), LeaseRevokeResponse = reply;
    LeaseExpire => LeaseExpire, () = ();
    LeaseCheckpoint => LeaseCheckpoint(is_of_term), bool = is_of_term;
    AlarmRequest => Alarm(reply), AlarmResponse = reply;
    MemberAttributes => MemberAttributes, () = ();
    Authenticate => Authenticate(reply), Authenticated = reply;
    AuthEnableRequest => AuthEnable(reply), AuthEnableResponse = reply;
    AuthDisableRequest => AuthDisable(reply), AuthDisableResponse = reply;
    AuthUserAddRequest => UserAdd(reply), AuthUserAddResponse = reply;
    AuthUserDeleteRequest => UserDelete(reply), AuthUserDeleteResponse = reply;
    AuthUserChangePasswordRequest => UserChangePassword(reply),
        AuthUserChangePasswordResponse = reply;
    AuthUserGrantRoleRequest => UserGrantRole(reply), AuthUserGrantRoleResponse = reply;
    AuthUserRevokeRoleRequest => UserRevokeRole(reply), AuthUserRevokeRoleResponse = reply;
    AuthRoleAddRequest => RoleAdd(reply), AuthRoleAddResponse = reply;
    AuthRoleDeleteRequest => RoleDelete(reply), AuthRoleDeleteResponse = reply;
    AuthRoleGrantPermissionRequest => RoleGrantPermission(reply),
        AuthRoleGrantPermissionResponse = reply;
    AuthRoleRevokePermissionRequest => RoleRevokePermission(reply),
        AuthRoleRevokePermissionResponse = reply;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_taken_for_that_of_its_own_command_only() {
        let put = PutResponse::default();
        assert_eq!(PutRequest::reply_from(Reply::Put(put.clone())), Some(put));
        assert_eq!(PutRequest::reply_from(Reply::LeaseExpire), None);
        assert_eq!(LeaseExpire::reply_from(Reply::LeaseExpire), Some(()));
        let is_of_term = LeaseCheckpoint::reply_from(Reply::LeaseCheckpoint(false));
        assert_eq!(is_of_term, Some(false));
    }
}
