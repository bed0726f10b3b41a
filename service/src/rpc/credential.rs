//! Who makes a call: the token or the certificate that comes with it, and the user that it stands
//! for.

use std::net::SocketAddr;
use std::sync::Arc;

use conclave_proto::ApiError;
use conclave_storage::Index;
use http::{Extensions, HeaderMap};
use ring::digest;

use conclave_core::handle::Handle;
use conclave_core::logins::TokenDigest;

use super::authenticator::Authenticator;
use crate::audit::Proof;
use crate::auth::simple_tokens;

/// etcd's names of the field with the token, the preferred one first.
const TOKEN_FIELDS: [&str; 2] = ["token", "authorization"];

/// The other end of a connection, as far as services need it. In the extensions of requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peer {
    /// Its address; `None` over a Unix socket.
    pub(crate) remote: Option<SocketAddr>,
    /// The common name in its certificate, if that was verified and stands for a user.
    pub(crate) common_name: Option<Arc<str>>,
}

impl Peer {
    /// Returns the other end of the request's connection, which the edge has recorded.
    pub(super) fn of(extensions: &Extensions) -> Option<&Arc<Peer>> {
        extensions.get::<Arc<Peer>>()
    }
}

/// Proof of who makes a call.
#[derive(Clone, Debug)]
pub(super) enum Credential {
    /// A token that the client has.
    Token(Arc<str>),
    /// The common name of a certificate that was verified when the connection was opened.
    CommonName(Arc<str>),
}

/// The user that a credential stands for.
#[derive(Clone, Debug)]
pub(super) struct Identified {
    pub(super) user: Arc<str>,
    /// The auth revision in the token, if the token has one: the user must log in again after
    /// every change of users and roles.
    pub(super) auth_revision: Option<u64>,
}

impl Credential {
    /// Returns the credential of a call. A token has precedence over a certificate, as in etcd.
    pub(super) fn of(headers: &HeaderMap, extensions: &Extensions) -> Option<Credential> {
        Credential::token_of(headers).or_else(|| {
            let name = Peer::of(extensions)?.common_name.clone()?;
            Some(Credential::CommonName(name))
        })
    }

    fn token_of(headers: &HeaderMap) -> Option<Credential> {
        let value = TOKEN_FIELDS.iter().find_map(|field| headers.get(*field))?;
        // A token that is not text is no token of ours, and must not count as none.
        let text = value.to_str().unwrap_or_default();
        let token = text.strip_prefix("Bearer ").unwrap_or(text);
        Some(Credential::Token(token.into()))
    }

    /// Returns true if this member has not applied the login that gave the token.
    pub(super) fn is_ahead_of(&self, handle: &Handle) -> bool {
        match self {
            Credential::CommonName(_) => false,
            Credential::Token(token) => simple_tokens::index_of(token)
                .is_some_and(|index| Index(index) > handle.reader().applied().index),
        }
    }

    /// Returns the kind of proof, for the audit log.
    pub(super) fn proof(&self, authenticator: &Authenticator) -> Proof {
        match self {
            Credential::CommonName(_) => Proof::Certificate,
            Credential::Token(_) if authenticator.jwt.is_some() => Proof::Jwt,
            Credential::Token(_) => Proof::SimpleToken,
        }
    }

    /// Returns the user that the credential stands for.
    pub(super) fn identify(
        &self,
        handle: &Handle,
        authenticator: &Authenticator,
    ) -> Result<Identified, ApiError> {
        match self {
            Credential::CommonName(user) => Ok(Identified {
                user: Arc::clone(user),
                auth_revision: None,
            }),
            Credential::Token(token) => match &authenticator.jwt {
                Some(jwt) => {
                    let verified = jwt.verify(token, handle.clock().wall_ms());
                    let claims = verified.map_err(|reason| {
                        tracing::debug!(%reason, "a token was refused");
                        ApiError::InvalidAuthToken
                    })?;
                    Ok(Identified {
                        user: claims.username,
                        auth_revision: Some(claims.revision),
                    })
                }
                None => identify_simple(token, handle).ok_or(ApiError::InvalidAuthToken),
            },
        }
    }
}

/// Returns the user of a simple token.
fn identify_simple(token: &str, handle: &Handle) -> Option<Identified> {
    let index = simple_tokens::index_of(token).map(Index)?;
    let (prefix, _) = token.split_once('.')?;
    Some(Identified {
        user: handle.logins().user_of(&token_digest(prefix), index)?,
        auth_revision: None,
    })
}

/// Returns the digest of the random part of a token.
pub(super) fn token_digest(prefix: &str) -> TokenDigest {
    let digest = digest::digest(&digest::SHA256, prefix.as_bytes());
    let digest = digest.as_ref().try_into();
    digest.expect("SHA-256 has 32 bytes")
}
