//! A large range as the bytes of its reply, in pages: the memory of one page, whatever the size.
//!
//! A reply is one message, preceded by its length. So the range is read twice from one frozen
//! state: [`PagedRange::measure`] counts, [`PagedRange::next_page`] encodes. The first pages are
//! kept from the first reading, up to a bound, so a small range is read only once.
//!
//! Between two pages only the frozen state is held, which is a number to the engine. An open scan
//! would keep memtables and files alive for as long as a client takes to read a page.
//!
//! The pages hold only the field `kvs` of a `RangeResponse`. The caller encodes the other fields,
//! because it has the whole header.

use std::ops::ControlFlow;

use bytes::{Bytes, BytesMut};
use conclave_proto::etcdserverpb as api;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

use super::{ReadError, Reader};
use crate::engine::Read;
use crate::ids::Revision;
use crate::mvcc::query::Plan;
use crate::mvcc::range::{KeyRange, successor};
use crate::mvcc::record::Head;
use crate::mvcc::view::{EngineView, View};

/// The size of a range's reply, and its first pages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// The latest revision, for the header.
    pub now: Revision,
    /// Size of the encoded field `kvs`.
    pub size_bytes: u64,
    /// As in a `RangeResponse`.
    pub more: bool,
    /// As in a `RangeResponse`.
    pub count: i64,
    /// The first pages. [`PagedRange::next_page`] continues after them.
    pub kept: Vec<Bytes>,
}

/// A large range that is being read.
pub struct PagedRange<'a> {
    reader: &'a Reader,
    frozen: &'a dyn Read,
    plan: Plan<'a>,
    at: Revision,
    now: Revision,
    /// The part of the range after the pages so far.
    rest: KeyRange,
    /// Number of keys that the limit allows in `rest`.
    left: usize,
}

/// True if a range can be read in pages, which requires key order.
pub fn is_pageable(request: &api::RangeRequest) -> bool {
    !request.count_only && Plan::of(request).is_in_key_order()
}

impl Reader {
    /// Calls `read` to read a range in pages. The request must have passed
    /// `machine::validate::check_range` and be [`is_pageable`].
    pub fn range_in_pages<T>(
        &self,
        request: &api::RangeRequest,
        read: impl FnOnce(&mut PagedRange<'_>) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        loop {
            let (at, now) = self.resolve(request.revision)?;
            let engine = self.engine();
            let frozen = engine.snapshot();
            if at < self.compacted() {
                continue;
            }
            let plan = Plan::of(request);
            return read(&mut PagedRange {
                reader: self,
                frozen: &*frozen,
                rest: KeyRange::of(&request.key, &request.range_end),
                left: plan.limit,
                plan,
                at,
                now,
            });
        }
    }
}

impl PagedRange<'_> {
    /// Reads the whole range and measures it. Keeps the first pages, of `page_bytes` or a little
    /// more each and at most `kept_bytes_max` together. To be called once, before the first page.
    pub fn measure(
        &mut self,
        page_bytes: usize,
        kept_bytes_max: u64,
    ) -> Result<Measured, ReadError> {
        let mut measured = Measured {
            now: self.now,
            ..Measured::default()
        };
        let mut page = Page::new(page_bytes);
        let mut kept_keys = 0;
        let mut passed = 0;
        // The first key after the kept pages, once they have reached their bound.
        let mut resume = None;
        let rest = self.rest.clone();
        self.visit(&rest, |plan, key, head, value| {
            measured.count += 1;
            if !plan.passes(head) {
                return ControlFlow::Continue(());
            }
            passed += 1;
            if passed > plan.limit {
                return ControlFlow::Continue(());
            }
            let row = Row::of(plan, key, head, value);
            measured.size_bytes += row.field_len();
            if resume.is_none() && measured.size_bytes > kept_bytes_max {
                resume = Some(Bytes::copy_from_slice(key));
            }
            if resume.is_none() {
                kept_keys += 1;
                row.encode(&mut page.bytes);
                measured.kept.extend(page.take_if_full());
            }
            ControlFlow::Continue(())
        })?;
        measured.more = passed > self.plan.limit;
        measured.kept.extend(page.take());
        self.left = match resume {
            Some(key) => {
                self.rest = self.rest.from(key);
                self.plan.limit - kept_keys
            }
            None => 0,
        };
        Ok(measured)
    }

    /// Returns the next page, or `None` after the last. A page has `page_bytes` or a little more,
    /// and the last page may have less.
    pub fn next_page(&mut self, page_bytes: usize) -> Result<Option<Bytes>, ReadError> {
        if self.left == 0 {
            return Ok(None);
        }
        let mut page = Page::new(page_bytes);
        let mut full = None;
        let mut left = self.left;
        let mut resume = None;
        let rest = self.rest.clone();
        self.visit(&rest, |plan, key, head, value| {
            if !plan.passes(head) {
                return ControlFlow::Continue(());
            }
            Row::of(plan, key, head, value).encode(&mut page.bytes);
            left -= 1;
            full = page.take_if_full();
            match full.is_some() || left == 0 {
                true => {
                    resume = Some(successor(key));
                    ControlFlow::Break(())
                }
                false => ControlFlow::Continue(()),
            }
        })?;
        match resume {
            Some(key) => {
                self.rest = self.rest.from(key);
                self.left = left;
            }
            None => self.left = 0,
        }
        Ok(full.or_else(|| page.take()))
    }

    fn visit(
        &self,
        range: &KeyRange,
        mut row: impl FnMut(&Plan<'_>, &[u8], &Head, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let mut visitor = |key: &[u8], head: &Head, value: &[u8]| row(&self.plan, key, head, value);
        self.reader.under_meter(self.frozen, |read| {
            EngineView { read }.visit(range, self.at, &mut visitor)
        })
    }
}

