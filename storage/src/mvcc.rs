//! The key space with its history: multi-version concurrency control.
//!
//! Every write transaction is one *revision*, and each key it changes gets a new *version* at that
//! revision; nothing is lost. A version is a put (value, lease, `create_revision`, `version`) or a
//! tombstone. Four spaces hold the versions, written together:
//!
//! * `HEAD`, by key: the latest version of each key that exists, with its value. Reading a key at
//!   the latest revision is one lookup, reading a range is one scan without a row of no use.
//! * `KEY`, by key: nothing. It has the keys of `HEAD`, to be counted without reading values.
//! * `OLD`, by key and then newest first: versions that a later one has superseded, and tombstones.
//!   A head moves here when its key changes. Reading a key at an older revision `r` is a lookup of
//!   the head and, if that is newer than `r` or absent, one seek to `(key, r)`: the row found is
//!   the newest at or below `r`. Reading a range merges both spaces.
//! * `REV`, by revision: the keys that changed. It serves watchers that catch up ([`history`]), the
//!   removal of old versions ([`compact`]) and the comparison of members ([`hash`]).
//!
//! For example, `put a 1` at revision 2, `put a 2` and `put b 9` in one transaction at 3, `delete
//! a` at 4:
//!
//! ```text
//! HEAD  b "9" mod 3 create 3 ver 1       REV  2.0 put a
//! KEY   b                                     3.0 put a
//! OLD   a@4 tombstone                         3.1 put b
//!       a@3 "2" create 2 ver 2                4.0 delete a
//!       a@2 "1" create 2 ver 1
//! ```
//!
//! Reading `a` at 3 finds no head, and the seek finds `a@3`. At 4 the seek finds the tombstone, so
//! `a` does not exist. Compacting at 4 removes `a@3` and `a@2`, keeps the head of `b`, and keeps
//! the tombstone `a@4` too, for a watcher that starts at 4.
//!
//! Invariants:
//!
//! 1. A key has at most one version in a revision, because the rules for transactions forbid more
//!    (`machine/validate.rs`). So `(key, revision)` identifies a version.
//! 2. A version has a row in `REV` and one in `HEAD` or `OLD`, or none at all.
//! 3. With compact revision `c`, every read at a revision `>= c` returns exactly what it returned
//!    before the compaction, and so does the history from `c` on.
//! 4. The rows of a revision are readable before the revision is published.

mod change;
pub(crate) mod compact;
pub(crate) mod hash;
pub(crate) mod history;
pub(crate) mod pending;
pub(crate) mod query;
pub(crate) mod range;
pub(crate) mod record;
pub(crate) mod txn;
pub(crate) mod view;
pub(crate) mod write;

pub use change::{Change, ChangeKind, Changes};
pub use hash::HashKv;
pub use history::History;
pub use range::KeyRange;
