//! Records what clients did and the answers they got, and checks that a correct cluster could have
//! given them.
//!
//! The general question, whether a history is strictly serializable, is hard to decide. Here it is
//! easy, because the server gives every write a *revision*, and claims that the order of revisions
//! is the order of writes. So a history is checked against that claim:
//!
//! 1. The **truth** is the stream of events a watch from revision 1 returns at the end ([`truth`]):
//!    every write, in order, without a gap. A model of one key-value store replays it, and every
//!    member must return the same events.
//! 2. Every **operation** must agree with the truth ([`operations`]). An acknowledged write is in
//!    it at its revision; a refused write is not; a write without an answer is in it at most once.
//!    A read, of any kind, returned the truth's value at the revision in its header.
//! 3. **Real time**: an operation that returned before another was invoked has the smaller
//!    revision. A linearizable read has at least the revision of every operation that returned
//!    before the read was invoked.
//! 4. Every **watcher** received the part of the truth it asked for: nothing lost, repeated or out
//!    of order, however often it resumed ([`watches`]).
//! 5. **Locks** have one holder at a time; **leases** live for at least their TTL after the last
//!    acknowledged keep-alive ([`sessions`]).
//!
//! For example:
//!
//! ```text
//! client 1   |--put a=1--|  ok at 5
//! client 2                  |--get a--|  nothing, at 4     stale: 4 < 5, and 5 was answered before
//! client 3   |-------put a=2------------ no answer         may be in the truth, at 6 or later or
//!                                                          not at all; at 5 is client 1's
//! ```
//!
//! Time is a counter that goes up at each invocation and each return, so "before" is exact within
//! the process that ran the clients. `tests/cluster/checker.rs` gives the checker bad histories,
//! which it must reject.

pub mod follow;
pub mod load;
pub mod operations;
pub mod sessions;
pub mod sessions_load;
pub mod truth;
pub mod watches;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

pub use self::follow::Follower;
pub use self::load::Load;
pub use self::sessions::{Hold, Life};
pub use self::sessions_load::Sessions;
pub use self::truth::{Event, Truth, Version};

/// Logical time: a counter incremented at every invocation and return.
pub type Moment = u64;

/// A client's request. Values are unique within a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Set the key.
    Put(String),
    /// Remove the key.
    Delete,
    /// Set the key if its last change was at this revision (0: if it does not exist).
    Swap(i64, String),
    /// Read the key.
    Get,
    /// Read the member's own state (serializable).
    GetLocal,
}

/// The outcome of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answered, with this revision in the header.
    Done(i64, Effect),
    /// Not done, and will not be done later.
    Refused,
    /// Unanswered: it may have been done, or may be done later.
    Unknown,
}

/// The content of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The write was made, at the revision in the header.
    Written,
    /// No change: nothing to remove, or the condition was false.
    Nothing,
    /// The value read.
    Read(Option<Version>),
}

/// One operation of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The client's number.
    pub client: usize,
    /// The key it concerns.
    pub key: String,
    /// The request.
    pub call: Call,
    /// When the request was sent.
    pub invoked: Moment,
    /// When the outcome was known; for an unknown outcome, when the client gave up.
    pub returned: Moment,
    /// The outcome.
    pub outcome: Outcome,
}

/// A violation of a rule by the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The violated rule, in two or three words.
    pub rule: &'static str,
    /// The operations or events that violate it.
    pub details: String,
}

impl Violation {
    /// A violation of `rule`, with details.
    pub fn new(rule: &'static str, details: impl Into<String>) -> Self {
        let details = details.into();
        Self { rule, details }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.details)
    }
}

/// Collects the operations of all clients.
#[derive(Debug, Default)]
pub struct Recorder {
    clock: AtomicU64,
    operations: Mutex<Vec<Operation>>,
    holds: Mutex<Vec<Hold>>,
    lives: Mutex<Vec<Life>>,
}

impl Recorder {
    /// The next logical time, later than all before.
    pub fn now(&self) -> Moment {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// Records an operation.
    pub fn operation(&self, operation: Operation) {
        lock(&self.operations).push(operation);
    }

    /// Records that a lock was held.
    pub fn hold(&self, hold: Hold) {
        lock(&self.holds).push(hold);
    }

    /// Records how long a lease was kept alive.
    pub fn life(&self, life: Life) {
        lock(&self.lives).push(life);
    }

    /// All operations so far.
    pub fn operations(&self) -> Vec<Operation> {
        lock(&self.operations).clone()
    }

    /// All holds of locks so far.
    pub fn holds(&self) -> Vec<Hold> {
        lock(&self.holds).clone()
    }

    /// All leases kept alive so far.
    pub fn lives(&self) -> Vec<Life> {
        lock(&self.lives).clone()
    }

    /// Numbers of operations answered, refused and without an answer so far.
    pub fn counts(&self) -> (usize, usize, usize) {
        let operations = lock(&self.operations);
        let mut counts = (0, 0, 0);
        for operation in operations.iter() {
            match operation.outcome {
                Outcome::Done(..) => counts.0 += 1,
                Outcome::Refused => counts.1 += 1,
                Outcome::Unknown => counts.2 += 1,
            }
        }
        counts
    }
}

/// Ignores poisoning: the panic of another client is the failure to report.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Panics if there are violations.
#[track_caller]
pub fn expect_none(violations: &[Violation]) {
    let shown: Vec<_> = violations
        .iter()
        .take(20)
        .map(ToString::to_string)
        .collect();
    assert!(
        violations.is_empty(),
        "{} violations:\n{}",
        violations.len(),
        shown.join("\n")
    );
}
