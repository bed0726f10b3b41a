//! Agreement on one log, without I/O.
//!
//! # The model
//!
//! [`node::Node`] is a function with a memory. Inputs go in one at a time: a tick of the clock, a
//! message from a peer, a payload to propose, "work number 7 is on disk". Whenever the caller
//! likes, it asks for one [`node::Work`]: what to append, what to send and when, what is committed.
//! The node never waits, reads no clock, draws no random numbers but from its own seed, and writes
//! nothing. In production a thread drives it (`driver.rs`); in the simulator a loop does.
//!
//! Underneath is the `raft` crate. Its types end here: peers carry its messages as opaque bytes,
//! the log keeps its entries as (index, term, kind, bytes), and the rest of the program would not
//! notice another library.
//!
//! # One command, from proposal to commit, on a sole voter
//!
//! ```text
//! propose([cmd a, cmd b])        -> position (index 8, term 2)
//! work()  -> #5 append 8@2 and sync                       nothing is committed yet
//! persisted(5)
//! work()  -> #6 append hard state (commit 8), no sync;    commit 8@2 [cmd a, cmd b]
//! applied(8)
//! ```
//!
//! With followers, the messages of #5 leave at once, while the leader's own disk is still busy (the
//! leader is one more voter whose acknowledgement is its `persisted`); what a follower answers
//! leaves only after its own `persisted`.
//!
//! # Many commands, one entry
//!
//! The payload of an entry is a `Batch`: all the commands that arrived while the last sync ran. The
//! library clones an entry from its unstable log into every ready list, looks its term up, and
//! counts its size several times; none of that is dear for one entry, all of it is for a thousand.
//! Commands are encoded once, by the task that proposes them, and [`codec`] puts them together by
//! copying bytes.
//!
//! # Invariants
//!
//! 1. Work is handed out in number order and everything in it must be done in that order.
//! 2. Nothing is committed here before it is durable here: the library hands out committed entries
//!    only up to what [`node::Node::persisted`] has confirmed.
//! 3. A position (index, term) names one payload for ever. An entry that commits at the index with
//!    another term is another entry, and whoever waits for the first is told that it was lost.
//! 4. A read-index context is used once: (member, boot, counter). The library keys pending reads by
//!    it, so a context used twice could answer a later read with an earlier index. See [`reads`].
//! 5. The election timeout is the node's own to choose ([`timing`]), after every change of role,
//!    term or leader: the same inputs give the same outputs.
//! 6. After a start, nothing at or below the applied index the node was given is committed again.

pub mod codec;
pub(crate) mod configuration;
mod follower_reads;
mod logger;
pub mod node;
pub mod peer_message;
pub mod reader;
pub mod reads;
mod timing;

#[cfg(test)]
mod golden;

pub use node::{CommittedEntry, Node, NotProposed, Outgoing, Position, Restore, Work};

/// Who leads, from where this member stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Raft's term.
    pub term: u64,
    /// The leader's id; 0 while none is known.
    pub leader: u64,
    /// Whether this member is the leader.
    pub is_leader: bool,
    /// Whether this member has no vote.
    pub is_learner: bool,
    /// Whether this member is the only voter.
    pub is_sole_voter: bool,
}
