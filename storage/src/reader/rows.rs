//! Ranges in key order as the bytes of their replies, encoded straight from the engine's memory.
//!
//! [`Reader::range`] copies each key and each value into a `KeyValue`, and prost copies both again
//! into a buffer that moves what it has whenever it grows. Here both are copied once, into buffers
//! that do not grow: what does not fit is continued in the next buffer. [`Reader::encode_range`]
//! encodes a whole range in this way. [`super::pages`] encodes a range that is too large for
//! memory, page by page.
//!
//! ```text
//!   | room, before | row | ro    w | row | row | row | after, room |
//!   '----- first buffer -----'   '---------- last buffer ----------'
//! ```
//!
//! A row is a `KeyValue` in the field `kvs` of a `RangeResponse`, as prost writes it; the tests of
//! the machine compare the two. The caller encodes the other fields, because it has the whole
//! header, and [`EncodedRange::between`] puts them around the rows.

use bytes::{Buf as _, Bytes, BytesMut};
use conclave_proto::etcdserverpb as api;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

use super::counts::PageEnd;
use super::{ReadError, Reader};
use crate::engine::Read;
use crate::fault::Fault;
use crate::ids::Revision;
use crate::mvcc::query::{self, Plan};
use crate::mvcc::range::KeyRange;
use crate::mvcc::record::Head;
use crate::mvcc::view::EngineView;

/// Room before the first row. A header has at most 46 bytes, in a field of 2 more, and the frame of
/// a gRPC message 5.
const ROOM_BEFORE_BYTES: usize = 64;
/// Room after the row of a single key: `more` and `count` have at most 13 bytes.
const ROOM_AFTER_BYTES: usize = 16;

/// Number of rows of the first one's size that the first buffer holds, if the limit allows them.
const FIRST_ROWS: usize = 64;
/// Size of the largest first buffer.
const FIRST_BUFFER_BYTES_MAX: usize = 64 << 10;
/// Size of each further buffer. There are few, since each is at least one write to the socket, and
/// pages of memory that no row reaches cost nothing.
const BUFFER_BYTES: usize = 256 << 10;
/// The largest frame of HTTP/2, by default. Buffers are multiples of it, since the last frame of
/// each is a short one.
const HTTP_FRAME_BYTES: usize = 16 << 10;

/// A range in key order, without its rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// The latest revision, for the header.
    pub now: Revision,
    /// Size of the encoded field `kvs`.
    pub size_bytes: u64,
    /// As in a `RangeResponse`.
    pub more: bool,
    /// As in a `RangeResponse`.
    pub count: i64,
}

/// A range in key order, encoded.
#[derive(Debug)]
pub struct EncodedRange {
    /// Everything but the rows.
    pub measured: Measured,
    buffers: Buffers,
}

/// True if a range can be encoded as it is read, which requires key order.
pub fn is_encodable(request: &api::RangeRequest) -> bool {
    !request.count_only && Plan::of(request).is_in_key_order()
}

impl Reader {
    /// Like [`Reader::range`], encoded. The request must be [`is_encodable`], too.
    pub fn encode_range(&self, request: &api::RangeRequest) -> Result<EncodedRange, ReadError> {
        let (counting, range, page) = self.read_range(request, |read, at, now| {
            let counting = self.shared.counts.begin(request, at);
            let (range, page) = encode(read, (request, counting.known()), at, now)?;
            Ok((counting, range, page))
        })?;
        counting.end(range.measured.count, page.as_ref());
        Ok(range)
    }
}

fn encode(
    read: &dyn Read,
    (request, known): (&api::RangeRequest, Option<i64>),
    at: Revision,
    now: Revision,
) -> Result<(EncodedRange, Option<PageEnd>), Fault> {
    let plan = Plan::of(request);
    let range = KeyRange::of(&request.key, &request.range_end);
    let rows = match range {
        KeyRange::One(_) => 1,
        KeyRange::Between(..) | KeyRange::From(_) => plan.limit.min(FIRST_ROWS),
    };
    let first_bytes = |row: &Row<'_>| match rows {
        1 => row.field_len() + ROOM_AFTER_BYTES,
        _ => (rows * row.field_len())
            .min(FIRST_BUFFER_BYTES_MAX)
            .next_multiple_of(HTTP_FRAME_BYTES),
    };
    let mut buffers = None;
    let view = EngineView::new(read);
    let tally = tally(&view, &plan, (&range, known), at, |row, _, _| {
        row.encode(buffers.get_or_insert_with(|| Buffers::with_room(first_bytes(&row))));
    })?;
    let no_rows = || Buffers::with_room(ROOM_AFTER_BYTES);
    let range = EncodedRange {
        measured: tally.measured(&plan, now),
        buffers: buffers.unwrap_or_else(no_rows),
    };
    Ok((range, tally.page))
}

