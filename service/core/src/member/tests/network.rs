//! A cluster in one process: the real owners of each member, and a network of mailboxes between
//! them.
//!
//! [`Network`] delivers parcels at once and in order, and knows which members are cut off; parcels
//! to and from such a member are lost, as between machines. Disks are in memory. Snapshots are not
//! sent, since a state in memory has no files.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use conclave_proto::peer::{Parcel, TraceContext, question};

use super::traces::Book;
use super::*;
use crate::clock::Moment;
use crate::handle::RaftStatus;
use crate::leader_queries;
use crate::observe::Observation;
use crate::peers::{Asking, PeerEvent, SnapshotFiles, Unreachable};
use crate::trace::Span;

/// Timeout, longer than any step takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// The network of a cluster.
#[derive(Clone, Default)]
pub(super) struct Network {
    inside: Arc<Mutex<Inside>>,
}

#[derive(Default)]
struct Inside {
    inboxes: BTreeMap<MemberId, Inbox>,
    handles: BTreeMap<MemberId, Handle>,
    fatals: BTreeMap<MemberId, Fatal>,
    cut_off: BTreeSet<MemberId>,
    /// For each member, the members it knows to be removed.
    removed: BTreeMap<MemberId, Vec<MemberId>>,
}

impl Network {
    /// Cuts a member off from all others.
    pub(super) fn cut_off(&self, member_id: MemberId) {
        self.lock().cut_off.insert(member_id);
    }

    /// Reconnects all members.
    pub(super) fn heal(&self) {
        self.lock().cut_off.clear();
    }

    /// Delivers a parcel in the name of a member.
    pub(super) fn deliver(&self, from: MemberId, to: MemberId, parcel: Parcel) {
        self.lock().inboxes[&to].deliver(PeerEvent::Parcel { from, parcel });
    }

