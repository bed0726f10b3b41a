//! One run: a cluster, its network, its clients, and the seed that decides what happens next.
//!
//! A step is one small thing: a turn of one owner, the fate of one message, some milliseconds, a
//! question of a client, a fault. The seed draws it. After each step the oracle looks.

use conclave_core::driven::Driven;
use conclave_storage::MemberId;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::runtime::{Builder, Runtime};

use crate::clients::Heard;
use crate::member::{Cluster, Member};
use crate::network::transfers::{Counts, PieceFate};
use crate::network::{Fate, Network};
use crate::oracle::{Oracle, Violation};
use crate::time::{RATE_MAX, RATE_MIN, SkewedClock, Time};
use crate::trace::Trace;
use look::Seen;
use questions::Watcher;
use weights::Weights;

mod faults;
mod finish;
mod look;
mod questions;
mod weights;

/// Steps with faults.
const STEPS: u32 = 5_000;

/// Of so many seeds one has a cluster with users.
const SEEDS_PER_USERS: u64 = 5;

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// A hash of everything that happened, in order.
    pub trace: u64,
    /// The world's time at the end.
    pub simulated_ms: u64,
    /// Revisions that were written.
    pub revisions: i64,
    /// Questions that were answered otherwise than "unknown".
    pub answered: u64,
    /// Changes of the members that were acknowledged.
    pub changes: u64,
    /// Writes that a user was denied.
    pub denied: u64,
    /// Snapshots.
    pub snapshots: Counts,
    /// Starts that found the installation of a snapshot half done.
    pub half_installed: u64,
    /// Starts that ended at a damaged log.
    pub refused_logs: u64,
}

