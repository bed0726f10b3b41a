//! The thread that owns the state machine: committed entries in, state, events and replies out.
//!
//! ```text
//! entries ─▶ Machine::apply each ─▶ Machine::commit, one write ─▶ ring ─▶ leases ─▶
//!   with their slots                                           applied index ─▶ answers
//! ```
//!
//! There is one way to apply, for a leader with clients waiting and for a follower or a restart
//! with none: an entry comes with its reply slots, or with an empty list of them. All that has
//! queued up, within bounds, shares one engine write.
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

use conclave_storage::Fault;
use conclave_storage::log::EntryKind;
use conclave_storage::machine::{Machine, Outcome};
use conclave_storage::reader::Reader;

use crate::consensus::CommittedEntry;
use crate::handle::{Answer, Slot};
use crate::housekeeper::Tally;
use crate::leadership::Leases;
use crate::limits;
use crate::metrics::Stats;
use crate::progress::Progress;
use crate::watch::Publisher;

/// So few are answered where they are: another task would only make them wait for its turn.
const ANSWERS_FROM_HERE_MAX: usize = 2;

/// A committed entry and who waits for its commands' outcomes: nobody, or one slot a command, in
/// order.
#[derive(Debug)]
pub(crate) struct ToApply {
    pub(crate) entry: CommittedEntry,
    pub(crate) slots: Vec<Slot>,
}

/// See the module.
pub(crate) struct Applier {
    pub(crate) machine: Machine,
    pub(crate) reader: Reader,
    pub(crate) publisher: Publisher,
    pub(crate) progress: Arc<Progress>,
    pub(crate) leases: Leases,
    pub(crate) tally: Arc<Tally>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) inbox: Receiver<Vec<ToApply>>,
    /// Where those who wait for answers run.
    pub(crate) runtime: tokio::runtime::Handle,
}

/// What is gathered for one engine write.
#[derive(Default)]
struct Batch {
    index: u64,
    commands: usize,
    bytes: usize,
    answers: Vec<(Slot, Outcome)>,
}

impl Applier {
    /// Runs until the driver drops its end of the queue, and everything queued is applied.
    pub(crate) fn run(mut self) -> Result<(), Fault> {
        // A compaction may have been under way when the member stopped.
        let mut compacting = true;
        while let Some(entries) = self.receive(&mut compacting)? {
            let mut batch = Batch::default();
            self.apply(entries, &mut batch)?;
            while batch.has_room()
                && let Ok(more) = self.inbox.try_recv()
            {
                self.apply(more, &mut batch)?;
            }
            compacting |= self.commit(batch)?;
        }
        Ok(())
    }

    /// The next entries. While there is something to compact, does that instead of waiting.
    fn receive(&mut self, compacting: &mut bool) -> Result<Option<Vec<ToApply>>, Fault> {
        while *compacting {
            *compacting = self.machine.compact_step()?;
            self.progress.compaction_stepped();
            match self.inbox.try_recv() {
                Ok(entries) => return Ok(Some(entries)),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return Ok(None),
            }
        }
        match self.inbox.recv() {
            Ok(entries) => Ok(Some(entries)),
            Err(RecvError) => Ok(None),
        }
    }

    fn apply(&mut self, entries: Vec<ToApply>, batch: &mut Batch) -> Result<(), Fault> {
        for ToApply { entry, slots } in entries {
            let outcomes = self.apply_entry(&entry)?;
            batch.index = entry.position.index;
            batch.commands += outcomes.len();
            batch.bytes += entry.payload.len();
            if slots.is_empty() {
                continue;
            }
            assert_eq!(
                slots.len(),
                outcomes.len(),
                "entry {} has as many outcomes as it was packed from commands",
                entry.position.index,
            );
            batch.answers.extend(slots.into_iter().zip(outcomes));
        }
        Ok(())
    }

    fn apply_entry(&mut self, entry: &CommittedEntry) -> Result<Vec<Outcome>, Fault> {
        let position = entry.position;
        match entry.kind {
            EntryKind::Normal => self
                .machine
                .apply(position.index, position.term, &entry.payload),
            // Nobody proposes membership changes yet; one that was made must still move the applied
            // index.
            EntryKind::ConfChange | EntryKind::ConfChangeV2 => {
                self.machine
                    .apply(position.index, position.term, &bytes::Bytes::new())
            }
        }
    }

    /// Writes, publishes, answers. True if there is something to compact.
    fn commit(&mut self, batch: Batch) -> Result<bool, Fault> {
        let effects = {
            let _timer = self.stats.backend_commit.start_timer();
            self.machine.commit()?
        };
        self.publisher
            .publish(&effects.changes, self.reader.applied());
        self.leases.applied(&effects.leases);
        self.progress.set_applied(batch.index);
        self.tally.add(batch.commands as u64, batch.bytes as u64);
        self.answer(batch.answers);
        Ok(effects.compacted.is_some())
    }

    /// To wake a task from outside the runtime costs a lock and perhaps a system call; from inside,
    /// next to nothing. So a batch of any size costs the first only once.
    fn answer(&self, answers: Vec<(Slot, Outcome)>) {
        if answers.len() <= ANSWERS_FROM_HERE_MAX {
            answer_each(answers);
        } else {
            self.runtime.spawn(async move { answer_each(answers) });
        }
    }
}

/// Tells each caller what became of its command.
fn answer_each(answers: Vec<(Slot, Outcome)>) {
    for (slot, outcome) in answers {
        slot.answer(Answer::Outcome(outcome));
    }
}

impl Batch {
    fn has_room(&self) -> bool {
        self.commands < limits::APPLY_BATCH_COMMANDS_MAX
            && self.bytes < limits::APPLY_BATCH_BYTES_MAX
    }
}
