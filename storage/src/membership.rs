//! The members of the cluster, and the rules for changing them.
//!
//! For example, members 1 (voter) and 2 (learner): `Promote` of 2 is accepted once and then
//! refused, and `Remove` of 1 is refused while 1 is the only voter.
//!
//! Invariants:
//!
//! * The rules are pure and are applied when a change commits, so two changes that were proposed at
//!   the same time cannot both pass on the same premise.
//! * A removed member stays on record for ever. Its id cannot be added again, and a process that
//!   still runs under that id is notified.
//! * At least one voter remains, and no two members share a peer URL.

use std::collections::{BTreeMap, BTreeSet};

use conclave_proto::command::{Member, MemberAttributes};
use conclave_proto::errors::ApiError;
use prost::Message;

use crate::engine::{Batch, Direction, Read};
use crate::fault::Fault;
use crate::ids::MemberId;
use crate::layout;
use crate::mvcc::record::damaged;

/// A change of the members.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Adds a voter.
    Add(Member),
    /// Adds a learner.
    AddLearner(Member),
    /// Makes a learner a voter.
    Promote {
        /// Id of the learner.
        id: MemberId,
    },
    /// Removes a member.
    Remove {
        /// Id of the member.
        id: MemberId,
    },
    /// Replaces the peer URLs of a member.
    Update {
        /// Id of the member.
        id: MemberId,
        /// All peer URLs of the member.
        peer_urls: Vec<String>,
    },
}

impl Change {
    /// Id of the member that changes.
    pub fn id(&self) -> MemberId {
        match self {
            Change::Add(member) | Change::AddLearner(member) => MemberId(member.id),
            Change::Promote { id } | Change::Remove { id } | Change::Update { id, .. } => *id,
        }
    }
}

/// Returns the votes that are a majority of this number of voters.
pub fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

/// The members, and the ids of removed members.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Membership {
    members: BTreeMap<MemberId, Member>,
    removed: BTreeSet<MemberId>,
}

impl Membership {
    pub(crate) fn read(read: &dyn Read) -> Result<Membership, Fault> {
        let mut scan = read.scan(layout::MEMBER, &[], None, Direction::Forward)?;
        let mut membership = Membership::default();
        while let Some((row, value)) = scan.next()? {
            let broken = || damaged(format!("member: a row {row:02x?}"));
            let id = MemberId(u64::from_be_bytes(row.try_into().map_err(|_| broken())?));
            if value.is_empty() {
                membership.removed.insert(id);
            } else {
                let member = Member::decode(value).map_err(|_| broken())?;
                membership.members.insert(id, member);
            }
        }
        Ok(membership)
    }

    /// Returns the members, by id.
    pub fn members(&self) -> Vec<Member> {
        self.members.values().cloned().collect()
    }

    /// Returns the ids of removed members, in order.
    pub fn removed(&self) -> Vec<MemberId> {
        self.removed.iter().copied().collect()
    }

    /// Returns true if the member with this id was removed.
    pub fn is_removed(&self, id: MemberId) -> bool {
        self.removed.contains(&id)
    }

    /// Checks that the rules allow a change.
    pub fn check(&self, change: &Change) -> Result<(), ApiError> {
        match change {
            Change::Add(member) | Change::AddLearner(member) => {
                let id = MemberId(member.id);
                if self.removed.contains(&id) {
                    return Err(ApiError::MemberNotFound);
                }
                if self.members.contains_key(&id) {
                    return Err(ApiError::MemberExist);
                }
                self.check_urls(id, &member.peer_urls)
            }
            Change::Promote { id } => {
                if self.member(*id)?.is_learner {
                    Ok(())
                } else {
                    Err(ApiError::MemberNotLearner)
                }
            }
            Change::Remove { id } => {
                let member = self.member(*id)?;
                // Without a voter the cluster could commit nothing, not even a new member.
                if !member.is_learner && self.voters() == 1 {
                    return Err(ApiError::MemberNotEnoughStarted);
                }
                Ok(())
            }
            Change::Update { id, peer_urls } => {
                self.member(*id)?;
                self.check_urls(*id, peer_urls)
            }
        }
    }

    /// Like [`Membership::check`], with the rules that depend on the proposer's configuration,
    /// which other members may not share.
    pub fn check_proposal(&self, change: &Change, max_learners: usize) -> Result<(), ApiError> {
        self.check(change)?;
        let learners = self
            .members
            .values()
            .filter(|member| member.is_learner)
            .count();
        match change {
            Change::AddLearner(_) if learners >= max_learners => Err(ApiError::TooManyLearners),
            _ => Ok(()),
        }
    }

    /// Makes a change unless [`Membership::check`] refuses it; returns true if it was made. For
    /// components that follow the log without writing the state.
    pub fn follow(&mut self, change: &Change) -> bool {
        let allowed = self.check(change).is_ok();
        if allowed {
            self.apply(change.clone(), &mut Batch::default());
        }
        allowed
    }

    /// Makes a change that [`Membership::check`] has allowed.
    pub(crate) fn apply(&mut self, change: Change, batch: &mut Batch) {
        match change {
            Change::Add(member) => self.set(
                Member {
                    is_learner: false,
                    ..member
                },
                batch,
            ),
            Change::AddLearner(member) => self.set(
                Member {
                    is_learner: true,
                    ..member
                },
                batch,
            ),
            Change::Promote { id } => self.edit(id, batch, |member| member.is_learner = false),
            Change::Update { id, peer_urls } => {
                self.edit(id, batch, |member| member.peer_urls = peer_urls);
            }
            Change::Remove { id } => {
                self.members.remove(&id);
                self.removed.insert(id);
                batch.put(layout::MEMBER, layout::member_key(id), Vec::new());
            }
        }
    }

