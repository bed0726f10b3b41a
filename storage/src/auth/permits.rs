//! What a caller may do: the one place that decides it, for the state machine and for the server.
//!
//! [`Auth::permits`] identifies the caller, and [`Permits`] judges what it asks for, by ranges of
//! keys. A transaction is judged by everything in it, whichever branch is taken, however deep.
//!
//! The keys of a lease are not in a request: [`Permits::write_all`] and [`Permits::read_all`] judge
//! keys that were looked up.

use std::collections::BTreeSet;

use bytes::Bytes;
use conclave_proto::errors::ApiError;
use conclave_proto::etcdserverpb as api;
use conclave_proto::etcdserverpb::request_op::Request;

use super::key_set::cover;
use super::role::Role;
use super::{Auth, User};
use crate::ids::LeaseId;
use crate::mvcc::range::KeyRange;

/// What a caller may do.
#[derive(Clone, Copy, Debug)]
pub struct Permits<'a>(Of<'a>);

#[derive(Clone, Copy, Debug)]
enum Of<'a> {
    /// Authentication is disabled, or the user has the role `root`.
    Everything,
    User(&'a Auth, &'a User),
}

impl Auth {
    /// What this user may do, whose request was admitted at this auth revision. An empty name
    /// stands for a caller that has not authenticated itself.
    ///
    /// # Errors
    /// `AuthOldRevision` if users or roles have changed since: the caller must be identified again.
    pub fn permits(&self, name: &str, auth_revision: u64) -> Result<Permits<'_>, ApiError> {
        // A caller without a name has no revision that could be old.
        if self.enabled && !name.is_empty() && auth_revision < self.revision {
            return Err(ApiError::AuthOldRevision);
        }
        self.permits_now(name)
    }

    /// The same for a user who was identified just now.
    pub fn permits_now(&self, name: &str) -> Result<Permits<'_>, ApiError> {
        if !self.enabled {
            return Ok(Permits(Of::Everything));
        }
        match self.user(name) {
            None if name.is_empty() => Err(ApiError::UserEmpty),
            None => Err(ApiError::PermissionDenied),
            Some(user) if user.is_root() => Ok(Permits(Of::Everything)),
            Some(user) => Ok(Permits(Of::User(self, user))),
        }
    }

    /// Checks that this user has the role `root`. The auth revision does not matter, as in etcd:
    /// the role is looked up now.
    pub fn check_administrator(&self, name: &str) -> Result<(), ApiError> {
        match self.user(name) {
            _ if !self.enabled => Ok(()),
            None if name.is_empty() => Err(ApiError::UserEmpty),
            None => Err(ApiError::UserNotFound),
            Some(user) if user.is_root() => Ok(()),
            Some(_) => Err(ApiError::PermissionDenied),
        }
    }
}

impl<'a> Permits<'a> {
    /// True if the caller may do everything.
    pub fn is_everything(self) -> bool {
        matches!(self.0, Of::Everything)
    }

    /// Permits reading every key of the range, or not.
    pub fn read(self, range: &KeyRange) -> Result<(), ApiError> {
        self.judge(range, |role| &role.readable)
    }

    /// Permits writing every key of the range, or not.
    pub fn write(self, range: &KeyRange) -> Result<(), ApiError> {
        self.judge(range, |role| &role.writable)
    }

    /// Permits reading each of these keys, or not.
    pub fn read_all(self, keys: Vec<Bytes>) -> Result<(), ApiError> {
        let mut keys = keys.into_iter().map(KeyRange::One);
        keys.try_for_each(|key| self.read(&key))
    }

    /// Permits writing each of these keys, or not.
    pub fn write_all(self, keys: Vec<Bytes>) -> Result<(), ApiError> {
        let mut keys = keys.into_iter().map(KeyRange::One);
        keys.try_for_each(|key| self.write(&key))
    }

    /// Judges a range.
    pub fn range(self, request: &api::RangeRequest) -> Result<(), ApiError> {
        self.read(&KeyRange::of(&request.key, &request.range_end))
    }

    /// Judges a put, except for the keys of its lease: see [`leases_of`].
    pub fn put(self, request: &api::PutRequest) -> Result<(), ApiError> {
        let key = KeyRange::One(request.key.clone());
        self.write(&key)?;
        if request.prev_kv {
            self.read(&key)?;
        }
        Ok(())
    }

    /// Judges a deletion.
    pub fn delete_range(self, request: &api::DeleteRangeRequest) -> Result<(), ApiError> {
        let range = KeyRange::of(&request.key, &request.range_end);
        self.write(&range)?;
        if request.prev_kv {
            self.read(&range)?;
        }
        Ok(())
    }

    /// Judges a transaction: every comparison and every operation of both branches, nested ones
    /// included. Not the keys of leases: see [`leases_of`].
    pub fn txn(self, request: &api::TxnRequest) -> Result<(), ApiError> {
        for compare in &request.compare {
            self.read(&KeyRange::of(&compare.key, &compare.range_end))?;
        }
        let ops = request.success.iter().chain(&request.failure);
        for op in ops.filter_map(|op| op.request.as_ref()) {
            match op {
                Request::RequestRange(range) => self.range(range)?,
                Request::RequestPut(put) => self.put(put)?,
                Request::RequestDeleteRange(delete) => self.delete_range(delete)?,
                Request::RequestTxn(nested) => self.txn(nested)?,
            }
        }
        Ok(())
    }

    fn judge(
        self,
        range: &KeyRange,
        keys: impl Fn(&'a Role) -> &'a super::key_set::KeySet,
    ) -> Result<(), ApiError> {
        let Of::User(auth, user) = self.0 else {
            return Ok(());
        };
        let roles = user.roles.iter().filter_map(|role| auth.roles.get(role));
        if cover(roles.map(|role| keys(role)), range) {
            Ok(())
        } else {
            Err(ApiError::PermissionDenied)
        }
    }
}

/// The leases that puts of a transaction attach keys to. A user that may not write all keys of a
/// lease may not attach another one to it: it could not revoke the lease.
pub(crate) fn leases_of(request: &api::TxnRequest) -> BTreeSet<LeaseId> {
    let mut leases = BTreeSet::new();
    let ops = request.success.iter().chain(&request.failure);
    for op in ops.filter_map(|op| op.request.as_ref()) {
        match op {
            Request::RequestPut(put) => {
                leases.insert(LeaseId(put.lease));
            }
            Request::RequestTxn(nested) => leases.extend(leases_of(nested)),
            Request::RequestRange(_) | Request::RequestDeleteRange(_) => {}
        }
    }
    leases
}
