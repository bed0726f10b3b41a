//! Step one: the flags as clap reads them, as strings and booleans, with their help.
//!
//! Values are checked in step two, all in one manner; only what decides how the command line is
//! read is decided here. Flags whose default depends on another flag are `None` if not given.

use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, error::ErrorKind};
use conclave_rocks::RocksOptions;

use super::ConfigError;

/// What clap made of a command line.
#[derive(Debug)]
pub enum Parsed {
    /// The flags.
    Raw(Box<Raw>),
    /// Help was asked for; this is it.
    Help(String),
}

/// The flags, unchecked.
#[derive(Debug, Parser)]
#[command(
    name = "conclave",
    about = "Conclave: a coordination service that speaks the etcd v3 API.",
    after_help = "Every flag can be given in the environment: --data-dir is ETCD_DATA_DIR.\n\
        Flags of etcd that change nothing here are accepted and ignored.",
    override_usage = "conclave [--flag=value]...",
    disable_version_flag = true,
    disable_help_flag = true,
    args_override_self = true,
    max_term_width = 100
)]
pub struct Raw {
    #[command(flatten)]
    pub(super) member: MemberFlags,
    #[command(flatten)]
    pub(super) clustering: ClusteringFlags,
    #[command(flatten)]
    pub(super) security: SecurityFlags,
    #[command(flatten)]
    pub(super) monitoring: MonitoringFlags,
    #[command(flatten)]
    pub(super) logging: LoggingFlags,
    #[command(flatten)]
    pub(super) features: FeatureFlags,
    #[command(flatten)]
    pub(super) unsafe_features: UnsafeFlags,
    /// Print this help
    #[arg(short, long, action = ArgAction::Help, help_heading = "Other")]
    help: Option<bool>,
    /// Print the versions of the API and of this program
    #[arg(long, num_args = 0..=1, require_equals = true, action = ArgAction::Set,
        default_value = "false", default_missing_value = "true", value_parser = parse_bool,
        hide_default_value = true, help_heading = "Other")]
    pub(super) version: bool,
}

/// What this member is and how it serves.
#[derive(Args, Debug)]
#[command(next_help_heading = "Member")]
pub(super) struct MemberFlags {
    /// Name of this member, unique in the cluster
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(super) name: String,
    /// Directory of everything this member keeps [default: ${name}.conclave]
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<String>,
    /// Directory of the raft log, for a disk of its own [default: inside the data directory]
    #[arg(long, value_name = "DIR")]
    pub(super) wal_dir: Option<String>,
    /// URLs to serve clients on, with commas between them [default: http://localhost:2379]
    #[arg(long, value_name = "URLS")]
    pub(super) listen_client_urls: Option<String>,
    /// URLs to serve other members on [default: http://localhost:2380]
    #[arg(long, value_name = "URLS")]
    pub(super) listen_peer_urls: Option<String>,
    /// Applied entries between two compactions of the raft log
    #[arg(long, value_name = "N", default_value = "10000")]
    pub(super) snapshot_count: String,
    /// Milliseconds between two heartbeats of a leader
    #[arg(long, value_name = "MS", default_value = "100")]
    pub(super) heartbeat_interval: String,
    /// Milliseconds without a heartbeat that start an election
    #[arg(long, value_name = "MS", default_value = "1000")]
    pub(super) election_timeout: String,
    /// Size of the store beyond which writes are refused; 0 is 2 GiB, below 0 is no limit
    #[arg(long, value_name = "BYTES", default_value = "0")]
    pub(super) quota_backend_bytes: String,
    /// Memory for the cache of blocks read from disk
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = RocksOptions::STATE_CACHE_BYTES.to_string()
    )]
    pub(super) state_cache_bytes: String,
    /// Most operations in one transaction
    #[arg(long, value_name = "N", default_value = "128")]
    pub(super) max_txn_ops: String,
    /// Largest request
    #[arg(long, value_name = "BYTES", default_value = "1572864")]
    pub(super) max_request_bytes: String,
    /// Most concurrent streams of one client connection
    #[arg(long, value_name = "N", default_value = "4294967295")]
    pub(super) max_concurrent_streams: String,
    /// Silence of a client after which it is pinged; 0s is never
    #[arg(long, value_name = "DURATION", default_value = "2h")]
    pub(super) grpc_keepalive_interval: String,
    /// Wait for the answer to a ping before a connection is closed
    #[arg(long, value_name = "DURATION", default_value = "20s")]
    pub(super) grpc_keepalive_timeout: String,
}

