//! Step two: parses the strings, and checks values that depend on each other.

use std::fmt::Display;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::addresses::{Urls, check_cluster_state, check_initial_cluster};
use super::audit::check_audit;
use super::auto_compaction::check_auto_compaction;
use super::fair_use::check_fair_use;
use super::gates::{Gates, check_feature_gates, peer_local_address};
use super::raw::Raw;
use super::security::{check_security, file};
use super::skipped::check_skipped_entries;
use super::telemetry::check_telemetry;
use super::{Config, ConfigError, LogFormat, LogLevel, LogOutput, Notice, log_dir};
use crate::auth::jwt::AuthToken;
use crate::duration::parse_duration;

const DEFAULT_QUOTA_BYTES: u64 = 2 << 30;
const DEFAULT_AUTH_TOKEN_TTL: Duration = Duration::from_secs(300);
/// Requests are held in memory, several times while they are replicated. etcd warns above the same
/// size.
const RECOMMENDED_REQUEST_BYTES: usize = 10 << 20;
/// Upper bound of a request. The length of a gRPC message has 32 bits and the length of a raft
/// message 31 bits; this leaves room for what is wrapped around a request.
const LARGEST_REQUEST_BYTES: usize = 1 << 30;
/// Upper bound of the election timeout, as in etcd. With a longer timeout it would take too long to
/// replace a dead leader.
const LONGEST_ELECTION_TIMEOUT_MS: u64 = 50_000;
/// Lower bound. With fewer heartbeats, a single late heartbeat would start an election.
const HEARTBEATS_PER_ELECTION_TIMEOUT: u64 = 5;

/// Turns flags into a configuration, and adds messages for the operator to `notices`.
pub fn check(raw: &Raw, notices: &mut Vec<Notice>) -> Result<Config, ConfigError> {
    let (member, clustering, features) = (&raw.member, &raw.clustering, &raw.features);
    let name = check_name(&member.name)?;
    let urls = Urls::check(raw, notices)?;
    let (heartbeat_interval_ms, election_timeout_ms) = check_raft_timing(raw)?;
    let (data_dir, wal_dir) = check_directories(raw, &name)?;
    let catchup = &features.snapshot_catchup_entries;
    let streams = &member.max_concurrent_streams;
    let keepalive = &member.grpc_keepalive_interval;
    let keepalive_timeout = &member.grpc_keepalive_timeout;
    let compaction_batch = &features.compaction_batch_limit;
    let has_run = has_run(&data_dir, wal_dir.as_deref());
    let initial_cluster = check_initial_cluster(raw, &name, &urls.initial_advertise_peer);
    let initial_cluster = excused_if(has_run, initial_cluster)?;
    let new_members = initial_cluster.as_ref().ok().filter(|_| !has_run);
    let mut peer_urls = vec![&*urls.listen_peer, &*urls.initial_advertise_peer];
    peer_urls.extend(new_members.into_iter().flatten().map(|of| &*of.peer_urls));
    let gates = check_feature_gates(&features.feature_gates, notices)?;
    let [peer_tls, client_tls] = check_security(&raw.security, &urls, &peer_urls, notices)?;
    Ok(Config {
        peer_local_address: check_local_address(&gates, &urls, notices),
        initial_cluster,
        name,
        data_dir,
        wal_dir,
        listen_client_urls: urls.listen_client,
        advertise_client_urls: urls.advertise_client,
        listen_peer_urls: urls.listen_peer,
        initial_advertise_peer_urls: urls.initial_advertise_peer,
        listen_metrics_urls: urls.listen_metrics,
        initial_cluster_state: check_cluster_state(&clustering.initial_cluster_state)?,
        initial_cluster_token: clustering.initial_cluster_token.clone(),
        snapshot_count: number("snapshot-count", &member.snapshot_count, 1..=u64::MAX)?,
        snapshot_catchup_entries: number("snapshot-catchup-entries", catchup, 0..=u64::MAX)?,
        lease_checkpoint: gates.lease_checkpoint,
        heartbeat_interval_ms,
        election_timeout_ms,
        quota_backend_bytes: check_quota(&member.quota_backend_bytes)?,
        state_cache_bytes: number("state-cache-bytes", &member.state_cache_bytes, 1..=u64::MAX)?,
        max_txn_ops: number("max-txn-ops", &member.max_txn_ops, 1..=usize::MAX)?,
        max_request_bytes: check_request_bytes(&member.max_request_bytes, notices)?,
        max_concurrent_streams: number("max-concurrent-streams", streams, 1..=u32::MAX)?,
        grpc_keepalive_interval: Some(duration("grpc-keepalive-interval", keepalive)?)
            .filter(|interval| !interval.is_zero()),
        grpc_keepalive_timeout: duration("grpc-keepalive-timeout", keepalive_timeout)?,
        fair_use: check_fair_use(&raw.fair_use)?,
        pre_vote: clustering.pre_vote,
        strict_reconfig_check: clustering.strict_reconfig_check,
        max_learners: number("max-learners", &clustering.max_learners, 1..=usize::MAX)?,
        auto_promote_learners: clustering.auto_promote_learners,
        auto_compaction: check_auto_compaction(clustering)?,
        watch_progress_notify_interval: check_progress_interval(raw)?,
        compaction_batch_limit: number("compaction-batch-limit", compaction_batch, 1..=u64::MAX)?,
        unsafe_no_fsync: raw.unsafe_features.unsafe_no_fsync,
        peer_tls,
        client_tls,
        auth_token: check_auth_token(&raw.auth.auth_token)?,
        bcrypt_cost: number("bcrypt-cost", &raw.auth.bcrypt_cost, 0..=u32::MAX)?,
        auth_token_ttl: check_auth_token_ttl(&raw.auth.auth_token_ttl)?,
        force_new_cluster: raw.unsafe_features.force_new_cluster,
        extensive_metrics: check_metrics(&raw.monitoring.metrics)?,
        telemetry: check_telemetry(raw, notices)?,
        skip_log_entries: check_skipped_entries(&raw.unsafe_features.skip_log_entry)?,
        log_level: check_log_level(&raw.logging.log_level)?,
        log_level_file: file(Some(&raw.logging.log_level_file)),
        log_format: check_log_format(raw.logging.log_format.as_deref())?,
        log_outputs: check_log_outputs(&raw.logging.log_outputs)?,
        audit_log: check_audit(&raw.audit, &raw.logging.log_outputs)?,
    })
}

