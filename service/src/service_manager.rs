//! Notifies a service manager of the process's state, by systemd's protocol, which etcd uses as
//! well.
//!
//! A unit of `Type=notify` has started when the member is ready. While a member waits for a
//! majority, however long that takes, it asks for more time: a restart would not bring the other
//! members up. Without a service manager (`NOTIFY_SOCKET` is not set) all of this has no effect.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::Server;

/// Additional start time that each request asks for, and the interval between two requests.
const EXTENSION: Duration = Duration::from_secs(60);
const EXTENSION_INTERVAL: Duration = Duration::from_secs(20);

/// Waits until the member is ready and the service manager is notified, and returns true. Returns
/// false if the member stops before that.
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
