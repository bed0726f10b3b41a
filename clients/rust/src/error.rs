//! Errors, by what the caller can do about them.
//!
//! [`Error::kind`] is the same in every language's client. [`Error::is_retriable`] says whether
//! another attempt can succeed, and [`Error::may_have_happened`] whether a write may have been
//! executed all the same.

use std::error::Error as _;
use std::fmt;
use std::path::PathBuf;

use conclave_proto::errors::ApiError;
use tonic::{Code, Status};

use crate::effect::{Effect, Sent};

/// The reason why a request failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The endpoints cannot be used: a mistake in the caller's configuration.
    #[error("bad endpoint: {0}")]
    Endpoint(String),
    /// A file of certificates or keys cannot be used.
    #[error("{}: {problem}", file.display())]
    Tls {
        /// The file.
        file: PathBuf,
        /// The reason.
        problem: String,
    },
    /// The arguments are wrong. Nothing was sent.
    #[error("invalid argument: {0}")]
    Invalid(String),
    /// The server answered with an error of the API.
    #[error("{0}")]
    Api(ApiError),
    /// The server answered with an error outside the API. The request was refused.
    #[error("{}: {}", .0.code(), .0.message())]
    Status(Box<Status>),
    /// No endpoint could be reached, or none was ready. Nothing was executed; try again.
    #[error("no endpoint is available: {0}")]
    Unavailable(String),
    /// A write was sent and its answer was lost. Read what it would have written before another
    /// attempt, unless the write can be repeated.
    #[error("the write may have happened, its answer was lost: {0}")]
    Maybe(String),
    /// The time was up for a read, or for waiting. Try again with more time.
    #[error("no answer within the deadline: {0}")]
    Deadline(String),
    /// The client, session or handle is closed. Create another one.
    #[error("{0} is closed")]
    Closed(&'static str),
    /// The client was closed while a write was under way, which may have been executed.
    #[error("{0} is closed, and the write may have happened")]
    ClosedAfterWrite(&'static str),
    /// The session is lost, and with it all that was held by it. Open another session.
    #[error("the session is lost, and its keys with it: open another session")]
    SessionLost,
    /// The server has compacted the history that a watch needs. The caller can watch again from
    /// `revision`, and has missed the events before it.
    #[error("the history before revision {revision} has been compacted")]
    Compacted {
        /// The lowest revision that can still be watched.
        revision: i64,
    },
    /// The server canceled the watch, for this reason.
    #[error("watch canceled: {0}")]
    WatchCanceled(String),
    /// The reply lacks a part that the API promises.
    #[error("the server's reply is not of the API: {0}")]
    Protocol(&'static str),
}

/// The kind of an error, the same in the clients of all languages. `Display` prints the kind's name
/// in the conformance scenarios.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The server's own error.
    Api,
    /// No endpoint could be reached, or none was ready.
    Unavailable,
    /// A write was sent, and its answer was lost.
    Maybe,
    /// The time was up for a read, or for waiting in a recipe.
    Deadline,
    /// The client, session or handle is closed.
    Closed,
    /// The session of the recipe is lost.
    SessionLost,
    /// The watch's next revision is compacted.
    Compacted,
    /// The arguments are wrong.
    Invalid,
    /// The user or the password was refused.
    Login,
}

impl ErrorKind {
    /// The name of the kind.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Unavailable => "unavailable",
            Self::Maybe => "maybe",
            Self::Deadline => "deadline",
            Self::Closed => "closed",
            Self::SessionLost => "session_lost",
            Self::Compacted => "compacted",
            Self::Invalid => "invalid",
            Self::Login => "login",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Error {
    /// The kind of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Endpoint(_) | Self::Tls { .. } | Self::Invalid(_) => ErrorKind::Invalid,
            Self::Api(ApiError::AuthFailed) => ErrorKind::Login,
            Self::Api(_) | Self::Status(_) | Self::WatchCanceled(_) | Self::Protocol(_) => {
                ErrorKind::Api
            }
            Self::Unavailable(_) => ErrorKind::Unavailable,
            Self::Maybe(_) => ErrorKind::Maybe,
            Self::Deadline(_) => ErrorKind::Deadline,
            Self::Closed(_) | Self::ClosedAfterWrite(_) => ErrorKind::Closed,
            Self::SessionLost => ErrorKind::SessionLost,
            Self::Compacted { .. } => ErrorKind::Compacted,
        }
    }

    /// The server's own error, if it is one.
    pub fn api(&self) -> Option<ApiError> {
        match self {
            Self::Api(error) => Some(*error),
            _ => None,
        }
    }

    /// True if another attempt can succeed. After a write that may have happened, first see whether
    /// it has.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Api(error) => error.is_retriable(),
            Self::Unavailable(_) | Self::Maybe(_) | Self::Deadline(_) => true,
            _ => false,
        }
    }

    /// True if the request may have been executed.
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::Api(error) => error.may_have_happened(),
            Self::Maybe(_) | Self::ClosedAfterWrite(_) => true,
            _ => false,
        }
    }

    /// True if the server could not be reached or had no leader, so that a later attempt may
    /// succeed.
    pub fn is_unavailable(&self) -> bool {
        self.is_retriable() && self.api().is_none_or(|error| error.code() == UNAVAILABLE)
    }

    /// This error of a call that may have been `sent`.
    pub(crate) fn after(self, effect: Effect, sent: &Sent) -> Self {
        match self {
            Self::Closed(what) if effect != Effect::Read && sent.is_set() => {
                Self::ClosedAfterWrite(what)
            }
            error => error,
        }
    }

    /// The error of a call with this effect that ended with `status`.
    pub(crate) fn of_call(status: Status, effect: Effect) -> Self {
        if let Some(own) = status.source().and_then(|source| source.downcast_ref()) {
            return Self::clone(own);
        }
        let is_write = effect != Effect::Read;
        let text = || format!("{}: {}", status.code(), status.message());
        match (ApiError::from_text(status.message()), status.code()) {
            (_, Code::DeadlineExceeded) if is_write => Self::Maybe(text()),
            (_, Code::DeadlineExceeded) => Self::Deadline(text()),
            (Some(error), _) => Self::Api(error),
            // The time limit of a server of tonic, which has the call's deadline from us.
            (None, Code::Cancelled) if !is_write => Self::Deadline(text()),
            (None, code) if is_without_answer(code) && is_write => Self::Maybe(text()),
            (None, code) if is_without_answer(code) => Self::Unavailable(text()),
            (None, _) => Self::Status(Box::new(status)),
        }
    }

    /// The error of a watch that the server cancels for this reason.
    pub(crate) fn of_cancelled_watch(reason: &str) -> Self {
        // The API's errors come in the form in which Go prints them.
        let text = reason
            .split_once("desc = ")
            .map_or(reason, |(_, text)| text);
        match ApiError::from_text(text) {
            Some(error) => Self::Api(error),
            None => Self::WatchCanceled(reason.to_owned()),
        }
    }
}

