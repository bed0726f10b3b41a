//! The errors of the public API: one table of name, code and text.
//!
//! Clients recognise an error by its *text* (etcd's Go client looks the text up and takes the code
//! from its own table) or by its code (most others), so both must never change. Names are etcd's,
//! without the prefix `ErrGRPC`.
//!
//! There are three kinds of row:
//!
//! - most have one code, both in the table and on the wire;
//! - those with `on the wire Unknown` are declared with the code that clients know, but are sent as
//!   `Unknown`: etcd's server looks them up in the wrong table, and we follow it;
//! - the last few have neither prefix nor code: etcd passes their raw text on as `Unknown`.
//!
//! After the text, `retry` marks errors after which another attempt can succeed, and `maybe` those
//! after which the request may have been executed. `errors.tsv` is this table for the clients in
//! other languages, which generate their errors from it.
//!
//! `Unavailable` makes clients retry a read. New errors must use it only for conditions that are
//! temporary.

use std::fmt;

/// A gRPC status code other than OK, by its number on the wire.
///
/// Defined here so that `storage` can use codes without tonic. `Display` prints Go's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
#[allow(missing_docs)] // The names are gRPC's and say it all.
pub enum Code {
    Canceled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Reasons for refusing a watcher, in `WatchResponse.cancel_reason`, that are not an [`ApiError`].
/// A negative start is refused with the bare text of [`ApiError::Compacted`]; a caller without
/// permission with [`ApiError::go_text`].
pub mod cancel_reason {
    /// `range_end` is at or below `key`.
    pub const RANGE_EMPTY: &str = "mvcc: watcher range is empty";
    /// The client chose a watch id that is in use on the stream.
    pub const DUPLICATE_ID: &str = "mvcc: duplicate watch ID provided on the WatchStream";
}

macro_rules! api_errors {
    (@wire $code:ident) => { Code::$code };
    (@wire $code:ident $wire:ident) => { Code::$wire };
    (@retry) => { false };
    (@retry retry $(maybe)?) => { true };
    (@retry maybe) => { false };
    (@maybe) => { false };
    (@maybe $(retry)? maybe) => { true };
    (@maybe retry) => { false };
    ($($name:ident = $code:ident $(on the wire $wire:ident)?, $text:literal $($flag:ident)*;)+) => {
        /// An error of the public API. The documentation of each variant is its text.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ApiError {
            $(#[doc = $text] $name,)+
        }

        impl ApiError {
            /// Every error, in the order of the table.
            pub const ALL: &[ApiError] = &[$(ApiError::$name,)+];

            /// The code that a client's own table has for the error. See [`ApiError::wire_code`]
            /// for the code to send.
            pub const fn code(self) -> Code {
                match self {
                    $(ApiError::$name => Code::$code,)+
                }
            }

            /// The code to send.
            pub const fn wire_code(self) -> Code {
                match self {
                    $(ApiError::$name => api_errors!(@wire $code $($wire)?),)+
                }
            }

            /// True if another attempt, at this member or another one, can succeed.
            pub const fn is_retriable(self) -> bool {
                match self {
                    $(ApiError::$name => api_errors!(@retry $($flag)*),)+
                }
            }

            /// True if the request may have been executed. With most errors it was not.
            pub const fn may_have_happened(self) -> bool {
                match self {
                    $(ApiError::$name => api_errors!(@maybe $($flag)*),)+
                }
            }

            /// The message to send, exactly.
            pub const fn text(self) -> &'static str {
                match self {
                    $(ApiError::$name => $text,)+
                }
            }

            /// The error with exactly this text.
            pub fn from_text(text: &str) -> Option<ApiError> {
                match text {
                    $($text => Some(ApiError::$name),)+
                    _ => None,
                }
            }
        }
    };
}

