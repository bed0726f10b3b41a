//! Measures the cost of large reads for concurrent small puts.
//!
//! A cluster of three is filled and takes puts at a steady rate, through its leader. Then clients
//! read everything from the leader at the same time, each on its own connection: first clients that
//! consume their replies and repeat the read, then clients that do not consume them. The latency of
//! the puts is compared with the latency before; a change of term means that the followers took the
//! leader for dead. The peak memory is the kernel's figure, from the start of the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use conclave_proto::etcdserverpb::RangeRequest;
use serde::Serialize;

use crate::args::LargeReadsArgs;
use crate::cleanup::Directory;
use crate::compare::Which;
use crate::data::{Keys, Order, Values};
use crate::failover::writer::Writer;
use crate::failover::{fill, quantile, start};
use crate::host::Host;
use crate::processes;
use crate::report;
use crate::target::Target;
use crate::wire::{Failure, Wire};
use crate::workload::path;
use crate::workload::put::Put;

const MEBIBYTE: f64 = (1 << 20) as f64;
const KEY_NAME: &str = "conclave-bench-large";
const KEY_BYTES: usize = 64;
/// Duration of the measurement of the steady puts before the reads.
const BEFORE: Duration = Duration::from_secs(5);
/// Timeout of a put.
const DEADLINE: Duration = Duration::from_secs(30);
/// Polling interval for the end of a phase.
const POLL: Duration = Duration::from_millis(20);

/// Latencies of the steady puts in one phase, in milliseconds.
#[derive(Clone, Copy, Serialize)]
struct Puts {
    median: f64,
    p99: f64,
    worst: f64,
}

/// One server's result.
#[derive(Serialize)]
struct Outcome {
    name: &'static str,
    version: String,
    before: Puts,
    reading: Puts,
    stalled: Puts,
    /// Rate of the clients that consume their replies.
    mebibytes_per_second: f64,
    term_changes: u64,
    /// Peak memory of the leader.
    peak_mebibytes: f64,
}

#[derive(Serialize)]
struct Report {
    host: Host,
    mebibytes: u64,
    value_size: usize,
    clients: usize,
    rate: f64,
    servers: Vec<Outcome>,
}

/// Runs the scenario on each server and prints the results.
pub(crate) fn run(args: &LargeReadsArgs) -> Result<(), Failure> {
    let root = Directory::make(&args.contenders.dir)?;
    let host = Host::look(root.path())?;
    let mut servers = Vec::new();
    for &which in &args.contenders.programs.servers {
        servers.push(one(which, args, &root)?);
    }
    let head = ["p50", "p99", "worst", "MiB/s", "terms", "peak MiB"];
    let head = head.map(|title| format!("{title:>12}")).concat();
    let mut lines = vec![format!("{:20}{head}", "puts in ms")];
    for server in &servers {
        let phases = [
            ("before", server.before),
            ("reading", server.reading),
            ("stalled", server.stalled),
        ];
        for (phase, puts) in phases {
            let figures = [puts.median, puts.p99, puts.worst];
            let figures = figures.map(|figure| format!("{figure:12.2}")).concat();
            lines.push(format!("{:10}{phase:10}{figures}", server.name));
        }
        let (rate, terms) = (server.mebibytes_per_second, server.term_changes);
        let (blank, peak) = ("", server.peak_mebibytes);
        let all = format!("{blank:36}{rate:12.0}{terms:12}{peak:12.0}");
        lines.push(format!("{:20}{all}", server.name));
    }
    let report = Report {
        host,
        mebibytes: args.mebibytes,
        value_size: args.value_size,
        clients: args.clients,
        rate: args.rate,
        servers,
    };
    report::lines(&lines, &report, args.contenders.json.as_deref())
}

