//! Processor time and memory of processes, read from `/proc`.
//!
//! The kernel splits a process's time into user and system by sampling, but scales the two so that
//! their sum is the time the scheduler counted, threads that have ended included. Hence the sum is
//! exact to the unit it is printed in, a hundredth of a second, and only the sum is used here.

use std::fs;
use std::time::{Duration, Instant};

use crate::wire::Failure;

/// Units of time in `/proc`: 100 per second on every architecture that Linux servers run on. It is
/// the kernel's unit for user space, not its timer frequency.
const TICKS_PER_SECOND: f64 = 100.0;
/// A process is idle if it uses no more than this share of a processor ...
const QUIET_SHARE: f64 = 0.04;
/// ... for this many successive windows ...
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

/// Processor seconds that process `pid` has used since it started.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64, Failure> {
    let stat = read(&format!("/proc/{pid}/stat"))?;
    parse_cpu(&stat).ok_or_else(|| Failure(format!("/proc/{pid}/stat: not understood")))
}

/// Memory of process `pid`.
pub(crate) fn memory(pid: u32) -> Result<Memory, Failure> {
    let status = read(&format!("/proc/{pid}/status"))?;
    parse_memory(&status).ok_or_else(|| Failure(format!("/proc/{pid}/status: not understood")))
}

/// Processor seconds of the whole machine since boot, without idle time and time stolen by the
/// hypervisor.
pub(crate) fn machine_busy_seconds() -> Result<f64, Failure> {
    let stat = read("/proc/stat")?;
    parse_busy(&stat).ok_or_else(|| Failure::new("/proc/stat: not understood"))
}

/// Total processor seconds of several processes.
pub(crate) fn cpu_seconds_of(pids: &[u32]) -> Result<f64, Failure> {
    pids.iter().map(|&pid| cpu_seconds(pid)).sum()
}

/// Total memory of several processes. Their peaks need not coincide.
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

/// Waits until the processes are idle or `limit` has passed. Returns the processor seconds they had
/// used by then.
pub(crate) fn settle(pids: &[u32], limit: Duration) -> Result<f64, Failure> {
    let begin = Instant::now();
    let mut last = cpu_seconds_of(pids)?;
    let mut quiet = 0;
    while quiet < QUIET_WINDOWS && begin.elapsed() < limit {
        std::thread::sleep(QUIET_WINDOW);
        let now = cpu_seconds_of(pids)?;
        let share = (now - last) / QUIET_WINDOW.as_secs_f64();
        // Each member of a cluster uses some time for heartbeats.
        quiet = if share <= QUIET_SHARE * pids.len() as f64 {
            quiet + 1
        } else {
            0
        };
        last = now;
    }
    Ok(last)
}

fn read(path: &str) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| Failure(format!("{path}: {error}")))
}

/// Fields 14 and 15 of `/proc/<pid>/stat`. The second field is the program's name in parentheses
/// and may itself hold spaces and parentheses, so counting starts after the last of them.
fn parse_cpu(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) as f64 / TICKS_PER_SECOND)
}

fn parse_memory(status: &str) -> Option<Memory> {
    let bytes = |name: &str| -> Option<u64> {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kibibytes * 1024)
    };
    Some(Memory {
        resident: bytes("VmRSS")?,
        anonymous: bytes("RssAnon")?,
        peak: bytes("VmHWM")?,
    })
}

/// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal, and guest
/// times that are already part of user.
fn parse_busy(stat: &str) -> Option<f64> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line
        .split_ascii_whitespace()
        .map(|field| field.parse().ok())
        .collect::<Option<_>>()?;
    let [user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = *ticks.as_slice() else {
        return None;
    };
    Some((user + nice + system + irq + softirq + steal) as f64 / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_found_behind_any_program_name() {
        let stat = "42 (a ) (b) S 1 42 42 0 -1 4194560 1 0 0 0 250 75 9 9 20 0 8 0 100 0 0";
        assert_eq!(parse_cpu(stat), Some(3.25));
        assert_eq!(parse_cpu("42 (short) S 1 2"), None);
        assert_eq!(parse_cpu(""), None);
    }

    #[test]
    fn memory_is_read_by_name() {
        let status = "Name:\tetcd\nVmPeak:\t 9 kB\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n\
                      RssAnon:\t     512 kB\n";
        let memory = Memory {
            resident: 1 << 20,
            anonymous: 512 << 10,
            peak: 2 << 20,
        };
        assert_eq!(parse_memory(status), Some(memory));
        assert_eq!(parse_memory("VmRSS:\t 1 kB\n"), None);
    }

    #[test]
    fn idle_time_is_not_busy_and_stolen_time_is() {
        let stat = "cpu  100 1 100 9999 9999 1 1 97 50 0\ncpu0 1 2 3\n";
        assert_eq!(parse_busy(stat), Some(3.0));
    }

    #[test]
    fn this_very_process_can_be_read() {
        let pid = std::process::id();
        assert!(cpu_seconds(pid).is_ok());
        assert!(memory(pid).is_ok_and(|memory| memory.resident > 0));
        assert!(machine_busy_seconds().is_ok_and(|seconds| seconds > 0.0));
    }
}
