//! Snapshots: sent to a member that lacks entries which the log has dropped, and received from the
//! leader when this member lacks such entries.
//!
//! # Sending
//!
//! Raft asks for a snapshot when it meets such a member. If none exists, raft must ask again later,
//! and a worker makes a checkpoint while the applier continues. The finished checkpoint is
//! *offered*: raft announces it, and the files travel separately ([`crate::peers`]). While any
//! member is receiving it, the log keeps the entries after it. With the last transfer the offer
//! ends and the files are removed.
//!
//! A member that was added later is not in the configuration of the offered checkpoint and cannot
//! start from it. It does not wait for the running transfers, which may be slow: another checkpoint
//! is made and offered in place of the first, whose files stay until their last transfer ends. A
//! leader that steps down ends its transfers: the next leader decides which members need a
//! snapshot.
//!
//! # Receiving
//!
//! ```text
//! files, checked and synced ─▶ raft takes the announcement ─▶ log writer: they are the state,
//!   the log begins after it ─▶ applier goes on with it ─▶ entries that follow
//! ```
//!
//! The log writer installs the snapshot in the order of its queue, so no append that belongs before
//! the snapshot comes after it. A crash leaves the old state with the old log, the new state with
//! the old log (the next start finishes the installation), or the new state with the new log.
//!
//! States are taken, opened, installed and removed through the seam
//! [`StateStore`](conclave_storage::state_store::StateStore).

use std::sync::Arc;

use conclave_storage::engine::Engine;
use conclave_storage::log::Append;
use conclave_storage::machine::{Limits, Machine};
use conclave_storage::membership::Membership;
use conclave_storage::state_store::StateStore;
use conclave_storage::{Fault, Index, MemberId};

use super::Driver;
use crate::applier::ToApply;
use crate::consensus::configuration::Configuration;
use crate::consensus::node::OutgoingSnapshot;
use crate::consensus::{Position, Restore};
use crate::log_writer::Job;
use crate::mailbox::Control;
use crate::observe::Observation;
use crate::peers::{ReceivedSnapshot, SnapshotFiles, Taken};
use crate::trace::Span;

/// Snapshots being made, sent, received and installed.
#[derive(Default)]
pub(super) struct Traffic {
    taking: bool,
    taken_so_far: u64,
    offered: Option<Arc<SnapshotFiles>>,
    /// Receiving members, each with its files: the current offer or an earlier one.
    receiving: Vec<Receiving>,
    /// Members whose transfer failed, and the ticks until raft may retry.
    failed: Vec<(MemberId, u32)>,
    /// Ticks for which no member has been receiving the offer.
    idle_ticks: u32,
    /// Members that have received a snapshot, for which the log keeps the entries that they still
    /// lack.
    catching_up: Vec<CatchingUp>,
    /// A snapshot that was stepped into raft and not yet accepted by raft.
    arriving: Option<Arrived>,
    /// A snapshot that raft accepted, being installed by the work of this number.
    installing: Option<(u64, Arrived)>,
}

impl Traffic {
    fn is_offer_taken_up(&self) -> bool {
        self.offered.as_ref().is_some_and(|offered| {
            let mut received = self.receiving.iter();
            received.any(|one| Arc::ptr_eq(&one.files, offered))
        })
    }
}

/// A member that is receiving a snapshot.
struct Receiving {
    member: MemberId,
    files: Arc<SnapshotFiles>,
    span: Span,
}

/// A member that has been sent a snapshot.
struct CatchingUp {
    member: MemberId,
    /// The member's matched index when it last made progress.
    matched: Index,
    ticks_left: u32,
}

/// A received snapshot that was opened and is the announced one.
struct Arrived {
    snapshot: ReceivedSnapshot,
    engine: Arc<dyn Engine>,
    membership: Membership,
    span: Span,
}

/// Ticks after which an offer that no member receives ends.
const IDLE_TICKS_MAX: u32 = 100;

/// The pause in ticks after a failed transfer. Transfers may fail for hours, because a disk is full
/// or because the receiver's version cannot read what this version writes.
const RETRY_TICKS: u32 = 10;

/// Ticks without progress after which the log stops keeping entries for a member that received a
/// snapshot. The entries written during the transfer may be more than the log keeps otherwise. They
/// are kept for that member, or it would need another snapshot, and again another.
const CATCH_UP_TICKS: u32 = 300;

