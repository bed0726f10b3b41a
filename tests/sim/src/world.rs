//! One run: a cluster, its network, its clients, and the seed that decides what happens next.
//!
//! A step is one small thing: a turn of one owner, the fate of one message, some milliseconds, a
//! question of a client, a fault. The seed draws it. After each step the oracle looks.

use std::fmt;

use bytes::Bytes;
use conclave_storage::Revision;
use conclave_storage::log::entry_checksum;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::clients::{self, Answer, Answered, Ask, Heard, KEYS, Watched};
use crate::member::Member;
use crate::network::{Fate, Network};
use crate::oracle::{Oracle, Violation, leased_key};
use crate::time::Time;

/// Steps with faults.
const STEPS: u32 = 5_000;
/// The world's time that a cluster without faults may take until everything it was asked is done.
const PROGRESS_MAX_MS: u64 = 60_000;
/// Bytes of history that are compared at a time.
const HISTORY_BYTES: usize = 1 << 20;

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// A hash of everything that happened, in order.
    pub trace: u64,
    /// The world's time at the end.
    pub simulated_ms: u64,
    /// Revisions that were written.
    pub revisions: i64,
    /// Questions that were answered otherwise than "unknown".
    pub answered: u64,
}

/// How likely things are in this run, of a thousand steps each. Each run has its own mix, so that
/// some have one fault only, and much of it.
#[derive(Clone, Copy, Debug)]
struct Weights {
    deliver: u32,
    drive: u32,
    write_log: u32,
    apply: u32,
    keep_house: u32,
    notify_watchers: u32,
    end_leases: u32,
    time: u32,
    ask: u32,
    crash: u32,
    cut: u32,
    heal: u32,
    pause: u32,
    start: u32,
}

impl Weights {
    fn draw(rng: &mut StdRng) -> Weights {
        let mut sometimes = |most: u32| match rng.random_range(0..3) {
            0 => 0,
            _ => rng.random_range(1..=most),
        };
        let (crash, cut, pause) = (sometimes(6), sometimes(8), sometimes(6));
        Weights {
            deliver: rng.random_range(200..500),
            drive: rng.random_range(150..300),
            write_log: rng.random_range(30..200),
            apply: rng.random_range(30..200),
            keep_house: rng.random_range(1..20),
            notify_watchers: rng.random_range(30..200),
            end_leases: rng.random_range(5..50),
            time: rng.random_range(30..150),
            ask: rng.random_range(10..80),
            crash,
            cut,
            heal: rng.random_range(1..8),
            pause,
            start: rng.random_range(2..20),
        }
    }
}

/// A client that watches every key, through one member after the other.
struct Watcher {
    through: u64,
    next: i64,
    task: JoinHandle<()>,
}

/// What is known of a member beside what it knows itself.
#[derive(Default)]
struct Seen {
    /// The first revision of its history that was not compared.
    revision: i64,
    /// The first entry of its log that was not compared.
    index: u64,
}

/// See the module.
pub struct World {
    rng: StdRng,
    weights: Weights,
    /// Messages lost and repeated, of a thousand.
    loss: u32,
    repetition: u32,
    /// The longest step of time. An election takes 100 ms, a lease lives for a second or two.
    time_max_ms: u64,
    runtime: Runtime,
    time: Time,
    network: Network,
    members: Vec<Member>,
    seen: Vec<Seen>,
    watchers: Vec<Watcher>,
    heard: Heard,
    oracle: Oracle,
    leases: Vec<i64>,
    /// Values and ids so far.
    asked: u64,
    questions: u64,
    answered: u64,
    trace: Trace,
}

/// What happened, hashed, and printed if somebody reads it.
struct Trace {
    hash: u64,
    is_printed: bool,
    step: u32,
}

