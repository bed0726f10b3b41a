//! The thread that owns the consensus: it takes what arrived, asks the [`Node`] what to do, and
//! does it.
//!
//! ```text
//! mailbox ─▶ pending ─pack─▶ Node ─▶ Work ─┬─▶ peers
//!   ▲                                       ├─▶ log: by itself, or through the log writer ─┐
//!   │                                       └─▶ committed entries, with slots ─▶ applier   │
//!   └───────────────────────────── persisted ──────────────────────────────────────────────┘
//! ```
//!
//! # Group commit
//!
//! While a sync runs nothing is proposed, unless there is enough for a full entry. Commands gather
//! in the mailbox, which does not wake the driver for them, and when the sync ends they become one
//! entry with one sync. So the batch size follows the load and the disk by itself, with no timer:
//! one client alone never waits for company, and a thousand share.
//!
//! A sole voter has no reason to overlap anything with its own sync, so there the driver calls the
//! log by itself, in this thread: two wake-ups less for each entry. The applier still works beside
//! it.
//!
//! # Reply slots
//!
//! The slots of a pack are queued with the position the pack was given ([`Placed`]). Raft commits
//! in index order, so the front of the queue is always the next to meet its entry; same index and
//! same term, and the slots travel on with the entry. If the leader's place is lost they are told
//! so at once: their commands may still commit, under another leader, but nobody here will know.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use conclave_proto::ApiError;
use conclave_proto::peer::{Parcel, parcel::Content};
use conclave_storage::Fault;
use conclave_storage::log::{Append, EntryKind, Log};

use crate::applier::ToApply;
use crate::clock::{Clock, Moment};
use crate::consensus::reads::Reads;
use crate::consensus::{CommittedEntry, Node, Position, Standing, Work, codec};
use crate::handle::{Answer, Slot};
use crate::leadership::Leases;
use crate::limits;
use crate::log_writer::{self, Numbered};
use crate::mailbox::{Control, Mail, Mailbox, Proposal, ReadSlot, Waiting};
use crate::metrics::Stats;
use crate::peers::Peers;
use crate::progress::Progress;

/// What the driver is given to work with.
pub(crate) struct Parts {
    pub(crate) node: Node,
    pub(crate) log: Arc<Log>,
    pub(crate) log_writer: SyncSender<Numbered>,
    pub(crate) applier: SyncSender<Vec<ToApply>>,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) peers: Arc<dyn Peers>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) leases: Leases,
    pub(crate) reads: Reads<ReadSlot>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) tick: Duration,
    /// False: `--unsafe-no-fsync`.
    pub(crate) sync: bool,
}

/// See the module.
pub(crate) struct Driver {
    parts: Parts,
    standing: Standing,
    next_tick: Moment,
    /// Taken from the mailbox, not proposed yet.
    pending: VecDeque<Proposal>,
    /// Proposed, not committed yet, in log order.
    placed: VecDeque<Placed>,
    /// The last work given to the log writer, and the last it has confirmed.
    written: u64,
    confirmed: u64,
}

struct Placed {
    position: Position,
    slots: Vec<Slot>,
}

impl Driver {
    pub(crate) fn new(parts: Parts) -> Driver {
        let next_tick = parts.clock.now().after(parts.tick);
        Driver {
            parts,
            standing: Standing::default(),
            next_tick,
            pending: VecDeque::new(),
            placed: VecDeque::new(),
            written: 0,
            confirmed: 0,
        }
    }

    /// Runs until the mailbox is closed.
    pub(crate) fn run(mut self) -> Result<(), Fault> {
        if self.parts.node.standing().is_sole_voter {
            // Nobody else could be leader: why wait for an election timeout?
            self.parts.node.campaign();
        }
        loop {
            self.settle()?;
            let mail = self
                .parts
                .mailbox
                .take(self.waiting_for(), self.until_tick());
            let closed = mail.closed;
            self.take_in(mail)?;
            if closed {
                return Ok(());
            }
            self.tick();
            self.follow_standing();
            self.propose();
        }
    }

    /// Does all there is to do, with what that makes possible.
    fn settle(&mut self) -> Result<(), Fault> {
        loop {
            self.follow_standing();
            self.do_work()?;
            if !self.ask_for_reads() {
                return Ok(());
            }
        }
    }

    /// While the log writer is busy, commands may gather.
    fn waiting_for(&self) -> Waiting {
        if self.is_writing() {
            Waiting::Control
        } else {
            Waiting::Everything
        }
    }

    fn until_tick(&self) -> Duration {
        self.next_tick.since(self.parts.clock.now())
    }