/// Returns the error of a flag that does not count any longer as a text.
fn excused_if<T>(
    is_outdated: bool,
    checked: Result<T, ConfigError>,
) -> Result<Result<T, String>, ConfigError> {
    match checked {
        Err(error) if is_outdated => Ok(Err(error.to_string())),
        checked => checked.map(Ok),
    }
}

/// Returns the local address of connections to other members, if the gate asks for one.
fn check_local_address(gates: &Gates, urls: &Urls, notices: &mut Vec<Notice>) -> Option<IpAddr> {
    let own = &urls.initial_advertise_peer;
    let is_wanted = gates.set_member_local_addr;
    is_wanted
        .then(|| peer_local_address(own, notices))
        .flatten()
}

/// Returns the data directory, and the directory for the raft log if that is elsewhere.
fn check_directories(raw: &Raw, name: &str) -> Result<(PathBuf, Option<PathBuf>), ConfigError> {
    let data_dir = match &raw.member.data_dir {
        None => PathBuf::from(format!("{name}.conclave")),
        Some(dir) => directory("data-dir", dir)?,
    };
    // Templates that set the variable anyway leave it empty, which is etcd's default.
    let wal_dir = raw.member.wal_dir.as_ref().filter(|dir| !dir.is_empty());
    let wal_dir = wal_dir.map(|dir| directory("wal-dir", dir)).transpose()?;
    Ok((data_dir, wal_dir))
}

/// Checks a member's name: `--initial-cluster` writes it before `=` and between commas, and the
/// default data directory is named after it.
fn check_name(name: &str) -> Result<String, ConfigError> {
    if name.is_empty() || name.contains([',', '=', '/']) {
        return Err(ConfigError::invalid(
            "name",
            name,
            "give a name without `,`, `=` and `/`",
        ));
    }
    Ok(name.to_owned())
}

/// Returns true if there is a raft log. A member with a raft log ignores the flags about the
/// cluster's start, as in etcd.
fn has_run(data_dir: &Path, wal_dir: Option<&Path>) -> bool {
    log_dir(data_dir, wal_dir).exists()
}

fn directory(flag: &'static str, dir: &str) -> Result<PathBuf, ConfigError> {
    if dir.is_empty() {
        return Err(ConfigError::invalid(flag, dir, "name a directory"));
    }
    Ok(PathBuf::from(dir))
}

/// Returns the heartbeat interval and the election timeout, in milliseconds.
fn check_raft_timing(raw: &Raw) -> Result<(u64, u64), ConfigError> {
    let longest = LONGEST_ELECTION_TIMEOUT_MS;
    let heartbeat = number(
        "heartbeat-interval",
        &raw.member.heartbeat_interval,
        1..=longest,
    )?;
    let election = number(
        "election-timeout",
        &raw.member.election_timeout,
        1..=longest,
    )?;
    let least = HEARTBEATS_PER_ELECTION_TIMEOUT * heartbeat;
    if election < least {
        return Err(ConfigError::Conflict(format!(
            "--election-timeout is {election} ms and --heartbeat-interval {heartbeat} ms: give at \
             least {HEARTBEATS_PER_ELECTION_TIMEOUT} heartbeats, {least} ms"
        )));
    }
    Ok((heartbeat, election))
}

