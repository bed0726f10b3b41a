//! The thread that owns the state machine: it takes committed entries, and produces state, events
//! and replies.
//!
//! ```text
//! entries ─▶ Machine::apply each ─▶ Machine::commit, one write ─▶ ring ─▶ leases ─▶
//!   with their slots                                           applied index ─▶ answers
//! ```
//!
//! Entries are applied in one way, on a leader with waiting clients as on a follower or after a
//! restart with none: an entry comes with its reply slots, or with an empty list. Commands that
//! were proposed through this member and put into the log by another member are kept in
//! [`Forwarded`], by request id. All queued work, within bounds, shares one engine write.
//!
//! The order of the last four steps follows from their guarantees. The state is readable before any
//! client is notified of it. Watchers may see a write before its writer gets the answer, but never
//! a write that cannot be read. A lease can be kept alive by the time its grant is answered. The
//! answers come last.
//!
//! Between batches, and while it has no other work, the applier takes steps of physical compaction.
//! A step is bounded, so a batch waits for at most one step.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvError, TryRecvError};
use std::time::Duration;

use conclave_proto::peer::Refusal;
use conclave_storage::engine::Engine;
use conclave_storage::machine::{Machine, Outcome};
use conclave_storage::reader::Reader;
use conclave_storage::{Fault, Index, MemberId, RequestId, Term};

use crate::answers;
use crate::clock::Stopwatch;
use crate::consensus::{CommittedEntry, Position};
use crate::forwarded::Forwarded;
use crate::housekeeper::Tally;
use crate::lease::Leases;
use crate::limits;
use crate::logins::Logins;
use crate::mailbox::Mailbox;
use crate::observe::{AppliedCommand, Observation, Observer};
use crate::progress::Progress;
use crate::proposal::{Answer, Proposal, Replying, Slot};
use crate::trace::Span;
use crate::watch::Publisher;

pub(crate) mod entry;

pub use entry::SkippedEntry;

/// A batch that takes longer counts as slow: etcd's limit for one entry.
const SLOW: Duration = Duration::from_millis(100);

/// Work that the driver gives to the applier, in order.
pub(crate) enum ToApply {
    /// A committed entry, with the proposals that wait for its commands' outcomes: the commands of
    /// this member that were put into the log here, in order.
    Entry {
        entry: CommittedEntry,
        proposals: Vec<Proposal>,
    },
    /// Commands of this member that were forwarded to the leader of this term, or that were in this
    /// member's log when it stepped down as the leader of this term.
    Forwarded {
        term: Term,
        proposals: Vec<Proposal>,
    },
    /// The leader refused some of the forwarded commands.
    Refused(Refusal),
    /// Drop forwarded commands whose callers have given up.
    Sweep,
    /// A snapshot was installed: continue on this engine.
    Install {
        engine: Arc<dyn Engine>,
        index: Index,
    },
}

/// Owns the [`Machine`] and runs its thread, one turn at a time.
pub(crate) struct Applier {
    pub(crate) member_id: MemberId,
    pub(crate) machine: Machine,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) forwarded: Forwarded,
    pub(crate) reader: Reader,
    pub(crate) publisher: Publisher,
    pub(crate) progress: Arc<Progress>,
    pub(crate) leases: Leases,
    pub(crate) logins: Logins,
    pub(crate) tally: Arc<Tally>,
    pub(crate) observer: Arc<dyn Observer>,
    /// Entries to skip.
    pub(crate) skipped: Vec<SkippedEntry>,
    /// There may be something to compact. True at first, because a compaction may have been in
    /// progress when the member stopped.
    pub(crate) is_compacting: bool,
    pub(crate) inbox: Receiver<Vec<ToApply>>,
    /// The runtime of the tasks that wait for answers.
    pub(crate) runtime: tokio::runtime::Handle,
}

/// Applied work gathered for one engine write.
#[derive(Default)]
struct Batch {
    index: Index,
    commands: Vec<AppliedCommand>,
    bytes: usize,
    answers: Vec<Applied>,
}

/// A command of this member that was applied, until it is answered.
struct Applied {
    slot: Slot,
    outcome: Outcome,
    /// The span of its way to the outcome, and in it the one of its being applied.
    span: Span,
    applying: Span,
}

