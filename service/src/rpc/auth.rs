//! `etcdserverpb.Auth`: authentication is off, and this version cannot turn it on.
//!
//! `AuthStatus` reports that. The other methods answer that they are not available, rather than
//! that authentication is disabled, from which a client may conclude that it only has to enable it.

use conclave_proto::etcdserverpb as pb;
use conclave_proto::etcdserverpb::auth_server::Auth;
use tonic::{Request, Response, Status};

use super::{Context, not_yet, reply};
use crate::method::Method;

/// Auth revision of a store whose users and roles never changed.
const FIRST_AUTH_REVISION: u64 = 1;

#[derive(Clone)]
pub(crate) struct Service {
    context: Context,
}

impl Service {
    pub(crate) fn new(context: Context) -> Service {
        Service { context }
    }
}

macro_rules! auth_service {
    ($($name:ident($request:ident) -> $response:ident = $method:ident;)+) => {
        #[tonic::async_trait]
        impl Auth for Service {
            async fn auth_status(
                &self,
                request: Request<pb::AuthStatusRequest>,
            ) -> Result<Response<pb::AuthStatusResponse>, Status> {
                let admitted = self.context.admit(Method::AuthStatus, request.metadata())?;
                let response = pb::AuthStatusResponse {
                    header: admitted.access.header_now(),
                    enabled: false,
                    auth_revision: FIRST_AUTH_REVISION,
                };
                reply(admitted.call, Ok(response))
            }

            $(async fn $name(
                &self,
                request: Request<pb::$request>,
            ) -> Result<Response<pb::$response>, Status> {
                let admitted = self.context.admit(Method::$method, request.metadata())?;
                not_yet(admitted.call, Method::$method)
            })+
        }
    };
}

auth_service! {
    auth_enable(AuthEnableRequest) -> AuthEnableResponse = AuthEnable;
    auth_disable(AuthDisableRequest) -> AuthDisableResponse = AuthDisable;
    authenticate(AuthenticateRequest) -> AuthenticateResponse = Authenticate;
    user_add(AuthUserAddRequest) -> AuthUserAddResponse = UserAdd;
    user_get(AuthUserGetRequest) -> AuthUserGetResponse = UserGet;
    user_list(AuthUserListRequest) -> AuthUserListResponse = UserList;
    user_delete(AuthUserDeleteRequest) -> AuthUserDeleteResponse = UserDelete;
    user_change_password(AuthUserChangePasswordRequest) -> AuthUserChangePasswordResponse
        = UserChangePassword;
    user_grant_role(AuthUserGrantRoleRequest) -> AuthUserGrantRoleResponse = UserGrantRole;
    user_revoke_role(AuthUserRevokeRoleRequest) -> AuthUserRevokeRoleResponse = UserRevokeRole;
    role_add(AuthRoleAddRequest) -> AuthRoleAddResponse = RoleAdd;
    role_get(AuthRoleGetRequest) -> AuthRoleGetResponse = RoleGet;
    role_list(AuthRoleListRequest) -> AuthRoleListResponse = RoleList;
    role_delete(AuthRoleDeleteRequest) -> AuthRoleDeleteResponse = RoleDelete;
    role_grant_permission(AuthRoleGrantPermissionRequest) -> AuthRoleGrantPermissionResponse
        = RoleGrantPermission;
    role_revoke_permission(AuthRoleRevokePermissionRequest) -> AuthRoleRevokePermissionResponse
        = RoleRevokePermission;
}
