//! The accept loop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::endpoint::{Accepted, Endpoint};
use super::listener::{Accept, Socket as _};

/// The pause after a failed accept. It is most likely a lack of file descriptors, which the reserve
/// of [`crate::descriptors`] should prevent.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves connections of `listener` until `shutdown` is cancelled and the last connection has
/// ended. Several listeners of one endpoint are served by as many calls.
pub(crate) async fn serve<L, E>(listener: L, endpoint: Arc<E>, shutdown: CancellationToken)
where
    L: Accept,
    E: Endpoint,
{
    let mut connections = JoinSet::new();
    while let Some((socket, remote)) = accept(&listener, &*endpoint, &shutdown).await {
        // Removes all tasks that have ended, so that they do not pile up.
        while connections.try_join_next().is_some() {}
        let Some(place) = endpoint.admit(remote) else {
            continue;
        };
        socket.prepare(endpoint.opening().unacknowledged_max);
        let accepted = Accepted {
            remote,
            place,
            // A child token has its own lock: the token is accessed at each wake-up of the
            // connection.
            ending: shutdown.child_token(),
        };
        connections.spawn(Arc::clone(&endpoint).task(socket, accepted));
    }
    // Closed before the connections end, so that clients connect elsewhere at once.
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Returns the next connection, or `None` at shutdown.
async fn accept<L: Accept, E: Endpoint>(
    listener: &L,
    endpoint: &E,
    shutdown: &CancellationToken,
) -> Option<(L::Socket, Option<SocketAddr>)> {
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(accepted) => return Some(accepted),
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                endpoint.accept_failed(&error);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Returns true if the connection ended between its arrival and its acceptance. The listener is
/// fine, and the next connection can be accepted at once.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted
    )
}
