//! Who votes, as raft knows it, and how that changes.
//!
//! A membership change is one entry of raft's own kind. Raft needs to know which id votes from then
//! on; the state needs the whole change (addresses, who asked), which is the entry's *context*. So
//! one entry tells both, in one place in the order of things.
//!
//! Whether a change is made is judged when it is committed, by the rules of
//! [`conclave_storage::membership`], and both the driver (for raft) and the state machine come
//! to the same verdict, because both begin at the same entry and follow the same ones.
//!
//! # On disk
//!
//! The configuration is kept with the log: raft's `ConfState`, with the index of the entry that
//! made it in a field that raft does not know. A restart hands out committed entries again from the
//! applied index on; a change at or before that index is in the configuration already and must not
//! be made again. (Made again, "3 joins as a learner" after "3 votes" and "1 leaves" would give a
//! configuration that never was, in which 2 alone might elect itself.)

use bytes::Bytes;
use conclave_proto::command::{Header, Member, MemberChange, MemberUrls, member_change};
use conclave_storage::log::EntryKind;
use conclave_storage::membership::Change;
use prost::Message as _;
use protobuf::Message as _;
use raft::eraftpb::{ConfChange, ConfChangeType, ConfState};

use super::node::Malformed;

/// A configuration and the entry that made it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Configuration {
    pub(crate) conf_state: ConfState,
    /// Index of the last membership change in it.
    pub(crate) index: u64,
}

/// The field beside raft's own.
#[derive(Clone, PartialEq, prost::Message)]
struct MadeAt {
    #[prost(uint64, tag = "100")]
    index: u64,
}

impl Configuration {
    /// That of these members.
    pub(crate) fn of(members: &[Member], index: u64) -> Configuration {
        let ids = |learners: bool| -> Vec<u64> {
            let members = members
                .iter()
                .filter(|member| member.is_learner == learners);
            members.map(|member| member.id).collect()
        };
        Configuration {
            conf_state: ConfState::from((ids(false), ids(true))),
            index,
        }
    }

    /// As the log keeps it.
    pub(crate) fn encode(&self) -> Bytes {
        let raft = self.conf_state.write_to_bytes();
        let mut bytes = raft.expect("writing to memory");
        let index = self.index;
        MadeAt { index }.encode(&mut bytes).expect("a vector grows");
        bytes.into()
    }

    /// Reads what [`Configuration::encode`] wrote.
    pub(crate) fn decode(bytes: &Bytes) -> Result<Configuration, Malformed> {
        let mut conf_state =
            ConfState::parse_from_carllerche_bytes(bytes).map_err(|_| Malformed)?;
        conf_state.unknown_fields = Default::default();
        let MadeAt { index } = MadeAt::decode(bytes.clone()).map_err(|_| Malformed)?;
        Ok(Configuration { conf_state, index })
    }
}

/// The entry of a change, as raft wants it.
pub(super) fn to_raft(change: &MemberChange) -> Option<ConfChange> {
    use member_change::Change as Wire;
    let (kind, id) = match change.change.as_ref()? {
        Wire::Add(member) if member.is_learner => (ConfChangeType::AddLearnerNode, member.id),
        Wire::Add(member) => (ConfChangeType::AddNode, member.id),
        Wire::Promote(id) => (ConfChangeType::AddNode, *id),
        Wire::Remove(id) => (ConfChangeType::RemoveNode, *id),
        // Nobody's vote changes; the entry is of this kind for its context.
        Wire::Update(urls) => (ConfChangeType::AddNode, urls.member_id),
    };
    // Raft skips a change of the member 0, and the state would make it.
    if id == 0 {
        return None;
    }
    let mut out = ConfChange::default();
    out.set_change_type(kind);
    out.node_id = id;
    out.context = change.encode_to_vec().into();
    Some(out)
}

/// What an entry of raft's kind says: its own change, and ours.
pub(super) fn from_raft(payload: &Bytes) -> Result<(ConfChange, MemberChange), Malformed> {
    let raft = ConfChange::parse_from_carllerche_bytes(payload).map_err(|_| Malformed)?;
    let change = MemberChange::decode(raft.context.clone()).map_err(|_| Malformed)?;
    Ok((raft, change))
}

/// What the payload of a committed entry of raft's kind asks for: who proposed it, and the change
/// in the state machine's terms. `None` for one that is not ours, or of a newer release.
pub(crate) fn change_in(kind: EntryKind, payload: &Bytes) -> Option<(Header, Change)> {
    if kind != EntryKind::ConfChange {
        // Changes of several members at a time are not made here.
        return None;
    }
    let (_, MemberChange { header, change }) = from_raft(payload).ok()?;
    Some((header.unwrap_or_default(), to_machine(change?)))
}

fn to_machine(change: member_change::Change) -> Change {
    use member_change::Change as Wire;
    match change {
        Wire::Add(member) if member.is_learner => Change::AddLearner(member),
        Wire::Add(member) => Change::Add(member),
        Wire::Promote(id) => Change::Promote { id },
        Wire::Remove(id) => Change::Remove { id },
        Wire::Update(MemberUrls {
            member_id,
            peer_urls,
        }) => Change::Update {
            id: member_id,
            peer_urls,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_survives_its_bytes() {
        let member = |id, is_learner| Member {
            id,
            is_learner,
            ..Member::default()
        };
        let configuration = Configuration::of(&[member(1, false), member(2, true)], 9);
        let read = Configuration::decode(&configuration.encode());
        assert_eq!(read, Ok(configuration));
    }

    /// Raft reads its own part whatever stands beside it.
    #[test]
    fn a_change_carries_its_context() {
        let change = MemberChange {
            header: None,
            change: Some(member_change::Change::Remove(7)),
        };
        let raft = to_raft(&change).expect("a change");
        let bytes: Bytes = raft.write_to_bytes().expect("in memory").into();
        let (raft, read) = from_raft(&bytes).expect("our own");
        assert_eq!((raft.node_id, read), (7, change));
    }
}
