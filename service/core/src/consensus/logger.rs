//! The library's log lines, as ours.
//!
//! It writes through `slog` and tells at "info" and "warn" what is part of a normal life:
//! elections, terms, rejected votes. An operator should not meet a warning that asks for nothing,
//! so all of it is a step quieter here; what matters (who leads now) the driver says itself.

use std::fmt;

use slog::{Drain, KV, Level, Logger, Never, OwnedKVList, Record, Serializer};

/// A logger for the library.
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

/// The message and the record's own values, behind it.
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
