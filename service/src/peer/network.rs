//! The connections to and from other members, behind the seam that the driver calls ([`Peers`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use conclave_storage::MemberId;
use parking_lot::Mutex;

use conclave_core::fatal::REMOVED;
use conclave_proto::command::Member;
use conclave_proto::peer::{Parcel, question};

use super::incoming::Incoming;
use super::link::{self, Link};
use super::places::PeerPlaces;
use super::queue::Pushed;
use super::{Common, Parts, snapshot};
use crate::descriptors::Budget;
use crate::metrics::OfPeer;
use conclave_core::clock::Moment;
use conclave_core::log_once::LogOnce;
use conclave_core::peers::{Asking, PeerEvent, Peers, SnapshotFiles, Unreachable};

/// The connections to and from other members.
pub struct Network {
    pub(super) common: Arc<Common>,
    pub(super) members: Mutex<Members>,
    pub(super) incoming: Incoming,
    pub(super) places: Arc<PeerPlaces>,
    /// Limits the log lines of rejected connections.
    pub(super) rejections: LogOnce,
    /// Limits the log lines of refused calls.
    pub(super) refusals: LogOnce,
    /// Limits the log lines of streams that end at once.
    pub(super) streams: LogOnce,
    /// Limits the log lines of members that the membership does not list.
    pub(super) unlisted: LogOnce,
    /// Limits the log lines of messages to members whose URLs are unknown.
    pub(super) unreached: LogOnce,
    pub(super) receiver: snapshot::Receiver,
}

#[derive(Default)]
pub(super) struct Members {
    pub(super) links: BTreeMap<MemberId, Arc<Link>>,
    /// Metrics of all other members: counts continue when a link is replaced.
    pub(super) stats: BTreeMap<MemberId, Arc<OfPeer>>,
    pub(super) removed: BTreeSet<MemberId>,
    /// This member is a voter.
    is_voter: bool,
    /// The links to members that are known only by their Hello, with the stream; see [`unlisted`].
    pub(super) unlisted: BTreeMap<MemberId, u64>,
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
            places: PeerPlaces::new(Budget::current().peer_newcomers),
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
        let mut tasks = std::mem::take(&mut *self.common.tasks.lock());
        while tasks.join_next().await.is_some() {}
    }

    /// Metrics of a member, if the membership lists it or it has a link.
    pub(super) fn stats(&self, of: MemberId) -> Option<Arc<OfPeer>> {
        self.members.lock().stats.get(&of).cloned()
    }

    pub(super) fn link(&self, to: MemberId) -> Option<Arc<Link>> {
        self.members.lock().links.get(&to).cloned()
    }

    /// Makes a link to a member and keeps it connected.
    pub(super) fn begin_link(
        &self,
        inside: &mut Members,
        id: MemberId,
        urls: &[String],
        former: Option<&Link>,
    ) {
        let stats = inside.stats.entry(id);
        let stats = stats.or_insert_with(|| Arc::new(self.common.stats.of(id)));
        let ending = self.common.stopping.child_token();
        let link = Link::new(id, urls.to_vec(), former, Arc::clone(stats), ending);
        let link = Arc::new(link);
        let running = link::run(Arc::clone(&link), Arc::clone(&self.common));
        self.common.spawn(running);
        inside.links.insert(id, link);
    }

    pub(super) fn end_snapshot(&self, to: MemberId) {
        if let Some(link) = self.link(to) {
            link.end_snapshot();
        }
    }

    pub(super) fn is_removed(&self, id: MemberId) -> bool {
        self.members.lock().removed.contains(&id)
    }

    /// Returns the refusal of a member that was removed. It ends when it gets [`REMOVED`], and only
    /// a voter may say that: as long as only learners know of the removal, the voters may need the
    /// removed member's vote.
    pub(super) fn refusal(&self, id: MemberId) -> Option<String> {
        let inside = self.members.lock();
        inside.removed.contains(&id).then(|| match inside.is_voter {
            true => REMOVED.to_owned(),
            false => format!("member {id} was removed, which only a voter can confirm"),
        })
    }
}

impl Peers for Network {
    fn send(&self, to: MemberId, parcel: Parcel) -> bool {
        let Some(link) = self.link(to) else {
            let member = to.to_string();
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

    fn send_snapshot(&self, to: MemberId, raft_message: Bytes, files: Arc<SnapshotFiles>) {
        let sending = snapshot::Sending::new(self.common.inbox.clone(), to);
        let Some(turn) = self.link(to).and_then(|link| link.snapshot_turn()) else {
            // Dropping `sending` reports that it did not arrive.
            tracing::debug!(
                to = to.0,
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
        for link in self.members.lock().links.values() {
            link.end_snapshot();
        }
    }

    fn set_members(&self, members: &[Member], removed: &[MemberId]) {
        let own = self.common.settings.member_id;
        let ourselves = members.iter().find(|member| member.id == own.0);
        if let Some(ourselves) = ourselves {
            self.common.own_urls.lock().clone_from(&ourselves.peer_urls);
        }
        let mut guard = self.members.lock();
        let inside = &mut *guard;
        inside.removed.extend(removed.iter().copied());
        inside.is_voter = ourselves.is_some_and(|ourselves| !ourselves.is_learner);
        for gone in removed {
            self.incoming.end(*gone);
        }
        let is_listed = |id: MemberId| members.iter().any(|member| member.id == id.0);
        let Members {
            links,
            stats,
            removed,
            unlisted,
            ..
        } = inside;
        unlisted.retain(|id, _| !is_listed(*id) && !removed.contains(id));
        let changed: BTreeMap<MemberId, Arc<Link>> = links
            .extract_if(.., |id, link| {
                let member = members.iter().find(|member| member.id == id.0);
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
        for member in members.iter().filter(|member| member.id != own.0) {
            let id = MemberId(member.id);
            if !inside.links.contains_key(&id) {
                let former = changed.get(&id).map(Arc::as_ref);
                self.begin_link(inside, id, &member.peer_urls, former);
            }
        }
    }

    fn ask(&self, to: MemberId, question: question::Question) -> Asking {
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
                tracing::debug!(to = to.0, %status, "a member does not answer");
                Unreachable
            })?;
            answer.into_inner().answer.ok_or(Unreachable)
        })
    }

    fn connected_since(&self, to: MemberId) -> Option<Moment> {
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
