//! The cost of a workload: processor time of the server, the generator and all other processes.

use std::time::{Duration, Instant};

use crate::processes;
use crate::stats::ServerUse;
use crate::wire::Failure;

/// Readings before a workload.
pub(crate) struct Meter {
    pids: Vec<u32>,
    begin: Instant,
    server_cpu: f64,
    own_cpu: f64,
    machine_cpu: f64,
}

/// The differences after the workload.
pub(crate) struct Cost {
    pub(crate) server: Option<ServerUse>,
    pub(crate) client_cpu_seconds: f64,
    pub(crate) other_cpu_share: f64,
}

impl Meter {
    /// Starts a measurement; `pids` are the server's processes.
    pub(crate) fn start(pids: &[u32]) -> Result<Meter, Failure> {
        Ok(Meter {
            pids: pids.to_vec(),
            server_cpu: processes::cpu_seconds_of(pids)?,
            own_cpu: processes::cpu_seconds(std::process::id())?,
            machine_cpu: processes::machine_busy_seconds()?,
            begin: Instant::now(),
        })
    }

    /// Ends the measurement of `answered` requests, then waits up to `settle` for the server to
    /// become idle, to count the work it had deferred.
    pub(crate) fn finish(self, answered: u64, settle: Duration) -> Result<Cost, Failure> {
        let seconds = self.begin.elapsed().as_secs_f64();
        let own = processes::cpu_seconds(std::process::id())? - self.own_cpu;
        let machine = processes::machine_busy_seconds()? - self.machine_cpu;
        // If the server has died, the request errors show it; an error here would hide them.
        let server_at_end = processes::cpu_seconds_of(&self.pids).ok();
        let during = server_at_end.map_or(0.0, |seconds| seconds - self.server_cpu);
        let processors = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let other = (machine - own - during) / (seconds * processors).max(0.01);
        Ok(Cost {
            server: (!self.pids.is_empty())
                .then(|| self.server(during, answered, settle).ok())
                .flatten(),
            client_cpu_seconds: own,
            other_cpu_share: other.clamp(0.0, 1.0),
        })
    }

    fn server(&self, during: f64, answered: u64, settle: Duration) -> Result<ServerUse, Failure> {
        let all = processes::settle(&self.pids, settle)? - self.server_cpu;
        let memory = processes::memory_of(&self.pids)?;
        Ok(ServerUse {
            processes: self.pids.len(),
            cpu_seconds: during,
            cpu_seconds_after: all - during,
            cpu_ms_per_1000: if answered == 0 {
                0.0
            } else {
                all * 1e6 / answered as f64
            },
            rss_bytes: memory.resident,
            anonymous_bytes: memory.anonymous,
            peak_rss_bytes: memory.peak,
        })
    }
}
