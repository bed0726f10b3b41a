//! What clients did and were told, and whether an honest cluster could have told them that.
//!
//! The general question, whether a history is strictly serializable, is hard to decide. Here it is
//! easy, because the server gives every write a *revision*, and claims that the order of revisions
//! is the order of writes. So a history is checked against the claim:
//!
//! 1. The **truth** is what a watch from revision 1 on tells at the end ([`truth`]): every write,
//!    in order, without a gap. A model of one key-value store replays it, and each member must
//!    tell the same truth.
//! 2. Every **operation** must fit it ([`operations`]). A write that was acknowledged is in it at
//!    its revision; one that was refused is not; one without an answer may be, once. A read, of
//!    whatever kind, returned what the truth has at the revision in its header.
//! 3. **Real time**: what was answered before another operation was sent has the smaller revision.
//!    A linearizable read has at least the revision of everything answered before it was sent.
//! 4. Every **watcher** was told the part of the truth it asked for: nothing lost, repeated or out
//!    of order, however often it had to resume ([`watches`]).
//! 5. **Locks** have one holder, **leases** outlive their last acknowledged keep-alive by their
//!    time to live ([`sessions`]).
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
//! the process that ran the clients. `tests/cluster/checker.rs` shows the checker bad histories.

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

/// A moment, as the number of things that had begun or ended before it.
pub type Moment = u64;

/// What a client asked for. Values are unique over a history.
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
    /// Read what the member itself has.
    GetLocal,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered, with this revision in the header.
    Done(i64, Effect),
    /// It was not done and will not be.
    Refused,
    /// It may have been done, or be done later.
    Unknown,
}

/// What an answer said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The write was made, at the revision in the header.
    Written,
    /// There was nothing to remove, or the condition was false.
    Nothing,
    /// The key was this.
    Read(Option<Version>),
}

/// One operation of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Who.
    pub client: usize,
    /// Of which key.
    pub key: String,
    /// What.
    pub call: Call,
    /// When it was sent.
    pub invoked: Moment,
    /// When its outcome was known. For an unknown one, when the client gave up.
    pub returned: Moment,
    /// What came of it.
    pub outcome: Outcome,
}

/// Something that must not have happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which rule was broken, in two or three words.
    pub rule: &'static str,
    /// By what.
    pub details: String,
}

impl Violation {
    /// The rule, and by what it was broken.
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

/// Where clients write down what they do.
#[derive(Debug, Default)]
pub struct Recorder {
    clock: AtomicU64,
    operations: Mutex<Vec<Operation>>,
    holds: Mutex<Vec<Hold>>,
    lives: Mutex<Vec<Life>>,
}

impl Recorder {
    /// The present moment, which is later than all moments given out before.
    pub fn now(&self) -> Moment {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// Notes an operation.
    pub fn operation(&self, operation: Operation) {
        lock(&self.operations).push(operation);
    }

    /// Notes that a lock was held.
    pub fn hold(&self, hold: Hold) {
        lock(&self.holds).push(hold);
    }

    /// Notes how long a lease was kept alive.
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

    /// Operations answered, refused and without an answer so far.
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

/// Usable after a panic of another client too: that panic is what is to be reported.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Nothing is wrong.
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