    fn is_writing(&self) -> bool {
        self.confirmed < self.written
    }

    fn take_in(&mut self, mail: Mail) -> Result<(), Fault> {
        for control in mail.control {
            match control {
                Control::Persisted(number) => {
                    self.confirmed = number;
                    self.parts.node.persisted(number);
                }
                Control::Durable {
                    applied,
                    compact_through,
                } => {
                    self.compact_log(applied, compact_through)?;
                }
                Control::Parcel { from, parcel } => self.take_parcel(from, parcel),
                Control::PeerClosed(_)
                | Control::PeerUnreachable(_)
                | Control::SnapshotSent { .. }
                | Control::SnapshotReceived(_) => {}
            }
        }
        if !mail.commands.is_empty() {
            self.pending.extend(mail.commands);
        }
        if !mail.reads.is_empty() {
            self.parts.reads.add(mail.reads);
        }
        Ok(())
    }

    fn take_parcel(&mut self, from: u64, parcel: Parcel) {
        let Some(Content::Raft(message)) = parcel.content else {
            return;
        };
        if self.parts.node.step(&message).is_err() {
            tracing::warn!(from, "a peer sent what is no raft message");
        }
    }

    /// At most one tick at a time: a thread that was held up for a second must not make up for it
    /// by an election.
    fn tick(&mut self) {
        let now = self.parts.clock.now();
        if now < self.next_tick {
            return;
        }
        self.next_tick = now.after(self.parts.tick);
        self.parts.node.applied(self.parts.progress.applied());
        self.parts.node.tick();
        self.parts.reads.tick();
        // Those who gave up need not wait for a leader any longer.
        self.parts.reads.retain(|slot| !slot.is_closed());
        self.pending
            .retain(|proposal| !proposal.slot.is_abandoned());
    }

    /// Publishes who leads and does what goes with a change of it.
    fn follow_standing(&mut self) {
        let standing = self.parts.node.standing();
        if standing == self.standing {
            return;
        }
        let before = std::mem::replace(&mut self.standing, standing);
        let same_reign = before.is_leader && standing.is_leader && before.term == standing.term;
        if !same_reign {
            self.parts.progress.close_reads();
            for placed in self.placed.drain(..) {
                answer_all(placed.slots, || Answer::Lost(ApiError::LeaderChanged));
            }
        }
        if standing.is_leader && !same_reign {
            tracing::info!(term = standing.term, "this member leads");
            self.parts.leases.promoted();
        } else if before.is_leader && !standing.is_leader {
            tracing::info!(
                term = standing.term,
                leader = standing.leader,
                "this member leads no more"
            );
            self.parts.leases.demoted();
        }
        if standing.is_leader && standing.is_sole_voter {
            self.parts
                .progress
                .open_reads_from(self.parts.node.term_start());
        } else {
            self.parts.progress.close_reads();
        }
        self.parts.reads.standing_changed(standing);
        self.parts.progress.set_standing(standing);
    }

    /// Packs pending commands into entries.
    fn propose(&mut self) {
        if !self.standing.is_leader {
            // With no leader they wait for one, or for their deadline. With another, they are for
            // its ears.
            if self.standing.leader != 0 {
                for proposal in self.pending.drain(..) {
                    proposal.slot.answer(Answer::Refused(ApiError::NotLeader));
                }
            }
            return;
        }
        while !self.pending.is_empty() {
            let (count, is_full) = next_pack(&self.pending);
            if self.is_writing() && !is_full {
                return;
            }
            let payload = codec::pack(self.pending.iter().take(count).map(|p| &p.framed));
            let slots = self
                .pending
                .drain(..count)
                .map(|proposal| proposal.slot)
                .collect();
            match self.parts.node.propose(payload) {
                Some(position) => self.placed.push_back(Placed { position, slots }),
                None => answer_all(slots, || Answer::Refused(ApiError::RequestTooManyRequests)),
            }
        }
    }

    /// Begins a round of reads. True if one was begun.
    fn ask_for_reads(&mut self) -> bool {
        let node = &mut self.parts.node;
        if self.standing.is_leader && node.committed_index() < node.term_start() {
            // Raft would drop it without a word.
            return false;
        }
        let context = self.parts.reads.begin(self.standing);
        context.map(|context| node.read_index(context)).is_some()
    }