fn check_quota(text: &str) -> Result<Option<u64>, ConfigError> {
    let bytes = number("quota-backend-bytes", text, i64::MIN..=i64::MAX)?;
    Ok(match u64::try_from(bytes) {
        Ok(0) => Some(DEFAULT_QUOTA_BYTES),
        Ok(bytes) => Some(bytes),
        Err(_negative) => None,
    })
}

fn check_request_bytes(text: &str, notices: &mut Vec<Notice>) -> Result<usize, ConfigError> {
    let bytes = number("max-request-bytes", text, 1..=LARGEST_REQUEST_BYTES)?;
    if bytes > RECOMMENDED_REQUEST_BYTES {
        let text = format!(
            "--max-request-bytes is {bytes}, more than the recommended {RECOMMENDED_REQUEST_BYTES}"
        );
        notices.push(Notice::warning(text));
    }
    Ok(bytes)
}

/// Returns the kind of tokens. Files with keys are read when the member starts.
fn check_auth_token(text: &str) -> Result<String, ConfigError> {
    match AuthToken::parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(ConfigError::Conflict(error.to_string())),
    }
}

/// Returns the time of simple tokens. Zero stands for the default, as in etcd.
fn check_auth_token_ttl(text: &str) -> Result<Duration, ConfigError> {
    let seconds = number("auth-token-ttl", text, 0..=u32::MAX)?;
    let seconds = u64::from(seconds);
    Ok(match seconds {
        0 => DEFAULT_AUTH_TOKEN_TTL,
        seconds => Duration::from_secs(seconds),
    })
}

fn check_progress_interval(raw: &Raw) -> Result<Duration, ConfigError> {
    let text = &raw.features.watch_progress_notify_interval;
    let interval = duration("watch-progress-notify-interval", text)?;
    if interval.is_zero() {
        let reason = "give a duration above zero, such as 10m";
        return Err(ConfigError::invalid(
            "watch-progress-notify-interval",
            text,
            reason,
        ));
    }
    Ok(interval)
}

fn check_metrics(text: &str) -> Result<bool, ConfigError> {
    match text {
        "basic" => Ok(false),
        "extensive" => Ok(true),
        _ => {
            let reason = "write basic or extensive";
            Err(ConfigError::invalid("metrics", text, reason))
        }
    }
}

fn check_log_level(text: &str) -> Result<LogLevel, ConfigError> {
    LogLevel::parse(text).map_err(|reason| ConfigError::invalid("log-level", text, reason))
}

fn check_log_format(text: Option<&str>) -> Result<Option<LogFormat>, ConfigError> {
    match text {
        None => Ok(None),
        Some("json") => Ok(Some(LogFormat::Json)),
        Some("console") => Ok(Some(LogFormat::Console)),
        Some(other) => Err(ConfigError::invalid(
            "log-format",
            other,
            "write json or console",
        )),
    }
}

/// Parses the outputs in their order, without duplicates.
fn check_log_outputs(text: &str) -> Result<Vec<LogOutput>, ConfigError> {
    let refuse = |reason: &str| Err(ConfigError::invalid("log-outputs", text, reason));
    let mut outputs = Vec::new();
    for part in text.split(',').map(str::trim) {
        let output = match part {
            "default" | "stderr" => LogOutput::Stderr,
            "stdout" => LogOutput::Stdout,
            "" => return refuse("write stderr, stdout or the path of a file"),
            // etcd writes to the journal itself. The standard error of a systemd unit reaches the
            // journal as well, with the unit's name.
            "systemd/journal" => {
                return refuse("write stderr, which systemd puts into the journal");
            }
            path => LogOutput::File(PathBuf::from(path)),
        };
        if !outputs.contains(&output) {
            outputs.push(output);
        }
    }
    Ok(outputs)
}

pub(super) fn number<N>(
    flag: &'static str,
    text: &str,
    range: RangeInclusive<N>,
) -> Result<N, ConfigError>
where
    N: FromStr + PartialOrd + Display,
{
    text.parse()
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            let reason = format!(
                "give a whole number from {} to {}",
                range.start(),
                range.end()
            );
            ConfigError::invalid(flag, text, reason)
        })
}

fn duration(flag: &'static str, text: &str) -> Result<Duration, ConfigError> {
    parse_duration(text).ok_or_else(|| {
        ConfigError::invalid(
            flag,
            text,
            "give a duration with its unit, such as 300ms, 5s or 1h30m",
        )
    })
}
