//! The cluster's membership, as of the committed log.
//!
//! The driver follows membership changes as they are committed, ahead of the state machine, because
//! raft must know of a change before it returns the entries after it. The driver and the state
//! machine both begin at the state's applied index and use the same rules, so both accept or reject
//! the same changes.
//!
//! # The end of a removed member
//!
//! A removed member ends when a voter reports the removal to it, and not because its own log has
//! the removal. Until another voter knows that the removal is committed, the others may need this
//! member's vote: of two voters, the one that remains cannot be elected without the one that was
//! removed. So the removed member keeps running, votes and acknowledges, also after a restart. A
//! voter that knows of the removal has the new configuration on its disk before it reports.

use conclave_storage::log::{Append, EntryKind};
use conclave_storage::membership::{Change, Membership};
use conclave_storage::{Fault, MemberId};

use super::{Driver, Placed};
use crate::applier::ToApply;
use crate::consensus::configuration;
use crate::consensus::{CommittedEntry, Position, RaftStatus};
use crate::proposal::Proposal;

/// The membership as of the last entry committed.
pub(super) struct Followed {
    membership: Membership,
}

impl Followed {
    pub(super) fn new(membership: Membership) -> Followed {
        Followed { membership }
    }

    /// Returns the ids of the members other than this one.
    pub(super) fn others(&self, id: MemberId) -> Vec<MemberId> {
        let members = self.membership.members();
        let ids = members.into_iter().map(|member| MemberId(member.id));
        ids.filter(|other| *other != id).collect()
    }
}

/// Logs a change. Every member logs every change, so that an operator can find the cause of a
/// change in the log of any remaining member.
fn log_change(change: &Change) {
    let id = change.id().to_string();
    match change {
        Change::Add(member) => {
            let peer_urls = member.peer_urls.join(",");
            tracing::info!(member = id, peer_urls, "a member was added");
        }
        Change::AddLearner(member) => {
            let peer_urls = member.peer_urls.join(",");
            tracing::info!(member = id, peer_urls, "a learner was added");
        }
        Change::Promote { .. } => tracing::info!(member = id, "a learner was promoted"),
        Change::Remove { .. } => tracing::info!(member = id, "a member was removed"),
        Change::Update { peer_urls, .. } => {
            let peer_urls = peer_urls.join(",");
            tracing::info!(member = id, peer_urls, "a member's peer URLs were changed");
        }
    }
}

impl Driver {
    /// Gives committed entries, each with its slots, to the applier.
    pub(super) fn hand_over(&mut self, committed: Vec<CommittedEntry>) -> Result<(), Fault> {
        if committed.is_empty() {
            return Ok(());
        }
        let mut batch = Vec::with_capacity(committed.len());
        for entry in committed {
            if entry.kind != EntryKind::Normal {
                self.change_members(&entry)?;
            }
            let proposals = self.placed_at(entry.position, &mut batch);
            batch.push(ToApply::Entry { entry, proposals });
        }
        self.tell_applier(batch);
        Ok(())
    }

    /// Returns the proposals that wait for the entry at this position. If an entry of another term
    /// is at the position of ours, our entry is lost: the applier sees the same and returns the
    /// proposals.
    fn placed_at(&mut self, position: Position, batch: &mut Vec<ToApply>) -> Vec<Proposal> {
        let Some(Placed {
            position: place,
            proposals,
        }) = self
            .placed
            .pop_front_if(|p| p.position.index <= position.index)
        else {
            return Vec::new();
        };
        if place == position {
            return proposals;
        }
        let term = place.term;
        batch.push(ToApply::Forwarded { term, proposals });
        Vec::new()
    }

    /// The configuration is on disk before its entry is applied: the state's applied index must
    /// never be past a change that the log's configuration does not have.
    fn change_members(&mut self, entry: &CommittedEntry) -> Result<(), Fault> {
        self.parts.progress.close_reads();
        let Some((_, change)) = configuration::change_in(entry.kind, &entry.payload) else {
            // The applier stops the member here, or skips the entry if the operator asked for that.
            let index = entry.position.index.0;
            tracing::warn!(index, "a membership change that this release cannot make");
            return Ok(());
        };
        if self.membership.membership.follow(&change) {
            log_change(&change);
            if let Ok(Some(conf_state)) = self.parts.node.apply_change(entry) {
                let append = Append {
                    entries: Vec::new(),
                    hard_state: None,
                    conf_state: Some(conf_state),
                    sync: self.parts.sync,
                };
                self.parts.log.append(&append)?;
            }
            self.announce_members();
            let id = self.parts.member_id;
            if change == (Change::Remove { id }) {
                self.log_removal();
            }
        }
        // Forces `follow_raft_status` to decide again if reads may skip the round.
        self.raft_status = RaftStatus {
            is_sole_voter: false,
            ..self.raft_status
        };
        self.follow_raft_status();
        Ok(())
    }

    /// Adopts the membership that came with a snapshot.
    pub(super) fn take_membership(&mut self, membership: Membership) {
        if self.membership.membership.members() != membership.members() {
            let members: Vec<String> = membership
                .members()
                .iter()
                .map(|m| MemberId(m.id).to_string())
                .collect();
            tracing::info!(?members, "a snapshot brought a membership");
        }
        self.membership.membership = membership;
        self.announce_members();
    }

    pub(super) fn announce_members(&self) {
        let membership = &self.membership.membership;
        let members = membership.members();
        // A joining member has no state yet, and was already introduced to the other members.
        if !members.is_empty() {
            self.parts
                .peers
                .set_members(&members, &membership.removed());
        }
    }

    /// Returns true if this member was removed and waits until another member knows that.
    pub(super) fn is_removed(&self) -> bool {
        let membership = &self.membership.membership;
        membership.is_removed(self.parts.member_id)
    }

    pub(super) fn log_removal(&self) {
        tracing::warn!(
            "this member was removed from the cluster: it ends once a voter confirms that"
        );
    }
}
