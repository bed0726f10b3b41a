//! Cache of the numbers of keys in ranges.
//!
//! To count keys is to look at each of them, at a fifth of a microsecond. But clients mostly ask
//! for numbers that follow from earlier ones: the rest of a range that they read in pages
//! ([`of_pages`]), and the same range at a later revision ([`of_ranges`]).

use std::sync::Arc;

use conclave_proto::etcdserverpb as api;

use crate::ids::Revision;
use crate::mvcc::Changes;
use crate::mvcc::range::KeyRange;

mod of_pages;
mod of_ranges;

use of_pages::PageCounts;
pub(super) use of_pages::PageEnd;
use of_ranges::{Following, RangeCounts};

/// Cache of the numbers of keys in ranges, shared by all reads.
#[derive(Debug, Default)]
pub(super) struct Counts {
    of_pages: PageCounts,
    of_ranges: RangeCounts,
}

impl Counts {
    /// Begins a read of the request's range at `at`, a published revision.
    pub(super) fn begin<'a>(
        &'a self,
        request: &'a api::RangeRequest,
        at: Revision,
    ) -> Counting<'a> {
        let mut counting = Counting {
            counts: self,
            request,
            at,
            known: None,
            following: None,
        };
        // Other reads look at all keys in any case.
        if request.limit > 0 || request.count_only {
            let range = KeyRange::of(&request.key, &request.range_end);
            let of_page = self.of_pages.of(request, at);
            counting.known = of_page.or_else(|| self.of_ranges.of(&range, at));
            if counting.known.is_none() {
                counting.following = self.of_ranges.follow(range);
            }
        }
        counting
    }

    /// Notes the changes that led to `revision`, which is published after it.
    pub(super) fn note(&self, changes: &[Arc<Changes>], revision: Revision) {
        self.of_ranges.note(changes, revision);
    }

    /// Clears the cache, because the engine has been replaced.
    pub(super) fn clear(&self) {
        self.of_pages.clear();
        self.of_ranges.clear();
    }
}

/// Number of keys in the range of one request: either in the cache, or reported by the read with
/// [`Counting::end`]. A read that fails or is stopped drops it.
pub(super) struct Counting<'a> {
    counts: &'a Counts,
    request: &'a api::RangeRequest,
    at: Revision,
    known: Option<i64>,
    following: Option<Following<'a>>,
}

impl Counting<'_> {
    /// Returns the number, if it is known.
    pub(super) fn known(&self) -> Option<i64> {
        self.known
    }

    /// Remembers that there are `count` keys in the range, and where the page ended, if it is one.
    pub(super) fn end(self, count: i64, page: Option<&PageEnd>) {
        if let Some(following) = self.following {
            following.end(self.at, count);
        }
        if let Some(page) = page {
            let rest = count - self.request.limit;
            self.counts
                .of_pages
                .remember(self.request, self.at, page, rest);
        }
    }
}
