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

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use conclave_proto::command::Member;
use conclave_proto::peer::{Hello, Introduction, Parcel, answer, question};
use conclave_storage::machine::GENESIS;

use crate::descriptors::Budget;
use crate::metrics::{OfPeer, PeerStats};
use crate::net::tls::Tls;
use conclave_core::clock::{Clock, Moment};
use conclave_core::fatal::{Fatal, FatalError};
use conclave_core::limits;
use conclave_core::log_once::LogOnce;
use conclave_core::peers::{Asking, Inbox, PeerEvent, Peers, SnapshotFiles, Unreachable};

mod dial;
mod hello;
mod incoming;
mod introduce;
mod link;
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
pub use serve::serve;

use hello::Identity;
use incoming::Incoming;
use link::Link;
use places::Places;
use queue::Pushed;

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
    pub cluster_id: u64,
    /// This member's id.
    pub member_id: u64,
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
    pub applied: Arc<dyn Fn() -> u64 + Send + Sync>,
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
    applied: Arc<dyn Fn() -> u64 + Send + Sync>,
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
    fn stream_hello(&self, to: u64) -> Hello {
        Hello {
            peer_urls: lock(&self.own_urls).clone(),
            ..self.settings.identity().hello(to)
        }
    }

    /// Returns true if the log still has only the first entries of the cluster.
    fn is_blank(&self) -> bool {
        self.began_blank && (self.applied)() <= GENESIS.0
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.tasks);
        // Take out the tasks that have ended, so that they do not pile up.
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(task, &self.runtime);
    }
}

/// The connections to and from other members.
pub struct Network {
    common: Arc<Common>,
    members: Mutex<Members>,
    incoming: Incoming,
    places: Arc<Places>,
    /// Limits the log lines of rejected connections.
    rejections: LogOnce,
    /// Limits the log lines of refused calls.
    refusals: LogOnce,
    /// Limits the log lines of streams that end at once.
    streams: LogOnce,
    /// Limits the log lines of members that the membership does not list.
    unlisted: LogOnce,
    /// Limits the log lines of messages to members whose URLs are unknown.
    unreached: LogOnce,
    receiver: snapshot::Receiver,
}

#[derive(Default)]
struct Members {
    links: BTreeMap<u64, Arc<Link>>,
    /// Metrics of all other members: counts continue when a link is replaced.
    stats: BTreeMap<u64, Arc<OfPeer>>,
    removed: BTreeSet<u64>,
    /// The links to members that are known only by their Hello, with the stream; see [`unlisted`].
    unlisted: BTreeMap<u64, u64>,
}

impl Network {
    /// A network without members, until [`Peers::set_members`].
    pub fn new(parts: Parts) -> Arc<Network> {
        let Parts {
            settings,
            inbox,
            clock,
            applied,
            stats,
            began_blank,
            already_started,
            fatal,
            runtime,
            stopping,
        } = parts;
        Arc::new(Network {
            receiver: snapshot::Receiver::new(settings.snapshot_dir.clone()),
            common: Arc::new(Common {
                own_urls: Mutex::new(settings.peer_urls.clone()),
                settings,
                inbox,
                clock,
                applied,
                stats,
                began_blank,
                already_started,
                fatal,
                runtime,
                stopping,
                tasks: Mutex::default(),
            }),
            members: Mutex::default(),
            incoming: Incoming::default(),
            places: Places::new(Budget::current().peer_newcomers),
            rejections: LogOnce::default(),
            refusals: LogOnce::default(),
            streams: LogOnce::default(),
            unlisted: LogOnce::default(),
            unreached: LogOnce::default(),
        })
    }

    /// Ends all connections that this member dialled, and returns when every task has ended.
    /// Listeners have a token of their own, which is cancelled before or after.
    pub async fn stop(&self) {
        self.common.stopping.cancel();
        let mut tasks = std::mem::take(&mut *lock(&self.common.tasks));
        while tasks.join_next().await.is_some() {}
    }

    /// Metrics of a member, if the membership lists it or it has a link.
    fn stats(&self, of: u64) -> Option<Arc<OfPeer>> {
        lock(&self.members).stats.get(&of).cloned()
    }

    fn link(&self, to: u64) -> Option<Arc<Link>> {
        lock(&self.members).links.get(&to).cloned()
    }

    /// Makes a link to a member and keeps it connected.
    fn begin_link(&self, inside: &mut Members, id: u64, urls: &[String], former: Option<&Link>) {
        let stats = inside.stats.entry(id);
        let stats = stats.or_insert_with(|| Arc::new(self.common.stats.of(id)));
        let ending = self.common.stopping.child_token();
        let link = Link::new(id, urls.to_vec(), former, Arc::clone(stats), ending);
        let link = Arc::new(link);
        let running = link::run(Arc::clone(&link), Arc::clone(&self.common));
        self.common.spawn(running);
        inside.links.insert(id, link);
    }