/// How the cluster begins and what clients are told of it.
#[derive(Args, Debug)]
#[command(next_help_heading = "Clustering")]
pub(super) struct ClusteringFlags {
    /// URLs other members reach this one on [default: http://localhost:2380]
    #[arg(long, value_name = "URLS")]
    pub(super) initial_advertise_peer_urls: Option<String>,
    /// Members the cluster begins with: name=url,... [default: this member alone]
    #[arg(long, value_name = "MEMBERS")]
    pub(super) initial_cluster: Option<String>,
    /// What an empty data directory means: new or existing
    #[arg(long, value_name = "STATE", default_value = "new")]
    pub(super) initial_cluster_state: String,
    /// Sets clusters apart that have the same URLs
    #[arg(long, value_name = "TOKEN", default_value = "etcd-cluster")]
    pub(super) initial_cluster_token: String,
    /// URLs clients are told to use [default: http://localhost:2379]
    #[arg(long, value_name = "URLS")]
    pub(super) advertise_client_urls: Option<String>,
    /// Ask the others before standing for election
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        action = ArgAction::Set, default_value = "true", default_missing_value = "true",
        value_parser = parse_bool)]
    pub(super) pre_vote: bool,
    /// Refuse membership changes that would endanger the quorum
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        action = ArgAction::Set, default_value = "true", default_missing_value = "true",
        value_parser = parse_bool)]
    pub(super) strict_reconfig_check: bool,
    /// Most learners at a time: members that receive everything and do not vote
    #[arg(long, value_name = "N", default_value = "1")]
    pub(super) max_learners: String,
    /// How --auto-compaction-retention is read: periodic or revision
    #[arg(long, value_name = "MODE", default_value = "periodic")]
    pub(super) auto_compaction_mode: String,
    /// History kept when the member compacts by itself; 0 is never. Periodic: hours, or a duration
    /// such as 30m. Revision: a number of revisions
    #[arg(long, value_name = "RETENTION", default_value = "0")]
    pub(super) auto_compaction_retention: String,
    /// Make a learner a voter as soon as it has caught up; etcd has no such flag
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        action = ArgAction::Set, default_value = "false", default_missing_value = "true",
        value_parser = parse_bool)]
    pub(super) auto_promote_learners: bool,
}

/// TLS between members.
#[derive(Args, Debug)]
#[command(next_help_heading = "Security")]
pub(super) struct SecurityFlags {
    /// Certificate this member shows to other members, PEM
    #[arg(long, value_name = "FILE")]
    pub(super) peer_cert_file: Option<String>,
    /// Key of that certificate, PEM
    #[arg(long, value_name = "FILE")]
    pub(super) peer_key_file: Option<String>,
    /// Certificate this member shows to members it dials, if another
    #[arg(long, value_name = "FILE")]
    pub(super) peer_client_cert_file: Option<String>,
    /// Key of that certificate, PEM
    #[arg(long, value_name = "FILE")]
    pub(super) peer_client_key_file: Option<String>,
    /// CA that signs the members' certificates, PEM
    #[arg(long, value_name = "FILE")]
    pub(super) peer_trusted_ca_file: Option<String>,
    /// Have members that connect show a certificate; always so with a CA
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        action = ArgAction::Set, default_value = "false", default_missing_value = "true",
        value_parser = parse_bool)]
    pub(super) peer_client_cert_auth: bool,
    /// Common names other members' certificates may have, with commas between them
    #[arg(
        long,
        value_name = "NAMES",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) peer_cert_allowed_cn: String,
    /// Host names one of which other members' certificates must be valid for
    #[arg(
        long,
        value_name = "NAMES",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) peer_cert_allowed_hostname: String,
    /// Certificates of members that are revoked, PEM or DER
    #[arg(long, value_name = "FILE")]
    pub(super) peer_crl_file: Option<String>,
    /// Let members connect from addresses their certificates do not name
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        action = ArgAction::Set, default_value = "false", default_missing_value = "true",
        value_parser = parse_bool)]
    pub(super) peer_skip_client_san_verification: bool,
    /// Encrypt with a certificate made here, which proves nothing to other members
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        action = ArgAction::Set, default_value = "false", default_missing_value = "true",
        value_parser = parse_bool)]
    pub(super) peer_auto_tls: bool,
    /// Years such a certificate is valid
    #[arg(long, value_name = "YEARS", default_value = "1")]
    pub(super) self_signed_cert_validity: String,
    /// Oldest version of TLS spoken: TLS1.2 or TLS1.3
    #[arg(long, value_name = "VERSION", default_value = "TLS1.2")]
    pub(super) tls_min_version: String,
    /// Newest version of TLS spoken [default: the newest there is]
    #[arg(
        long,
        value_name = "VERSION",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) tls_max_version: String,
}