/// True if a status with this code, when it is not in the API's table, does not say whether the
/// call was executed.
const fn is_without_answer(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::Unknown
            | Code::Internal
            | Code::Aborted
            | Code::DataLoss
            | Code::Cancelled
    )
}

const UNAVAILABLE: conclave_proto::errors::Code = conclave_proto::errors::Code::Unavailable;

/// The error of a generated stub's call. A status outside the API's table is taken for a write's.
impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::of_call(status, Effect::Write)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_outside_the_table_is_judged_by_its_code_and_by_the_call() {
        let kind = |status: Status, effect| Error::of_call(status, effect).kind();
        let no_answers = [Code::Unavailable, Code::Unknown, Code::Internal];
        for code in no_answers
            .into_iter()
            .chain([Code::Aborted, Code::DataLoss])
        {
            let status = Status::new(code, "connection reset");
            assert_eq!(kind(status.clone(), Effect::Write), ErrorKind::Maybe);
            assert_eq!(kind(status, Effect::Read), ErrorKind::Unavailable);
        }
        let gone = Status::new(Code::Cancelled, "operation was canceled");
        assert_eq!(kind(gone.clone(), Effect::Write), ErrorKind::Maybe);
        assert_eq!(kind(gone, Effect::Read), ErrorKind::Deadline);
        let refused = Status::new(Code::Unimplemented, "no such method");
        assert_eq!(kind(refused, Effect::Write), ErrorKind::Api);
        let late = Status::from(ApiError::DeadlineExceeded);
        assert_eq!(kind(late.clone(), Effect::Read), ErrorKind::Deadline);
        assert_eq!(kind(late, Effect::Write), ErrorKind::Maybe);
    }

    #[test]
    fn an_error_of_the_table_says_what_the_table_says() {
        for &api in ApiError::ALL {
            let error = Error::of_call(api.into(), Effect::Read);
            if api == ApiError::DeadlineExceeded {
                continue;
            }
            assert_eq!(error.api(), Some(api));
            assert_eq!(error.is_retriable(), api.is_retriable());
            assert_eq!(error.may_have_happened(), api.may_have_happened());
        }
        let login = Error::Api(ApiError::AuthFailed);
        assert_eq!(login.kind(), ErrorKind::Login);
    }

    #[test]
    fn a_refused_watch_has_the_error_of_the_table() {
        let denied = Error::of_cancelled_watch(&ApiError::PermissionDenied.go_text());
        assert_eq!(denied.api(), Some(ApiError::PermissionDenied));
        let other = Error::of_cancelled_watch("mvcc: watcher range is empty");
        assert!(matches!(other, Error::WatchCanceled(_)));
    }
}
