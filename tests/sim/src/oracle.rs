//! What has to be true, whatever happens: the truth of the cluster, put together from what its
//! members apply, and the rules that every observation is held against.
//!
//! * *One leader a term.* No two members lead in the same term.
//! * *Log matching.* A committed entry is the same, by index, on every member that has it.
//! * *Equal states.* Members that have applied the same revision have the same history up to it, be
//!   it their own or from a snapshot. Members that have applied the same entry have the same
//!   members, leases and hash; at the end all have.
//! * *Durability and strict serializability.* An acknowledged write is in the history, once, at the
//!   revision that its reply names; a refused one is not there. A write has a greater revision than
//!   every reply that came before it was asked for; a linearizable read has at least that one, and
//!   reads what the history says.
//! * *Watches.* A watcher gets every revision, once, in order, as the history has it, but for those
//!   that were compacted before it came to them.
//! * *Removals.* A member that ends because it was removed was removed.
//! * *Permissions.* Members at the same auth revision have the same users and roles. What a user
//!   wrote was permitted, and what it was denied was not, at an auth revision between the last that
//!   any member had at the question, and the last at the answer.
//! * *Leases.* A lease does not end before the time that an acknowledged grant or keep-alive gave
//!   it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use conclave_proto::command::{LeaseRecord, Member};
use conclave_storage::auth::Auth;
use conclave_storage::machine::{Change, ChangeKind, Changes};
use conclave_storage::membership::Membership;
use conclave_storage::{Index, MemberId, Term};

use crate::administration::may_clerk_write;
use crate::clients::Floor;

/// A violated rule, in words.
pub type Violation = String;

/// One key after a change: its value, or `None` if it was deleted.
type Row = (Bytes, Option<Bytes>);

/// State that is the same on all members after the same entry, apart from the history.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// The hash of keys and versions.
    pub hash: u32,
    /// The leases.
    pub leases: Vec<LeaseRecord>,
    /// The auth revision.
    pub auth_revision: u64,
}

/// The truth so far.
#[derive(Debug, Default)]
pub struct Oracle {
    leaders: BTreeMap<Term, MemberId>,
    /// Term and checksum of committed entries, by index.
    entries: BTreeMap<Index, (Term, u32)>,
    history: BTreeMap<i64, Vec<Row>>,
    /// The revision at which a value was written. Clients write no value twice.
    written: BTreeMap<Bytes, i64>,
    refused: BTreeSet<Bytes>,
    /// The greatest revision in a reply.
    acknowledged: i64,
    /// Users and roles, by the auth revision and whether they count.
    auth: BTreeMap<(u64, bool), Arc<Auth>>,
    /// By lease: the world's time before which it may not end.
    alive_until_ms: BTreeMap<i64, u64>,
    /// By lease: when its end was seen first.
    ended_at_ms: BTreeMap<i64, u64>,
    /// The membership after an entry.
    members: BTreeMap<Index, Membership>,
    removed: BTreeSet<MemberId>,
    /// Members that ended because they were removed.
    ended: BTreeSet<MemberId>,
    /// The state after an entry, under a compact revision.
    states: BTreeMap<(Index, i64), State>,
}

/// A key that is attached to this lease and nothing else.
pub fn leased_key(lease: i64) -> Bytes {
    format!("lease/{lease}").into()
}

impl Oracle {
    /// Returns the lower bounds for a question that is asked now.
    pub fn floor(&self) -> Floor {
        Floor {
            revision: self.acknowledged,
            auth_revision: self.newest_users().map_or(0, Auth::revision),
        }
    }

    /// The last revision that any member has applied.
    pub fn last_revision(&self) -> i64 {
        self.history.keys().next_back().copied().unwrap_or(1)
    }

    /// A member leads in a term.
    pub fn leads(&mut self, member: MemberId, term: Term) -> Result<(), Violation> {
        match *self.leaders.entry(term).or_insert(member) {
            other if other != member => Err(format!("{other} and {member} lead in term {term}")),
            _ => Ok(()),
        }
    }

    /// A member has this entry, committed.
    pub fn has_committed(
        &mut self,
        member: MemberId,
        index: Index,
        entry: (Term, u32),
    ) -> Result<(), Violation> {
        match *self.entries.entry(index).or_insert(entry) {
            other if other != entry => Err(format!(
                "entry {index} of {member} is {entry:?}, and another member committed {other:?}"
            )),
            _ => Ok(()),
        }
    }

