//! The key space with its history: multi-version concurrency control.
//!
//! Every write transaction is one *revision*, and each key it changes gets a new *version* under
//! that revision; nothing is overwritten. A version is a put (value, lease, `create_revision`,
//! `version`) or a tombstone. Two spaces hold them, written together:
//!
//! * `KV`, by key and then newest first: the version with its value. Reading a key at revision `r`
//!   is one seek to `(key, r)`: the row found is the newest at or below `r`. Reading a range is one
//!   scan.
//! * `REV`, by revision: which keys changed. It feeds watchers that catch up ([`history`]), the
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
//! `a` at 3 is a seek to `a@3`; at 4 it finds the tombstone, so there is no `a`. Compacting at 4
//! removes `a@3` and `a@2`, keeps `b@3`, and keeps the tombstone `a@4` too, for a watcher that
//! starts at 4.
//!
//! Invariants:
//!
//! 1. A key has at most one version in a revision: the rules for transactions forbid more
//!    ([`crate::machine::validate`]), so `(key, revision)` names a version.
//! 2. `KV` and `REV` have a row each for every version, or neither.
//! 3. With compact revision `c`, every read at a revision `>= c` finds exactly what it found before
//!    the compaction, and so does the history from `c` on.
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

pub use change::{Change, Changes};
pub use hash::HashKv;
pub use history::History;