/// See the module.
pub struct World {
    rng: StdRng,
    weights: Weights,
    /// Messages lost and repeated, of a thousand.
    loss: u32,
    repetition: u32,
    /// Pieces of snapshots at which the connection breaks, and that are cut short, of a thousand.
    broken: u32,
    torn: u32,
    /// The longest step of time. An election takes 100 ms, a lease lives for a second or two.
    time_max_ms: u64,
    runtime: Runtime,
    time: Time,
    network: Network,
    cluster: Cluster,
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
    changes: u64,
    denied: u64,
    /// Starts that found the installation of a snapshot half done.
    half_installed: u64,
    progress: finish::Progress,
    trace: Trace,
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
        let cluster = Cluster {
            founders: [1, 3, 3, 3, 5][rng.random_range(0..5)],
            catch_up_entries: [1, 10, 100][rng.random_range(0..3)],
        };
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        let mut world = World {
            weights: Weights::draw(&mut rng, seed.is_multiple_of(SEEDS_PER_USERS)),
            loss: [0, 0, 20, 150][rng.random_range(0..4)],
            repetition: [0, 20, 150][rng.random_range(0..3)],
            broken: [0, 20, 150][rng.random_range(0..3)],
            torn: [0, 0, 400][rng.random_range(0..3)],
            time_max_ms: [4, 15, 60, 150][rng.random_range(0..4)],
            rng,
            runtime,
            time: Time::default(),
            network: Network::default(),
            cluster,
            members: Vec::new(),
            seen: Vec::new(),
            watchers: Vec::new(),
            heard: Heard::default(),
            oracle: Oracle::default(),
            leases: Vec::new(),
            asked: 0,
            questions: 0,
            answered: 0,
            changes: 0,
            denied: 0,
            half_installed: 0,
            progress: finish::Progress::default(),
            trace: Trace::new(is_printed),
        };
        let weights = world.weights;
        world.trace.note(format_args!("{cluster:?}, {weights:?}"));
        for id in 1..=cluster.founders {
            world.add_member(MemberId(id));
        }
        for position in 0..world.members.len() {
            world.start(position);
        }
        for _ in 0..2 {
            let through = world.rng.random_range(1..=cluster.founders);
            let task = world.runtime.spawn(async {});
            world.watchers.push(Watcher {
                through: MemberId(through),
                next: 2,
                task,
            });
        }
        world
    }

    /// Makes a member that has not started. Its position is its id less one.
    fn add_member(&mut self, id: MemberId) {
        let clock = SkewedClock {
            time: self.time.clone(),
            rate: self.rng.random_range(RATE_MIN..=RATE_MAX),
            skew_ms: self.rng.random_range(0..1_000_000),
        };
        let member = Member::new(id, self.cluster, clock, self.rng.random());
        self.members.push(member);
        self.seen.push(Seen::default());
    }

    fn run(&mut self) -> Result<Run, Violation> {
        if self.has_users() {
            self.set_up_users()?;
        }
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
            changes: self.changes,
            denied: self.denied,
            snapshots: self.network.counts(),
            half_installed: self.half_installed,
            refused_logs: self.refused_logs(),
        })
    }

    /// Draws what happens next, and lets it happen.
    fn step(&mut self) -> Result<(), Violation> {
        type Step = fn(&mut World) -> Result<(), Violation>;
        let weights = self.weights;
        let steps: [(u32, Step); 21] = [
            (weights.deliver, World::deliver),
            (weights.piece, World::deliver_piece),
            (weights.drive, |world| world.turn("drives", World::drive)),
            (weights.write_log, World::write_some_log),
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
            (weights.work, |world| world.turn("works", World::work)),
            (weights.time, World::let_time_pass),
            (weights.ask, World::ask),
            (weights.change, World::change),
            (weights.crash, World::crash),
            (weights.fail_disk, World::fail_disk),
            (weights.damage, World::damage),
            (weights.cut, World::cut),
            (weights.isolate, World::isolate),
            (weights.heal, World::heal),
            (weights.pause, World::pause),
            (weights.start, World::start_one),
            (weights.administer, World::administer),
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

    fn refused_logs(&self) -> u64 {
        let members = self.members.iter();
        members.filter(|member| member.is_damaged).count() as u64
    }

    fn has_users(&self) -> bool {
        self.weights.administer > 0
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

    fn deliver_piece(&mut self) -> Result<(), Violation> {
        let choice = self.rng.random_range(0..usize::MAX);
        let drawn = self.rng.random_range(0..1000);
        let missing = self.rng.random_range(1..usize::MAX);
        let fate = match drawn {
            _ if drawn < self.broken => PieceFate::Breaks,
            _ if drawn < self.broken + self.torn => PieceFate::Torn(missing),
            _ => PieceFate::Arrives,
        };
        if let Some((from, to, what)) = self.network.decide_piece(choice, fate) {
            self.trace
                .note(format_args!("snapshot {from} -> {to}: {what}"));
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
        self.turn_of(position, what, owner)
    }

    fn turn_of(
        &mut self,
        position: usize,
        what: &str,
        owner: fn(&mut World, usize) -> Result<bool, Violation>,
    ) -> Result<(), Violation> {
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

    fn drive(&mut self, position: usize) -> Result<bool, Violation> {
        self.act(position, Driven::drive)
    }

    fn write_log(&mut self, position: usize) -> Result<bool, Violation> {
        self.act(position, Driven::write_log)
    }

    fn apply(&mut self, position: usize) -> Result<bool, Violation> {
        self.act(position, Driven::apply)
    }

    fn keep_house(&mut self, position: usize) -> Result<bool, Violation> {
        self.act(position, Driven::keep_house)
    }

    fn notify_watchers(&mut self, position: usize) -> Result<bool, Violation> {
        self.act(position, |driven| Ok(driven.notify_watchers()))
    }

    fn end_leases(&mut self, position: usize) -> Result<bool, Violation> {
        self.act(position, Driven::end_leases)
    }

    /// A turn of an owner. Its process ends if its disk fails.
    fn act(
        &mut self,
        position: usize,
        turn: fn(&mut Driven) -> Result<bool, conclave_storage::Fault>,
    ) -> Result<bool, Violation> {
        let context = self.runtime.enter();
        let member = &mut self.members[position];
        let driven = member.driven.as_mut().expect("it lives");
        match turn(driven) {
            Err(_) if member.is_failing => {
                drop(context);
                // What was done before the write that failed may be answered.
                self.look_at(position)?;
                if self.members[position].driven.is_some() {
                    self.kill(position, "ends by its disk");
                }
                Ok(true)
            }
            other => other.map_err(fault),
        }
    }

    fn work(&mut self, position: usize) -> Result<bool, Violation> {
        let choice = self.rng.random_range(0..usize::MAX);
        let _context = self.runtime.enter();
        let work = self.members[position].work.clone();
        let has_work = !work.is_empty();
        work.work(choice);
        Ok(has_work)
    }

    fn let_time_pass(&mut self) -> Result<(), Violation> {
        let by_ms = self.rng.random_range(1..=self.time_max_ms);
        self.time.advance(by_ms);
        let now_ms = self.time.now_ms();
        self.trace.note(format_args!("{now_ms} ms"));
        Ok(())
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
