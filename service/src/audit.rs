//! The audit log: who did what to the cluster, through this member. One line for each call, beside
//! the log, which says how the member fares.
//!
//! # What is recorded
//!
//! Each method has a level ([`record`]), and `--audit-level` chooses:
//!
//! - `metadata`: changes of users, roles, members and alarms, logins, maintenance (compactions,
//!   snapshots and hand-overs of leadership among it), and every call that was *refused*: for who
//!   its caller is, or for what that caller may do. A call that failed for another reason, such as
//!   a missing leader, is recorded at the level of its method.
//! - `writes`: also everything that changes keys or leases, locks and elections with them.
//! - `all`: also reads, watches and keep-alives.
//!
//! A line is made when a call ends. What has no end soon is recorded when it is judged: a watcher,
//! an observer of an election; and each keep-alive when it is answered.
//!
//! # What is never recorded
//!
//! Values, passwords, hashes, tokens. A request gets into a line field by field ([`content`]), so
//! one that is new shows nothing until somebody decides what.
//!
//! # How a line is written
//!
//! A call hands its line to a bounded queue and goes on. One thread takes lines from there and
//! writes them ([`writer`]): to a file ([`file`]), to the journal ([`journal`]) or to standard
//! error. *A line that cannot be written never stops a call*: it is lost, and counted in a metric
//! and, as soon as lines can be written again, in the audit log itself. A coordination service that
//! stops when a log is full takes more with it than the record of who stopped it.
//!
//! While lines are written nothing is synced: a machine that loses power loses the last seconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use conclave_core::clock::{Clock as _, SystemClock};
use conclave_core::log_once::LogOnce;
use conclave_storage::MemberId;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::StartError;
use crate::config::{AuditLevel, AuditLog};
use crate::metrics::{AuditStats, Metrics};

mod content;
mod file;
mod journal;
mod note;
mod record;
mod text;
mod writer;

pub(crate) use content::{Branch, Content};
pub(crate) use note::Note;
pub(crate) use record::{Facts, Origin, Outcome, Proof};

use record::Record;
use writer::{Sink, Writer};

/// Lines that wait for the writer. At their longest they take 20 MiB, usually 3. Refused calls have
/// half of the places: a stranger can make more of them than can be written, and must not push out
/// the lines of what was done meanwhile.
const QUEUE_MAX: usize = 8192;

/// How long the end of a member waits for the last lines. A disk may hang.
const STOP_MAX: Duration = Duration::from_secs(5);

/// Keys for [`LogOnce`].
const FULL: &str = "full";

/// An output that is open, before anything is written.
#[derive(Debug)]
pub(crate) struct Output {
    sink: Sink,
    level: AuditLevel,
}

/// The audit log of a member.
pub(crate) struct Audit {
    level: AuditLevel,
    queue: SyncSender<Item>,
    refusals_max: usize,
    shared: Arc<Shared>,
    ended: Mutex<Option<oneshot::Receiver<()>>>,
    log_once: LogOnce,
    clock: SystemClock,
}

/// An item of the queue.
enum Item {
    Record(Box<Record>),
    /// Lets the writer look at [`Shared`].
    Wake,
}

/// State that the writer shares with [`Audit`].
struct Shared {
    stats: AuditStats,
    /// Lines lost since the audit log has last said so.
    lost: AtomicU64,
    /// Lines of refused calls in the queue.
    refusals: AtomicUsize,
    reopen: AtomicBool,
    stopping: AtomicBool,
}

impl Output {
    /// Opens the output. Fails if lines cannot be written there: a member that was asked for an
    /// audit log does not start without.
    pub(crate) fn open(settings: &AuditLog) -> Result<Output, StartError> {
        let sink = Sink::open(settings).map_err(|error| StartError::AuditLog {
            output: settings.output.clone(),
            error,
        })?;
        let level = settings.level;
        Ok(Output { sink, level })
    }
}

impl Audit {
    /// Starts the writer.
    pub(crate) fn start(
        output: Output,
        member: MemberId,
        metrics: &Metrics,
    ) -> Result<Audit, String> {
        let stats = metrics.count_audit_lines();
        let stats = stats.map_err(|error| error.to_string())?;
        let (audit, writer, end) = Audit::new(output, member.to_string(), stats, QUEUE_MAX);
        let write = move || {
            writer.run();
            // The receiver may have given up.
            let _ = end.send(());
        };
        let thread = thread::Builder::new().name("audit".to_owned());
        thread.spawn(write).map_err(|error| error.to_string())?;
        Ok(audit)
    }

    fn new(
        Output { sink, level }: Output,
        member: String,
        stats: AuditStats,
        queue_max: usize,
    ) -> (Audit, Writer, oneshot::Sender<()>) {
        let (queue, taken) = sync_channel(queue_max);
        let (end, ended) = oneshot::channel();
        let shared = Arc::new(Shared {
            stats,
            lost: AtomicU64::new(0),
            refusals: AtomicUsize::new(0),
            reopen: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
        });
        let writer = Writer {
            queue: taken,
            sink,
            shared: Arc::clone(&shared),
            member,
            log_once: LogOnce::default(),
            clock: SystemClock::new(),
        };
        let audit = Audit {
            level,
            queue,
            refusals_max: queue_max / 2,
            shared,
            ended: Mutex::new(Some(ended)),
            log_once: LogOnce::default(),
            clock: SystemClock::new(),
        };
        (audit, writer, end)
    }