    /// Writes the name and the client URLs of a member. Returns false if it is not a member.
    pub(crate) fn set_attributes(
        &mut self,
        attributes: &MemberAttributes,
        batch: &mut Batch,
    ) -> bool {
        let MemberAttributes {
            member_id,
            name,
            client_urls,
        } = attributes;
        let id = MemberId(*member_id);
        if !self.members.contains_key(&id) {
            return false;
        }
        self.edit(id, batch, |member| {
            member.name.clone_from(name);
            member.client_urls.clone_from(client_urls);
        });
        true
    }

    pub(crate) fn set(&mut self, member: Member, batch: &mut Batch) {
        let id = MemberId(member.id);
        batch.put(
            layout::MEMBER,
            layout::member_key(id),
            member.encode_to_vec(),
        );
        self.members.insert(id, member);
    }

    fn edit(&mut self, id: MemberId, batch: &mut Batch, edit: impl FnOnce(&mut Member)) {
        let mut member = self.members[&id].clone();
        edit(&mut member);
        self.set(member, batch);
    }

    fn member(&self, id: MemberId) -> Result<&Member, ApiError> {
        self.members.get(&id).ok_or(ApiError::MemberNotFound)
    }

    fn voters(&self) -> usize {
        self.members
            .values()
            .filter(|member| !member.is_learner)
            .count()
    }

    /// Checks that no other member has one of these peer URLs.
    fn check_urls(&self, id: MemberId, peer_urls: &[String]) -> Result<(), ApiError> {
        let mut others = self
            .members
            .values()
            .filter(|member| MemberId(member.id) != id);
        if others.any(|other| other.peer_urls.iter().any(|url| peer_urls.contains(url))) {
            return Err(ApiError::PeerURLExist);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64, url: &str) -> Member {
        Member {
            id,
            peer_urls: vec![url.into()],
            ..Member::default()
        }
    }

    fn of(changes: &[Change]) -> Membership {
        let mut membership = Membership::default();
        for change in changes {
            membership.check(change).expect("a legal change");
            membership.apply(change.clone(), &mut Batch::default());
        }
        membership
    }

    #[test]
    fn an_id_is_used_once() {
        let two = of(&[Change::Add(member(1, "a")), Change::Add(member(2, "b"))]);
        assert_eq!(
            two.check(&Change::Add(member(2, "c"))),
            Err(ApiError::MemberExist)
        );
        assert_eq!(
            two.check(&Change::Add(member(3, "b"))),
            Err(ApiError::PeerURLExist)
        );
        let mut one = two;
        one.apply(Change::Remove { id: MemberId(2) }, &mut Batch::default());
        assert_eq!(
            one.check(&Change::Add(member(2, "b"))),
            Err(ApiError::MemberNotFound)
        );
        assert_eq!(one.check(&Change::Add(member(3, "b"))), Ok(()));
        assert_eq!(one.removed(), [MemberId(2)]);
    }

    #[test]
    fn a_learner_is_promoted_once() {
        let mut both = of(&[
            Change::Add(member(1, "a")),
            Change::AddLearner(member(2, "b")),
        ]);
        let promote = Change::Promote { id: MemberId(2) };
        assert_eq!(
            both.check(&Change::Promote { id: MemberId(1) }),
            Err(ApiError::MemberNotLearner)
        );
        assert_eq!(
            both.check(&Change::Promote { id: MemberId(3) }),
            Err(ApiError::MemberNotFound)
        );
        assert_eq!(both.check(&promote), Ok(()));
        both.apply(promote.clone(), &mut Batch::default());
        assert_eq!(both.check(&promote), Err(ApiError::MemberNotLearner));
    }

    #[test]
    fn the_last_voter_stays() {
        let both = of(&[
            Change::Add(member(1, "a")),
            Change::AddLearner(member(2, "b")),
        ]);
        let last = both.check(&Change::Remove { id: MemberId(1) });
        assert_eq!(last, Err(ApiError::MemberNotEnoughStarted));
        assert_eq!(both.check(&Change::Remove { id: MemberId(2) }), Ok(()));
    }

    #[test]
    fn how_many_learners_is_the_proposers_rule() {
        let both = of(&[
            Change::Add(member(1, "a")),
            Change::AddLearner(member(2, "b")),
        ]);
        let third = Change::AddLearner(member(3, "c"));
        assert_eq!(both.check(&third), Ok(()));
        assert_eq!(
            both.check_proposal(&third, 1),
            Err(ApiError::TooManyLearners)
        );
        assert_eq!(both.check_proposal(&third, 2), Ok(()));
    }

    #[test]
    fn peer_urls_move_unless_taken() {
        let both = of(&[Change::Add(member(1, "a")), Change::Add(member(2, "b"))]);
        let update = |id, url: &str| Change::Update {
            id: MemberId(id),
            peer_urls: vec![url.into()],
        };
        assert_eq!(both.check(&update(2, "a")), Err(ApiError::PeerURLExist));
        assert_eq!(both.check(&update(2, "b")), Ok(()));
        assert_eq!(both.check(&update(9, "c")), Err(ApiError::MemberNotFound));
    }
}
