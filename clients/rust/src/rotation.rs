//! The endpoints of a client, and which of them are worth a call (C2).
//!
//! Calls go to the endpoints in turn. An endpoint that fails leaves the rotation, and a probe
//! brings it back:
//!
//! ```text
//!            connection fails, breaks or is silent
//!   in turn ───────────────────────────────────────▶ out
//!      ▲                                              │ probe: at once, then after 100 ms,
//!      └──────────────────────────────────────────────┘ 200 ms, ... 5 s
//! ```
//!
//! If all endpoints are out, calls try them all.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::Error;
use crate::backoff::Backoff;
use crate::connection::{Connection, Direct};
use crate::endpoint::Target;
use crate::tasks::Tasks;
use crate::tls::Security;

/// Time limit of a connection attempt, and of the answer to a call from a server that sends
/// nothing else.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(2);
/// Pause between the first two probes; each failure doubles it.
const PROBE_PAUSE_MIN: Duration = Duration::from_millis(100);
const PROBE_PAUSE_MAX: Duration = Duration::from_secs(5);

/// The endpoints of a client.
#[derive(Debug)]
pub(crate) struct Rotation {
    endpoints: Vec<Arc<Endpoint>>,
    next: AtomicUsize,
}

/// The endpoints that a call has tried since its last pause.
#[derive(Debug)]
pub(crate) struct Round(Vec<bool>);

impl Rotation {
    /// Checks the endpoints. Connects to none.
    pub(crate) fn new<I, E>(endpoints: I, security: Security, tasks: &Tasks) -> Result<Self, Error>
    where
        I: IntoIterator<Item = E>,
        E: AsRef<str>,
    {
        let security = Arc::new(security);
        let endpoint = |(index, text): (usize, E)| {
            let target = Target::parse(text.as_ref(), security.is_configured())?;
            security.check(&target)?;
            Ok(Arc::new(Endpoint {
                index,
                name: text.as_ref().to_owned(),
                target,
                security: Arc::clone(&security),
                tasks: tasks.clone(),
                connecting: tokio::sync::Mutex::default(),
                state: Mutex::default(),
            }))
        };
        let endpoints = endpoints.into_iter().enumerate().map(endpoint);
        let endpoints = endpoints.collect::<Result<Vec<_>, Error>>()?;
        match endpoints.is_empty() {
            true => Err(Error::Endpoint("no endpoint was given".into())),
            false => Ok(Self {
                // Clients that start together begin with different servers.
                next: AtomicUsize::new(rand::random_range(0..endpoints.len())),
                endpoints,
            }),
        }
    }

    pub(crate) fn round(&self) -> Round {
        Round(vec![false; self.endpoints.len()])
    }

    /// Returns the next endpoint that was not tried in this round. `avoid` is chosen only if no
    /// other is in the rotation.
    pub(crate) fn pick(&self, round: &mut Round, avoid: Option<usize>) -> Option<Arc<Endpoint>> {
        let count = self.endpoints.len();
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let in_turn: Vec<_> = (0..count)
            .map(|step| &self.endpoints[start.wrapping_add(step) % count])
            .collect();
        let any_in = in_turn.iter().any(|endpoint| endpoint.is_in());
        let candidates = || {
            let of_rotation = in_turn.iter().filter(|one| !any_in || one.is_in());
            of_rotation.filter(|one| !round.0[one.index])
        };
        let preferred = candidates().find(|one| Some(one.index) != avoid);
        let chosen = Arc::clone(preferred.or_else(|| candidates().next())?);
        round.0[chosen.index] = true;
        Some(chosen)
    }
}

/// One server.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) index: usize,
    /// As the user wrote it.
    pub(crate) name: String,
    target: Target,
    security: Arc<Security>,
    tasks: Tasks,
    /// Held by the one that connects.
    connecting: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    connection: Option<Arc<Connection>>,
    /// Out of the rotation: a probe is running.
    is_out: bool,
    /// The number of attempts to connect, and the error of the last one.
    attempts: u64,
    failure: Option<String>,
}

impl Endpoint {
    /// Returns the open connection, or connects. The attempt goes on for others if this caller
    /// gives up.
    pub(crate) async fn connection(
        self: &Arc<Self>,
        limit: Duration,
    ) -> Result<Arc<Connection>, String> {
        if let Some(open) = self.open_connection() {
            return Ok(open);
        }
        let connecting = self.tasks.spawn(Arc::clone(self).connect());
        match timeout(limit, connecting).await {
            Ok(Ok(Some(connected))) => connected,
            Ok(Ok(None)) => Err("the client is closed".into()),
            Ok(Err(panicked)) => Err(panicked.to_string()),
            Err(_) => Err(format!("{}: no connection within {limit:?}", self.name)),
        }
    }

