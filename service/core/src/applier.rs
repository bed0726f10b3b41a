//! The thread that owns the state machine: committed entries in, state, events and replies out.
//!
//! ```text
//! entries ─▶ Machine::apply each ─▶ Machine::commit, one write ─▶ ring ─▶ leases ─▶
//!   with their slots                                           applied index ─▶ answers
//! ```
//!
//! There is one way to apply, for a leader with clients waiting and for a follower or a restart
//! with none: an entry comes with its reply slots, or with an empty list of them. Commands that are
//! proposed through this member and put into the log by another are kept in [`Forwarded`], by name.
//! All that has queued up, within bounds, shares one engine write.
//!
//! The order of the last four steps is the order of what they promise. The state is readable before
//! anyone is told of it; watchers may hear of a write before its writer does, but never of one that
//! cannot be read; a lease can be kept alive by the time its grant is answered; and the answers
//! come last.
//!
//! Between batches, and for as long as nothing else is to do, the applier takes steps of physical
//! compaction. A step is bounded, so a batch waits for one at most.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvError, TryRecvError};
use std::time::Duration;

use conclave_proto::peer::Refusal;
use conclave_storage::Fault;
use conclave_storage::engine::Engine;
use conclave_storage::machine::{Machine, Outcome};
use conclave_storage::reader::Reader;

use crate::answers;
use crate::clock::Stopwatch;
use crate::consensus::{CommittedEntry, Position};
use crate::forwarded::Forwarded;
use crate::housekeeper::Tally;
use crate::lease::Leases;
use crate::limits;
use crate::mailbox::Mailbox;
use crate::observe::{AppliedCommand, Observation, Observer};
use crate::progress::Progress;
use crate::proposal::{Answer, Proposal, Slot};
use crate::watch::Publisher;

pub(crate) mod entry;

pub use entry::SkippedEntry;

/// A batch that takes longer is counted as slow: etcd's measure for an entry.
const SLOW: Duration = Duration::from_millis(100);

/// What the driver gives to the applier, in order.
pub(crate) enum ToApply {
    /// A committed entry, and who waits for the outcomes of commands in it: those of this member
    /// that were put into the log here, in order.
    Entry {
        entry: CommittedEntry,
        proposals: Vec<Proposal>,
    },
    /// Commands of this member that are on their way into the log elsewhere, or were when this
    /// member lost its place as the leader of this term.
    Forwarded { term: u64, proposals: Vec<Proposal> },
    /// Some of those that the leader did not take.
    Refused(Refusal),
    /// Some of those may be waited for by nobody any more.
    Sweep,
    /// The state goes on in another engine.
    Install { engine: Arc<dyn Engine>, index: u64 },
}

/// See the module.
pub(crate) struct Applier {
    pub(crate) member_id: u64,
    pub(crate) machine: Machine,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) forwarded: Forwarded,
    pub(crate) reader: Reader,
    pub(crate) publisher: Publisher,
    pub(crate) progress: Arc<Progress>,
    pub(crate) leases: Leases,
    pub(crate) tally: Arc<Tally>,
    pub(crate) observer: Arc<dyn Observer>,
    /// Entries to go on without.
    pub(crate) skipped: Vec<SkippedEntry>,
    /// There may be something to compact. A compaction may have been under way when the member
    /// stopped, so it is true at first.
    pub(crate) is_compacting: bool,
    pub(crate) inbox: Receiver<Vec<ToApply>>,
    /// Where those who wait for answers run.
    pub(crate) runtime: tokio::runtime::Handle,
}

/// What is gathered for one engine write.
#[derive(Default)]
struct Batch {
    index: u64,
    commands: Vec<AppliedCommand>,
    bytes: usize,
    answers: Vec<(Slot, Outcome)>,
}

impl Applier {
    /// The thread around the turns. Ends when the driver has dropped its end of the queue and
    /// everything queued is applied.
    pub(crate) fn run(mut self) -> Result<(), Fault> {
        self.begin();
        loop {
            let work = match self.inbox.try_recv() {
                Ok(work) => Some(work),
                Err(TryRecvError::Empty) if self.is_compacting => None,
                Err(TryRecvError::Empty) => match self.inbox.recv() {
                    Ok(work) => Some(work),
                    Err(RecvError) => return Ok(()),
                },
                Err(TryRecvError::Disconnected) => return Ok(()),
            };
            self.turn(work)?;
        }
    }

    /// To be called once, before the first turn.
    pub(crate) fn begin(&self) {
        if !self.reader.alarms().is_empty() {
            self.log_alarms();
        }
    }

    /// Applies this work and what else is queued, within the bounds of a batch; and takes a step of
    /// physical compaction, if there is something to compact. Never blocks.
    pub(crate) fn turn(&mut self, work: Option<Vec<ToApply>>) -> Result<(), Fault> {
        if let Some(work) = work {
            let begun = Stopwatch::start();
            let mut batch = Batch::default();
            self.is_compacting |= self.apply(work, &mut batch)?;
            while batch.has_room()
                && let Ok(more) = self.inbox.try_recv()
            {
                self.is_compacting |= self.apply(more, &mut batch)?;
            }
            self.is_compacting |= self.commit(batch)?;
            if begun.elapsed() > SLOW {
                self.observer.observe(Observation::SlowApply);
            }
        }
        if self.is_compacting {
            self.is_compacting = self.machine.compact_step()?;
            self.progress.compaction_stepped();
        }
        Ok(())
    }

    /// Takes a turn with whatever is queued. False if there was nothing to do.
    pub(crate) fn turn_now(&mut self) -> Result<bool, Fault> {
        let work = self.inbox.try_recv().ok();
        let has_work = work.is_some() || self.is_compacting;
        self.turn(work)?;
        Ok(has_work)
    }

