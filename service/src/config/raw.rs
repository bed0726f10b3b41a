//! Step one: clap parses the flags into strings and booleans. Their help is here.
//!
//! All values are checked in step two, except those that decide how the command line is read. A
//! flag whose default depends on another flag is `None` if it is not given.

use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, error::ErrorKind};
use conclave_rocks::RocksOptions;

use super::ConfigError;
use super::telemetry::Variables;

/// The result of parsing a command line.
#[derive(Debug)]
pub enum Parsed {
    /// The flags.
    Raw(Box<Raw>),
    /// The text of `--help`.
    Help(String),
}

/// The flags, unchecked.
#[derive(Debug, Parser)]
#[command(
    name = "conclave",
    about = "Conclave: a coordination service that speaks the etcd v3 API.",
    after_help = "Every flag can be given in the environment: --data-dir is ETCD_DATA_DIR.\n\
        Flags of etcd that have no effect here are accepted and ignored.",
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
    pub(super) auth: AuthFlags,
    #[command(flatten)]
    pub(super) fair_use: FairUseFlags,
    #[command(flatten)]
    pub(super) monitoring: MonitoringFlags,
    #[command(flatten)]
    pub(super) logging: LoggingFlags,
    #[command(flatten)]
    pub(super) audit: AuditFlags,
    #[command(flatten)]
    pub(super) telemetry: TelemetryFlags,
    #[command(flatten)]
    pub(super) features: FeatureFlags,
    #[command(flatten)]
    pub(super) unsafe_features: UnsafeFlags,
    /// Print this help
    #[arg(short, long, action = ArgAction::Help, help_heading = "Other")]
    help: Option<bool>,
    /// Print the API version and the version of this program
    #[arg(long, num_args = 0..=1, require_equals = true, action = ArgAction::Set,
        default_value = "false", default_missing_value = "true", value_parser = parse_bool,
        hide_default_value = true, help_heading = "Other")]
    pub(super) version: bool,
    /// OpenTelemetry's variables, which have no flags.
    #[arg(skip)]
    pub(super) otel: Variables,
}

/// Identity of the member, and limits for clients.
#[derive(Args, Debug)]
#[command(next_help_heading = "Member")]
pub(super) struct MemberFlags {
    /// Name of this member, unique in the cluster
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(super) name: String,
    /// Data directory [default: ${name}.conclave]
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<String>,
    /// Directory of the raft log, for a separate disk [default: inside the data directory]
    #[arg(long, value_name = "DIR")]
    pub(super) wal_dir: Option<String>,
    /// URLs to serve clients on, separated by commas [default: http://localhost:2379]
    #[arg(long, value_name = "URLS")]
    pub(super) listen_client_urls: Option<String>,
    /// URLs to serve other members on [default: http://localhost:2380]
    #[arg(long, value_name = "URLS")]
    pub(super) listen_peer_urls: Option<String>,
    /// Number of applied entries between two compactions of the raft log
    #[arg(long, value_name = "N", default_value = "10000")]
    pub(super) snapshot_count: String,
    /// Milliseconds between two heartbeats of a leader
    #[arg(long, value_name = "MS", default_value = "100")]
    pub(super) heartbeat_interval: String,
    /// Milliseconds without a heartbeat before a follower starts an election
    #[arg(long, value_name = "MS", default_value = "1000")]
    pub(super) election_timeout: String,
    /// Size of the store above which writes are refused; 0 means 2 GiB, below 0 means no limit
    #[arg(long, value_name = "BYTES", default_value = "0")]
    pub(super) quota_backend_bytes: String,
    /// Memory for the cache of disk blocks
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = RocksOptions::STATE_CACHE_BYTES.to_string()
    )]
    pub(super) state_cache_bytes: String,
    /// Maximum number of operations in a transaction
    #[arg(long, value_name = "N", default_value = "128")]
    pub(super) max_txn_ops: String,
    /// Maximum size of a request
    #[arg(long, value_name = "BYTES", default_value = "1572864")]
    pub(super) max_request_bytes: String,
    /// Maximum number of concurrent streams per client connection
    #[arg(long, value_name = "N", default_value = "4294967295")]
    pub(super) max_concurrent_streams: String,
    /// Idle time before the server pings a client; 0s means never
    #[arg(long, value_name = "DURATION", default_value = "2h")]
    pub(super) grpc_keepalive_interval: String,
    /// Time to wait for the answer to a ping before the connection is closed
    #[arg(long, value_name = "DURATION", default_value = "20s")]
    pub(super) grpc_keepalive_timeout: String,
}

