//! Gauges and counters that are read from the [`Handle`] at each scrape.

use prometheus::core::Collector;
use prometheus::{IntCounter, IntGauge};

use conclave_core::handle::Handle;
use conclave_storage::MemberId;

/// A gauge, and the function that reads its value.
struct Reading {
    gauge: IntGauge,
    read: fn(&Handle) -> i64,
}

/// A counter of a number that is counted elsewhere.
struct Count {
    counter: IntCounter,
    read: fn(&Handle) -> u64,
}

/// The metrics that are read at a scrape.
pub(super) struct Gauges {
    readings: Vec<Reading>,
    counts: Vec<Count>,
}

/// Name, help, and the function that reads the value.
type Row<T> = (&'static str, &'static str, fn(&Handle) -> T);

/// Converts to a gauge's type; a number that is too large becomes its maximum.
fn wide(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

const GAUGES: &[Row<i64>] = &[
    (
        "etcd_server_has_leader",
        "Whether a leader is known: 1 is yes.",
        |handle| i64::from(handle.status().leader != MemberId::NONE),
    ),
    (
        "etcd_server_is_leader",
        "Whether this member leads: 1 is yes.",
        |handle| i64::from(handle.status().is_leader),
    ),
    (
        "etcd_server_is_learner",
        "Whether this member is a learner: 1 is yes.",
        |handle| i64::from(handle.status().is_learner),
    ),
    (
        "etcd_server_proposals_committed_total",
        "The last log index committed.",
        |handle| wide(handle.status().committed_index.0),
    ),
    (
        "etcd_server_proposals_applied_total",
        "The last log index applied here.",
        |handle| wide(handle.status().applied_index.0),
    ),
    (
        "etcd_server_proposals_pending",
        "Commands between admission and reply.",
        |handle| count(handle.status().proposals_in_flight),
    ),
    (
        "etcd_server_quota_backend_bytes",
        "The storage quota; 0 is none.",
        |handle| handle.settings().quota_bytes.map_or(0, wide),
    ),
    (
        "etcd_mvcc_db_total_size_in_bytes",
        "Bytes of the state without overhead: what the quota counts.",
        |handle| wide(handle.reader().sizes().logical),
    ),
    (
        "etcd_mvcc_db_total_size_in_use_in_bytes",
        "The same: nothing is held that is not in use.",
        |handle| wide(handle.reader().sizes().logical),
    ),
    (
        "conclave_state_disk_bytes",
        "Bytes of the state's files on disk, without the raft log.",
        |handle| wide(handle.reader().sizes().on_disk),
    ),
    (
        "etcd_debugging_mvcc_current_revision",
        "The revision applied last.",
        |handle| handle.reader().applied().revision.0,
    ),
    (
        "etcd_debugging_mvcc_compact_revision",
        "The compaction revision.",
        |handle| handle.reader().applied().compacted.0,
    ),
    (
        "etcd_debugging_mvcc_watch_stream_total",
        "Watch streams open.",
        |handle| wide(handle.watches().stats().streams()),
    ),
    (
        "etcd_debugging_mvcc_watcher_total",
        "Watchers on them.",
        |handle| wide(handle.watches().stats().watchers()),
    ),
    (
        "etcd_debugging_mvcc_slow_watcher_total",
        "Watchers that lag.",
        |handle| wide(handle.watches().stats().slow_watchers()),
    ),
    ("etcd_debugging_server_alarms", "Alarms raised.", |handle| {
        count(handle.reader().alarms().len())
    }),
];

const COUNTERS: &[Row<u64>] = &[
    (
        "etcd_server_leader_changes_seen_total",
        "Changes of leader this member has seen.",
        |handle| handle.status().leader_changes,
    ),
    (
        "etcd_debugging_mvcc_events_total",
        "Events sent to watchers.",
        |handle| handle.watches().stats().events(),
    ),
];

impl Gauges {
    /// Returns the gauges and counters, and the collectors to register.
    pub(super) fn new() -> prometheus::Result<(Gauges, Vec<Box<dyn Collector>>)> {
        let mut gauges = Gauges {
            readings: Vec::new(),
            counts: Vec::new(),
        };
        let mut collectors: Vec<Box<dyn Collector>> = Vec::new();
        for &(name, help, read) in GAUGES {
            let gauge = IntGauge::new(name, help)?;
            collectors.push(Box::new(gauge.clone()));
            gauges.readings.push(Reading { gauge, read });
        }
        for &(name, help, read) in COUNTERS {
            let counter = IntCounter::new(name, help)?;
            collectors.push(Box::new(counter.clone()));
            gauges.counts.push(Count { counter, read });
        }
        Ok((gauges, collectors))
    }

    /// Reads all values.
    pub(super) fn read(&self, handle: &Handle) {
        for Reading { gauge, read } in &self.readings {
            gauge.set(read(handle));
        }
        for Count { counter, read } in &self.counts {
            // Two concurrent scrapes may add the same difference; the counter is then ahead until
            // the number has caught up.
            counter.inc_by(read(handle).saturating_sub(counter.get()));
        }
    }
}
