//! Counts of the keys in the next page's range, for clients that read a range page by page.
//!
//! A page is a range with a limit. Its reply has the number of all keys in its range, so a page of
//! a hundred keys out of a million would look at a million keys. But what was read at a revision
//! never changes. So one count says how many keys are left after each page, and the next page,
//! which begins anywhere after the last key of this one and not after the first key beyond it, need
//! not count them again.

use std::collections::VecDeque;

use bytes::Bytes;
use conclave_proto::etcdserverpb as api;
use parking_lot::Mutex;

use crate::ids::Revision;

/// Pages that are remembered: two for each of a hundred clients that read in pages at the same
/// time. A page that is read twice is remembered twice.
const REMEMBERED: usize = 256;
/// Size of the longest keys that are remembered for a page, in bytes.
const ENDS_BYTES_MAX: usize = 4 << 10;

/// The ranges of the pages to come, the oldest first.
#[derive(Debug, Default)]
pub(super) struct PageCounts {
    known: Mutex<VecDeque<Known>>,
}

/// Where a page ended.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::reader) struct PageEnd {
    /// The page's last key.
    pub(in crate::reader) last: Bytes,
    /// The first key beyond the limit.
    pub(in crate::reader) beyond: Bytes,
}

/// The ranges at a revision that begin between two pages, and the number of keys in each.
#[derive(Debug)]
struct Known {
    at: Revision,
    begins: PageEnd,
    end: Bytes,
    count: i64,
}

impl PageCounts {
    /// Returns the number of keys in the range of a page, if the page before it was read.
    pub(super) fn of(&self, request: &api::RangeRequest, at: Revision) -> Option<i64> {
        if request.limit <= 0 {
            return None;
        }
        let is_it = |known: &&Known| {
            known.at == at
                && known.begins.last < request.key
                && request.key <= known.begins.beyond
                && known.end == request.range_end
        };
        // Clients that have just read a page are the likeliest to ask for the next one.
        let known = self.known.lock();
        known.iter().rev().find(is_it).map(|known| known.count)
    }

    /// Remembers that `count` keys follow the page that was requested.
    pub(super) fn remember(
        &self,
        request: &api::RangeRequest,
        at: Revision,
        page: &PageEnd,
        count: i64,
    ) {
        let ends_bytes = page.last.len() + page.beyond.len() + request.range_end.len();
        if ends_bytes > ENDS_BYTES_MAX {
            return;
        }
        let next = Known {
            at,
            begins: page.clone(),
            // A copy, because the request may be a slice of something larger.
            end: Bytes::copy_from_slice(&request.range_end),
            count,
        };
        let mut known = self.known.lock();
        if known.len() == REMEMBERED {
            known.pop_front();
        }
        known.push_back(next);
    }

    pub(super) fn clear(&self) {
        self.known.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(key: &'static [u8], end: &'static [u8]) -> api::RangeRequest {
        api::RangeRequest {
            key: key.into(),
            range_end: end.into(),
            limit: 2,
            ..api::RangeRequest::default()
        }
    }

    fn ends(last: &'static [u8], beyond: &'static [u8]) -> PageEnd {
        PageEnd {
            last: last.into(),
            beyond: beyond.into(),
        }
    }

    #[test]
    fn only_the_next_page_of_the_same_range_at_the_same_revision_is_known() {
        let counts = PageCounts::default();
        counts.remember(&page(b"a", b"z"), Revision(5), &ends(b"c", b"f"), 7);
        let next = page(b"c\0", b"z");
        assert_eq!(counts.of(&next, Revision(5)), Some(7));
        assert_eq!(counts.of(&page(b"f", b"z"), Revision(5)), Some(7));
        assert_eq!(counts.of(&page(b"f\0", b"z"), Revision(5)), None);
        assert_eq!(counts.of(&next, Revision(6)), None);
        assert_eq!(counts.of(&page(b"c\0", b"y"), Revision(5)), None);
        assert_eq!(counts.of(&page(b"c", b"z"), Revision(5)), None);
        let whole = api::RangeRequest { limit: 0, ..next };
        assert_eq!(counts.of(&whole, Revision(5)), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let counts = PageCounts::default();
        let long = ends(&[b'k'; ENDS_BYTES_MAX / 2], &[b'l'; ENDS_BYTES_MAX / 2]);
        counts.remember(&page(b"a", b"z"), Revision(1), &long, 7);
        assert!(counts.known.lock().is_empty());
        for n in 0..=REMEMBERED as i64 {
            counts.remember(&page(b"a", b"z"), Revision(n), &ends(b"c", b"d"), n);
        }
        let next = page(b"c\0", b"z");
        assert_eq!(counts.of(&next, Revision(0)), None);
        assert_eq!(counts.of(&next, Revision(1)), Some(1));
        assert_eq!(counts.known.lock().len(), REMEMBERED);
    }
}
