//! What can go wrong, sorted by what the caller can do about it.

use conclave_proto::errors::ApiError;
use tonic::{Code, Status};

/// A request that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The endpoint list is unusable: a mistake in the caller's configuration.
    #[error("bad endpoint: {0}")]
    Endpoint(String),
    /// The server answered with an error of the API. It decided, so the request had no effect,
    /// unless the error is a timeout.
    #[error("{0}")]
    Api(ApiError),
    /// The transport failed, or the server said something outside the API. A write may have
    /// happened.
    #[error("{}: {}", .0.code(), .0.message())]
    Status(Box<Status>),
    /// The server compacted the history a watch wanted to read; it can go on from `revision`,
    /// having missed what was before.
    #[error("the history before revision {revision} has been compacted")]
    Compacted {
        /// The lowest revision that can still be watched.
        revision: i64,
    },
    /// The server ended the watch for the reason it gives.
    #[error("watch canceled: {0}")]
    WatchCanceled(String),
    /// The reply lacks what the API promises.
    #[error("the server's reply is not of the API: {0}")]
    Protocol(&'static str),
}

impl Error {
    /// True when the server could not be reached or had no leader, so that a later attempt may
    /// succeed.
    pub fn is_unavailable(&self) -> bool {
        match self {
            // What a server says has no source. What has one broke on the way, under whatever code:
            // a connection lost in the middle of a stream is `Unknown`.
            Self::Status(status) => {
                status.code() == Code::Unavailable || std::error::Error::source(&**status).is_some()
            }
            Self::Api(error) => error.code() == conclave_proto::errors::Code::Unavailable,
            Self::Endpoint(_)
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