    /// A member that has applied the entry `index` has this membership.
    pub fn has_members(
        &mut self,
        member: MemberId,
        index: Index,
        membership: &Membership,
    ) -> Result<(), Violation> {
        self.removed.extend(membership.removed());
        let known = self.members.entry(index);
        let known = known.or_insert_with(|| membership.clone());
        match known == membership {
            true => Ok(()),
            false => Err(format!(
                "after entry {index} {member} has {membership:?}, and another member {known:?}"
            )),
        }
    }

    /// The newest membership that any member has applied.
    pub fn members(&self) -> Vec<Member> {
        let newest = self.members.last_key_value();
        newest.map_or(Vec::new(), |(_, membership)| membership.members())
    }

    /// A member ends, since it was removed. Its removal is committed, if not applied.
    pub fn ends_removed(&mut self, member: MemberId) {
        self.ended.insert(member);
    }

    /// Everything that is committed is applied.
    pub fn check_removals(&self) -> Result<(), Violation> {
        match self.ended.difference(&self.removed).next() {
            None => Ok(()),
            Some(member) => Err(format!("{member} ended as removed, and was not removed")),
        }
    }

    /// A member has this state after an entry, under a compact revision.
    pub fn has_state(
        &mut self,
        member: MemberId,
        at: (Index, i64),
        state: State,
    ) -> Result<(), Violation> {
        match self.states.get(&at) {
            Some(known) if *known != state => Err(format!(
                "after entry {} {member} has the state {state:?}, and another member {known:?}",
                at.0
            )),
            Some(_) => Ok(()),
            None => {
                self.states.insert(at, state);
                Ok(())
            }
        }
    }

    /// A member has these users and roles.
    pub fn has_users(&mut self, member: MemberId, auth: &Arc<Auth>) -> Result<(), Violation> {
        let at = (auth.revision(), auth.is_enabled());
        let known = self.auth.entry(at).or_insert_with(|| Arc::clone(auth));
        match known == auth {
            true => Ok(()),
            false => Err(format!(
                "at auth revision {at:?} {member} has {auth:?}, and another member {known:?}"
            )),
        }
    }

    /// The users and roles that are newest on any member.
    pub fn newest_users(&self) -> Option<&Auth> {
        self.auth.values().next_back().map(Arc::as_ref)
    }

    /// The clerk wrote to a key, or was denied to. `floor` is the lower bound of its question.
    pub fn judged_clerk(
        &self,
        key: &Bytes,
        may_write: bool,
        floor: Floor,
    ) -> Result<(), Violation> {
        let first = (floor.auth_revision, false);
        let mut auths = self.auth.range(first..).map(|(_, auth)| auth);
        let revisions: BTreeSet<u64> = auths.clone().map(|auth| auth.revision()).collect();
        let newest = revisions.last().copied().unwrap_or(0);
        // Nobody has seen what a member held that has applied several changes in one turn.
        let is_known = (floor.auth_revision..=newest).all(|at| revisions.contains(&at));
        let is_just = auths.any(|auth| may_clerk_write(auth, key) == may_write);
        match is_just || !is_known {
            true => Ok(()),
            false => Err(format!(
                "the clerk {} {key:?}, against all permissions from auth revision {} to {newest}",
                if may_write { "wrote to" } else { "was denied" },
                floor.auth_revision
            )),
        }
    }

    /// A member has applied a revision.
    pub fn has_applied(
        &mut self,
        member: MemberId,
        changes: &Changes,
        now_ms: u64,
    ) -> Result<(), Violation> {
        let (revision, rows) = (changes.revision.0, rows(changes));
        if let Some(known) = self.history.get(&revision) {
            return match *known == rows {
                true => Ok(()),
                false => Err(format!(
                    "revision {revision} of {member} is {rows:?}, of another member {known:?}"
                )),
            };
        }
        if revision != self.last_revision() + 1 {
            return Err(format!(
                "{member} applied revision {revision} after {}",
                self.last_revision()
            ));
        }
        for (key, value) in &rows {
            match value {
                Some(value) => self.wrote(key, value, revision)?,
                None => self.deleted(key, now_ms)?,
            }
        }
        self.history.insert(revision, rows);
        Ok(())
    }

