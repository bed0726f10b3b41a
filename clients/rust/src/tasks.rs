//! The background tasks of a client, which end when it is closed.

use std::future::Future;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Starts tasks, ends them together, and waits for their end. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    stopped: CancellationToken,
    /// A handle may be dropped outside of the runtime, and then its key is deleted by a task.
    runtime: Option<Handle>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self {
            tracker: TaskTracker::new(),
            stopped: CancellationToken::new(),
            runtime: Handle::try_current().ok(),
        }
    }
}

impl Tasks {
    /// Runs a future until it is done or the tasks are stopped. `None` is its output if stopped.
    pub(crate) fn spawn<F>(&self, future: F) -> JoinHandle<Option<F::Output>>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let stopped = self.stopped.clone();
        let future = async move { stopped.run_until_cancelled_owned(future).await };
        match &self.runtime {
            Some(runtime) => self.tracker.spawn_on(future, runtime),
            None => self.tracker.spawn(future),
        }
    }

    /// Stops all tasks, and those that are spawned later.
    pub(crate) fn stop(&self) {
        self.stopped.cancel();
    }

    /// Returns when the tasks were stopped.
    pub(crate) async fn stopped(&self) {
        self.stopped.cancelled().await;
    }

    /// Returns when no task is left.
    pub(crate) async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// The tasks of an HTTP/2 connection are among them.
impl<F: Future<Output: Send + 'static> + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, future: F) {
        // Boxed, because hyper's futures are large, one belongs to each call, and starting a task
        // moves its future several times.
        self.spawn(Box::pin(future));
    }
}
