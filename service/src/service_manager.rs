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

/// Returns when the member is ready, or stops before, having told the manager.
pub async fn report_start(server: &Server) {
    let waiting = async {
        let extension = u32::try_from(EXTENSION.as_micros()).unwrap_or(u32::MAX);
        loop {
            notify(&[
                NotifyState::Status("waiting for a leader"),
                NotifyState::ExtendTimeoutUsec(extension),
            ]);
            tokio::time::sleep(EXTENSION_INTERVAL).await;
        }
    };
    tokio::select! {
        biased;
        () = server.ready() => notify(&[NotifyState::Status("serving"), NotifyState::Ready]),
        never = waiting => never,
    }
}

/// Tells that the member is about to stop.
pub fn report_stop() {
    notify(&[NotifyState::Status("stopping"), NotifyState::Stopping]);
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told of the member's state");
    }
}
