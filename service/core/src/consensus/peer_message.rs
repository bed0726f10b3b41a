//! Checks a raft message from another member before the library sees it.
//!
//! The library trusts its peers. Where the protocol rules something out it does not look, and
//! panics, wraps an index or loops when it happens all the same, which would let one member end
//! another. A member of a broken build, or a process that reached the peer port of a cluster
//! without TLS, is such a peer. So what a message says is checked here, against the message itself
//! and against the little of the local state that the library's panics depend on ([`Local`]).
//!
//! A message that [`check`] refuses is dropped, counted and logged. That costs nothing but time:
//! raft is made for lost messages, and a correct member never sends one of these.
//!
//! # What is not checked
//!
//! Lies that look like the truth: an acknowledgement of entries that were not written, or a
//! vote that was not given. Raft does not survive members that lie. The one lie with a consequence
//! of its own is a heartbeat with a commit index beyond the log. From an honest leader it means
//! that this member's disk was replaced, so the member stops ([`super::node::Refused::LogLost`]),
//! unless the sender is none that its membership lists: then the heartbeat is dropped.
//!
//! # What the library does with it otherwise (0.7)
//!
//! | message | what it says | what happens |
//! |---|---|---|
//! | any | an index or term near 2^64 | the next one does not exist: overflow |
//! | any | the last term there is | no election can follow |
//! | vote, pre-vote | a priority below ours | a refusal in term 0: `term should be set` |
//! | append | entries with gaps, or out of order | `unstable.slice out of bound`, wrong slices |
//! | append | a previous entry beyond the log, of term 0 | taken for present: a gap in the log |
//! | append, vote response, ... | term 0 | taken for a message of this member to itself |
//! | response to an append | acknowledges entries that do not exist | counted as replicated later |
//! | response to an append | asks for a snapshot beyond the log | one is made over and over |
//! | vote response | before our log is on disk | `assert_eq!(last_index, persisted)` |
//! | snapshot | members that are none, or twice there | `unable to restore config` |
//! | read index | no context, or with a term | index out of bounds, `term should not be set` |

use std::collections::BTreeSet;

use raft::StateRole;
use raft::eraftpb::{Entry, Message, MessageType};

/// Largest index and term. Far beyond what a cluster reaches, and far enough below 2^64 that no sum
/// of two of them overflows.
const NUMBER_MAX: u64 = 1 << 62;

/// How far a message's term may be beyond ours. A cluster that elects a leader every millisecond
/// needs seven weeks for so many terms. Without this bound one message could use up all terms there
/// are, and no election could succeed after it.
const TERM_LEAP_MAX: u64 = 1 << 32;

/// Bytes of a context. Ours have 24 ([`super::reads::Context`]); the leader sends one back to every
/// member with each heartbeat.
const CONTEXT_BYTES_MAX: usize = 256;

/// What a check depends on beside the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// This member.
    pub id: u64,
    /// Its term.
    pub term: u64,
    /// Its role.
    pub role: StateRole,
    /// The last entry of its log.
    pub last_index: u64,
    /// Whether all of its log is on disk.
    pub is_durable: bool,
}

/// Why a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Raft's messages to itself, and what comes by another way: commands and snapshots.
    #[error("members do not send each other messages of this kind")]
    Kind,
    /// Meant for another member.
    #[error("it is for another member")]
    Receiver,
    /// From this member, from none, or from another than the member that sent it.
    #[error("its sender is another than the member that sent it")]
    Sender,
    /// No term, or one that no cluster reaches.
    #[error("its term is out of range")]
    Term,
    /// An index that no cluster reaches.
    #[error("an index in it is out of range")]
    Index,
    /// An entry of a term later than the message's.
    #[error("it speaks of an entry of a later term")]
    EntryTerm,
    /// Elections with priorities, which no member here uses.
    #[error("it has a priority")]
    Priority,
    /// More context than any member has.
    #[error("its context is too large")]
    Context,
    /// Entries that do not continue each other.
    #[error("its entries do not follow one another")]
    Entries,
    /// Entries with fields the log does not keep.
    #[error("its entries have fields that this release does not know")]
    EntryFields,
    /// A read-index round without exactly one context.
    #[error("it asks for a read index without saying what for")]
    Question,
    /// More committed than this member has, by a leader that its membership does not list.
    #[error("its sender is not listed, and knows of more committed entries than there are here")]
    Commit,
    /// More acknowledged than there is.
    #[error("it acknowledges entries that are not in the leader's log")]
    Acknowledgement,
    /// A request for a snapshot, which no member here makes.
    #[error("it asks for a snapshot")]
    SnapshotRequest,
    /// A vote in an election whose requests for votes have not been sent.
    #[error("it is a vote in an election that is not announced yet")]
    EarlyVote,
    /// A snapshot without a position.
    #[error("its snapshot has no position")]
    SnapshotPosition,
    /// A snapshot with members that no configuration here has.
    #[error("the members in its snapshot contradict each other")]
    SnapshotMembers,
}

