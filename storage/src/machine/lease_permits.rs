//! Users who may write all keys of a lease.
//!
//! A command that uses a lease is permitted if its user may write all keys of the lease. With many
//! keys that takes long, and the next command of the same user gives the same result: what it has
//! attached in between, it may write. So a result is kept until users or roles change, or until
//! somebody attaches what the user may not write.
//!
//! A result only spares work. Members that have kept different ones, as after a restart, come to
//! the same decisions.

use std::collections::{BTreeMap, BTreeSet};

use crate::auth::Auth;
use crate::auth::permits::Permits;
use crate::ids::LeaseId;

/// Leases that results are kept for. Beyond it all are dropped, and found again as needed.
const LEASES_MAX: usize = 1 << 14;

/// The results that are kept.
#[derive(Debug, Default)]
pub(super) struct LeasePermits {
    /// The auth revision that they are of.
    auth_revision: u64,
    users: BTreeMap<LeaseId, BTreeSet<String>>,
}

impl LeasePermits {
    /// Returns true if this user may write all keys of the lease.
    pub(super) fn is_known(&self, auth_revision: u64, id: LeaseId, user: &str) -> bool {
        let users = self.users.get(&id);
        self.auth_revision == auth_revision && users.is_some_and(|users| users.contains(user))
    }

    /// Keeps that this user may write all keys of the lease.
    pub(super) fn found(&mut self, auth_revision: u64, id: LeaseId, user: &str) {
        if self.auth_revision != auth_revision || self.users.len() >= LEASES_MAX {
            self.users.clear();
            self.auth_revision = auth_revision;
        }
        self.users.entry(id).or_default().insert(user.to_owned());
    }

    /// A user attaches keys to the lease. Drops the results of the users who may not write them.
    pub(super) fn attached(
        &mut self,
        auth: &Auth,
        id: LeaseId,
        by: &str,
        may_write: impl Fn(Permits<'_>) -> bool,
    ) {
        let Some(users) = self.users.get_mut(&id) else {
            return;
        };
        users.retain(|user| user == by || auth.permits_now(user).is_ok_and(&may_write));
        if users.is_empty() {
            self.users.remove(&id);
        }
    }
}
