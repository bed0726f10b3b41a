//! The thread that owns the consensus: it takes incoming mail, asks the [`Node`] for the resulting
//! work, and does that work.
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
//! While a sync runs nothing is proposed, unless the pending commands fill an entry. Commands
//! gather in the mailbox, which does not wake the driver for them. When the sync ends they become
//! one entry with one sync. So the batch size follows the load and the disk without a timer: a
//! single client never waits for other clients, and a thousand clients share one sync.
//!
//! A sole voter has no reason to overlap anything with its own sync, so its driver calls the log
//! directly, in this thread. That saves two wake-ups for each entry. The applier still runs in
//! parallel.
//!
//! # Commands in flight
//!
//! A command that this member put into the log waits in a queue with its position ([`Placed`]).
//! Raft commits in index order, so the front of the queue is always the next command to meet its
//! entry. If index and term are the same, the command's slot goes to the applier with the entry.
//!
//! A follower forwards its commands to the leader in a parcel ([`proposals`]). From then on the
//! applier keeps the forwarded commands until an entry brings their outcome. The same happens to
//! the placed commands of a leader that steps down. A forwarded command is bound to a term: a
//! leader proposes only commands that were sent to it under its own term. So once an entry of a
//! later term is applied, a command forwarded under an earlier term can no longer commit, and the
//! applier returns it to the driver to be proposed again. An election costs a client time, and
//! nothing else.
//!
//! # Snapshots
//!
//! See [`snapshots`], and [`membership`] for changes of the cluster's members.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use conclave_proto::ApiError;
use conclave_proto::peer::{Parcel, parcel::Content};
use conclave_storage::log::{Append, Log};
use conclave_storage::membership::Membership;
use conclave_storage::reader::Reader;
use conclave_storage::state_store::StateStore;
use conclave_storage::{Fault, Index, MemberId};

use crate::answers;
use crate::applier::ToApply;
use crate::clock::{Clock, Moment};
use crate::consensus::reads::Reads;
use crate::consensus::{Node, Position, RaftStatus, Work};
use crate::fatal::Fatal;
use crate::lease::Leases;
use crate::limits;
use crate::log_once::LogOnce;
use crate::log_writer::{self, Job};
use crate::mailbox::{Compaction, Control, Mail, Mailbox, ReadSlot, Waiting};
use crate::observe::{Observation, Observer};
use crate::outcome::Refused;
use crate::peers::{PeerEvent, Peers};
use crate::progress::Progress;
use crate::proposal::Proposal;
use crate::workers::Workers;

mod membership;
mod proposals;
mod relayed;
mod snapshots;
mod traces;
mod transfer;

use relayed::Relayed;

/// Everything the driver works with.
pub(crate) struct Parts {
    pub(crate) node: Node,
    pub(crate) log: Arc<Log>,
    pub(crate) log_writer: SyncSender<Job>,
    pub(crate) applier: SyncSender<Vec<ToApply>>,
    /// The membership as of the state's applied index.
    pub(crate) membership: Membership,
    pub(crate) member_id: MemberId,
    pub(crate) states: Arc<dyn StateStore>,
    /// Reader of the current state.
    pub(crate) reader: Reader,
    pub(crate) workers: Arc<dyn Workers>,
    pub(crate) fatal: Fatal,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) peers: Arc<dyn Peers>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) leases: Leases,
    pub(crate) reads: Reads<ReadSlot>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) tick: Duration,
    /// How long an append may take before a leader looks for a successor.
    pub(crate) election_timeout: Duration,
    /// False with `--unsafe-no-fsync`.
    pub(crate) sync: bool,
}