impl Trace {
    /// FNV-1a, 64 bits.
    fn note(&mut self, what: fmt::Arguments<'_>) {
        let line = what.to_string();
        for byte in line.bytes().chain([b'\n']) {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.is_printed {
            print(&format!("{:>6} {line}", self.step));
        }
    }
}

#[allow(clippy::print_stdout, reason = "a trace is what the caller asked for")]
fn print(line: &str) {
    println!("{line}");
}

/// Runs a seed. With `is_printed`, prints what happens, a line for each step.
///
/// # Errors
/// The rule that was violated, and when.
pub fn run(seed: u64, is_printed: bool) -> Result<Run, Violation> {
    let mut world = World::new(seed, is_printed);
    let run = world.run();
    run.map_err(|violation| format!("step {}: {violation}", world.trace.step))
}

impl World {
    fn new(seed: u64, is_printed: bool) -> World {
        let mut rng = StdRng::seed_from_u64(seed);
        let size = [1, 3, 3, 3, 5][rng.random_range(0..5)];
        let time = Time::default();
        let members: Vec<Member> = (1..=size)
            .map(|id| {
                let skew_ms = rng.random_range(0..1_000_000);
                Member::new(id, size, time.clone(), skew_ms, rng.random())
            })
            .collect();
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        let mut world = World {
            weights: Weights::draw(&mut rng),
            loss: [0, 0, 20, 150][rng.random_range(0..4)],
            repetition: [0, 20, 150][rng.random_range(0..3)],
            time_max_ms: [4, 15, 60][rng.random_range(0..3)],
            rng,
            runtime,
            time,
            network: Network::default(),
            seen: members.iter().map(|_| Seen::default()).collect(),
            members,
            watchers: Vec::new(),
            heard: Heard::default(),
            oracle: Oracle::default(),
            leases: Vec::new(),
            asked: 0,
            questions: 0,
            answered: 0,
            trace: Trace {
                hash: 0xcbf2_9ce4_8422_2325,
                is_printed,
                step: 0,
            },
        };
        let weights = world.weights;
        world
            .trace
            .note(format_args!("{size} members, {weights:?}"));
        for position in 0..world.members.len() {
            world.start(position);
        }
        for _ in 0..2 {
            let through = world.rng.random_range(1..=size);
            let task = world.runtime.spawn(async {});
            world.watchers.push(Watcher {
                through,
                next: 2,
                task,
            });
        }
        world
    }

    fn run(&mut self) -> Result<Run, Violation> {
        for step in 0..STEPS {
            self.trace.step = step;
            self.step()?;
            self.look()?;
        }
        self.finish()?;
        Ok(Run {
            trace: self.trace.hash,
            simulated_ms: self.time.now_ms(),
            revisions: self.oracle.last_revision() - 1,
            answered: self.answered,
        })
    }

    /// Draws what happens next, and lets it happen.
    fn step(&mut self) -> Result<(), Violation> {
        type Step = fn(&mut World) -> Result<(), Violation>;
        let weights = self.weights;
        let steps: [(u32, Step); 14] = [
            (weights.deliver, World::deliver),
            (weights.drive, |world| world.turn("drives", World::drive)),
            (weights.write_log, |world| {
                world.turn("writes its log", World::write_log)
            }),
            (weights.apply, |world| world.turn("applies", World::apply)),
            (weights.keep_house, |world| {
                world.turn("keeps house", World::keep_house)
            }),
            (weights.notify_watchers, |world| {
                world.turn("notifies watchers", World::notify_watchers)
            }),
            (weights.end_leases, |world| {
                world.turn("ends leases", World::end_leases)
            }),
            (weights.time, World::let_time_pass),
            (weights.ask, World::ask),
            (weights.crash, World::crash),
            (weights.cut, World::cut),
            (weights.heal, World::heal),
            (weights.pause, World::pause),
            (weights.start, World::start_one),
        ];
        let all: u32 = steps.iter().map(|(weight, _)| weight).sum();
        let mut drawn = self.rng.random_range(0..all);
        for (weight, step) in steps {
            match drawn.checked_sub(weight) {
                Some(rest) => drawn = rest,
                None => return step(self),
            }
        }
        unreachable!("one of them was drawn")
    }

    fn pick(&mut self) -> usize {
        self.rng.random_range(0..self.members.len())
    }

    fn deliver(&mut self) -> Result<(), Violation> {
        let choice = self.rng.random_range(0..usize::MAX);
        let drawn = self.rng.random_range(0..1000);
        let fate = match drawn {
            _ if drawn < self.loss => Fate::Lost,
            _ if drawn < self.loss + self.repetition => Fate::Repeated,
            _ => Fate::Delivered,
        };
        if let Some((from, to, bytes)) = self.network.decide(choice, fate) {
            self.trace
                .note(format_args!("{from} -> {to}, {bytes} bytes: {fate:?}"));
        }
        Ok(())
    }

