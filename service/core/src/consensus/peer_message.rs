//! Checks a raft message from another member before the library sees it.
//!
//! The library trusts its peers. It does not check for what the protocol rules out: if that happens
//! anyway, it panics, overflows an index or loops, so one member could stop another. Such a peer
//! can be a member of a broken build, or a process that reached the peer port of a cluster without
//! TLS. So this module checks every message, against itself and against the small part of the local
//! state that the library's panics depend on ([`Local`]).
//!
//! A message that [`check`] refuses is dropped, counted and logged. That costs only time: raft
//! tolerates lost messages, and a correct member never sends such a message.
//!
//! # What is not checked
//!
//! Plausible lies are not checked: an acknowledgement of entries that were not written, or a vote
//! that was not given. Raft does not survive members that lie. Only one lie has a special
//! consequence: a heartbeat with a commit index beyond the log. From an honest leader it means that
//! this member's disk was replaced, so the member stops ([`super::node::Refused::LogLost`]). If
//! this member's membership does not list the sender, the heartbeat is dropped instead.
//!
//! # What the library does with it otherwise (0.7)
//!
//! | message | content | consequence |
//! |---|---|---|
//! | any | an index or term near 2^64 | the next value overflows |
//! | any | the largest possible term | no election can follow |
//! | vote, pre-vote | a priority below ours | a refusal in term 0: `term should be set` |
//! | append | entries with gaps, or out of order | `unstable.slice out of bound`, wrong slices |
//! | append | a previous entry beyond the log, of term 0 | treated as present: a gap in the log |
//! | append, vote response, ... | term 0 | treated as this member's message to itself |
//! | response to an append | acknowledges entries that do not exist | counted as replicated later |
//! | response to an append | asks for a snapshot beyond the log | snapshots made over and over |
//! | vote response | before our log is on disk | `assert_eq!(last_index, persisted)` |
//! | snapshot | members with id 0, or listed twice | `unable to restore config` |
//! | read index | no context, or with a term | index out of bounds, `term should not be set` |

use std::collections::BTreeSet;

use conclave_storage::{Index, MemberId, Term};
use raft::StateRole;
use raft::eraftpb::{Entry, Message, MessageType};

/// Largest index and term. Far beyond what a cluster reaches, and far enough below 2^64 that no sum
/// of two of them overflows.
const NUMBER_MAX: u64 = 1 << 62;

/// Largest difference between a message's term and ours. A cluster that elects a leader every
/// millisecond needs seven weeks to use up this many terms. Without this bound, one message could
/// exhaust the terms, and no election could succeed after it.
const TERM_LEAP_MAX: u64 = 1 << 32;

/// Largest size of a context, in bytes. Ours have 24 ([`super::reads::Context`]); the leader sends
/// one back to every member with each heartbeat.
const CONTEXT_BYTES_MAX: usize = 256;

/// Local state that a check depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// Id of this member.
    pub id: MemberId,
    /// Current term of this member.
    pub term: Term,
    /// Current role of this member.
    pub role: StateRole,
    /// Last index of this member's log.
    pub last_index: Index,
    /// True if the whole log is on disk.
    pub is_durable: bool,
}