/// Calls `row` with each row that is returned, its key, and the numbers with it. Keys beyond the
/// limit are only counted, or not looked at if the number of keys in the range is `known`.
pub(super) fn tally(
    view: &EngineView<'_>,
    plan: &Plan<'_>,
    (range, known): (&KeyRange, Option<i64>),
    at: Revision,
    mut row: impl FnMut(Row<'_>, &[u8], &Tally),
) -> Result<Tally, Fault> {
    let mut tally = Tally::default();
    // A filter skips keys between the rows, so the page's range has more keys than rows.
    let limit = plan.has_no_filter().then_some(plan.limit);
    let (mut last, mut page) = (None, None);
    let count = query::select(view, plan, (range, known), at, |key, head, value| {
        if let Some(found) = tally.add(plan, key, head, value) {
            row(found, key, &tally);
            if limit == Some(tally.passed) {
                last = Some(Bytes::copy_from_slice(key));
            }
        } else if let Some(last) = last.take() {
            let beyond = Bytes::copy_from_slice(key);
            page = Some(PageEnd { last, beyond });
        }
    })?;
    Ok(Tally {
        count,
        page,
        ..tally
    })
}

impl EncodedRange {
    /// Returns the rows between what precedes them, at most 64 bytes, and what follows them.
    pub fn between(self, before: &[u8], after: &[u8]) -> Vec<Bytes> {
        let mut buffers = self.buffers;
        let unused = ROOM_BEFORE_BYTES.checked_sub(before.len());
        let unused = unused.expect("a header is a few integers");
        let first = &mut buffers.list[0];
        first[unused..ROOM_BEFORE_BYTES].copy_from_slice(before);
        first.advance(unused);
        buffers.put(after);
        buffers.list.into_iter().map(BytesMut::freeze).collect()
    }
}

/// The numbers of a range that is being read.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Number of keys.
    count: i64,
    /// Size of the rows of the keys that are returned.
    pub(super) size_bytes: u64,
    /// Number of keys that pass the request's filters.
    passed: usize,
    /// The end of a page, if there are more keys and no filter.
    pub(super) page: Option<PageEnd>,
}

impl Tally {
    /// Adds a key that passes the filters. Returns its row if the key is within the limit.
    fn add<'a>(
        &mut self,
        plan: &Plan<'_>,
        key: &'a [u8],
        head: &Head,
        value: &'a [u8],
    ) -> Option<Row<'a>> {
        self.passed += 1;
        if self.passed > plan.limit {
            return None;
        }
        let row = Row::of(plan, key, head, value);
        self.size_bytes += row.field_len() as u64;
        Some(row)
    }

    pub(super) fn measured(&self, plan: &Plan<'_>, now: Revision) -> Measured {
        Measured {
            now,
            size_bytes: self.size_bytes,
            more: self.passed > plan.limit,
            count: self.count,
        }
    }
}

/// Bytes in buffers that do not grow. All but the last are full.
#[derive(Debug)]
pub(super) struct Buffers {
    list: Vec<BytesMut>,
    /// Size of the buffers to come.
    next_bytes: usize,
}

/// Enough for all integers of a row.
const INTEGERS_BYTES: usize = 64;

impl Buffers {
    /// Makes buffers of this size.
    pub(super) fn new(bytes: usize) -> Buffers {
        Buffers {
            list: Vec::new(),
            next_bytes: bytes,
        }
    }

    /// Makes a first buffer of this size, with room before the first row.
    fn with_room(first_bytes: usize) -> Buffers {
        let mut first = BytesMut::with_capacity(ROOM_BEFORE_BYTES + first_bytes);
        first.resize(ROOM_BEFORE_BYTES, 0);
        Buffers {
            list: vec![first],
            next_bytes: BUFFER_BYTES,
        }
    }

    /// True if the first buffer is full.
    pub(super) fn has_full(&self) -> bool {
        self.list.len() > 1 || self.list.first().is_some_and(|only| room(only) == 0)
    }

    /// Removes the first buffer, full or not.
    pub(super) fn take_first(&mut self) -> Option<Bytes> {
        (!self.list.is_empty()).then(|| self.list.remove(0).freeze())
    }

    fn put(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.list.last_mut() {
                Some(last) if room(last) > 0 => {
                    let (fits, rest) = bytes.split_at(room(last).min(bytes.len()));
                    last.extend_from_slice(fits);
                    bytes = rest;
                }
                _ => self.list.push(BytesMut::with_capacity(self.next_bytes)),
            }
        }
    }

    /// Puts what `write` writes, which is small.
    fn put_integers(&mut self, write: impl FnOnce(&mut &mut [u8])) {
        let mut integers = [0; INTEGERS_BYTES];
        let mut unused = &mut integers[..];
        write(&mut unused);
        let len = INTEGERS_BYTES - unused.len();
        self.put(&integers[..len]);
    }
}

/// Number of bytes that fit into `buffer` as it is.
fn room(buffer: &BytesMut) -> usize {
    buffer.capacity() - buffer.len()
}

/// A key and its version, in the engine's memory.
pub(super) struct Row<'a> {
    key: &'a [u8],
    value: &'a [u8],
    /// Field numbers and values of the integers before the value, in order.
    numbers: [(u32, i64); 3],
    lease: i64,
    /// Size of the `KeyValue`.
    len: usize,
}

