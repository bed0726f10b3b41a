//! Raft's voter configuration and the entries that change it.
//!
//! A membership change is one entry of raft's own kind (`EntryConfChange`). Raft needs only the id
//! that votes from then on. The state machine needs the whole change (addresses, the proposer),
//! which is stored in the entry's *context*. So one entry, at one position in the log, serves both.
//!
//! The decision to make a change is taken when its entry is committed, by the rules of
//! [`conclave_storage::membership`]. The driver (for raft) and the state machine reach the same
//! decision, because both start from the same entry and process the same entries after it.
//!
//! # On disk
//!
//! The configuration is stored with the log: raft's `ConfState`, plus the index of the entry that
//! made it, in a field that raft does not know. A restart returns committed entries again, from the
//! applied index on. A change at or before the configuration's index is already part of the
//! configuration and must not be made again. (Repeating "3 joins as a learner" after "3 votes" and
//! "1 leaves" would give a configuration that never existed, in which 2 alone might elect itself.)

use bytes::Bytes;
use conclave_proto::command::{Header, Member, MemberChange, MemberUrls, member_change};
use conclave_storage::log::EntryKind;
use conclave_storage::membership::Change;
use conclave_storage::{Index, MemberId};
use prost::Message as _;
use protobuf::Message as _;
use raft::eraftpb::{ConfChange, ConfChangeType, ConfState};

use super::node::Malformed;

/// A configuration and the index of the entry that made it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Configuration {
    pub(crate) conf_state: ConfState,
    /// Index of the last membership change in this configuration.
    pub(crate) index: Index,
}

/// Our field, encoded after the fields of raft's `ConfState`.
#[derive(Clone, PartialEq, prost::Message)]
struct MadeAt {
    #[prost(uint64, tag = "100")]
    index: u64,
}

impl Configuration {
    /// Builds the configuration that consists of `members`.
    pub(crate) fn of(members: &[Member], index: Index) -> Configuration {
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

    /// Encodes the configuration for the log.
    pub(crate) fn encode(&self) -> Bytes {
        let raft = self.conf_state.write_to_bytes();
        let mut bytes = raft.expect("writing to memory");
        let index = self.index.0;
        MadeAt { index }.encode(&mut bytes).expect("a vector grows");
        bytes.into()
    }

    /// Decodes the bytes that [`Configuration::encode`] wrote.
    pub(crate) fn decode(bytes: &Bytes) -> Result<Configuration, Malformed> {
        let mut conf_state =
            ConfState::parse_from_carllerche_bytes(bytes).map_err(|_| Malformed)?;
        conf_state.unknown_fields = Default::default();
        let MadeAt { index } = MadeAt::decode(bytes.clone()).map_err(|_| Malformed)?;
        Ok(Configuration {
            conf_state,
            index: Index(index),
        })
    }
}

/// Builds raft's entry for a membership change. Returns `None` for a change this release does not
/// know, or one of member 0.
pub(super) fn to_raft(change: &MemberChange) -> Option<ConfChange> {
    use member_change::Change as Wire;
    let (kind, id) = match change.change.as_ref()? {
        Wire::Add(member) if member.is_learner => (ConfChangeType::AddLearnerNode, member.id),
        Wire::Add(member) => (ConfChangeType::AddNode, member.id),
        Wire::Promote(id) => (ConfChangeType::AddNode, *id),
        Wire::Remove(id) => (ConfChangeType::RemoveNode, *id),
        // No vote changes; the entry has this kind so that it can carry its context.
        Wire::Update(urls) => (ConfChangeType::AddNode, urls.member_id),
    };
    // Raft would skip a change of member 0, but the state machine would make it.
    if id == 0 {
        return None;
    }
    let mut out = ConfChange::default();
    out.set_change_type(kind);
    out.node_id = id;
    out.context = change.encode_to_vec().into();
    Some(out)
}

/// Decodes an entry of raft's kind into raft's change and ours.
pub(super) fn from_raft(payload: &Bytes) -> Result<(ConfChange, MemberChange), Malformed> {
    let raft = ConfChange::parse_from_carllerche_bytes(payload).map_err(|_| Malformed)?;
    let change = MemberChange::decode(raft.context.clone()).map_err(|_| Malformed)?;
    Ok((raft, change))
}

/// Decodes the payload of a committed membership entry into its proposer and the change in the
/// state machine's terms. Returns `None` for an entry that is not ours, or is from a newer release.
pub(crate) fn change_in(kind: EntryKind, payload: &Bytes) -> Option<(Header, Change)> {
    if kind != EntryKind::ConfChange {
        // This service never changes several members in one entry.
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
        Wire::Promote(id) => Change::Promote { id: MemberId(id) },
        Wire::Remove(id) => Change::Remove { id: MemberId(id) },
        Wire::Update(MemberUrls {
            member_id,
            peer_urls,
        }) => Change::Update {
            id: MemberId(member_id),
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
        let configuration = Configuration::of(&[member(1, false), member(2, true)], Index(9));
        let read = Configuration::decode(&configuration.encode());
        assert_eq!(read, Ok(configuration));
    }

    /// Raft decodes its own fields regardless of the context.
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
