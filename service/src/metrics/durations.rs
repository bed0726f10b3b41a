//! Durations of requests, ranges and commands, with etcd's names.
//!
//! A series appears with its first observation, as in etcd: most kinds of commands never occur on
//! most members, and each series has twenty lines. Each series is looked up once.

use std::sync::OnceLock;
use std::time::Duration;

use parking_lot::Mutex;

use conclave_core::observe::{AppliedCommand, RequestKind};
use conclave_storage::machine::CommandKind;
use prometheus::core::Collector;
use prometheus::local::LocalHistogram;
use prometheus::{Histogram, HistogramOpts, HistogramVec, exponential_buckets};

/// etcd's labels for failure and success, by `success as usize`.
const SUCCESS: [&str; 2] = ["false", "true"];
const KINDS: usize = CommandKind::ALL.len();

/// Returns etcd's label for a kind of command.
const fn label(kind: CommandKind) -> &'static str {
    match kind {
        CommandKind::Put => "Put",
        CommandKind::DeleteRange => "DeleteRange",
        CommandKind::Txn => "Txn",
        CommandKind::Compaction => "Compaction",
        CommandKind::LeaseGrant => "LeaseGrant",
        // In etcd this command also revokes leases that expired.
        CommandKind::LeaseRevoke | CommandKind::LeaseExpire => "LeaseRevoke",
        CommandKind::LeaseCheckpoint => "LeaseCheckpoint",
        CommandKind::Alarm => "Alarm",
        CommandKind::MemberAttributes => "ClusterMemberAttrSet",
        CommandKind::MemberChange => "ConfChange",
        CommandKind::AuthEnable => "AuthEnable",
        CommandKind::AuthDisable => "AuthDisable",
        CommandKind::Authenticate => "Authenticate",
        CommandKind::UserAdd => "AuthUserAdd",
        CommandKind::UserDelete => "AuthUserDelete",
        CommandKind::UserChangePassword => "AuthUserChangePassword",
        CommandKind::UserGrantRole => "AuthUserGrantRole",
        CommandKind::UserRevokeRole => "AuthUserRevokeRole",
        CommandKind::RoleAdd => "AuthRoleAdd",
        CommandKind::RoleDelete => "AuthRoleDelete",
        CommandKind::RoleGrantPermission => "AuthRoleGrantPermission",
        CommandKind::RoleRevokePermission => "AuthRoleRevokePermission",
    }
}

/// Histograms of durations. Clones share them.
#[derive(Debug)]
pub struct Durations {
    requests: HistogramVec,
    /// Indexed by kind of command, then ranges and read-only transactions; then by success.
    resolved: [[OnceLock<Histogram>; 2]; KINDS + 2],
    ranges: HistogramVec,
    resolved_ranges: [OnceLock<Histogram>; 2],
    applies: HistogramVec,
    gathered: Mutex<Gathered>,
}

impl Durations {
    pub(super) fn new() -> prometheus::Result<(Durations, Vec<Box<dyn Collector>>)> {
        let family = |name: &str, help: &str, labels: &[&str], (first, count)| {
            let buckets = exponential_buckets(first, 2.0, count)?;
            HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets), labels)
        };
        let durations = Durations {
            requests: family(
                "etcd_server_request_duration_seconds",
                "Time from a request to its outcome; failed is what was not decided.",
                &["type", "success"],
                (0.001, 14),
            )?,
            resolved: Default::default(),
            ranges: family(
                "etcd_server_range_duration_seconds",
                "Time to read a range from the state.",
                &["success"],
                (0.0001, 20),
            )?,
            resolved_ranges: Default::default(),
            applies: family(
                "etcd_server_apply_duration_seconds",
                "Time to apply a command: its share of that of the log entry it came in.",
                &["version", "op", "success"],
                (0.0001, 20),
            )?,
            gathered: Mutex::default(),
        };
        let collectors: Vec<Box<dyn Collector>> = vec![
            Box::new(durations.requests.clone()),
            Box::new(durations.ranges.clone()),
            Box::new(durations.applies.clone()),
        ];
        Ok((durations, collectors))
    }

    /// Observes a request's duration. A request that was rejected counts as a success, since it was
    /// decided.
    pub(crate) fn request(&self, request: RequestKind, success: bool, took: Duration) {
        let (position, kind) = match request {
            RequestKind::Command(kind) => (kind as usize, label(kind)),
            RequestKind::Range => (KINDS, "Range"),
            RequestKind::ReadOnlyTxn => (KINDS + 1, "ReadonlyTxn"),
        };
        self.resolved[position][usize::from(success)]
            .get_or_init(|| {
                let labels = [kind, SUCCESS[usize::from(success)]];
                self.requests.with_label_values(&labels)
            })
            .observe(took.as_secs_f64());
    }

    /// Observes the duration of reading a range.
    pub(crate) fn range(&self, success: bool, took: Duration) {
        let position = usize::from(success);
        self.resolved_ranges[position]
            .get_or_init(|| self.ranges.with_label_values(&[SUCCESS[position]]))
            .observe(took.as_secs_f64());
    }

    /// Observes the durations of a batch of applied commands.
    pub(crate) fn applied(&self, commands: &[AppliedCommand]) {
        // Only one thread applies commands, so the lock is free.
        let mut gathered = self.gathered.lock();
        for command in commands {
            gathered.observe(&self.applies, command);
        }
        gathered.flush();
    }
}

/// Durations of applied commands, gathered over a batch without atomic operations, since there may
/// be a hundred thousand per second.
#[derive(Debug, Default)]
struct Gathered {
    resolved: [[Option<LocalHistogram>; 2]; KINDS],
}

impl Gathered {
    fn observe(&mut self, family: &HistogramVec, command: &AppliedCommand) {
        let success = usize::from(command.is_ok);
        self.resolved[command.kind as usize][success]
            .get_or_insert_with(|| {
                let labels = ["v3", label(command.kind), SUCCESS[success]];
                family.with_label_values(&labels).local()
            })
            .observe(command.took.as_secs_f64());
    }

    fn flush(&self) {
        let resolved = self.resolved.iter().flatten().flatten();
        resolved.for_each(LocalHistogram::flush);
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{Registry, TextEncoder};

    use super::*;

    #[test]
    fn series_appear_with_what_they_count() {
        let (durations, collectors) = Durations::new().expect("valid names");
        let registry = Registry::new();
        for collector in collectors {
            registry.register(collector).expect("distinct names");
        }
        let text = || {
            let encoded = TextEncoder::new().encode_to_string(&registry.gather());
            encoded.expect("text")
        };
        assert_eq!(text(), "");
        let took = Duration::from_millis(3);
        durations.request(RequestKind::Command(CommandKind::Put), true, took);
        durations.request(RequestKind::ReadOnlyTxn, false, took);
        durations.range(true, took);
        let applied = |kind| AppliedCommand {
            kind,
            is_ok: true,
            took,
        };
        durations.applied(&[
            applied(CommandKind::LeaseExpire),
            applied(CommandKind::LeaseRevoke),
        ]);
        for line in [
            r#"etcd_server_request_duration_seconds_count{success="true",type="Put"} 1"#,
            r#"etcd_server_request_duration_seconds_count{success="false",type="ReadonlyTxn"} 1"#,
            r#"etcd_server_range_duration_seconds_bucket{success="true",le="0.0032"} 1"#,
            r#"apply_duration_seconds_count{op="LeaseRevoke",success="true",version="v3"} 2"#,
        ] {
            assert!(text().contains(line), "{line} is missing in {}", text());
        }
    }
}