/// The number of the field `kvs`, whose key is one byte, like those of all fields here.
const KVS: u32 = 2;

impl<'a> Row<'a> {
    pub(super) fn of(plan: &Plan<'_>, key: &'a [u8], head: &Head, value: &'a [u8]) -> Row<'a> {
        // As in `query::answer`: without values etcd does not know the lease.
        let (value, lease) = match plan.request.keys_only {
            true => (&[][..], 0),
            false => (value, head.lease.0),
        };
        let numbers = [(2, head.created.0), (3, head.modified.0), (4, head.version)];
        let numbers_len: usize = numbers.iter().map(|(_, number)| number_len(*number)).sum();
        Row {
            key,
            value,
            numbers,
            lease,
            len: slice_len(key) + numbers_len + slice_len(value) + number_len(lease),
        }
    }

    pub(super) fn field_len(&self) -> usize {
        1 + encoded_len_varint(self.len as u64) + self.len
    }

    pub(super) fn encode(&self, out: &mut Buffers) {
        out.put_integers(|out| {
            encode_key(KVS, WireType::LengthDelimited, out);
            encode_varint(self.len as u64, out);
            begin_slice(1, self.key, out);
        });
        out.put(self.key);
        out.put_integers(|out| {
            for (field, number) in self.numbers {
                put_number(field, number, out);
            }
            begin_slice(5, self.value, out);
        });
        out.put(self.value);
        out.put_integers(|out| put_number(6, self.lease, out));
    }
}

/// Proto3 leaves out what is empty or zero.
fn slice_len(slice: &[u8]) -> usize {
    let len = slice.len();
    if len == 0 {
        0
    } else {
        1 + encoded_len_varint(len as u64) + len
    }
}

fn begin_slice(field: u32, slice: &[u8], out: &mut &mut [u8]) {
    if !slice.is_empty() {
        encode_key(field, WireType::LengthDelimited, out);
        encode_varint(slice.len() as u64, out);
    }
}

fn number_len(number: i64) -> usize {
    if number == 0 {
        0
    } else {
        1 + encoded_len_varint(number.cast_unsigned())
    }
}

fn put_number(field: u32, number: i64, out: &mut &mut [u8]) {
    if number != 0 {
        encode_key(field, WireType::Varint, out);
        encode_varint(number.cast_unsigned(), out);
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::ids::LeaseId;
    use crate::mvcc::record::Kind;

    fn head((created, modified, version, lease): (i64, i64, i64, i64)) -> Head {
        Head {
            kind: Kind::Put,
            modified: Revision(modified),
            sub: 0,
            created: Revision(created),
            version,
            lease: LeaseId(lease),
            is_apart: false,
        }
    }

    fn bytes(len_max: usize) -> impl Strategy<Value = Vec<u8>> {
        vec(any::<u8>(), 0..=len_max)
    }

    proptest! {
        /// Rows of any size, in buffers of any size, are the bytes of prost.
        #[test]
        fn rows_are_the_bytes_of_their_message(
            rows in vec((bytes(200), bytes(400), any::<[i64; 4]>()), 0..20),
            sizes in (0..300usize, 1..500usize),
            keys_only in any::<bool>(),
            (more, count) in any::<(bool, i64)>(),
        ) {
            let request = api::RangeRequest { keys_only, ..Default::default() };
            let plan = Plan::of(&request);
            let mut buffers = Buffers::with_room(sizes.0);
            buffers.next_bytes = sizes.1;
            let mut tally = Tally::default();
            let mut kvs = Vec::new();
            for (key, value, numbers) in &rows {
                let head = head((*numbers).into());
                tally.add(&plan, key, &head, value).expect("no limit").encode(&mut buffers);
                let mut kv = head.key_value(key.clone().into(), value.clone().into());
                if keys_only {
                    (kv.value, kv.lease) = (Bytes::new(), 0);
                }
                kvs.push(kv);
            }
            let measured = tally.measured(&plan, Revision(1));
            let range = EncodedRange { measured, buffers };
            let header = api::ResponseHeader {
                cluster_id: u64::MAX,
                member_id: u64::MAX,
                revision: i64::MAX,
                raft_term: u64::MAX,
            };
            let whole = api::RangeResponse { header: Some(header), kvs, more, count };
            let before = api::RangeResponse { header: whole.header, ..Default::default() };
            let after = api::RangeResponse { more, count, ..Default::default() };
            let frame = [&b"frame"[..], &before.encode_to_vec()].concat();
            let bytes = range.between(&frame, &after.encode_to_vec());
            prop_assert!(bytes.iter().all(|buffer| buffer.len() <= sizes.0.max(sizes.1) + 64));
            prop_assert_eq!(&bytes.concat()[5..], whole.encode_to_vec());
            let rows_bytes = whole.encoded_len() - before.encoded_len() - after.encoded_len();
            prop_assert_eq!(measured.size_bytes, rows_bytes as u64);
        }
    }
}
