//! The login of a client, which all of its calls share.
//!
//! A client logs in before its first call, and again when a server has refused its token. All calls
//! that need a token at that time wait for the same login:
//!
//! ```text
//! call A ── refused ──┐
//! call B ── refused ──┼── one login ──┬── A again
//! call C (new) ───────┘               ├── B again
//!                                     └── C
//! ```
//!
//! A call names the token it was refused with ([`Login::forget`]), so a late refusal of a former
//! token does not end the present one. After a failed login the next one waits, longer after each
//! failure; until then calls fail with the same error. So a client with a wrong password does not
//! reach the server's bound on guesses, beyond which its whole address would be refused.

use std::fmt;
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tonic::Request;

use conclave_proto::errors::ApiError;
use conclave_proto::etcdserverpb::AuthenticateRequest;
use conclave_proto::etcdserverpb::auth_client::AuthClient;

use crate::Error;
use crate::calls::Calls;
use crate::effect::Effect;

/// Time limit of a login. A login of bcrypt's cost 10 takes a twentieth of a second, and a server
/// answers at most some dozens that wait.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after the first failed login; each further failure doubles it.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest pause after a login that was refused. 20 wrong passwords in a minute are too many.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Longest pause while no server answers.
const PAUSE_UNAVAILABLE_MAX: Duration = Duration::from_millis(500);

/// A user and password. `Debug` does not print the password.
#[derive(Clone)]
pub struct User {
    /// Name of the user.
    pub name: String,
    /// The user's password.
    pub password: String,
}

impl User {
    /// A user with this name and password.
    pub fn new(name: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            password: password.into(),
        }
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the password.
        f.debug_struct("User")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The credentials of a call: a token, or nothing if the cluster has no authentication.
pub(crate) type Token = Option<HeaderValue>;

/// The login of one client.
pub(crate) struct Login {
    user: User,
    calls: Calls,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// `None` until the first login, and after a refusal.
    token: Option<Token>,
    failure: Option<Failure>,
}

/// The last login, if it failed.
struct Failure {
    error: Error,
    pause: Duration,
    /// The next login is not before this.
    until: Instant,
}

impl Login {
    pub(crate) fn new(user: User, calls: Calls) -> Self {
        Self {
            user,
            calls,
            state: Mutex::default(),
        }
    }

    /// Returns the present token, after a login if there is none.
    pub(crate) async fn token(&self) -> Result<Token, Error> {
        // Locked during the login, so that other calls wait for it.
        let mut state = self.state.lock().await;
        if let Some(token) = &state.token {
            return Ok(token.clone());
        }
        if let Some(failure) = &state.failure
            && Instant::now() < failure.until
        {
            return Err(failure.error.clone());
        }
        match self.log_in().await {
            Ok(token) => {
                *state = State {
                    token: Some(token.clone()),
                    failure: None,
                };
                Ok(token)
            }
            Err(error) => {
                let last = state.failure.as_ref().map(|failure| failure.pause);
                state.failure = Some(Failure::after(last, error.clone()));
                Err(error)
            }
        }
    }

    /// A server has refused this token: the next call logs in, unless there is another token
    /// already.
    pub(crate) async fn forget(&self, refused: &Token) {
        let mut state = self.state.lock().await;
        if state.token.as_ref() == Some(refused) {
            state.token = None;
        }
    }

    async fn log_in(&self) -> Result<Token, Error> {
        let request = AuthenticateRequest {
            name: self.user.name.clone(),
            password: self.user.password.clone(),
        };
        let mut request = Request::new(request);
        request.set_timeout(LOGIN_TIMEOUT);
        let mut stub = AuthClient::new(self.calls.clone());
        let answer = stub.authenticate(request).await;
        // A login that may have happened is no write to its user.
        let answer = answer.map_err(|status| Error::of_call(status, Effect::Read));
        let mut token = match answer {
            Ok(answer) => HeaderValue::try_from(answer.into_inner().token)
                .map_err(|_| Error::Protocol("the token is not text"))?,
            // As in etcd's own client: calls need no token, until authentication is enabled.
            Err(Error::Api(ApiError::AuthNotEnabled)) => return Ok(None),
            Err(error) => return Err(error),
        };
        // Not shown by `Debug`, and not compressed in a way that reveals parts of it.
        token.set_sensitive(true);
        Ok(Some(token))
    }
}

impl Failure {
    fn after(last: Option<Duration>, error: Error) -> Self {
        let longest = match error.is_retriable() {
            true => PAUSE_UNAVAILABLE_MAX,
            false => PAUSE_MAX,
        };
        let pause = last.map_or(PAUSE_MIN, |pause| pause * 2).min(longest);
        Self {
            error,
            pause,
            until: Instant::now() + pause,
        }
    }
}

/// Returns true if a server refused a call for its token, or for having none. Such a call was not
/// executed: the token is checked before a call begins, and the auth revision in it before the
/// entry of the log takes effect.
pub(crate) fn is_refused_token(message: &str) -> bool {
    let reasons = [
        ApiError::InvalidAuthToken,
        ApiError::AuthOldRevision,
        ApiError::UserEmpty,
    ];
    // A watcher that is refused has the reason in the form that Go prints.
    let mut reasons = reasons.iter();
    reasons.any(|reason| message == reason.text() || message == reason.go_text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_password_is_not_tried_often() {
        let mut last = None;
        let mut after = Duration::ZERO;
        let mut count = 0;
        while after < Duration::from_secs(60) {
            let pause = Failure::after(last, Error::Api(ApiError::AuthFailed)).pause;
            (last, after, count) = (Some(pause), after + pause, count + 1);
        }
        assert!(count < 20, "{count} logins in a minute");
        let unavailable = Failure::after(last, Error::Unavailable(String::new())).pause;
        assert_eq!(unavailable, PAUSE_UNAVAILABLE_MAX);
    }

    #[test]
    fn a_password_is_not_shown() {
        let user = User::new("alice", "hunter2");
        let shown = format!("{user:?}");
        assert!(
            shown.contains("alice") && !shown.contains("hunter2"),
            "{shown}"
        );
    }

    #[test]
    fn refusals_are_recognised_in_both_forms() {
        for text in [
            "etcdserver: invalid auth token",
            "etcdserver: revision of auth store is old",
            "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token",
        ] {
            assert!(is_refused_token(text), "{text}");
        }
        assert!(!is_refused_token("etcdserver: permission denied"));
    }
}
