//! Where requests go, and what a client needs to be served there: TLS, and a user's token.
//!
//! All connections share one token. The first connection logs in and the others wait for it, since
//! a login is expensive by design. A token that a server does not know any more, because it was
//! restarted, is forgotten, and the next connection logs in.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use conclave_client::User;
use conclave_proto::etcdserverpb::{
    AuthEnableRequest, AuthEnableResponse, AuthUserAddRequest, AuthUserAddResponse,
    AuthUserGrantRoleRequest, AuthUserGrantRoleResponse, AuthenticateRequest, AuthenticateResponse,
};
use http::HeaderValue;
use rustls::{ClientConfig, ProtocolVersion};
use rustls_pki_types::ServerName;
use tokio::sync::Mutex;

use crate::wire::{Failure, Wire};
use crate::workload::path;

/// A server.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) access: Access,
}

/// TLS and login of a client. The default is neither.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {
    pub(crate) tls: Option<Tls>,
    pub(crate) login: Option<Arc<Login>>,
}

/// TLS of the connections to a server.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) config: Arc<ClientConfig>,
    /// The name to expect in its certificate.
    pub(crate) server_name: ServerName<'static>,
    /// The version to expect, if any other would be a mistake.
    pub(crate) version: Option<ProtocolVersion>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the key.
        f.debug_struct("Tls")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

/// A user who logs in, and the present token.
#[derive(Debug)]
pub(crate) struct Login {
    user: User,
    token: Mutex<Option<HeaderValue>>,
}

impl Login {
    pub(crate) fn of(user: User) -> Arc<Login> {
        Arc::new(Login {
            user,
            token: Mutex::default(),
        })
    }

    pub(crate) fn user(&self) -> &User {
        &self.user
    }

    /// Returns the token; logs in by this connection if there is none.
    pub(crate) async fn token(&self, wire: &Wire) -> Result<HeaderValue, Failure> {
        let mut token = self.token.lock().await;
        if let Some(token) = &*token {
            return Ok(token.clone());
        }
        let answer = log_in(wire, &self.user).await?;
        let mut value = HeaderValue::try_from(answer.token)
            .map_err(|_| Failure::new("check: the token is not text"))?;
        value.set_sensitive(true);
        *token = Some(value.clone());
        Ok(value)
    }

    /// Makes the next connection log in.
    pub(crate) async fn forget(&self) {
        *self.token.lock().await = None;
    }
}

impl Target {
    /// Makes the next connection log in, if there is a user.
    pub(crate) async fn forget_token(&self) {
        if let Some(login) = &self.access.login {
            login.forget().await;
        }
    }
}

/// Logs a user in.
pub(crate) async fn log_in(wire: &Wire, user: &User) -> Result<AuthenticateResponse, Failure> {
    let request = AuthenticateRequest {
        name: user.name.clone(),
        password: user.password.clone(),
    };
    wire.method(path::AUTHENTICATE)?.call(&request).await
}

/// Adds the user root and enables authentication.
pub(crate) async fn enable_auth(wire: &Wire, root: &User) -> Result<(), Failure> {
    let add = AuthUserAddRequest {
        name: root.name.clone(),
        password: root.password.clone(),
        ..AuthUserAddRequest::default()
    };
    let mut method = wire.method(path::USER_ADD)?;
    method.call::<AuthUserAddResponse>(&add).await?;
    let grant = AuthUserGrantRoleRequest {
        user: root.name.clone(),
        role: "root".to_owned(),
    };
    let mut method = wire.method(path::USER_GRANT_ROLE)?;
    method.call::<AuthUserGrantRoleResponse>(&grant).await?;
    let mut method = wire.method(path::AUTH_ENABLE)?;
    method
        .call::<AuthEnableResponse>(&AuthEnableRequest {})
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let user = User {
            name: "root".to_owned(),
            password: "hunter2".to_owned(),
        };
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let access = Access {
            tls: None,
            login: Some(Login::of(user)),
        };
        let shown = format!("{:?}", Target { address, access });
        assert!(
            shown.contains("root") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}
