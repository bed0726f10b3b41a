//! Rules for requests that are not the state machine's. Pure: no state is read.
//!
//! The rules that also hold for requests inside a transaction (empty keys, options that exclude
//! each other, too many operations, keys written twice) are the machine's own, in
//! [`conclave_storage::machine::validate`]: they are applied here, before anything is proposed, and
//! a client never finds a difference between the two.

use conclave_proto::ApiError;
use conclave_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use conclave_proto::etcdserverpb::request_op::Request;
use conclave_proto::etcdserverpb::{RangeRequest, TxnRequest};
use conclave_storage::machine::validate as rules;
use http::HeaderMap;

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
pub(crate) fn client_version(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let version = headers.get("client-api-version");
    let text = version.map(|version| std::str::from_utf8(version.as_bytes()));
    text.transpose()
        .map_err(|_| ApiError::InvalidClientAPIVersion)
}

/// Returns true if the client prefers an error to waiting for a leader.
pub(crate) fn requires_leader(headers: &HeaderMap) -> bool {
    headers
        .get("hasleader")
        .is_some_and(|value| value.as_bytes() == b"true")
}

#[cfg(test)]
mod tests {
    use conclave_proto::etcdserverpb::{PutRequest, RequestOp};
    use http::HeaderValue;

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
    fn the_api_version_must_be_text() {
        let mut headers = HeaderMap::new();
        assert_eq!(client_version(&headers), Ok(None));
        headers.insert("client-api-version", HeaderValue::from_static("3.7"));
        assert_eq!(client_version(&headers), Ok(Some("3.7")));
        let bytes = HeaderValue::from_bytes(&[0xff, 0xfe]).expect("opaque bytes are allowed");
        headers.insert("client-api-version", bytes);
        assert_eq!(
            client_version(&headers),
            Err(ApiError::InvalidClientAPIVersion)
        );
    }
}
