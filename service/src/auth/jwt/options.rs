//! The value of `--auth-token`, read as etcd reads it: a kind, and options for it.
//!
//! ```text
//! simple
//! jwt,pub-key=PATH,priv-key=PATH,sign-method=RS256,ttl=10m
//! ```
//!
//! Errors begin with etcd's text, and say what is wrong with which option. The differences: etcd
//! accepts an empty value, with which no login succeeds, and a TTL of zero or less, with which
//! every token has expired when the client gets it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::duration::parse_duration;

use super::keys::{METHODS, Method};

/// TTL of a token if there is no `ttl`.
const DEFAULT_TTL: Duration = Duration::from_secs(300);

const PUBLIC_KEY: &str = "pub-key";
const PRIVATE_KEY: &str = "priv-key";
const SIGN_METHOD: &str = "sign-method";
const TTL: &str = "ttl";

/// A value of `--auth-token` that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--auth-token: {text}: {problem}")]
pub(crate) struct AuthTokenError {
    /// etcd's text.
    text: &'static str,
    problem: String,
}

impl AuthTokenError {
    fn new(text: &'static str, problem: impl Into<String>) -> AuthTokenError {
        AuthTokenError {
            text,
            problem: problem.into(),
        }
    }

    /// The value cannot be parsed, or names a file that cannot be read.
    pub(super) fn options(problem: impl Into<String>) -> AuthTokenError {
        AuthTokenError::new("auth: invalid auth options", problem)
    }

    pub(super) fn missing_key(problem: impl Into<String>) -> AuthTokenError {
        AuthTokenError::new("auth: missing key data", problem)
    }

    pub(super) fn mismatch(problem: impl Into<String>) -> AuthTokenError {
        AuthTokenError::new("auth: public and private keys don't match", problem)
    }

    /// A key that cannot be used. etcd shows the text of a library.
    pub(super) fn key(problem: impl Into<String>) -> AuthTokenError {
        AuthTokenError::new("auth: invalid key", problem)
    }
}

/// The kind of tokens that a member gives and accepts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum AuthToken {
    Simple,
    Jwt(JwtOptions),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct JwtOptions {
    pub(super) method: Method,
    pub(super) public_key: Option<PathBuf>,
    pub(super) private_key: Option<PathBuf>,
    pub(super) ttl: Duration,
}

impl AuthToken {
    /// Parses the value of the flag. Does not read files.
    pub(crate) fn parse(value: &str) -> Result<AuthToken, AuthTokenError> {
        let mut parts = value.split(',');
        let kind = parts.next().unwrap_or_default();
        // As in etcd, the form of the options is checked for every kind.
        let options = pairs(parts)?;
        match kind {
            "simple" => Ok(AuthToken::Simple),
            "jwt" => JwtOptions::new(&options).map(AuthToken::Jwt),
            _ => Err(AuthTokenError::options(format!(
                "{kind:?} is not a kind of tokens: use simple or jwt,sign-method=METHOD,…"
            ))),
        }
    }
}

/// Splits each option at its `=`.
fn pairs<'a>(
    options: impl Iterator<Item = &'a str>,
) -> Result<BTreeMap<&'a str, &'a str>, AuthTokenError> {
    let mut found = BTreeMap::new();
    for option in options {
        let pair = option.split_once('=');
        let Some((name, value)) = pair.filter(|(_, value)| !value.contains('=')) else {
            return Err(AuthTokenError::options(format!(
                "{option:?} is not of the form NAME=VALUE, with one ="
            )));
        };
        if found.insert(name, value).is_some() {
            return Err(AuthTokenError::options(format!("{name} is given twice")));
        }
    }
    Ok(found)
}

