//! Processor time and memory of processes, read from `/proc`.
//!
//! The kernel splits a process's time into user and system by sampling, but scales the two so that
//! their sum is the time the scheduler counted, threads that have ended included. Hence the sum is
//! exact to the unit it is printed in, a hundredth of a second, and only the sum is used here.

use std::time::{Duration, Instant};

use procfs::process::Process;
use procfs::{CurrentSI as _, KernelStats, ProcError};

use crate::wire::Failure;

/// Settling: a process is quiet if it uses no more than this much of a processor ...
const QUIET_SHARE: f64 = 0.04;
/// ... for as many windows in a row ...
const QUIET_WINDOWS: u32 = 2;
/// ... of this length.
const QUIET_WINDOW: Duration = Duration::from_millis(500);

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    pub(crate) anonymous: u64,
    pub(crate) peak: u64,
}

/// Processor seconds process `pid` has used since it began.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64, Failure> {
    let stat = of(pid, |process| process.stat())?;
    Ok(seconds(stat.utime + stat.stime))
}

/// Memory of process `pid`.
pub(crate) fn memory(pid: u32) -> Result<Memory, Failure> {
    let status = of(pid, |process| process.status())?;
    let bytes = |kibibytes: Option<u64>| kibibytes.map(|number| number * 1024);
    let memory = || {
        Some(Memory {
            resident: bytes(status.vmrss)?,
            anonymous: bytes(status.rssanon)?,
            peak: bytes(status.vmhwm)?,
        })
    };
    memory().ok_or_else(|| Failure(format!("/proc/{pid}/status has no memory: it is ending")))
}

/// Processor seconds the whole machine has spent on anything but idling, and time stolen by the
/// hypervisor, since it booted.
pub(crate) fn machine_busy_seconds() -> Result<f64, Failure> {
    let stats = KernelStats::current();
    let all = stats
        .map_err(|error| Failure(format!("/proc/stat: {error}")))?
        .total;
    // Time of guests is already part of the user's.
    let of_the_system = [all.irq, all.softirq, all.steal].into_iter().flatten();
    Ok(seconds(
        all.user + all.nice + all.system + of_the_system.sum::<u64>(),
    ))
}

/// Processor seconds several processes have used together.
pub(crate) fn cpu_seconds_of(pids: &[u32]) -> Result<f64, Failure> {
    pids.iter().map(|&pid| cpu_seconds(pid)).sum()
}

/// Memory of several processes together. The peaks need not have been at one time.
pub(crate) fn memory_of(pids: &[u32]) -> Result<Memory, Failure> {
    let mut all = Memory::default();
    for &pid in pids {
        let one = memory(pid)?;
        all.resident += one.resident;
        all.anonymous += one.anonymous;
        all.peak += one.peak;
    }
    Ok(all)
}

/// Waits until the processes are quiet or `limit` has passed. Returns the processor seconds they
/// had used by then.
pub(crate) fn settle(pids: &[u32], limit: Duration) -> Result<f64, Failure> {
    let begin = Instant::now();
    let mut last = cpu_seconds_of(pids)?;
    let mut quiet = 0;
    while quiet < QUIET_WINDOWS && begin.elapsed() < limit {
        std::thread::sleep(QUIET_WINDOW);
        let now = cpu_seconds_of(pids)?;
        let share = (now - last) / QUIET_WINDOW.as_secs_f64();
        // Members of a cluster say to each other that they are there, each with its share.
        quiet = if share <= QUIET_SHARE * pids.len() as f64 {
            quiet + 1
        } else {
            0
        };
        last = now;
    }
    Ok(last)
}

/// Opens process `pid`, or says why it cannot be read.
fn of<T>(pid: u32, read: impl FnOnce(Process) -> Result<T, ProcError>) -> Result<T, Failure> {
    let process = i32::try_from(pid).map_err(|error| Failure(format!("{pid}: {error}")))?;
    let found = Process::new(process).and_then(read);
    found.map_err(|error| Failure(format!("/proc/{pid}: {error}")))
}

fn seconds(ticks: u64) -> f64 {
    ticks as f64 / procfs::ticks_per_second() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_process_can_be_read() {
        let pid = std::process::id();
        assert!(cpu_seconds(pid).is_ok());
        let memory = memory(pid).expect("readable");
        assert!(memory.anonymous > 0 && memory.resident > memory.anonymous);
        assert!(memory.peak >= memory.resident);
        assert!(machine_busy_seconds().is_ok_and(|seconds| seconds > 0.0));
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(cpu_seconds(u32::MAX).is_err());
        assert!(memory(i32::MAX as u32).is_err());
    }
}
