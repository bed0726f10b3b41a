//! Snapshots on their way, and what becomes of them.
//!
//! A transfer does what the service's does. The receiver declines what it does not need and takes
//! one snapshot at a time. It stores the pieces as they come, and gives the snapshot to its driver
//! when it has all of them; the sender hears what the driver made of it. The connection may break
//! at any time, and then the sender hears that it did not arrive, be it in place or not.
//!
//! In one thing it does less: the service compares a checksum of what came, here a copy that is cut
//! short reaches the driver, which has to refuse it.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use conclave_core::peers::{Inbox, PeerEvent, ReceivedSnapshot, SnapshotFiles};
use conclave_storage::MemberId;
use conclave_storage::state_store::memory::MemoryStates;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::{Inside, Network};

/// Pieces of a snapshot.
const PIECES: usize = 4;

/// Snapshots under way, and how many there were.
#[derive(Default)]
pub(super) struct Transfers {
    under_way: Vec<Transfer>,
    /// Snapshots whose driver has not answered, after their connection broke.
    received: Vec<Received>,
    folders: u64,
    counts: Counts,
}

/// Snapshots of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Transfers that were begun.
    pub begun: u64,
    /// Snapshots that came to their driver.
    pub received: u64,
    /// Of these, the ones that were cut short.
    pub torn: u64,
    /// Snapshots that were put in place.
    pub installed: u64,
}

/// A snapshot on its way.
pub(super) struct Transfer {
    pub(super) from: MemberId,
    pub(super) to: MemberId,
    raft_message: Bytes,
    files: Arc<SnapshotFiles>,
    pieces: usize,
    received: Option<Received>,
    sending: Sending,
}

/// A snapshot that was given to a driver.
struct Received {
    by: MemberId,
    dir: PathBuf,
    states: MemoryStates,
    installed: oneshot::Receiver<bool>,
}

/// The promise to report how a transfer went.
struct Sending {
    inbox: Option<Inbox>,
    to: MemberId,
    arrived: bool,
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(inbox) = &self.inbox {
            let (to, arrived) = (self.to, self.arrived);
            inbox.deliver(PeerEvent::SnapshotSent { to, arrived });
        }
    }
}

/// What becomes of the piece that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceFate {
    /// It arrives.
    Arrives,
    /// It arrives, and if it is the last one, so many bytes of the whole are missing at the end.
    Torn(usize),
    /// The connection breaks.
    Breaks,
}

impl Network {
    pub(super) fn begin_transfer(
        &self,
        (from, to): (MemberId, MemberId),
        raft_message: Bytes,
        files: Arc<SnapshotFiles>,
    ) {
        let mut inside = self.lock();
        let sending = Sending {
            inbox: inside.ends.get(&from).map(|end| end.inbox.clone()),
            to,
            arrived: false,
        };
        let mut others = inside.transfers.under_way.iter();
        if others.any(|other| (other.from, other.to) == (from, to)) || inside.knows(from, to) {
            drop(inside);
            drop(sending);
            return;
        }
        inside.transfers.counts.begun += 1;
        inside.transfers.under_way.push(Transfer {
            from,
            to,
            raft_message,
            files,
            pieces: 0,
            received: None,
            sending,
        });
    }

    /// Snapshots under way.
    pub fn transfers(&self) -> usize {
        self.lock().transfers.under_way.len()
    }

    /// Whether this member has a snapshot, and its driver has not said what becomes of it.
    pub fn is_receiver(&self, id: MemberId) -> bool {
        let inside = self.lock();
        let mut transfers = inside.transfers.under_way.iter();
        transfers.any(|transfer| transfer.to == id && transfer.received.is_some())
    }

    /// How many snapshots there were.
    pub fn counts(&self) -> Counts {
        self.lock().transfers.counts
    }

    /// Decides what becomes of the next piece of a snapshot, or of the report on it. Returns its
    /// sender and receiver, and what happened.
    pub fn decide_piece(
        &self,
        choice: usize,
        fate: PieceFate,
    ) -> Option<(MemberId, MemberId, &'static str)> {
        let mut inside = self.lock();
        let position = choice.checked_rem(inside.transfers.under_way.len())?;
        let mut transfer = inside.transfers.under_way.remove(position);
        let (from, to) = (transfer.from, transfer.to);
        let is_connected = inside.is_connected(from, to) && !inside.knows(to, from);
        let what = match fate {
            _ if !is_connected => "no connection",
            PieceFate::Breaks => "the connection breaks",
            PieceFate::Arrives => inside.proceed(&mut transfer, 0),
            PieceFate::Torn(missing) => inside.proceed(&mut transfer, missing),
        };
        if matches!(what, UNDER_WAY | WAITING) {
            inside.transfers.under_way.insert(position, transfer);
            return Some((from, to, what));
        }
        // The receiver's task goes on without the connection.
        inside.transfers.received.extend(transfer.received.take());
        drop(inside);
        drop(transfer);
        Some((from, to, what))
    }

