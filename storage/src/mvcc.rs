//! The key space with its history: multi-version concurrency control.
//!
//! Every write transaction is one *revision*, and each key it changes gets a new *version* at that
//! revision; nothing is overwritten. A version is a put (value, lease, `create_revision`,
//! `version`) or a tombstone. Two spaces hold the versions, written together:
//!
//! * `KV`, by key and then newest first: the version with its value. Reading a key at revision `r`
//!   is one seek to `(key, r)`: the row found is the newest at or below `r`. Reading a range is one
//!   scan.
//! * `REV`, by revision: the keys that changed. It serves watchers that catch up ([`history`]), the
//!   removal of old versions ([`compact`]) and the comparison of members ([`hash`]).
//!
//! For example, `put a 1` at revision 2, `put a 2` and `put b 9` in one transaction at 3, `delete
//! a` at 4:
//!
//! ```text
//! KV   a@4 tombstone            REV  2.0 put a
//!      a@3 "2" create 2 ver 2        3.0 put a
//!      a@2 "1" create 2 ver 1        3.1 put b
//!      b@3 "9" create 3 ver 1        4.0 delete a
//! ```
//!
//! Reading `a` at 3 is a seek to `a@3`. At 4 the seek finds the tombstone, so `a` does not exist.
//! Compacting at 4 removes `a@3` and `a@2`, keeps `b@3`, and keeps the tombstone `a@4` too, for a
//! watcher that starts at 4.
//!
//! Invariants:
//!
//! 1. A key has at most one version in a revision, because the rules for transactions forbid more
//!    (`machine/validate.rs`). So `(key, revision)` identifies a version.
//! 2. A version has a row in `KV` and a row in `REV`, or neither.
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