    /// Gives a turn to an owner of a member that lives and is not paused.
    fn turn(
        &mut self,
        what: &str,
        owner: fn(&mut World, usize) -> Result<bool, Violation>,
    ) -> Result<(), Violation> {
        let position = self.pick();
        let member = &self.members[position];
        if member.driven.is_none() || member.paused_until_ms > self.time.now_ms() {
            return Ok(());
        }
        let id = member.id;
        if owner(self, position)? {
            self.trace.note(format_args!("{id} {what}"));
        }
        Ok(())
    }

    fn driven(&mut self, position: usize) -> &mut conclave_core::driven::Driven {
        self.members[position].driven.as_mut().expect("it lives")
    }

    fn drive(&mut self, position: usize) -> Result<bool, Violation> {
        self.driven(position).drive().map_err(fault)
    }

    fn write_log(&mut self, position: usize) -> Result<bool, Violation> {
        self.driven(position).write_log().map_err(fault)
    }

    fn apply(&mut self, position: usize) -> Result<bool, Violation> {
        self.driven(position).apply().map_err(fault)
    }

    fn keep_house(&mut self, position: usize) -> Result<bool, Violation> {
        self.driven(position).keep_house().map_err(fault)
    }

    fn notify_watchers(&mut self, position: usize) -> Result<bool, Violation> {
        Ok(self.driven(position).notify_watchers())
    }

    fn end_leases(&mut self, position: usize) -> Result<bool, Violation> {
        self.driven(position).end_leases().map_err(fault)
    }

    fn let_time_pass(&mut self) -> Result<(), Violation> {
        let by_ms = self.rng.random_range(1..=self.time_max_ms);
        self.time.advance(by_ms);
        let now_ms = self.time.now_ms();
        self.trace.note(format_args!("{now_ms} ms"));
        Ok(())
    }

    fn ask(&mut self) -> Result<(), Violation> {
        let position = self.pick();
        if self.members[position].driven.is_none() {
            return Ok(());
        }
        let ask = self.draw_question();
        self.ask_of(position, ask);
        Ok(())
    }

    fn draw_question(&mut self) -> Ask {
        let key = Bytes::from(format!("key/{}", self.rng.random_range(0..KEYS)));
        self.asked += 1;
        let value = Bytes::from(format!("value {}", self.asked));
        match self.rng.random_range(0..10) {
            0..5 => Ask::Put {
                key,
                value,
                lease: 0,
            },
            5..8 => Ask::Read { key },
            8 if self.rng.random_range(0..4) == 0 => Ask::Compact {
                revision: self.rng.random_range(1..=self.oracle.last_revision()),
            },
            8 => Ask::Grant {
                lease: i64::try_from(self.asked).expect("a few thousand"),
                ttl: self.rng.random_range(1..3),
            },
            _ if self.leases.is_empty() => Ask::Read { key },
            _ => {
                let lease = self.leases[self.rng.random_range(0..self.leases.len())];
                Ask::Renew { lease }
            }
        }
    }

    fn ask_of(&mut self, position: usize, ask: Ask) {
        let member = &self.members[position];
        let handle = member.driven.as_ref().expect("it lives").handle().clone();
        self.trace
            .note(format_args!("a client asks {}: {ask:?}", member.id));
        let (floor, now_ms) = (self.oracle.acknowledged(), self.time.now_ms());
        self.questions += 1;
        let question = (self.questions, ask);
        let asking = clients::ask(handle, question, floor, now_ms, self.heard.clone());
        self.runtime.spawn(asking);
    }

    fn crash(&mut self) -> Result<(), Violation> {
        let position = self.pick();
        self.crash_one(position);
        Ok(())
    }

    fn crash_one(&mut self, position: usize) {
        if self.members[position].driven.is_none() {
            return;
        }
        let (log_kept, state_kept) = (self.rng.random(), self.rng.random());
        let member = &mut self.members[position];
        self.trace
            .note(format_args!("{} loses its power", member.id));
        let _context = self.runtime.enter();
        member.crash(&self.network, log_kept, state_kept);
        self.seen[position] = Seen::default();
    }

    fn start_one(&mut self) -> Result<(), Violation> {
        let position = self.pick();
        if self.members[position].driven.is_none() {
            self.start(position);
        }
        Ok(())
    }

