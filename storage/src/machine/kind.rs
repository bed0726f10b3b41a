//! Kinds of commands, for counting and timing them.

use conclave_proto::command::command::Body;

/// The kinds of commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the kind of the commands of that name")]
pub enum CommandKind {
    Put,
    DeleteRange,
    Txn,
    Compaction,
    LeaseGrant,
    LeaseRevoke,
    LeaseExpire,
    LeaseCheckpoint,
    Alarm,
    MemberAttributes,
    MemberChange,
    AuthEnable,
    AuthDisable,
    Authenticate,
    UserAdd,
    UserDelete,
    UserChangePassword,
    UserGrantRole,
    UserRevokeRole,
    RoleAdd,
    RoleDelete,
    RoleGrantPermission,
    RoleRevokePermission,
}

impl CommandKind {
    /// Every kind, at the position `kind as usize`.
    pub const ALL: [CommandKind; 23] = [
        CommandKind::Put,
        CommandKind::DeleteRange,
        CommandKind::Txn,
        CommandKind::Compaction,
        CommandKind::LeaseGrant,
        CommandKind::LeaseRevoke,
        CommandKind::LeaseExpire,
        CommandKind::LeaseCheckpoint,
        CommandKind::Alarm,
        CommandKind::MemberAttributes,
        CommandKind::MemberChange,
        CommandKind::AuthEnable,
        CommandKind::AuthDisable,
        CommandKind::Authenticate,
        CommandKind::UserAdd,
        CommandKind::UserDelete,
        CommandKind::UserChangePassword,
        CommandKind::UserGrantRole,
        CommandKind::UserRevokeRole,
        CommandKind::RoleAdd,
        CommandKind::RoleDelete,
        CommandKind::RoleGrantPermission,
        CommandKind::RoleRevokePermission,
    ];

    /// The kind of a command.
    pub fn of(body: &Body) -> CommandKind {
        match body {
            Body::Put(_) => CommandKind::Put,
            Body::DeleteRange(_) => CommandKind::DeleteRange,
            Body::Txn(_) => CommandKind::Txn,
            Body::Compaction(_) => CommandKind::Compaction,
            Body::LeaseGrant(_) => CommandKind::LeaseGrant,
            Body::LeaseRevoke(_) => CommandKind::LeaseRevoke,
            Body::LeaseExpire(_) => CommandKind::LeaseExpire,
            Body::LeaseCheckpoint(_) => CommandKind::LeaseCheckpoint,
            Body::Alarm(_) => CommandKind::Alarm,
            Body::MemberAttributes(_) => CommandKind::MemberAttributes,
            Body::AuthEnable(_) => CommandKind::AuthEnable,
            Body::AuthDisable(_) => CommandKind::AuthDisable,
            Body::Authenticate(_) => CommandKind::Authenticate,
            Body::UserAdd(_) => CommandKind::UserAdd,
            Body::UserDelete(_) => CommandKind::UserDelete,
            Body::UserChangePassword(_) => CommandKind::UserChangePassword,
            Body::UserGrantRole(_) => CommandKind::UserGrantRole,
            Body::UserRevokeRole(_) => CommandKind::UserRevokeRole,
            Body::RoleAdd(_) => CommandKind::RoleAdd,
            Body::RoleDelete(_) => CommandKind::RoleDelete,
            Body::RoleGrantPermission(_) => CommandKind::RoleGrantPermission,
            Body::RoleRevokePermission(_) => CommandKind::RoleRevokePermission,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kinds_position_is_its_number() {
        for (position, kind) in CommandKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, position);
        }
    }
}
