//! Notifies a service manager of the process's state, by systemd's protocol, which etcd uses as
//! well.
//!
//! A unit of `Type=notify` has started when the member is ready. While a member waits for a
//! majority, however long that takes, it asks for more time: a restart would not bring the other
//! members up. Without a service manager (`NOTIFY_SOCKET` is not set) all of this has no effect.
//!
//! # The watchdog
//!
//! With `WatchdogSec=` the manager ends a process that has sent no sign of life for that time. A
//! member sends one as long as neither its driver nor its applier hangs ([`crate::stalls`]). Their
//! turns do not depend on other members, so a member without a leader lives; a disk that answers
//! within the time does not count as a hang, whatever it does to the clients.

use std::convert::Infallible;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::Server;
use crate::stalls::Stalls;

/// Additional start time that each request asks for, and the interval between two requests.
const EXTENSION: Duration = Duration::from_secs(60);
const EXTENSION_INTERVAL: Duration = Duration::from_secs(20);

/// Looks at the owners during the time that the watchdog allows. An owner that hangs is seen at the
/// second look after its turn began, so the manager acts between one time and one and a quarter.
const LOOKS: u32 = 4;

const SERVING: NotifyState<'static> = NotifyState::Status("serving");

/// Waits until the member is ready and the service manager is notified, and returns true. Returns
/// false if the member stops before that.
pub async fn report_start(server: &Server) -> bool {
    let waiting = async {
        let states = [NotifyState::Status("waiting for a leader"), more_time()];
        let mut stalls = Stalls::new(server.handle().clone());
        // Two looks must be apart: an owner that is busy for a moment is no owner that hangs.
        let mut hung = None;
        // A member that hangs asks for no more time.
        while hung.is_some() || notify(&states) {
            tokio::time::sleep(EXTENSION_INTERVAL).await;
            hung = stalls.look();
        }
        std::future::pending().await
    };
    let is_ready = tokio::select! {
        biased;
        is_ready = server.ready() => is_ready,
        never = waiting => never,
    };
    if is_ready {
        notify(&[SERVING, NotifyState::Ready]);
    }
    is_ready
}

/// Asks for more time to start, for work that takes long and advances. A member that already serves
/// may call it, too.
pub(crate) fn report_progress() {
    notify(&[more_time()]);
}

fn more_time() -> NotifyState<'static> {
    NotifyState::ExtendTimeoutUsec(u32::try_from(EXTENSION.as_micros()).unwrap_or(u32::MAX))
}

/// Tells the manager's watchdog, if there is one, that the member lives, for as long as its owners
/// do.
pub async fn feed_watchdog(server: &Server) -> Infallible {
    let allowed = sd_notify::watchdog_enabled().filter(|allowed| !allowed.is_zero());
    let Some(allowed) = allowed else {
        return std::future::pending().await;
    };
    let mut stalls = Stalls::new(server.handle().clone());
    let mut hung = None;
    loop {
        match hung {
            None => {
                notify(&[NotifyState::Watchdog]);
            }
            Some(owner) => tracing::error!(
                owner,
                "a part of the member hangs: it has been busy with the same work since the last \
                 look, so the watchdog gets no sign of life"
            ),
        }
        tokio::time::sleep(allowed / LOOKS).await;
        hung = stalls.look();
    }
}

/// Calls `reload`, and reports when that begins and ends. A member that is not ready reports
/// nothing: for the manager the end of a reload means that the member is ready.
pub fn report_reload(server: &Server, reload: impl FnOnce()) {
    let is_ready = server.is_ready();
    if is_ready && let Ok(now) = NotifyState::monotonic_usec_now() {
        notify(&[NotifyState::Reloading, now]);
    }
    reload();
    if is_ready {
        notify(&[SERVING, NotifyState::Ready]);
    }
}

/// Reports that the member is about to stop.
pub fn report_stop() {
    notify(&[NotifyState::Status("stopping"), NotifyState::Stopping]);
}

/// Reports that the member was removed from the cluster. For systemd, a process that ends with
/// success before it was ready has failed and is restarted, so the member reports that it is ready
/// as well.
pub fn report_removal() {
    notify(&[
        NotifyState::Ready,
        NotifyState::Status("removed from the cluster"),
        NotifyState::Stopping,
    ]);
}

/// Sends the states. Returns false after an error, when further notifications are useless.
fn notify(states: &[NotifyState<'_>]) -> bool {
    let told = sd_notify::notify(states);
    if let Err(error) = &told {
        tracing::warn!(%error, "cannot report the member's state to the service manager");
    }
    told.is_ok()
}
