//! The other members, over gRPC: [`Peers`] for the driver, and a listener that feeds its [`Inbox`].
//!
//! Between two members, A and B, stand two connections for raft's messages, one dialled by each:
//!
//! ```text
//!   A  link ── queue ── frames ═══ Peer.Stream ═══▶ serve ── Inbox  B
//!   A  Inbox ── serve ◀═══ Peer.Stream ═══ frames ── queue ── link  B
//! ```
//!
//! Each direction is one HTTP/2 stream that lives as long as both processes do. What is sent is put
//! into a queue ([`queue`]); the stream takes out everything there is as one frame whenever the
//! network has room ([`queue::Frames`]), so a busy link sends large frames and an idle one sends at
//! once. A task for each member ([`link`]) sees to it that the stream stands: it dials ([`dial`]),
//! says who it is and hears whom it reached ([`hello`]), waits for the end, and dials again.
//! Questions go over the same connection, and so does what measures it ([`probe`]). Snapshots
//! ([`snapshot`]) have one of their own, since what has filled a connection's window would hold
//! heartbeats up. Whoever has no log yet asks who is in the cluster with [`introduce`].
//!
//! # One heartbeat
//!
//! The driver calls [`Peers::send`]. The parcel goes into B's queue, or is dropped: when there is
//! no connection, or when the queue is full because B or the network is slow. Then, once for each
//! break, the driver hears [`PeerEvent::Unreachable`]. Otherwise the stream wakes, encodes a frame, and
//! hyper writes it. At B, [`service`] decodes the frame and delivers a [`PeerEvent::Parcel`] for each
//! parcel.
//!
//! # Who is told what when a process dies
//!
//! The kernel closes its connections. The dialler of one sees its stream end: unreachable, and
//! dial again, soon at first. The other side of one delivers a [`PeerEvent::Closed`], which is how a
//! follower learns that its leader is gone before the election timeout. A machine that vanishes
//! without a word is noticed by the kernel, at both ends, since it acknowledges nothing: in two or
//! three election timeouts. A process that hangs is noticed by pings, in some ten seconds.
//!
//! # Invariants
//!
//! * No call of [`Peers`] blocks, and a member that does not read costs no other member anything:
//!   queues, tasks and connections are each member's own.
//! * Parcels to one member arrive in the order of the calls. A parcel given to one connection is
//!   never sent again on the next.
//! * Of two processes that say they are the same member, the one at its URL is listened to.
//! * A member that the membership does not list yet is answered for as long as it speaks
//!   ([`unlisted`]).
//! * Nothing is sent before the other side's Hello has been checked; nothing is taken in before
//!   its Hello has.
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
use crate::tls::Tls;
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

/// Timeouts follow the election timeout, within these bounds: a shorter one would end connections
/// for a pause of the scheduler, a longer one would leave a dead connection standing.
const PATIENCE_MIN: Duration = Duration::from_millis(500);
/// See [`PATIENCE_MIN`].
const PATIENCE_MAX: Duration = Duration::from_secs(5);

/// What of the network is configured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The cluster's id.
    pub cluster_id: u64,
    /// This member's id.
    pub member_id: u64,
    /// This start of the process: any number that differs from the last start's.
    pub boot_id: u64,
    /// The time without a leader before an election. Dialling and asking follow it.
    pub election_timeout: Duration,
    /// Bytes of the largest request a client may make.
    pub max_request_bytes: usize,
    /// Snapshot bytes a second to one member; see [`SNAPSHOT_BYTES_PER_SECOND`].
    pub snapshot_bytes_per_second: u64,
    /// Where this member is reached, until its membership says so.
    pub peer_urls: Vec<String>,
    /// Where folders of snapshots that are received are made: on the state's file system.
    pub snapshot_dir: PathBuf,
    /// How connections to `https://` URLs are made; `None` if there can be none.
    pub tls: Option<Arc<Tls>>,
    /// The address to connect to other members from; `None` leaves it to the system.
    pub local_address: Option<IpAddr>,
}

impl Settings {
    /// How long a connection may be silent before it is pinged, a dialled member undecided.
    fn patience(&self) -> Duration {
        self.election_timeout.clamp(PATIENCE_MIN, PATIENCE_MAX)
    }