/// Checks a message of the member `from`, which is not a snapshot.
pub fn check(message: &Message, from: u64, local: &Local) -> Result<(), Unfit> {
    check_kind(message.get_msg_type())?;
    check_ends(message, from, local)?;
    check_numbers(message, local)?;
    let answers_this_term = message.term == local.term;
    match message.get_msg_type() {
        MessageType::MsgAppend => check_entries(message),
        MessageType::MsgAppendResponse | MessageType::MsgHeartbeatResponse
            if local.role == StateRole::Leader && answers_this_term =>
        {
            // Followers in this term have what this leader sent, so nothing beyond its log.
            let acknowledged = message.index.max(message.commit);
            ensure(acknowledged <= local.last_index, Unfit::Acknowledgement)
        }
        MessageType::MsgRequestVoteResponse
            if local.role == StateRole::Candidate && answers_this_term =>
        {
            // Requests for votes wait until the candidate's log is on disk.
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
pub fn check_snapshot(message: &Message, local: &Local) -> Result<(), Unfit> {
    let is_snapshot = message.get_msg_type() == MessageType::MsgSnapshot;
    ensure(is_snapshot, Unfit::Kind)?;
    check_ends(message, message.from, local)?;
    check_numbers(message, local)?;
    let metadata = message.get_snapshot().get_metadata();
    let (index, term) = (metadata.index, metadata.term);
    ensure((1..=NUMBER_MAX).contains(&index), Unfit::SnapshotPosition)?;
    ensure((1..=message.term).contains(&term), Unfit::SnapshotPosition)?;
    let members = metadata.get_conf_state();
    let mut ids = BTreeSet::new();
    let mut all = members.voters.iter().chain(&members.learners);
    // No configuration here is ever a joint one.
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
        // Snapshots come by a way of their own, commands too, and what a member tells itself comes
        // from no other.
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

fn check_ends(message: &Message, from: u64, local: &Local) -> Result<(), Unfit> {
    // A follower forwards the question of another to the leader it knows.
    let is_forwarded = message.get_msg_type() == MessageType::MsgReadIndex;
    let is_sender = message.from == from || is_forwarded;
    let is_other = message.from != 0 && message.from != local.id;
    ensure(is_sender && is_other, Unfit::Sender)?;
    ensure(message.to == local.id, Unfit::Receiver)
}

fn check_numbers(message: &Message, local: &Local) -> Result<(), Unfit> {
    // Only questions for the read index may have no term.
    let is_question = message.get_msg_type() == MessageType::MsgReadIndex;
    let term_max = NUMBER_MAX.min(local.term.saturating_add(TERM_LEAP_MAX));
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

/// The entries of an append continue the entry it names, and each other.
fn check_entries(message: &Message) -> Result<(), Unfit> {
    // Only the entry before the first one has no term. The library says that of entries it does not
    // have, too, and would find them to be the same.
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

/// Whether the log keeps everything the entry says. What it dropped would be there for members that
/// apply the entry from memory, and not for those that read it from disk.
fn is_kept_whole(entry: &Entry) -> bool {
    entry.unknown_fields.fields.is_none() && entry.context.is_empty()
}

fn ensure(holds: bool, otherwise: Unfit) -> Result<(), Unfit> {
    if holds { Ok(()) } else { Err(otherwise) }
}

#[cfg(test)]
mod tests;
