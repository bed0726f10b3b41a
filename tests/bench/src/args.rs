//! The command line, and its checked values.

use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use conclave_client::{TlsFiles, User};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use serde::Serialize;

use crate::compare::Which;
use crate::compare::scenario::Scenario;
use crate::data::Order;
use crate::drive::Load;
use crate::failover::Kind;
use crate::pace::Plan;
use crate::target::{Access, Login, Target, Tls};
use crate::wire::Failure;
use crate::workload::watch::Streams;

/// Number of requests if neither a number nor a time is given.
const TOTAL_DEFAULT: u64 = 10_000;

/// Load generator for any etcd v3 endpoint, and the comparison of Conclave with etcd.
#[derive(Debug, Parser)]
#[command(name = "conclave-bench", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Put keys.
    Put(PutArgs),
    /// Get single keys, by linearizable reads unless --serializable is given.
    Get(GetArgs),
    /// Get ranges of neighbouring keys.
    Range(RangeArgs),
    /// Compare-and-swap in a transaction; --key-space below --clients makes clients conflict.
    Txn(PutArgs),
    /// Put one key that all watchers watch.
    WatchFanout(WatchArgs),
    /// Put keys that have one watcher each.
    WatchLatency(WatchArgs),
    /// Grant leases.
    LeaseGrant(LeaseGrantArgs),
    /// Keep leases alive.
    KeepAlive(KeepAliveArgs),
    /// Log in, each time with the password.
    Login(LoadArgs),
    /// Fill a server, kill and stop it, and time its recovery. Starts the server itself.
    Restart(RestartArgs),
    /// Start Conclave and etcd, run everything on both in turn, and print the ratios.
    Compare(CompareArgs),
    /// Start both as clusters of three, remove their leaders repeatedly, and time how long no put
    /// is acknowledged.
    Failover(FailoverArgs),
    /// Start both as clusters of three, write while a follower is down, and time its recovery.
    CatchUp(CatchUpArgs),
    /// Start both as clusters of three, read everything from their leaders, and time small puts.
    LargeReads(LargeReadsArgs),
}

/// Common to all workloads.
#[derive(Args, Debug)]
pub(crate) struct LoadArgs {
    /// Endpoints, `http://` or `https://`; connections are spread over them.
    #[arg(
        long,
        alias = "endpoints",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:2379"
    )]
    endpoint: Vec<String>,
    #[command(flatten)]
    access: AccessArgs,
    /// Allow endpoints on other machines.
    #[arg(long)]
    allow_remote: bool,
    /// Number of connections.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) connections: u32,
    /// Number of clients, spread over the connections; each has one request in flight.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    clients: u32,
    /// Number of generator threads, each with its own connections.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    threads: u32,
    /// Number of requests. Without it and --duration, 10,000.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    total: Option<u64>,
    /// Duration in seconds. With --total, the first limit reached ends the run.
    #[arg(long, value_parser = seconds)]
    duration: Option<Duration>,
    /// Open loop: requests per second of all clients together. Without it, closed loop.
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
    /// Timeout of a request in seconds.
    #[arg(long, value_parser = seconds, default_value = "10")]
    timeout: Duration,
    /// Process id of the server, to read its processor time and memory; for a cluster a
    /// comma-separated list.
    #[arg(long, value_delimiter = ',')]
    pid: Vec<u32>,
    /// Longest wait in seconds, after the run, for that process to become idle; its work until then
    /// is counted.
    #[arg(long, value_parser = seconds, default_value = "10")]
    settle: Duration,
    /// Write the report as JSON to this file, `-` for standard output instead of the table.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// Show no progress bar. (It is never shown if standard error is not a terminal.)
    #[arg(long)]
    quiet: bool,
}

/// Flags for TLS and users, named as etcdctl names them.
#[derive(Args)]
struct AccessArgs {
    /// CA of the servers' certificates, in PEM; needed for `https://`.
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// Certificate to present to the servers.
    #[arg(long, value_name = "FILE", requires = "key", requires = "cacert")]
    cert: Option<PathBuf>,
    /// Its key.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Log in as this user. All connections share one login.
    #[arg(long, value_name = "NAME[:PASSWORD]")]
    user: Option<String>,
    /// Password of the user, if it is not in --user.
    #[arg(long, requires = "user")]
    password: Option<String>,
}

