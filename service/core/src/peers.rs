//! The seam to the other members: parcels to a member, and no promise that they arrive.
//!
//! [`Peers`] is what the driver and the fronts need of the network, [`Inbox`] where the network
//! reports to.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use conclave_proto::command::Member;
use conclave_proto::peer::{Parcel, answer, question};
use conclave_storage::Fault;
use conclave_storage::snapshot::Snapshot;
use conclave_storage::state_store::StateStore;

use crate::clock::Moment;
use crate::workers::Workers;

/// The other members. No method blocks.
pub trait Peers: Send + Sync + 'static {
    /// Sends one parcel to a member. What cannot be sent is dropped: raft repeats what matters.
    /// Parcels to one member arrive in order, if they arrive. False: it certainly does not.
    fn send(&self, to: u64, parcel: Parcel) -> bool;

    /// Sends a snapshot, with the raft message that announces it. How it went is reported, always,
    /// by [`PeerEvent::SnapshotSent`].
    fn send_snapshot(&self, to: u64, raft_message: Bytes, files: Arc<SnapshotFiles>);

    /// Ends all transfers of snapshots: this member leads no more, and nobody has a use for them.
    fn end_snapshots(&self);

    /// Who is in the cluster now, this member included, and who was. Connections to others end.
    fn set_members(&self, members: &[Member], removed: &[u64]);

    /// Asks a member.
    fn ask(&self, to: u64, question: question::Question) -> Asking;

    /// Since when a connection to this member stands without a break.
    fn connected_since(&self, to: u64) -> Option<Moment>;
}

/// An answer on its way.
pub type Asking = Pin<Box<dyn Future<Output = Result<answer::Answer, Unreachable>> + Send>>;

/// A member that could not be asked: not connected, gone meanwhile, or too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreachable;

/// A member without peers. There is nobody to send to, so nothing is ever given to it.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPeers;

impl Peers for NoPeers {
    fn send(&self, to: u64, _parcel: Parcel) -> bool {
        tracing::debug!(to, "a message to a member nobody can reach");
        false
    }

    fn send_snapshot(&self, to: u64, _raft_message: Bytes, _files: Arc<SnapshotFiles>) {
        tracing::debug!(to, "a snapshot to a member nobody can reach");
    }

    fn end_snapshots(&self) {}

    fn set_members(&self, _members: &[Member], _removed: &[u64]) {}

    fn ask(&self, _to: u64, _question: question::Question) -> Asking {
        Box::pin(std::future::ready(Err(Unreachable)))
    }

    fn connected_since(&self, _to: u64) -> Option<Moment> {
        None
    }
}

/// A checkpoint of the state on this member's disk, to be sent. Removed when its last holder lets
/// go of it, by a worker: gigabytes take the file system a while, and the holder may be the driver.
pub struct SnapshotFiles {
    /// The folder; everything in it belongs to the snapshot.
    pub dir: PathBuf,
    /// Last log entry the state includes.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// Names and sizes in bytes of the files in the folder.
    pub files: Vec<(String, u64)>,
    states: Arc<dyn StateStore>,
    workers: Arc<dyn Workers>,
}

impl SnapshotFiles {
    /// The copy at `dir`, which `states` removes.
    pub fn new(
        dir: PathBuf,
        snapshot: Snapshot,
        states: Arc<dyn StateStore>,
        workers: Arc<dyn Workers>,
    ) -> SnapshotFiles {
        SnapshotFiles {
            dir,
            index: snapshot.index,
            term: snapshot.term,
            files: snapshot.files,
            states,
            workers,
        }
    }
}

impl fmt::Debug for SnapshotFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotFiles")
            .field("dir", &self.dir)
            .field("index", &self.index)
            .field("term", &self.term)
            .finish_non_exhaustive()
    }
}

impl Drop for SnapshotFiles {
    fn drop(&mut self) {
        let (dir, states) = (std::mem::take(&mut self.dir), Arc::clone(&self.states));
        let shown = dir.display().to_string();
        let remove = move || {
            if let Err(error) = states.remove(&dir) {
                let dir = dir.display();
                tracing::warn!(%dir, %error, "a snapshot that was sent cannot be removed");
            }
        };
        if let Err(error) = self.workers.start("snapshot", Box::new(remove)) {
            tracing::warn!(dir = shown, %error, "a sent snapshot stays until the next start");
        }
    }
}

/// A checkpoint that was made and its members, or the reason why it could not be made.
pub(crate) type Taken = Result<(Arc<SnapshotFiles>, Vec<Member>), Fault>;

/// A snapshot that has been received whole: every file checked and synced.
#[derive(Debug)]
pub struct ReceivedSnapshot {
    /// The folder of the files, beside the state's.
    pub dir: PathBuf,
    /// The raft message that announces it.
    pub raft_message: Bytes,
    /// Last log entry the state in it includes.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// Reports whether it was put in place. If it was not, the folder is the receiver's to remove.
    pub installed: oneshot::Sender<bool>,
}

/// What the network reports.
#[derive(Debug)]
pub enum PeerEvent {
    /// A parcel has come.
    Parcel {
        /// The member that sent it.
        from: u64,
        /// What it sent.
        parcel: Parcel,
    },
    /// This member closed the connection it had made to us: most likely its process is gone.
    Closed(u64),
    /// Something sent to this member was lost.
    Unreachable(u64),
    /// A snapshot has been sent, or could not be.
    SnapshotSent {
        /// The member it was for.
        to: u64,
        /// Whether that member has it in place, or needs none.
        arrived: bool,
    },
    /// A snapshot has come and should be put in place.
    SnapshotReceived(ReceivedSnapshot),
}

/// Where the network reports to.
#[derive(Clone)]
pub struct Inbox {
    deliver: Arc<dyn Fn(PeerEvent) -> bool + Send + Sync>,
}

impl Inbox {
    /// Reports go to `deliver`, which returns false if it drops one.
    pub fn new(deliver: impl Fn(PeerEvent) -> bool + Send + Sync + 'static) -> Inbox {
        Inbox {
            deliver: Arc::new(deliver),
        }
    }

    /// Reports an event. False: it is dropped, because too many wait.
    pub fn deliver(&self, event: PeerEvent) -> bool {
        (self.deliver)(event)
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}
