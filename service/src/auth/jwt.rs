//! JSON Web Tokens (RFC 7519): signed statements about who a client is, which every member with the
//! key can verify without a table of tokens.
//!
//! The tokens are etcd's. The header names the method, the claims are the user, the revision of the
//! users and roles when the password was checked, and the end:
//!
//! ```text
//! {"alg":"RS256","typ":"JWT"} . {"exp":1764401160,"revision":7,"username":"alice"} . signature
//! ```
//!
//! A token can also be made elsewhere, and given to a client. Then members need only the public key
//! ([`keys`]), and refuse logins.
//!
//! # Which tokens are accepted
//!
//! 1. The header's `alg` is exactly the configured method, so not `none` and no other. There are no
//!    `crit` extensions, since none is understood.
//! 2. The signature is one of the configured key, over the bytes as they came.
//! 3. The claims have a user and a revision, and an end (`exp`) in the future. If there is a begin
//!    (`nbf`), it is in the past. Other claims are ignored.
//!
//! etcd accepts tokens without `exp`, which never end, and ignores `crit`. A token ends only with
//! its time, unless users or roles change: the caller compares the revision.
//!
//! A client shows its token with every request, and a signature takes 30 to 100 us to verify, as
//! long as a put (with `ES512` a millisecond). So a member remembers tokens that it has verified,
//! and looks only at their times.
//!
//! # Changed keys
//!
//! Once per second a thread reads the files and compares them ([`crate::watched`]). From a change
//! on only the new key counts; clients log in again. If the new files cannot be used, as when one
//! of two has been copied, the former keys stay, and a warning is logged.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use serde_json::{Value, json};

mod es512;
mod keys;
mod options;
#[cfg(test)]
mod tests;

use crate::files::{self, Unreadable};
use crate::watched::Watched;

use keys::{KeyFiles, Keys};

pub(crate) use options::{AuthToken, AuthTokenError, JwtOptions};

/// Longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 16 << 10;
/// Longest file with a key. The largest key of RSA takes 7 KiB.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// Verified tokens that are remembered. With the usual length of 400 bytes they take 2 MiB.
const VERIFIED_MAX: usize = 4096;

/// The claims of a valid token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claims {
    pub(crate) username: Arc<str>,
    /// The revision of users and roles at which the token was given.
    pub(crate) revision: u64,
}

/// The reason why a token is refused. It is for the log: clients learn only that the token is
/// invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidToken {
    #[error("it is longer than 16 KiB")]
    TooLong,
    #[error("it does not have three parts in base64url")]
    Malformed,
    #[error("its header or claims are not a JSON object")]
    NotJson,
    #[error("it is not signed with the method of --auth-token")]
    WrongMethod,
    #[error("it has extensions (crit) that are not supported")]
    Critical,
    #[error("its signature is not one of the key of --auth-token")]
    WrongSignature,
    #[error("the claim {0} is missing or has another type")]
    Claim(&'static str),
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet")]
    NotYet,
}

/// The reason why no token is given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsigned {
    /// There is only a public key. etcd's text.
    #[error("auth: token signing attempted with verify-only key")]
    VerifyOnly,
    #[error("auth: cannot sign a token: {0}")]
    Failed(String),
}

/// Signs and verifies tokens.
pub(crate) struct Jwt {
    options: JwtOptions,
    watched: Watched<Keys>,
    known: Mutex<Known>,
}

/// Tokens whose signatures are known to be right.
struct Known {
    /// The keys of the signatures.
    keys: Arc<Keys>,
    tokens: HashMap<String, Verified>,
}

/// The files that the options name.
struct Source {
    options: JwtOptions,
    /// Their contents when they were read last, or the problem with them.
    files: Option<Result<KeyFiles, AuthTokenError>>,
}

/// The claims of a token whose signature is right, and when it is valid. Times are in seconds since
/// 1970, with any fraction (RFC 7519, section 2).
#[derive(Clone)]
struct Verified {
    claims: Claims,
    begin: Option<f64>,
    end: f64,
}

impl Jwt {
    /// Reads the keys. Blocks until the files have been read, for at most ten seconds.
    pub(crate) fn open(options: JwtOptions) -> Result<Jwt, AuthTokenError> {
        let mut source = Source::new(options.clone());
        let what = "the keys of --auth-token".to_owned();
        let watched = Watched::start(what, move |must_read| source.check(must_read));
        let watched = watched.map_err(|failed| {
            failed.into_error(|problem| {
                AuthTokenError::options(format!("the files with keys {problem}"))
            })
        })?;
        let known = Mutex::new(Known::with(watched.latest().0));
        Ok(Jwt {
            options,
            watched,
            known,
        })
    }

