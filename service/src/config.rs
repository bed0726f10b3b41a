//! What a member is told at start: etcd's flags and environment, in two steps.
//!
//! 1. **Raw.** The arguments and the `ETCD_*` variables become one list of `--flag=value`
//!    ([`arguments`]), flags of etcd that mean nothing or not yet anything here are taken out of it
//!    (`foreign`), and clap turns the rest into strings and booleans ([`raw`]).
//! 2. **Checked.** [`check`] turns those into a [`Config`]: numbers in range, URLs that parse,
//!    flags that fit together. What it lets through can be used without asking again.
//!
//! Arguments and environment come in as lists, the outcome is a value, and nothing is read, printed
//! or logged, but for one look: whether there is a raft log, since that makes some flags
//! meaningless. What the operator should know but need not act upon is returned as [`Notice`]s,
//! because logging is set up from this very configuration.
//!
//! Rules, kept from etcd so that its command lines and manifests work unchanged:
//!
//! * `--flag value`, `--flag=value`, `-flag value` and `-flag=value` are the same; a boolean flag
//!   takes its value only after `=`; of a flag given twice, the last counts.
//! * `--some-flag` is `ETCD_SOME_FLAG` in the environment. Giving both is an error: one of the two
//!   would silently lose. An empty variable counts as not given.
//! * An unknown flag is an error; an unknown `ETCD_*` variable is a warning, since container
//!   platforms put variables of that form into every process.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::net::tls::TlsSettings;

mod addresses;
pub mod arguments;
mod auto_compaction;
mod check;
mod duration;
mod error;
mod foreign;
mod former;
mod gates;
pub mod raw;
mod security;
mod skipped;
#[cfg(test)]
mod tests;
mod url;

pub use auto_compaction::AutoCompaction;
pub use check::check;
pub use conclave_core::applier::SkippedEntry;
pub use error::ConfigError;
pub use url::{InitialMember, MemberUrl};

use crate::version::version_text;

/// What the command line asks for.
#[derive(Clone, Debug)]
pub enum Invocation {
    /// Run a member; the notices are to be logged once logging is up.
    Run(Box<Config>, Vec<Notice>),
    /// Print this text on standard output and exit with success: help or version.
    Print(String),
}

/// Something the operator should read in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// How loud.
    pub level: NoticeLevel,
    /// One sentence.
    pub text: String,
}

/// How loud a [`Notice`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeLevel {
    /// Expected with command lines written for etcd.
    Info,
    /// Probably not what the operator meant.
    Warn,
}

/// A checked configuration. Field names are those of the flags; `Config::default()` is what an
/// empty command line gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The member's name: its label in `initial_cluster` and in member lists.
    pub name: String,
    /// Where everything the member keeps lives.
    pub data_dir: PathBuf,
    /// Where the raft log lives, if not in `data_dir`.
    pub wal_dir: Option<PathBuf>,
    /// Where clients connect. Never empty.
    pub listen_client_urls: Vec<MemberUrl>,
    /// What member lists tell clients to connect to. Never empty.
    pub advertise_client_urls: Vec<MemberUrl>,
    /// Where other members connect. Never empty.
    pub listen_peer_urls: Vec<MemberUrl>,
    /// What other members are told to connect to. Never empty.
    pub initial_advertise_peer_urls: Vec<MemberUrl>,
    /// Where metrics and health checks are served beside `listen_client_urls`.
    pub listen_metrics_urls: Vec<MemberUrl>,
    /// The members a new cluster begins with; holds this one. Sorted by name. An error is kept
    /// here, in words, if the member has run before: it knows its cluster then, and the flags that
    /// speak of its beginning may be of any age.
    pub initial_cluster: Result<Vec<InitialMember>, String>,
    /// Whether an empty data directory means a new cluster or joining one.
    pub initial_cluster_state: InitialClusterState,
    /// Sets clusters apart whose members have the same URLs.
    pub initial_cluster_token: String,
    /// Applied entries between two compactions of the raft log.
    pub snapshot_count: u64,
    /// Applied entries kept in the raft log for followers that are behind.
    pub snapshot_catchup_entries: u64,
    /// Whether the time a lease has left is kept in the log, so that it survives a change of
    /// leader.
    pub lease_checkpoint: bool,
    /// The address to connect to other members from; `None` leaves it to the system.
    pub peer_local_address: Option<IpAddr>,
    /// Milliseconds between two heartbeats of the leader; one raft tick.
    pub heartbeat_interval_ms: u64,
    /// Milliseconds without a heartbeat after which a follower stands for election; at least five
    /// heartbeats.
    pub election_timeout_ms: u64,
    /// Logical bytes of the store beyond which writes are refused; `None` for no limit.
    pub quota_backend_bytes: Option<u64>,
    /// Bytes of memory for the cache of disk blocks.
    pub state_cache_bytes: u64,
    /// Operations in one transaction.
    pub max_txn_ops: usize,
    /// Bytes of one encoded request.
    pub max_request_bytes: usize,
    /// Concurrent streams of one client connection.
    pub max_concurrent_streams: u32,
    /// Silence on a client connection after which the server pings; `None` for never.
    pub grpc_keepalive_interval: Option<Duration>,
    /// How long the server waits for the answer to a ping before it closes the connection.
    pub grpc_keepalive_timeout: Duration,
    /// Whether a member asks around before it stands for election.
    pub pre_vote: bool,
    /// Whether a membership change that would endanger the quorum is refused.
    pub strict_reconfig_check: bool,
    /// Learners at a time; at least one.
    pub max_learners: usize,
    /// Whether the leader makes a learner that has caught up a voter without being asked.
    pub auto_promote_learners: bool,
    /// How much history the leader keeps when it compacts by itself; `None` for never.
    pub auto_compaction: Option<AutoCompaction>,
    /// How often an idle watch that asked for progress is told the revision.
    pub watch_progress_notify_interval: Duration,
    /// Revisions deleted in one step of a compaction.
    pub compaction_batch_limit: u64,
    /// Whether the log is written without waiting for the disk. Loses acknowledged writes.
    pub unsafe_no_fsync: bool,
    /// How connections between members are secured; `None` without TLS. There if any peer URL
    /// begins with `https://`.
    pub peer_tls: Option<TlsSettings>,
    /// Whether the member leaves all others behind and goes on alone with the data it has.
    pub force_new_cluster: bool,
    /// Whether the metrics show how long calls take, by method.
    pub extensive_metrics: bool,
    /// Log entries that no member can apply, and that the operator goes on without.
    pub skip_log_entries: Vec<SkippedEntry>,
    /// The least severe events logged.
    pub log_level: LogLevel,
    /// The form of a log line; `None` chooses by whether the output is a terminal.
    pub log_format: Option<LogFormat>,
    /// Where log lines go, each once. Never empty.
    pub log_outputs: Vec<LogOutput>,
}

