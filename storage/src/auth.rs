//! Users, roles and permissions, and the rules for changing them.
//!
//! A user has roles, and a role has permissions: to read, write or both, for a key or a range of
//! keys. The role `root` permits everything. While authentication is disabled, users and roles can
//! be prepared, and every caller may do everything.
//!
//! For example, the role `app` may read and write `app/` to `app0`, and the role `all` may read
//! everything. A user with both may put `app/1` and get `z`, and may not put `z`.
//!
//! [`Auth`] is all of it, in memory and in the space `auth`. [`permits`] decides what a user may
//! do; the state machine and the server use the same code.
//!
//! Invariants:
//!
//! * The *auth revision* begins at 1 and grows by one with each change, except that enabling does
//!   not change it, as in etcd. So two states of one revision differ at most in being enabled.
//! * While authentication is enabled, there is a user `root`, and it has the role `root`.
//! * The roles of a user exist, except for `root`, which needs no record.
//! * No password is here, only its hash.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use conclave_proto::authpb;
use conclave_proto::errors::ApiError;
use conclave_proto::etcdserverpb as api;
use prost::Message;

use crate::engine::{Batch, Direction, Read};
use crate::fault::Fault;
use crate::layout::{self, AuthRow};
use crate::mvcc::record::damaged;

mod key_set;
pub mod permits;
mod role;

use role::Role;

/// Name of the user that cannot be removed while authentication is enabled, and of the role that
/// permits everything.
pub const ROOT: &str = "root";

/// Auth revision of a store whose users and roles never changed.
const FIRST_REVISION: u64 = 1;

/// The users, the roles, and whether they count.
#[derive(Clone, Debug, PartialEq)]
pub struct Auth {
    enabled: bool,
    revision: u64,
    users: BTreeMap<String, Arc<User>>,
    roles: BTreeMap<String, Arc<Role>>,
}

/// A user.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// The hash of its password, as `hashedPassword` of the API has it: base64 of bcrypt's text.
    /// `None` for a user without password. Empty if it was never given: no password matches.
    password: Option<Bytes>,
    /// Names of its roles, sorted.
    roles: Vec<String>,
}

/// A state of [`Auth`], as far as it decides what callers may do: equal marks, equal decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthMark(pub(crate) u64);

impl AuthMark {
    /// True if authentication is enabled.
    pub fn is_enabled(self) -> bool {
        self.0 & 1 == 1
    }
}

impl Default for Auth {
    fn default() -> Auth {
        Auth {
            enabled: false,
            revision: FIRST_REVISION,
            users: BTreeMap::new(),
            roles: BTreeMap::new(),
        }
    }
}

impl Auth {
    pub(crate) fn read(read: &dyn Read) -> Result<Auth, Fault> {
        let mut scan = read.scan(layout::AUTH, &[], None, Direction::Forward)?;
        let mut auth = Auth::default();
        while let Some((key, value)) = scan.next()? {
            let broken = || damaged(format!("auth: a row {key:02x?}"));
            let (row, name) = layout::split_auth_key(key).ok_or_else(broken)?;
            match row {
                AuthRow::Settings => {
                    let (enabled, revision) = value.split_first().ok_or_else(broken)?;
                    let revision = revision.try_into().map_err(|_| broken())?;
                    auth.enabled = *enabled != 0;
                    auth.revision = u64::from_be_bytes(revision);
                }
                AuthRow::User => {
                    let user = authpb::User::decode(value).map_err(|_| broken())?;
                    auth.users.insert(name.to_owned(), Arc::new(user.into()));
                }
                AuthRow::Role => {
                    let role = authpb::Role::decode(value).map_err(|_| broken())?;
                    auth.roles.insert(name.to_owned(), Arc::new(role.into()));
                }
            }
        }
        Ok(auth)
    }

    /// True if callers must authenticate themselves.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// The auth revision.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The mark of this state.
    pub fn mark(&self) -> AuthMark {
        AuthMark(self.revision << 1 | u64::from(self.enabled))
    }