/// Owns the [`Node`] and runs its thread, one turn at a time.
pub(crate) struct Driver {
    parts: Parts,
    raft_status: RaftStatus,
    next_tick: Moment,
    /// Commands taken from the mailbox and not proposed yet.
    pending: VecDeque<Proposal>,
    /// Room for the commands in `pending` that other members sent.
    relayed: Relayed,
    /// Membership changes that are not proposed yet.
    changes: VecDeque<Proposal>,
    /// Proposals that came back, to be proposed at the next tick or under the next leader.
    held_back: Vec<Proposal>,
    /// Commands that were forwarded to a leader may still be unanswered.
    forwarded_unanswered: bool,
    /// Commands that are proposed and not committed yet, in log order.
    placed: VecDeque<Placed>,
    /// Number of the last work given to the log writer (`written`), and of the last work that it
    /// has confirmed (`confirmed`).
    written: u64,
    confirmed: u64,
    /// Work for the applier that does not fit into the applier's queue.
    to_apply: VecDeque<Vec<ToApply>>,
    /// Bytes of the payloads in `to_apply`.
    to_apply_bytes: usize,
    /// Start of the current period in which the log writer is busy and confirms nothing.
    writing_since: Moment,
    membership: membership::Followed,
    snapshots: snapshots::Traffic,
    transfer: transfer::Transfer,
    traces: traces::Traces,
    /// Rate limit for the log lines about refused raft messages.
    refusals: LogOnce,
}

/// Commands of this member at one position of the log.
struct Placed {
    position: Position,
    proposals: Vec<Proposal>,
}

impl Driver {
    pub(crate) fn new(parts: Parts) -> Driver {
        let now = parts.clock.now();
        let membership = membership::Followed::new(parts.membership.clone());
        Driver {
            next_tick: now.after(parts.tick),
            parts,
            raft_status: RaftStatus::default(),
            pending: VecDeque::new(),
            relayed: Relayed::default(),
            changes: VecDeque::new(),
            held_back: Vec::new(),
            forwarded_unanswered: false,
            placed: VecDeque::new(),
            written: 0,
            confirmed: 0,
            to_apply: VecDeque::new(),
            to_apply_bytes: 0,
            writing_since: now,
            membership,
            snapshots: snapshots::Traffic::default(),
            transfer: transfer::Transfer::default(),
            traces: traces::Traces::default(),
            refusals: LogOnce::default(),
        }
    }

    /// Runs the driver's thread: waits for mail and takes turns until the mailbox is closed.
    pub(crate) fn run(mut self) -> Result<(), Fault> {
        let mailbox = Arc::clone(&self.parts.mailbox);
        let progress = Arc::clone(&self.parts.progress);
        let turns = progress.driver_turns();
        turns.count(|| self.begin())?;
        loop {
            let mail = mailbox.take(self.waiting_for(), self.until_tick());
            if !turns.count(|| self.turn(mail))? {
                for work in std::mem::take(&mut self.to_apply) {
                    let _ = self.parts.applier.send(work);
                }
                return Ok(());
            }
        }
    }

    /// Must be called once, before the first turn.
    pub(crate) fn begin(&mut self) -> Result<(), Fault> {
        if self.is_removed() {
            self.log_removal();
        }
        self.announce_members();
        self.trace_election();
        if self.parts.node.raft_status().is_sole_voter {
            // No other member could win, so there is no reason to wait for an election timeout.
            self.parts.node.campaign();
        }
        self.settle()
    }

    /// Takes mail in and does all the work that follows from the mail and from the time. Never
    /// blocks. Returns false if the mailbox is closed: this was the last turn.
    pub(crate) fn turn(&mut self, mail: Mail) -> Result<bool, Fault> {
        let closed = mail.closed;
        self.take_in(mail)?;
        if closed {
            return Ok(false);
        }
        self.parts.node.applied(self.parts.progress.applied());
        self.feed_applier();
        self.parts.node.take_entries(!self.is_applier_behind());
        self.tick();
        self.follow_raft_status();
        self.propose();
        self.propose_changes();
        self.settle()?;
        Ok(true)
    }

    /// Takes a turn with the mail that is in the mailbox now.
    pub(crate) fn turn_now(&mut self) -> Result<bool, Fault> {
        let mailbox = Arc::clone(&self.parts.mailbox);
        let mail = mailbox.take(self.waiting_for(), Duration::ZERO);
        self.turn(mail)
    }