    /// Records the end of a call, if the level includes it. Never waits.
    pub(crate) fn record(&self, facts: &Facts, outcome: Outcome) {
        if facts.level(outcome) > self.level {
            return;
        }
        let refusals = &self.shared.refusals;
        let is_refusal = outcome.is_refusal();
        if is_refusal && refusals.fetch_add(1, Ordering::Relaxed) >= self.refusals_max {
            refusals.fetch_sub(1, Ordering::Relaxed);
            self.lose();
            return;
        }
        let record = Item::Record(Box::new(Record::new(facts.clone(), outcome)));
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            self.queue.try_send(record)
        {
            if is_refusal {
                refusals.fetch_sub(1, Ordering::Relaxed);
            }
            self.lose();
        }
    }

    /// Counts a line that has no place in the queue.
    fn lose(&self) {
        self.shared.lost.fetch_add(1, Ordering::Relaxed);
        self.shared.stats.queue_full.inc();
        if self.log_once.is_new(FULL, self.clock.now()) {
            tracing::error!(
                "lines of the audit log are lost, because there are more than can be written: \
                 calls go on"
            );
        }
    }

    /// Opens the file anew, as after it was moved.
    pub(crate) fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// Waits until what was recorded is written, but not for ever.
    pub(crate) async fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.wake();
        let ended = self.ended.lock().take();
        let Some(ended) = ended else {
            return;
        };
        if tokio::time::timeout(STOP_MAX, ended).await.is_err() {
            tracing::error!(
                "the last lines of the audit log are lost: they are not written in time"
            );
        }
    }

    fn wake(&self) {
        // With a full queue the writer is awake.
        let _ = self.queue.try_send(Item::Wake);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use conclave_proto::ApiError;
    use serde_json::Value;

    use super::*;
    use crate::config::AuditOutput;
    use crate::method::Method;
    use crate::metrics::Settings;
    use conclave_core::handle::Identity;
    use conclave_storage::ClusterId;

    fn settings(path: &Path, level: AuditLevel) -> AuditLog {
        AuditLog {
            output: AuditOutput::File(path.to_owned()),
            level,
            bytes_max: None,
            keep: 1,
        }
    }

    fn audit(path: &Path, queue_max: usize) -> (Audit, Writer) {
        let output = Output::open(&settings(path, AuditLevel::Writes)).expect("can be opened");
        let stats = AuditStats::new().expect("valid names");
        let (audit, writer, _) = Audit::new(output, "8e9e".to_owned(), stats, queue_max);
        (audit, writer)
    }

    fn record(audit: &Audit, method: Method) {
        audit.record(&Facts::new(method, Origin::default()), Outcome::OK);
    }

    fn lines(path: &Path) -> Vec<Value> {
        let text = std::fs::read_to_string(path).expect("a file");
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }

    #[test]
    fn lines_beyond_the_queue_are_lost_and_counted() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("audit.log");
        let (audit, writer) = audit(&path, 2);
        for _ in 0..5 {
            record(&audit, Method::Put);
            record(&audit, Method::Range);
        }
        audit.shared.stopping.store(true, Ordering::Release);
        writer.run();
        let lines = lines(&path);
        assert_eq!(lines.len(), 3, "{lines:#?}");
        assert_eq!(lines[0]["lost_lines"], 3);
        assert_eq!(lines[1]["method"], "etcdserverpb.KV/Put");
        let stats = &audit.shared.stats;
        let counts = (stats.written.get(), stats.queue_full.get());
        assert_eq!((counts, stats.not_written.get()), ((2, 3), 0));
    }

    #[test]
    fn refused_calls_leave_places_for_the_others() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("audit.log");
        let (audit, mut writer) = audit(&path, 8);
        let refused = Outcome::of(&ApiError::InvalidAuthToken.into());
        for round in 1..3 {
            for _ in 0..100 {
                audit.record(&Facts::new(Method::Watch, Origin::default()), refused);
            }
            (0..4).for_each(|_| record(&audit, Method::Put));
            writer.turn();
            let lines = lines(&path);
            let of = |method: &str| lines.iter().filter(|line| line["method"] == method).count();
            let puts = of("etcdserverpb.KV/Put");
            assert_eq!(
                (puts, of("etcdserverpb.Watch/Watch")),
                (4 * round, 4 * round)
            );
        }
        assert_eq!(audit.shared.stats.queue_full.get(), 2 * 96);
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_once_they_can() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("logs/audit.log");
        std::fs::create_dir(dir.path().join("logs")).expect("created");
        let (audit, mut writer) = audit(&path, 10);
        let write = |writer: &mut Writer, calls: usize| {
            (0..calls).for_each(|_| record(&audit, Method::Put));
            writer.turn();
        };
        std::fs::remove_dir_all(dir.path().join("logs")).expect("removed");
        audit.reopen();
        write(&mut writer, 2);
        write(&mut writer, 1);
        assert_eq!(audit.shared.stats.not_written.get(), 3);
        std::fs::create_dir(dir.path().join("logs")).expect("created");
        write(&mut writer, 1);
        let lines = lines(&path);
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert_eq!(lines[0]["lost_lines"], 3);
        assert_eq!(audit.shared.stats.written.get(), 1);
    }

    #[tokio::test]
    async fn the_last_lines_are_written_before_the_end() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("audit.log");
        let output = Output::open(&settings(&path, AuditLevel::All)).expect("can be opened");
        let identity = Identity {
            cluster_id: ClusterId(1),
            member_id: MemberId(0x8e9e),
        };
        let metrics = Metrics::new(identity, Settings::default()).expect("distinct names");
        let audit = Audit::start(output, identity.member_id, &metrics).expect("a thread");
        for _ in 0..1000 {
            record(&audit, Method::Range);
        }
        audit.stop().await;
        let lines = lines(&path);
        assert_eq!(lines.len(), 1000);
        assert_eq!(lines[999]["member"], identity.member_id.to_string());
        // However often it is stopped.
        audit.stop().await;
    }
}
