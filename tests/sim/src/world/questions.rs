//! What clients ask and watch, and what becomes of it.

use bytes::Bytes;
use conclave_proto::command::member_change::Change;
use conclave_storage::MemberId;
use rand::Rng as _;
use tokio::task::JoinHandle;

use super::World;
use crate::administration::Administration;
use crate::clients::{self, Answer, Answered, Ask, By, KEYS, Watched};
use crate::member::introduced;
use crate::oracle::{Violation, leased_key};
use crate::time::RATE_MAX;

/// Members that there ever are.
const MEMBERS_MAX: usize = 10;

/// A client that watches every key, through one member after the other.
pub(super) struct Watcher {
    pub(super) through: MemberId,
    pub(super) next: i64,
    pub(super) task: JoinHandle<()>,
}

impl World {
    pub(super) fn ask(&mut self) -> Result<(), Violation> {
        let position = self.pick();
        if self.members[position].driven.is_some() {
            let ask = self.draw_question();
            self.ask_of(position, ask);
        }
        Ok(())
    }

    fn draw_question(&mut self) -> Ask {
        let key = Bytes::from(format!("key/{}", self.rng.random_range(0..KEYS)));
        match self.rng.random_range(0..10) {
            0..5 if self.has_users() && self.rng.random_bool(0.8) => self.put(key, 0, By::Clerk),
            0..5 => self.put(key, 0, By::Root),
            5..8 => Ask::Read { key },
            8 if self.rng.random_range(0..4) == 0 => Ask::Compact {
                revision: self.rng.random_range(1..=self.oracle.last_revision()),
            },
            8 => Ask::Grant {
                lease: i64::try_from(self.next_value()).expect("a few thousand"),
                ttl: self.rng.random_range(1..3),
            },
            _ if self.leases.is_empty() => Ask::Read { key },
            _ => {
                let lease = self.leases[self.rng.random_range(0..self.leases.len())];
                Ask::Renew { lease }
            }
        }
    }

    /// A number that was not used before.
    fn next_value(&mut self) -> u64 {
        self.asked += 1;
        self.asked
    }

    /// A put of a value that was not used before.
    pub(super) fn put(&mut self, key: Bytes, lease: i64, by: By) -> Ask {
        let value = Bytes::from(format!("value {}", self.next_value()));
        Ask::Put {
            key,
            value,
            lease,
            by,
        }
    }

    /// Asks a member that lives. Returns the number of the question.
    pub(super) fn ask_of(&mut self, position: usize, ask: Ask) -> u64 {
        let member = &self.members[position];
        let handle = member.driven.as_ref().expect("it lives").handle().clone();
        self.trace
            .note(format_args!("a client asks {}: {ask:?}", member.id));
        let (floor, now_ms) = (self.oracle.floor(), self.time.now_ms());
        self.questions += 1;
        let question = (self.questions, ask);
        let asking = clients::ask(handle, question, floor, now_ms, self.heard.clone());
        self.runtime.spawn(asking);
        self.questions
    }

    /// Asks for a change of the members.
    pub(super) fn change(&mut self) -> Result<(), Violation> {
        let position = self.pick();
        let Some(driven) = &self.members[position].driven else {
            return Ok(());
        };
        let members = driven.handle().reader().members();
        if members.is_empty() {
            return Ok(());
        }
        let target = &members[self.rng.random_range(0..members.len())];
        let learner = members.iter().find(|member| member.is_learner);
        let kind = match members.len() {
            0..3 => self.rng.random_range(0..6),
            3..5 => self.rng.random_range(0..10),
            _ => self.rng.random_range(3..10),
        };
        let change = match (kind, learner) {
            (0..3 | 9, _) if self.members.len() < MEMBERS_MAX => {
                let id = MemberId(self.members.len() as u64 + 1);
                self.add_member(id);
                Change::Add(introduced(id, kind > 0))
            }
            (3..6, Some(learner)) => Change::Promote(learner.id),
            (6..9, _) => Change::Remove(target.id),
            _ => return Ok(()),
        };
        self.ask_of(position, Ask::Change(change));
        Ok(())
    }

