//! What a service manager is told of this process: systemd's protocol, which etcd speaks as well.
//!
//! A unit of `Type=notify` has started when the member is ready. One that waits for a majority is
//! not, for as long as that takes, and asks for more time: being ended and started again would not
//! bring the others. Without a manager (`NOTIFY_SOCKET` is not set) none of this does anything.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::Server;

/// How long a start may go on from each time that is asked for, and how often it is.
const EXTENSION: Duration = Duration::from_secs(60);
const EXTENSION_INTERVAL: Duration = Duration::from_secs(20);

/// Returns when the member is ready and the manager has been told, or when it stops before that.
/// Whether it is ready.
pub async fn report_start(server: &Server) -> bool {
    let waiting = async {
        let extension = u32::try_from(EXTENSION.as_micros()).unwrap_or(u32::MAX);
        let states = [
            NotifyState::Status("waiting for a leader"),
            NotifyState::ExtendTimeoutUsec(extension),
        ];
        while notify(&states) {
            tokio::time::sleep(EXTENSION_INTERVAL).await;
        }
        std::future::pending().await
    };
    let is_ready = tokio::select! {
        biased;
        is_ready = server.ready() => is_ready,
        never = waiting => never,
    };
    if is_ready {
        notify(&[NotifyState::Status("serving"), NotifyState::Ready]);
    }
    is_ready
}

/// Tells that the member is about to stop.
pub fn report_stop() {
    notify(&[NotifyState::Status("stopping"), NotifyState::Stopping]);
}

/// Tells that the member has no cluster any more. Whoever ends with success before it was ready has
/// failed in systemd's eyes, and would be started again.
pub fn report_removal() {
    notify(&[
        NotifyState::Ready,
        NotifyState::Status("removed from the cluster"),
        NotifyState::Stopping,
    ]);
}

/// Whether there is nothing in the way of telling more.
fn notify(states: &[NotifyState<'_>]) -> bool {
    let told = sd_notify::notify(states);
    if let Err(error) = &told {
        tracing::warn!(%error, "the service manager cannot be told of the member's state");
    }
    told.is_ok()
}