fn one(which: Which, args: &LargeReadsArgs, root: &Directory) -> Result<Outcome, Failure> {
    // Larger than etcd's default, so that a larger store fits.
    let quota = format!("--quota-backend-bytes={}", (args.mebibytes << 20) * 4);
    let server = start(which, &args.contenders, root, &[quota])?;
    let leader = server.leader()?.target.clone();
    let value_size = args.value_size;
    let count = (args.mebibytes << 20) / value_size.max(1) as u64;
    let put = Put {
        keys: Keys::new(KEY_NAME, KEY_BYTES, count, Order::Sequential)?,
        values: Values::new(value_size),
        first: 0,
    };
    fill(put, leader, count)?;
    // The fill may have caused a change of leader, which is not part of the measurement.
    let member = server.leader()?;
    let (leader, term) = (member.target.clone(), member.status()?.raft_term);
    let interval = Duration::from_secs_f64(1.0 / args.rate);
    let writer = Writer::start(vec![leader.clone()], interval, DEADLINE)?;
    let phase = |readers: Option<Readers>, time: Duration| -> Result<(Puts, f64), Failure> {
        let begin = Instant::now();
        std::thread::sleep(time);
        let seconds = begin.elapsed().as_secs_f64();
        let read_bytes = readers.map_or(Ok(0), Readers::stop)?;
        // Time for the last puts that were due before the end to be acknowledged.
        std::thread::sleep(BEFORE / 5);
        let latencies = writer.latencies(begin, begin + time);
        let puts = Puts {
            median: quantile(&latencies, 0.5),
            p99: quantile(&latencies, 0.99),
            worst: quantile(&latencies, 1.0),
        };
        Ok((puts, read_bytes as f64 / MEBIBYTE / seconds))
    };
    let (before, _) = phase(None, BEFORE)?;
    let readers = Readers::start(leader.clone(), args.clients, true)?;
    let (reading, mebibytes_per_second) = phase(Some(readers), args.seconds)?;
    let readers = Readers::start(leader, args.clients, false)?;
    let (stalled, _) = phase(Some(readers), args.seconds)?;
    let after = server.leader()?.status()?.raft_term;
    let peak = processes::memory(member.id())?.peak;
    let (name, version) = (server.name, server.version.clone());
    report::note(&format!("{name}: done"));
    Ok(Outcome {
        name,
        version,
        before,
        reading,
        stalled,
        mebibytes_per_second,
        term_changes: after - term,
        peak_mebibytes: peak as f64 / MEBIBYTE,
    })
}

/// Clients that read everything, on their own thread.
struct Readers {
    stop: Arc<AtomicBool>,
    read_bytes: Arc<AtomicU64>,
    thread: JoinHandle<Result<(), Failure>>,
}

impl Readers {
    fn start(target: Target, clients: usize, reads: bool) -> Result<Readers, Failure> {
        let (stop, read_bytes) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stops, counts) = (Arc::clone(&stop), Arc::clone(&read_bytes));
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let mut asking = tokio::task::JoinSet::new();
                for _ in 0..clients {
                    asking.spawn(ask(target.clone(), reads, Arc::clone(&counts)));
                }
                while !stops.load(Ordering::Relaxed) {
                    tokio::time::sleep(POLL).await;
                    if let Some(Ok(Err(failure))) = asking.try_join_next() {
                        return Err(failure);
                    }
                }
                Ok(())
            })
        });
        Ok(Readers {
            stop,
            read_bytes,
            thread,
        })
    }

    /// Stops the clients. Returns the number of bytes they read.
    fn stop(self) -> Result<u64, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.join();
        ended.map_err(|_| Failure::new("the readers panicked"))??;
        Ok(self.read_bytes.load(Ordering::Relaxed))
    }
}

/// Reads everything, repeatedly; or once, without consuming the reply.
async fn ask(target: Target, reads: bool, read_bytes: Arc<AtomicU64>) -> Result<(), Failure> {
    let wire = Wire::connect(&target).await?;
    let mut range = wire.method(path::RANGE)?;
    let everything = RangeRequest {
        key: Bytes::from_static(b"\0"),
        range_end: Bytes::from_static(b"\0"),
        ..Default::default()
    };
    if !reads {
        let _held = range.call_unread(&everything).await?;
        return std::future::pending().await;
    }
    loop {
        range.call_discarding(&everything, &read_bytes).await?;
    }
}
