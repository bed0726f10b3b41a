//! The network between the members: it delays, loses, repeats and reorders, and cuts links in one
//! direction.
//!
//! It keeps what [`Peers`] promises and no more. Parcels with commands arrive in order and at most
//! once, as over one connection; raft's messages may come in any order and more than once, which
//! raft has to bear. Snapshots travel in pieces, each over a connection of its own
//! ([`transfers`]).
//!
//! A member that was removed hears it from those that know, when it speaks to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use conclave_core::clock::Moment;
use conclave_core::fatal::{Fatal, FatalError};
use conclave_core::handle::Handle;
use conclave_core::leader_queries;
use conclave_core::member::PeerContext;
use conclave_core::peers::{Asking, Inbox, PeerEvent, Peers, SnapshotFiles, Unreachable};
use conclave_proto::command::Member;
use conclave_proto::peer::{Parcel, parcel::Content, question};
use conclave_storage::MemberId;
use conclave_storage::reader::Reader;
use conclave_storage::state_store::memory::MemoryStates;

use transfers::{Transfer, Transfers};

pub mod transfers;

/// The network.
#[derive(Clone, Default)]
pub struct Network {
    inside: Arc<Mutex<Inside>>,
}

#[derive(Default)]
struct Inside {
    /// Members whose process runs.
    ends: BTreeMap<MemberId, End>,
    /// Links over which nothing comes: from, to.
    cut: BTreeSet<(MemberId, MemberId)>,
    /// Sent and not delivered, by the order in which they were sent.
    under_way: Vec<Message>,
    transfers: Transfers,
}

/// Where a member is reached.
struct End {
    inbox: Inbox,
    handle: Option<Handle>,
    fatal: Fatal,
    reader: Reader,
    states: MemoryStates,
    /// Members that were removed, as far as this one knows.
    removed: Vec<MemberId>,
    /// It is a voter, as far as it knows.
    is_voter: bool,
}

/// A parcel under way.
#[derive(Clone)]
struct Message {
    from: MemberId,
    to: MemberId,
    parcel: Parcel,
}

impl Message {
    fn is_raft(&self) -> bool {
        matches!(self.parcel.content, Some(Content::Raft(_)))
    }
}

/// What becomes of the message that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives.
    Delivered,
    /// It arrives, and a copy of it later, if it is one of raft's.
    Repeated,
    /// It is lost.
    Lost,
}

impl Network {
    /// A member's way into the network; its process has started.
    pub fn join(&self, context: PeerContext, states: MemoryStates) -> Arc<dyn Peers> {
        let id = context.identity.member_id;
        let end = End {
            inbox: context.inbox,
            handle: None,
            fatal: context.fatal,
            reader: context.reader,
            states,
            removed: Vec::new(),
            is_voter: false,
        };
        self.lock().ends.insert(id, end);
        Arc::new(Links {
            from: id,
            network: self.clone(),
        })
    }

    /// The member can be asked.
    pub fn answer_with(&self, id: MemberId, handle: Handle) {
        if let Some(end) = self.lock().ends.get_mut(&id) {
            end.handle = Some(handle);
        }
    }

    /// A member's process is gone, with what was under way from and to it. The others find their
    /// connections closed.
    pub fn leave(&self, id: MemberId) {
        let mut inside = self.lock();
        let gone = inside.ends.remove(&id);
        inside
            .under_way
            .retain(|message| message.from != id && message.to != id);
        let ended = inside.end_transfers(|transfer| transfer.from == id || transfer.to == id);
        let inboxes: Vec<_> = inside.ends.values().map(|end| end.inbox.clone()).collect();
        // The handle may hold the last reference to what locks this network when it goes.
        drop((inside, gone));
        for inbox in inboxes {
            inbox.deliver(PeerEvent::Closed(id));
        }
        drop(ended);
    }

    /// Members dial each other, and those that were removed hear it.
    pub fn dial(&self) {
        let inside = self.lock();
        for (from, end) in &inside.ends {
            let mut others = inside.ends.iter();
            let reports =
                |to: MemberId| inside.is_connected(*from, to) && inside.confirms(to, *from);
            if others.any(|(to, _)| to != from && reports(*to)) {
                end.fatal.report(FatalError::Removed);
            }
        }
    }

    /// The world ends. The network and the members hold each other.
    pub fn end(&self) {
        let inside = std::mem::take(&mut *self.lock());
        drop(inside);
    }

    /// Cuts the link from one member to another, in this direction.
    pub fn cut(&self, from: MemberId, to: MemberId) {
        self.lock().cut.insert((from, to));
    }

    /// Every link works again.
    pub fn heal(&self) {
        self.lock().cut.clear();
    }

    /// Messages under way.
    pub fn under_way(&self) -> usize {
        self.lock().under_way.len()
    }

