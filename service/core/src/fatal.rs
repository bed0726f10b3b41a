//! Errors that stop the server: a fault of the disk, or a panic in an owner's thread.
//!
//! The thread or task that meets one reports it here and returns. The first report is logged and
//! kept for the exit status, and the server stops: after a failed write or sync it is unknown what
//! is on disk, so nothing may be acknowledged from then on. Replies that are due are never sent;
//! their slots are dropped, and the clients learn that the outcome is unknown.

use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use conclave_storage::Fault;

/// The reason why a removed member stops, in etcd's words. Scripts look for it, and members send it
/// to each other.
pub const REMOVED: &str = "the member has been permanently removed from the cluster";

/// The reason why the server had to stop.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FatalError {
    /// The disk failed, or its data is damaged.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A bug; this is the name of the thread or task. The panic's message has been printed.
    #[error("{0} panicked")]
    Panic(&'static str),
    /// The member was removed from its cluster.
    #[error("{REMOVED}")]
    Removed,
    /// A front or the peer network of the member failed, for this reason.
    #[error("{0}")]
    Process(String),
}

/// Reports a panic when it is dropped by one.
struct Guard {
    fatal: Fatal,
    name: &'static str,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.fatal.report(FatalError::Panic(self.name));
        }
    }
}

/// Keeps the first report, and stops the server.
#[derive(Clone, Debug)]
pub struct Fatal {
    first: Arc<Mutex<Option<FatalError>>>,
    stopping: CancellationToken,
}

impl Fatal {
    /// Creates it without a report. The first report cancels `stopping`.
    pub fn new(stopping: CancellationToken) -> Fatal {
        Fatal {
            first: Arc::default(),
            stopping,
        }
    }

    /// Keeps and logs the first report, and stops the server. A later report is logged if it
    /// differs from the first: it may be the consequence of the first, or its cause.
    pub fn report(&self, error: FatalError) {
        let known = {
            let mut first = self.first.lock();
            let known = first.clone();
            first.get_or_insert(error.clone());
            known
        };
        match known {
            None if matches!(error, FatalError::Removed) => {
                // An operator removed the member, so this is no error.
                tracing::warn!(reason = %error, "the member ends");
            }
            None => tracing::error!(%error, "the member stops"),
            Some(known) if known.to_string() == error.to_string() => {}
            Some(_) => tracing::error!(%error, "another reason for the member to stop"),
        }
        self.stopping.cancel();
    }

    /// Returns the first report.
    pub fn reported(&self) -> Option<FatalError> {
        self.first.lock().clone()
    }

    /// Wraps a future so that its panic is reported: for a task that runs as long as the server,
    /// and without which the server does not work.
    pub fn guard<F: Future>(
        &self,
        name: &'static str,
        task: F,
    ) -> impl Future<Output = F::Output> + use<F> {
        let guard = Guard {
            fatal: self.clone(),
            name,
        };
        async move {
            let _guard = guard;
            task.await
        }
    }

    /// The same as this work, whose panic is reported.
    pub(crate) fn guarded(
        &self,
        name: &'static str,
        work: impl FnOnce() + Send + 'static,
    ) -> impl FnOnce() + Send + 'static {
        let guard = Guard {
            fatal: self.clone(),
            name,
        };
        move || {
            let _guard = guard;
            work();
        }
    }

    /// Starts an owner's thread. Its fault or panic is reported.
    pub(crate) fn spawn(
        &self,
        name: &'static str,
        owner: impl FnOnce() -> Result<(), Fault> + Send + 'static,
    ) -> std::io::Result<JoinHandle<()>> {
        let fatal = self.clone();
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                // The owner is dropped in either case, so no code sees the state a panic left.
                match std::panic::catch_unwind(std::panic::AssertUnwindSafe(owner)) {
                    Ok(Ok(())) => {}
                    Ok(Err(fault)) => fatal.report(fault.into()),
                    Err(_) => fatal.report(FatalError::Panic(name)),
                }
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_stops_the_server() {
        let stopping = CancellationToken::new();
        let fatal = Fatal::new(stopping.clone());
        tokio::spawn(fatal.guard("one", async {}))
            .await
            .expect("it ends");
        let aborted = tokio::spawn(fatal.guard("two", std::future::pending::<()>()));
        aborted.abort();
        assert!(aborted.await.is_err());
        assert!(fatal.reported().is_none());
        let panics = async { panic!("as it must") };
        assert!(tokio::spawn(fatal.guard("three", panics)).await.is_err());
        assert!(matches!(fatal.reported(), Some(FatalError::Panic("three"))));
        assert!(stopping.is_cancelled());
    }
}