impl Driver {
    pub(super) fn take_snapshot_if_wanted(&mut self) {
        self.follow_catching_up();
        self.follow_failed();
        let traffic = &mut self.snapshots;
        if traffic.offered.is_some() && !traffic.is_offer_taken_up() {
            traffic.idle_ticks += 1;
            if traffic.idle_ticks > IDLE_TICKS_MAX {
                self.withdraw_offer();
            }
        }
        let traffic = &mut self.snapshots;
        if !self.parts.node.wants_snapshot() || traffic.taking {
            return;
        }
        traffic.taking = true;
        traffic.taken_so_far += 1;
        let parts = &self.parts;
        let (states, workers) = (Arc::clone(&parts.states), Arc::clone(&parts.workers));
        let (reader, mailbox) = (parts.reader.clone(), Arc::clone(&parts.mailbox));
        let dir = states.outgoing(traffic.taken_so_far);
        let span = parts.observer.begin("make snapshot");
        let take = self.parts.fatal.guarded("snapshot", move || {
            let engine = reader.engine();
            let taken = states.checkpoint(&*engine, &dir).map(|taken| {
                let members = taken.members.clone();
                let files = SnapshotFiles::new(dir, taken, states, workers);
                (Arc::new(files), members)
            });
            if taken.is_err() {
                span.fail();
            }
            drop(span);
            mailbox.control(Control::SnapshotTaken(taken));
        });
        if let Err(error) = self.parts.workers.start("snapshot", Box::new(take)) {
            tracing::warn!(%error, "no thread for a snapshot; it is tried again");
            self.snapshots.taking = false;
        }
    }

    fn follow_catching_up(&mut self) {
        let node = &self.parts.node;
        self.snapshots.catching_up.retain_mut(|one| {
            // A removed member has no progress.
            let Some(matched) = node.matched(one.member) else {
                return false;
            };
            if matched > one.matched {
                (one.matched, one.ticks_left) = (matched, CATCH_UP_TICKS);
            }
            one.ticks_left -= 1;
            one.ticks_left > 0 && matched < node.committed_index()
        });
    }

    fn follow_failed(&mut self) {
        let node = &mut self.parts.node;
        self.snapshots.failed.retain_mut(|(member, ticks_left)| {
            *ticks_left -= 1;
            if *ticks_left == 0 {
                node.snapshot_sent(*member, false);
            }
            *ticks_left > 0
        });
    }

    /// Ends all transfers and the offer, because this member is not the leader any longer.
    pub(super) fn end_snapshots(&mut self) {
        self.parts.peers.end_snapshots();
        self.snapshots.catching_up.clear();
        self.snapshots.failed.clear();
        self.withdraw_offer();
    }

    pub(super) fn snapshot_taken(&mut self, taken: Taken) {
        self.snapshots.taking = false;
        match taken {
            Ok((files, members)) => {
                let position = Position {
                    index: files.index,
                    term: files.term,
                };
                tracing::debug!(index = files.index.0, "a snapshot can be sent");
                let configuration = Configuration::of(&members, files.index);
                self.parts
                    .node
                    .offer_snapshot(Some((position, configuration)));
                self.snapshots.offered = Some(files);
                self.snapshots.idle_ticks = 0;
            }
            Err(fault) => {
                tracing::warn!(%fault, "no snapshot could be made; it is tried again when needed");
            }
        }
    }

    pub(super) fn send_snapshot(&mut self, outgoing: OutgoingSnapshot) {
        let OutgoingSnapshot {
            to,
            position,
            message,
        } = outgoing;
        // The offer may have changed since raft looked at it, and a transfer from an earlier term
        // may still be running.
        let is_receiving = self.snapshots.receiving.iter().any(|one| one.member == to);
        let offered = self.snapshots.offered.clone().filter(|_| !is_receiving);
        let announced = (position.index, position.term);
        let Some(files) = offered.filter(|files| (files.index, files.term) == announced) else {
            self.parts.node.snapshot_sent(to, false);
            return;
        };
        self.snapshots.failed.retain(|(member, _)| *member != to);
        let span = self.parts.observer.begin("send snapshot");
        span.set("member", to);
        span.set("index", files.index.0);
        self.snapshots.receiving.push(Receiving {
            member: to,
            files: Arc::clone(&files),
            span,
        });
        self.parts.peers.send_snapshot(to, message, files);
    }

    pub(super) fn snapshot_sent(&mut self, to: MemberId, arrived: bool) {
        let traffic = &mut self.snapshots;
        let was_taken_up = traffic.is_offer_taken_up();
        for done in traffic.receiving.extract_if(.., |one| one.member == to) {
            if !arrived {
                done.span.fail();
            }
        }
        if !arrived {
            // The retry will send the snapshot that is offered then.
            traffic.failed.push((to, RETRY_TICKS));
            return;
        }
        self.parts.node.snapshot_sent(to, true);
        let traffic = &mut self.snapshots;
        traffic.catching_up.retain(|one| one.member != to);
        traffic.catching_up.push(CatchingUp {
            member: to,
            matched: Index::NONE,
            ticks_left: CATCH_UP_TICKS,
        });
        if was_taken_up && !traffic.is_offer_taken_up() {
            self.withdraw_offer();
        }
    }