    /// True if there may be something to compact, which does not come with the batch.
    fn apply(&mut self, work: Vec<ToApply>, batch: &mut Batch) -> Result<bool, Fault> {
        let mut may_compact = false;
        for item in work {
            match item {
                ToApply::Entry { entry, proposals } => {
                    if let Some(named) = entry::named(&self.skipped, entry.position.index) {
                        // What is applied so far belongs to the entries before.
                        may_compact |= self.commit(std::mem::take(batch))?;
                        self.skip(&entry, named)?;
                        continue;
                    }
                    self.apply_entry(&entry, proposals, batch)?;
                }
                ToApply::Forwarded { term, proposals } => self.forwarded.add(term, proposals),
                ToApply::Refused(refusal) => self.forwarded.refused(&refusal, &self.mailbox),
                ToApply::Sweep => self.forwarded.sweep(),
                ToApply::Install { engine, index } => {
                    // What is applied so far belongs to the state that ends here.
                    self.commit(std::mem::take(batch))?;
                    self.install(engine, index)?;
                    // It was taken at some moment, perhaps in the middle of a compaction.
                    may_compact = true;
                }
            }
        }
        Ok(may_compact)
    }

    /// Skips an entry. Callers of commands in it learn that the outcome is unknown.
    fn skip(&mut self, entry: &CommittedEntry, named: SkippedEntry) -> Result<(), Fault> {
        let Position { index, term } = entry.position;
        self.forwarded.passed(term, &self.mailbox);
        entry::skip(&mut self.machine, entry, named)?;
        self.commit(Batch {
            index,
            ..Batch::default()
        })?;
        // Durable at once, so that no later start meets the entry again and needs the flag.
        self.reader.engine().flush()
    }

    fn apply_entry(
        &mut self,
        entry: &CommittedEntry,
        proposals: Vec<Proposal>,
        batch: &mut Batch,
    ) -> Result<(), Fault> {
        let Position { index, term } = entry.position;
        self.forwarded.passed(term, &self.mailbox);
        let begun = Stopwatch::start();
        let done = entry::apply(&mut self.machine, entry)?;
        let took = begun.elapsed() / u32::try_from(done.len().max(1)).unwrap_or(u32::MAX);
        batch.index = index;
        batch.bytes += entry.payload.len();
        let mut placed = proposals.into_iter();
        for done in done {
            batch.commands.push(AppliedCommand {
                kind: done.kind,
                is_ok: done.outcome.is_ok(),
                took,
            });
            if done.member_id != self.member_id {
                continue;
            }
            let proposal = match placed.next() {
                Some(proposal) => Some(proposal),
                None => self.forwarded.take(done.request_id),
            };
            if let Some(slot) = proposal.and_then(|proposal| proposal.slot) {
                assert_eq!(
                    slot.request_id(),
                    done.request_id,
                    "the commands of entry {index} are applied in the order they were packed",
                );
                batch.answers.push((slot, done.outcome));
            }
        }
        Ok(())
    }

    /// Watchers find that the ring begins anew and read what they miss from the new state.
    fn install(&mut self, engine: Arc<dyn Engine>, index: u64) -> Result<(), Fault> {
        let before = self.reader.engine();
        let alarms = self.reader.alarms();
        self.machine.replace(engine)?;
        if self.reader.alarms() != alarms {
            self.log_alarms();
        }
        before.discard();
        self.forwarded.lost();
        self.publisher.publish(&[], self.reader.applied());
        self.progress.set_applied(index);
        Ok(())
    }

    /// On every member, whoever raised or disarmed one.
    fn log_alarms(&self) {
        let alarms = self.reader.alarms();
        if alarms.is_empty() {
            tracing::info!("no alarm is raised any more");
        }
        for alarm in alarms {
            let member = format!("{:x}", alarm.member_id);
            tracing::warn!(
                member,
                alarm = alarm.alarm().as_str_name(),
                "an alarm is raised"
            );
        }
    }

    /// Writes, publishes, answers. True if there is something to compact.
    fn commit(&mut self, batch: Batch) -> Result<bool, Fault> {
        if batch.index == 0 {
            return Ok(false);
        }
        let begun = Stopwatch::start();
        let effects = self.machine.commit()?;
        let commit_took = begun.elapsed();
        if effects.members_changed {
            // Others ask who has started and who was removed. What is known of that must survive a
            // crash: after it the log is applied anew, and they may ask before it is.
            self.reader.engine().flush()?;
        }
        if let Some(revision) = effects.compacted {
            let revision = revision.0;
            tracing::info!(revision, "compacted: what was superseded before is removed");
        }
        if effects.alarms_changed {
            self.log_alarms();
        }
        self.publisher
            .publish(&effects.changes, self.reader.applied());
        self.leases.applied(&effects.leases);
        self.progress.set_applied(batch.index);
        self.tally
            .add(batch.commands.len() as u64, batch.bytes as u64);
        self.observer.observe(Observation::Applied {
            commands: &batch.commands,
            commit_took,
        });
        // Tells each caller what became of its command.
        answers::answer_each(&self.runtime, batch.answers, |(slot, outcome)| {
            slot.answer(Answer::Outcome(outcome));
        });
        Ok(effects.compacted.is_some())
    }
}

impl Batch {
    fn has_room(&self) -> bool {
        self.commands.len() < limits::APPLY_BATCH_COMMANDS_MAX
            && self.bytes < limits::APPLY_BATCH_BYTES_MAX
    }
}
