//! Election timeouts: when a member starts an election.
//!
//! Raft draws a random timeout so that members rarely start an election at the same time. A draw
//! among ten ticks makes the wait long, and still leaves a chance of about one in ten for a split
//! vote, which costs another wait. Members know each other, so they can do better: each waits
//! according to its *rank*, its position among the voters other than the lost leader.
//!
//! ```text
//! rank 0   election_ticks + 1
//! rank 1   election_ticks + 3          two ticks apart: the first candidate is elected
//! rank 2   election_ticks + 5          before the next timeout expires
//! ```
//!
//! The first candidate does not always win: its log may be behind, and then the other voters refuse
//! it. Then the next member starts an election. With pre-vote, a failed attempt disturbs no other
//! member. A candidate that failed draws random timeouts from then on, from the node's own seed, so
//! that repeated collisions end.
//!
//! # A hint
//!
//! When a process dies, the system closes its connections. That does not prove that the leader is
//! gone, but is enough to ask for pre-votes at once: [`super::Node::suspect`] lets the leader's
//! lease on this member's vote expire, and after `1 + 2 * rank` ticks the member asks for
//! pre-votes. If the leader is alive, the majority still receives its heartbeats and refuses, and
//! nothing changes. If this member receives a message from the leader first, the suspicion is
//! dropped.

use conclave_storage::{MemberId, Term};
use raft::StateRole;

use super::Node;

/// Number of campaigns after a suspicion, while no leader is found.
const ATTEMPTS: u32 = 4;

/// Suspicion that a leader is gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Suspicion {
    leader: MemberId,
    term: Term,
    ticks_left: u64,
    attempts_left: u32,
}

impl Node {
    /// Reports that a member, possibly the leader, closed its connection.
    pub fn suspect(&mut self, member_id: MemberId) {
        let raft = &mut self.raw.raft;
        if MemberId(raft.leader_id) != member_id || raft.state != StateRole::Follower {
            return;
        }
        // Votes are refused while this member has received from a leader within an election
        // timeout.
        raft.election_elapsed = raft.election_elapsed.max(raft.election_timeout());
        self.suspicion = Some(Suspicion {
            leader: member_id,
            term: Term(self.raw.raft.term),
            ticks_left: 1 + 2 * self.rank(member_id),
            attempts_left: ATTEMPTS,
        });
    }

    /// Advances the suspicion; called after each tick.
    pub(super) fn follow_suspicion(&mut self) {
        let Some(mut suspicion) = self.suspicion.take() else {
            return;
        };
        let raft = &self.raw.raft;
        let leader = MemberId(raft.leader_id);
        let spoke_up =
            leader == suspicion.leader && raft.election_elapsed < raft.election_timeout();
        let found = leader != MemberId::NONE && leader != suspicion.leader;
        let over = Term(raft.term) > suspicion.term || raft.state == StateRole::Leader;
        if spoke_up || found || over || !raft.promotable() {
            return;
        }
        suspicion.ticks_left -= 1;
        if suspicion.ticks_left == 0 {
            suspicion.attempts_left -= 1;
            suspicion.ticks_left = 2 + 2 * self.rank(suspicion.leader);
            // The member of rank 0 reaches its own election timeout with this very tick.
            let asked = raft.state == StateRole::PreCandidate && raft.election_elapsed == 0;
            if !asked {
                self.campaign();
            }
        }
        if suspicion.attempts_left > 0 {
            self.suspicion = Some(suspicion);
        }
    }

    /// Sets the election timeout again if the library drew a new one.
    pub(super) fn pin_timeout(&mut self) {
        let raft = &self.raw.raft;
        let leader = MemberId(raft.leader_id);
        let now = (raft.state, Term(raft.term), leader);
        if self.pinned == Some(now) {
            return;
        }
        self.pinned = Some(now);
        let least = self.settings.election_ticks as u64;
        let later = match raft.state {
            StateRole::Follower | StateRole::Leader => 1 + 2 * self.rank(leader),
            StateRole::Candidate | StateRole::PreCandidate => self.random.next() % least,
        };
        let timeout = usize::try_from(least + later.min(least - 1))
            .expect("less than twice a usize that is small");
        self.raw.raft.set_randomized_election_timeout(timeout);
    }

    /// Returns this member's position among the voters without `leader`.
    fn rank(&self, leader: MemberId) -> u64 {
        let own = self.settings.member_id;
        let voters = self.raw.raft.prs().conf().voters().ids();
        let ids = voters.iter().map(MemberId);
        ids.filter(|&id| id != leader && id < own).count() as u64
    }
}