    /// Returns the index after which the log should keep all entries.
    pub(super) fn keeps_from(&self) -> Option<Index> {
        let Traffic {
            offered,
            receiving,
            catching_up,
            ..
        } = &self.snapshots;
        let needed = |one: &CatchingUp| self.parts.node.matched(one.member);
        let sent = receiving.iter().map(|one| &one.files).chain(offered);
        let sent = sent.map(|files| files.index);
        catching_up.iter().filter_map(needed).chain(sent).min()
    }

    fn withdraw_offer(&mut self) {
        self.snapshots.offered = None;
        self.snapshots.idle_ticks = 0;
        self.parts.node.offer_snapshot(None);
    }

    pub(super) fn snapshot_received(&mut self, snapshot: ReceivedSnapshot) -> Result<(), Fault> {
        let span = self.parts.observer.begin("install snapshot");
        span.set("index", snapshot.index.0);
        span.set("term", snapshot.term.0);
        let opened = match self.snapshots.installing {
            None => open(&*self.parts.states, &snapshot)?,
            Some(_) => None,
        };
        let position = Position {
            index: snapshot.index,
            term: snapshot.term,
        };
        let node = &mut self.parts.node;
        let taken = opened.filter(|_| {
            let stepped = node.step_snapshot(&snapshot.raft_message, position);
            if let Err(reason) = &stepped {
                tracing::warn!(%reason, "the message that announced a snapshot was refused");
            }
            stepped.is_ok()
        });
        let Some((engine, membership)) = taken else {
            span.fail();
            let _ = snapshot.installed.send(false);
            return Ok(());
        };
        self.snapshots.arriving = Some(Arrived {
            snapshot,
            engine,
            membership,
            span,
        });
        self.do_work()?;
        if let Some(Arrived {
            snapshot, engine, ..
        }) = self.snapshots.arriving.take()
        {
            // Raft has no use for the snapshot. Close its engine before its folder is removed.
            drop(engine);
            let _ = snapshot.installed.send(false);
        }
        Ok(())
    }

    pub(super) fn restore(&mut self, number: u64, restore: Restore, append: Option<Append>) {
        let arrived = self.snapshots.arriving.take();
        let arrived = arrived.expect("raft takes a snapshot while one is being given to it");
        let job = Job::Restore {
            number,
            dir: arrived.snapshot.dir.clone(),
            restore,
            append,
        };
        self.snapshots.installing = Some((number, arrived));
        self.parts.observer.observe(Observation::InstallBegun);
        self.write(number, job);
    }

    /// Handles the report that all work up to `number` is on disk: a snapshot in that work is now
    /// the state.
    pub(super) fn install_through(&mut self, number: u64) {
        let installing = &mut self.snapshots.installing;
        let Some((_, arrived)) = installing.take_if(|(work, _)| *work <= number) else {
            return;
        };
        let Arrived {
            snapshot,
            engine,
            membership,
            span,
        } = arrived;
        self.parts.observer.observe(Observation::InstallEnded);
        drop(span);
        tracing::info!(index = snapshot.index.0, "a snapshot is put in place");
        self.tell_applier(vec![ToApply::Install {
            engine,
            index: snapshot.index,
        }]);
        self.take_membership(membership);
        let _ = snapshot.installed.send(true);
    }
}

/// An opened state and its membership.
type Opened = (Arc<dyn Engine>, Membership);

/// Opens a received snapshot before anything depends on it. Returns `None` if it is not the
/// announced one.
fn open(states: &dyn StateStore, snapshot: &ReceivedSnapshot) -> Result<Option<Opened>, Fault> {
    let opened = states.open(&snapshot.dir).and_then(|engine| {
        let (_, reader) = Machine::open(Arc::clone(&engine), Limits::default())?;
        Ok((engine, reader))
    });
    let (engine, reader) = match opened {
        Ok(opened) => opened,
        // The fault is the local disk's, not the snapshot's.
        Err(fault @ (Fault::Engine { .. } | Fault::InUse { .. })) => return Err(fault),
        Err(
            fault @ (Fault::Damaged { .. }
            | Fault::Version { .. }
            | Fault::Foreign { .. }
            | Fault::Entry { .. }
            | Fault::NotSkipped { .. }),
        ) => {
            tracing::warn!(%fault, "a snapshot that was received cannot be opened");
            return Ok(None);
        }
    };
    let applied = reader.applied();
    if (applied.index, applied.term) != (snapshot.index, snapshot.term) {
        tracing::warn!(
            announced = snapshot.index.0,
            found = applied.index.0,
            "a snapshot is not the one that was announced"
        );
        return Ok(None);
    }
    Ok(Some((engine, (*reader.membership()).clone())))
}
