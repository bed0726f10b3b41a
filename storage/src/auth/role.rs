//! A role: its permissions, and the keys that they cover.

use bytes::Bytes;
use conclave_proto::authpb;
use conclave_proto::authpb::permission::Type;
use conclave_proto::errors::ApiError;

use super::key_set::KeySet;
use crate::mvcc::range::KeyRange;

/// A role. The permissions are as they were granted; the sets of keys are made of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Role {
    /// Sorted by key; those of one key in the order in which they were granted.
    permissions: Vec<authpb::Permission>,
    pub(super) readable: KeySet,
    pub(super) writable: KeySet,
}

/// Checks a permission: it has a type, a key, and a range that can hold a key.
pub(super) fn check(permission: &authpb::Permission) -> Result<(), ApiError> {
    let range = KeyRange::of(&permission.key, &permission.range_end);
    let is_valid = Type::try_from(permission.perm_type).is_ok()
        && !permission.key.is_empty()
        && !range.is_empty();
    if is_valid {
        Ok(())
    } else {
        Err(ApiError::InvalidAuthMgmt)
    }
}

impl Role {
    pub(super) fn permissions(&self) -> &[authpb::Permission] {
        &self.permissions
    }

    /// Adds a permission. It replaces the one for the same range. (etcd compares it with the first
    /// permission of its key only, so a permission may stay there beside the one that should have
    /// replaced it.)
    pub(super) fn grant(&mut self, permission: authpb::Permission) {
        let mut same = self
            .permissions
            .iter_mut()
            .filter(|other| other.key == permission.key && other.range_end == permission.range_end);
        match same.next() {
            Some(other) => other.perm_type = permission.perm_type,
            None => {
                let after = |other: &authpb::Permission| other.key <= permission.key;
                let position = self.permissions.partition_point(after);
                self.permissions.insert(position, permission);
            }
        }
        self.collect();
    }

    /// Removes the permission for this range. Returns false if there is none.
    pub(super) fn revoke(&mut self, key: &Bytes, range_end: &Bytes) -> bool {
        let before = self.permissions.len();
        self.permissions
            .retain(|other| other.key != *key || other.range_end != *range_end);
        self.collect();
        self.permissions.len() < before
    }

    pub(super) fn record(&self, name: &str) -> authpb::Role {
        authpb::Role {
            name: Bytes::copy_from_slice(name.as_bytes()),
            key_permission: self.permissions.clone(),
        }
    }

    fn collect(&mut self) {
        (self.readable, self.writable) = (KeySet::default(), KeySet::default());
        for permission in &self.permissions {
            let range = KeyRange::of(&permission.key, &permission.range_end);
            match permission.perm_type() {
                Type::Read => self.readable.insert(&range),
                Type::Write => self.writable.insert(&range),
                Type::Readwrite => {
                    self.readable.insert(&range);
                    self.writable.insert(&range);
                }
            }
        }
    }
}

impl From<authpb::Role> for Role {
    fn from(record: authpb::Role) -> Role {
        let mut role = Role {
            permissions: record.key_permission,
            ..Role::default()
        };
        role.collect();
        role
    }
}