    /// Does all pending work, and the work which that makes possible, until none is left.
    fn settle(&mut self) -> Result<(), Fault> {
        loop {
            self.follow_raft_status();
            self.do_work()?;
            if !self.ask_for_reads() {
                return Ok(());
            }
        }
    }

    /// Commands may gather while the log writer is busy or the applier is behind, and reads may
    /// gather while a round of reads is in progress. They do not wake the driver; the next mail
    /// that wakes it takes them along.
    fn waiting_for(&self) -> Waiting {
        Waiting {
            commands: !self.is_writing() && !self.is_applier_behind(),
            reads: !self.parts.reads.is_asking(),
        }
    }

    fn until_tick(&self) -> Duration {
        let tick = self.next_tick.since(self.parts.clock.now());
        match self.to_apply.is_empty() {
            true => tick,
            false => tick.min(limits::APPLY_BACKLOG_RETRY),
        }
    }

    fn is_writing(&self) -> bool {
        self.confirmed < self.written
    }

    fn take_in(&mut self, mail: Mail) -> Result<(), Fault> {
        for control in mail.control {
            match control {
                Control::Persisted(number) => {
                    self.confirmed = number;
                    self.writing_since = self.parts.clock.now();
                    self.install_through(number);
                    self.parts.node.persisted(number);
                }
                Control::Durable {
                    applied,
                    compaction,
                } => {
                    self.compact_log(applied, compaction)?;
                }
                Control::Peer(event) => self.take_peer_event(event)?,
                Control::SnapshotTaken(taken) => self.snapshot_taken(taken),
                Control::Again { proposals, at_once } => {
                    self.held_back.extend(proposals);
                    if at_once {
                        self.release_held_back();
                    }
                }
                Control::Transfer { to, done } => self.begin_transfer(to, done),
                Control::Inspect(look) => look.at(&self.parts.node),
            }
        }
        self.add_commands(mail.commands);
        self.changes.extend(mail.changes);
        let reads_max = limits::WAITING_READS_MAX;
        self.add_reads(mail.lease_reads, reads_max + limits::WAITING_READS_RESERVED);
        self.add_reads(mail.reads, reads_max);
        Ok(())
    }

    fn take_peer_event(&mut self, event: PeerEvent) -> Result<(), Fault> {
        match event {
            PeerEvent::Parcel { from, parcel } => self.take_parcel(from, parcel)?,
            PeerEvent::Closed(from) => self.parts.node.suspect(from),
            PeerEvent::Unreachable(to) => self.parts.node.unreachable(to),
            PeerEvent::SnapshotSent { to, arrived } => self.snapshot_sent(to, arrived),
            PeerEvent::SnapshotReceived(snapshot) => self.snapshot_received(snapshot)?,
        }
        Ok(())
    }

    fn add_reads(&mut self, mut slots: Vec<ReadSlot>, reads_max: usize) {
        // Without a leader, reads gather here until their callers stop waiting.
        let room = reads_max.saturating_sub(self.parts.reads.len());
        for slot in slots.drain(room.min(slots.len())..) {
            let _ = slot.send(Err(Refused(ApiError::RequestTooManyRequests)));
        }
        if !slots.is_empty() {
            self.parts.reads.add(slots);
        }
    }

    /// Takes at most one tick: a thread that was held up for a second must not catch up on its
    /// ticks and so start an election.
    fn tick(&mut self) {
        let now = self.parts.clock.now();
        if now < self.next_tick {
            return;
        }
        self.count_if_late(now);
        self.next_tick = now.after(self.parts.tick);
        self.parts.node.tick();
        self.parts.reads.tick();
        // Drop reads whose callers gave up; they need not wait for a leader.
        self.parts.reads.retain(|slot| !slot.is_closed());
        self.release_held_back();
        self.forget_abandoned();
        self.watch_disk(now);
        self.follow_transfer();
        self.repeat_transfer();
        self.take_snapshot_if_wanted();
    }

