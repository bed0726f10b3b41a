//! Work that blocks or takes long, and so must not run in an owner's turn or in a task.

use std::io;
use std::thread::JoinHandle;

/// Runs work that blocks.
pub trait Workers: Send + Sync + 'static {
    /// Starts the work beside the caller, under a name. Returns its thread, if it has one.
    fn start(
        &self,
        name: &'static str,
        work: Box<dyn FnOnce() + Send>,
    ) -> io::Result<Option<JoinHandle<()>>>;
}

/// Added to the niceness of the threads, as to that of the engine's compactions. If there are too
/// few processors, the threads that serve small requests or carry raft get three times as much
/// time.
const NICE: i32 = 5;

/// Runs each piece of work in a thread of its own, of lower priority than the threads that serve.
#[derive(Clone, Copy, Debug, Default)]
pub struct Threads;

impl Workers for Threads {
    fn start(
        &self,
        name: &'static str,
        work: Box<dyn FnOnce() + Send>,
    ) -> io::Result<Option<JoinHandle<()>>> {
        let thread = std::thread::Builder::new().name(name.to_owned());
        let spawned = thread.spawn(|| {
            // Without it the thread is like any other: bounds on the work hold all the same.
            let _ = rustix::process::nice(NICE);
            work();
        });
        spawned.map(Some)
    }
}