    /// Bytes of one message, on either side.
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

/// What the network needs of the rest of the member.
pub struct Parts {
    /// See there.
    pub settings: Settings,
    /// Where what arrives goes.
    pub inbox: Inbox,
    /// The member's clock.
    pub clock: Arc<dyn Clock>,
    /// The last log entry the state includes, now.
    pub applied: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// What is counted of other members.
    pub stats: PeerStats,
    /// Whether the log had nothing but the beginning of the cluster when this process started: this
    /// member has never run, or has lost its data.
    pub began_blank: bool,
    /// What to say if others know this member as one that has run, and there is no data of that.
    pub already_started: FatalError,
    /// Where it is reported that the process must end.
    pub(crate) fatal: Fatal,
    /// Where the tasks run.
    pub runtime: runtime::Handle,
    /// Ends everything when cancelled.
    pub stopping: CancellationToken,
}

/// A future that owns what it needs.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What this member answers others.
pub trait Answers: Send + Sync + 'static {
    /// Answers a question of another member.
    fn answer(&self, question: question::Question) -> BoxFuture<answer::Answer>;

    /// Says who is in the cluster, for a member that does not belong to it yet.
    fn introduce(&self) -> Introduction;
}

/// What tasks and calls share.
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
    /// Where this member is reached, as it says in the Hello of a stream.
    own_urls: Mutex<Vec<String>>,
    /// Every task; they end when `stopping` is cancelled.
    tasks: Mutex<JoinSet<()>>,
}

impl Common {
    /// What a stream to `to` begins with.
    fn stream_hello(&self, to: u64) -> Hello {
        Hello {
            peer_urls: lock(&self.own_urls).clone(),
            ..self.settings.identity().hello(to)
        }
    }

    /// Whether there is still nothing but the beginning of the cluster.
    fn is_blank(&self) -> bool {
        self.began_blank && (self.applied)() <= GENESIS.0
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.tasks);
        // Those that ended since; each call takes in at least as many as were added.
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(task, &self.runtime);
    }
}

/// The other members, as this one reaches them and is reached by them.
pub struct Network {
    common: Arc<Common>,
    members: Mutex<Members>,
    incoming: Incoming,
    places: Arc<Places>,
    /// Connections that were turned away.
    rejections: LogOnce,
    /// Calls that were turned away.
    refusals: LogOnce,
    /// Streams of members that came and went within a moment.
    streams: LogOnce,
    /// Members that this one's membership does not list, and that were given or refused a link.
    unlisted: LogOnce,
    /// Messages to members this one cannot reach.
    unreached: LogOnce,
    receiver: snapshot::Receiver,
}

#[derive(Default)]
struct Members {
    links: BTreeMap<u64, Arc<Link>>,
    /// Of everybody else who is a member: counts go on when a link is replaced.
    stats: BTreeMap<u64, Arc<OfPeer>>,
    removed: BTreeSet<u64>,
    /// Of the links, those to members that are known by their Hello alone; see [`unlisted`].
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

    /// Ends all connections this member made, and returns when every task has ended. What listens
    /// is ended by its own token, before or after.
    pub async fn stop(&self) {
        self.common.stopping.cancel();
        let mut tasks = std::mem::take(&mut *lock(&self.common.tasks));
        while tasks.join_next().await.is_some() {}
    }

    /// What is counted of a member, unless this one has not heard of it yet.
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
            // What was sent to a member that has been removed since is no trouble.
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
                "a snapshot to nobody, or while another one is being sent"
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

/// Nothing here is left half changed by a panic, so a poisoned lock is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a call came to, for the log: what the other side said, or what happened to the connection.
/// tonic's own text tells codes and types.
fn reason(status: &Status) -> String {
    match (status.source(), status.message()) {
        (Some(source), _) => format!("the connection broke: {}", root(source)),
        (None, "") => status.code().description().to_owned(),
        (None, message) => message.to_owned(),
    }
}

/// What an error comes from: what hyper says by itself is "http2 error".
fn root(error: &(dyn std::error::Error + 'static)) -> String {
    let mut root = error;
    while let Some(cause) = root.source() {
        root = cause;
    }
    match root.downcast_ref::<io::Error>() {
        // With TLS this is several lines about a missing close_notify.
        Some(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the other side closed it".to_owned()
        }
        _ => root.to_string(),
    }
}
