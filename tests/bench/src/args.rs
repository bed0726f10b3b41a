//! The command line, and what it means once checked.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;

use crate::compare::Which;
use crate::compare::scenario::Scenario;
use crate::data::Order;
use crate::drive::Load;
use crate::failover::Kind;
use crate::pace::Plan;
use crate::wire::Failure;
use crate::workload::watch::Streams;

/// Requests of a run that was given neither a number nor a time.
const TOTAL_DEFAULT: u64 = 10_000;

/// Load generator for any etcd v3 endpoint, and the comparison of Conclave with etcd.
#[derive(Debug, Parser)]
#[command(name = "conclave-bench", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Put keys.
    Put(PutArgs),
    /// Get single keys, linearizable unless said otherwise.
    Get(GetArgs),
    /// Get ranges of neighbouring keys.
    Range(RangeArgs),
    /// Compare-and-swap in a transaction; --key-space below --clients makes clients race.
    Txn(PutArgs),
    /// Put one key that all watchers watch.
    WatchFanout(WatchArgs),
    /// Put keys that one watcher each watches.
    WatchLatency(WatchArgs),
    /// Grant leases.
    LeaseGrant(LeaseGrantArgs),
    /// Keep leases alive.
    KeepAlive(KeepAliveArgs),
    /// Fill a server, kill and stop it, and time its way back. Starts the server itself.
    Restart(RestartArgs),
    /// Start Conclave and etcd, run everything on both in turn, and print the ratios.
    Compare(CompareArgs),
    /// Start both as clusters of three, take their leaders away again and again, and time how long
    /// no put is acknowledged.
    Failover(FailoverArgs),
    /// Start both as clusters of three, write while a follower is away, and time its way back.
    CatchUp(CatchUpArgs),
    /// Start both as clusters of three, ask their leaders for everything, and time small puts.
    LargeReads(LargeReadsArgs),
}

/// Common to all workloads.
#[derive(Args, Debug)]
pub(crate) struct LoadArgs {
    /// Endpoints, clear text; connections are spread over them.
    #[arg(
        long,
        alias = "endpoints",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:2379"
    )]
    endpoint: Vec<String>,
    /// Allow endpoints beyond this machine.
    #[arg(long)]
    allow_remote: bool,
    /// Connections.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) connections: u32,
    /// Clients, spread over the connections; each has one request in flight.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    clients: u32,
    /// Threads of the generator, each with its own connections.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    threads: u32,
    /// Requests to send. Without it and --duration, 10,000.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    total: Option<u64>,
    /// Seconds to send for. With --total, whichever ends first.
    #[arg(long, value_parser = seconds)]
    duration: Option<Duration>,
    /// Open loop: requests a second of all clients together. Without it, closed loop.
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
    /// Seconds until a request counts as failed.
    #[arg(long, value_parser = seconds, default_value = "10")]
    timeout: Duration,
    /// The server's process, to read its processor time and memory; several, with commas, if it
    /// is a cluster.
    #[arg(long, value_delimiter = ',')]
    pid: Vec<u32>,
    /// Most seconds to wait after the run for that process to be quiet; what it does until then
    /// is counted.
    #[arg(long, value_parser = seconds, default_value = "10")]
    settle: Duration,
    /// Write the report as JSON to this file, `-` for standard output instead of the table.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// No progress bar. (There is none either if standard error is not a terminal.)
    #[arg(long)]
    quiet: bool,
}

/// The data of a workload.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct DataArgs {
    /// Bytes of a key.
    #[arg(long, default_value_t = 256)]
    pub(crate) key_size: usize,
    /// Bytes of a value, random.
    #[arg(long, default_value_t = 1024, value_parser = value_size)]
    pub(crate) value_size: usize,
    /// Number of different keys. By default one a request (put), one a client (txn), 10,000 (get
    /// and range).
    #[arg(long)]
    pub(crate) key_space: Option<u64>,
    /// Order of the keys: for puts sequential unless said otherwise, for gets random.
    #[arg(long, value_enum)]
    pub(crate) order: Option<Order>,
}

#[derive(Args, Debug)]
pub(crate) struct PutArgs {
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

#[derive(Args, Debug)]
pub(crate) struct GetArgs {
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Let the member answer from its own state.
    #[arg(long)]
    pub(crate) serializable: bool,
    /// The keys are there already, from a run with the same key and value sizes and key space.
    #[arg(long)]
    pub(crate) no_prefill: bool,
}

#[derive(Args, Debug)]
pub(crate) struct RangeArgs {
    #[command(flatten)]
    pub(crate) get: GetArgs,
    /// Keys of a range.
    #[arg(long, default_value_t = 100)]
    pub(crate) length: u64,
}

#[derive(Args, Debug)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Watchers, spread over the connections.
    #[arg(long, default_value_t = 1000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) watchers: u64,
    /// Watchers of a connection on one stream, or each on its own.
    #[arg(long, value_enum, default_value = "shared")]
    pub(crate) streams: Streams,
}

