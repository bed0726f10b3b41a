//! Places for client connections, one pool for all listeners.
//!
//! When all are taken, the next connection is closed. Operators must be able to look at a member in
//! that state, so there are a few more places for probes: a connection beyond the limit may send
//! one HTTP/1 request, such as `GET /health` or `GET /metrics`, within [`PROBE_TIMEOUT`]. It is
//! closed when it turns out to speak HTTP/2, when it says nothing and others come
//! ([`Newcomers`]), and after its request.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::IntCounter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::descriptors::PROBES_MAX;
use crate::newcomers::{Newcomer, Newcomers};
use conclave_core::clock::Stopwatch;

/// How long a probe may take, from its connection to its end.
pub(super) const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// What goes on for longer than this is logged again.
const LOG_AGAIN_AFTER: Duration = Duration::from_secs(600);

/// The places of a member.
#[derive(Debug)]
pub struct Places {
    max: usize,
    clients: Arc<Semaphore>,
    probes: Arc<Newcomers>,
    refused: IntCounter,
    at_limit: LogOnce,
    pub(super) accept_failed: LogOnce,
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub(super) enum Place {
    Client {
        _permit: OwnedSemaphorePermit,
    },
    /// Beyond the limit.
    Probe(Newcomer),
}

impl Places {
    /// Places for `max` connections and some probes. What is closed counts in `refused`.
    pub fn new(max: usize, refused: IntCounter) -> Arc<Places> {
        Arc::new(Places {
            max,
            clients: Arc::new(Semaphore::new(max)),
            probes: Newcomers::new(PROBES_MAX),
            refused,
            at_limit: LogOnce::default(),
            accept_failed: LogOnce::default(),
        })
    }

    /// A place for a connection. `None` if it has to be closed.
    pub(super) fn take(&self) -> Option<Place> {
        if let Ok(_permit) = Arc::clone(&self.clients).try_acquire_owned() {
            return Some(Place::Client { _permit });
        }
        if self.at_limit.is_new() {
            let limit = self.max;
            tracing::warn!(
                limit,
                "too many client connections; closing the newest, except for requests like \
                 GET /health"
            );
        }
        let Some((newcomer, has_evicted)) = self.probes.admit(None) else {
            self.refuse();
            return None;
        };
        if has_evicted {
            self.refuse();
        }
        Some(Place::Probe(newcomer))
    }

    /// A connection is closed for lack of a place.
    pub(super) fn refuse(&self) {
        self.refused.inc();
    }
}

/// Whether a line is to be logged that would be the same as one a moment ago.
#[derive(Debug, Default)]
pub(super) struct LogOnce(Mutex<Option<Stopwatch>>);

impl LogOnce {
    /// Whether to log it; it counts as logged then.
    pub(super) fn is_new(&self) -> bool {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = logged.is_none_or(|since| since.elapsed() >= LOG_AGAIN_AFTER);
        if is_new {
            *logged = Some(Stopwatch::start());
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_limit_is_room_for_probes() {
        let refused = IntCounter::new("refused", "connections").expect("a valid name");
        let places = Places::new(2, refused.clone());
        let mut clients: Vec<_> = (0..2).map(|_| places.take()).collect();
        assert!(
            clients
                .iter()
                .all(|place| matches!(place, Some(Place::Client { .. })))
        );
        let probes: Vec<_> = (0..PROBES_MAX).map(|_| places.take()).collect();
        assert!(
            probes
                .iter()
                .all(|place| matches!(place, Some(Place::Probe(_))))
        );
        assert_eq!(refused.get(), 0);
        assert!(matches!(places.take(), Some(Place::Probe(_))));
        assert_eq!(refused.get(), 1);
        clients.pop();
        assert!(matches!(places.take(), Some(Place::Client { .. })));
    }

    #[test]
    fn a_line_is_logged_once_in_a_while() {
        let once = LogOnce::default();
        assert!(once.is_new());
        assert!(!once.is_new());
    }
}