    fn start(&mut self, position: usize) {
        let _context = self.runtime.enter();
        let member = &mut self.members[position];
        self.trace.note(format_args!("{} starts", member.id));
        member.start(&self.network);
        self.seen[position] = Seen {
            revision: 2,
            index: 2,
        };
    }

    fn cut(&mut self) -> Result<(), Violation> {
        let (from, to) = (self.pick(), self.pick());
        let (from, to) = (self.members[from].id, self.members[to].id);
        self.network.cut(from, to);
        let both_ways = self.rng.random();
        if both_ways {
            self.network.cut(to, from);
        }
        self.trace.note(format_args!(
            "the link {from} -> {to} is cut, both ways: {both_ways}"
        ));
        Ok(())
    }

    fn heal(&mut self) -> Result<(), Violation> {
        self.network.heal();
        self.trace.note(format_args!("every link works"));
        Ok(())
    }

    fn pause(&mut self) -> Result<(), Violation> {
        let (position, for_ms) = (self.pick(), self.rng.random_range(20..2_000));
        let member = &mut self.members[position];
        member.paused_until_ms = self.time.now_ms() + for_ms;
        self.trace
            .note(format_args!("{} pauses for {for_ms} ms", member.id));
        Ok(())
    }

    /// Lets the tasks run, and holds everything that can be seen against the rules.
    fn look(&mut self) -> Result<(), Violation> {
        self.run_tasks();
        for position in 0..self.members.len() {
            self.look_at(position)?;
        }
        for answered in self.heard.answers() {
            self.judge(answered)?;
        }
        for (number, watched) in self.heard.watched() {
            self.watched(number, watched)?;
        }
        self.follow_watchers();
        Ok(())
    }

    /// Until none has anything to do, or nearly so: what is left runs with the next step.
    fn run_tasks(&self) {
        self.runtime.block_on(async {
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
        });
    }

    fn look_at(&mut self, position: usize) -> Result<(), Violation> {
        let (member, seen) = (&self.members[position], &mut self.seen[position]);
        let Some(driven) = &member.driven else {
            return Ok(());
        };
        if let Some(error) = driven.ended() {
            return Err(format!("{} ended: {error}", member.id));
        }
        let status = driven.handle().status();
        if status.is_leader {
            self.oracle.leads(member.id, status.term)?;
        }
        let log = driven.log();
        // What is committed may not be in the log of this member yet; what is applied is.
        while seen.index <= status.applied_index {
            let entries = log
                .entries(seen.index, seen.index + 1, u64::MAX)
                .map_err(fault)?;
            let Some(entry) = entries.first() else { break };
            let hash = entry_checksum(entry.index, entry.term, entry.kind, &entry.data);
            self.oracle
                .has_committed(member.id, entry.index, (entry.term, hash))?;
            seen.index += 1;
        }
        let reader = driven.handle().reader();
        let applied = reader.applied().revision;
        if seen.revision <= applied.0 {
            // What is older was compared with other members before it was compacted.
            let kept = reader.applied().compacted.0 + 1;
            seen.revision = seen.revision.max(kept);
            let from = Revision(seen.revision);
            let history = reader.history(from, applied, HISTORY_BYTES);
            let history = history.map_err(|error| format!("{}: {error}", member.id))?;
            for changes in &history.changes {
                let now_ms = self.time.now_ms();
                self.oracle.has_applied(member.id, changes, now_ms)?;
            }
            seen.revision = history.next.0;
        }
        Ok(())
    }

    fn judge(&mut self, answered: Answered) -> Result<(), Violation> {
        let Answered {
            number: _,
            ask,
            floor,
            asked_at_ms,
            answer,
        } = answered;
        self.trace
            .note(format_args!("answered: {ask:?}: {answer:?}"));
        self.answered += u64::from(!matches!(answer, Answer::Unknown));
        match (ask, answer) {
            (Ask::Put { value, .. }, Answer::Written(revision)) => {
                self.oracle.acknowledge_write(&value, revision, floor)
            }
            (Ask::Put { value, .. }, Answer::Refused) => self.oracle.refuse_write(&value),
            (Ask::Read { key }, Answer::Read(value, revision)) => {
                self.oracle
                    .acknowledge_read(&key, value.as_ref(), revision, floor)
            }
            (Ask::Grant { lease, .. }, Answer::Lives(ttl)) => {
                self.leases.push(lease);
                self.put_leased(lease);
                self.lives(lease, asked_at_ms, ttl)
            }
            (Ask::Renew { lease }, Answer::Lives(ttl)) => self.lives(lease, asked_at_ms, ttl),
            (_, _) => Ok(()),
        }
    }

