//! The threads that flush and compact.

use std::sync::Once;

use rocksdb::Env;

/// Added to the niceness of flushes and compactions: see [`start_background_threads`].
pub(crate) const BACKGROUND_NICE: i32 = 5;

/// Starts the threads that flush and compact, once for all instances of the process, with a lower
/// priority than the threads that serve requests. Members run on small machines: when processors
/// are short, requests go first, and flushes and compactions, which can wait for seconds, get a
/// third of an equal share. RocksDB's own setting for this is niceness 19, the lowest priority
/// there is, with which compaction would fall behind.
pub(crate) fn start_background_threads() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        // A new thread inherits the priority of the thread that starts it, and a thread that
        // lowered its own priority cannot raise it again. So a thread of its own starts them and
        // ends.
        let start = || -> Result<(), String> {
            rustix::process::nice(BACKGROUND_NICE).map_err(|error| error.to_string())?;
            let mut env = Env::new().map_err(|error| error.to_string())?;
            env.set_background_threads(1);
            env.set_high_priority_background_threads(1);
            Ok(())
        };
        let started = std::thread::scope(|scope| scope.spawn(start).join());
        if let Ok(Err(error)) = started {
            tracing::warn!(
                error,
                "flushes and compactions run with the priority of requests"
            );
        }
    });
}