    /// Decides one message: the `choice`-th of those that may be next. Returns who it was from and
    /// for, and its size.
    pub fn decide(&self, choice: usize, fate: Fate) -> Option<(MemberId, MemberId, usize)> {
        let mut inside = self.lock();
        let choices = inside.choices();
        let position = *choices.get(choice.checked_rem(choices.len())?)?;
        let message = inside.under_way.remove(position);
        let Message { from, to, .. } = message;
        let bytes = match &message.parcel.content {
            Some(Content::Raft(message)) => message.len(),
            Some(Content::Forward(forward)) => forward.commands.len(),
            Some(Content::Refusal(refusal)) => refusal.request_ids.len(),
            None => 0,
        };
        if inside.confirms(to, from)
            && inside.is_connected(from, to)
            && let Some(end) = inside.ends.get(&from)
        {
            end.fatal.report(FatalError::Removed);
        }
        let is_whole = !inside.cut.contains(&(from, to)) && !inside.knows(to, from);
        if fate == Fate::Repeated && message.is_raft() {
            inside.under_way.push(message.clone());
        }
        let inbox = |id| inside.ends.get(&id).map(|end: &End| end.inbox.clone());
        let (sender, receiver) = (inbox(from), inbox(to));
        drop(inside);
        let parcel = message.parcel;
        match receiver {
            Some(receiver) if is_whole && fate != Fate::Lost => {
                receiver.deliver(PeerEvent::Parcel { from, parcel });
            }
            _ => {
                sender.inspect(|sender| {
                    sender.deliver(PeerEvent::Unreachable(to));
                });
            }
        }
        Some((from, to, bytes))
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    /// Positions of messages that may be next: any of raft's, and the oldest other of each link.
    fn choices(&self) -> Vec<usize> {
        let mut waiting = BTreeSet::new();
        let may_be_next = |(position, message): (usize, &Message)| {
            let is_next = message.is_raft() || waiting.insert((message.from, message.to));
            is_next.then_some(position)
        };
        self.under_way
            .iter()
            .enumerate()
            .filter_map(may_be_next)
            .collect()
    }

    /// Whether a member knows that the other one was removed.
    fn knows(&self, id: MemberId, other: MemberId) -> bool {
        let end = self.ends.get(&id);
        end.is_some_and(|end| end.removed.contains(&other))
    }

    /// Whether a member confirms to the other one that it was removed: a voter that knows.
    fn confirms(&self, id: MemberId, other: MemberId) -> bool {
        let end = self.ends.get(&id);
        end.is_some_and(|end| end.is_voter && end.removed.contains(&other))
    }

    fn is_connected(&self, one: MemberId, other: MemberId) -> bool {
        self.ends.contains_key(&other)
            && !self.cut.contains(&(one, other))
            && !self.cut.contains(&(other, one))
    }
}

/// A member's links to the others.
struct Links {
    from: MemberId,
    network: Network,
}

impl Peers for Links {
    fn send(&self, to: MemberId, parcel: Parcel) -> bool {
        let mut inside = self.network.lock();
        let from = self.from;
        if !inside.ends.contains_key(&to) || inside.knows(from, to) {
            return false;
        }
        inside.under_way.push(Message { from, to, parcel });
        true
    }

    fn send_snapshot(&self, to: MemberId, raft_message: Bytes, files: Arc<SnapshotFiles>) {
        self.network
            .begin_transfer((self.from, to), raft_message, files);
    }

    fn end_snapshots(&self) {
        let from = self.from;
        let ended = self
            .network
            .lock()
            .end_transfers(|transfer| transfer.from == from);
        drop(ended);
    }

    fn set_members(&self, members: &[Member], removed: &[MemberId]) {
        let mut inside = self.network.lock();
        let from = self.from;
        if let Some(end) = inside.ends.get_mut(&from) {
            end.removed = removed.to_vec();
            let is_voter = |member: &Member| MemberId(member.id) == from && !member.is_learner;
            end.is_voter = members.iter().any(is_voter);
        }
        let is_to_removed =
            |transfer: &Transfer| transfer.from == from && removed.contains(&transfer.to);
        let ended = inside.end_transfers(is_to_removed);
        drop((inside, ended));
    }

    fn ask(&self, to: MemberId, question: question::Question) -> Asking {
        let (network, from) = (self.network.clone(), self.from);
        let reach = move || {
            let inside = network.lock();
            let handle = inside.ends.get(&to).and_then(|end| end.handle.clone());
            handle.filter(|_| inside.is_connected(from, to))
        };
        Box::pin(async move {
            let handle = reach().ok_or(Unreachable)?;
            let answer = leader_queries::answer(&handle, question).await;
            reach().map(|_| answer).ok_or(Unreachable)
        })
    }

    fn connected_since(&self, to: MemberId) -> Option<Moment> {
        let inside = self.network.lock();
        inside.is_connected(self.from, to).then_some(Moment(0))
    }
}