/// How the cluster starts, and the URLs that it shows to clients.
#[derive(Args, Debug)]
#[command(next_help_heading = "Clustering")]
pub(super) struct ClusteringFlags {
    /// URLs that other members use to reach this one [default: http://localhost:2380]
    #[arg(long, value_name = "URLS")]
    pub(super) initial_advertise_peer_urls: Option<String>,
    /// First members of the cluster: name=url,... [default: this member alone]
    #[arg(long, value_name = "MEMBERS")]
    pub(super) initial_cluster: Option<String>,
    /// With an empty data directory: new starts a cluster, existing joins one
    #[arg(long, value_name = "STATE", default_value = "new")]
    pub(super) initial_cluster_state: String,
    /// Distinguishes clusters that have the same URLs
    #[arg(long, value_name = "TOKEN", default_value = "etcd-cluster")]
    pub(super) initial_cluster_token: String,
    /// URLs that clients are given to reach this member [default: http://localhost:2379]
    #[arg(long, value_name = "URLS")]
    pub(super) advertise_client_urls: Option<String>,
    /// Ask the other members for pre-votes before an election
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        action = ArgAction::Set, default_value = "true", default_missing_value = "true",
        value_parser = parse_bool)]
    pub(super) pre_vote: bool,
    /// Refuse membership changes that would endanger the quorum
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        action = ArgAction::Set, default_value = "true", default_missing_value = "true",
        value_parser = parse_bool)]
    pub(super) strict_reconfig_check: bool,
    /// Maximum number of learners, which receive the log and do not vote
    #[arg(long, value_name = "N", default_value = "1")]
    pub(super) max_learners: String,
    /// Unit of --auto-compaction-retention: periodic or revision
    #[arg(long, value_name = "MODE", default_value = "periodic")]
    pub(super) auto_compaction_mode: String,
    /// History that automatic compaction keeps; 0 turns it off. Periodic: hours, or a duration such
    /// as 30m. Revision: a number of revisions
    #[arg(long, value_name = "RETENTION", default_value = "0")]
    pub(super) auto_compaction_retention: String,
    /// Promote a learner as soon as it has caught up; etcd has no such flag
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        action = ArgAction::Set, default_value = "false", default_missing_value = "true",
        value_parser = parse_bool)]
    pub(super) auto_promote_learners: bool,
}