    /// A leader's tick is a round of heartbeats. A round that is late by a whole interval is what
    /// etcd counts as failed: this thread or the machine was held up.
    fn count_if_late(&self, now: Moment) {
        let has_followers = self.raft_status.is_leader && !self.raft_status.is_sole_voter;
        if has_followers && now.since(self.next_tick) > self.parts.tick {
            self.parts.observer.observe(Observation::HeartbeatLate);
        }
    }

    /// Publishes the current leader and does what follows from a change of leader or term.
    fn follow_raft_status(&mut self) {
        let raft_status = self.parts.node.raft_status();
        if raft_status == self.raft_status {
            return;
        }
        let before = std::mem::replace(&mut self.raft_status, raft_status);
        let still_leads =
            before.is_leader && raft_status.is_leader && before.term == raft_status.term;
        if !still_leads {
            self.parts.progress.close_reads();
            self.leader_changed(before.is_leader);
            self.trace_election();
        }
        if raft_status.is_leader && !still_leads {
            tracing::info!(term = raft_status.term.0, "this member is the leader now");
            let begins_at = self.parts.node.term_start();
            self.parts.leases.promoted(raft_status.term, begins_at);
        } else if before.is_leader && !raft_status.is_leader {
            tracing::info!(
                term = raft_status.term.0,
                leader = raft_status.leader.to_string(),
                "this member is no longer the leader"
            );
            self.parts.leases.demoted();
            self.end_snapshots();
        } else if raft_status.leader != before.leader && raft_status.leader != MemberId::NONE {
            let leader = raft_status.leader.to_string();
            tracing::info!(
                term = raft_status.term.0,
                leader,
                "another member is the leader"
            );
        }
        if raft_status.is_leader && self.parts.node.is_sole_member() {
            // A voter that has since been removed may have acknowledged writes. This member has
            // committed them, but may not have applied them yet.
            let node = &self.parts.node;
            let from = node.term_start().max(node.committed_index());
            self.parts.progress.open_reads_from(from);
        } else {
            self.parts.progress.close_reads();
        }
        self.parts.reads.raft_status_changed(raft_status);
        let now = self.parts.clock.now();
        self.parts.progress.set_raft_status(raft_status, now);
        self.follow_transfer();
    }

    /// Begins a round of reads. Returns true if a round was begun.
    fn ask_for_reads(&mut self) -> bool {
        let node = &mut self.parts.node;
        if self.raft_status.is_leader && node.committed_index() < node.term_start() {
            // Raft would drop the request silently.
            return false;
        }
        let context = self.parts.reads.begin(self.raft_status);
        context.map(|context| node.read_index(context)).is_some()
    }

    fn do_work(&mut self) -> Result<(), Fault> {
        while let Some(work) = self.parts.node.work() {
            self.follow_raft_status();
            let Work {
                number,
                append,
                messages,
                committed,
                reads,
                snapshots,
                restore,
            } = work;
            for outgoing in messages {
                self.send(outgoing.to, Content::Raft(outgoing.message));
            }
            for read in reads {
                let slots = self.parts.reads.answered(&read.context, self.raft_status);
                answers::answer_each(&self.parts.runtime, slots, move |slot| {
                    // A caller that gave up has dropped its receiver; that is not an error.
                    let _ = slot.send(Ok(read.index));
                });
            }
            for snapshot in snapshots {
                self.send_snapshot(snapshot);
            }
            self.hand_over(committed)?;
            match (restore, append) {
                (Some(restore), append) => self.restore(number, restore, append),
                (None, Some(append)) => self.append(number, append)?,
                (None, None) => {}
            }
            self.parts
                .progress
                .set_committed(self.parts.node.committed_index());
        }
        self.follow_traces();
        Ok(())
    }

