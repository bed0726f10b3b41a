//! Measures how fast a follower that was down catches up, and the cost for concurrent puts.
//!
//! A cluster of three takes puts at a steady rate. A follower is stopped; values are put until the
//! leader's log no longer reaches back to the follower's last entry; the follower is started again.
//! Until it has caught up, it receives a snapshot and the entries after it, while the leader goes
//! on taking the steady puts, whose latency is compared with the latency before.
//!
//! A run in which the follower has received no snapshot measures something else, and fails: the
//! leader's log still reached back.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::args::CatchUpArgs;
use crate::cleanup::Directory;
use crate::compare::Which;
use crate::data::{Keys, Order, Values};
use crate::exposition;
use crate::failover::writer::Writer;
use crate::failover::{MEMBERS, fill, in_step, quantile, start};
use crate::host::Host;
use crate::report;
use crate::target::Target;
use crate::wire::Failure;
use crate::workload::put::Put;

/// Both servers' counter of snapshots received since the process started.
const SNAPSHOTS_RECEIVED: &str = "etcd_network_snapshot_receive_success";
/// A snapshot may be counted a moment after the follower has caught up.
const COUNTED_WITHIN: Duration = Duration::from_secs(5);
/// Polling interval.
const POLL: Duration = Duration::from_millis(50);

/// Duration of the measurement of the steady puts before the fault.
const BEFORE: Duration = Duration::from_secs(5);
/// Timeout of a put.
const DEADLINE: Duration = Duration::from_secs(5);
const KEY_BYTES: usize = 64;
/// Entries between snapshots unless `--server-arg` sets another number. With etcd's 5,000 entries
/// kept below a snapshot, 10,000 puts are more than the log has.
const SNAPSHOT_COUNT: &str = "--snapshot-count=5000";

/// One server's result.
#[derive(Serialize)]
struct CaughtUp {
    name: &'static str,
    version: String,
    /// From the start of the process until it had caught up.
    seconds: f64,
    /// Number of snapshots received in that time.
    snapshots: u64,
    mebibytes_per_second: f64,
    /// 99th percentile of the steady puts, in milliseconds.
    p99_before: f64,
    p99_meanwhile: f64,
    worst_meanwhile: f64,
}

#[derive(Serialize)]
struct Report {
    host: Host,
    mebibytes: u64,
    value_size: usize,
    rate: f64,
    servers: Vec<CaughtUp>,
}

/// Runs the scenario on each server and prints the results.
pub(crate) fn run(args: &CatchUpArgs) -> Result<(), Failure> {
    let root = Directory::make(&args.contenders.dir)?;
    let host = Host::look(root.path())?;
    let mut servers = Vec::new();
    for &which in &args.contenders.programs.servers {
        servers.push(one(which, args, &root)?);
    }
    let head = [
        "MiB/s",
        "seconds",
        "snapshots",
        "p99 before",
        "p99 then",
        "worst then",
    ];
    let head = head.map(|title| format!("{title:>12}")).concat();
    let mut lines = vec![format!("{:10}{head}", "puts in ms")];
    for server in &servers {
        let figures = [
            server.mebibytes_per_second,
            server.seconds,
            server.snapshots as f64,
            server.p99_before,
            server.p99_meanwhile,
            server.worst_meanwhile,
        ];
        let figures = figures.map(|figure| format!("{figure:12.2}")).concat();
        lines.push(format!("{:10}{figures}", server.name));
    }
    let (mebibytes, value_size, rate) = (args.mebibytes, args.value_size, args.rate);
    let report = Report {
        host,
        mebibytes,
        value_size,
        rate,
        servers,
    };
    report::lines(&lines, &report, args.contenders.json.as_deref())
}

fn one(which: Which, args: &CatchUpArgs, root: &Directory) -> Result<CaughtUp, Failure> {
    let own = args.contenders.server_args.iter();
    let own = own
        .filter(|argument| argument.starts_with("--snapshot-count"))
        .count()
        > 0;
    let more: &[String] = if own {
        &[]
    } else {
        &[SNAPSHOT_COUNT.to_owned()]
    };
    let mut server = start(which, &args.contenders, root, more)?;
    let leader = server.leader_number()?;
    let follower = (leader + 1) % MEMBERS;
    let target = server.members[leader].target.clone();
    let interval = Duration::from_secs_f64(1.0 / args.rate);
    let writer = Writer::start(vec![target.clone()], interval, DEADLINE)?;
    let begin = Instant::now();
    std::thread::sleep(BEFORE);
    let before = writer.latencies(begin + BEFORE / 5, Instant::now());
    server.members[follower].stop()?;
    miss(args, target)?;
    if server.leader_number_without(follower)? != leader {
        return Err(Failure(format!(
            "{}: the leader changed meanwhile",
            server.name
        )));
    }
    // The flushes and compactions of the fill must not count against the follower.
    std::thread::sleep(BEFORE);
    writer.forget();
    let back = Instant::now();
    server.members[follower].spawn()?;
    in_step(&server, follower)?;
    let seconds = back.elapsed().as_secs_f64();
    let meanwhile = writer.latencies(back, Instant::now());
    let snapshots = snapshots_received(server.members[follower].metrics)?;
    if snapshots == 0 {
        return Err(Failure(format!(
            "{}: the follower was sent no snapshot, its leader's log reached back to it: put more \
             (--mebibytes, or smaller values), or keep less (--server-arg=--snapshot-count=...)",
            server.name
        )));
    }
    report::note(&format!("{}: {seconds:.2} s", server.name));
    Ok(CaughtUp {
        name: server.name,
        version: server.version.clone(),
        seconds,
        snapshots,
        mebibytes_per_second: args.mebibytes as f64 / seconds,
        p99_before: quantile(&before, 0.99),
        p99_meanwhile: quantile(&meanwhile, 0.99),
        worst_meanwhile: quantile(&meanwhile, 1.0),
    })
}

/// The number of snapshots a member has received since it was started.
fn snapshots_received(member: std::net::SocketAddr) -> Result<u64, Failure> {
    let begin = Instant::now();
    loop {
        let received = exposition::sum(member, SNAPSHOTS_RECEIVED)?;
        if received > 0.0 || begin.elapsed() > COUNTED_WITHIN {
            return Ok(received as u64);
        }
        std::thread::sleep(POLL);
    }
}

/// Puts the values that the follower misses.
fn miss(args: &CatchUpArgs, leader: Target) -> Result<(), Failure> {
    let count = (args.mebibytes << 20) / args.value_size.max(1) as u64;
    let keys = Keys::new("conclave-bench-missed", KEY_BYTES, count, Order::Sequential)?;
    let values = Values::new(args.value_size);
    let first = 0;
    fill(
        Put {
            keys,
            values,
            first,
        },
        leader,
        count,
    )
}
