//! A runtime separate from the clients' runtime. It runs raft's messages, the connections to other
//! members, the questions that members ask the leader, and the expiry of leases.
//!
//! On the clients' runtime a task can occupy its worker for longer than a heartbeat may be late: it
//! encodes or decodes a large message, does a TLS handshake, or is one of ten thousand ready tasks.
//! Then followers would elect another leader although this one is healthy. So no client's request
//! runs here.
//!
//! Blocking reads of files (snapshots for other members) use the blocking threads of this runtime,
//! for the same reason: those of the clients' runtime may all be in use.
//!
//! A runtime must not be dropped inside another, because a thread that must not block would wait
//! for its blocking tasks. So there are two ways to end it: [`RaftRuntime::stop`] joins every
//! thread, and dropping, as after a failed start, leaves the threads to end by themselves.

use std::io;

use tokio::runtime::{self, Runtime};

/// One thread serves the few connections between members: a message takes it microseconds, and the
/// largest, a frame of 1 MiB, half a millisecond. More threads would only wake each other.
const THREADS: usize = 1;

/// The runtime and its thread.
#[derive(Debug)]
pub(crate) struct RaftRuntime {
    /// `None` only during [`RaftRuntime::stop`] and `drop`.
    runtime: Option<Runtime>,
}

impl RaftRuntime {
    pub(crate) fn start() -> io::Result<RaftRuntime> {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("raft-runtime")
            .enable_all()
            .build()?;
        Ok(RaftRuntime {
            runtime: Some(runtime),
        })
    }

    /// The handle to spawn tasks with.
    pub(crate) fn handle(&self) -> &runtime::Handle {
        let runtime = self.runtime.as_ref();
        runtime.expect("it is taken only at the end").handle()
    }

    /// Runs a task on this runtime and waits for it.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let ran = self.handle().spawn(task).await;
        ran.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }

    /// Drops the remaining tasks, and returns when every thread has ended.
    pub(crate) async fn stop(mut self) {
        let runtime = self.runtime.take();
        // Cannot fail: dropping a runtime does not panic where blocking is allowed.
        let _ = tokio::task::spawn_blocking(move || drop(runtime)).await;
    }
}

impl Drop for RaftRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> Option<String> {
        std::thread::current().name().map(str::to_owned)
    }

    #[tokio::test]
    async fn tasks_run_on_a_thread_of_their_own() {
        let raft = RaftRuntime::start().expect("a thread");
        let there = raft.run(async { name() }).await;
        assert_eq!(there.as_deref(), Some("raft-runtime"));
        assert_ne!(name(), there);
        raft.stop().await;
    }

    /// As when a start fails or is canceled: in a task, where blocking is not allowed.
    #[tokio::test]
    async fn it_can_be_dropped_in_a_task() {
        drop(RaftRuntime::start().expect("a thread"));
    }
}