impl fmt::Debug for AccessArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the user, whose name may contain the password.
        f.debug_struct("AccessArgs")
            .field("cacert", &self.cacert)
            .field("cert", &self.cert)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// How servers that are started here are protected.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct SecurityArgs {
    /// TLS 1.3 for clients and peers, with certificates on both sides, made for this run.
    #[arg(long)]
    pub(crate) tls: bool,
    /// Enable authentication; requests have a simple token of root, whose password is random.
    #[arg(long)]
    pub(crate) auth: bool,
}

/// The data of a workload.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct DataArgs {
    /// Key size in bytes.
    #[arg(long, default_value_t = 256)]
    pub(crate) key_size: usize,
    /// Value size in bytes; values are random.
    #[arg(long, default_value_t = 1024, value_parser = value_size)]
    pub(crate) value_size: usize,
    /// Number of different keys. By default one per request (put), one per client (txn), 10,000
    /// (get and range).
    #[arg(long)]
    pub(crate) key_space: Option<u64>,
    /// Order of the keys: by default sequential for puts and random for gets.
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
    /// Use serializable reads, which a member answers from its own state.
    #[arg(long)]
    pub(crate) serializable: bool,
    /// The keys exist already, from a run with the same key and value sizes and key space.
    #[arg(long)]
    pub(crate) no_prefill: bool,
}

#[derive(Args, Debug)]
pub(crate) struct RangeArgs {
    #[command(flatten)]
    pub(crate) get: GetArgs,
    /// Number of keys in a range.
    #[arg(long, default_value_t = 100)]
    pub(crate) length: u64,
}

#[derive(Args, Debug)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Number of watchers, spread over the connections.
    #[arg(long, default_value_t = 1000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) watchers: u64,
    /// One stream for all watchers of a connection, or one for each.
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
    /// Number of leases per client.
    #[arg(long, default_value_t = 1)]
    pub(crate) leases: usize,
    #[command(flatten)]
    pub(crate) ttl: TtlArg,
}

#[derive(Args, Debug)]
pub(crate) struct TtlArg {
    /// Time to live of a lease in seconds.
    #[arg(long = "ttl", value_name = "SECONDS", default_value_t = 600)]
    #[arg(value_parser = clap::value_parser!(i64).range(1..=86_400))]
    pub(crate) seconds: i64,
}

#[derive(Args, Debug)]
pub(crate) struct RestartArgs {
    /// The server's binary; it must accept etcd's flags.
    #[arg(long, default_value = "etcd")]
    pub(crate) binary: PathBuf,
    /// Number of keys to put first.
    #[arg(long, default_value_t = 1_000_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) keys: u64,
    #[command(flatten)]
    pub(crate) bench: BenchArgs,
}

/// Common to the commands that start servers.
#[derive(Args, Debug)]
pub(crate) struct BenchArgs {
    /// Parent of the data directories, on the disk to be measured.
    #[arg(long, default_value = ".")]
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) security: SecurityArgs,
    /// Additional argument for the servers; may be repeated.
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
    /// Show no progress bars.
    #[arg(long)]
    pub(crate) quiet: bool,
}

#[derive(Args, Debug)]
pub(crate) struct CompareArgs {
    #[command(flatten)]
    pub(crate) programs: ProgramArgs,
    /// Size of the scenarios.
    #[arg(long, value_enum, default_value = "quick")]
    pub(crate) scale: Scale,
    /// Number of members per cluster. Connections are spread over them, and processor time and
    /// memory are sums.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=7))]
    pub(crate) members: u32,
    /// Limit each member to this percentage of one processor, as if it had its own machine. Needs
    /// root.
    #[arg(long, value_parser = clap::value_parser!(u32).range(10..=6400))]
    pub(crate) cpu_percent: Option<u32>,
    /// Run only these scenarios.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<Scenario>,
    /// Exit with 2 if a target is missed.
    #[arg(long)]
    pub(crate) fail_on_miss: bool,
    #[command(flatten)]
    pub(crate) bench: BenchArgs,
}

