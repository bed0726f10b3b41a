//! From the start of a server's process to its first answered read, with many keys in the store.

use std::time::Duration;

use serde::Serialize;

use crate::compare::server::Server;
use crate::data::Keys;
use crate::processes;
use crate::wire::Failure;

/// The times of a server's recovery.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Restarted {
    pub(crate) keys: u64,
    /// From the start to the first answer, after SIGKILL right after the last put.
    pub(crate) seconds_after_kill: f64,
    /// From the start to the first answer, after a graceful stop.
    pub(crate) seconds_after_stop: f64,
    /// From SIGTERM to the end of the process.
    pub(crate) seconds_to_stop: f64,
    /// Processor seconds of the process from its start until it was idle, after the stop.
    pub(crate) cpu_seconds: f64,
    /// Memory at that time.
    pub(crate) rss_bytes: u64,
    pub(crate) disk_bytes: u64,
}

/// Kills and starts, then stops and starts `server`, which holds the first `count` of `keys`. The
/// first read is of the last key, and must find it.
pub(crate) fn run(
    server: &mut Server,
    keys: &Keys,
    count: u64,
    settle: Duration,
) -> Result<Restarted, Failure> {
    let last = keys.key(count - 1);
    server.kill();
    let after_kill = launch(server, &last)?;
    processes::settle(&server.ids(), settle)?;
    let to_stop = server.stop()?;
    let after_stop = launch(server, &last)?;
    let cpu_seconds = processes::settle(&server.ids(), settle)?;
    Ok(Restarted {
        keys: count,
        seconds_after_kill: after_kill.as_secs_f64(),
        seconds_after_stop: after_stop.as_secs_f64(),
        seconds_to_stop: to_stop.as_secs_f64(),
        cpu_seconds,
        rss_bytes: processes::memory_of(&server.ids())?.resident,
        disk_bytes: server.disk_bytes(),
    })
}

fn launch(server: &mut Server, key: &[u8]) -> Result<Duration, Failure> {
    let (took, answer) = server.launch(key)?;
    if answer.kvs.len() != 1 {
        return Err(Failure(format!(
            "check: {} lost an acknowledged put",
            server.name
        )));
    }
    Ok(took)
}
