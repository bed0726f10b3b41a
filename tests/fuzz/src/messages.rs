//! Raft messages built from an input: of any type, valid from a peer or not, with indexes and terms
//! near the member's own and at the limits.

use bytes::Bytes;
use conclave_proto::command::{Batch, Member, MemberChange, MemberUrls, member_change};
use prost::Message as _;
use protobuf::ProtobufEnum as _;
use raft::eraftpb::{
    ConfChange, ConfChangeType, ConfState, Entry, EntryType, Message, MessageType, Snapshot,
};

use crate::requests::{self, Near};
use crate::source::Source;

/// Limit of entries per message.
const ENTRIES_MAX: u8 = 4;

/// The position of the member that receives a message.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// The member's id.
    pub id: u64,
    /// The ids of the two others.
    pub peers: [u64; 2],
    /// The member's term.
    pub term: u64,
    /// The index of the last entry in its log.
    pub last_index: u64,
    /// The commit index.
    pub committed: u64,
    /// The revision of its state.
    pub revision: i64,
}

/// A message to that member.
pub fn message(source: &mut Source, view: View) -> Message {
    let mut message = Message::default();
    // Message types with an effect are the most frequent.
    let kind = match source.byte() {
        0..=99 => MessageType::MsgAppend,
        100..=139 => MessageType::MsgHeartbeat,
        kind => *source_kind(kind),
    };
    message.set_msg_type(kind);
    message.from = peer(source, view);
    message.to = view.id;
    message.term = source.near(view.term);
    message.index = source.near(view.last_index);
    message.log_term = source.near(view.term);
    message.commit = source.near(view.committed);
    let options = source.byte();
    if options & 1 != 0 {
        message.reject = true;
        message.reject_hint = source.near(view.last_index);
    }
    if options & 2 != 0 {
        message.commit_term = source.near(view.term);
        message.request_snapshot = source.near(view.last_index);
        message.priority = source.near_signed(0);
    }
    if options & 4 != 0 {
        message.context = source.piece();
    }
    let count = source.below(ENTRIES_MAX + 1);
    let entries = (1..=u64::from(count)).map(|offset| {
        let index = message.index.wrapping_add(offset);
        entry(source, view, message.term, index)
    });
    message.entries = entries.collect::<Vec<_>>().into();
    if kind == MessageType::MsgSnapshot || options & 8 != 0 {
        message.set_snapshot(snapshot(source, view));
    }
    message
}

/// The message type with this number.
fn source_kind(number: u8) -> &'static MessageType {
    let kinds = MessageType::values();
    &kinds[usize::from(number) % kinds.len()]
}

/// Mostly the first of the two others, or the second, the member itself, or an unknown id.
fn peer(source: &mut Source, view: View) -> u64 {
    match source.byte() {
        0..=159 => view.peers[0],
        160..=239 => view.peers[1],
        240..=247 => view.id,
        248.. => source.near(view.id),
    }
}

fn entry(source: &mut Source, view: View, term: u64, index: u64) -> Entry {
    let mut entry = Entry::default();
    let shape = source.byte();
    entry.index = if shape >= 240 {
        source.near(index)
    } else {
        index
    };
    entry.term = if shape & 7 == 7 {
        source.near(term)
    } else {
        term
    };
    let near = Near {
        revision: view.revision,
        member_id: view.id,
    };
    match shape & 0x38 {
        0 => {}
        8 => {
            entry.set_entry_type(EntryType::EntryConfChange);
            entry.data = conf_change(source, view);
        }
        16 => {
            let kinds = EntryType::values();
            entry.set_entry_type(kinds[usize::from(source.byte()) % kinds.len()]);
            entry.data = source.piece();
        }
        _ => {
            let batch = Batch {
                version: 1,
                commands: vec![requests::command(source, near)],
            };
            entry.data = batch.encode_to_vec().into();
        }
    }
    entry
}

/// A membership change as a log entry has it; its two halves do not always agree.
fn conf_change(source: &mut Source, view: View) -> Bytes {
    use member_change::Change;
    let id = match source.below(6) {
        0 => view.id,
        1 => view.peers[0],
        id => u64::from(id),
    };
    let member = Member {
        id,
        is_learner: source.flag(),
        peer_urls: vec![format!("http://127.0.0.1:{id}")],
        ..Member::default()
    };
    let (kind, change) = match source.byte() {
        0..=99 if member.is_learner => {
            (ConfChangeType::AddLearnerNode, Change::Add(member.clone()))
        }
        0..=99 => (ConfChangeType::AddNode, Change::Add(member.clone())),
        100..=139 => (ConfChangeType::AddNode, Change::Promote(id)),
        140..=199 => (ConfChangeType::RemoveNode, Change::Remove(id)),
        200.. => {
            let urls = MemberUrls {
                member_id: id,
                peer_urls: member.peer_urls.clone(),
            };
            (ConfChangeType::AddNode, Change::Update(urls))
        }
    };
    let mut raft = ConfChange::default();
    raft.set_change_type(if source.rarely() {
        ConfChangeType::RemoveNode
    } else {
        kind
    });
    raft.node_id = if source.rarely() { source.near(id) } else { id };
    let ours = MemberChange {
        header: None,
        change: (!source.rarely()).then_some(change),
    };
    raft.context = ours.encode_to_vec().into();
    encode(&raft)
}

fn snapshot(source: &mut Source, view: View) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let metadata = snapshot.mut_metadata();
    metadata.index = source.near(view.committed + 5);
    metadata.term = source.near(view.term);
    let ids = |source: &mut Source| -> Vec<u64> {
        let count = source.below(4);
        (0..count).map(|_| u64::from(source.below(5))).collect()
    };
    let voters = if source.rarely() {
        ids(source)
    } else {
        vec![view.id, view.peers[0], view.peers[1]]
    };
    let mut state = ConfState::from((voters, Vec::new()));
    if source.rarely() {
        state.learners = ids(source);
        state.voters_outgoing = ids(source);
        state.learners_next = ids(source);
        state.auto_leave = source.flag();
    }
    metadata.set_conf_state(state);
    snapshot
}

/// Encodes a raft message.
pub fn encode(message: &impl protobuf::Message) -> Bytes {
    message.write_to_bytes().expect("memory grows").into()
}