/// TLS for clients and between members.
#[derive(Args, Debug)]
#[command(next_help_heading = "Security")]
pub(super) struct SecurityFlags {
    /// Certificate that this member presents to clients, PEM
    #[arg(long, value_name = "FILE")]
    pub(super) cert_file: Option<String>,
    /// Key of that certificate, PEM
    #[arg(long, value_name = "FILE")]
    pub(super) key_file: Option<String>,
    /// CA that signed the clients' certificates, PEM; without it any client may connect
    #[arg(long, value_name = "FILE")]
    pub(super) trusted_ca_file: Option<String>,
    /// Require a certificate from clients; always on with a CA
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        action = ArgAction::Set, default_value = "false", default_missing_value = "true",
        value_parser = parse_bool)]
    pub(super) client_cert_auth: bool,
    /// Certificate for connections of this member to itself, PEM. It makes none: only checked
    #[arg(long, value_name = "FILE")]
    pub(super) client_cert_file: Option<String>,
    /// Key of that certificate, PEM
    #[arg(long, value_name = "FILE")]
    pub(super) client_key_file: Option<String>,
    /// Revocation list of clients' certificates, PEM or DER
    #[arg(long, value_name = "FILE")]
    pub(super) client_crl_file: Option<String>,
    /// Allowed host names of clients' certificates, separated by commas; one of them must match
    #[arg(
        long,
        value_name = "NAMES",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) client_cert_allowed_hostname: String,
    /// Encrypt client connections with a generated certificate
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        action = ArgAction::Set, default_value = "false", default_missing_value = "true",
        value_parser = parse_bool)]
    pub(super) auto_tls: bool,
    /// Certificate that this member presents to other members, PEM
    #[arg(long, value_name = "FILE")]
    pub(super) peer_cert_file: Option<String>,
    /// Key of that certificate, PEM
    #[arg(long, value_name = "FILE")]
    pub(super) peer_key_file: Option<String>,
    /// Certificate to present to members that this one dials, if different, PEM
    #[arg(long, value_name = "FILE")]
    pub(super) peer_client_cert_file: Option<String>,
    /// Key of that certificate, PEM
    #[arg(long, value_name = "FILE")]
    pub(super) peer_client_key_file: Option<String>,
    /// CA that signed the members' certificates, PEM
    #[arg(long, value_name = "FILE")]
    pub(super) peer_trusted_ca_file: Option<String>,
    /// Require a certificate from members that connect; always on with a CA
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        action = ArgAction::Set, default_value = "false", default_missing_value = "true",
        value_parser = parse_bool)]
    pub(super) peer_client_cert_auth: bool,
    /// Allowed common names of other members' certificates, separated by commas
    #[arg(
        long,
        value_name = "NAMES",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) peer_cert_allowed_cn: String,
    /// Allowed host names of other members' certificates; one of them must match
    #[arg(
        long,
        value_name = "NAMES",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) peer_cert_allowed_hostname: String,
    /// Revocation list of members' certificates, PEM or DER
    #[arg(long, value_name = "FILE")]
    pub(super) peer_crl_file: Option<String>,
    /// Accept members from addresses that their certificates do not contain
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        action = ArgAction::Set, default_value = "false", default_missing_value = "true",
        value_parser = parse_bool)]
    pub(super) peer_skip_client_san_verification: bool,
    /// Encrypt with a generated certificate, which does not authenticate members
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        action = ArgAction::Set, default_value = "false", default_missing_value = "true",
        value_parser = parse_bool)]
    pub(super) peer_auto_tls: bool,
    /// Years that a generated certificate is valid
    #[arg(long, value_name = "YEARS", default_value = "1")]
    pub(super) self_signed_cert_validity: String,
    /// Cipher suites to offer with TLS 1.2, separated by commas, by their names in Go [default: all
    /// without known weaknesses]
    #[arg(
        long,
        value_name = "SUITES",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) cipher_suites: String,
    /// Oldest TLS version to accept: TLS1.2 or TLS1.3
    #[arg(long, value_name = "VERSION", default_value = "TLS1.2")]
    pub(super) tls_min_version: String,
    /// Newest TLS version to use [default: the newest available]
    #[arg(
        long,
        value_name = "VERSION",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) tls_max_version: String,
}

/// Users and roles.
#[derive(Args, Debug)]
#[command(next_help_heading = "Auth")]
pub(super) struct AuthFlags {
    /// Kind of the tokens that users get when they log in: simple, or jwt with its options:
    /// jwt,sign-method=METHOD,pub-key=FILE,priv-key=FILE,ttl=DURATION
    #[arg(long, value_name = "TYPE", default_value = "simple")]
    pub(super) auth_token: String,
    /// Cost of password hashes; each step doubles the time of a login
    #[arg(long, value_name = "COST", default_value = "10")]
    pub(super) bcrypt_cost: String,
    /// Seconds without use after which a simple token ends; 0 means 300
    #[arg(long, value_name = "SECONDS", default_value = "300")]
    pub(super) auth_token_ttl: String,
}