/// Reason why a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// A message that raft sends only to itself, or one that uses another path: commands and
    /// snapshots.
    #[error("members do not send each other messages of this kind")]
    Kind,
    /// The message is addressed to another member.
    #[error("it is for another member")]
    Receiver,
    /// The sender is this member, is missing, or differs from the member that sent the message.
    #[error("its sender is another than the member that sent it")]
    Sender,
    /// The term is missing, or is one that no cluster reaches.
    #[error("its term is out of range")]
    Term,
    /// An index that no cluster reaches.
    #[error("an index in it is out of range")]
    Index,
    /// An entry has a later term than the message.
    #[error("it speaks of an entry of a later term")]
    EntryTerm,
    /// The message has an election priority, which no member here uses.
    #[error("it has a priority")]
    Priority,
    /// The context is larger than any member's context.
    #[error("its context is too large")]
    Context,
    /// The entries are not consecutive.
    #[error("its entries do not follow one another")]
    Entries,
    /// The entries have fields that the log does not keep.
    #[error("its entries have fields that this release does not know")]
    EntryFields,
    /// A read-index request does not have exactly one context.
    #[error("it asks for a read index without saying what for")]
    Question,
    /// The commit index is beyond this member's log, and the membership does not list the leader.
    #[error("its sender is not listed, and knows of more committed entries than there are here")]
    Commit,
    /// The message acknowledges entries beyond the leader's log.
    #[error("it acknowledges entries that are not in the leader's log")]
    Acknowledgement,
    /// The message requests a snapshot, which no member here does.
    #[error("it asks for a snapshot")]
    SnapshotRequest,
    /// The message is a vote in an election whose vote requests have not been sent.
    #[error("it is a vote in an election that is not announced yet")]
    EarlyVote,
    /// The snapshot has no position.
    #[error("its snapshot has no position")]
    SnapshotPosition,
    /// The snapshot has a configuration that no cluster here has.
    #[error("the members in its snapshot contradict each other")]
    SnapshotMembers,
}

/// Checks a message from the member `from` that is not a snapshot.
pub fn check(message: &Message, from: MemberId, local: &Local) -> Result<(), Unfit> {
    check_kind(message.get_msg_type())?;
    check_ends(message, from, local)?;
    check_numbers(message, local)?;
    let answers_this_term = Term(message.term) == local.term;
    match message.get_msg_type() {
        MessageType::MsgAppend => check_entries(message),
        MessageType::MsgAppendResponse | MessageType::MsgHeartbeatResponse
            if local.role == StateRole::Leader && answers_this_term =>
        {
            // Followers in this term received their entries from this leader, so they have none
            // beyond its log.
            let acknowledged = message.index.max(message.commit);
            ensure(
                Index(acknowledged) <= local.last_index,
                Unfit::Acknowledgement,
            )
        }
        MessageType::MsgRequestVoteResponse
            if local.role == StateRole::Candidate && answers_this_term =>
        {
            // Vote requests wait until the candidate's log is on disk.
            ensure(local.is_durable, Unfit::EarlyVote)
        }
        MessageType::MsgReadIndex | MessageType::MsgReadIndexResp => {
            let one = matches!(&*message.entries, [entry]
                if entry.data.len() <= CONTEXT_BYTES_MAX);
            ensure(one, Unfit::Question)
        }
        _ => Ok(()),
    }
}

/// Checks a message that announces a snapshot.
pub(crate) fn check_snapshot(message: &Message, local: &Local) -> Result<(), Unfit> {
    let is_snapshot = message.get_msg_type() == MessageType::MsgSnapshot;
    ensure(is_snapshot, Unfit::Kind)?;
    check_ends(message, MemberId(message.from), local)?;
    check_numbers(message, local)?;
    let metadata = message.get_snapshot().get_metadata();
    let (index, term) = (metadata.index, metadata.term);
    ensure((1..=NUMBER_MAX).contains(&index), Unfit::SnapshotPosition)?;
    ensure((1..=message.term).contains(&term), Unfit::SnapshotPosition)?;
    let members = metadata.get_conf_state();
    let mut ids = BTreeSet::new();
    let mut all = members.voters.iter().chain(&members.learners);
    // No configuration here is ever a joint configuration.
    let is_plain = members.voters_outgoing.is_empty()
        && members.learners_next.is_empty()
        && !members.auto_leave;
    let is_sound =
        is_plain && !members.voters.is_empty() && all.all(|&id| id != 0 && ids.insert(id));
    ensure(is_sound, Unfit::SnapshotMembers)
}