/// Metrics and health checks.
#[derive(Args, Debug)]
#[command(next_help_heading = "Monitoring")]
pub(super) struct MonitoringFlags {
    /// basic, or extensive, which adds how long calls take, by method
    #[arg(long, value_name = "METRICS", default_value = "basic")]
    pub(super) metrics: String,
    /// More URLs to serve /metrics, /health, /livez and /readyz on, and nothing else; from the
    /// start on, before clients are served
    #[arg(
        long,
        value_name = "URLS",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) listen_metrics_urls: String,
}

/// What is logged, how and where.
#[derive(Args, Debug)]
#[command(next_help_heading = "Logging")]
pub(super) struct LoggingFlags {
    /// Least severe events logged: debug, info, warn, error, panic or fatal
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub(super) log_level: String,
    /// json or console [default: console on a terminal, json elsewhere]
    #[arg(long, value_name = "FORMAT")]
    pub(super) log_format: Option<String>,
    /// Where log lines go, with commas between: stderr, stdout, default, which is stderr, or the
    /// path of a file, which is appended to
    #[arg(long, value_name = "OUTPUTS", default_value = "default")]
    pub(super) log_outputs: String,
}

/// Behaviour of single features.
#[derive(Args, Debug)]
#[command(next_help_heading = "Features")]
pub(super) struct FeatureFlags {
    /// How often an idle watch is told the revision, if it asked for that
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    pub(super) watch_progress_notify_interval: String,
    /// Revisions deleted in one step of a compaction
    #[arg(long, value_name = "N", default_value = "1000")]
    pub(super) compaction_batch_limit: String,
    /// Applied entries kept in the raft log for members that are behind
    #[arg(long, value_name = "N", default_value = "5000")]
    pub(super) snapshot_catchup_entries: String,
    /// Features to turn on or off: Name=true,... LeaseCheckpoint and SetMemberLocalAddr have an
    /// effect, others of etcd have none
    #[arg(
        long,
        value_name = "GATES",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) feature_gates: String,
}

/// What can lose data.
#[derive(Args, Debug)]
#[command(next_help_heading = "Unsafe")]
pub(super) struct UnsafeFlags {
    /// Do not wait for the disk: acknowledged writes can be lost
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        action = ArgAction::Set, default_value = "false", default_missing_value = "true",
        value_parser = parse_bool)]
    pub(super) unsafe_no_fsync: bool,
    /// Begin a cluster of this member alone with the data it has: for when the others are lost
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        action = ArgAction::Set, default_value = "false", default_missing_value = "true",
        value_parser = parse_bool)]
    pub(super) force_new_cluster: bool,
    /// Log entries to go on without, INDEX:HASH,...: for entries that members stop at, and on all
    /// members alike
    #[arg(
        long,
        value_name = "ENTRIES",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) skip_log_entry: String,
}

/// Reads arguments that [`super::arguments::collect`] has brought into form.
pub fn parse(flags: &[String]) -> Result<Parsed, ConfigError> {
    let program = std::iter::once("conclave");
    let arguments = program.chain(flags.iter().map(String::as_str));
    let matches = Raw::command().try_get_matches_from(arguments);
    match matches.and_then(|matches| Raw::from_arg_matches(&matches)) {
        Ok(raw) => Ok(Parsed::Raw(Box::new(raw))),
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            Ok(Parsed::Help(error.render().to_string()))
        }
        Err(error) => Err(ConfigError::Usage(Box::new(error))),
    }
}

/// The spellings Go reads as a boolean.
pub(super) fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("write true or false".to_owned()),
    }
}
