//! The configuration of a member: etcd's flags and environment, read in two steps.
//!
//! 1. **Raw.** The arguments and the `ETCD_*` variables become one list of `--flag=value`
//!    ([`arguments`]). etcd's flags that are ignored or refused here are taken out of the list
//!    (`foreign`), and clap turns the rest into strings and booleans ([`raw`]).
//! 2. **Checked.** [`check`] turns the strings into a [`Config`]: numbers in range, URLs that
//!    parse, flags that fit together. No later code needs to check a value again.
//!
//! Arguments and environment are parameters and the result is a value: nothing is printed or
//! logged. The file system is read for one answer only, whether there is a raft log, since that
//! makes some flags meaningless. Logging is set up from this very configuration, so messages for
//! the operator are returned as [`Notice`]s, to be logged later.
//!
//! The rules are etcd's, so that its command lines and manifests work unchanged:
//!
//! * `--flag value`, `--flag=value`, `-flag value` and `-flag=value` are the same. A boolean flag
//!   takes its value only after `=`. If a flag is given twice, the last value counts.
//! * `--some-flag` is `ETCD_SOME_FLAG` in the environment. Giving both is an error, because one
//!   value would be silently ignored. An empty variable counts as not given.
//! * OpenTelemetry's own variables (`OTEL_*`) count where a flag of theirs is not given
//!   ([`telemetry`]).
//! * An unknown flag is an error. An unknown `ETCD_*` variable is a warning, because container
//!   platforms put such variables into every process.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::fair_use::Settings as FairUse;
use crate::net::tls::TlsSettings;

mod addresses;
pub mod arguments;
mod audit;
mod auto_compaction;
mod check;
mod error;
mod fair_use;
mod foreign;
mod former;
mod gates;
pub mod raw;
mod security;
mod skipped;
mod telemetry;
#[cfg(test)]
mod tests;
mod url;

pub use audit::{AuditLevel, AuditLog, AuditOutput};
pub use auto_compaction::AutoCompaction;
pub use check::check;
pub use conclave_core::applier::SkippedEntry;
pub use error::ConfigError;
pub use telemetry::{Sampler, Telemetry};
pub(crate) use url::url_without_userinfo;
pub use url::{InitialMember, MemberUrl};

use crate::version::version_text;

/// The action that the command line requests.
#[derive(Clone, Debug)]
pub enum Invocation {
    /// Run a member, and log the notices once logging is set up.
    Run(Box<Config>, Vec<Notice>),
    /// Print this text (help or version) on standard output and exit with success.
    Print(String),
}

/// A message for the operator, to be logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Level to log the message at.
    pub level: NoticeLevel,
    /// The message: one sentence.
    pub text: String,
}

impl Notice {
    pub(crate) fn warning(text: String) -> Notice {
        let level = NoticeLevel::Warn;
        Notice { level, text }
    }
}

/// The log level of a [`Notice`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeLevel {
    /// Normal for command lines written for etcd.
    Info,
    /// Probably not intended by the operator.
    Warn,
}