/// What an empty data directory means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitialClusterState {
    /// A cluster that begins now.
    New,
    /// A member that joins a cluster that runs already.
    Existing,
}

/// The least severe events logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// All of them, with each request.
    Debug,
    /// What an operator wants to read later.
    Info,
    /// What an operator should look at.
    Warn,
    /// What failed.
    Error,
    /// Nothing: `panic` and `fatal`, which etcd knows, have no events here. The message of a fatal
    /// error is printed in any case.
    Off,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line, with etcd's keys.
    Json,
    /// For people.
    Console,
}

/// Where log lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOutput {
    /// Standard error.
    Stderr,
    /// Standard output.
    Stdout,
    /// The end of this file.
    File(PathBuf),
}

/// Reads a command line, without the program's name, and an environment.
pub fn parse(
    arguments: impl IntoIterator<Item = String>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Invocation, ConfigError> {
    let arguments = arguments::collect(arguments, environment)?;
    let from_environment = arguments.from_environment;
    let raw = match raw::parse(&arguments.flags)? {
        raw::Parsed::Raw(raw) => raw,
        raw::Parsed::Help(text) => return Ok(Invocation::Print(text)),
    };
    if raw.version {
        return Ok(Invocation::Print(version_text()));
    }
    let mut notices = arguments.notices;
    let config = check(&raw, &mut notices).map_err(|error| error.located(&from_environment))?;
    Ok(Invocation::Run(Box::new(config), notices))
}

impl Default for Config {
    fn default() -> Config {
        match parse([], []) {
            Ok(Invocation::Run(config, _)) => *config,
            other => unreachable!("an empty command line is valid, and gave {other:?}"),
        }
    }
}

impl Config {
    /// The directory of this member's files, below the data directory.
    pub fn member_dir(&self) -> PathBuf {
        member_dir(&self.data_dir)
    }

    /// The directory of the raft log.
    pub fn log_dir(&self) -> PathBuf {
        log_dir(&self.data_dir, self.wal_dir.as_deref())
    }

    /// The members a new cluster begins with; none if they cannot be told.
    pub fn initial_members(&self) -> &[InitialMember] {
        self.initial_cluster.as_deref().unwrap_or_default()
    }

    /// The name and peer URLs of this member as the initial cluster has them.
    pub fn own_entry(&self) -> InitialMember {
        let mut peer_urls = self.initial_advertise_peer_urls.clone();
        peer_urls.sort();
        InitialMember {
            name: self.name.clone(),
            peer_urls,
        }
    }
}

fn member_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("member")
}

fn log_dir(data_dir: &Path, wal_dir: Option<&Path>) -> PathBuf {
    wal_dir.map_or_else(|| member_dir(data_dir).join("log"), Path::to_owned)
}