fn check_kind(kind: MessageType) -> Result<(), Unfit> {
    match kind {
        MessageType::MsgAppend
        | MessageType::MsgAppendResponse
        | MessageType::MsgRequestVote
        | MessageType::MsgRequestVoteResponse
        | MessageType::MsgHeartbeat
        | MessageType::MsgHeartbeatResponse
        | MessageType::MsgTimeoutNow
        | MessageType::MsgReadIndex
        | MessageType::MsgReadIndexResp
        | MessageType::MsgRequestPreVote
        | MessageType::MsgRequestPreVoteResponse => Ok(()),
        // Snapshots and commands use their own paths, and messages that raft sends to itself never
        // come from another member.
        MessageType::MsgSnapshot
        | MessageType::MsgPropose
        | MessageType::MsgTransferLeader
        | MessageType::MsgHup
        | MessageType::MsgBeat
        | MessageType::MsgUnreachable
        | MessageType::MsgSnapStatus
        | MessageType::MsgCheckQuorum => Err(Unfit::Kind),
    }
}

fn check_ends(message: &Message, from: MemberId, local: &Local) -> Result<(), Unfit> {
    // A follower forwards another member's read-index request to the leader it knows.
    let is_forwarded = message.get_msg_type() == MessageType::MsgReadIndex;
    let is_sender = MemberId(message.from) == from || is_forwarded;
    let is_other = message.from != 0 && MemberId(message.from) != local.id;
    ensure(is_sender && is_other, Unfit::Sender)?;
    ensure(MemberId(message.to) == local.id, Unfit::Receiver)
}

fn check_numbers(message: &Message, local: &Local) -> Result<(), Unfit> {
    // Only read-index requests may have no term.
    let is_question = message.get_msg_type() == MessageType::MsgReadIndex;
    let term_max = NUMBER_MAX.min(local.term.0.saturating_add(TERM_LEAP_MAX));
    let has_term = message.term != 0 || is_question;
    ensure(has_term && message.term <= term_max, Unfit::Term)?;
    let indexes = [message.index, message.commit, message.reject_hint];
    ensure(
        indexes.iter().all(|&index| index <= NUMBER_MAX),
        Unfit::Index,
    )?;
    let entry_term = message.log_term.max(message.commit_term);
    ensure(entry_term <= message.term, Unfit::EntryTerm)?;
    ensure(message.request_snapshot == 0, Unfit::SnapshotRequest)?;
    let has_priority = message.priority != 0 || message.deprecated_priority != 0;
    ensure(!has_priority, Unfit::Priority)?;
    ensure(message.context.len() <= CONTEXT_BYTES_MAX, Unfit::Context)
}

/// Checks that the entries of an append follow the previous entry that it names, and each other.
fn check_entries(message: &Message) -> Result<(), Unfit> {
    // Only the entry before the first entry has term 0. The library also returns term 0 for entries
    // it does not have, and would take the two for the same.
    let is_start = message.index == 0;
    ensure(is_start == (message.log_term == 0), Unfit::EntryTerm)?;
    let mut before = (message.index, message.log_term);
    for entry in &message.entries {
        let (index, term) = before;
        let continues = entry.index == index + 1 && entry.term >= term.max(1);
        ensure(continues, Unfit::Entries)?;
        ensure(entry.term <= message.term, Unfit::EntryTerm)?;
        ensure(is_kept_whole(entry), Unfit::EntryFields)?;
        before = (entry.index, entry.term);
    }
    ensure(before.0 <= NUMBER_MAX, Unfit::Index)
}

/// Returns true if the log keeps all fields of the entry. Members that apply the entry from memory
/// would see a field that the log drops, and members that read it from disk would not.
fn is_kept_whole(entry: &Entry) -> bool {
    entry.unknown_fields.fields.is_none() && entry.context.is_empty()
}

fn ensure(holds: bool, otherwise: Unfit) -> Result<(), Unfit> {
    if holds { Ok(()) } else { Err(otherwise) }
}

#[cfg(test)]
mod tests;
