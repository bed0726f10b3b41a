//! The other members, over gRPC: [`Peers`] for the driver, and a listener that feeds its [`Inbox`].
//!
//! Two members, A and B, have two connections for raft's messages. Each dials one of them:
//!
//! ```text
//!   A  link ── queue ── frames ═══ Peer.Stream ═══▶ serve ── Inbox  B
//!   A  Inbox ── serve ◀═══ Peer.Stream ═══ frames ── queue ── link  B
//! ```
//!
//! Each direction is one HTTP/2 stream that lives as long as both processes do. Messages are put
//! into a queue ([`queue`]). Whenever the network has room, the stream takes out all of them as one
//! frame ([`queue::Frames`]), so a busy link sends large frames and an idle link sends at once. A
//! task for each member ([`link`]) keeps the stream up: it dials ([`dial`]), says hello and checks
//! which member it reached ([`hello`]), waits for the end, and dials again. Questions go over the
//! same connection, and so do the probes that measure it ([`probe`]). Snapshots ([`snapshot`]) have
//! a connection of their own, since their data would fill the connection's window and delay
//! heartbeats. A member without a log asks who is in the cluster with [`introduce`].
//!
//! Connections of other members are accepted by [`crate::net`]; [`serve`] is its endpoint for them.
//!
//! # One heartbeat
//!
//! The driver calls [`Peers::send`]. The parcel goes into B's queue, or is dropped if there is no
//! connection, or if the queue is full because B or the network is slow. The first drop after a
//! successful send is reported to the driver with [`PeerEvent::Unreachable`]. Otherwise the stream
//! wakes, encodes a frame, and hyper writes it. At B, [`service`] decodes the frame and delivers
//! a [`PeerEvent::Parcel`] for each parcel.
//!
//! # When a process dies
//!
//! The kernel closes its connections. The member that dialled a connection sees its stream end,
//! reports the peer as unreachable and dials again, soon at first. The member that accepted a
//! connection delivers a [`PeerEvent::Closed`], so a follower knows that its leader is gone before
//! the election timeout. If a machine vanishes, the kernel notices at both ends, since nothing is
//! acknowledged, in two or three election timeouts. Pings detect a process that hangs, in some ten
//! seconds.
//!
//! # Invariants
//!
//! * No call of [`Peers`] blocks, and a member that does not read delays no other member: each has
//!   its own queue, task and connections.
//! * Parcels to one member arrive in the order of the calls. A parcel that was given to one
//!   connection is never sent again on the next one.
//! * Of two processes that claim to be the same member, the process at the member's URL is
//!   accepted.
//! * A member that the membership does not list yet is answered as long as its stream is open
//!   ([`unlisted`]).
//! * Nothing is sent, and no message is processed, before the Hello of the other end was checked.
//! * Every message is bounded before it is decoded, every queue in number and bytes.
//! * [`Peers::send_snapshot`] leads to exactly one [`PeerEvent::SnapshotSent`].
//!
//! [`Peers`]: conclave_core::peers::Peers
//! [`Peers::send`]: conclave_core::peers::Peers::send
//! [`Peers::send_snapshot`]: conclave_core::peers::Peers::send_snapshot
//! [`PeerEvent::Closed`]: conclave_core::peers::PeerEvent::Closed
//! [`PeerEvent::Parcel`]: conclave_core::peers::PeerEvent::Parcel
//! [`PeerEvent::SnapshotSent`]: conclave_core::peers::PeerEvent::SnapshotSent
//! [`PeerEvent::Unreachable`]: conclave_core::peers::PeerEvent::Unreachable

use std::error::Error as _;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use conclave_proto::peer::{Hello, Introduction, answer, question};
use conclave_storage::machine::GENESIS;
use conclave_storage::{ClusterId, Index, MemberId};

use crate::metrics::PeerStats;
use crate::net::tls::Tls;
use conclave_core::clock::Clock;
use conclave_core::fatal::{Fatal, FatalError};
use conclave_core::limits;
use conclave_core::peers::Inbox;

mod dial;
mod hello;
mod incoming;
mod introduce;
mod link;
mod network;
mod places;
mod probe;
mod queue;
mod serve;
mod service;
pub mod snapshot;
mod unlisted;

#[cfg(test)]
mod tests;

pub use introduce::{IntroduceError, introduce};
pub use network::Network;
pub use serve::serve;

use hello::Identity;

/// Bytes of one message from a member, before it is decoded. Raft's largest is an append of
/// [`limits::APPEND_MESSAGE_BYTES_MAX`], or of one entry if that is larger, so the largest
/// configured request counts too; see [`Settings::message_bytes_max`].
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Snapshot bytes a second to one member: enough for a member to be back soon, and not so much that
/// the leader's clients feel it. (With four times as much a member on the same machine took 1.6 s
/// instead of 2.5 s for 256 MiB, and the leader's p99 of puts rose from 4 to 60 ms instead of 5.)
pub const SNAPSHOT_BYTES_PER_SECOND: u64 = 120 << 20;

