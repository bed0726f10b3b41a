//! The three ways in which a proposal ends without a reply, as three types.
//!
//! - [`Refused`]: it never reached the log. Nothing happened, and another member or a retry may
//!   succeed.
//! - [`Rejected`]: the state machine decided against it. Deterministic and final.
//! - [`Unknown`]: it is or was in the log or on its way there, and its outcome is not known.
//!
//! None is ever converted to another: a client that retries after *unknown* as if it were *refused*
//! may write twice. [`ProposeError`] is one of the three; a function that can only refuse returns
//! [`Refused`].

use std::fmt;

use conclave_proto::ApiError;

pub use conclave_storage::machine::Rejected;

/// A refusal before anything was proposed: nothing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(pub ApiError);

/// An outcome that is not known: the command may or may not be applied, now or later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown(pub ApiError);

/// Reason why a proposal has no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProposeError {
    /// Rejected by the state machine.
    Rejected(Rejected),
    /// Refused before it was proposed.
    Refused(Refused),
    /// Not known.
    Unknown(Unknown),
}

impl ProposeError {
    /// Returns the error for the client. Its code and text distinguish the three variants.
    pub fn api_error(self) -> ApiError {
        match self {
            ProposeError::Rejected(Rejected(error))
            | ProposeError::Refused(Refused(error))
            | ProposeError::Unknown(Unknown(error)) => error,
        }
    }
}

impl From<Rejected> for ProposeError {
    fn from(rejected: Rejected) -> ProposeError {
        ProposeError::Rejected(rejected)
    }
}

impl From<Refused> for ProposeError {
    fn from(refused: Refused) -> ProposeError {
        ProposeError::Refused(refused)
    }
}

impl From<Unknown> for ProposeError {
    fn from(unknown: Unknown) -> ProposeError {
        ProposeError::Unknown(unknown)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused: {}", self.0)
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown: {}", self.0)
    }
}

impl fmt::Display for ProposeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProposeError::Rejected(rejected) => write!(f, "rejected: {rejected}"),
            ProposeError::Refused(refused) => refused.fmt(f),
            ProposeError::Unknown(unknown) => unknown.fmt(f),
        }
    }
}

impl std::error::Error for Refused {}

impl std::error::Error for Unknown {}

impl std::error::Error for ProposeError {}