    /// Makes a token for a user. `wall_ms` is the time, in milliseconds since 1970.
    pub(crate) fn sign(
        &self,
        username: &str,
        revision: u64,
        wall_ms: i64,
    ) -> Result<String, Unsigned> {
        let name = self.options.method.name;
        let ttl_ms = i64::try_from(self.options.ttl.as_millis()).unwrap_or(i64::MAX);
        let end = wall_ms.saturating_add(ttl_ms).div_euclid(1_000);
        let header = json!({"alg": name, "typ": "JWT"});
        let claims = json!({"exp": end, "revision": revision, "username": username});
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(&header), encode(&claims));
        let (keys, _) = self.watched.latest();
        let signed = keys.sign(message.as_bytes());
        let signature = signed
            .ok_or(Unsigned::VerifyOnly)?
            .map_err(|error| Unsigned::Failed(error.to_string()))?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Returns what a token says, if it is valid at this time.
    pub(crate) fn verify(&self, token: &str, wall_ms: i64) -> Result<Claims, InvalidToken> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(InvalidToken::TooLong);
        }
        let (keys, _) = self.watched.latest();
        if let Some(known) = self.known.lock().find(&keys, token) {
            return known.at(wall_ms);
        }
        let verified = self.verify_with(&keys, token)?;
        let claims = verified.at(wall_ms)?;
        self.known.lock().remember(&keys, token, verified, wall_ms);
        Ok(claims)
    }

    fn verify_with(&self, keys: &Keys, token: &str) -> Result<Verified, InvalidToken> {
        let (message, signature) = token.rsplit_once('.').ok_or(InvalidToken::Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(InvalidToken::Malformed)?;
        let header = object(header)?;
        if header.get("alg").and_then(Value::as_str) != Some(self.options.method.name) {
            return Err(InvalidToken::WrongMethod);
        }
        if header.get("crit").is_some() {
            return Err(InvalidToken::Critical);
        }
        if !keys.verify(message.as_bytes(), &decode(signature)?) {
            return Err(InvalidToken::WrongSignature);
        }
        Verified::read(&object(claims)?)
    }
}

impl Source {
    fn new(options: JwtOptions) -> Source {
        Source {
            options,
            files: None,
        }
    }

    /// Reads the files. Returns the keys in them if they have changed since the last call, or if
    /// `must_read` is true.
    fn check(&mut self, must_read: bool) -> Option<Result<Keys, AuthTokenError>> {
        let files = Some(read(&self.options));
        if files == self.files && !must_read {
            return None;
        }
        // Kept even if the files cannot be used, so that each change is logged once.
        self.files = files;
        self.files.as_ref().map(|files| match files {
            Ok(files) => Keys::new(&self.options, files),
            Err(error) => Err(error.clone()),
        })
    }
}

impl Known {
    fn with(keys: Arc<Keys>) -> Known {
        Known {
            keys,
            tokens: HashMap::new(),
        }
    }

    /// Returns what a token says, if one of these keys has signed it.
    fn find(&self, keys: &Arc<Keys>, token: &str) -> Option<&Verified> {
        let is_of_these = Arc::ptr_eq(&self.keys, keys);
        self.tokens.get(token).filter(|_| is_of_these)
    }

    fn remember(&mut self, keys: &Arc<Keys>, token: &str, verified: Verified, wall_ms: i64) {
        if !Arc::ptr_eq(&self.keys, keys) {
            *self = Known::with(Arc::clone(keys));
        }
        let tokens = &mut self.tokens;
        if tokens.len() >= VERIFIED_MAX {
            tokens.retain(|_, known| known.at(wall_ms).is_ok());
        }
        if tokens.len() >= VERIFIED_MAX {
            // Each costs its client one verification.
            tokens.clear();
        }
        tokens.insert(token.to_owned(), verified);
    }
}

impl Verified {
    fn read(claims: &Value) -> Result<Verified, InvalidToken> {
        let time = |name| {
            let time = claims.get(name)?;
            Some(time.as_f64().ok_or(InvalidToken::Claim(name)))
        };
        let end = time("exp").unwrap_or(Err(InvalidToken::Claim("exp")))?;
        let begin = time("nbf").transpose()?;
        // An empty name could be taken for no user.
        let username = claims.get("username").and_then(Value::as_str);
        let username = username.filter(|name| !name.is_empty());
        let revision = claims.get("revision").and_then(whole);
        let claims = Claims {
            username: username.ok_or(InvalidToken::Claim("username"))?.into(),
            revision: revision.ok_or(InvalidToken::Claim("revision"))?,
        };
        Ok(Verified { claims, begin, end })
    }

    fn at(&self, wall_ms: i64) -> Result<Claims, InvalidToken> {
        let now = wall_ms as f64 / 1_000.0;
        if now >= self.end {
            return Err(InvalidToken::Expired);
        }
        if self.begin.is_some_and(|begin| now < begin) {
            return Err(InvalidToken::NotYet);
        }
        Ok(self.claims.clone())
    }
}

impl std::fmt::Debug for Jwt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the keys.
        f.debug_struct("Jwt")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

fn decode(part: &str) -> Result<Vec<u8>, InvalidToken> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| InvalidToken::Malformed)
}

fn object(part: &str) -> Result<Value, InvalidToken> {
    let value: Value = serde_json::from_slice(&decode(part)?).map_err(|_| InvalidToken::NotJson)?;
    value
        .is_object()
        .then_some(value)
        .ok_or(InvalidToken::NotJson)
}

/// Reads a number without a fraction. Some writers of JSON add `.0`.
fn whole(value: &Value) -> Option<u64> {
    let number = value.as_f64()?;
    let is_whole = number.fract() == 0.0 && (0.0..=u64::MAX as f64).contains(&number);
    value.as_u64().or(is_whole.then_some(number as u64))
}

/// Reads the files that the options name.
fn read(options: &JwtOptions) -> Result<KeyFiles, AuthTokenError> {
    let contents = |name: &str, path: Option<&Path>| {
        path.map(|path| {
            read_file(path).map_err(|error| {
                let path = path.display();
                AuthTokenError::options(format!("{name}={path} cannot be read: {error}"))
            })
        })
        .transpose()
    };
    Ok(KeyFiles {
        public: contents("pub-key", options.public_key.as_deref())?,
        private: contents("priv-key", options.private_key.as_deref())?,
    })
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    files::read(path, FILE_BYTES_MAX).map_err(|unreadable| match unreadable {
        Unreadable::System(error) => error.to_string(),
        Unreadable::NotRegular(_) => "it is not a regular file".to_owned(),
        Unreadable::TooLong(_) => "it is too long for a key".to_owned(),
    })
}
