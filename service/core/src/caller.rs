//! The one in whose name a command is proposed.

use std::sync::Arc;

use conclave_proto::command::Header;

/// The one in whose name a command is proposed: the state machine may judge a command by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// This member itself: the expiry of leases, automatic compaction, its own attributes.
    Member,
    /// A client, without authentication.
    Anonymous,
    /// A client that has authenticated itself.
    User(Arc<User>),
}

/// A user, and the state of the permissions under which its request was admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Name of the user.
    pub name: String,
    /// Auth revision under which the request was admitted. A permission may be gone since.
    pub auth_revision: u64,
}

impl Caller {
    /// Writes the caller into the header of its command.
    pub(crate) fn sign(&self, header: &mut Header) {
        match self {
            Caller::Member => header.by_member = true,
            Caller::Anonymous => {}
            Caller::User(user) => {
                header.user.clone_from(&user.name);
                header.auth_revision = user.auth_revision;
            }
        }
    }
}
