//! Places for connections whose other end has not identified itself yet.
//!
//! Anyone can connect and send nothing, or little. Such newcomers have a few places of their own.
//! When all are taken, the next newcomer is admitted nevertheless, and an earlier one is evicted:
//! from the address with the most newcomers, the oldest that has sent nothing, or else the oldest.
//! So a crowd from one address evicts itself, and strangers cannot keep out a client or a member
//! that sends its first bytes at once, however many strangers there are and however long they stay.
//!
//! An evicted connection counts until its task has ended. When as many are ending as there are
//! places, the next newcomer is refused, so the open descriptors are at most twice the places.
//!
//! For example, with three places: A connects from one address, then B and C from another one. D
//! connects from the address of B and C, and B is evicted. A stays.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// The places of one endpoint.
#[derive(Debug)]
pub(crate) struct Newcomers {
    places: usize,
    present: Mutex<Present>,
}

#[derive(Debug, Default)]
struct Present {
    /// Number of connections admitted so far.
    count: u64,
    /// The newcomers by origin, then by their progress, then by age.
    waiting: BTreeMap<Origin, BTreeMap<(Shown, u64), CancellationToken>>,
    /// The numbers of evicted newcomers that are still open.
    ending: BTreeSet<u64>,
}

/// The address that a connection comes from; `None` over a Unix socket.
type Origin = Option<IpAddr>;

/// A newcomer's progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Shown {
    Nothing,
    /// It has sent the first bytes of a supported protocol.
    Protocol,
}

/// The place of a newcomer, until it is dropped.
#[derive(Debug)]
pub(crate) struct Newcomer {
    of: Arc<Newcomers>,
    origin: Origin,
    number: u64,
    evicted: CancellationToken,
}

impl Newcomers {
    /// Makes places for this many newcomers. At most twice as many are open.
    pub(crate) fn new(places: usize) -> Arc<Newcomers> {
        Arc::new(Newcomers {
            places,
            present: Mutex::default(),
        })
    }

    /// Admits a connection; returns whether another one was evicted for it. `None` if too many are
    /// ending.
    pub(crate) fn admit(self: &Arc<Self>, origin: Origin) -> Option<(Newcomer, bool)> {
        let mut present = self.present.lock();
        if present.ending.len() >= self.places {
            return None;
        }
        let waiting: usize = present.waiting.values().map(BTreeMap::len).sum();
        let has_evicted = waiting >= self.places;
        if has_evicted {
            present.evict();
        }
        present.count += 1;
        let number = present.count;
        let evicted = CancellationToken::new();
        present.add(origin, (Shown::Nothing, number), evicted.clone());
        let newcomer = Newcomer {
            of: Arc::clone(self),
            origin,
            number,
            evicted,
        };
        Some((newcomer, has_evicted))
    }

    /// Takes out a connection whose other end has identified itself; returns the token that ends
    /// it. `None` if it was taken out or evicted before.
    pub(crate) fn take(&self, number: u64) -> Option<CancellationToken> {
        let mut present = self.present.lock();
        let origins: Vec<Origin> = present.waiting.keys().copied().collect();
        origins
            .into_iter()
            .find_map(|origin| present.take(origin, number))
    }
}

impl Present {
    fn add(&mut self, origin: Origin, key: (Shown, u64), evicted: CancellationToken) {
        self.waiting.entry(origin).or_default().insert(key, evicted);
    }

    fn take(&mut self, origin: Origin, number: u64) -> Option<CancellationToken> {
        let waiting = self.waiting.get_mut(&origin)?;
        let taken = [Shown::Nothing, Shown::Protocol]
            .into_iter()
            .find_map(|shown| waiting.remove(&(shown, number)));
        if waiting.is_empty() {
            self.waiting.remove(&origin);
        }
        taken
    }

    /// Evicts a newcomer, if there is one.
    fn evict(&mut self) {
        let largest = self
            .waiting
            .values_mut()
            .max_by_key(|waiting| waiting.len());
        if let Some(((_, number), evicted)) = largest.and_then(BTreeMap::pop_first) {
            evicted.cancel();
            self.ending.insert(number);
        }
    }
}

impl Newcomer {
    /// The number of the connection among all of the endpoint.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Cancelled when the connection must end.
    pub(crate) fn evicted(&self) -> &CancellationToken {
        &self.evicted
    }

    /// Returns true while the connection is a newcomer: neither evicted nor taken out.
    pub(crate) fn is_waiting(&self) -> bool {
        let present = self.of.present.lock();
        let waiting = present.waiting.get(&self.origin);
        waiting.is_some_and(|waiting| waiting.keys().any(|(_, number)| *number == self.number))
    }

    /// Records that the first bytes were those of a supported protocol. Silent newcomers are
    /// evicted before this one.
    pub(crate) fn has_spoken(&self) {
        let mut present = self.of.present.lock();
        if let Some(evicted) = present.take(self.origin, self.number) {
            present.add(self.origin, (Shown::Protocol, self.number), evicted);
        }
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        let mut present = self.of.present.lock();
        if present.take(self.origin, self.number).is_none() {
            present.ending.remove(&self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(newcomers: &Arc<Newcomers>) -> Newcomer {
        newcomers.admit(None).expect("few are ending").0
    }

    #[test]
    fn a_crowd_from_one_address_evicts_itself() {
        let newcomers = Newcomers::new(3);
        let from = |last| Some(IpAddr::from([10, 0, 0, last]));
        let admitted = |last| newcomers.admit(from(last)).expect("few are ending").0;
        let (member, mut crowd) = (admitted(1), vec![admitted(2), admitted(2)]);
        for _ in 0..10 {
            crowd.push(admitted(2));
            assert!(crowd.remove(0).evicted().is_cancelled());
        }
        let other = admitted(3);
        assert!(!member.evicted().is_cancelled() && !other.evicted().is_cancelled());
    }

    #[test]
    fn the_oldest_silent_newcomer_is_evicted_first() {
        let newcomers = Newcomers::new(3);
        let [first, second, third] = [(); 3].map(|()| admitted(&newcomers));
        first.has_spoken();
        let _fourth = admitted(&newcomers);
        assert!(second.evicted().is_cancelled() && !second.is_waiting());
        assert!(!first.evicted().is_cancelled() && !third.evicted().is_cancelled());
        third.has_spoken();
        let fifth = admitted(&newcomers);
        fifth.has_spoken();
        // All newcomers have sent their first bytes.
        let _sixth = admitted(&newcomers);
        assert!(first.evicted().is_cancelled() && !third.evicted().is_cancelled());
    }

    #[test]
    fn a_known_connection_is_not_evicted() {
        let newcomers = Newcomers::new(1);
        let known = admitted(&newcomers);
        let ending = newcomers.take(known.number()).expect("it is a newcomer");
        let _next = admitted(&newcomers);
        let _next_but_one = admitted(&newcomers);
        assert!(!ending.is_cancelled() && !known.is_waiting());
        assert!(newcomers.take(known.number()).is_none());
    }

    #[test]
    fn at_most_twice_the_places_are_open() {
        let newcomers = Newcomers::new(2);
        let mut open: Vec<_> = (0..4).map(|_| admitted(&newcomers)).collect();
        assert!(newcomers.admit(None).is_none());
        // An evicted connection has ended.
        drop(open.remove(0));
        let (fifth, has_evicted) = newcomers.admit(None).expect("one is ending");
        assert!(has_evicted);
        drop(fifth);
        drop(open);
        let (_next, has_evicted) = newcomers.admit(None).expect("none is there");
        assert!(!has_evicted);
    }
}