    fn end_snapshot(&self, to: u64) {
        if let Some(link) = self.link(to) {
            link.end_snapshot();
        }
    }

    fn is_removed(&self, id: u64) -> bool {
        lock(&self.members).removed.contains(&id)
    }
}

impl Peers for Network {
    fn send(&self, to: u64, parcel: Parcel) -> bool {
        let Some(link) = self.link(to) else {
            let member = format!("{to:x}");
            // A message to a member that was removed meanwhile is expected.
            if !self.is_removed(to) && self.unreached.is_new(&member, self.common.clock.now()) {
                tracing::warn!(
                    member,
                    "cannot answer a member whose peer URLs this one does not know"
                );
            }
            return false;
        };
        let pushed = link.queue().push(parcel);
        if pushed == Pushed::FirstLost {
            self.common.inbox.deliver(PeerEvent::Unreachable(to));
        }
        pushed == Pushed::Queued
    }

    fn send_snapshot(&self, to: u64, raft_message: Bytes, files: Arc<SnapshotFiles>) {
        let sending = snapshot::Sending::new(self.common.inbox.clone(), to);
        let Some(turn) = self.link(to).and_then(|link| link.snapshot_turn()) else {
            // Dropping `sending` reports that it did not arrive.
            tracing::debug!(
                to,
                "a snapshot is not sent: no connection, or another one is being sent"
            );
            return;
        };
        let common = Arc::clone(&self.common);
        self.common.spawn(async move {
            let ending = turn.ending().clone();
            tokio::select! {
                () = snapshot::send(&common, &turn, sending, raft_message, files) => {}
                () = ending.cancelled() => {}
            }
        });
    }

    fn end_snapshots(&self) {
        for link in lock(&self.members).links.values() {
            link.end_snapshot();
        }
    }

    fn set_members(&self, members: &[Member], removed: &[u64]) {
        let own = self.common.settings.member_id;
        if let Some(ourselves) = members.iter().find(|member| member.id == own) {
            lock(&self.common.own_urls).clone_from(&ourselves.peer_urls);
        }
        let mut guard = lock(&self.members);
        let inside = &mut *guard;
        inside.removed.extend(removed.iter().copied());
        for gone in removed {
            self.incoming.end(*gone);
        }
        let is_listed = |id: u64| members.iter().any(|member| member.id == id);
        let Members {
            links,
            stats,
            removed,
            unlisted,
        } = inside;
        unlisted.retain(|id, _| !is_listed(*id) && !removed.contains(id));
        let changed: BTreeMap<u64, Arc<Link>> = links
            .extract_if(.., |id, link| {
                let member = members.iter().find(|member| member.id == *id);
                match member {
                    Some(member) => member.peer_urls != link.urls(),
                    None => !unlisted.contains_key(id),
                }
            })
            .inspect(|(_, link)| link.end())
            .collect();
        stats.retain(|id, _| {
            let stays = is_listed(*id) || unlisted.contains_key(id);
            if !stays {
                self.common.stats.forget(*id);
            }
            stays
        });
        for member in members.iter().filter(|member| member.id != own) {
            if !inside.links.contains_key(&member.id) {
                let former = changed.get(&member.id).map(Arc::as_ref);
                self.begin_link(inside, member.id, &member.peer_urls, former);
            }
        }
    }

    fn ask(&self, to: u64, question: question::Question) -> Asking {
        let Some(mut client) = self.link(to).and_then(|link| link.client()) else {
            return Box::pin(std::future::ready(Err(Unreachable)));
        };
        let settings = &self.common.settings;
        let patience = settings.patience() * 2;
        let hello = Some(settings.identity().hello(to));
        let question = conclave_proto::peer::Question {
            hello,
            question: Some(question),
        };
        Box::pin(async move {
            let asked = tokio::time::timeout(patience, client.ask(question)).await;
            let answered = asked.map_err(|_elapsed| Unreachable)?;
            let answer = answered.map_err(|status| {
                tracing::debug!(to, %status, "a member does not answer");
                Unreachable
            })?;
            answer.into_inner().answer.ok_or(Unreachable)
        })
    }

    fn connected_since(&self, to: u64) -> Option<Moment> {
        self.link(to)?.connected_since()
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("settings", &self.common.settings)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Locks a mutex. No panic leaves the data half changed, so a poisoned lock is ignored.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
