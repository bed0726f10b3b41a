//! Rules for requests that are not the state machine's. Pure: no state is read.
//!
//! The rules that also hold for requests inside a transaction (empty keys, options that exclude
//! each other, too many operations, keys written twice) are the machine's own, in
//! [`conclave_storage::machine::validate`]: they are applied here, before anything is proposed, and
//! a client never finds a difference between the two.

use std::time::Duration;

use conclave_proto::ApiError;
use conclave_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use conclave_proto::etcdserverpb::request_op::Request;
use conclave_proto::etcdserverpb::{RangeRequest, TxnRequest};
use conclave_storage::machine::validate as rules;
use tonic::metadata::MetadataMap;

/// Ways to stream a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Streamed {
    /// Piece by piece, in the order of the keys.
    Pieces,
    /// Sorted, as one piece, if there are few keys: see `range_stream`.
    Sorted,
    /// Not at all.
    No,
}

/// A piece is sent before the next is read, so a stream neither filters nor has an order other than
/// that of the keys. A target without an order is let through, as in etcd.
pub(crate) fn streamed(request: &RangeRequest) -> Streamed {
    let unfiltered = request.min_mod_revision == 0
        && request.max_mod_revision == 0
        && request.min_create_revision == 0
        && request.max_create_revision == 0;
    match (request.sort_target(), request.sort_order()) {
        _ if !unfiltered => Streamed::No,
        (SortTarget::Key, SortOrder::None | SortOrder::Ascend) => Streamed::Pieces,
        // There is nothing to sort in a number.
        (_, SortOrder::None) if request.count_only => Streamed::Pieces,
        (_, SortOrder::None) => Streamed::Sorted,
        (_, SortOrder::Ascend | SortOrder::Descend) => Streamed::No,
    }
}

/// Ways to run a transaction, which may have no effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadOnly {
    /// It writes.
    No,
    /// Every range is serializable, so the local state will do.
    Serializable,
    /// The state must be as new as the request.
    Linearizable,
}

/// Returns how to run a transaction. One without any range is linearizable: its comparisons are all
/// that it reads, and nothing in it asks for less.
pub(crate) fn read_only(request: &TxnRequest) -> ReadOnly {
    if !rules::is_read_only(request) {
        return ReadOnly::No;
    }
    let mut ranges = request.success.iter().chain(&request.failure).peekable();
    let some = ranges.peek().is_some();
    // A nested transaction is as strict as etcd makes it, which sends those through the log.
    let serializable = ranges.all(|op| match &op.request {
        Some(Request::RequestRange(range)) => range.serializable,
        Some(Request::RequestPut(_) | Request::RequestDeleteRange(_) | Request::RequestTxn(_))
        | None => false,
    });
    if some && serializable {
        ReadOnly::Serializable
    } else {
        ReadOnly::Linearizable
    }
}

/// Returns the API version that the client states, if it does. It must be text.
pub(crate) fn client_version(metadata: &MetadataMap) -> Result<Option<&str>, ApiError> {
    let version = metadata.as_ref().get("client-api-version");
    let text = version.map(|version| std::str::from_utf8(version.as_bytes()));
    text.transpose()
        .map_err(|_| ApiError::InvalidClientAPIVersion)
}

/// Returns true if the client prefers an error to waiting for a leader.
pub(crate) fn requires_leader(metadata: &MetadataMap) -> bool {
    metadata
        .as_ref()
        .get("hasleader")
        .is_some_and(|value| value.as_bytes() == b"true")
}

/// Returns the time that the client gives the call: at most eight digits and a unit. A time that
/// does not parse counts as absent, since the client keeps its own clock anyway.
pub(crate) fn timeout(metadata: &MetadataMap) -> Option<Duration> {
    let text = metadata.as_ref().get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use conclave_proto::etcdserverpb::{PutRequest, RequestOp};
    use tonic::metadata::MetadataValue;

    use super::*;

    fn op(request: Request) -> RequestOp {
        RequestOp {
            request: Some(request),
        }
    }

    fn range(serializable: bool) -> RequestOp {
        op(Request::RequestRange(RangeRequest {
            key: "k".into(),
            serializable,
            ..RangeRequest::default()
        }))
    }

    #[test]
    fn a_transaction_is_read_as_its_strictest_range_asks() {
        let txn = |success: Vec<RequestOp>, failure: Vec<RequestOp>| {
            read_only(&TxnRequest {
                success,
                failure,
                ..TxnRequest::default()
            })
        };
        assert_eq!(txn(vec![], vec![]), ReadOnly::Linearizable);
        assert_eq!(
            txn(vec![range(true)], vec![range(true)]),
            ReadOnly::Serializable
        );
        assert_eq!(
            txn(vec![range(true)], vec![range(false)]),
            ReadOnly::Linearizable
        );
        assert_eq!(
            txn(
                vec![range(true)],
                vec![op(Request::RequestPut(PutRequest::default()))]
            ),
            ReadOnly::No
        );
        let nested = |ops| {
            op(Request::RequestTxn(TxnRequest {
                success: ops,
                ..TxnRequest::default()
            }))
        };
        assert_eq!(
            txn(vec![nested(vec![range(true)])], vec![]),
            ReadOnly::Linearizable
        );
        let put = op(Request::RequestPut(PutRequest::default()));
        assert_eq!(txn(vec![nested(vec![put])], vec![]), ReadOnly::No);
    }

    #[test]
    fn only_plain_ranges_are_streamed() {
        let plain = RangeRequest {
            key: "k".into(),
            ..RangeRequest::default()
        };
        let by = |sort_target, sort_order, count_only| RangeRequest {
            sort_target,
            sort_order,
            count_only,
            ..plain.clone()
        };
        assert_eq!(streamed(&plain), Streamed::Pieces);
        assert_eq!(streamed(&by(0, 1, false)), Streamed::Pieces);
        assert_eq!(streamed(&by(0, 2, false)), Streamed::No);
        assert_eq!(streamed(&by(3, 0, false)), Streamed::Sorted);
        assert_eq!(streamed(&by(3, 0, true)), Streamed::Pieces);
        assert_eq!(streamed(&by(3, 1, false)), Streamed::No);
        let filtered = RangeRequest {
            max_create_revision: 1,
            ..plain.clone()
        };
        assert_eq!(streamed(&filtered), Streamed::No);
    }

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        let with = |value: &'static str| {
            let mut metadata = MetadataMap::new();
            metadata.insert("grpc-timeout", MetadataValue::from_static(value));
            timeout(&metadata)
        };
        assert_eq!(with("7S"), Some(Duration::from_secs(7)));
        assert_eq!(with("2H"), Some(Duration::from_secs(7200)));
        assert_eq!(with("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for bad in ["", "S", "123456789S", "-1S", "5x"] {
            assert_eq!(with(bad), None, "{bad}");
        }
        assert_eq!(timeout(&MetadataMap::new()), None);
    }

    #[test]
    fn the_api_version_must_be_text() {
        let mut metadata = MetadataMap::new();
        assert_eq!(client_version(&metadata), Ok(None));
        metadata.insert("client-api-version", MetadataValue::from_static("3.7"));
        assert_eq!(client_version(&metadata), Ok(Some("3.7")));
        let mut headers = http::HeaderMap::new();
        let bytes = http::HeaderValue::from_bytes(&[0xff, 0xfe]).expect("opaque bytes are allowed");
        headers.insert("client-api-version", bytes);
        assert_eq!(
            client_version(&MetadataMap::from_headers(headers)),
            Err(ApiError::InvalidClientAPIVersion)
        );
    }
}
