//! The gRPC statuses of the service's errors.
//!
//! The client must be able to distinguish the three ways in which a proposal fails: *refused* and
//! *rejected* mean that nothing happened and nothing will, *unknown* that it may have happened or
//! may still happen. The texts that carry this are etcd's ([`ApiError`]). Every match below is
//! total, so a new kind of error does not compile without a status.

use conclave_proto::ApiError;
use conclave_storage::Fault;
use conclave_storage::reader::ReadError;
use tonic::Status;

use conclave_core::handle::{ProposeError, Refused};
use conclave_core::lease::LeaseError;
use conclave_core::long_reads::Unread;
use conclave_core::watch::WatchError;

/// The status of an error of the API.
pub(crate) fn of_api(error: ApiError) -> Status {
    error.into()
}

/// The status of a proposal that was not applied, or not known to be.
pub(crate) fn of_proposal(error: ProposeError) -> Status {
    of_api(error.api_error())
}

/// The status of what was refused before anything was proposed, or of a refused read.
pub(crate) fn of_refused(Refused(error): Refused) -> Status {
    of_api(error)
}

/// The status of a read that failed.
pub(crate) fn of_read(error: ReadError) -> Status {
    match error {
        ReadError::Rejected(error) => of_api(error),
        ReadError::Fault(fault) => of_fault(fault),
        ReadError::Stopped => of_api(ApiError::Stopped),
    }
}

/// The status of a read that may have been long.
pub(crate) fn of_unread(error: Unread) -> Status {
    match error {
        Unread::Read(error) => of_read(error),
        Unread::Stopped => of_api(ApiError::Stopped),
        Unread::TooLarge(size_bytes) => Status::resource_exhausted(format!(
            "conclave: the response has {size_bytes} bytes, more than a message can have: use a \
             limit, or RangeStream"
        )),
        Unread::Unfinished => {
            Status::internal("conclave: the thread that read the state did not finish")
        }
    }
}

/// The status of a disk that cannot be read. The text is for the operator and goes to the log; the
/// client learns that this member, not its request, is at fault.
pub(crate) fn of_fault(fault: Fault) -> Status {
    tracing::error!(%fault, "cannot read the state");
    Status::internal("conclave: this member cannot read its state")
}

/// The status of a call that followed changes and can no longer.
pub(crate) fn of_watch(error: WatchError) -> Status {
    match error {
        WatchError::Compacted(_) => of_api(ApiError::Compacted),
        WatchError::Closed => of_api(ApiError::Stopped),
        WatchError::Read(error) => of_read(error),
    }
}

/// The status of a question about leases that the leader's memory did not answer.
pub(crate) fn of_lease(error: LeaseError) -> Status {
    match error {
        LeaseError::Refused(error) => of_api(error),
        LeaseError::Fault(fault) => of_fault(fault),
    }
}

/// The status to give in place of tonic's own about a message that cannot be received, which has
/// texts of its own and for one case a code that no other implementation of gRPC has: clients look
/// for `ResourceExhausted` when a message is too large.
pub(crate) fn of_message(status: &Status) -> Option<Status> {
    let text = status.message();
    if let Some(numbers) = text.strip_prefix(TOO_LARGE) {
        let (found, limit) = numbers.split_once(" bytes, the limit is: ")?;
        let limit = limit.strip_suffix(" bytes")?;
        return Some(Status::resource_exhausted(format!(
            "grpc: received message larger than max ({found} vs. {limit})"
        )));
    }
    if let Some(encoding) = text.strip_prefix(NOT_KNOWN) {
        let (encoding, _) = encoding.split_once('`')?;
        return Some(Status::unimplemented(format!(
            "grpc: Decompressor is not installed for grpc-encoding {encoding:?}"
        )));
    }
    None
}

/// How tonic's texts begin.
const TOO_LARGE: &str = "Error, decoded message length too large: found ";
const NOT_KNOWN: &str = "Content is compressed with `";

#[cfg(test)]
mod tests {
    use conclave_core::handle::{Rejected, Unknown};
    use conclave_proto::errors::Code;

    use super::*;

    #[test]
    fn the_three_ends_of_a_proposal_keep_their_text() {
        let error = ApiError::Timeout;
        for end in [
            ProposeError::Rejected(Rejected(error)),
            ProposeError::Refused(Refused(error)),
            ProposeError::Unknown(Unknown(error)),
        ] {
            let status = of_proposal(end);
            assert_eq!(status.code(), Code::Unavailable.into());
            assert_eq!(status.message(), "etcdserver: request timed out");
        }
    }

    #[test]
    fn a_message_that_cannot_be_received_is_refused_in_grpcs_words() {
        for (tonics, code, text) in [
            (
                "Error, decoded message length too large: found 7 bytes, the limit is: 5 bytes",
                tonic::Code::ResourceExhausted,
                "grpc: received message larger than max (7 vs. 5)",
            ),
            (
                "Content is compressed with `zstd` which isn't supported",
                tonic::Code::Unimplemented,
                "grpc: Decompressor is not installed for grpc-encoding \"zstd\"",
            ),
        ] {
            let ours = of_message(&Status::out_of_range(tonics)).expect("one of those");
            assert_eq!((ours.code(), ours.message()), (code, text));
        }
        assert!(of_message(&of_api(ApiError::Compacted)).is_none());
    }
}