impl JwtOptions {
    fn new(options: &BTreeMap<&str, &str>) -> Result<JwtOptions, AuthTokenError> {
        // An empty value counts as none.
        let given = |name| options.get(name).copied().filter(|value| !value.is_empty());
        let methods = METHODS.join(", ");
        let Some(method) = given(SIGN_METHOD) else {
            return Err(AuthTokenError::options(format!(
                "{SIGN_METHOD} is missing: give one of {methods}"
            )));
        };
        let Some(method) = Method::find(method) else {
            return Err(AuthTokenError::options(format!(
                "{SIGN_METHOD} {method} is not supported: give one of {methods}"
            )));
        };
        let ttl = match given(TTL) {
            None => DEFAULT_TTL,
            Some(text) => parse_duration(text)
                .filter(|ttl| !ttl.is_zero())
                .ok_or_else(|| {
                    AuthTokenError::options(format!(
                        "{TTL} {text:?} is not a duration above zero, such as 5m or 1h30m"
                    ))
                })?,
        };
        let known = [PUBLIC_KEY, PRIVATE_KEY, SIGN_METHOD, TTL];
        let is_unknown = |name: &&&str| !known.contains(*name);
        let unknown: Vec<_> = options.keys().filter(is_unknown).collect();
        if !unknown.is_empty() {
            tracing::warn!(?unknown, "--auth-token: unknown options are ignored");
        }
        Ok(JwtOptions {
            method,
            public_key: given(PUBLIC_KEY).map(PathBuf::from),
            private_key: given(PRIVATE_KEY).map(PathBuf::from),
            ttl,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str) -> Result<AuthToken, String> {
        AuthToken::parse(value).map_err(|error| error.to_string())
    }

    #[test]
    fn values_of_etcd_are_read() {
        assert_eq!(parse("simple"), Ok(AuthToken::Simple));
        assert_eq!(parse("simple,a=b"), Ok(AuthToken::Simple));
        let jwt = |method, public: Option<&str>, private: Option<&str>, ttl| {
            Ok(AuthToken::Jwt(JwtOptions {
                method: Method::find(method).unwrap(),
                public_key: public.map(PathBuf::from),
                private_key: private.map(PathBuf::from),
                ttl: Duration::from_secs(ttl),
            }))
        };
        let cases = [
            (
                "jwt,pub-key=/a/b.crt,priv-key=/c.key,sign-method=RS256,ttl=1h30m",
                jwt("RS256", Some("/a/b.crt"), Some("/c.key"), 5_400),
            ),
            (
                "jwt,sign-method=ES256,priv-key=c",
                jwt("ES256", None, Some("c"), 300),
            ),
            (
                "jwt,pub-key=,priv-key=c,ttl=,sign-method=HS512,unknown=1",
                jwt("HS512", None, Some("c"), 300),
            ),
            // The key is missed when it is loaded.
            ("jwt,sign-method=PS384", jwt("PS384", None, None, 300)),
        ];
        for (value, expected) in cases {
            assert_eq!(parse(value), expected, "{value}");
        }
    }

    #[test]
    fn an_error_says_what_to_do() {
        let known = "give one of HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, \
                     ES256, ES384, ES512, EdDSA";
        let cases: &[(&str, &str)] = &[
            (
                "",
                "\"\" is not a kind of tokens: use simple or jwt,sign-method=METHOD,…",
            ),
            (
                "JWT",
                "\"JWT\" is not a kind of tokens: use simple or jwt,sign-method=METHOD,…",
            ),
            ("jwt", &format!("sign-method is missing: {known}")),
            (
                "jwt,sign-method=",
                &format!("sign-method is missing: {known}"),
            ),
            (
                "jwt,sign-method=none",
                &format!("sign-method none is not supported: {known}"),
            ),
            (
                "jwt,sign-method=rs256",
                &format!("sign-method rs256 is not supported: {known}"),
            ),
            (
                "jwt,sign-method=ES256K",
                &format!("sign-method ES256K is not supported: {known}"),
            ),
            (
                "jwt,sign-method",
                "\"sign-method\" is not of the form NAME=VALUE, with one =",
            ),
            ("jwt,", "\"\" is not of the form NAME=VALUE, with one ="),
            (
                "simple,a",
                "\"a\" is not of the form NAME=VALUE, with one =",
            ),
            (
                "jwt,pub-key=a=b",
                "\"pub-key=a=b\" is not of the form NAME=VALUE, with one =",
            ),
            ("jwt,ttl=1s,ttl=2s", "ttl is given twice"),
            (
                "jwt,sign-method=RS256,ttl=forever",
                "ttl \"forever\" is not a duration above zero, such as 5m or 1h30m",
            ),
            (
                "jwt,sign-method=RS256,ttl=0s",
                "ttl \"0s\" is not a duration above zero, such as 5m or 1h30m",
            ),
            (
                "jwt,sign-method=RS256,ttl=-5m",
                "ttl \"-5m\" is not a duration above zero, such as 5m or 1h30m",
            ),
        ];
        for (value, problem) in cases {
            let expected = format!("--auth-token: auth: invalid auth options: {problem}");
            assert_eq!(parse(value), Err(expected), "{value}");
        }
    }
}
