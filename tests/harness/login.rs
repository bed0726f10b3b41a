//! Users in tests, and calls in their names.

use std::time::Duration;

use bytes::Bytes;
use conclave_proto::authpb::permission::Type;
use conclave_proto::authpb::{Permission, UserAddOptions};
use conclave_proto::etcdserverpb as pb;
use http::uri::PathAndQuery;
use pb::auth_client::AuthClient;
use tonic::client::Grpc;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::raw::Unchanged;

/// A flag that makes password hashes cheap.
pub const CHEAP_HASHES: &str = "--bcrypt-cost=4";

/// The password of every user that [`Administrator::add_user`] adds.
pub const PASSWORD: &str = "secret";

/// How long [`first_response`] waits.
const PATIENCE: Duration = Duration::from_secs(20);

/// Returns a request with a token.
///
/// # Panics
/// If the token cannot be sent.
pub fn with_token<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if !token.is_empty() {
        let value = MetadataValue::try_from(token).expect("a token is text");
        request.metadata_mut().insert("token", value);
    }
    request
}

/// Logs a user in. Returns the token.
pub async fn log_in(channel: Channel, name: &str, password: &str) -> Result<String, Status> {
    let request = pb::AuthenticateRequest {
        name: name.to_owned(),
        password: password.to_owned(),
    };
    let reply = AuthClient::new(channel).authenticate(request).await?;
    Ok(reply.into_inner().token)
}

/// Administrates users and roles.
#[derive(Clone, Debug)]
pub struct Administrator {
    channel: Channel,
    /// Empty while authentication is disabled.
    token: String,
}

impl Administrator {
    /// An administrator of a cluster without authentication.
    pub fn new(channel: Channel) -> Administrator {
        Administrator {
            channel,
            token: String::new(),
        }
    }

    /// An administrator with a token of root.
    pub fn with_token(channel: Channel, token: &str) -> Administrator {
        Administrator {
            channel,
            token: token.to_owned(),
        }
    }

    /// The token of the user root.
    pub fn token(&self) -> &str {
        &self.token
    }

    fn stub(&self) -> AuthClient<Channel> {
        AuthClient::new(self.channel.clone())
    }

    fn request<T>(&self, message: T) -> Request<T> {
        with_token(&self.token, message)
    }

    /// Adds the user root, enables authentication, and logs root in.
    ///
    /// # Panics
    /// If one of these fails.
    pub async fn enable(&mut self) {
        self.add_user("root", &["root"]).await;
        let enabled = self.stub().auth_enable(pb::AuthEnableRequest {}).await;
        enabled.expect("there is a root");
        let token = log_in(self.channel.clone(), "root", PASSWORD).await;
        self.token = token.expect("root has this password");
    }

    /// Disables authentication.
    ///
    /// # Panics
    /// If that fails.
    pub async fn disable(&mut self) {
        let request = self.request(pb::AuthDisableRequest {});
        self.stub().auth_disable(request).await.expect("root may");
        self.token.clear();
    }

    /// Adds a user with these roles.
    ///
    /// # Panics
    /// If that fails.
    pub async fn add_user(&self, name: &str, roles: &[&str]) {
        self.add(name, PASSWORD, roles).await;
    }

    /// Adds a user that can identify itself with a certificate only.
    ///
    /// # Panics
    /// If that fails.
    pub async fn add_user_without_password(&self, name: &str, roles: &[&str]) {
        self.add(name, "", roles).await;
    }

    /// Adds a user; an empty password stands for none.
    async fn add(&self, name: &str, password: &str, roles: &[&str]) {
        let no_password = password.is_empty();
        let request = self.request(pb::AuthUserAddRequest {
            name: name.to_owned(),
            password: password.to_owned(),
            options: Some(UserAddOptions { no_password }),
            ..pb::AuthUserAddRequest::default()
        });
        self.stub().user_add(request).await.expect("a new user");
        for role in roles {
            self.grant(name, role).await;
        }
    }

    /// Grants a role.
    ///
    /// # Panics
    /// If that fails.
    pub async fn grant(&self, user: &str, role: &str) {
        let request = self.request(pb::AuthUserGrantRoleRequest {
            user: user.to_owned(),
            role: role.to_owned(),
        });
        let granted = self.stub().user_grant_role(request).await;
        granted.expect("both exist");
    }

    /// Revokes a role.
    ///
    /// # Panics
    /// If that fails.
    pub async fn revoke(&self, user: &str, role: &str) {
        let request = self.request(pb::AuthUserRevokeRoleRequest {
            name: user.to_owned(),
            role: role.to_owned(),
        });
        let revoked = self.stub().user_revoke_role(request).await;
        revoked.expect("it was granted");
    }

    /// Adds a role with one permission.
    ///
    /// # Panics
    /// If that fails.
    pub async fn add_role(&self, name: &str, kind: Type, key: &str, range_end: &str) {
        let request = self.request(pb::AuthRoleAddRequest {
            name: name.to_owned(),
        });
        self.stub().role_add(request).await.expect("a new role");
        let permission = Permission {
            perm_type: kind as i32,
            key: Bytes::copy_from_slice(key.as_bytes()),
            range_end: Bytes::copy_from_slice(range_end.as_bytes()),
        };
        let request = self.request(pb::AuthRoleGrantPermissionRequest {
            name: name.to_owned(),
            perm: Some(permission),
        });
        let granted = self.stub().role_grant_permission(request).await;
        granted.expect("a valid permission");
    }
}

/// Calls a method of any shape with one message. Returns the first response.
pub async fn first_response(
    channel: Channel,
    path: &str,
    token: &str,
    message: Bytes,
) -> Result<Bytes, Status> {
    let mut grpc = Grpc::new(channel);
    let ready = grpc.ready().await;
    ready.map_err(|error| Status::unavailable(error.to_string()))?;
    let path: PathAndQuery = path.parse().expect("a path");
    // On the wire a call of one message is the same in every shape.
    let messages = tokio_stream::iter([message]);
    let answered = async {
        let request = with_token(token, messages);
        let mut responses = grpc.streaming(request, path, Unchanged).await?.into_inner();
        let first = responses.message().await?;
        first.ok_or_else(|| Status::unknown("the stream ended"))
    };
    let answered = tokio::time::timeout(PATIENCE, answered).await;
    answered.unwrap_or_else(|_| Err(Status::deadline_exceeded("no response")))
}