/// Limits on what one client may use of this member; etcd has no such flags.
#[derive(Args, Debug)]
#[command(next_help_heading = "Fair use")]
pub(super) struct FairUseFlags {
    /// Calls that each user may begin in a second; as many messages of its watch streams
    /// pass, and further ones wait; 0 means no limit
    #[arg(long, value_name = "N", default_value = "0")]
    pub(super) max_requests_per_second_per_user: String,
    /// Bytes of requests and replies that each user may move in a second; streams move as many,
    /// and wait; 0 means no limit
    #[arg(long, value_name = "BYTES", default_value = "0")]
    pub(super) max_bytes_per_second_per_user: String,
    /// Streaming calls, and calls that wait for a lock or an election, that each user may have
    /// open; 0 means no limit
    #[arg(long, value_name = "N", default_value = "0")]
    pub(super) max_streams_per_user: String,
    /// Watchers that each user may have; 0 means no limit
    #[arg(long, value_name = "N", default_value = "0")]
    pub(super) max_watches_per_user: String,
    /// Calls that each address may begin in a second; as many messages of its watch streams
    /// pass, and further ones wait; 0 means no limit
    #[arg(long, value_name = "N", default_value = "0")]
    pub(super) max_requests_per_second_per_address: String,
    /// Bytes of requests and replies that each address may move in a second; streams move as many,
    /// and wait; 0 means no limit
    #[arg(long, value_name = "BYTES", default_value = "0")]
    pub(super) max_bytes_per_second_per_address: String,
    /// Streaming calls, and calls that wait for a lock or an election, that each address may have
    /// open; 0 means no limit
    #[arg(long, value_name = "N", default_value = "0")]
    pub(super) max_streams_per_address: String,
    /// Watchers that each address may have; 0 means no limit
    #[arg(long, value_name = "N", default_value = "0")]
    pub(super) max_watches_per_address: String,
}

/// Metrics and health checks.
#[derive(Args, Debug)]
#[command(next_help_heading = "Monitoring")]
pub(super) struct MonitoringFlags {
    /// basic, or extensive, which adds the duration of calls by method
    #[arg(long, value_name = "METRICS", default_value = "basic")]
    pub(super) metrics: String,
    /// Additional URLs that serve only /metrics, /health, /livez and /readyz, even before the
    /// member is ready
    #[arg(
        long,
        value_name = "URLS",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) listen_metrics_urls: String,
}

/// Content, format and destination of log lines.
#[derive(Args, Debug)]
#[command(next_help_heading = "Logging")]
pub(super) struct LoggingFlags {
    /// Lowest level of events to log: debug, info, warn, error, panic or fatal
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub(super) log_level: String,
    /// File with a level that is used instead of --log-level, unless it is empty or missing. It is
    /// read at start and again at SIGHUP; etcd has no such flag
    #[arg(
        long,
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) log_level_file: String,
    /// Format of log lines: json or console [default: console on a terminal, else json]
    #[arg(long, value_name = "FORMAT")]
    pub(super) log_format: Option<String>,
    /// Outputs of log lines, separated by commas: stderr, stdout, default, which is stderr, or the
    /// path of a file, which is appended to
    #[arg(long, value_name = "OUTPUTS", default_value = "default")]
    pub(super) log_outputs: String,
}

