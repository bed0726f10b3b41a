//! The state of a session's lease: the clock rule (S2), and notifications of changes.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, broadcast};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::clock::Moment;

/// Keep-alives per TTL: two in a row may be lost.
pub(crate) const KEEP_ALIVES_PER_TTL: u32 = 3;
/// Time for a keep-alive's answer beyond the next one's turn, and for a new stream's first answer.
const CONFIRM_MAX: Duration = Duration::from_secs(1);
/// The lease is thought lost before it can be, by this share of its TTL: clocks may run at rates
/// that differ by as much.
const MARGIN_SHARE: u32 = 20;
const MARGIN_MIN: Duration = Duration::from_millis(100);
/// Changes that a listener may be behind. A session changes at most about once a second.
const CHANGES_MAX: usize = 1024;

/// The state of a session. `Display` prints the name that the conformance scenarios use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// The lease is alive.
    Connected,
    /// No keep-alive was confirmed for some time. The lease may still be alive, and what it holds
    /// is still held.
    Suspended,
    /// Confirmed again after it was suspended: the same lease, and nothing was lost.
    Reconnected,
    /// The lease is gone, or must be thought gone. Final.
    Lost,
}

impl fmt::Display for SessionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connected => "CONNECTED",
            Self::Suspended => "SUSPENDED",
            Self::Reconnected => "RECONNECTED",
            Self::Lost => "LOST",
        })
    }
}

/// The changes of a session's state in order, the present state first.
#[derive(Debug)]
pub struct SessionStates {
    first: Option<SessionState>,
    changes: broadcast::Receiver<Option<SessionState>>,
}

