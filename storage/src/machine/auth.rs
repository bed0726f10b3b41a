//! Permissions of commands, and the commands that change users, roles and permissions.
//!
//! A command was judged when it was proposed, and is judged again here, in the order of the log and
//! so by the same permissions on every member: a role that was revoked in between refuses it. The
//! rules are in [`crate::auth`].

use std::sync::Arc;

use conclave_proto::command::{Authenticate, Header, command::Body};
use conclave_proto::errors::ApiError;
use conclave_proto::etcdserverpb as api;

use super::{Authenticated, LoginEffect, Machine, Reply};
use crate::auth::Auth;
use crate::auth::permits::{Permits, leases_of};
use crate::engine::{Batch, Read};
use crate::ids::LeaseId;
use crate::reader::ReadError;

impl Machine {
    /// Judges a command by the user in whose name it was proposed. A member's own commands need no
    /// permission.
    pub(super) fn permit(
        &mut self,
        read: &dyn Read,
        header: &Header,
        body: &Body,
    ) -> Result<(), ReadError> {
        if !self.auth.is_enabled() || header.by_member || cfg!(conclave_bug = "judge_once") {
            return Ok(());
        }
        let user = &header.user;
        let auth = Arc::clone(&self.auth);
        let permits = || auth.permits(user, header.auth_revision);
        match body {
            Body::Put(request) => {
                let permits = permits()?;
                permits.put(request)?;
                let lease = LeaseId(request.lease);
                self.permit_lease(read, (user, permits), lease)?;
                self.lease_permits
                    .attached(&auth, lease, user, |other| other.put(request).is_ok());
                Ok(())
            }
            Body::DeleteRange(request) => Ok(permits()?.delete_range(request)?),
            Body::Txn(request) => {
                let permits = permits()?;
                permits.txn(request)?;
                for lease in leases_of(request) {
                    self.permit_lease(read, (user, permits), lease)?;
                    self.lease_permits
                        .attached(&auth, lease, user, |other| other.txn(request).is_ok());
                }
                Ok(())
            }
            Body::LeaseGrant(_) => Ok(permits().map(drop)?),
            Body::LeaseRevoke(request) => {
                self.permit_lease(read, (user, permits()?), LeaseId(request.id))
            }
            // Proposed by members only.
            Body::LeaseExpire(_) | Body::LeaseCheckpoint(_) | Body::MemberAttributes(_) => Ok(()),
            // The proposer has checked the password.
            Body::Authenticate(_) => Ok(()),
            Body::Compaction(_)
            | Body::Alarm(_)
            | Body::AuthEnable(_)
            | Body::AuthDisable(_)
            | Body::UserAdd(_)
            | Body::UserDelete(_)
            | Body::UserChangePassword(_)
            | Body::UserGrantRole(_)
            | Body::UserRevokeRole(_)
            | Body::RoleAdd(_)
            | Body::RoleDelete(_)
            | Body::RoleGrantPermission(_)
            | Body::RoleRevokePermission(_) => Ok(auth.check_administrator(user)?),
        }
    }