    fn wrote(&mut self, key: &Bytes, value: &Bytes, revision: i64) -> Result<(), Violation> {
        if self.refused.contains(value) {
            return Err(format!("{value:?} was refused, and is written to {key:?}"));
        }
        match self.written.insert(value.clone(), revision) {
            Some(before) => Err(format!(
                "{value:?} is written at {before} and at {revision}"
            )),
            None => Ok(()),
        }
    }

    fn deleted(&mut self, key: &Bytes, now_ms: u64) -> Result<(), Violation> {
        let lease = std::str::from_utf8(key)
            .ok()
            .and_then(|key| key.strip_prefix("lease/"));
        let Some(lease) = lease.and_then(|id| id.parse().ok()) else {
            return Ok(());
        };
        self.ended_at_ms.entry(lease).or_insert(now_ms);
        self.check_lease(lease)
    }

    /// A lease was granted or renewed, until this time at least.
    pub fn lives_until(&mut self, lease: i64, time_ms: u64) -> Result<(), Violation> {
        let until = self.alive_until_ms.entry(lease).or_default();
        *until = (*until).max(time_ms);
        self.check_lease(lease)
    }

    fn check_lease(&self, lease: i64) -> Result<(), Violation> {
        let times = self
            .ended_at_ms
            .get(&lease)
            .zip(self.alive_until_ms.get(&lease));
        match times {
            Some((ended, until)) if ended < until => Err(format!(
                "lease {lease} ended at {ended} ms, and was acknowledged until {until} ms"
            )),
            _ => Ok(()),
        }
    }

    /// A write was acknowledged that was asked for when `floor` was the greatest revision in a
    /// reply.
    pub fn acknowledge_write(
        &mut self,
        value: &Bytes,
        revision: i64,
        floor: i64,
    ) -> Result<(), Violation> {
        if self.written.get(value) != Some(&revision) {
            return Err(format!(
                "{value:?} was acknowledged at {revision}, and the history has it at {:?}",
                self.written.get(value)
            ));
        }
        if revision <= floor {
            return Err(format!(
                "{value:?} has revision {revision}, and {floor} was in a reply before"
            ));
        }
        self.acknowledged = self.acknowledged.max(revision);
        Ok(())
    }

    /// A write was refused: it does not happen.
    pub fn refuse_write(&mut self, value: &Bytes) -> Result<(), Violation> {
        if let Some(revision) = self.written.get(value) {
            return Err(format!(
                "{value:?} was refused, and is written at {revision}"
            ));
        }
        self.refused.insert(value.clone());
        Ok(())
    }

    /// A linearizable read was answered.
    pub fn acknowledge_read(
        &mut self,
        key: &Bytes,
        value: Option<&Bytes>,
        revision: i64,
        floor: i64,
    ) -> Result<(), Violation> {
        if revision < floor {
            return Err(format!(
                "a read of {key:?} is of revision {revision}, and {floor} was in a reply before"
            ));
        }
        let rows = self
            .history
            .range(..=revision)
            .rev()
            .flat_map(|(_, rows)| rows.iter().rev());
        let truth = rows
            .filter(|(of, _)| of == key)
            .map(|(_, value)| value.as_ref())
            .next();
        if truth.flatten() != value {
            return Err(format!(
                "a read of {key:?} at {revision} gave {value:?}, and the history has {truth:?}"
            ));
        }
        self.acknowledged = self.acknowledged.max(revision);
        Ok(())
    }

    /// A watcher that has seen everything before `next` got these changes. Returns what is next.
    pub fn watched(&self, next: i64, changes: &Changes) -> Result<i64, Violation> {
        let revision = changes.revision.0;
        if revision != next {
            return Err(format!(
                "a watcher that waits for revision {next} got {revision}"
            ));
        }
        match self.history.get(&revision) {
            Some(known) if *known == rows(changes) => Ok(revision + 1),
            known => Err(format!(
                "a watcher got {:?} at {revision}, and the history has {known:?}",
                rows(changes)
            )),
        }
    }
}

fn rows(changes: &Changes) -> Vec<Row> {
    let row = |change: &Change| {
        let is_put = change.kind == ChangeKind::Put;
        let value = is_put.then(|| change.kv.value.clone());
        (change.kv.key.clone(), value)
    };
    changes.changes.iter().map(row).collect()
}
