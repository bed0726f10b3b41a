//! Counts of the keys in the next page's range, for clients that read a range page by page.
//!
//! A page is a range with a limit. Its reply has the number of all keys in its range, so a page of
//! a hundred keys out of a million would look at a million keys. But what was read at a revision
//! never changes. So one count says how many keys are left after each page, and the next page,
//! which begins right after the last key of this one, need not count them again.

use std::collections::VecDeque;

use bytes::Bytes;
use conclave_proto::etcdserverpb as api;
use parking_lot::Mutex;

use crate::ids::Revision;
use crate::mvcc::range::successor;

/// Pages that are remembered: one for each client that reads in pages at the same time, and a few
/// more, since a page that is read twice is remembered twice.
const REMEMBERED: usize = 64;
/// Size of the longest range that is remembered, in bytes of its ends.
const ENDS_BYTES_MAX: usize = 4 << 10;

/// The ranges of the pages to come, the oldest first.
#[derive(Debug, Default)]
pub(super) struct PageCounts {
    known: Mutex<VecDeque<Known>>,
}

/// A range at a revision, and the number of its keys.
#[derive(Debug)]
struct Known {
    at: Revision,
    first: Bytes,
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
            known.at == at && known.first == request.key && known.end == request.range_end
        };
        // Clients that have just read a page are the likeliest to ask for the next one.
        let known = self.known.lock();
        known.iter().rev().find(is_it).map(|known| known.count)
    }

    /// Remembers that `count` keys follow `last`, the last key of the page that was requested.
    pub(super) fn remember(
        &self,
        request: &api::RangeRequest,
        at: Revision,
        last: &[u8],
        count: i64,
    ) {
        if last.len() + request.range_end.len() > ENDS_BYTES_MAX {
            return;
        }
        let next = Known {
            at,
            first: successor(last),
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

    #[test]
    fn only_the_next_page_of_the_same_range_at_the_same_revision_is_known() {
        let counts = PageCounts::default();
        counts.remember(&page(b"a", b"z"), Revision(5), b"c", 7);
        let next = page(b"c\0", b"z");
        assert_eq!(counts.of(&next, Revision(5)), Some(7));
        assert_eq!(counts.of(&next, Revision(6)), None);
        assert_eq!(counts.of(&page(b"c\0", b"y"), Revision(5)), None);
        assert_eq!(counts.of(&page(b"c", b"z"), Revision(5)), None);
        let whole = api::RangeRequest { limit: 0, ..next };
        assert_eq!(counts.of(&whole, Revision(5)), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let counts = PageCounts::default();
        counts.remember(&page(b"a", b"z"), Revision(1), &[b'k'; ENDS_BYTES_MAX], 7);
        assert!(counts.known.lock().is_empty());
        for n in 0..=REMEMBERED as i64 {
            counts.remember(&page(b"a", b"z"), Revision(n), b"c", n);
        }
        let next = page(b"c\0", b"z");
        assert_eq!(counts.of(&next, Revision(0)), None);
        assert_eq!(counts.of(&next, Revision(1)), Some(1));
        assert_eq!(counts.known.lock().len(), REMEMBERED);
    }
}
