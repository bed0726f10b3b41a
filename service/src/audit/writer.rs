//! The thread that writes the lines, and where it writes them.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, TryRecvError};

use conclave_core::clock::{Clock as _, SystemClock};
use conclave_core::log_once::LogOnce;

use super::file::{LogFile, Unwritten};
use super::journal::{Journal, SOCKET};
use super::record::{Entry, to_json};
use super::{Item, Shared};
use crate::config::{AuditLog, AuditOutput};

/// Lines that are written together.
const LINES_MAX: usize = 256;

/// Keys for [`LogOnce`].
const NOT_WRITTEN: &str = "write";
const NOT_ROTATED: &str = "rotate";

/// Where lines are written.
#[derive(Debug)]
pub(super) enum Sink {
    File(LogFile),
    Journal(Journal),
    /// A descriptor of its own, so that it shares no lock with the log.
    Stderr(File),
}

impl Sink {
    pub(super) fn open(settings: &AuditLog) -> io::Result<Sink> {
        let AuditLog {
            output,
            bytes_max,
            keep,
            level: _,
        } = settings;
        Ok(match output {
            AuditOutput::File(path) => Sink::File(LogFile::open(path, *bytes_max, *keep)?),
            AuditOutput::Journal => Sink::Journal(Journal::connect(SOCKET.as_ref())?),
            AuditOutput::Stderr => {
                let stderr = io::stderr().as_fd().try_clone_to_owned()?;
                Sink::Stderr(File::from(stderr))
            }
        })
    }

    fn reopen(&mut self) {
        match self {
            Sink::File(file) => file.reopen(),
            Sink::Journal(journal) => journal.reopen(),
            Sink::Stderr(_) => {}
        }
    }

    fn write(&mut self, entries: &[Entry], member: &str) -> Result<(), Unwritten> {
        let line = |entry: &Entry| to_json(&entry.fields(member));
        match self {
            Sink::File(file) => {
                let lines: Vec<String> = entries.iter().map(line).collect();
                file.write(&lines)
            }
            Sink::Journal(journal) => one_by_one(entries, |entry| {
                journal.send(&entry.fields(member), entry.is_notable())
            }),
            Sink::Stderr(stderr) => {
                one_by_one(entries, |entry| stderr.write_all(line(entry).as_bytes()))
            }
        }
    }
}

fn one_by_one(
    entries: &[Entry],
    mut write: impl FnMut(&Entry) -> io::Result<()>,
) -> Result<(), Unwritten> {
    for (written, entry) in entries.iter().enumerate() {
        write(entry).map_err(|error| Unwritten { written, error })?;
    }
    Ok(())
}

/// The writer's part of an audit log.
pub(super) struct Writer {
    pub(super) queue: Receiver<Item>,
    pub(super) sink: Sink,
    pub(super) shared: Arc<Shared>,
    /// The id of the member, as operators see it.
    pub(super) member: String,
    pub(super) log_once: LogOnce,
    pub(super) clock: SystemClock,
}

impl Writer {
    /// Writes until the log is stopped and the queue is empty.
    pub(super) fn run(mut self) {
        while self.turn() {}
    }

    /// Waits for lines, and writes those that there are. Returns false at the end.
    pub(super) fn turn(&mut self) -> bool {
        let mut next = self.next();
        let is_end = next.is_none();
        let mut entries = Vec::new();
        while let Some(item) = next {
            match item {
                Item::Record(record) => {
                    if record.is_refusal() {
                        self.shared.refusals.fetch_sub(1, Ordering::Relaxed);
                    }
                    entries.push(Entry::Call(record));
                }
                Item::Wake => {}
            }
            let has_room = entries.len() < LINES_MAX;
            next = has_room.then(|| self.queue.try_recv().ok()).flatten();
        }
        if self.shared.reopen.swap(false, Ordering::Relaxed) {
            self.sink.reopen();
        }
        self.write(&mut entries);
        !is_end
    }

    /// Waits for an item. Returns `None` at the end.
    fn next(&self) -> Option<Item> {
        match self.queue.try_recv() {
            Ok(item) => Some(item),
            Err(TryRecvError::Disconnected) => None,
            // Whoever stops the log sets this before it wakes this thread.
            Err(TryRecvError::Empty) if self.shared.stopping.load(Ordering::Acquire) => None,
            Err(TryRecvError::Empty) => self.queue.recv().ok(),
        }
    }

    fn write(&mut self, entries: &mut Vec<Entry>) {
        let lost = self.shared.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            entries.insert(0, Entry::Lost(lost));
        }
        if entries.is_empty() {
            return;
        }
        let calls = |entries: &[Entry]| {
            let is_call = |entry: &&Entry| matches!(entry, Entry::Call(_));
            entries.iter().filter(is_call).count() as u64
        };
        let stats = &self.shared.stats;
        match self.sink.write(entries, &self.member) {
            Ok(()) => {
                stats.written.inc_by(calls(entries));
                self.log_once.forget(NOT_WRITTEN);
            }
            Err(Unwritten { written, error }) => {
                stats.written.inc_by(calls(&entries[..written]));
                let now_lost = calls(&entries[written..]);
                stats.not_written.inc_by(now_lost);
                let unsaid = if written == 0 { lost } else { 0 };
                let total = now_lost + unsaid;
                self.shared.lost.fetch_add(total, Ordering::Relaxed);
                if self.log_once.is_new(NOT_WRITTEN, self.clock.now()) {
                    tracing::error!(
                        %error,
                        lines = now_lost,
                        "lines of the audit log cannot be written and are lost: calls go on"
                    );
                }
            }
        }
        self.report_rotation();
    }

    fn report_rotation(&mut self) {
        let Sink::File(file) = &mut self.sink else {
            return;
        };
        if let Some(error) = file.take_rotation_error()
            && self.log_once.is_new(NOT_ROTATED, self.clock.now())
        {
            tracing::error!(%error, "the audit log cannot be rotated: its file grows");
        }
    }
}