/// A page that is being filled.
struct Page {
    bytes: BytesMut,
    full_bytes: usize,
}

impl Page {
    fn new(full_bytes: usize) -> Page {
        Page {
            bytes: BytesMut::new(),
            full_bytes,
        }
    }

    fn take(&mut self) -> Option<Bytes> {
        (!self.bytes.is_empty()).then(|| self.bytes.split().freeze())
    }

    fn take_if_full(&mut self) -> Option<Bytes> {
        (self.bytes.len() >= self.full_bytes).then(|| std::mem::take(&mut self.bytes).freeze())
    }
}

/// A key and its version, as prost writes a `KeyValue` in the field `kvs`, straight from the
/// engine's memory.
struct Row<'a> {
    key: &'a [u8],
    value: &'a [u8],
    /// Field numbers and values of the integers before the value, in order.
    numbers: [(u32, i64); 3],
    lease: i64,
}

/// The number of the field `kvs`, whose key is one byte, like those of all fields here.
const KVS: u32 = 2;

impl<'a> Row<'a> {
    fn of(plan: &Plan<'_>, key: &'a [u8], head: &Head, value: &'a [u8]) -> Row<'a> {
        let keys_only = plan.request.keys_only;
        Row {
            key,
            value: if keys_only { &[] } else { value },
            numbers: [(2, head.created.0), (3, head.modified.0), (4, head.version)],
            // As in `query::answer`: without values etcd does not know the lease.
            lease: if keys_only { 0 } else { head.lease.0 },
        }
    }

    fn len(&self) -> u64 {
        let numbers = self.numbers.iter().map(|(_, number)| number_len(*number));
        slice_len(self.key) + numbers.sum::<u64>() + slice_len(self.value) + number_len(self.lease)
    }

    fn field_len(&self) -> u64 {
        let len = self.len();
        1 + encoded_len_varint(len) as u64 + len
    }

    fn encode(&self, out: &mut BytesMut) {
        encode_key(KVS, WireType::LengthDelimited, out);
        encode_varint(self.len(), out);
        put_slice(1, self.key, out);
        for (field, number) in self.numbers {
            put_number(field, number, out);
        }
        put_slice(5, self.value, out);
        put_number(6, self.lease, out);
    }
}

/// Proto3 leaves out what is empty or zero.
fn slice_len(slice: &[u8]) -> u64 {
    let len = slice.len() as u64;
    if len == 0 {
        0
    } else {
        1 + encoded_len_varint(len) as u64 + len
    }
}

fn put_slice(field: u32, slice: &[u8], out: &mut BytesMut) {
    if !slice.is_empty() {
        encode_key(field, WireType::LengthDelimited, out);
        encode_varint(slice.len() as u64, out);
        out.extend_from_slice(slice);
    }
}

fn number_len(number: i64) -> u64 {
    if number == 0 {
        0
    } else {
        1 + encoded_len_varint(number.cast_unsigned()) as u64
    }
}

fn put_number(field: u32, number: i64, out: &mut BytesMut) {
    if number != 0 {
        encode_key(field, WireType::Varint, out);
        encode_varint(number.cast_unsigned(), out);
    }
}
