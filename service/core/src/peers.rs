//! The seam to the other members: parcels to a member, and no promise that they arrive.
//!
//! The driver and the fronts use the network through [`Peers`], and the network reports to
//! [`Inbox`].

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use conclave_proto::command::Member;
use conclave_proto::peer::{Parcel, answer, question};
use conclave_storage::snapshot::Snapshot;
use conclave_storage::state_store::StateStore;
use conclave_storage::{Fault, Index, MemberId, Term};

use crate::clock::Moment;
use crate::workers::Workers;

/// The other members. No method blocks.
pub trait Peers: Send + Sync + 'static {
    /// Sends one parcel to a member. A parcel that cannot be sent is dropped, since raft repeats
    /// what matters. Parcels to one member arrive in order, if they arrive. Returns false if this
    /// parcel was dropped.
    fn send(&self, to: MemberId, parcel: Parcel) -> bool;

    /// Sends a snapshot, with the raft message that announces it. The outcome is always reported by
    /// [`PeerEvent::SnapshotSent`].
    fn send_snapshot(&self, to: MemberId, raft_message: Bytes, files: Arc<SnapshotFiles>);

    /// Ends all transfers of snapshots, because this member is not the leader any longer.
    fn end_snapshots(&self);

    /// Sets the members of the cluster, this member included, and the removed ones. Connections to
    /// all others end.
    fn set_members(&self, members: &[Member], removed: &[MemberId]);

    /// Sends a query to a member.
    fn ask(&self, to: MemberId, question: question::Question) -> Asking;

    /// Returns the time since which this member has been connected without a break.
    fn connected_since(&self, to: MemberId) -> Option<Moment>;
}

/// The pending answer to a query.
pub type Asking = Pin<Box<dyn Future<Output = Result<answer::Answer, Unreachable>> + Send>>;

/// Error: the member is not connected, was disconnected before it answered, or is too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreachable;

/// The peers of a sole member. Everything sent to them is dropped.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPeers;

impl Peers for NoPeers {
    fn send(&self, to: MemberId, _parcel: Parcel) -> bool {
        tracing::debug!(to = to.0, "a message to a member nobody can reach");
        false
    }

    fn send_snapshot(&self, to: MemberId, _raft_message: Bytes, _files: Arc<SnapshotFiles>) {
        tracing::debug!(to = to.0, "a snapshot to a member nobody can reach");
    }

    fn end_snapshots(&self) {}

    fn set_members(&self, _members: &[Member], _removed: &[MemberId]) {}

    fn ask(&self, _to: MemberId, _question: question::Question) -> Asking {
        Box::pin(std::future::ready(Err(Unreachable)))
    }

    fn connected_since(&self, _to: MemberId) -> Option<Moment> {
        None
    }
}

/// A checkpoint of the state on this member's disk, to be sent. Removed when its last holder lets
/// go of it, by a worker: gigabytes take the file system a while, and the holder may be the driver.
pub struct SnapshotFiles {
    /// The folder; everything in it belongs to the snapshot.
    pub dir: PathBuf,
    /// Last log entry the state includes.
    pub index: Index,
    /// Its term.
    pub term: Term,
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
    pub index: Index,
    /// Its term.
    pub term: Term,
    /// Reports whether the snapshot was installed. If not, the receiver removes the folder.
    pub installed: oneshot::Sender<bool>,
}

/// An event that the network reports.
#[derive(Debug)]
pub enum PeerEvent {
    /// A parcel was received.
    Parcel {
        /// The member that sent it.
        from: MemberId,
        /// The parcel.
        parcel: Parcel,
    },
    /// This member closed its connection to us: most likely its process has ended.
    Closed(MemberId),
    /// A parcel to this member was lost.
    Unreachable(MemberId),
    /// A snapshot has been sent, or could not be.
    SnapshotSent {
        /// The receiver.
        to: MemberId,
        /// True if the receiver has installed it, or needs none.
        arrived: bool,
    },
    /// A snapshot was received, and should be installed.
    SnapshotReceived(ReceivedSnapshot),
}

/// Receives the events that the network reports.
#[derive(Clone)]
pub struct Inbox {
    deliver: Arc<dyn Fn(PeerEvent) -> bool + Send + Sync>,
}

impl Inbox {
    /// Creates an inbox that passes each event to `deliver`, which returns false if it drops it.
    pub fn new(deliver: impl Fn(PeerEvent) -> bool + Send + Sync + 'static) -> Inbox {
        Inbox {
            deliver: Arc::new(deliver),
        }
    }

    /// Reports an event. Returns false if it is dropped because too many are waiting.
    pub fn deliver(&self, event: PeerEvent) -> bool {
        (self.deliver)(event)
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}
