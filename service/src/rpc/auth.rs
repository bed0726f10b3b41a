//! `etcdserverpb.Auth`: users, roles, permissions, and logins.
//!
//! Changes go through the log. Users and roles are in the memory of every member, so they are
//! looked up there, after the member has caught up.
//!
//! No password leaves the member that receives it: it is hashed here, and the log has the hash. A
//! login is checked here as well, and goes into the log so that every member learns of the token.
//! If users or roles changed meanwhile, the password may have changed too, and is checked again.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use conclave_proto::ApiError;
use conclave_proto::command::Authenticate;
use conclave_proto::etcdserverpb as pb;
use conclave_proto::etcdserverpb::auth_server::Auth;
use conclave_storage::auth::User;
use tonic::{Request, Response, Status};

use super::audited::AuditedCommand;
use super::authorization::Guarded;
use super::{Access, Context, Peer, reply, status};
use crate::auth::attempts::Refused;
use crate::auth::passwords::PasswordError;
use crate::auth::simple_tokens;
use crate::method::Method;
use conclave_core::handle::{ProposeError, Rejected};

/// Times that a password is checked while users and roles keep changing.
const CHECKS_MAX: usize = 4;
/// Highest bcrypt cost of a hash that a client brings: to compare it takes three seconds, and each
/// step more doubles that.
const HASH_COST_MAX: u32 = 16;

#[derive(Clone)]
pub(crate) struct Service {
    context: Context,
}

impl Service {
    pub(crate) fn new(context: Context) -> Service {
        Service { context }
    }

    /// Proposes a request as it is.
    async fn propose<C>(
        &self,
        method: Method,
        request: Request<C>,
    ) -> Result<Response<C::Reply>, Status>
    where
        C: AuditedCommand + Guarded + Clone,
    {
        let access = self.context.admit(method, &request).await?;
        reply(access.propose(request.into_inner()).await)
    }
}

async fn auth_status(access: &Access) -> Result<pb::AuthStatusResponse, Status> {
    access.linearize().await.map_err(status::of_refused)?;
    let auth = access.auth();
    Ok(pb::AuthStatusResponse {
        header: access.header_now(),
        enabled: auth.is_enabled(),
        auth_revision: auth.revision(),
    })
}

async fn authenticate(
    access: &Access,
    request: pb::AuthenticateRequest,
    remote: Option<IpAddr>,
) -> Result<pb::AuthenticateResponse, Status> {
    access.linearize().await.map_err(status::of_refused)?;
    let pb::AuthenticateRequest { name, password } = request;
    let old = ProposeError::Rejected(Rejected(ApiError::AuthOldRevision));
    for _ in 0..CHECKS_MAX {
        let auth_revision = check_password(access, &name, &password, remote).await?;
        if let Some(jwt) = &access.authenticator().jwt {
            let token = jwt.sign(&name, auth_revision, access.clock().wall_ms());
            return Ok(pb::AuthenticateResponse {
                header: access.header_now(),
                token: token.map_err(|error| Status::unknown(error.to_string()))?,
            });
        }
        let (prefix, digest) = access.authenticator().draw_token();
        let login = Authenticate {
            name: name.clone(),
            token_digest: Bytes::copy_from_slice(&digest),
            auth_revision,
        };
        match access.propose_once(login).await {
            Ok(login) => {
                return Ok(pb::AuthenticateResponse {
                    header: login.header,
                    token: simple_tokens::token(&prefix, login.index.0),
                });
            }
            Err(error) if error == old => {}
            Err(error) => return Err(status::of_proposal(error)),
        }
    }
    Err(status::of_api(ApiError::AuthOldRevision))
}

/// Checks a password. Returns the auth revision at which it is right.
async fn check_password(
    access: &Access,
    name: &str,
    password: &str,
    remote: Option<IpAddr>,
) -> Result<u64, Status> {
    let auth = access.auth();
    if !auth.is_enabled() {
        return Err(status::of_api(ApiError::AuthNotEnabled));
    }
    let authenticator = access.authenticator();
    let may_try = authenticator
        .attempts
        .lock()
        .check(remote, access.clock().now());
    may_try.map_err(|refused| Status::resource_exhausted(refused.to_string()))?;
    let hash = auth.user(name).and_then(User::password);
    let hash = hash.and_then(|hash| BASE64.decode(hash).ok());
    let checking = Checking {
        access,
        remote,
        is_counted: false,
    };
    let checked = authenticator
        .hasher
        .verify(password.to_owned(), hash.as_deref());
    let checked = checked.await;
    let settled = checking.end(checked.as_ref().ok().copied());
    let fits = checked.map_err(of_password)?;
    settled.map_err(|refused| Status::resource_exhausted(refused.to_string()))?;
    if !fits {
        tracing::warn!(
            user = name,
            remote = remote.map(tracing::field::display),
            "a login failed: wrong user or password"
        );
        return Err(status::of_api(ApiError::AuthFailed));
    }
    Ok(auth.revision())
}