/// The servers to run, and the paths of their programs.
#[derive(Args, Debug)]
pub(crate) struct ProgramArgs {
    /// Conclave's binary; by default `conclave` next to this program.
    #[arg(long)]
    pub(crate) conclave: Option<PathBuf>,
    /// etcd's binary.
    #[arg(long, default_value = "etcd")]
    pub(crate) etcd: PathBuf,
    /// Servers to run.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["conclave", "etcd"])]
    pub(crate) servers: Vec<Which>,
}

/// Common to the commands that start clusters of three.
#[derive(Args, Debug)]
pub(crate) struct ContenderArgs {
    #[command(flatten)]
    pub(crate) programs: ProgramArgs,
    /// Parent of the data directories.
    #[arg(long, default_value = ".")]
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) security: SecurityArgs,
    /// Additional argument for the servers; may be repeated.
    #[arg(long = "server-arg", allow_hyphen_values = true)]
    pub(crate) server_args: Vec<String>,
    /// Write the report as JSON to this file, `-` for standard output instead of the table.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct FailoverArgs {
    /// Fault of the leader.
    #[arg(long, value_enum, default_value = "kill")]
    pub(crate) kind: Kind,
    /// Number of rounds.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) rounds: u32,
    /// Number of leases to grant first: a new leader has to reset each of them.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=10_000_000))]
    pub(crate) leases: u64,
    #[command(flatten)]
    pub(crate) contenders: ContenderArgs,
}

#[derive(Args, Debug)]
pub(crate) struct CatchUpArgs {
    /// MiB of values to put while the follower is down.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    pub(crate) mebibytes: u64,
    /// Value size in bytes.
    #[arg(long, default_value_t = 16 << 10, value_parser = value_size)]
    pub(crate) value_size: usize,
    /// Puts per second through the leader, whose latency is measured before and during the
    /// recovery.
    #[arg(long, value_parser = rate, default_value = "200")]
    pub(crate) rate: f64,
    #[command(flatten)]
    pub(crate) contenders: ContenderArgs,
}

#[derive(Args, Debug)]
pub(crate) struct LargeReadsArgs {
    /// MiB of values in the store.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    pub(crate) mebibytes: u64,
    /// Value size in bytes.
    #[arg(long, default_value_t = 16 << 10, value_parser = value_size)]
    pub(crate) value_size: usize,
    /// Number of clients that read everything, each on its own connection.
    #[arg(long, default_value_t = 8)]
    pub(crate) clients: usize,
    /// Duration in seconds of the phase that reads replies, and of the phase that does not.
    #[arg(long, value_parser = seconds, default_value = "10")]
    pub(crate) seconds: Duration,
    /// Puts per second through the leader, whose latency is measured before and during the reads.
    #[arg(long, value_parser = rate, default_value = "200")]
    pub(crate) rate: f64,
    #[command(flatten)]
    pub(crate) contenders: ContenderArgs,
}

/// Size of the scenarios.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scale {
    /// The sizes the targets are defined for: 470,000 puts, 1 million keys. Takes some ten minutes.
    Full,
    /// A short run: the targets are shown, but they are defined for the full sizes.
    Quick,
}