#[derive(Args, Debug)]
pub(crate) struct LeaseGrantArgs {
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    #[command(flatten)]
    pub(crate) ttl: TtlArg,
}

#[derive(Args, Debug)]
pub(crate) struct KeepAliveArgs {
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    /// Leases of a client.
    #[arg(long, default_value_t = 1)]
    pub(crate) leases: usize,
    #[command(flatten)]
    pub(crate) ttl: TtlArg,
}

#[derive(Args, Debug)]
pub(crate) struct TtlArg {
    /// Seconds a lease lives without a keep-alive.
    #[arg(long = "ttl", value_name = "SECONDS", default_value_t = 600)]
    #[arg(value_parser = clap::value_parser!(i64).range(1..=86_400))]
    pub(crate) seconds: i64,
}

#[derive(Args, Debug)]
pub(crate) struct RestartArgs {
    /// The server's binary; it must take etcd's flags.
    #[arg(long, default_value = "etcd")]
    pub(crate) binary: PathBuf,
    /// Keys to put before.
    #[arg(long, default_value_t = 1_000_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) keys: u64,
    #[command(flatten)]
    pub(crate) bench: BenchArgs,
}

/// Common to the commands that start servers.
#[derive(Args, Debug)]
pub(crate) struct BenchArgs {
    /// Where to make the data directories: a place on the disk to be measured.
    #[arg(long, default_value = ".")]
    pub(crate) dir: PathBuf,
    /// One more argument for the servers; may be repeated.
    #[arg(long = "server-arg", allow_hyphen_values = true)]
    pub(crate) server_args: Vec<String>,
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) connections: u32,
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) clients: u32,
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) threads: u32,
    #[arg(long, default_value_t = 256)]
    pub(crate) key_size: usize,
    #[arg(long, default_value_t = 1024, value_parser = value_size)]
    pub(crate) value_size: usize,
    /// Write the report as JSON to this file, `-` for standard output instead of the table.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// No progress bars.
    #[arg(long)]
    pub(crate) quiet: bool,
}

#[derive(Args, Debug)]
pub(crate) struct CompareArgs {
    #[command(flatten)]
    pub(crate) programs: ProgramArgs,
    /// How much of everything.
    #[arg(long, value_enum, default_value = "quick")]
    pub(crate) scale: Scale,
    /// Members of each server's cluster. Connections are spread over them, and processor time and
    /// memory are those of all together.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=7))]
    pub(crate) members: u32,
    /// Gives each member so much of one processor, as if it had a machine of its own. Wants root.
    #[arg(long, value_parser = clap::value_parser!(u32).range(10..=6400))]
    pub(crate) cpu_percent: Option<u32>,
    /// Only these scenarios.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<Scenario>,
    /// Exit with 2 if a target is missed.
    #[arg(long)]
    pub(crate) fail_on_miss: bool,
    #[command(flatten)]
    pub(crate) bench: BenchArgs,
}

/// Which servers, and where their programs are.
#[derive(Args, Debug)]
pub(crate) struct ProgramArgs {
    /// Our binary; by default `conclave` beside this program.
    #[arg(long)]
    pub(crate) conclave: Option<PathBuf>,
    /// etcd's binary.
    #[arg(long, default_value = "etcd")]
    pub(crate) etcd: PathBuf,
    /// Which servers to run.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["conclave", "etcd"])]
    pub(crate) servers: Vec<Which>,
}

/// Common to the commands that start clusters of three.
#[derive(Args, Debug)]
pub(crate) struct ContenderArgs {
    #[command(flatten)]
    pub(crate) programs: ProgramArgs,
    /// Where to make the data directories.
    #[arg(long, default_value = ".")]
    pub(crate) dir: PathBuf,
    /// One more argument for the servers; may be repeated.
    #[arg(long = "server-arg", allow_hyphen_values = true)]
    pub(crate) server_args: Vec<String>,
    /// Write the report as JSON to this file, `-` for standard output instead of the table.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct FailoverArgs {
    /// What happens to the leader.
    #[arg(long, value_enum, default_value = "kill")]
    pub(crate) kind: Kind,
    /// How often.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) rounds: u32,
    /// Leases to grant before: a new leader has to see to each of them.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=10_000_000))]
    pub(crate) leases: u64,
    #[command(flatten)]
    pub(crate) contenders: ContenderArgs,
}