/// Lower bound of the timeouts, which follow the election timeout: a shorter timeout would end
/// connections for a pause of the scheduler.
const PATIENCE_MIN: Duration = Duration::from_millis(500);
/// Upper bound of the timeouts: a longer timeout would keep a dead connection.
const PATIENCE_MAX: Duration = Duration::from_secs(5);

/// Configuration of the network.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The cluster's id.
    pub cluster_id: ClusterId,
    /// This member's id.
    pub member_id: MemberId,
    /// Identifies this start of the process: a number that differs from that of the last start.
    pub boot_id: u64,
    /// The time without a leader before an election. Timeouts follow it.
    pub election_timeout: Duration,
    /// Bytes of the largest request of a client.
    pub max_request_bytes: usize,
    /// Snapshot bytes a second to one member; see [`SNAPSHOT_BYTES_PER_SECOND`].
    pub snapshot_bytes_per_second: u64,
    /// The URLs at which this member is reached, until its membership has them.
    pub peer_urls: Vec<String>,
    /// The folder for received snapshots: on the file system of the state.
    pub snapshot_dir: PathBuf,
    /// Certificates for `https://` URLs; `None` if such URLs cannot be dialled.
    pub tls: Option<Arc<Tls>>,
    /// The address to connect to other members from; `None` leaves the choice to the system.
    pub local_address: Option<IpAddr>,
}

impl Settings {
    /// How long a connection may be silent before it is pinged, and how long dialling may take.
    fn patience(&self) -> Duration {
        self.election_timeout.clamp(PATIENCE_MIN, PATIENCE_MAX)
    }

    /// Upper bound of the bytes of one message, at both ends.
    fn message_bytes_max(&self) -> usize {
        let entry = limits::ENTRY_BYTES_MAX.saturating_add(self.max_request_bytes);
        MESSAGE_BYTES_MAX.max(entry.saturating_mul(2))
    }

    fn identity(&self) -> Identity {
        Identity {
            cluster_id: self.cluster_id,
            member_id: self.member_id,
            boot_id: self.boot_id,
        }
    }
}

/// What the network needs from this member.
pub struct Parts {
    /// The configuration.
    pub settings: Settings,
    /// Receives the messages of other members.
    pub inbox: Inbox,
    /// The member's clock.
    pub clock: Arc<dyn Clock>,
    /// Returns the index of the last applied log entry.
    pub applied: Arc<dyn Fn() -> Index + Send + Sync>,
    /// Metrics of other members.
    pub stats: PeerStats,
    /// True if the log had only the first entries of the cluster when this process started: this
    /// member has never run, or has lost its data.
    pub began_blank: bool,
    /// The error if other members know this member as one that has run, and its data is missing.
    pub already_started: FatalError,
    /// Ends the process when an error is reported.
    pub(crate) fatal: Fatal,
    /// The runtime of the tasks.
    pub runtime: runtime::Handle,
    /// Ends everything when cancelled.
    pub stopping: CancellationToken,
}

/// A future that owns what it needs.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Answers to questions of other members.
pub trait Answers: Send + Sync + 'static {
    /// Answers a question of another member.
    fn answer(&self, question: question::Question) -> BoxFuture<answer::Answer>;

    /// Lists the members of the cluster, for a member that does not belong to it yet.
    fn introduce(&self) -> Introduction;
}

/// State that tasks and calls share.
struct Common {
    settings: Settings,
    inbox: Inbox,
    clock: Arc<dyn Clock>,
    applied: Arc<dyn Fn() -> Index + Send + Sync>,
    stats: PeerStats,
    began_blank: bool,
    already_started: FatalError,
    fatal: Fatal,
    runtime: runtime::Handle,
    stopping: CancellationToken,
    /// The URLs that this member announces in the Hello of a stream.
    own_urls: Mutex<Vec<String>>,
    /// Every task; they end when `stopping` is cancelled.
    tasks: Mutex<JoinSet<()>>,
}

impl Common {
    /// The Hello of a stream to `to`.
    fn stream_hello(&self, to: MemberId) -> Hello {
        Hello {
            peer_urls: self.own_urls.lock().clone(),
            ..self.settings.identity().hello(to)
        }
    }

    /// Returns true if the log still has only the first entries of the cluster.
    fn is_blank(&self) -> bool {
        self.began_blank && (self.applied)() <= GENESIS.0
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock();
        // Take out the tasks that have ended, so that they do not pile up.
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(task, &self.runtime);
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Describes a failed call for the log: the message of the other end, or the error of the
/// connection. tonic's own text has codes and types instead.
fn reason(status: &Status) -> String {
    match (status.source(), status.message()) {
        (Some(source), _) => format!("the connection broke: {}", root(source)),
        (None, "") => status.code().description().to_owned(),
        (None, message) => message.to_owned(),
    }
}

/// The root cause of an error: hyper itself only says "http2 error".
fn root(error: &(dyn std::error::Error + 'static)) -> String {
    let mut root = error;
    while let Some(cause) = root.source() {
        root = cause;
    }
    match root.downcast_ref::<io::Error>() {
        // With TLS this is several lines about a missing close_notify.
        Some(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the other end closed it".to_owned()
        }
        _ => root.to_string(),
    }
}
