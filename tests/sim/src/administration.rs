//! Users and roles of the cluster under test: `root`, and a clerk whose permission to write some
//! keys comes and goes.

use bytes::Bytes;
use conclave_core::command::LogCommand;
use conclave_core::handle::Handle;
use conclave_core::outcome::ProposeError;
use conclave_proto::authpb::{self, permission::Type};
use conclave_proto::etcdserverpb::{
    AuthEnableRequest, AuthRoleAddRequest, AuthRoleGrantPermissionRequest,
    AuthRoleRevokePermissionRequest, AuthUserAddRequest, AuthUserGrantRoleRequest,
    AuthUserRevokeRoleRequest,
};
use conclave_storage::auth::Auth;

use crate::clients::{By, propose};

/// The role of the clerk.
const CLERKS: &str = "clerks";

/// The keys that the clerk may write, if any: from the first to before the second.
const CLERKS_KEYS: [&str; 2] = ["key/0", "key/3"];

/// A change of users and roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Administration {
    /// Adds users and roles, and enables authentication.
    SetUp,
    /// Gives the role a permission, or takes it.
    Permission(bool),
    /// Gives the clerk the role, or takes it.
    Role(bool),
}

/// Changes users and roles.
pub async fn administer(handle: &Handle, what: Administration) -> Result<(), ProposeError> {
    let (name, role) = (By::Clerk.name().to_owned(), CLERKS.to_owned());
    let [key, range_end] = CLERKS_KEYS.map(Bytes::from);
    match what {
        Administration::SetUp => set_up(handle).await,
        Administration::Permission(true) => {
            let permission = authpb::Permission {
                perm_type: Type::Readwrite.into(),
                key,
                range_end,
            };
            change(
                handle,
                AuthRoleGrantPermissionRequest {
                    name: role,
                    perm: Some(permission),
                },
            )
            .await
        }
        Administration::Permission(false) => {
            change(
                handle,
                AuthRoleRevokePermissionRequest {
                    role,
                    key,
                    range_end,
                },
            )
            .await
        }
        Administration::Role(true) => {
            change(handle, AuthUserGrantRoleRequest { user: name, role }).await
        }
        Administration::Role(false) => {
            change(handle, AuthUserRevokeRoleRequest { name, role }).await
        }
    }
}

/// A command of the administrator. That nothing was left to do is fine.
async fn change<C: LogCommand>(handle: &Handle, command: C) -> Result<(), ProposeError> {
    match propose(handle, command, By::Root).await {
        Ok(_) | Err(ProposeError::Rejected(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn set_up(handle: &Handle) -> Result<(), ProposeError> {
    for by in [By::Root, By::Clerk] {
        let name = by.name().to_owned();
        let role = match by {
            By::Root => name.clone(),
            By::Clerk => CLERKS.to_owned(),
        };
        let user = AuthUserAddRequest {
            name: name.clone(),
            options: Some(authpb::UserAddOptions { no_password: true }),
            ..AuthUserAddRequest::default()
        };
        change(handle, user).await?;
        change(handle, AuthRoleAddRequest { name: role.clone() }).await?;
        change(handle, AuthUserGrantRoleRequest { user: name, role }).await?;
    }
    change(handle, AuthEnableRequest {}).await
}

/// Returns true if the clerk may write a key.
pub fn may_clerk_write(auth: &Auth, key: &[u8]) -> bool {
    let [first, end] = CLERKS_KEYS.map(str::as_bytes);
    let has_role = auth
        .user(By::Clerk.name())
        .is_some_and(|user| user.has_role(CLERKS));
    let permissions = auth.permissions(CLERKS).unwrap_or_default();
    let is_permitted = has_role && !permissions.is_empty() && first <= key && key < end;
    is_permitted || !auth.is_enabled()
}