    /// Asks for a change of users and roles.
    pub(super) fn administer(&mut self) -> Result<(), Violation> {
        let position = self.pick();
        if self.members[position].driven.is_none() {
            return Ok(());
        }
        let what = match self.rng.random_range(0..6) {
            drawn @ 0..4 => Administration::Permission(drawn < 2),
            drawn => Administration::Role(drawn < 5),
        };
        self.ask_of(position, Ask::Administer(what));
        Ok(())
    }

    pub(super) fn judge(&mut self, answered: Answered) -> Result<(), Violation> {
        let Answered {
            number,
            ask,
            floor,
            asked_at_ms,
            answer,
        } = answered;
        self.trace
            .note(format_args!("answered: {ask:?}: {answer:?}"));
        self.answered += u64::from(!matches!(answer, Answer::Unknown));
        self.progress.answered(number, &answer);
        match (ask, answer) {
            (Ask::Put { key, value, by, .. }, Answer::Written(revision)) => {
                if by == By::Clerk {
                    self.oracle.judged_clerk(&key, true, floor)?;
                }
                self.oracle
                    .acknowledge_write(&value, revision, floor.revision)
            }
            (Ask::Put { value, .. }, Answer::Refused) => self.oracle.refuse_write(&value),
            (Ask::Put { key, value, .. }, Answer::Denied) => {
                self.denied += 1;
                self.oracle.judged_clerk(&key, false, floor)?;
                self.oracle.refuse_write(&value)
            }
            (Ask::Read { key }, Answer::Read(value, revision)) => {
                self.oracle
                    .acknowledge_read(&key, value.as_ref(), revision, floor.revision)
            }
            (Ask::Grant { lease, .. }, Answer::Lives(ttl)) => {
                self.leases.push(lease);
                self.put_leased(lease);
                self.lives(lease, asked_at_ms, ttl)
            }
            (Ask::Renew { lease }, Answer::Lives(ttl)) => self.lives(lease, asked_at_ms, ttl),
            (Ask::Change(_), Answer::Changed) => {
                self.changes += 1;
                Ok(())
            }
            (_, _) => Ok(()),
        }
    }

    /// The leader's clock may be the fastest.
    fn lives(&mut self, lease: i64, asked_at_ms: u64, ttl: i64) -> Result<(), Violation> {
        let ttl_ms = u64::try_from(ttl).expect("a lease lives") * 1000;
        let ttl_ms = ttl_ms * 1000 / RATE_MAX;
        self.oracle.lives_until(lease, asked_at_ms + ttl_ms)
    }

    /// Attaches a key to a lease, so that the end of the lease is seen.
    fn put_leased(&mut self, lease: i64) {
        let alive = self
            .members
            .iter()
            .position(|member| member.driven.is_some());
        if let Some(position) = alive {
            let put = self.put(leased_key(lease), lease, By::Root);
            self.ask_of(position, put);
        }
    }

    pub(super) fn watched(&mut self, number: u64, watched: Watched) -> Result<(), Violation> {
        let watcher = &mut self.watchers[usize::try_from(number).expect("there are two")];
        match watched {
            Watched::Changes(changes) => {
                for changes in changes {
                    watcher.next = self.oracle.watched(watcher.next, &changes)?;
                }
            }
            Watched::Compacted(revision) if revision > watcher.next => {
                self.trace
                    .note(format_args!("watcher {number} is behind {revision}"));
                watcher.next = revision + 1;
            }
            Watched::Compacted(revision) => {
                let next = watcher.next;
                return Err(format!(
                    "a watcher that needs {next} is behind a compaction at {revision}"
                ));
            }
        }
        Ok(())
    }

    /// A watcher whose member has gone goes on through another one, from where it was.
    pub(super) fn follow_watchers(&mut self) {
        for number in 0..self.watchers.len() {
            if !self.watchers[number].task.is_finished() {
                continue;
            }
            let position = self.pick();
            let member = &self.members[position];
            let Some(driven) = &member.driven else {
                continue;
            };
            let (handle, from) = (driven.handle().clone(), self.watchers[number].next);
            let (through, heard) = (member.id, self.heard.clone());
            self.trace
                .note(format_args!("watcher {number} asks {through} from {from}"));
            let watching = clients::watch(handle, number as u64, from, heard);
            let watcher = &mut self.watchers[number];
            watcher.through = through;
            watcher.task = self.runtime.spawn(watching);
        }
    }
}
