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

use bytes::Bytes;
use conclave_proto::etcdserverpb as api;

use super::rows::{Buffers, Measured, Row, tally};
use super::{ReadError, Reader};
use crate::engine::Read;
use crate::ids::Revision;
use crate::mvcc::query::Plan;
use crate::mvcc::range::{KeyRange, successor};
use crate::mvcc::record::Head;
use crate::mvcc::view::{EngineView, View};

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
    page_bytes: usize,
    /// The pages that were read and not taken. The last one may be filled further.
    pages: Buffers,
}

impl Reader {
    /// Calls `read` to read a range in pages of `page_bytes`. The request must have passed
    /// `machine::validate::check_range` and be [`is_encodable`](super::rows::is_encodable).
    pub fn range_in_pages<T>(
        &self,
        request: &api::RangeRequest,
        page_bytes: usize,
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
                page_bytes,
                pages: Buffers::new(page_bytes),
            });
        }
    }
}

impl PagedRange<'_> {
    /// Reads the whole range and measures it. Keeps the first rows, of at most `kept_bytes_max`
    /// together. To be called once, before the first page.
    pub fn measure(&mut self, kept_bytes_max: u64) -> Result<Measured, ReadError> {
        let mut pages = Buffers::new(self.page_bytes);
        let mut kept_keys = 0;
        // The first key after the kept rows, once they have reached their bound.
        let mut resume = None;
        let request = self.plan.request;
        let reader = self.reader;
        let counting = reader.shared.counts.begin(request, self.at);
        let tally = reader.under_meter(self.frozen, |read| {
            let view = EngineView::new(read);
            let range = (&self.rest, counting.known());
            tally(&view, &self.plan, range, self.at, |row, key, tally| {
                if resume.is_none() && tally.size_bytes > kept_bytes_max {
                    resume = Some(Bytes::copy_from_slice(key));
                }
                if resume.is_none() {
                    kept_keys += 1;
                    row.encode(&mut pages);
                }
            })
        })?;
        let measured = tally.measured(&self.plan, self.now);
        counting.end(measured.count, tally.page.as_ref());
        self.pages = pages;
        self.left = match resume {
            Some(key) => {
                self.rest = self.rest.from(key);
                self.plan.limit - kept_keys
            }
            None => 0,
        };
        Ok(measured)
    }

    /// Returns the next page, or `None` after the last, which may be shorter than the others.
    pub fn next_page(&mut self) -> Result<Option<Bytes>, ReadError> {
        if !self.pages.has_full() && self.left > 0 {
            self.read_page()?;
        }
        Ok(self.pages.take_first())
    }

    /// Reads until a page is full, or to the end.
    fn read_page(&mut self) -> Result<(), ReadError> {
        let mut pages = std::mem::replace(&mut self.pages, Buffers::new(self.page_bytes));
        let mut left = self.left;
        let mut resume = None;
        self.visit(|plan, key, head, value| {
            if !plan.passes(head) {
                return ControlFlow::Continue(());
            }
            Row::of(plan, key, head, value).encode(&mut pages);
            left -= 1;
            match pages.has_full() || left == 0 {
                true => {
                    resume = Some(successor(key));
                    ControlFlow::Break(())
                }
                false => ControlFlow::Continue(()),
            }
        })?;
        self.pages = pages;
        match resume {
            Some(key) => {
                self.rest = self.rest.from(key);
                self.left = left;
            }
            None => self.left = 0,
        }
        Ok(())
    }

    /// Visits the rest of the range.
    fn visit(
        &self,
        mut row: impl FnMut(&Plan<'_>, &[u8], &Head, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let mut visitor = |key: &[u8], head: &Head, value: &[u8]| row(&self.plan, key, head, value);
        self.reader.under_meter(self.frozen, |read| {
            let needs = |head: &Head| self.plan.needs_value(head);
            EngineView::new(read).visit(&self.rest, self.at, &needs, &mut visitor)
        })
    }
}
