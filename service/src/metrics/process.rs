//! Metrics of the process, with the names of Prometheus' clients, and etcd's own two for file
//! descriptors. Read at a scrape.

use std::fs;

use prometheus::core::Collector;
use prometheus::{Counter, Gauge, IntCounter, IntGauge};
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

/// The gauges and counters of the process.
pub(super) struct Process {
    cpu_seconds: Counter,
    start_time: Gauge,
    open_fds: IntGauge,
    max_fds: IntGauge,
    resident: IntGauge,
    virtual_memory: IntGauge,
    virtual_memory_max: Gauge,
    threads: IntGauge,
    received: IntCounter,
    transmitted: IntCounter,
    fd_used: IntGauge,
    fd_limit: IntGauge,
}

impl Process {
    pub(super) fn new() -> prometheus::Result<(Process, Vec<Box<dyn Collector>>)> {
        let gauge = |name, help| IntGauge::new(name, help);
        let process = Process {
            cpu_seconds: Counter::new("process_cpu_seconds_total", "CPU time used.")?,
            start_time: Gauge::new(
                "process_start_time_seconds",
                "When the process started, in seconds since 1970.",
            )?,
            open_fds: gauge("process_open_fds", "Open file descriptors.")?,
            max_fds: gauge("process_max_fds", "File descriptors that may be open.")?,
            resident: gauge("process_resident_memory_bytes", "Memory in RAM.")?,
            virtual_memory: gauge("process_virtual_memory_bytes", "Address space used.")?,
            virtual_memory_max: Gauge::new(
                "process_virtual_memory_max_bytes",
                "Address space that may be used.",
            )?,
            threads: gauge("process_threads", "Threads.")?,
            received: IntCounter::new(
                "process_network_receive_bytes_total",
                "Bytes received by the host or container the process is in.",
            )?,
            transmitted: IntCounter::new(
                "process_network_transmit_bytes_total",
                "Bytes sent by the host or container the process is in.",
            )?,
            fd_used: gauge("os_fd_used", "Open file descriptors.")?,
            fd_limit: gauge("os_fd_limit", "File descriptors that may be open.")?,
        };
        let collectors: Vec<Box<dyn Collector>> = vec![
            Box::new(process.cpu_seconds.clone()),
            Box::new(process.start_time.clone()),
            Box::new(process.open_fds.clone()),
            Box::new(process.max_fds.clone()),
            Box::new(process.resident.clone()),
            Box::new(process.virtual_memory.clone()),
            Box::new(process.virtual_memory_max.clone()),
            Box::new(process.threads.clone()),
            Box::new(process.received.clone()),
            Box::new(process.transmitted.clone()),
            Box::new(process.fd_used.clone()),
            Box::new(process.fd_limit.clone()),
        ];
        Ok((process, collectors))
    }

    /// Reads all values. A value that cannot be read stays as it was.
    pub(super) fn read(&self) {
        if let Some(stat) = read("stat").as_deref().and_then(Stat::parse) {
            self.read_stat(&stat);
        }
        // Minus the descriptor of the listing itself.
        if let Ok(entries) = fs::read_dir("/proc/self/fd") {
            let open = saturated(entries.count().saturating_sub(1) as u64);
            self.open_fds.set(open);
            self.fd_used.set(open);
        }
        let fds_max = saturated(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX));
        self.max_fds.set(fds_max);
        self.fd_limit.set(fds_max);
        let memory_max = getrlimit(Resource::As).current.unwrap_or(u64::MAX);
        self.virtual_memory_max.set(memory_max as f64);
        if let Some((received, transmitted)) = read("net/netstat").as_deref().and_then(octets) {
            let through = |counter: &IntCounter, total: u64| {
                counter.inc_by(total.saturating_sub(counter.get()));
            };
            through(&self.received, received);
            through(&self.transmitted, transmitted);
        }
    }

    fn read_stat(&self, stat: &Stat) {
        let ticks_per_second = clock_ticks_per_second() as f64;
        let cpu_seconds = stat.cpu_ticks as f64 / ticks_per_second;
        // Two concurrent scrapes may read in either order.
        self.cpu_seconds
            .inc_by((cpu_seconds - self.cpu_seconds.get()).max(0.0));
        if let Some(booted) = booted_at() {
            let started = stat.start_ticks as f64 / ticks_per_second;
            self.start_time.set(booted as f64 + started);
        }
        self.threads.set(saturated(stat.threads));
        self.virtual_memory.set(saturated(stat.virtual_bytes));
        self.resident
            .set(saturated(stat.resident_pages * page_size() as u64));
    }
}

/// Reads a file of this process in `/proc`.
fn read(name: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/self/{name}")).ok()
}

/// Converts to a gauge's type; a number that is too large becomes its maximum.
fn saturated(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The fields of `/proc/self/stat` that are used.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    /// Ticks between the system's boot and the start of the process.
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    /// Parses the line. The name, in brackets, may contain blanks and brackets.
    fn parse(text: &str) -> Option<Stat> {
        let (_, fields) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        // Fields are numbered from 1 in proc_pid_stat(5), and the first field after the name is
        // number 3.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Stat {
            cpu_ticks: field(14)? + field(15)?,
            threads: field(20)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// Returns the time of the system's boot, in seconds since 1970.
fn booted_at() -> Option<u64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

/// Returns the bytes received and sent, from `/proc/self/net/netstat`, which has pairs of lines:
/// the first has the names of the numbers in the second.
fn octets(text: &str) -> Option<(u64, u64)> {
    let mut lines = text.lines().filter(|line| line.starts_with("IpExt:"));
    let (names, numbers) = (lines.next()?, lines.next()?);
    let number = |name: &str| {
        let position = names.split(' ').position(|found| found == name)?;
        numbers.split(' ').nth(position)?.parse().ok()
    };
    Some((number("InOctets")?, number("OutOctets")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_process_are_found_after_any_name() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 700 50 13 14 20 0 12 0 9000 1000000 250 18446744";
        let text = format!("42 (a) b (c) {fields}");
        let stat = Stat::parse(&text);
        assert_eq!(
            stat,
            Some(Stat {
                cpu_ticks: 750,
                threads: 12,
                start_ticks: 9_000,
                virtual_bytes: 1_000_000,
                resident_pages: 250,
            })
        );
        assert_eq!(Stat::parse("42 (a"), None);
    }

    #[test]
    fn octets_are_found_by_name() {
        let text = "TcpExt: A B\nTcpExt: 1 2\nIpExt: A InOctets OutOctets\nIpExt: 1 20 30\n";
        assert_eq!(octets(text), Some((20, 30)));
        assert_eq!(octets("TcpExt: A\n"), None);
    }

    #[test]
    fn this_process_is_read() {
        let (process, _) = Process::new().expect("valid names");
        process.read();
        assert!(process.resident.get() > 1 << 20);
        assert!(process.open_fds.get() >= 3 && process.max_fds.get() >= process.open_fds.get());
        assert!(process.start_time.get() > 1.0e9);
        assert!(process.cpu_seconds.get() >= 0.0 && process.threads.get() >= 1);
        let before = process.cpu_seconds.get();
        process.read();
        assert!(process.cpu_seconds.get() >= before);
    }
}
