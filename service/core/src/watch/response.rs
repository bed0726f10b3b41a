//! A response to a watcher, and its encoding.
//!
//! The parts that many watchers share are already encoded ([`Events`]); only a header of about
//! thirty bytes remains. So delivering an event to one more watcher costs that header and a copy.

use std::borrow::Cow;

use bytes::{BufMut, Bytes};
use conclave_proto::etcdserverpb::ResponseHeader;
use conclave_storage::Revision;
use prost::Message as _;
use prost::encoding::{self, WireType, encoded_len_varint, key_len};

use super::events::Events;

/// Id for no watcher, or for all watchers of a stream.
pub(crate) const NO_WATCHER: i64 = -1;

/// A `WatchResponse` without the fields that the member adds to every header.
#[derive(Clone, Debug, Default)]
pub(crate) struct Response {
    /// Revision in the header.
    pub(crate) revision: Revision,
    /// Id of the watcher.
    pub(crate) watch_id: i64,
    /// True in the response to a create request.
    pub(crate) created: bool,
    /// True if the watcher ends.
    pub(crate) canceled: bool,
    /// Compact revision, if the watcher needs compacted revisions.
    pub(crate) compact_revision: Option<Revision>,
    /// Reason why the watcher was refused.
    pub(crate) cancel_reason: Cow<'static, str>,
    /// True if more fragments of this response follow.
    pub(crate) fragment: bool,
    /// Encoded events.
    pub(crate) events: Pieces,
    /// Number of events.
    pub(crate) event_count: usize,
}

/// Encoded events, in order.
#[derive(Clone, Debug, Default)]
pub(crate) enum Pieces {
    /// No events.
    #[default]
    None,
    /// Events of one revision, as in nearly all responses.
    One(Bytes),
    /// All or some of the events of several revisions.
    Many(Vec<Bytes>),
}

impl Pieces {
    fn as_slice(&self) -> &[Bytes] {
        match self {
            Pieces::None => &[],
            Pieces::One(bytes) => std::slice::from_ref(bytes),
            Pieces::Many(pieces) => pieces,
        }
    }

    fn len(&self) -> usize {
        self.as_slice().iter().map(Bytes::len).sum()
    }
}

impl Response {
    /// Creates a response with all events of one revision.
    pub(crate) fn of_revision(watch_id: i64, revision: Revision, events: &Events) -> Response {
        Response {
            revision,
            watch_id,
            events: Pieces::One(events.bytes().clone()),
            event_count: events.count(),
            ..Response::default()
        }
    }

    /// Creates a response from several pieces, with `event_count` events in all.
    pub(crate) fn of_pieces(
        watch_id: i64,
        revision: Revision,
        pieces: Vec<Bytes>,
        event_count: usize,
    ) -> Response {
        let events = Pieces::Many(pieces);
        Response {
            revision,
            watch_id,
            events,
            event_count,
            ..Response::default()
        }
    }
}

/// A response with its header, as the codec writes it.
#[derive(Clone, Debug)]
pub struct EncodedWatchResponse {
    /// Cluster, member and term; the revision comes from the response.
    pub(crate) header: ResponseHeader,
    /// The other fields.
    pub(crate) response: Response,
}

impl EncodedWatchResponse {
    /// Returns the encoded size.
    pub fn encoded_len(&self) -> usize {
        let response = &self.response;
        let header = self.header.encoded_len();
        let reason = response.cancel_reason.len();
        key_len(1)
            + encoded_len_varint(header as u64)
            + header
            + number_len(response.watch_id)
            + 2 * usize::from(response.created)
            + 2 * usize::from(response.canceled)
            + number_len(response.compact_revision.unwrap_or_default().0)
            + if reason > 0 {
                key_len(6) + encoded_len_varint(reason as u64) + reason
            } else {
                0
            }
            + 2 * usize::from(response.fragment)
            + response.events.len()
    }

    /// Appends the encoded message to `out`, which must have room.
    pub fn encode(&self, out: &mut impl BufMut) {
        let response = &self.response;
        encoding::encode_key(1, WireType::LengthDelimited, out);
        encoding::encode_varint(self.header.encoded_len() as u64, out);
        self.header.encode(out).expect("the caller made room");
        put_number(2, response.watch_id, out);
        put_number(3, i64::from(response.created), out);
        put_number(4, i64::from(response.canceled), out);
        put_number(5, response.compact_revision.unwrap_or_default().0, out);
        if !response.cancel_reason.is_empty() {
            encoding::encode_key(6, WireType::LengthDelimited, out);
            encoding::encode_varint(response.cancel_reason.len() as u64, out);
            out.put_slice(response.cancel_reason.as_bytes());
        }
        put_number(7, i64::from(response.fragment), out);
        for piece in response.events.as_slice() {
            out.put_slice(piece);
        }
    }
}

/// Returns the encoded size of a number field. Proto3 omits zeros; all fields here have one-byte
/// keys.
fn number_len(number: i64) -> usize {
    if number == 0 {
        0
    } else {
        1 + encoded_len_varint(number.cast_unsigned())
    }
}

fn put_number(field: u32, number: i64, out: &mut impl BufMut) {
    if number != 0 {
        encoding::encode_key(field, WireType::Varint, out);
        encoding::encode_varint(number.cast_unsigned(), out);
    }
}

#[cfg(test)]
mod tests {
    use conclave_proto::etcdserverpb::WatchResponse;
    use conclave_proto::mvccpb::{Event, KeyValue};

    use super::*;

    fn check(response: Response, expected: WatchResponse) {
        let header = ResponseHeader {
            cluster_id: u64::MAX,
            member_id: 2,
            revision: response.revision.0,
            raft_term: 3,
        };
        let encoded = EncodedWatchResponse { header, response };
        let mut bytes = Vec::new();
        encoded.encode(&mut bytes);
        assert_eq!(bytes.len(), encoded.encoded_len());
        assert_eq!(
            bytes,
            WatchResponse {
                header: Some(header),
                ..expected
            }
            .encode_to_vec()
        );
    }

    /// The encoding matches prost's byte for byte.
    #[test]
    fn writes_the_message() {
        check(Response::default(), WatchResponse::default());
        check(
            Response {
                revision: Revision(9),
                watch_id: NO_WATCHER,
                created: true,
                canceled: true,
                compact_revision: Some(Revision(300)),
                cancel_reason: "because".into(),
                fragment: true,
                ..Response::default()
            },
            WatchResponse {
                watch_id: -1,
                created: true,
                canceled: true,
                compact_revision: 300,
                cancel_reason: "because".into(),
                fragment: true,
                ..WatchResponse::default()
            },
        );
        let event = |key: &'static str| Event {
            r#type: 0,
            kv: Some(KeyValue {
                key: key.into(),
                mod_revision: 12,
                ..KeyValue::default()
            }),
            prev_kv: None,
        };
        let encoded = |key: &'static str| {
            let events = vec![event(key)];
            Bytes::from(
                WatchResponse {
                    events,
                    ..WatchResponse::default()
                }
                .encode_to_vec(),
            )
        };
        check(
            Response::of_pieces(5, Revision(12), vec![encoded("a"), encoded("b")], 2),
            WatchResponse {
                watch_id: 5,
                events: vec![event("a"), event("b")],
                ..WatchResponse::default()
            },
        );
    }
}