impl SessionStates {
    /// Returns the next state, or `None` after [`SessionState::Lost`], which is the state of a
    /// closed session, too.
    pub async fn next(&mut self) -> Option<SessionState> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        loop {
            match self.changes.recv().await {
                Ok(change) => return change,
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

/// The state of a lease that is kept alive.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) id: i64,
    core: Mutex<Core>,
    changes: broadcast::Sender<Option<SessionState>>,
    /// A deadline has moved forward.
    moved: Notify,
    lost: CancellationToken,
    closed: CancellationToken,
}

#[derive(Debug)]
struct Core {
    state: SessionState,
    ttl: Duration,
    suspended_at: Moment,
    lost_at: Moment,
}

impl Lease {
    /// A lease that was granted by a request that was sent at `sent`.
    pub(crate) fn new(id: i64, ttl: Duration, sent: Moment) -> Arc<Self> {
        Arc::new(Self {
            id,
            core: Mutex::new(Core {
                state: SessionState::Connected,
                ttl,
                suspended_at: suspended_at(Moment::now(), ttl),
                lost_at: lost_at(sent, ttl),
            }),
            changes: broadcast::channel(CHANGES_MAX).0,
            moved: Notify::new(),
            lost: CancellationToken::new(),
            closed: CancellationToken::new(),
        })
    }

    /// The state, after a look at the clock.
    pub(crate) fn state(&self) -> SessionState {
        self.state_of(&mut self.core())
    }

    fn state_of(&self, core: &mut Core) -> SessionState {
        self.look(core);
        match self.closed.is_cancelled() {
            true => SessionState::Lost,
            false => core.state,
        }
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.state() != SessionState::Lost
    }

    /// True if the server has no such lease, or must be thought to have none.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }

    pub(crate) fn ttl(&self) -> Duration {
        self.core().ttl
    }

    pub(crate) fn states(&self) -> SessionStates {
        let mut core = self.core();
        let first = self.state_of(&mut core);
        let mut changes = self.changes.subscribe();
        if first == SessionState::Lost {
            // Nothing comes after it.
            changes = broadcast::channel(1).1;
        }
        SessionStates {
            first: Some(first),
            changes,
        }
    }

    /// A keep-alive that was sent at `sent` was answered with this TTL.
    pub(crate) fn confirm(&self, sent: Moment, ttl: Duration) {
        let mut core = self.core();
        // After a pause of the process, the answer may be as late as the clock.
        self.look(&mut core);
        if core.state == SessionState::Lost {
            return;
        }
        core.ttl = ttl;
        core.lost_at = core.lost_at.max(lost_at(sent, ttl));
        core.suspended_at = suspended_at(Moment::now(), ttl);
        self.look(&mut core);
        if core.state == SessionState::Suspended {
            self.change(&mut core, SessionState::Reconnected);
        }
        self.moved.notify_one();
    }

    /// The stream of keep-alives has broken: its replacement must confirm soon.
    pub(crate) fn stream_broke(&self) {
        let mut core = self.core();
        core.suspended_at = core.suspended_at.min(Moment::now() + CONFIRM_MAX);
        self.moved.notify_one();
    }

    /// The server says that the lease is gone (S4).
    pub(crate) fn lose(&self) {
        let mut core = self.core();
        if core.state != SessionState::Lost {
            self.change(&mut core, SessionState::Lost);
        }
    }

    /// The owner ends the session.
    pub(crate) fn close(&self) {
        let core = self.core();
        if core.state != SessionState::Lost && !self.closed.is_cancelled() {
            self.tell_lost();
        }
        self.closed.cancel();
    }

    pub(crate) async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Returns why the session has ended, once it has.
    pub(crate) async fn ended(&self) -> Error {
        tokio::select! {
            biased;
            () = self.lost.cancelled() => Error::SessionLost,
            () = self.closed.cancelled() => Error::Closed("the session"),
        }
    }

    /// Watches the clock, and returns when the lease is lost.
    pub(crate) async fn watch_clock(&self) {
        while !self.lost.is_cancelled() {
            let next = {
                let mut core = self.core();
                self.look(&mut core);
                match core.state {
                    SessionState::Lost => return,
                    SessionState::Suspended => core.lost_at,
                    SessionState::Connected | SessionState::Reconnected => {
                        core.suspended_at.min(core.lost_at)
                    }
                }
            };
            tokio::select! {
                biased;
                () = self.lost.cancelled() => {}
                () = sleep(next.left()) => {}
                () = self.moved.notified() => {}
            }
        }
    }

    /// Changes the state as the time demands.
    fn look(&self, core: &mut Core) {
        let now = Moment::now();
        let is_up = !matches!(core.state, SessionState::Suspended | SessionState::Lost);
        if core.state != SessionState::Lost && now >= core.lost_at {
            self.change(core, SessionState::Lost);
        } else if is_up && now >= core.suspended_at {
            self.change(core, SessionState::Suspended);
        }
    }

    fn change(&self, core: &mut Core, state: SessionState) {
        core.state = state;
        if state == SessionState::Lost {
            self.lost.cancel();
            // Listeners of a closed session were notified by its close.
            if !self.closed.is_cancelled() {
                self.tell_lost();
            }
            return;
        }
        // An error means that nobody listens.
        let _ = self.changes.send(Some(state));
    }

    /// Notifies the listeners for the last time.
    fn tell_lost(&self) {
        let _ = self.changes.send(Some(SessionState::Lost));
        let _ = self.changes.send(None);
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn suspended_at(confirmed: Moment, ttl: Duration) -> Moment {
    confirmed + ttl / KEEP_ALIVES_PER_TTL + CONFIRM_MAX
}

fn lost_at(sent: Moment, ttl: Duration) -> Moment {
    sent + ttl - (ttl / MARGIN_SHARE).max(MARGIN_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(10);

    #[test]
    fn the_lease_is_lost_a_margin_before_its_ttl_has_passed_since_the_sending() {
        let margin = Duration::from_millis(500);
        let lease = Lease::new(1, TTL, Moment::now() - (TTL - margin));
        assert_eq!(lease.state(), SessionState::Lost);
        let almost = TTL - margin - Duration::from_secs(5);
        let lease = Lease::new(1, TTL, Moment::now() - almost);
        assert_eq!(lease.state(), SessionState::Connected);
        // The least margin.
        let short = Duration::from_secs(1);
        let lease = Lease::new(1, short, Moment::now() - Duration::from_millis(900));
        assert_eq!(lease.state(), SessionState::Lost);
    }

    #[test]
    fn an_answer_that_comes_after_the_loss_does_not_undo_it() {
        let lease = Lease::new(1, TTL, Moment::now() - TTL);
        lease.confirm(Moment::now(), TTL);
        assert_eq!(lease.state(), SessionState::Lost);
    }

    #[tokio::test]
    async fn listeners_get_the_present_state_and_then_every_change() {
        let lease = Lease::new(1, TTL, Moment::now());
        let mut states = lease.states();
        lease.core().suspended_at = Moment::now();
        assert_eq!(lease.state(), SessionState::Suspended);
        let mut late = lease.states();
        lease.confirm(Moment::now(), TTL);
        lease.lose();
        let mut seen = Vec::new();
        while let Some(state) = states.next().await {
            seen.push(state.to_string());
        }
        assert_eq!(seen, ["CONNECTED", "SUSPENDED", "RECONNECTED", "LOST"]);
        assert_eq!(late.next().await, Some(SessionState::Suspended));
        assert_eq!(late.next().await, Some(SessionState::Reconnected));
        let mut last = lease.states();
        assert_eq!(last.next().await, Some(SessionState::Lost));
        assert_eq!(last.next().await, None);
    }

    #[tokio::test]
    async fn listeners_of_a_closed_session_are_told_that_it_is_lost() {
        let lease = Lease::new(1, TTL, Moment::now());
        let mut states = lease.states();
        lease.close();
        lease.close();
        lease.lose();
        assert_eq!(states.next().await, Some(SessionState::Connected));
        for mut states in [states, lease.states()] {
            assert_eq!(states.next().await, Some(SessionState::Lost));
            assert_eq!(states.next().await, None);
        }
    }
}
