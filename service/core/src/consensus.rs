//! Agreement on one log, without I/O.
//!
//! # The model
//!
//! [`node::Node`] is a deterministic state machine. The caller feeds it one input at a time: a
//! clock tick, a message from a peer, a payload to propose, or the confirmation that work number 7
//! is on disk. At any time the caller may ask for one [`node::Work`]: what to append, what to send
//! and when, and what is committed. The node never blocks, reads no clock, draws random numbers
//! only from its own seed, and writes nothing. A thread drives it in production (`driver.rs`); a
//! loop drives it in the simulator.
//!
//! The protocol itself comes from the `raft` crate. Its types do not leave this module: peers carry
//! its messages as opaque bytes, and the log stores its entries as (index, term, kind, bytes).
//! Replacing the library would not change the rest of the program.
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
//! With followers, the messages of #5 are sent at once, while the leader's own disk is still
//! syncing: the leader is one more voter, and `persisted` is its acknowledgement. A follower's
//! responses are sent only after its own `persisted`.
//!
//! # Many commands, one entry
//!
//! The payload of an entry is a `Batch`: all the commands that arrived during the previous sync.
//! For every entry, the library clones it from its unstable log into the ready list, looks up its
//! term, and computes its size several times. That is cheap for one entry and expensive for a
//! thousand. The task that proposes a command encodes it once, and [`codec`] builds the batch by
//! copying bytes.
//!
//! # Invariants
//!
//! 1. Work is numbered in order, and everything in it must be done in that order.
//! 2. An entry is committed on this member only once it is durable on this member: the library
//!    returns committed entries only up to the index that [`node::Node::persisted`] has confirmed.
//! 3. A position (index, term) identifies one payload permanently. If an entry with another term
//!    commits at that index, the proposal is lost, and its caller is notified.
//! 4. A read-index context (member, boot, counter) is used once. The library keys pending reads by
//!    it, so reusing a context could answer a later read with an earlier index. See [`reads`].
//! 5. The node chooses its own election timeout ([`timing`]) after every change of role, term or
//!    leader: the same inputs give the same outputs.
//! 6. After a restart, the node does not return entries at or below the applied index it was given.

use conclave_storage::{MemberId, Term};

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

/// This member's view of raft's term, leader and roles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RaftStatus {
    /// Current raft term.
    pub term: Term,
    /// Id of the leader; [`MemberId::NONE`] while the leader is unknown.
    pub leader: MemberId,
    /// True if this member is the leader.
    pub is_leader: bool,
    /// True if this member is a learner, which has no vote.
    pub is_learner: bool,
    /// True if this member is the only voter.
    pub is_sole_voter: bool,
}
