//! Checks passwords, and makes and verifies tokens.

use std::sync::Arc;

use conclave_core::logins::TokenDigest;
use conclave_core::seed::Seed;
use parking_lot::Mutex;

use super::credential::token_digest;
use crate::auth::attempts::{Attempts, Limits};
use crate::auth::jwt::{AuthToken, Jwt};
use crate::auth::passwords::Hasher;
use crate::auth::simple_tokens;

/// Checks passwords, and makes and verifies tokens. The listeners of a member share one.
pub(crate) struct Authenticator {
    pub(super) hasher: Hasher,
    pub(super) attempts: Mutex<Attempts>,
    /// `None` for simple tokens.
    pub(super) jwt: Option<Jwt>,
    /// The system's random numbers: who can predict them can guess tokens.
    seed: Arc<dyn Seed>,
}

impl Authenticator {
    /// Reads the keys of `--auth-token`, and starts the thread that hashes passwords.
    ///
    /// # Errors
    /// The text for the operator.
    pub(crate) fn start(
        auth_token: &str,
        bcrypt_cost: u32,
        seed: Arc<dyn Seed>,
    ) -> Result<Authenticator, String> {
        let jwt = match AuthToken::parse(auth_token).map_err(|error| error.to_string())? {
            AuthToken::Simple => None,
            AuthToken::Jwt(options) => Some(Jwt::open(options).map_err(|error| error.to_string())?),
        };
        Ok(Authenticator {
            hasher: Hasher::start(bcrypt_cost).map_err(|error| error.to_string())?,
            attempts: Mutex::new(Attempts::new(Limits::default())),
            jwt,
            seed,
        })
    }

    /// Draws the random part of a simple token. Returns it with its digest.
    pub(super) fn draw_token(&self) -> (String, TokenDigest) {
        let prefix = simple_tokens::prefix(&*self.seed);
        let digest = token_digest(&prefix);
        (prefix, digest)
    }
}
