//! Places for client connections, one pool for all listeners.
//!
//! When all are taken, the next connection is closed. Operators must be able to look at a member in
//! that state, so there are a few more places for probes: a connection beyond the limit may send
//! one HTTP/1 request, such as `GET /health` or `GET /metrics`, within [`PROBE_TIMEOUT`]. It is
//! closed when it speaks HTTP/2, when it is silent and others need its place ([`Newcomers`]), and
//! after its request.
//!
//! A connection that is still opening, in its TLS handshake or before its first bytes, takes a
//! place as well. Such connections may have half of the places: beyond that the next one evicts an
//! earlier one. So strangers that connect and send nothing never take all places.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use prometheus::IntCounter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::unread::UnreadReplies;
use crate::descriptors::PROBES_MAX;
use crate::net::newcomers::{Newcomer, Newcomers};
use conclave_core::clock::{Clock as _, SystemClock};
use conclave_core::log_once::LogOnce;

/// Time limit of a probe, from its arrival to its end.
pub(super) const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// The places of a member.
#[derive(Debug)]
pub struct ClientPlaces {
    max: usize,
    clients: Arc<Semaphore>,
    /// Connections with a place that are still opening.
    opening: Arc<Newcomers>,
    probes: Arc<Newcomers>,
    unread: Arc<UnreadReplies>,
    refused: IntCounter,
    log_once: LogOnce,
    clock: SystemClock,
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub(super) enum ClientPlace {
    Client {
        _permit: OwnedSemaphorePermit,
        newcomer: Newcomer,
    },
    /// A connection beyond the limit.
    Probe(Newcomer),
}

impl ClientPlaces {
    /// Makes places for `max` connections and some probes. `refused` counts connections that are
    /// closed for lack of a place.
    pub fn new(max: usize, refused: IntCounter) -> Arc<ClientPlaces> {
        Arc::new(ClientPlaces {
            max,
            clients: Arc::new(Semaphore::new(max)),
            opening: Newcomers::new((max / 2).max(1)),
            probes: Newcomers::new(PROBES_MAX),
            unread: Arc::default(),
            refused,
            log_once: LogOnce::default(),
            clock: SystemClock::new(),
        })
    }

    /// Takes a place for a connection. `None` if the connection must be closed.
    pub(super) fn take(&self, remote: Option<IpAddr>) -> Option<ClientPlace> {
        if let Ok(_permit) = Arc::clone(&self.clients).try_acquire_owned() {
            let newcomer = self.admit(&self.opening, remote)?;
            return Some(ClientPlace::Client { _permit, newcomer });
        }
        if self.is_new("too many") {
            let limit = self.max;
            tracing::warn!(
                limit,
                "too many client connections; closing the newest, except for requests like \
                 GET /health"
            );
        }
        self.admit(&self.probes, None).map(ClientPlace::Probe)
    }

    fn admit(&self, newcomers: &Arc<Newcomers>, remote: Option<IpAddr>) -> Option<Newcomer> {
        let admitted = newcomers.admit(remote);
        if admitted
            .as_ref()
            .is_none_or(|(_, has_evicted)| *has_evicted)
        {
            self.refuse();
        }
        admitted.map(|(newcomer, _)| newcomer)
    }

    /// Records that a connection has opened: it is not evicted any more.
    pub(super) fn opened(&self, newcomer: &Newcomer) {
        self.opening.take(newcomer.number());
    }

    /// Counts a connection that is closed for lack of a place.
    pub(super) fn refuse(&self) {
        self.refused.inc();
    }

    /// Returns the counters of the replies that the connections hold.
    pub(super) fn unread(&self) -> &Arc<UnreadReplies> {
        &self.unread
    }

    /// Logs and counts a connection that was closed because its client does not read.
    pub(super) fn closed_unread(&self, remote: Option<SocketAddr>) {
        let address = remote.map(|remote| remote.ip());
        if self.is_new(&format!("{address:?} does not read")) {
            let remote = remote.map(tracing::field::display);
            tracing::warn!(
                remote,
                "clients do not read their replies; closing the connection that holds the most"
            );
        }
        self.refuse();
    }

    /// Returns true if this failure of the listeners should be logged.
    pub(super) fn is_new(&self, failure: &str) -> bool {
        self.log_once.is_new(failure, self.clock.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_limit_there_is_room_for_probes() {
        let refused = IntCounter::new("refused", "connections").expect("a valid name");
        let places = ClientPlaces::new(2, refused.clone());
        let mut clients: Vec<_> = (0..2).map(|_| opened(&places)).collect();
        assert!(
            clients
                .iter()
                .all(|place| matches!(place, Some(ClientPlace::Client { .. })))
        );
        let probes: Vec<_> = (0..PROBES_MAX).map(|_| places.take(None)).collect();
        assert!(
            probes
                .iter()
                .all(|place| matches!(place, Some(ClientPlace::Probe(_))))
        );
        assert_eq!(refused.get(), 0);
        assert!(matches!(places.take(None), Some(ClientPlace::Probe(_))));
        assert_eq!(refused.get(), 1);
        clients.pop();
        assert!(matches!(
            places.take(None),
            Some(ClientPlace::Client { .. })
        ));
    }

    #[test]
    fn connections_that_do_not_open_get_half_of_the_places() {
        let refused = IntCounter::new("refused", "connections").expect("a valid name");
        let places = ClientPlaces::new(8, refused.clone());
        let is_evicted = |place: &Option<ClientPlace>| match place {
            Some(ClientPlace::Client { newcomer, .. }) => newcomer.evicted().is_cancelled(),
            _ => panic!("there are places"),
        };
        let served = [(); 2].map(|()| opened(&places));
        let silent = [(); 5].map(|()| places.take(None));
        assert_eq!(
            silent.each_ref().map(is_evicted),
            [true, false, false, false, false]
        );
        assert!(!served.iter().any(is_evicted));
        assert_eq!(refused.get(), 1);
    }

    /// Takes a place for a connection that opens.
    fn opened(places: &ClientPlaces) -> Option<ClientPlace> {
        let place = places.take(None);
        if let Some(ClientPlace::Client { newcomer, .. }) = &place {
            places.opened(newcomer);
        }
        place
    }
}
