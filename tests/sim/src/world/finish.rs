//! Time without faults: the end of a run, when the cluster must make progress, and the beginning if
//! the cluster has users.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use conclave_core::driven::Driven;
use conclave_proto::command::member_change::Change;
use conclave_storage::MemberId;
use conclave_storage::auth::Auth;

use super::World;
use crate::administration::Administration;
use crate::clients::{Answer, Ask, By};
use crate::member::{Member, introduced};
use crate::network::Fate;
use crate::network::transfers::PieceFate;
use crate::oracle::Violation;

/// The world's time that a cluster without faults may take until everything it was asked is done.
const PROGRESS_MAX_MS: u64 = 60_000;
/// The world's time after which a member is asked again that has not answered.
const ASKED_AGAIN_MS: u64 = 6_000;

/// Which members have answered a write since all faults ended.
#[derive(Default)]
pub(super) struct Progress {
    /// The members that were asked, by the number of the question.
    asked: BTreeMap<u64, MemberId>,
    answered: BTreeSet<MemberId>,
}

impl Progress {
    pub(super) fn answered(&mut self, number: u64, answer: &Answer) {
        if let Some(member) = self.asked.remove(&number)
            && matches!(answer, Answer::Written(_))
        {
            self.answered.insert(member);
        }
    }
}

impl World {
    /// Adds users and roles and enables authentication.
    pub(super) fn set_up_users(&mut self) -> Result<(), Violation> {
        let mut asked_ms = None;
        while !self.oracle.newest_users().is_some_and(Auth::is_enabled) {
            let now_ms = self.time.now_ms();
            if asked_ms.is_none_or(|asked| now_ms > asked + ASKED_AGAIN_MS) {
                asked_ms = Some(now_ms);
                self.ask_of(0, Ask::Administer(Administration::SetUp));
            }
            self.network.dial();
            self.all_act()?;
        }
        Ok(())
    }

    /// All faults end; then the cluster has to answer, and its members to become equal.
    pub(super) fn finish(&mut self) -> Result<(), Violation> {
        self.trace.note(format_args!("all faults end"));
        self.network.heal();
        let began_ms = self.time.now_ms();
        for position in 0..self.members.len() {
            self.members[position].paused_until_ms = began_ms;
            if self.members[position].is_failing {
                self.kill(position, "gets another disk");
            }
        }
        let mut asked_ms = None;
        while self.time.now_ms() < began_ms + PROGRESS_MAX_MS {
            self.trace.step += 1;
            for position in 0..self.members.len() {
                self.start(position);
            }
            if asked_ms.is_none_or(|asked| self.time.now_ms() > asked + ASKED_AGAIN_MS) {
                asked_ms = Some(self.time.now_ms());
                self.ask_all();
                self.replace_lost();
            }
            self.network.dial();
            self.all_act()?;
            if self.is_settled() {
                return self.compare_all();
            }
        }
        let status = |driven: &Driven| {
            let handle = driven.handle();
            (
                handle.identity().member_id,
                handle.status(),
                handle.reader().members(),
            )
        };
        let statuses: Vec<_> = self.living().map(status).collect();
        Err(format!(
            "no progress without faults: {:?} have answered of {statuses:?}",
            self.progress.answered
        ))
    }

    fn living(&self) -> impl Iterator<Item = &Driven> {
        self.members
            .iter()
            .filter_map(|member| member.driven.as_ref())
    }

    /// Asks every member for a write, unless it has answered one.
    fn ask_all(&mut self) {
        for position in 0..self.members.len() {
            let member = &self.members[position];
            let id = member.id;
            if member.driven.is_some() && !self.progress.answered.contains(&id) {
                let put = self.put(Bytes::from_static(b"key/0"), 0, By::Root);
                let number = self.ask_of(position, put);
                self.progress.asked.insert(number, id);
            }
        }
    }

    /// Asks for the removal of members whose logs are damaged, and for others in their place.
    fn replace_lost(&mut self) {
        let listed = self.oracle.members();
        let is_listed = |id: MemberId| listed.iter().any(|member| MemberId(member.id) == id);
        let lost = |member: &&Member| member.is_damaged && is_listed(member.id);
        let lost = self.members.iter().find(lost).map(|member| member.id);
        let alive = self.members.iter();
        let alive = alive
            .enumerate()
            .find(|(_, member)| member.driven.is_some());
        let (Some(lost), Some((position, _))) = (lost, alive) else {
            return;
        };
        self.ask_of(position, Ask::Change(Change::Remove(lost.0)));
        let id = MemberId(self.members.len() as u64 + 1);
        self.add_member(id);
        self.ask_of(position, Ask::Change(Change::Add(introduced(id, false))));
    }

    fn all_act(&mut self) -> Result<(), Violation> {
        self.time.advance(2);
        for position in 0..self.members.len() {
            for owner in [
                World::drive,
                World::write_log,
                World::drive,
                World::apply,
                World::keep_house,
                World::notify_watchers,
                World::end_leases,
                World::work,
            ] {
                if self.members[position].driven.is_some() {
                    owner(self, position)?;
                }
            }
        }
        for _ in 0..self.network.under_way() {
            self.network.decide(0, Fate::Delivered);
        }
        for transfer in 0..self.network.transfers() {
            self.network.decide_piece(transfer, PieceFate::Arrives);
        }
        self.look()
    }

    /// Whether every member of the cluster lives, has answered a write and has applied all that is
    /// committed, nothing else lives, and every watcher has seen everything.
    fn is_settled(&self) -> bool {
        let last = self.oracle.last_revision();
        let watched = self.watchers.iter().all(|watcher| watcher.next == last + 1);
        let statuses: Vec<_> = self.living().map(|one| one.handle().status()).collect();
        let committed = statuses.iter().map(|status| status.committed_index).max();
        let applied = statuses
            .iter()
            .all(|status| Some(status.applied_index) == committed);
        let living: Vec<MemberId> = self
            .living()
            .map(|one| one.handle().identity().member_id)
            .collect();
        let is_whole = |one: &Driven| {
            let members = one.handle().reader().members();
            members
                .iter()
                .map(|member| MemberId(member.id))
                .eq(living.iter().copied())
        };
        let answered = living.iter().all(|id| self.progress.answered.contains(id));
        watched && applied && answered && self.living().all(is_whole)
    }

    /// Members that have applied the same have the same keys, versions and compact revision.
    fn compare_all(&self) -> Result<(), Violation> {
        self.oracle.check_removals()?;
        let hashes: Result<Vec<_>, _> = self
            .living()
            .map(|driven| driven.handle().reader().hash_kv(0))
            .collect();
        let hashes = hashes.map_err(|error| error.to_string())?;
        match hashes.windows(2).all(|pair| pair[0].hash == pair[1].hash) {
            true => Ok(()),
            false => Err(format!("the members' hashes differ: {hashes:?}")),
        }
    }
}