api_errors! {
    EmptyKey = InvalidArgument, "etcdserver: key is not provided";
    KeyNotFound = InvalidArgument, "etcdserver: key not found";
    ValueProvided = InvalidArgument, "etcdserver: value is provided";
    LeaseProvided = InvalidArgument, "etcdserver: lease is provided";
    TooManyOps = InvalidArgument, "etcdserver: too many operations in txn request";
    DuplicateKey = InvalidArgument, "etcdserver: duplicate key given in txn request";
    InvalidClientAPIVersion = InvalidArgument, "etcdserver: invalid client api version";
    InvalidSortOption = InvalidArgument, "etcdserver: invalid sort option";
    Compacted = OutOfRange, "etcdserver: mvcc: required revision has been compacted";
    FutureRev = OutOfRange, "etcdserver: mvcc: required revision is a future revision";
    NoSpace = ResourceExhausted, "etcdserver: mvcc: database space exceeded";
    LeaseNotFound = NotFound, "etcdserver: requested lease not found";
    LeaseExist = FailedPrecondition, "etcdserver: lease already exists";
    LeaseTTLTooLarge = OutOfRange, "etcdserver: too large lease TTL";
    WatchCanceled = Canceled, "etcdserver: watch canceled";
    MemberExist = FailedPrecondition, "etcdserver: member ID already exist";
    PeerURLExist = FailedPrecondition, "etcdserver: Peer URLs already exists";
    MemberNotEnoughStarted = FailedPrecondition on the wire Unknown,
        "etcdserver: re-configuration failed due to not enough started members";
    MemberBadURLs = InvalidArgument, "etcdserver: given member URLs are invalid";
    MemberNotFound = NotFound, "etcdserver: member not found";
    MemberNotLearner = FailedPrecondition, "etcdserver: can only promote a learner member";
    LearnerNotReady = FailedPrecondition,
        "etcdserver: can only promote a learner member which is in sync with leader";
    TooManyLearners = FailedPrecondition, "etcdserver: too many learner members in cluster";
    ClusterIDMismatch = FailedPrecondition, "etcdserver: cluster ID mismatch";
    RequestTooLarge = InvalidArgument, "etcdserver: request is too large";
    RequestTooManyRequests = ResourceExhausted on the wire Unknown,
        "etcdserver: too many requests" retry;
    RootUserNotExist = FailedPrecondition, "etcdserver: root user does not exist";
    RootRoleNotExist = FailedPrecondition, "etcdserver: root user does not have root role";
    UserAlreadyExist = FailedPrecondition, "etcdserver: user name already exists";
    UserEmpty = InvalidArgument, "etcdserver: user name is empty";
    UserNotFound = FailedPrecondition, "etcdserver: user name not found";
    RoleAlreadyExist = FailedPrecondition, "etcdserver: role name already exists";
    RoleNotFound = FailedPrecondition, "etcdserver: role name not found";
    RoleEmpty = InvalidArgument, "etcdserver: role name is empty";
    AuthFailed = InvalidArgument, "etcdserver: authentication failed, invalid user ID or password";
    PermissionNotGiven = InvalidArgument, "etcdserver: permission not given";
    PermissionDenied = PermissionDenied, "etcdserver: permission denied";
    RoleNotGranted = FailedPrecondition, "etcdserver: role is not granted to the user";
    PermissionNotGranted = FailedPrecondition, "etcdserver: permission is not granted to the role";
    AuthNotEnabled = FailedPrecondition, "etcdserver: authentication is not enabled";
    InvalidAuthToken = Unauthenticated, "etcdserver: invalid auth token";
    InvalidAuthMgmt = InvalidArgument, "etcdserver: invalid auth management";
    AuthOldRevision = InvalidArgument, "etcdserver: revision of auth store is old";
    NoLeader = Unavailable, "etcdserver: no leader" retry;
    NotLeader = FailedPrecondition, "etcdserver: not leader" retry;
    LeaderChanged = Unavailable, "etcdserver: leader changed" retry maybe;
    NotCapable = FailedPrecondition, "etcdserver: not capable";
    Stopped = Unavailable, "etcdserver: server stopped" retry maybe;
    Timeout = Unavailable, "etcdserver: request timed out" retry maybe;
    TimeoutDueToLeaderFail = Unavailable,
        "etcdserver: request timed out, possibly due to previous leader failure" retry maybe;
    TimeoutDueToConnectionLost = Unavailable,
        "etcdserver: request timed out, possibly due to connection lost" retry maybe;
    TimeoutWaitAppliedIndex = Unavailable,
        "etcdserver: request timed out, waiting for the applied index took too long" retry maybe;
    Unhealthy = Unavailable, "etcdserver: unhealthy cluster" retry;
    Corrupt = DataLoss, "etcdserver: corrupt cluster";
    NotSupportedForLearner = FailedPrecondition, "etcdserver: rpc not supported for learner";
    BadLeaderTransferee = FailedPrecondition, "etcdserver: bad leader transferee";
    WrongDowngradeVersionFormat = InvalidArgument,
        "etcdserver: wrong downgrade target version format";
    InvalidDowngradeTargetVersion = InvalidArgument, "etcdserver: invalid downgrade target version";
    ClusterVersionUnavailable = FailedPrecondition,
        "etcdserver: cluster version not found during downgrade";
    DowngradeInProcess = FailedPrecondition, "etcdserver: cluster has a downgrade job in progress";
    NoInflightDowngrade = FailedPrecondition, "etcdserver: no inflight downgrade job";
    Canceled = Canceled, "etcdserver: request canceled" maybe;
    DeadlineExceeded = DeadlineExceeded, "etcdserver: context deadline exceeded" maybe;

    // Errors whose text the server passes on unchanged.
    ElectionNoLeader = Unknown, "election: no leader" retry;
    ElectionNotLeader = Unknown, "election: not leader";
    ElectionLeaderMissing = Unknown, "\"leader\" field must be provided";
    NotPrimaryLessor = Unknown, "not a primary lessor" retry;
}