impl Applier {
    /// Runs the applier's thread, one turn after another. Ends when the driver has dropped its end
    /// of the queue and everything queued is applied.
    pub(crate) fn run(mut self) -> Result<(), Fault> {
        let progress = Arc::clone(&self.progress);
        let turns = progress.applier_turns();
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
            turns.count(|| self.turn(work))?;
        }
    }

    /// Must be called once, before the first turn.
    pub(crate) fn begin(&self) {
        if !self.reader.alarms().is_empty() {
            self.log_alarms();
        }
    }

    /// Applies this work and more queued work, within the bounds of a batch, and takes a step of
    /// physical compaction if there is something to compact. Never blocks.
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

    /// Takes a turn with the queued work. Returns false if there was nothing to do.
    pub(crate) fn turn_now(&mut self) -> Result<bool, Fault> {
        let work = self.inbox.try_recv().ok();
        let has_work = work.is_some() || self.is_compacting;
        self.turn(work)?;
        Ok(has_work)
    }

    /// Applies work to the batch. Returns true if there may be something to compact, independent of
    /// the batch.
    fn apply(&mut self, work: Vec<ToApply>, batch: &mut Batch) -> Result<bool, Fault> {
        let mut may_compact = false;
        for item in work {
            match item {
                ToApply::Entry { entry, proposals } => {
                    if let Some(skipped) = entry::to_skip(&self.skipped, entry.position.index) {
                        // The batch so far belongs to the entries before this one.
                        may_compact |= self.commit(std::mem::take(batch))?;
                        self.skip(&entry, skipped)?;
                        continue;
                    }
                    self.apply_entry(&entry, proposals, batch)?;
                }
                ToApply::Forwarded { term, proposals } => self.forwarded.add(term, proposals),
                ToApply::Refused(refusal) => self.forwarded.refused(&refusal, &self.mailbox),
                ToApply::Sweep => self.forwarded.sweep(),
                ToApply::Install { engine, index } => {
                    // The batch so far belongs to the state that is being replaced.
                    self.commit(std::mem::take(batch))?;
                    self.install(engine, index)?;
                    // The snapshot may have been taken in the middle of a compaction.
                    may_compact = true;
                }
            }
        }
        Ok(may_compact)
    }

    /// Skips an entry. Callers of its commands get an error: the outcome is unknown.
    fn skip(&mut self, entry: &CommittedEntry, skipped: SkippedEntry) -> Result<(), Fault> {
        let Position { index, term } = entry.position;
        self.forwarded.passed(term, &self.mailbox);
        entry::skip(&mut self.machine, entry, skipped)?;
        self.commit(Batch {
            index,
            ..Batch::default()
        })?;
        // Flush at once, so that no later start meets the entry again and needs the flag.
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
            if done.header.member_id != self.member_id.0 {
                continue;
            }
            let proposal = match placed.next() {
                Some(proposal) => Some(proposal),
                None => self.forwarded.take(RequestId(done.header.request_id)),
            };
            let Some(Proposal { slot, span, .. }) = proposal else {
                continue;
            };
            if let Some(slot) = slot {
                assert_eq!(
                    slot.request_id(),
                    RequestId(done.header.request_id),
                    "the commands of entry {index} are applied in the order they were packed",
                );
                // The slot is found only after the entry was applied.
                let applying = span.child_since("apply", begun);
                applying.set("index", index.0);
                batch.answers.push(Applied {
                    slot,
                    outcome: done.outcome,
                    span,
                    applying,
                });
            }
        }
        Ok(())
    }

    /// Replaces the state. Watchers find that the ring was reset, and read the missed events from
    /// the new state.
    fn install(&mut self, engine: Arc<dyn Engine>, index: Index) -> Result<(), Fault> {
        let before = self.reader.engine();
        let alarms = self.reader.alarms();
        let auth = self.reader.auth_mark();
        self.machine.replace(engine)?;
        if self.reader.auth_mark() != auth {
            // Among the skipped entries may be some that end logins.
            self.logins.clear();
        }
        if self.reader.alarms() != alarms {
            self.log_alarms();
        }
        before.discard();
        self.forwarded.lost();
        self.publisher.publish(&[], self.reader.applied());
        self.set_applied(index);
        Ok(())
    }

    /// Publishes the applied index and wakes the tasks that wait for it, mostly linearizable reads.
    fn set_applied(&self, index: Index) {
        let reached = self.progress.set_applied(index);
        answers::answer_each(&self.runtime, reached, |waiter| {
            // The task may have given up meanwhile.
            let _ = waiter.send(());
        });
    }

    /// Logs the raised alarms. Every member logs them, independent of the member that raised or
    /// disarmed one.
    fn log_alarms(&self) {
        let alarms = self.reader.alarms();
        if alarms.is_empty() {
            tracing::info!("no alarm is raised any more");
        }
        for alarm in alarms {
            let member = MemberId(alarm.member_id).to_string();
            tracing::warn!(
                member,
                alarm = alarm.alarm().as_str_name(),
                "an alarm is raised"
            );
        }
    }

    /// Writes, publishes and answers. Returns true if there is something to compact.
    fn commit(&mut self, batch: Batch) -> Result<bool, Fault> {
        if batch.index == Index::NONE {
            return Ok(false);
        }
        let begun = Stopwatch::start();
        let was_enabled = self.reader.auth_mark().is_enabled();
        let effects = self.machine.commit_with(|effects| {
            // Before the commit is published: a reader that sees a new password finds no login with
            // the old one.
            self.logins.applied(&effects.logins);
        })?;
        let commit_took = begun.elapsed();
        if effects.members_changed {
            // Other members ask which members have started and which were removed. The answer must
            // survive a crash: after a crash the log is applied again, and the others may ask
            // before that is done.
            self.reader.engine().flush()?;
        }
        if let Some(revision) = effects.compacted {
            let revision = revision.0;
            tracing::info!(revision, "the history before this revision is compacted");
        }
        if effects.alarms_changed {
            self.log_alarms();
        }
        match (was_enabled, self.reader.auth_mark().is_enabled()) {
            (false, true) => tracing::info!("authentication is enabled"),
            (true, false) => {
                tracing::warn!("authentication is disabled: any client may do anything")
            }
            (false, false) | (true, true) => {}
        }
        self.publisher
            .publish(&effects.changes, self.reader.applied());
        self.leases.applied(&effects.leases);
        self.set_applied(batch.index);
        self.tally
            .add(batch.commands.len() as u64, batch.bytes as u64);
        self.observer.observe(Observation::Applied {
            commands: &batch.commands,
            commit_took,
        });
        // Return each command's outcome to its caller.
        answers::answer_each(&self.runtime, batch.answers, |applied| {
            let Applied {
                slot,
                outcome,
                span,
                applying,
            } = applied;
            drop(applying);
            slot.answer(Answer::Outcome(outcome, Replying::begin(span)));
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