/// A record of who did what; etcd has no such flags.
#[derive(Args, Debug)]
#[command(next_help_heading = "Audit")]
pub(super) struct AuditFlags {
    /// Record calls in this file, which is appended to, or in journald, or on stderr [default: no
    /// audit log]
    #[arg(long, value_name = "OUTPUT")]
    pub(super) audit_log: Option<String>,
    /// Calls to record. metadata: changes of users, roles, members and alarms, logins,
    /// maintenance, and calls that their callers may not make; writes: also changes of keys and
    /// leases; all: also reads, watches and keep-alives [default: metadata]
    #[arg(long, value_name = "LEVEL")]
    pub(super) audit_level: Option<String>,
    /// Size of the file at which it is renamed to FILE.1 and a new one is begun; 0 means never
    #[arg(long, value_name = "BYTES", default_value = "104857600")]
    pub(super) audit_log_max_bytes: String,
    /// Number of renamed files to keep
    #[arg(long, value_name = "N", default_value = "10")]
    pub(super) audit_log_keep: String,
}

/// Traces and metrics over OTLP.
#[derive(Args, Debug)]
#[command(next_help_heading = "Distributed tracing")]
pub(super) struct TelemetryFlags {
    /// Send traces of requests to a collector, with OTLP over gRPC
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        action = ArgAction::Set, default_value = "false", default_missing_value = "true",
        value_parser = parse_bool)]
    pub(super) enable_distributed_tracing: bool,
    /// Address of the collector [default: OTEL_EXPORTER_OTLP_ENDPOINT, else localhost:4317]
    #[arg(long, value_name = "ADDRESS")]
    pub(super) distributed_tracing_address: Option<String>,
    /// Name of the service in traces, the same on all members [default: OTEL_SERVICE_NAME, else
    /// etcd]
    #[arg(long, value_name = "NAME")]
    pub(super) distributed_tracing_service_name: Option<String>,
    /// Name of this member in traces [default: ${name}]
    #[arg(long, value_name = "ID")]
    pub(super) distributed_tracing_instance_id: Option<String>,
    /// Of a million requests without a trace of their client's, how many begin one [default: what
    /// OTEL_TRACES_SAMPLER says, else 0]
    #[arg(long, value_name = "N")]
    pub(super) distributed_tracing_sampling_rate: Option<String>,
    /// Send the metrics to the collector as well; etcd has no such flag
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        action = ArgAction::Set, default_value = "false", default_missing_value = "true",
        value_parser = parse_bool)]
    pub(super) otel_metrics: bool,
}

/// Settings of single features.
#[derive(Args, Debug)]
#[command(next_help_heading = "Features")]
pub(super) struct FeatureFlags {
    /// Time between progress notifications of an idle watch that asked for them
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    pub(super) watch_progress_notify_interval: String,
    /// Number of revisions deleted in one step of a compaction
    #[arg(long, value_name = "N", default_value = "1000")]
    pub(super) compaction_batch_limit: String,
    /// Number of applied entries kept in the raft log for members that are behind
    #[arg(long, value_name = "N", default_value = "5000")]
    pub(super) snapshot_catchup_entries: String,
    /// Features to turn on or off: Name=true,... Only LeaseCheckpoint and SetMemberLocalAddr have
    /// an effect
    #[arg(
        long,
        value_name = "GATES",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) feature_gates: String,
}

/// Flags that can lose data.
#[derive(Args, Debug)]
#[command(next_help_heading = "Unsafe")]
pub(super) struct UnsafeFlags {
    /// Do not wait for the disk: acknowledged writes can be lost
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        action = ArgAction::Set, default_value = "false", default_missing_value = "true",
        value_parser = parse_bool)]
    pub(super) unsafe_no_fsync: bool,
    /// Start a new cluster of this member alone with its data, when the majority is lost
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        action = ArgAction::Set, default_value = "false", default_missing_value = "true",
        value_parser = parse_bool)]
    pub(super) force_new_cluster: bool,
    /// Log entries to skip, INDEX:HASH,...: entries that members stop at. Give the same on all
    /// members
    #[arg(
        long,
        value_name = "ENTRIES",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) skip_log_entry: String,
}

/// Parses arguments that [`super::arguments::collect`] has prepared.
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

/// Parses a boolean in any of Go's spellings.
pub(super) fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("write true or false".to_owned()),
    }
}