    fn lives(&mut self, lease: i64, asked_at_ms: u64, ttl: i64) -> Result<(), Violation> {
        let ttl_ms = u64::try_from(ttl).expect("a lease lives") * 1000;
        self.oracle.lives_until(lease, asked_at_ms + ttl_ms)
    }

    /// Attaches a key to a lease, so that the end of the lease is seen.
    fn put_leased(&mut self, lease: i64) {
        let alive = self
            .members
            .iter()
            .position(|member| member.driven.is_some());
        if let Some(position) = alive {
            self.asked += 1;
            let value = Bytes::from(format!("value {}", self.asked));
            let key = leased_key(lease);
            self.ask_of(position, Ask::Put { key, value, lease });
        }
    }

    fn watched(&mut self, number: u64, watched: Watched) -> Result<(), Violation> {
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
    fn follow_watchers(&mut self) {
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

    /// All faults end; then the cluster has to answer, and its members to become equal.
    fn finish(&mut self) -> Result<(), Violation> {
        self.trace.note(format_args!("all faults end"));
        self.network.heal();
        let now_ms = self.time.now_ms();
        for position in 0..self.members.len() {
            self.members[position].paused_until_ms = now_ms;
            if self.members[position].driven.is_none() {
                self.start(position);
            }
        }
        let last = self.asked + 1;
        self.asked += self.members.len() as u64;
        for position in 0..self.members.len() {
            let value = Bytes::from(format!("value {}", last + position as u64));
            let key = Bytes::from_static(b"key/0");
            self.ask_of(
                position,
                Ask::Put {
                    key,
                    value,
                    lease: 0,
                },
            );
        }
        let before = self.answered;
        while self.time.now_ms() < now_ms + PROGRESS_MAX_MS {
            self.trace.step += 1;
            self.everybody_acts()?;
            if self.answered >= before + self.members.len() as u64 && self.is_settled() {
                return self.compare_hashes();
            }
        }
        let applied: Vec<_> = self
            .members
            .iter()
            .map(|member| self.applied(member))
            .collect();
        Err(format!("no progress without faults: applied {applied:?}"))
    }

    /// Members that have applied the same have the same keys, versions and compact revision.
    fn compare_hashes(&self) -> Result<(), Violation> {
        let hashes: Result<Vec<_>, _> = self
            .members
            .iter()
            .filter_map(|member| member.driven.as_ref())
            .map(|driven| driven.handle().reader().hash_kv(0))
            .collect();
        let hashes = hashes.map_err(|error| error.to_string())?;
        match hashes.windows(2).all(|pair| pair[0] == pair[1]) {
            true => Ok(()),
            false => Err(format!("the members' hashes differ: {hashes:?}")),
        }
    }

    fn everybody_acts(&mut self) -> Result<(), Violation> {
        self.time.advance(2);
        for position in 0..self.members.len() {
            self.drive(position)?;
            self.write_log(position)?;
            self.drive(position)?;
            self.apply(position)?;
            self.keep_house(position)?;
            self.notify_watchers(position)?;
            self.end_leases(position)?;
        }
        for _ in 0..self.network.under_way() {
            self.network.decide(0, Fate::Delivered);
        }
        self.look()
    }

    fn applied(&self, member: &Member) -> i64 {
        let driven = member.driven.as_ref().expect("all are started");
        driven.handle().reader().applied().revision.0
    }

    /// Whether every member has applied all that is committed, and every watcher has seen it.
    fn is_settled(&self) -> bool {
        let last = self.oracle.last_revision();
        let watched = self.watchers.iter().all(|watcher| watcher.next == last + 1);
        let living = self
            .members
            .iter()
            .filter_map(|member| member.driven.as_ref());
        let statuses: Vec<_> = living.map(|driven| driven.handle().status()).collect();
        let committed = statuses.iter().map(|status| status.committed_index).max();
        let applied = statuses
            .iter()
            .all(|status| Some(status.applied_index) == committed);
        watched && applied
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.network.end();
    }
}

fn fault(fault: conclave_storage::Fault) -> Violation {
    fault.to_string()
}
