//! Forwards the library's log lines to `tracing`.
//!
//! The library logs through `slog`, and reports elections, terms and rejected votes at "info" and
//! "warn", although these are part of normal operation. An operator should not see a warning that
//! requires no action, so its levels are lowered here. The driver itself logs what matters: which
//! member leads now.

use std::fmt;

use slog::{Drain, KV, Level, Logger, Never, OwnedKVList, Record, Serializer};

/// Returns a logger for the library.
pub(super) fn to_tracing() -> Logger {
    Logger::root(ToTracing, slog::o!())
}

struct ToTracing;

impl Drain for ToTracing {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, _: &OwnedKVList) -> Result<(), Never> {
        let line = || Line::of(record);
        match record.level() {
            Level::Critical => tracing::error!(target: "raft", "{}", line()),
            Level::Error => tracing::warn!(target: "raft", "{}", line()),
            Level::Warning | Level::Info => tracing::debug!(target: "raft", "{}", line()),
            Level::Debug | Level::Trace => tracing::trace!(target: "raft", "{}", line()),
        }
        Ok(())
    }
}

/// The message, followed by the record's own values.
struct Line(String);

impl Line {
    fn of(record: &Record<'_>) -> Line {
        let mut line = Line(record.msg().to_string());
        // Writing to a string does not fail.
        let _ = record.kv().serialize(record, &mut line);
        line
    }
}

impl Serializer for Line {
    fn emit_arguments(&mut self, key: slog::Key, value: &fmt::Arguments<'_>) -> slog::Result {
        self.0.push_str(&format!(", {key}: {value}"));
        Ok(())
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