    /// Connects a member to the others.
    fn join(&self, own_id: MemberId, inbox: Inbox, fatal: Fatal) -> Arc<dyn Peers> {
        let mut inside = self.lock();
        inside.inboxes.insert(own_id, inbox);
        inside.fatals.insert(own_id, fatal.clone());
        Arc::new(Ways {
            own_id,
            fatal,
            network: self.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().expect("no test panics inside")
    }
}

impl Inside {
    fn has_removed(&self, who: MemberId, gone: MemberId) -> bool {
        let removed = self.removed.get(&who);
        removed.is_some_and(|removed| removed.contains(&gone))
    }

    fn is_whole(&self, one: MemberId, other: MemberId) -> bool {
        !self.cut_off.contains(&one) && !self.cut_off.contains(&other)
    }
}

struct Ways {
    own_id: MemberId,
    fatal: Fatal,
    network: Network,
}

impl Peers for Ways {
    fn send(&self, to: MemberId, parcel: Parcel) -> bool {
        let inside = self.network.lock();
        if inside.is_whole(self.own_id, to) && inside.has_removed(to, self.own_id) {
            self.fatal.report(FatalError::Removed);
            return false;
        }
        let inbox = inside.inboxes.get(&to);
        let inbox = inbox.filter(|_| inside.is_whole(self.own_id, to));
        inbox.is_some_and(|inbox| {
            let from = self.own_id;
            inbox.deliver(PeerEvent::Parcel { from, parcel });
            true
        })
    }

    fn send_snapshot(&self, to: MemberId, _raft_message: Bytes, _files: Arc<SnapshotFiles>) {
        panic!("a snapshot for {to} of a state without files");
    }

    fn end_snapshots(&self) {}

    /// A removed member is informed by any member that knows: at once, since that member ends its
    /// connections and refuses new ones, or when it contacts one that it could not reach before.
    fn set_members(&self, _members: &[command::Member], removed: &[MemberId]) {
        let mut inside = self.network.lock();
        inside.removed.insert(self.own_id, removed.to_vec());
        let others = removed.iter().filter(|gone| **gone != self.own_id);
        for gone in others.filter(|gone| inside.is_whole(self.own_id, **gone)) {
            if let Some(fatal) = inside.fatals.get(gone) {
                fatal.report(FatalError::Removed);
            }
        }
    }

    fn ask(&self, to: MemberId, question: question::Question) -> Asking {
        let (network, own_id) = (self.network.clone(), self.own_id);
        let reach = move || {
            let inside = network.lock();
            let handle = inside.handles.get(&to).cloned();
            handle.filter(|_| inside.is_whole(own_id, to))
        };
        Box::pin(async move {
            let handle = reach().ok_or(Unreachable)?;
            let answer = leader_queries::answer(&handle, question).await;
            // The answer has to come back, too.
            reach().map(|_| answer).ok_or(Unreachable)
        })
    }

    fn connected_since(&self, to: MemberId) -> Option<Moment> {
        let inside = self.network.lock();
        inside.is_whole(self.own_id, to).then_some(Moment(0))
    }
}

/// Counts the raft messages that members refuse, and keeps the spans of what they do by themselves.
#[derive(Default)]
pub(super) struct RefusedMessages {
    count: AtomicUsize,
    pub(super) book: Book,
}

impl RefusedMessages {
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

impl Observer for RefusedMessages {
    fn observe(&self, observation: Observation<'_>) {
        if matches!(observation, Observation::MessageRefused) {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn begin(&self, action: &'static str) -> Span {
        self.book.begin(action, None)
    }

    fn resume(&self, action: &'static str, context: &TraceContext) -> Span {
        self.book.resume(action, context)
    }
}

/// The running members.
pub(super) struct Cluster {
    pub(super) network: Network,
    /// Raft messages that the members refused.
    pub(super) refused: Arc<RefusedMessages>,
    running: Vec<super::Member>,
    disks: BTreeMap<MemberId, Disks>,
}

impl Cluster {
    /// Starts the founders of a new cluster.
    pub(super) fn start(size: u64, settings: Settings) -> Cluster {
        let network = Network::default();
        let refused = Arc::<RefusedMessages>::default();
        let mut disks = BTreeMap::new();
        let start = |which| {
            let (own_id, joining) = (MemberId(which), network.clone());
            let connect = move |of: PeerContext| joining.join(own_id, of.inbox, of.fatal);
            let own_disks: &mut Disks = disks.entry(own_id).or_default();
            let refused = Arc::clone(&refused);
            let new = new_cluster(size, own_id);
            let member = own_disks.start_observed(&new, settings, refused, connect);
            let handle = member.handle().clone();
            network.lock().handles.insert(own_id, handle);
            member
        };
        let running = (1..=size).map(start).collect();
        Cluster {
            network,
            refused,
            running,
            disks,
        }
    }

    /// The disks of a member.
    pub(super) fn disks(&self, member: &Handle) -> &Disks {
        &self.disks[&id(member)]
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &Handle> {
        self.running.iter().map(super::Member::handle)
    }

    /// The member that a majority follows in a term after `after`.
    pub(super) async fn leader(&self, after: Term) -> &Handle {
        let most = self.running.len() / 2 + 1;
        eventually("a leader", || {
            self.members().find(|leader| {
                let raft_status = leader.status();
                let follows = |member: &&Handle| {
                    let other = member.status();
                    other.term == raft_status.term && other.leader == id(leader)
                };
                raft_status.term > after
                    && raft_status.is_leader
                    && self.members().filter(follows).count() >= most
            })
        })
        .await
    }

    /// The members that are not the leader.
    pub(super) fn others(&self, leader: &Handle) -> Vec<&Handle> {
        let is_other = |member: &&Handle| id(member) != id(leader);
        self.members().filter(is_other).collect()
    }

    /// Takes a member out, to be stopped separately.
    pub(super) fn take(&mut self, member_id: MemberId) -> super::Member {
        let found = self
            .running
            .iter()
            .position(|member| id(member.handle()) == member_id);
        let member = self.running.remove(found.expect("it is one of them"));
        let mut inside = self.network.lock();
        inside.handles.remove(&member_id);
        inside.inboxes.remove(&member_id);
        member
    }

    pub(super) async fn stop(self) {
        // The handles own the members' connections, which own the network.
        self.network.lock().handles.clear();
        let stopping: Vec<_> = self
            .running
            .into_iter()
            .map(|member| tokio::spawn(member.stop()))
            .collect();
        for stopped in stopping {
            stopped.await.expect("no panic").expect("no fault");
        }
    }
}

pub(super) fn id(handle: &Handle) -> MemberId {
    handle.identity().member_id
}

/// Waits until this member's status satisfies the condition.
pub(super) async fn stands(handle: &Handle, as_asked: impl FnMut(&RaftStatus) -> bool) {
    let mut raft_statuses = handle.raft_statuses();
    let raft_status = tokio::time::timeout(PATIENCE, raft_statuses.wait_for(as_asked)).await;
    raft_status.expect("in time").expect("it runs");
}

/// Polls for a condition that sends no notification.
pub(super) async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let looking = async {
        let mut turns = tokio::time::interval(Duration::from_millis(2));
        loop {
            turns.tick().await;
            if let Some(found) = look() {
                return found;
            }
        }
    };
    let found = tokio::time::timeout(PATIENCE, looking).await;
    found.unwrap_or_else(|_| panic!("{what} does not come"))
}