    /// The user of this name.
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name).map(Arc::as_ref)
    }

    /// The names of all users, sorted.
    pub fn users(&self) -> Vec<String> {
        self.users.keys().cloned().collect()
    }

    /// The names of all roles, sorted.
    pub fn roles(&self) -> Vec<String> {
        self.roles.keys().cloned().collect()
    }

    /// The permissions of a role, sorted by key. The role `root` has one that stands for all, as
    /// etcd shows it.
    pub fn permissions(&self, role: &str) -> Result<Vec<authpb::Permission>, ApiError> {
        let found = self.roles.get(role).ok_or(ApiError::RoleNotFound)?;
        if role == ROOT {
            return Ok(vec![authpb::Permission {
                perm_type: authpb::permission::Type::Readwrite as i32,
                key: Bytes::new(),
                range_end: Bytes::from_static(b"\0"),
            }]);
        }
        Ok(found.permissions().to_vec())
    }

    /// Enables authentication, unless it is enabled already.
    pub(crate) fn enable(&mut self, batch: &mut Batch) -> Result<(), ApiError> {
        if self.enabled {
            return Ok(());
        }
        let root = self.user(ROOT).ok_or(ApiError::RootUserNotExist)?;
        if !root.is_root() {
            return Err(ApiError::RootRoleNotExist);
        }
        self.enabled = true;
        self.put_settings(batch);
        Ok(())
    }

    /// Disables authentication, unless it is disabled already. Never refused.
    pub(crate) fn disable(&mut self, batch: &mut Batch) -> Result<(), ApiError> {
        if std::mem::replace(&mut self.enabled, false) {
            self.changed(batch);
        }
        Ok(())
    }

    pub(crate) fn user_add(
        &mut self,
        request: &api::AuthUserAddRequest,
        batch: &mut Batch,
    ) -> Result<(), ApiError> {
        let name = &request.name;
        if name.is_empty() {
            return Err(ApiError::UserEmpty);
        }
        if self.users.contains_key(name) {
            return Err(ApiError::UserAlreadyExist);
        }
        let no_password = request.options.is_some_and(|options| options.no_password);
        let password = (!no_password).then(|| request.hashed_password.clone().into());
        let roles = Vec::new();
        self.put_user(name, User { password, roles }, batch);
        self.changed(batch);
        Ok(())
    }

    pub(crate) fn user_delete(&mut self, name: &str, batch: &mut Batch) -> Result<(), ApiError> {
        if self.enabled && name == ROOT {
            return Err(ApiError::InvalidAuthMgmt);
        }
        self.users.remove(name).ok_or(ApiError::UserNotFound)?;
        batch.delete(layout::AUTH, layout::auth_key(AuthRow::User, name));
        self.changed(batch);
        Ok(())
    }

    /// Changes a password. A user without password stays without one.
    pub(crate) fn user_change_password(
        &mut self,
        request: &api::AuthUserChangePasswordRequest,
        batch: &mut Batch,
    ) -> Result<(), ApiError> {
        let mut user = self.existing_user(&request.name)?;
        if let Some(password) = &mut user.password {
            *password = request.hashed_password.clone().into();
        }
        self.put_user(&request.name, user, batch);
        self.changed(batch);
        Ok(())
    }

    /// Grants a role, unless the user has it already. The role `root` need not exist.
    pub(crate) fn user_grant_role(
        &mut self,
        request: &api::AuthUserGrantRoleRequest,
        batch: &mut Batch,
    ) -> Result<(), ApiError> {
        let api::AuthUserGrantRoleRequest { user: name, role } = request;
        let mut user = self.existing_user(name)?;
        if role != ROOT && !self.roles.contains_key(role) {
            return Err(ApiError::RoleNotFound);
        }
        let Err(position) = user.roles.binary_search(role) else {
            return Ok(());
        };
        user.roles.insert(position, role.clone());
        self.put_user(name, user, batch);
        self.changed(batch);
        Ok(())
    }

    pub(crate) fn user_revoke_role(
        &mut self,
        request: &api::AuthUserRevokeRoleRequest,
        batch: &mut Batch,
    ) -> Result<(), ApiError> {
        let api::AuthUserRevokeRoleRequest { name, role } = request;
        if self.enabled && name == ROOT && role == ROOT {
            return Err(ApiError::InvalidAuthMgmt);
        }
        let mut user = self.existing_user(name)?;
        let found = user.roles.binary_search(role);
        let position = found.map_err(|_| ApiError::RoleNotGranted)?;
        user.roles.remove(position);
        self.put_user(name, user, batch);
        self.changed(batch);
        Ok(())
    }

    pub(crate) fn role_add(&mut self, name: &str, batch: &mut Batch) -> Result<(), ApiError> {
        if name.is_empty() {
            return Err(ApiError::RoleEmpty);
        }
        if self.roles.contains_key(name) {
            return Err(ApiError::RoleAlreadyExist);
        }
        self.put_role(name, Role::default(), batch);
        self.changed(batch);
        Ok(())
    }

    /// Deletes a role, and revokes it from all users.
    pub(crate) fn role_delete(&mut self, name: &str, batch: &mut Batch) -> Result<(), ApiError> {
        if self.enabled && name == ROOT {
            return Err(ApiError::InvalidAuthMgmt);
        }
        self.roles.remove(name).ok_or(ApiError::RoleNotFound)?;
        batch.delete(layout::AUTH, layout::auth_key(AuthRow::Role, name));
        let has_role = |(_, user): &(&String, &Arc<User>)| user.has_role(name);
        let holders = self.users.iter().filter(has_role);
        let holders: Vec<String> = holders.map(|(name, _)| name.clone()).collect();
        for holder in holders {
            let mut user = self.existing_user(&holder)?;
            user.roles.retain(|role| role != name);
            self.put_user(&holder, user, batch);
        }
        self.changed(batch);
        Ok(())
    }

    /// Grants a permission, or changes the one that the role has for the same range.
    pub(crate) fn role_grant_permission(
        &mut self,
        request: &api::AuthRoleGrantPermissionRequest,
        batch: &mut Batch,
    ) -> Result<(), ApiError> {
        let permission = request.perm.as_ref();
        let permission = permission.ok_or(ApiError::PermissionNotGiven)?;
        role::check(permission)?;
        let mut role = self.existing_role(&request.name)?;
        role.grant(permission.clone());
        self.put_role(&request.name, role, batch);
        self.changed(batch);
        Ok(())
    }

    pub(crate) fn role_revoke_permission(
        &mut self,
        request: &api::AuthRoleRevokePermissionRequest,
        batch: &mut Batch,
    ) -> Result<(), ApiError> {
        let mut role = self.existing_role(&request.role)?;
        if !role.revoke(&request.key, &request.range_end) {
            return Err(ApiError::PermissionNotGranted);
        }
        self.put_role(&request.role, role, batch);
        self.changed(batch);
        Ok(())
    }

    /// Checks that a user may log in whose password was checked at this auth revision.
    pub(crate) fn check_login(&self, name: &str, auth_revision: u64) -> Result<(), ApiError> {
        if !self.enabled {
            return Err(ApiError::AuthNotEnabled);
        }
        let user = self.user(name).ok_or(ApiError::AuthFailed)?;
        if user.password.is_none() {
            return Err(ApiError::AuthFailed);
        }
        if auth_revision != self.revision {
            return Err(ApiError::AuthOldRevision);
        }
        Ok(())
    }

    fn existing_user(&self, name: &str) -> Result<User, ApiError> {
        self.user(name).cloned().ok_or(ApiError::UserNotFound)
    }

    fn existing_role(&self, name: &str) -> Result<Role, ApiError> {
        let role = self.roles.get(name).ok_or(ApiError::RoleNotFound)?;
        Ok(Role::clone(role))
    }

    fn put_user(&mut self, name: &str, user: User, batch: &mut Batch) {
        let row = layout::auth_key(AuthRow::User, name);
        batch.put(layout::AUTH, row, user.record(name).encode_to_vec());
        self.users.insert(name.to_owned(), Arc::new(user));
    }

    fn put_role(&mut self, name: &str, role: Role, batch: &mut Batch) {
        let row = layout::auth_key(AuthRow::Role, name);
        batch.put(layout::AUTH, row, role.record(name).encode_to_vec());
        self.roles.insert(name.to_owned(), Arc::new(role));
    }

    /// Moves the auth revision, which every change but enabling does.
    fn changed(&mut self, batch: &mut Batch) {
        self.revision += 1;
        self.put_settings(batch);
    }

    fn put_settings(&self, batch: &mut Batch) {
        let mut record = vec![u8::from(self.enabled)];
        record.extend_from_slice(&self.revision.to_be_bytes());
        batch.put(
            layout::AUTH,
            layout::auth_key(AuthRow::Settings, ""),
            record,
        );
    }
}

impl User {
    /// The hash of the password, as base64; `None` for a user without password.
    pub fn password(&self) -> Option<&Bytes> {
        self.password.as_ref()
    }

    /// The names of the user's roles, sorted.
    pub fn roles(&self) -> &[String] {
        &self.roles
    }

    /// True if the user has this role.
    pub fn has_role(&self, role: &str) -> bool {
        let found = self
            .roles
            .binary_search_by(|other| other.as_str().cmp(role));
        found.is_ok()
    }

    fn is_root(&self) -> bool {
        self.has_role(ROOT)
    }

    fn record(&self, name: &str) -> authpb::User {
        authpb::User {
            name: Bytes::copy_from_slice(name.as_bytes()),
            password: self.password.clone().unwrap_or_default(),
            roles: self.roles.clone(),
            options: Some(authpb::UserAddOptions {
                no_password: self.password.is_none(),
            }),
        }
    }
}

impl From<authpb::User> for User {
    fn from(record: authpb::User) -> User {
        let no_password = record.options.is_some_and(|options| options.no_password);
        User {
            password: (!no_password).then_some(record.password),
            roles: record.roles,
        }
    }
}
