//! Places for connections of other members: members come first.
//!
//! A connection is a newcomer until a call on it has begun with a valid
//! [`Hello`](conclave_proto::peer::Hello). Newcomers have few places and little time. Strangers
//! that take all of them evict each other ([`Newcomers`]), while a member says hello at once and
//! cannot be evicted from then on. Each member has a few places of its own. Of more connections the
//! newest stay, since the member may have lost the others without closing them.
//!
//! A hello proves only that its sender knows the cluster's id. Without TLS, anyone who can reach
//! this port can pretend to be a member.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use conclave_storage::MemberId;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::descriptors::PEER_CONNECTIONS_MAX;
use crate::net::newcomers::{Newcomer, Newcomers};

/// Connections of one member: one for its messages, one for a snapshot, and others that it has lost
/// and that are still open at this end.
const OF_A_MEMBER_MAX: usize = 8;

/// The places of all peer listeners together.
#[derive(Debug)]
pub(super) struct PeerPlaces {
    newcomers: Arc<Newcomers>,
    members: Mutex<Members>,
}

#[derive(Debug, Default)]
struct Members {
    /// The token that ends a connection, by member and by the connection's number, and so by age.
    connections: BTreeMap<MemberId, BTreeMap<u64, CancellationToken>>,
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub(super) struct PeerPlace {
    of: Arc<PeerPlaces>,
    newcomer: Newcomer,
}

impl PeerPlaces {
    /// Makes places for this many newcomers.
    pub(super) fn new(newcomers: usize) -> Arc<PeerPlaces> {
        Arc::new(PeerPlaces {
            newcomers: Newcomers::new(newcomers),
            members: Mutex::default(),
        })
    }

    /// Admits a connection; returns whether another one was evicted for it. `None` if the
    /// connection must be closed.
    pub(super) fn admit(self: &Arc<Self>, from: Option<IpAddr>) -> Option<(PeerPlace, bool)> {
        let (newcomer, has_evicted) = self.newcomers.admit(from)?;
        let of = Arc::clone(self);
        Some((PeerPlace { of, newcomer }, has_evicted))
    }

    /// Notes that a call on the connection of this number has begun with the hello of a member.
    pub(super) fn hello(&self, number: u64, member: MemberId) {
        let Some(ending) = self.newcomers.take(number) else {
            return;
        };
        let mut members = self.members.lock();
        let own = members.connections.entry(member).or_default();
        if own.len() >= OF_A_MEMBER_MAX
            && let Some((_, oldest)) = own.pop_first()
        {
            oldest.cancel();
        }
        own.insert(number, ending.clone());
        if members.count() > PEER_CONNECTIONS_MAX {
            ending.cancel();
        }
    }
}

impl Members {
    fn count(&self) -> usize {
        self.connections.values().map(BTreeMap::len).sum()
    }
}

impl PeerPlace {
    /// The number of the connection among all of the endpoint.
    pub(super) fn number(&self) -> u64 {
        self.newcomer.number()
    }

    /// Cancelled when the connection must end to make room.
    pub(super) fn ending(&self) -> &CancellationToken {
        self.newcomer.evicted()
    }

    /// Returns true while no member has said hello on the connection.
    pub(super) fn is_newcomer(&self) -> bool {
        self.newcomer.is_waiting()
    }

    /// Notes that the connection speaks HTTP.
    pub(super) fn has_spoken(&self) {
        self.newcomer.has_spoken();
    }
}

impl Drop for PeerPlace {
    fn drop(&mut self) {
        let mut members = self.of.members.lock();
        members.connections.retain(|_, own| {
            own.remove(&self.newcomer.number());
            !own.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEWCOMERS: usize = 5;
    const FROM: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

    fn admitted(places: &Arc<PeerPlaces>) -> PeerPlace {
        places.admit(FROM).expect("few are ending").0
    }

    #[test]
    fn strangers_evict_each_other_and_no_member() {
        let places = PeerPlaces::new(NEWCOMERS);
        let member = admitted(&places);
        places.hello(member.number(), MemberId(7));
        let strangers: Vec<_> = (0..2 * NEWCOMERS).map(|_| admitted(&places)).collect();
        assert!(places.admit(FROM).is_none(), "too many are ending");
        assert!(!member.ending().is_cancelled() && !member.is_newcomer());
        assert!(strangers[0].ending().is_cancelled());
        drop(strangers);
        // A second hello on one connection changes nothing.
        places.hello(member.number(), MemberId(8));
        assert_eq!(places.members.lock().connections.len(), 1);
        drop(member);
        assert!(places.members.lock().connections.is_empty());
    }

    #[test]
    fn the_newest_connections_of_a_member_stay() {
        let places = PeerPlaces::new(NEWCOMERS);
        let of_one: Vec<_> = (0..OF_A_MEMBER_MAX + 1)
            .map(|_| admitted(&places))
            .inspect(|place| places.hello(place.number(), MemberId(7)))
            .collect();
        assert!(of_one[0].ending().is_cancelled());
        assert!(
            of_one[1..]
                .iter()
                .all(|place| !place.ending().is_cancelled())
        );
    }

    #[test]
    fn all_members_together_have_a_bound() {
        let places = PeerPlaces::new(NEWCOMERS);
        let connections: Vec<_> = (0..=PEER_CONNECTIONS_MAX as u64)
            .map(|member| {
                let place = admitted(&places);
                places.hello(place.number(), MemberId(member));
                place
            })
            .collect();
        let (last, others) = connections.split_last().expect("there are some");
        assert!(last.ending().is_cancelled());
        assert!(others.iter().all(|place| !place.ending().is_cancelled()));
    }
}