    fn do_work(&mut self) -> Result<(), Fault> {
        while let Some(work) = self.parts.node.work() {
            self.follow_standing();
            let Work {
                number,
                append,
                messages,
                committed,
                reads,
            } = work;
            for outgoing in messages {
                let content = Some(Content::Raft(outgoing.message));
                self.parts.peers.send(outgoing.to, Parcel { content });
            }
            for read in reads {
                for slot in self.parts.reads.answered(&read.context, self.standing) {
                    // Nobody listening is nobody's loss.
                    let _ = slot.send(Ok(read.index));
                }
            }
            self.hand_over(committed)?;
            if let Some(append) = append {
                self.append(number, append)?;
            }
            self.parts
                .progress
                .set_committed(self.parts.node.committed_index());
        }
        Ok(())
    }

    fn append(&mut self, number: u64, mut append: Append) -> Result<(), Fault> {
        append.sync &= self.parts.sync;
        if self.standing.is_sole_voter && !self.is_writing() {
            log_writer::timed(&self.parts.log, &append, &self.parts.stats)?;
            self.parts.node.persisted(number);
            return Ok(());
        }
        self.written = number;
        // The other end is gone only after a fault, which is reported there and ends this thread by
        // the mailbox.
        let _ = self.parts.log_writer.send((number, append));
        Ok(())
    }

    /// Gives committed entries, each with its slots, to the applier.
    fn hand_over(&mut self, committed: Vec<CommittedEntry>) -> Result<(), Fault> {
        if committed.is_empty() {
            return Ok(());
        }
        let mut batch = Vec::with_capacity(committed.len());
        for entry in committed {
            if entry.kind != EntryKind::Normal {
                self.change_members(&entry)?;
            }
            let slots = self.slots_of(entry.position);
            batch.push(ToApply { entry, slots });
        }
        // As above. The slots are dropped: their callers learn that the server stopped.
        let _ = self.parts.applier.send(batch);
        Ok(())
    }

    fn slots_of(&mut self, position: Position) -> Vec<Slot> {
        let Some(placed) = self
            .placed
            .pop_front_if(|p| p.position.index <= position.index)
        else {
            return Vec::new();
        };
        if placed.position == position {
            return placed.slots;
        }
        answer_all(placed.slots, || Answer::Lost(ApiError::LeaderChanged));
        Vec::new()
    }

    /// The configuration is on disk before the entry that made it is applied: the state's applied
    /// index must never be past a change that the log's configuration does not have.
    fn change_members(&mut self, entry: &CommittedEntry) -> Result<(), Fault> {
        self.parts.progress.close_reads();
        match self.parts.node.apply_change(entry) {
            Ok(conf_state) => {
                let append = Append {
                    entries: Vec::new(),
                    hard_state: None,
                    conf_state: Some(conf_state),
                    sync: self.parts.sync,
                };
                self.parts.log.append(&append)?;
            }
            Err(_) => tracing::warn!(
                index = entry.position.index,
                "a membership change in the log is not one this release can make"
            ),
        }
        // Whether reads may go on without asking is decided anew.
        self.standing = Standing {
            is_sole_voter: false,
            ..self.standing
        };
        self.follow_standing();
        Ok(())
    }

    fn compact_log(&mut self, applied: u64, through: u64) -> Result<(), Fault> {
        self.parts.node.applied(applied);
        if through < self.parts.node.first_index() {
            return Ok(());
        }
        self.parts.node.compact(through);
        self.parts.log.compact(through)?;
        tracing::debug!(through, "the raft log is compacted");
        Ok(())
    }
}

impl Drop for Driver {
    /// The end, by whatever way it came, a panic included: what is not in the log is refused. What
    /// is there but not committed is dropped with its slots, whose callers are told that nobody
    /// knows.
    fn drop(&mut self) {
        self.parts.mailbox.close();
        let mail = self.parts.mailbox.take(Waiting::Everything, Duration::ZERO);
        for proposal in self.pending.drain(..).chain(mail.commands) {
            proposal.slot.answer(Answer::Refused(ApiError::Stopped));
        }
        for slot in self.parts.reads.drain().into_iter().chain(mail.reads) {
            let _ = slot.send(Err(ApiError::Stopped));
        }
    }
}

/// How many of the pending commands go into the next entry, and whether it is full with them.
fn next_pack(pending: &VecDeque<Proposal>) -> (usize, bool) {
    let mut bytes = 0;
    for (count, proposal) in (1..).zip(pending) {
        bytes += proposal.framed.len();
        if bytes >= limits::ENTRY_BYTES_MAX || count >= limits::ENTRY_COMMANDS_MAX {
            return (count, true);
        }
    }
    (pending.len(), false)
}

fn answer_all(slots: Vec<Slot>, answer: impl Fn() -> Answer) {
    for slot in slots {
        slot.answer(answer());
    }
}
