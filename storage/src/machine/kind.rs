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
}

impl CommandKind {
    /// Every kind, at the position `kind as usize`.
    pub const ALL: [CommandKind; 11] = [
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