#[derive(Args, Debug)]
pub(crate) struct CatchUpArgs {
    /// MiB of values put while the follower is away.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    pub(crate) mebibytes: u64,
    /// Bytes of a value.
    #[arg(long, default_value_t = 16 << 10, value_parser = value_size)]
    pub(crate) value_size: usize,
    /// Puts a second, of the leader, whose latency is measured before and meanwhile.
    #[arg(long, value_parser = rate, default_value = "200")]
    pub(crate) rate: f64,
    #[command(flatten)]
    pub(crate) contenders: ContenderArgs,
}

#[derive(Args, Debug)]
pub(crate) struct LargeReadsArgs {
    /// MiB of values that are read.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    pub(crate) mebibytes: u64,
    /// Bytes of a value.
    #[arg(long, default_value_t = 16 << 10, value_parser = value_size)]
    pub(crate) value_size: usize,
    /// Clients that ask for all of them, each on its own connection.
    #[arg(long, default_value_t = 8)]
    pub(crate) clients: usize,
    /// Seconds they read, and then do not read.
    #[arg(long, value_parser = seconds, default_value = "10")]
    pub(crate) seconds: Duration,
    /// Puts a second, of the leader, whose latency is measured before and meanwhile.
    #[arg(long, value_parser = rate, default_value = "200")]
    pub(crate) rate: f64,
    #[command(flatten)]
    pub(crate) contenders: ContenderArgs,
}

/// How much of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scale {
    /// What the targets speak of: 470 k puts, 1 M keys. Of the order of ten minutes.
    Full,
    /// A look: the targets are shown but not what they are about.
    Quick,
}

impl LoadArgs {
    /// The load meant, checked.
    pub(crate) fn load(&self) -> Result<Load, Failure> {
        let endpoints: Result<Vec<SocketAddr>, Failure> = self
            .endpoint
            .iter()
            .map(|endpoint| address(endpoint, self.allow_remote))
            .collect();
        let total = match (self.total, self.duration) {
            (None, None) => Some(TOTAL_DEFAULT),
            (total, _) => total,
        };
        let connections = self.connections.min(self.clients);
        Ok(Load {
            endpoints: endpoints?,
            connections: connections as usize,
            threads: self.threads.min(connections) as usize,
            plan: Plan {
                clients: self.clients as usize,
                total,
                duration: self.duration,
                rate: self.rate,
            },
            timeout: self.timeout,
            pids: self.pid.clone(),
            settle: self.settle,
            progress: !self.quiet,
        })
    }
}

/// `http://host:port` or `host:port`, of this machine unless `allow_remote`.
fn address(endpoint: &str, allow_remote: bool) -> Result<SocketAddr, Failure> {
    let bare = endpoint
        .strip_prefix("http://")
        .unwrap_or(endpoint)
        .trim_end_matches('/');
    if bare.contains("://") {
        return Err(Failure(format!("{endpoint}: only http:// is supported")));
    }
    let address = bare
        .to_socket_addrs()
        .map_err(|error| Failure(format!("{endpoint}: {error}")))?
        // `localhost` may name ::1 first, where few servers listen.
        .min_by_key(SocketAddr::is_ipv6)
        .ok_or_else(|| Failure(format!("{endpoint}: no address")))?;
    if !allow_remote && !IpAddr::is_loopback(&address.ip()) {
        return Err(Failure(format!(
            "{endpoint} is another machine; see --allow-remote"
        )));
    }
    Ok(address)
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text);
    let seconds: f64 = number
        .parse()
        .map_err(|_| "not a number of seconds".to_owned())?;
    if !(0.0..=3600.0).contains(&seconds) {
        return Err("must be from 0 to 3600 seconds".into());
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.001..=10_000_000.0).contains(&rate) {
        Ok(rate)
    } else {
        Err("must be from 0.001 to 10,000,000 a second".into())
    }
}

fn value_size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(size) if size <= 64 << 20 => Ok(size),
        Ok(_) => Err("must be at most 64 MiB".into()),
        Err(_) => Err("not a number".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn endpoints_are_of_this_machine_and_in_clear_text() {
        let local: SocketAddr = "127.0.0.1:2379".parse().expect("an address");
        assert_eq!(address("http://127.0.0.1:2379/", false), Ok(local));
        assert_eq!(address("127.0.0.1:2379", false), Ok(local));
        assert!(address("https://127.0.0.1:2379", false).is_err());
        assert!(address("192.0.2.1:2379", false).is_err());
        assert!(address("192.0.2.1:2379", true).is_ok());
    }

    #[test]
    fn times_and_rates_are_bounded() {
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(seconds("10s"), Ok(Duration::from_secs(10)));
        assert!(seconds("-1").is_err() && seconds("1e9").is_err() && seconds("NaN").is_err());
        assert!(rate("0").is_err() && rate("inf").is_err() && rate("100").is_ok());
    }
}