    async fn connect(self: Arc<Self>) -> Result<Arc<Connection>, String> {
        let attempts = self.state().attempts;
        let _connecting = self.connecting.lock().await;
        if let Some(open) = self.open_connection() {
            return Ok(open);
        }
        {
            let state = self.state();
            // The attempt of another call has failed in the meantime: it was this one's, too.
            if let Some(failure) = &state.failure
                && state.attempts != attempts
            {
                return Err(failure.clone());
            }
        }
        let endpoint = Arc::downgrade(&self);
        let broken = move || {
            if let Some(endpoint) = endpoint.upgrade() {
                endpoint.leave();
            }
        };
        let opening = Connection::open(&self.target, &self.security, &self.tasks, broken);
        let opened = match timeout(SILENCE_MAX, opening).await {
            Ok(opened) => opened.map_err(|error| format!("{}: {}", self.name, chain(&*error))),
            Err(_) => Err(format!(
                "{}: no connection within {SILENCE_MAX:?}",
                self.name
            )),
        };
        let mut state = self.state();
        state.attempts += 1;
        match opened {
            Ok(connection) => {
                let connection = Arc::new(connection);
                state.connection = Some(Arc::clone(&connection));
                state.failure = None;
                Ok(connection)
            }
            Err(failure) => {
                state.failure = Some(failure.clone());
                drop(state);
                self.leave();
                Err(failure)
            }
        }
    }

    /// The server does not answer: it leaves the rotation, and later calls use another connection.
    pub(crate) fn is_silent(self: &Arc<Self>, connection: &Arc<Connection>) {
        let mut state = self.state();
        let present = state.connection.as_ref();
        if present.is_some_and(|present| Arc::ptr_eq(present, connection)) {
            state.connection = None;
        }
        drop(state);
        self.leave();
    }

    /// Leaves the rotation until a probe succeeds.
    fn leave(self: &Arc<Self>) {
        let was_out = std::mem::replace(&mut self.state().is_out, true);
        if !was_out {
            self.tasks.spawn(Arc::clone(self).probe());
        }
    }

    async fn probe(self: Arc<Self>) {
        let mut pauses = Backoff::new(PROBE_PAUSE_MIN, PROBE_PAUSE_MAX);
        while !self.answers().await {
            sleep(pauses.next()).await;
        }
        self.state().is_out = false;
    }

    /// Returns true if the server says that it is ready.
    async fn answers(self: &Arc<Self>) -> bool {
        let Ok(connection) = Arc::clone(self).connect().await else {
            return false;
        };
        let mut health = HealthClient::new(Direct(Arc::clone(&connection)));
        let request = HealthCheckRequest::default();
        match timeout(SILENCE_MAX, health.check(request)).await {
            Ok(Ok(answer)) => answer.into_inner().status() == ServingStatus::Serving,
            // A server without this service answers, too.
            Ok(Err(status)) => status.code() == tonic::Code::Unimplemented,
            Err(_) => {
                self.is_silent(&connection);
                false
            }
        }
    }

    fn is_in(&self) -> bool {
        !self.state().is_out
    }

    fn open_connection(&self) -> Option<Arc<Connection>> {
        let state = self.state();
        state.connection.clone().filter(|open| open.is_open())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error with its causes: a library's own text is often only "error sending request".
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rotation(count: usize) -> Rotation {
        let endpoints = (1..=count).map(|port| format!("http://127.0.0.1:{port}"));
        Rotation::new(endpoints, Security::default(), &Tasks::default()).unwrap()
    }

    fn picks(rotation: &Rotation, round: &mut Round) -> Vec<usize> {
        let next = || rotation.pick(round, None).map(|endpoint| endpoint.index);
        let mut found: Vec<_> = std::iter::from_fn(next).collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn a_round_has_each_endpoint_once() {
        let rotation = rotation(3);
        assert_eq!(picks(&rotation, &mut rotation.round()), [0, 1, 2]);
    }

    #[test]
    fn calls_are_spread_evenly() {
        let rotation = rotation(3);
        let mut counts = [0; 3];
        for _ in 0..300 {
            let picked = rotation.pick(&mut rotation.round(), None).unwrap();
            counts[picked.index] += 1;
        }
        assert_eq!(counts, [100; 3]);
    }

    #[test]
    fn an_endpoint_that_is_out_gets_no_call_unless_all_are() {
        let rotation = rotation(3);
        rotation.endpoints[1].state().is_out = true;
        assert_eq!(picks(&rotation, &mut rotation.round()), [0, 2]);
        for endpoint in &rotation.endpoints {
            endpoint.state().is_out = true;
        }
        assert_eq!(picks(&rotation, &mut rotation.round()), [0, 1, 2]);
    }

    #[test]
    fn an_endpoint_is_avoided_if_there_is_another() {
        let two = rotation(2);
        for _ in 0..4 {
            assert_eq!(two.pick(&mut two.round(), Some(0)).unwrap().index, 1);
        }
        let one = rotation(1);
        assert_eq!(one.pick(&mut one.round(), Some(0)).unwrap().index, 0);
    }

    #[test]
    fn an_empty_list_is_an_error() {
        let none: [&str; 0] = [];
        let error = Rotation::new(none, Security::default(), &Tasks::default()).unwrap_err();
        assert!(matches!(error, Error::Endpoint(_)));
    }
}
