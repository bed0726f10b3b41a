//! A large range in pieces: bounded memory for the server, no limit on the size for the client.
//!
//! All pieces have the revision of the first. Nothing is held open between them, so a slow client
//! costs nothing. If the revision is compacted before the last piece, the next piece fails with
//! `Compacted`.

use std::ops::ControlFlow;

use bytes::Bytes;
use conclave_proto::etcdserverpb as api;
use conclave_proto::mvccpb::KeyValue;

use super::{ReadError, Reader};
use crate::fault::Fault;
use crate::ids::Revision;
use crate::mvcc::query::{self, Arena, header};
use crate::mvcc::range::{KeyRange, successor};
use crate::mvcc::record::Head;
use crate::mvcc::view::{EngineView, NO_VALUES, View};

/// Position of a stream.
#[derive(Clone, Debug)]
pub struct RangeCursor {
    request: api::RangeRequest,
    /// The part of the range that is yet to be sent.
    rest: KeyRange,
    /// The revision of all pieces; `now` is the latest revision when the stream began.
    at: Revision,
    now: Revision,
    /// Number of keys so far.
    sent: i64,
    finished: bool,
}

impl RangeCursor {
    /// True after the last piece was returned.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// The revision of all pieces.
    pub fn revision(&self) -> Revision {
        self.at
    }

    fn limit_left(&self) -> Option<i64> {
        (self.request.limit > 0).then(|| self.request.limit - self.sent)
    }
}

impl Reader {
    /// Like [`Reader::range`] for a request that selects at most `keys_max` keys and no more than
    /// its limit. `None` if it selects more, which are not counted.
    pub fn range_of_few(
        &self,
        request: &api::RangeRequest,
        keys_max: usize,
    ) -> Result<Option<api::RangeResponse>, ReadError> {
        let range = KeyRange::of(&request.key, &request.range_end);
        let limit = usize::try_from(request.limit).unwrap_or(0);
        let keys_max = if limit > 0 {
            keys_max.min(limit)
        } else {
            keys_max
        };
        self.read_frozen(request.revision, |read, at, now| {
            let view = EngineView::new(read);
            let mut keys = 0;
            view.visit(&range, at, NO_VALUES, &mut |_, _, _| {
                keys += 1;
                if keys > keys_max {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })?;
            if keys > keys_max {
                return Ok(None);
            }
            let query::Answer { kvs, more, count } = query::answer(&view, request, at, None)?;
            Ok(Some(api::RangeResponse {
                header: header(now),
                kvs,
                more,
                count,
            }))
        })
    }

    /// Begins a stream. The request must have passed `machine::validate::check_range`. Its sort
    /// order and its revision filters are ignored, because they are not supported in streams.
    pub fn range_stream(&self, request: &api::RangeRequest) -> Result<RangeCursor, ReadError> {
        let (at, now) = self.resolve(request.revision)?;
        let rest = KeyRange::of(&request.key, &request.range_end);
        let request = request.clone();
        Ok(RangeCursor {
            request,
            rest,
            at,
            now,
            sent: 0,
            finished: false,
        })
    }

    /// Returns the next piece: at least one key, and then until about `max_bytes` are reached. Only
    /// the last piece has a header, `more` and `count`, and it may have no keys.
    ///
    /// # Errors
    /// `Compacted` if the revision was compacted meanwhile.
    pub fn range_stream_step(
        &self,
        cursor: &mut RangeCursor,
        max_bytes: usize,
    ) -> Result<api::RangeResponse, ReadError> {
        if cursor.request.count_only {
            return self.finish(cursor, Vec::new(), false);
        }
        let (kvs, through) = self.read_frozen(cursor.at.0, |read, at, _| {
            piece(&EngineView::new(read), cursor, at, max_bytes)
        })?;
        cursor.sent += kvs.len() as i64;
        if let Some(last) = kvs.last() {
            cursor.rest = cursor.rest.from(successor(&last.key));
        }
        if through || cursor.limit_left() == Some(0) {
            return self.finish(cursor, kvs, through);
        }
        Ok(api::RangeResponse {
            kvs,
            ..api::RangeResponse::default()
        })
    }

    /// Makes the last piece. Keys beyond the limit are counted, unless the piece reached the end of
    /// the range.
    fn finish(
        &self,
        cursor: &mut RangeCursor,
        kvs: Vec<KeyValue>,
        through: bool,
    ) -> Result<api::RangeResponse, ReadError> {
        let uncounted = match through {
            true => 0,
            false => self.read_frozen(cursor.at.0, |read, at, _| {
                EngineView::new(read).count(&cursor.rest, at)
            })?,
        };
        cursor.finished = true;
        let more = uncounted > 0 && !cursor.request.count_only;
        let count = cursor.sent + uncounted as i64;
        Ok(api::RangeResponse {
            header: header(cursor.now),
            kvs,
            more,
            count,
        })
    }
}

/// The next keys, and true if they reach the end of the range.
fn piece(
    view: &dyn View,
    cursor: &RangeCursor,
    at: Revision,
    max_bytes: usize,
) -> Result<(Vec<KeyValue>, bool), Fault> {
    let limit = cursor.limit_left().unwrap_or(i64::MAX);
    let mut kvs = Vec::new();
    let mut bytes = 0;
    let mut through = true;
    let mut arena = Arena::default();
    let needs = |_: &Head| !cursor.request.keys_only;
    view.visit(&cursor.rest, at, &needs, &mut |key, head, value| {
        if kvs.len() as i64 == limit || (bytes >= max_bytes && !kvs.is_empty()) {
            through = false;
            return ControlFlow::Break(());
        }
        let kv = if cursor.request.keys_only {
            let key_only = head.key_value(arena.copy(key), Bytes::new());
            KeyValue {
                lease: 0,
                ..key_only
            }
        } else {
            head.key_value(arena.copy(key), arena.copy(value))
        };
        bytes += prost::Message::encoded_len(&kv);
        kvs.push(kv);
        ControlFlow::Continue(())
    })?;
    Ok((kvs, through))
}
