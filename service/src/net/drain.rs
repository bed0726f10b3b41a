//! The end of a connection that speaks HTTP.

use hyper_util::server::graceful::GracefulConnection;
use tokio_util::sync::CancellationToken;

use conclave_core::limits;

/// Drives a connection to its end. Once `ending` is cancelled, no more requests begin, and those
/// that have begun have [`limits::SHUTDOWN_GRACE`] to finish.
pub(crate) async fn drive<C>(connection: C, ending: &CancellationToken) -> Result<(), C::Error>
where
    C: GracefulConnection,
{
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        biased;
        ended = connection.as_mut() => return ended,
        () = ending.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    // A request that takes longer than the grace period is cut off, which is not an error of the
    // connection.
    tokio::time::timeout(limits::SHUTDOWN_GRACE, connection)
        .await
        .unwrap_or(Ok(()))
}