/// A password that is being checked. If its client goes away meanwhile, it counts as a wrong one:
/// the work is done all the same, and clients that never wait must not have it for nothing.
struct Checking<'a> {
    access: &'a Access,
    remote: Option<IpAddr>,
    is_counted: bool,
}

impl Checking<'_> {
    /// Counts the result; `None` if the password was not checked. Returns whether the client may
    /// know it.
    fn end(mut self, fits: Option<bool>) -> Result<(), Refused> {
        self.is_counted = true;
        fits.map_or(Ok(()), |fits| self.count(fits))
    }

    fn count(&self, fits: bool) -> Result<(), Refused> {
        let now = self.access.clock().now();
        let mut attempts = self.access.authenticator().attempts.lock();
        attempts.settle(self.remote, fits, now)
    }
}

impl Drop for Checking<'_> {
    fn drop(&mut self) {
        if !self.is_counted {
            // Nobody waits for the answer.
            let _ = self.count(false);
        }
    }
}

async fn user_add(
    access: &Access,
    mut request: pb::AuthUserAddRequest,
) -> Result<pb::AuthUserAddResponse, Status> {
    let no_password = request.options.is_some_and(|options| options.no_password);
    let password = std::mem::take(&mut request.password);
    if no_password {
        request.hashed_password.clear();
    } else if password.is_empty() && !request.hashed_password.is_empty() {
        check_hash(&request.hashed_password)?;
    } else {
        request.hashed_password = hash(access, password).await?;
    }
    access.propose(request).await
}

/// Without a password or a hash, no password fits any longer, as in etcd.
async fn user_change_password(
    access: &Access,
    mut request: pb::AuthUserChangePasswordRequest,
) -> Result<pb::AuthUserChangePasswordResponse, Status> {
    let password = std::mem::take(&mut request.password);
    if !password.is_empty() {
        request.hashed_password = hash(access, password).await?;
    } else if !request.hashed_password.is_empty() {
        check_hash(&request.hashed_password)?;
    }
    access.propose(request).await
}

/// Hashes a password, for the field `hashedPassword`.
async fn hash(access: &Access, password: String) -> Result<String, Status> {
    let hashed = access.authenticator().hasher.hash(password).await;
    Ok(BASE64.encode(hashed.map_err(of_password)?))
}

/// Checks that a client's own hash is one that passwords can be compared with.
fn check_hash(hashed_password: &str) -> Result<(), Status> {
    let hash = BASE64.decode(hashed_password).ok();
    let hash = hash.and_then(|hash| String::from_utf8(hash).ok());
    let Some(hash) = hash.and_then(|hash| hash.parse::<bcrypt::HashParts>().ok()) else {
        return Err(Status::invalid_argument(
            "conclave: hashedPassword is not the base64 of a bcrypt hash: give the password \
             instead",
        ));
    };
    let cost = hash.get_cost();
    if cost > HASH_COST_MAX {
        return Err(Status::invalid_argument(format!(
            "conclave: hashedPassword has a cost of {cost}, and one login would keep all others \
             waiting: at most {HASH_COST_MAX}"
        )));
    }
    Ok(())
}

fn of_password(error: PasswordError) -> Status {
    match error {
        PasswordError::Busy => Status::resource_exhausted(error.to_string()),
        PasswordError::TooLong => Status::unknown(error.to_string()),
        PasswordError::Stopped => status::of_api(ApiError::Stopped),
    }
}

async fn user_get(
    access: &Access,
    request: pb::AuthUserGetRequest,
) -> Result<pb::AuthUserGetResponse, Status> {
    access.linearize().await.map_err(status::of_refused)?;
    let auth = access.auth();
    let user = auth.user(&request.name);
    let user = user.ok_or_else(|| status::of_api(ApiError::UserNotFound))?;
    Ok(pb::AuthUserGetResponse {
        header: access.header_now(),
        roles: user.roles().to_vec(),
    })
}

