//! What goes wrong: power, disks, links, pauses; and what is mended.

use conclave_storage::Index;
use rand::Rng as _;

use super::{Seen, World};
use crate::oracle::Violation;

impl World {
    pub(super) fn crash(&mut self) -> Result<(), Violation> {
        let position = self.pick();
        if self.members[position].driven.is_some() {
            self.kill(position, "loses its power");
        }
        Ok(())
    }

    /// Ends a process. Of the writes that were not synced, the first few are on the disks.
    pub(super) fn kill(&mut self, position: usize, how: &str) {
        let (log_kept, state_kept) = (self.rng.random(), self.rng.random());
        let member = &mut self.members[position];
        self.trace.note(format_args!("{} {how}", member.id));
        let _context = self.runtime.enter();
        member.crash(&self.network, log_kept, state_kept);
        self.seen[position] = Seen::default();
    }

    /// One of the next writes of a member fails, and its process ends by it.
    pub(super) fn fail_disk(&mut self) -> Result<(), Violation> {
        let (position, is_log) = (self.pick(), self.rng.random());
        let after_writes = self.rng.random_range(0..6);
        let member = &mut self.members[position];
        if member.driven.is_some() {
            member.fail(is_log, after_writes);
            self.trace.note(format_args!(
                "a disk of {} fails after {after_writes} writes; its log's: {is_log}",
                member.id
            ));
        }
        Ok(())
    }

    /// The log of a member that puts a snapshot in place may fail in the middle of that.
    pub(super) fn write_some_log(&mut self) -> Result<(), Violation> {
        let position = self.pick();
        let member = &mut self.members[position];
        if self.weights.fail_disk > 0
            && member.driven.is_some()
            && self.network.is_receiver(member.id)
            && self.rng.random_range(0..2) == 0
        {
            member.fail(true, self.rng.random_range(0..2));
        }
        self.turn_of(position, "writes its log", World::write_log)
    }

    /// A bit of a log flips, while its member does not live. A minority may be lost so.
    pub(super) fn damage(&mut self) -> Result<(), Violation> {
        let (position, seed) = (self.pick(), self.rng.random());
        let lost = self.members.iter().filter(|member| member.is_damaged);
        let bearable = (self.cluster.founders - 1) / 2;
        if lost.count() as u64 >= bearable || self.members[position].is_damaged {
            return Ok(());
        }
        if self.members[position].driven.is_some() {
            self.kill(position, "loses its power");
        }
        let member = &mut self.members[position];
        if member.damage(seed) {
            self.trace
                .note(format_args!("a bit of the log of {} flips", member.id));
        }
        Ok(())
    }

    pub(super) fn start_one(&mut self) -> Result<(), Violation> {
        let position = self.pick();
        self.start(position);
        Ok(())
    }

    /// Starts a process, unless it runs. A member that was added starts as soon as another one
    /// lists it.
    pub(super) fn start(&mut self, position: usize) {
        if self.members[position].driven.is_some() || self.members[position].is_gone {
            return;
        }
        let id = self.members[position].id;
        let mut living = self
            .members
            .iter()
            .filter_map(|other| other.driven.as_ref());
        let listed = living.find_map(|driven| {
            let members = driven.handle().reader().members();
            let is_listed = members.iter().any(|member| member.id == id.0);
            is_listed.then_some(members)
        });
        let _context = self.runtime.enter();
        let member = &mut self.members[position];
        self.half_installed += u64::from(member.is_half_installed());
        member.start(&self.network, listed);
        match &member.driven {
            Some(_) => self.trace.note(format_args!("{id} starts")),
            None if member.is_damaged => self.trace.note(format_args!("{id} refuses its log")),
            None => {}
        }
        self.seen[position] = Seen {
            revision: 2,
            index: Index(2),
            ..Seen::default()
        };
    }

    pub(super) fn cut(&mut self) -> Result<(), Violation> {
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

    /// Cuts a member off from all others.
    pub(super) fn isolate(&mut self) -> Result<(), Violation> {
        let position = self.pick();
        let id = self.members[position].id;
        for other in &self.members {
            self.network.cut(id, other.id);
            self.network.cut(other.id, id);
        }
        self.trace.note(format_args!("{id} is cut off"));
        Ok(())
    }

    pub(super) fn heal(&mut self) -> Result<(), Violation> {
        self.network.heal();
        self.network.dial();
        self.trace.note(format_args!("every link works"));
        Ok(())
    }

    pub(super) fn pause(&mut self) -> Result<(), Violation> {
        let (position, for_ms) = (self.pick(), self.rng.random_range(20..2_000));
        let member = &mut self.members[position];
        member.paused_until_ms = self.time.now_ms() + for_ms;
        self.trace
            .note(format_args!("{} pauses for {for_ms} ms", member.id));
        Ok(())
    }
}