/// A checked configuration. The fields are named after the flags. `Config::default()` is the result
/// of an empty command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The member's name in `initial_cluster` and in member lists.
    pub name: String,
    /// The directory of the member's data.
    pub data_dir: PathBuf,
    /// The directory of the raft log, if it is not in `data_dir`.
    pub wal_dir: Option<PathBuf>,
    /// URLs to listen on for clients. Never empty.
    pub listen_client_urls: Vec<MemberUrl>,
    /// URLs that member lists show to clients. Never empty.
    pub advertise_client_urls: Vec<MemberUrl>,
    /// URLs to listen on for other members. Never empty.
    pub listen_peer_urls: Vec<MemberUrl>,
    /// URLs that other members are given to reach this member. Never empty.
    pub initial_advertise_peer_urls: Vec<MemberUrl>,
    /// Additional URLs that serve only metrics and health checks.
    pub listen_metrics_urls: Vec<MemberUrl>,
    /// The first members of a new cluster, sorted by name. This member is one of them. If the
    /// member has run before, a wrong list is not fatal and the error's text is kept here: the data
    /// directory already says which cluster the member belongs to, and the flags about the
    /// cluster's start may be outdated.
    pub initial_cluster: Result<Vec<InitialMember>, String>,
    /// The meaning of an empty data directory: a new cluster, or a member that joins one.
    pub initial_cluster_state: InitialClusterState,
    /// Distinguishes clusters whose members have the same URLs: the cluster's id depends on it.
    pub initial_cluster_token: String,
    /// Number of applied entries between two compactions of the raft log.
    pub snapshot_count: u64,
    /// Number of applied entries kept in the raft log for followers that are behind.
    pub snapshot_catchup_entries: u64,
    /// Whether the remaining time of leases is recorded in the log, so that it survives a change of
    /// leader.
    pub lease_checkpoint: bool,
    /// Local address of connections to other members; `None` lets the system choose.
    pub peer_local_address: Option<IpAddr>,
    /// Milliseconds between two heartbeats of the leader: one raft tick.
    pub heartbeat_interval_ms: u64,
    /// Milliseconds without a heartbeat after which a follower starts an election; at least five
    /// heartbeats.
    pub election_timeout_ms: u64,
    /// Logical size in bytes above which the store refuses writes; `None` for no limit.
    pub quota_backend_bytes: Option<u64>,
    /// Size in bytes of the memory cache for disk blocks.
    pub state_cache_bytes: u64,
    /// Maximum number of operations in one transaction.
    pub max_txn_ops: usize,
    /// Maximum size in bytes of one encoded request.
    pub max_request_bytes: usize,
    /// Maximum number of concurrent streams on one client connection.
    pub max_concurrent_streams: u32,
    /// Time without traffic after which the server pings a client; `None` for never.
    pub grpc_keepalive_interval: Option<Duration>,
    /// Time to wait for the answer to a ping before the connection is closed.
    pub grpc_keepalive_timeout: Duration,
    /// Limits on what one user and one address may use.
    pub fair_use: FairUse,
    /// Whether a member asks for pre-votes before it starts an election.
    pub pre_vote: bool,
    /// Whether membership changes that would endanger the quorum are refused.
    pub strict_reconfig_check: bool,
    /// Maximum number of learners at a time; at least one.
    pub max_learners: usize,
    /// Whether the leader promotes learners that have caught up without a request.
    pub auto_promote_learners: bool,
    /// History that automatic compaction keeps; `None` disables automatic compaction.
    pub auto_compaction: Option<AutoCompaction>,
    /// Time between two progress notifications of an idle watch that asked for them.
    pub watch_progress_notify_interval: Duration,
    /// Number of revisions deleted in one step of a compaction.
    pub compaction_batch_limit: u64,
    /// Whether log writes skip the sync. Loses acknowledged writes in a crash.
    pub unsafe_no_fsync: bool,
    /// TLS settings of connections between members; `None` without TLS. Always present if a peer
    /// URL begins with `https://`.
    pub peer_tls: Option<TlsSettings>,
    /// TLS settings of client connections, and of URLs for metrics; `None` without TLS. Always
    /// present if a URL to listen on begins with `https://` or `unixs://`.
    pub client_tls: Option<TlsSettings>,
    /// The kind of tokens, with its options.
    pub auth_token: String,
    /// Cost of password hashes.
    pub bcrypt_cost: u32,
    /// Time without use after which a simple token ends.
    pub auth_token_ttl: Duration,
    /// Whether the member starts a new cluster of itself alone, with the data it has.
    pub force_new_cluster: bool,
    /// Whether the metrics include the duration of calls by method.
    pub extensive_metrics: bool,
    /// What is sent to a collector of OpenTelemetry; `None` for nothing.
    pub telemetry: Option<Telemetry>,
    /// Log entries to skip, because no member can apply them.
    pub skip_log_entries: Vec<SkippedEntry>,
    /// The lowest level of events that are logged.
    pub log_level: LogLevel,
    /// A file with another level, which can be changed while the member runs.
    pub log_level_file: Option<PathBuf>,
    /// The format of log lines; `None` chooses by whether the output is a terminal.
    pub log_format: Option<LogFormat>,
    /// Outputs of log lines, without duplicates. Never empty.
    pub log_outputs: Vec<LogOutput>,
    /// The audit log; `None` for none.
    pub audit_log: Option<AuditLog>,
}

/// The meaning of an empty data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitialClusterState {
    /// The member is one of the first members of a new cluster.
    New,
    /// The member was added to a running cluster.
    Existing,
}

/// The lowest level of events that are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Every event, including one for each request.
    Debug,
    /// Normal events that an operator may want to read later.
    Info,
    /// Events that an operator should look at.
    Warn,
    /// Failures.
    Error,
    /// No events: `panic` and `fatal`, which etcd has, are never logged here. The message of a
    /// fatal error is printed anyway.
    Off,
}

impl LogLevel {
    /// Parses a level by its name in etcd. The error says what to write.
    pub(crate) fn parse(text: &str) -> Result<LogLevel, &'static str> {
        match text {
            "debug" => Ok(LogLevel::Debug),
            "info" => Ok(LogLevel::Info),
            "warn" => Ok(LogLevel::Warn),
            "error" => Ok(LogLevel::Error),
            "dpanic" | "panic" | "fatal" => Ok(LogLevel::Off),
            _ => Err("write debug, info, warn, error, panic or fatal"),
        }
    }

    /// Returns a name that [`LogLevel::parse`] understands.
    pub(crate) fn name(self) -> &'static str {
        match self {
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
            LogLevel::Off => "panic",
        }
    }
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line, with etcd's keys.
    Json,
    /// Text for people.
    Console,
}

/// An output of log lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOutput {
    /// The standard error stream.
    Stderr,
    /// The standard output stream.
    Stdout,
    /// A file, which is appended to.
    File(PathBuf),
}

/// Parses a command line, without the program's name, and an environment.
pub fn parse(
    arguments: impl IntoIterator<Item = String>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Invocation, ConfigError> {
    let arguments = arguments::collect(arguments, environment)?;
    let from_environment = arguments.from_environment;
    let raw = match raw::parse(&arguments.flags)? {
        raw::Parsed::Raw(mut raw) => {
            raw.otel = arguments.otel;
            raw
        }
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
    /// The directory of this member's files, inside the data directory.
    pub fn member_dir(&self) -> PathBuf {
        member_dir(&self.data_dir)
    }

    /// The directory of the raft log.
    pub fn log_dir(&self) -> PathBuf {
        log_dir(&self.data_dir, self.wal_dir.as_deref())
    }

    /// The first members of a new cluster; empty if the flag was wrong.
    pub fn initial_members(&self) -> &[InitialMember] {
        self.initial_cluster.as_deref().unwrap_or_default()
    }

    /// This member's name and sorted peer URLs, as an entry of the initial cluster.
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
