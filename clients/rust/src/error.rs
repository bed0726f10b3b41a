//! Errors, by what the caller can do about them.

use std::path::PathBuf;

use conclave_proto::errors::ApiError;
use tonic::{Code, Status};

/// The reason why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The endpoints cannot be used: a mistake in the caller's configuration.
    #[error("bad endpoint: {0}")]
    Endpoint(String),
    /// A file of certificates or keys cannot be used.
    #[error("{}: {problem}", file.display())]
    Tls {
        /// The file.
        file: PathBuf,
        /// Problem with it.
        problem: String,
    },
    /// The server answered with an error of the API. The request had no effect, unless the error is
    /// a timeout.
    #[error("{0}")]
    Api(ApiError),
    /// The transport failed, or the server answered with an error outside the API. A write may have
    /// happened.
    #[error("{}: {}", .0.code(), .0.message())]
    Status(Box<Status>),
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

impl Error {
    /// Returns true if the server could not be reached or had no leader, so that a later attempt
    /// may succeed.
    pub fn is_unavailable(&self) -> bool {
        match self {
            // A status from the server has no source. A status with a source is a transport error,
            // whatever its code: a connection that breaks in the middle of a stream is `Unknown`.
            Self::Status(status) => {
                status.code() == Code::Unavailable || std::error::Error::source(&**status).is_some()
            }
            Self::Api(error) => error.code() == conclave_proto::errors::Code::Unavailable,
            Self::Endpoint(_)
            | Self::Tls { .. }
            | Self::Compacted { .. }
            | Self::WatchCanceled(_)
            | Self::Protocol(_) => false,
        }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        match ApiError::from_text(status.message()) {
            Some(error) => Self::Api(error),
            None => Self::Status(Box::new(status)),
        }
    }
}