    /// Judges the use of a lease: its keys must all be writable.
    fn permit_lease(
        &mut self,
        read: &dyn Read,
        (user, permits): (&str, Permits<'_>),
        id: LeaseId,
    ) -> Result<(), ReadError> {
        let is_known = || self.lease_permits.is_known(self.auth.revision(), id, user);
        if id == LeaseId::NONE || permits.is_everything() || is_known() {
            return Ok(());
        }
        permits.write_all(self.pending.lease_keys(read, id)?)?;
        self.lease_permits.found(self.auth.revision(), id, user);
        Ok(())
    }

    /// Executes a command about users and roles.
    pub(super) fn change_auth(&mut self, body: Body) -> Result<Reply, ApiError> {
        match body {
            Body::AuthEnable(_) => {
                let header = self.change(|auth, batch| auth.enable(batch))?;
                Ok(Reply::AuthEnable(api::AuthEnableResponse { header }))
            }
            Body::AuthDisable(_) => {
                if self.auth.is_enabled() {
                    self.effects.logins.push(LoginEffect::AllEnded);
                }
                let header = self.change(|auth, batch| auth.disable(batch))?;
                Ok(Reply::AuthDisable(api::AuthDisableResponse { header }))
            }
            Body::Authenticate(request) => self.authenticate(request).map(Reply::Authenticate),
            Body::UserAdd(request) => {
                let header = self.change(|auth, batch| auth.user_add(&request, batch))?;
                Ok(Reply::UserAdd(api::AuthUserAddResponse { header }))
            }
            Body::UserDelete(api::AuthUserDeleteRequest { name: user }) => {
                let header = self.change(|auth, batch| auth.user_delete(&user, batch))?;
                self.effects.logins.push(LoginEffect::Ended { user });
                Ok(Reply::UserDelete(api::AuthUserDeleteResponse { header }))
            }
            Body::UserChangePassword(request) => {
                let header =
                    self.change(|auth, batch| auth.user_change_password(&request, batch))?;
                let user = request.name;
                self.effects.logins.push(LoginEffect::Ended { user });
                let response = api::AuthUserChangePasswordResponse { header };
                Ok(Reply::UserChangePassword(response))
            }
            body => self.change_roles(body),
        }
    }

    /// Executes a command about roles.
    fn change_roles(&mut self, body: Body) -> Result<Reply, ApiError> {
        match body {
            Body::UserGrantRole(request) => {
                let header = self.change(|auth, batch| auth.user_grant_role(&request, batch))?;
                let response = api::AuthUserGrantRoleResponse { header };
                Ok(Reply::UserGrantRole(response))
            }
            Body::UserRevokeRole(request) => {
                let header = self.change(|auth, batch| auth.user_revoke_role(&request, batch))?;
                let response = api::AuthUserRevokeRoleResponse { header };
                Ok(Reply::UserRevokeRole(response))
            }
            Body::RoleAdd(request) => {
                let header = self.change(|auth, batch| auth.role_add(&request.name, batch))?;
                Ok(Reply::RoleAdd(api::AuthRoleAddResponse { header }))
            }
            Body::RoleDelete(request) => {
                let header = self.change(|auth, batch| auth.role_delete(&request.role, batch))?;
                Ok(Reply::RoleDelete(api::AuthRoleDeleteResponse { header }))
            }
            Body::RoleGrantPermission(request) => {
                let grant = |auth: &mut Auth, batch: &mut Batch| {
                    auth.role_grant_permission(&request, batch)
                };
                let header = self.change(grant)?;
                let response = api::AuthRoleGrantPermissionResponse { header };
                Ok(Reply::RoleGrantPermission(response))
            }
            Body::RoleRevokePermission(request) => {
                let revoke = |auth: &mut Auth, batch: &mut Batch| {
                    auth.role_revoke_permission(&request, batch)
                };
                let header = self.change(revoke)?;
                let response = api::AuthRoleRevokePermissionResponse { header };
                Ok(Reply::RoleRevokePermission(response))
            }
            other => unreachable!("not about users and roles: {other:?}"),
        }
    }

    /// Applies a change, which changes nothing if it is refused. Returns the reply's header.
    fn change(
        &mut self,
        change: impl FnOnce(&mut Auth, &mut Batch) -> Result<(), ApiError>,
    ) -> Result<Option<api::ResponseHeader>, ApiError> {
        // Readers keep the state from before the change.
        let auth = Arc::make_mut(&mut self.auth);
        let before = auth.mark();
        let changed = change(auth, &mut self.pending.batch);
        self.effects.auth_changed |= auth.mark() != before;
        changed.map(|()| self.header())
    }

    /// Logs a user in whose password the proposer has checked.
    fn authenticate(&mut self, request: Authenticate) -> Result<Authenticated, ApiError> {
        let Authenticate {
            name: user,
            token_digest,
            auth_revision,
        } = request;
        self.auth.check_login(&user, auth_revision)?;
        let index = self.state.index;
        self.effects.logins.push(LoginEffect::Began {
            user,
            token_digest,
            index,
        });
        let header = self.header();
        Ok(Authenticated { header, index })
    }
}