    fn append(&mut self, number: u64, mut append: Append) -> Result<(), Fault> {
        append.sync &= self.parts.sync;
        if cfg!(conclave_bug = "answer_before_sync") {
            append.sync = false;
        }
        let spans = self.trace_append(&append);
        if self.raft_status.is_sole_voter && !self.is_writing() {
            log_writer::timed(&self.parts.log, &append, &*self.parts.observer)?;
            drop(spans);
            self.parts.node.persisted(number);
            return Ok(());
        }
        self.write(number, Job::Append(number, append, spans));
        Ok(())
    }

    /// Sends to a member. Returns false if the content certainly does not arrive.
    fn send(&self, to: MemberId, content: Content) -> bool {
        let content = Some(content);
        self.parts.peers.send(to, Parcel { content })
    }

    /// Gives the log writer a job.
    fn write(&mut self, number: u64, job: Job) {
        if !self.is_writing() {
            self.writing_since = self.parts.clock.now();
        }
        self.written = number;
        // The receiver is gone only after a fault. The log writer reports that fault, and the
        // mailbox then ends this thread.
        let _ = self.parts.log_writer.send(job);
    }

    /// Gives the applier work. Work that does not fit into the applier's queue waits here, because
    /// heartbeats must not be late when one entry takes long to apply.
    fn tell_applier(&mut self, work: Vec<ToApply>) {
        self.to_apply_bytes += payload_bytes(&work);
        self.to_apply.push_back(work);
        self.feed_applier();
    }

    fn feed_applier(&mut self) {
        while let Some(work) = self.to_apply.pop_front() {
            let bytes = payload_bytes(&work);
            self.to_apply_bytes -= bytes;
            // If the applier is gone the slots are dropped, and their callers get an error: the
            // server stopped.
            if let Err(TrySendError::Full(work)) = self.parts.applier.try_send(work) {
                self.to_apply_bytes += bytes;
                self.to_apply.push_front(work);
                return;
            }
        }
    }

    /// Returns true if the applier's backlog is at its bound. This member then proposes and
    /// forwards nothing, and takes in no entries. Entries that are already in the log may still be
    /// committed, so the backlog can exceed the bound by the entries that were in flight.
    fn is_applier_behind(&self) -> bool {
        self.to_apply.len() >= limits::APPLY_BACKLOG_BATCHES_MAX
            || self.to_apply_bytes > limits::APPLY_BACKLOG_BYTES_MAX
    }

    fn compact_log(&mut self, applied: Index, compaction: Compaction) -> Result<(), Fault> {
        self.parts.node.applied(applied);
        let Compaction { can, must } = compaction;
        let kept = self.keeps_from();
        let through = kept.map_or(can, |index| can.min(index).max(must));
        if through < self.parts.node.first_index() {
            return Ok(());
        }
        self.parts.node.compact(through);
        self.parts.log.compact(through)?;
        tracing::debug!(through = through.0, "the raft log is compacted");
        Ok(())
    }
}

impl Drop for Driver {
    /// Runs at every end of the driver, including a panic. Commands that are not in the log are
    /// refused. For commands that are in the log but not committed, the slots are dropped, and
    /// their callers get an error: the outcome is unknown.
    fn drop(&mut self) {
        self.parts.mailbox.close();
        let mail = self.parts.mailbox.take(Waiting::CONTROL, Duration::ZERO);
        let unsent = self.pending.drain(..).chain(self.changes.drain(..));
        let unsent = unsent.chain(self.held_back.drain(..));
        let unsent = unsent.chain(mail.commands).chain(mail.changes);
        Proposal::refuse_all(unsent, Refused(ApiError::Stopped));
        for slot in self.parts.reads.drain().into_iter().chain(mail.reads) {
            let _ = slot.send(Err(Refused(ApiError::Stopped)));
        }
    }
}

fn payload_bytes(work: &[ToApply]) -> usize {
    let entries = work.iter().map(|item| match item {
        ToApply::Entry { entry, .. } => entry.payload.len(),
        _ => 0,
    });
    entries.sum()
}
