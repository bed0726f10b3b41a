//! Integers with a meaning. Each has a type of its own, so that none can be passed for another.
//!
//! Bare integers remain at three boundaries: the bytes on disk, the messages of the API and of the
//! peers, and raft's own types. There `.0` converts.
//!
//! `Debug` of the newer ones prints what `Display` prints: log lines print whole structs, and an
//! operator searches them for the number.

use std::fmt;

/// A term of raft: the time of at most one leader. Elections count them from 1.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(pub u64);

impl Term {
    /// No term: before the first election, or where a message need not be of a certain term.
    pub const NONE: Term = Term(0);
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The position of an entry in the raft log, from 1. The leader that proposes an entry gives it the
/// next one.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Index(pub u64);

impl Index {
    /// Before the first entry.
    pub const NONE: Index = Index(0);

    /// The index after this one.
    #[must_use]
    pub fn next(self) -> Index {
        Index(self.0 + 1)
    }

    /// The index before this one.
    #[must_use]
    pub fn previous(self) -> Index {
        Index(self.0 - 1)
    }

    /// The index `count` entries before this one, or [`Index::NONE`] if there are fewer.
    #[must_use]
    pub fn saturating_sub(self, count: u64) -> Index {
        Index(self.0.saturating_sub(count))
    }

    /// The indexes from this one up to, but without, `end`.
    pub fn until(self, end: Index) -> impl Iterator<Item = Index> {
        (self.0..end.0).map(Index)
    }
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The id of a member, as raft and the API use it: a hash of its first peer URLs. A member keeps it
/// for life, and no other member gets it. Printed in hexadecimal, as etcd does.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u64);

impl MemberId {
    /// No member: no leader is known, or no vote was given.
    pub const NONE: MemberId = MemberId(0);
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl fmt::Debug for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The id of a cluster: a hash of the ids of its first members. Members of one cluster take nothing
/// from those of another. Printed in hexadecimal, as etcd does.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub u64);

impl ClusterId {
    /// No cluster: the store was never bootstrapped.
    pub const NONE: ClusterId = ClusterId(0);
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The number that a member gave to one of its commands. With the member's id it tells whose caller
/// waits for the outcome, so a member does not repeat one, nor the numbers of its last start.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A point in the history of the key space: the `revision` of the API. An empty store is at
/// revision 1 and the first write makes it 2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub i64);

impl Revision {
    /// The revision of a store before its first write.
    pub const EMPTY_STORE: Revision = Revision(1);

    /// The revision after this one.
    pub fn next(self) -> Revision {
        Revision(self.0 + 1)
    }

    /// The revision before this one.
    pub fn previous(self) -> Revision {
        Revision(self.0 - 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The id of a lease: positive, chosen by the client or by the member that proposed the grant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub i64);

impl LeaseId {
    /// No lease, in the `lease` field of a key or a request.
    pub const NONE: LeaseId = LeaseId(0);
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