impl ApiError {
    /// The error as Go's gRPC prints it, which is the form in which a refused watcher receives it.
    pub fn go_text(self) -> String {
        format!(
            "rpc error: code = {} desc = {}",
            self.wire_code(),
            self.text()
        )
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for ApiError {}

#[cfg(feature = "grpc")]
impl From<Code> for tonic::Code {
    fn from(code: Code) -> Self {
        tonic::Code::from(code as i32)
    }
}

#[cfg(feature = "grpc")]
impl From<ApiError> for tonic::Status {
    fn from(error: ApiError) -> Self {
        tonic::Status::new(error.wire_code().into(), error.text())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_table_is_complete() {
        let of_etcd = ApiError::ALL
            .iter()
            .filter(|e| e.text().starts_with("etcdserver: "));
        assert_eq!(of_etcd.count(), 63);
        assert_eq!(ApiError::ALL.len(), 63 + 4);
    }

    #[test]
    fn texts_are_unique_and_lead_back() {
        let texts: HashSet<_> = ApiError::ALL.iter().map(|e| e.text()).collect();
        assert_eq!(texts.len(), ApiError::ALL.len());
        for &error in ApiError::ALL {
            assert_eq!(ApiError::from_text(error.text()), Some(error));
            assert_eq!(error.to_string(), error.text());
        }
        assert_eq!(ApiError::from_text("etcdserver: something else"), None);
        assert_eq!(ApiError::from_text(cancel_reason::RANGE_EMPTY), None);
        assert_eq!(ApiError::from_text(cancel_reason::DUPLICATE_ID), None);
    }

    #[test]
    fn two_errors_reach_the_client_as_unknown() {
        let odd: Vec<_> = ApiError::ALL
            .iter()
            .filter(|e| e.code() != e.wire_code())
            .collect();
        assert_eq!(
            odd,
            [
                &ApiError::MemberNotEnoughStarted,
                &ApiError::RequestTooManyRequests
            ]
        );
        assert!(odd.iter().all(|e| e.wire_code() == Code::Unknown));
    }

    /// With `UPDATE_ERRORS=1` the file is rewritten instead.
    #[test]
    fn the_file_for_other_languages_has_the_same_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/errors.tsv");
        let answer = |yes| if yes { "yes" } else { "no" };
        let rows = ApiError::ALL.iter().map(|error| {
            let (retry, maybe) = (error.is_retriable(), error.may_have_happened());
            [
                format!("{error:?}"),
                error.code().to_string(),
                error.wire_code().to_string(),
                answer(retry).to_owned(),
                answer(maybe).to_owned(),
                error.text().to_owned(),
            ]
            .join("\t")
        });
        let head = "name\tcode\twire_code\tretry\tmaybe\ttext".to_owned();
        let expected: Vec<String> = std::iter::once(head).chain(rows).collect();
        if std::env::var_os("UPDATE_ERRORS").is_some() {
            std::fs::write(path, expected.join("\n") + "\n").unwrap();
        }
        let found = std::fs::read_to_string(path).unwrap();
        let found: Vec<&str> = found.lines().collect();
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found, expected);
        }
        assert_eq!(found.len(), expected.len());
    }

    #[test]
    fn a_refused_watcher_reads_what_go_prints() {
        assert_eq!(
            ApiError::PermissionDenied.go_text(),
            "rpc error: code = PermissionDenied desc = etcdserver: permission denied"
        );
    }

    #[cfg(feature = "grpc")]
    #[test]
    fn a_status_has_the_code_of_the_same_number() {
        for &error in ApiError::ALL {
            let status = tonic::Status::from(error);
            assert_eq!(status.message(), error.text());
            assert_eq!(status.code() as i32, error.wire_code() as i32);
            assert_eq!(
                format!("{:?}", status.code()).replace("Cancelled", "Canceled"),
                error.wire_code().to_string()
            );
        }
    }
}