impl LoadArgs {
    /// Checks the arguments and returns the load.
    pub(crate) fn load(&self) -> Result<Load, Failure> {
        let config = self.access.config()?;
        let login = self.access.user()?.map(Login::of);
        let endpoints: Result<Vec<Target>, Failure> = self
            .endpoint
            .iter()
            .map(|endpoint| {
                let mut target = target(endpoint, config.as_ref(), self.allow_remote)?;
                target.access.login.clone_from(&login);
                Ok(target)
            })
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

impl AccessArgs {
    fn config(&self) -> Result<Option<Arc<ClientConfig>>, Failure> {
        let Some(cacert) = &self.cacert else {
            return Ok(None);
        };
        let mut files = TlsFiles::trusting(cacert);
        if let (Some(cert), Some(key)) = (&self.cert, &self.key) {
            files = files.presenting(cert, key);
        }
        let config = files.read().map_err(|error| Failure(error.to_string()))?;
        Ok(Some(Arc::new(config)))
    }

    fn user(&self) -> Result<Option<User>, Failure> {
        let Some(user) = &self.user else {
            return Ok(None);
        };
        let (name, password) = match (&self.password, user.split_once(':')) {
            (Some(password), _) => (user.as_str(), password.as_str()),
            (None, Some(both)) => both,
            (None, None) => {
                let missing = "--user has no password: give --user NAME:PASSWORD, or --password";
                return Err(Failure::new(missing));
            }
        };
        Ok(Some(User {
            name: name.to_owned(),
            password: password.to_owned(),
        }))
    }
}

/// Parses `http://host:port`, `https://host:port` or `host:port`, on this machine unless
/// `allow_remote`.
fn target(
    endpoint: &str,
    config: Option<&Arc<ClientConfig>>,
    allow_remote: bool,
) -> Result<Target, Failure> {
    let (scheme, rest) = endpoint.split_once("://").unwrap_or(("http", endpoint));
    let bare = rest.trim_end_matches('/');
    let tls = match (scheme, config) {
        ("http", _) => None,
        ("https", Some(config)) => {
            let (host, _) = bare.rsplit_once(':').unwrap_or((bare, ""));
            let host = host
                .trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned();
            let server_name = ServerName::try_from(host)
                .map_err(|_| Failure(format!("{endpoint}: no certificate can be for this host")))?;
            Some(Tls {
                config: Arc::clone(config),
                server_name,
                version: None,
            })
        }
        ("https", None) => return Err(Failure(format!("{endpoint}: https:// needs --cacert"))),
        _ => {
            let known = "only http:// and https:// are supported";
            return Err(Failure(format!("{endpoint}: {known}")));
        }
    };
    let address = bare
        .to_socket_addrs()
        .map_err(|error| Failure(format!("{endpoint}: {error}")))?
        // `localhost` may resolve to ::1 first, where few servers listen.
        .min_by_key(SocketAddr::is_ipv6)
        .ok_or_else(|| Failure(format!("{endpoint}: no address")))?;
    if !allow_remote && !IpAddr::is_loopback(&address.ip()) {
        return Err(Failure(format!(
            "{endpoint} is another machine; see --allow-remote"
        )));
    }
    let access = Access { tls, login: None };
    Ok(Target { address, access })
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
    fn endpoints_are_of_this_machine() {
        let local: SocketAddr = "127.0.0.1:2379".parse().expect("an address");
        let address = |endpoint, remote| target(endpoint, None, remote).map(|it| it.address);
        assert_eq!(address("http://127.0.0.1:2379/", false), Ok(local));
        assert_eq!(address("127.0.0.1:2379", false), Ok(local));
        // Without a CA.
        assert!(address("https://127.0.0.1:2379", false).is_err());
        assert!(address("unix://127.0.0.1:2379", false).is_err());
        assert!(address("192.0.2.1:2379", false).is_err());
        assert!(address("192.0.2.1:2379", true).is_ok());
    }

    #[test]
    fn a_user_is_given_as_to_etcdctl() {
        let user = |arguments: &[&str]| {
            let all = ["conclave-bench", "login"].iter().chain(arguments);
            let cli = Cli::try_parse_from(all).expect("a command line");
            assert!(!format!("{cli:?}").contains("hunter2"), "it is shown");
            let Command::Login(load) = cli.command else {
                unreachable!("that is the command");
            };
            let user = load.access.user();
            user.map(|user| user.map(|user| (user.name, user.password)))
        };
        let alice = |password: &str| Ok(Some(("alice".to_owned(), password.to_owned())));
        assert_eq!(user(&[]), Ok(None));
        assert_eq!(user(&["--user=alice:hunter2:"]), alice("hunter2:"));
        assert_eq!(
            user(&["--user=alice", "--password=hunter2"]),
            alice("hunter2")
        );
        assert!(user(&["--user=alice"]).is_err());
    }

    #[test]
    fn times_and_rates_are_bounded() {
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(seconds("10s"), Ok(Duration::from_secs(10)));
        assert!(seconds("-1").is_err() && seconds("1e9").is_err() && seconds("NaN").is_err());
        assert!(rate("0").is_err() && rate("inf").is_err() && rate("100").is_ok());
    }
}