    /// Removes what drivers had no use for, where the sender is gone.
    pub fn tidy(&self) {
        let mut inside = self.lock();
        let mut installed = 0;
        inside.transfers.received.retain_mut(|received| {
            let answer = received.answer();
            installed += u64::from(answer == Some(true));
            answer.is_none()
        });
        inside.transfers.counts.installed += installed;
    }
}

const UNDER_WAY: &str = "a piece arrives";
const WAITING: &str = "it waits for the driver";

impl Inside {
    /// Ends transfers. Dropping them reports it.
    pub(super) fn end_transfers(&mut self, which: impl Fn(&Transfer) -> bool) -> Vec<Transfer> {
        let is_ended = |transfer: &mut Transfer| which(transfer);
        let ended = self.transfers.under_way.extract_if(.., is_ended);
        let mut ended: Vec<_> = ended.collect();
        let received = ended.iter_mut().filter_map(|ended| ended.received.take());
        self.transfers.received.extend(received);
        let is_of_living = |received: &Received| self.ends.contains_key(&received.by);
        self.transfers.received.retain(is_of_living);
        ended
    }

    fn proceed(&mut self, transfer: &mut Transfer, missing: usize) -> &'static str {
        if let Some(received) = &mut transfer.received {
            let answer = received.answer();
            if let Some(installed) = answer {
                transfer.received = None;
                transfer.sending.arrived = installed;
                self.transfers.counts.installed += u64::from(installed);
            }
            return match answer {
                None => WAITING,
                Some(true) => "it is in place",
                Some(false) => "it was not put in place",
            };
        }
        if let Some(declined) = self.declined(transfer) {
            transfer.sending.arrived = declined == OUTDATED;
            return declined;
        }
        transfer.pieces += 1;
        if transfer.pieces == PIECES {
            self.receive(transfer, missing);
        }
        UNDER_WAY
    }

    /// Why the receiver declines, before the first piece.
    fn declined(&self, transfer: &Transfer) -> Option<&'static str> {
        if transfer.pieces > 0 {
            return None;
        }
        let end = &self.ends[&transfer.to];
        if transfer.files.index <= end.reader.applied().index {
            return Some(OUTDATED);
        }
        let is_other = |other: &Transfer| other.to == transfer.to && other.pieces > 0;
        let is_busy = self.transfers.under_way.iter().any(is_other)
            || (self.transfers.received.iter()).any(|received| received.by == transfer.to);
        is_busy.then_some("the receiver is busy")
    }

    fn receive(&mut self, transfer: &mut Transfer, missing: usize) {
        let states = &self.ends[&transfer.from].states;
        let bytes = states.copy(&transfer.files.dir).expect("it is held");
        let whole = bytes.slice(..bytes.len() - missing % bytes.len());
        let counts = &mut self.transfers.counts;
        counts.received += 1;
        counts.torn += u64::from(whole.len() < bytes.len());
        self.transfers.folders += 1;
        let SnapshotFiles { index, term, .. } = *transfer.files;
        let dir = PathBuf::from(format!("state.{index}.{}", self.transfers.folders));
        let end = &self.ends[&transfer.to];
        end.states.receive(dir.clone(), whole);
        let (installed, answer) = oneshot::channel();
        end.inbox
            .deliver(PeerEvent::SnapshotReceived(ReceivedSnapshot {
                dir: dir.clone(),
                raft_message: transfer.raft_message.clone(),
                index,
                term,
                installed,
            }));
        transfer.received = Some(Received {
            by: transfer.to,
            dir,
            states: end.states.clone(),
            installed: answer,
        });
    }
}

/// The receiver has applied what is in it.
const OUTDATED: &str = "it is not needed";

impl Received {
    /// The driver's answer, if there is one. What is not in place is removed.
    fn answer(&mut self) -> Option<bool> {
        use conclave_storage::state_store::StateStore as _;
        match self.installed.try_recv() {
            Err(TryRecvError::Empty) => None,
            Ok(true) => Some(true),
            Ok(false) => {
                self.states.remove(&self.dir).expect("in memory");
                Some(false)
            }
            // The driver is gone, perhaps in the middle of it.
            Err(TryRecvError::Closed) => Some(false),
        }
    }
}