async fn user_list(access: &Access) -> Result<pb::AuthUserListResponse, Status> {
    access.linearize().await.map_err(status::of_refused)?;
    Ok(pb::AuthUserListResponse {
        header: access.header_now(),
        users: access.auth().users(),
    })
}

async fn role_get(
    access: &Access,
    request: pb::AuthRoleGetRequest,
) -> Result<pb::AuthRoleGetResponse, Status> {
    access.linearize().await.map_err(status::of_refused)?;
    let permissions = access.auth().permissions(&request.role);
    Ok(pb::AuthRoleGetResponse {
        header: access.header_now(),
        perm: permissions.map_err(status::of_api)?,
    })
}

async fn role_list(access: &Access) -> Result<pb::AuthRoleListResponse, Status> {
    access.linearize().await.map_err(status::of_refused)?;
    Ok(pb::AuthRoleListResponse {
        header: access.header_now(),
        roles: access.auth().roles(),
    })
}

macro_rules! auth_service {
    (
        proposed { $($proposed:ident($command:ident) -> $replied:ident = $variant:ident;)+ }
        other { $($name:ident($request:ident) -> $response:ident
            = $method:ident |$access:ident, $message:ident, $remote:ident| $work:expr;)+ }
    ) => {
        #[tonic::async_trait]
        impl Auth for Service {
            $(async fn $proposed(
                &self,
                request: Request<pb::$command>,
            ) -> Result<Response<pb::$replied>, Status> {
                self.propose(Method::$variant, request).await
            })+

            $(async fn $name(
                &self,
                request: Request<pb::$request>,
            ) -> Result<Response<pb::$response>, Status> {
                let $access = self.context.admit(Method::$method, &request).await?;
                let $remote = Peer::of(request.extensions()).and_then(|peer| peer.remote);
                let $remote = $remote.map(|remote| remote.ip());
                let $message = request.into_inner();
                reply($work.await)
            })+
        }
    };
}

auth_service! {
    proposed {
        auth_enable(AuthEnableRequest) -> AuthEnableResponse = AuthEnable;
        auth_disable(AuthDisableRequest) -> AuthDisableResponse = AuthDisable;
        user_delete(AuthUserDeleteRequest) -> AuthUserDeleteResponse = UserDelete;
        user_grant_role(AuthUserGrantRoleRequest) -> AuthUserGrantRoleResponse = UserGrantRole;
        user_revoke_role(AuthUserRevokeRoleRequest) -> AuthUserRevokeRoleResponse = UserRevokeRole;
        role_add(AuthRoleAddRequest) -> AuthRoleAddResponse = RoleAdd;
        role_delete(AuthRoleDeleteRequest) -> AuthRoleDeleteResponse = RoleDelete;
        role_grant_permission(AuthRoleGrantPermissionRequest) -> AuthRoleGrantPermissionResponse
            = RoleGrantPermission;
        role_revoke_permission(AuthRoleRevokePermissionRequest) -> AuthRoleRevokePermissionResponse
            = RoleRevokePermission;
    }
    other {
        auth_status(AuthStatusRequest) -> AuthStatusResponse
            = AuthStatus |access, _request, _remote| auth_status(&access);
        authenticate(AuthenticateRequest) -> AuthenticateResponse
            = Authenticate |access, request, remote| authenticate(&access, request, remote);
        user_add(AuthUserAddRequest) -> AuthUserAddResponse
            = UserAdd |access, request, _remote| user_add(&access, request);
        user_change_password(AuthUserChangePasswordRequest) -> AuthUserChangePasswordResponse
            = UserChangePassword |access, request, _remote| user_change_password(&access, request);
        user_get(AuthUserGetRequest) -> AuthUserGetResponse
            = UserGet |access, request, _remote| user_get(&access, request);
        user_list(AuthUserListRequest) -> AuthUserListResponse
            = UserList |access, _request, _remote| user_list(&access);
        role_get(AuthRoleGetRequest) -> AuthRoleGetResponse
            = RoleGet |access, request, _remote| role_get(&access, request);
        role_list(AuthRoleListRequest) -> AuthRoleListResponse
            = RoleList |access, _request, _remote| role_list(&access);
    }
}
