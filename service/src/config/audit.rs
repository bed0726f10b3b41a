//! The flags of the audit log.

use std::fmt;
use std::path::PathBuf;

use super::ConfigError;
use super::check::number;
use super::raw::AuditFlags;

/// The smallest size at which a file may be rotated: a few of the longest lines.
const SMALLEST_FILE_BYTES: u64 = 64 << 10;

/// The audit log that the flags ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditLog {
    /// Where lines are written.
    pub output: AuditOutput,
    /// Which calls are recorded.
    pub level: AuditLevel,
    /// Size in bytes at which a file is rotated; `None` for never.
    pub bytes_max: Option<u64>,
    /// Number of rotated files that are kept; at least one.
    pub keep: u32,
}

/// An output of an audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditOutput {
    /// A file, which is appended to.
    File(PathBuf),
    /// systemd's journal.
    Journal,
    /// The standard error stream.
    Stderr,
}

impl fmt::Display for AuditOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AuditOutput::File(path) => path.display().fmt(f),
            AuditOutput::Journal => f.write_str("the journal"),
            AuditOutput::Stderr => f.write_str("standard error"),
        }
    }
}

/// The calls that an audit log records. Each level includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AuditLevel {
    /// Changes of users, roles and members, logins, maintenance, and refused calls.
    Metadata,
    /// Calls that change keys and leases.
    Writes,
    /// Every call.
    All,
}

/// The level if none is given.
const DEFAULT_LEVEL: &str = "metadata";

/// Checks the flags. Returns `None` without an audit log.
pub(super) fn check_audit(
    raw: &AuditFlags,
    log_outputs: &str,
) -> Result<Option<AuditLog>, ConfigError> {
    let level = raw.audit_level.as_deref().unwrap_or(DEFAULT_LEVEL);
    let level = match level {
        "metadata" => AuditLevel::Metadata,
        "writes" => AuditLevel::Writes,
        "all" => AuditLevel::All,
        _ => {
            let reason = "write metadata, writes or all";
            return Err(ConfigError::invalid("audit-level", level, reason));
        }
    };
    let bytes_max = number(
        "audit-log-max-bytes",
        &raw.audit_log_max_bytes,
        0..=u64::MAX,
    )?;
    if (1..SMALLEST_FILE_BYTES).contains(&bytes_max) {
        return Err(ConfigError::invalid(
            "audit-log-max-bytes",
            &raw.audit_log_max_bytes,
            "give at least 65536 bytes, or 0 for a file that is never rotated",
        ));
    }
    let keep = number("audit-log-keep", &raw.audit_log_keep, 1..=1000)?;
    let Some(log) = raw.audit_log.as_deref() else {
        if raw.audit_level.is_some() {
            let text = "--audit-level is given without --audit-log: say where calls are recorded";
            return Err(ConfigError::Conflict(text.to_owned()));
        }
        return Ok(None);
    };
    let output = match log {
        "journald" => AuditOutput::Journal,
        "stderr" => AuditOutput::Stderr,
        "" | "stdout" | "systemd/journal" | "default" => {
            let reason = "write journald, stderr or the path of a file";
            return Err(ConfigError::invalid("audit-log", log, reason));
        }
        path if log_outputs.split(',').any(|output| output.trim() == path) => {
            let reason = "it is a file of --log-outputs as well: give the audit log a file alone";
            return Err(ConfigError::invalid("audit-log", log, reason));
        }
        path => AuditOutput::File(PathBuf::from(path)),
    };
    Ok(Some(AuditLog {
        output,
        level,
        bytes_max: Some(bytes_max).filter(|bytes| *bytes > 0),
        keep,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Invocation};

    fn checked(flags: &[&str]) -> Result<Option<AuditLog>, String> {
        let flags = flags.iter().map(|&flag| flag.to_owned());
        match config::parse(flags, []) {
            Ok(Invocation::Run(config, _)) => Ok(config.audit_log),
            Ok(other) => panic!("runs: {other:?}"),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn an_audit_log_is_off_unless_it_has_an_output() {
        assert_eq!(checked(&[]), Ok(None));
        let default = AuditLog {
            output: AuditOutput::File("a/b".into()),
            level: AuditLevel::Metadata,
            bytes_max: Some(100 << 20),
            keep: 10,
        };
        assert_eq!(checked(&["--audit-log=a/b"]), Ok(Some(default.clone())));
        let flags = [
            "--audit-log=journald",
            "--audit-level=writes",
            "--audit-log-max-bytes=0",
            "--audit-log-keep=1",
        ];
        let expected = AuditLog {
            output: AuditOutput::Journal,
            level: AuditLevel::Writes,
            bytes_max: None,
            keep: 1,
        };
        assert_eq!(checked(&flags), Ok(Some(expected)));
        let stderr = checked(&["--audit-log", "stderr"])
            .expect("valid")
            .expect("on");
        assert_eq!(stderr.output, AuditOutput::Stderr);
    }

    #[test]
    fn an_audit_log_that_would_not_be_kept_is_an_error() {
        let error = checked(&["--audit-level=all"]).expect_err("no output");
        assert!(error.contains("say where calls are recorded"), "{error}");
        let same = ["--audit-log=a/b", "--log-outputs=stderr,a/b"];
        let error = checked(&same).expect_err("one file for both");
        assert!(error.contains("give the audit log a file alone"), "{error}");
    }

    #[test]
    fn a_wrong_flag_says_what_to_write() {
        for (flag, advice) in [
            (
                "--audit-log=",
                "write journald, stderr or the path of a file",
            ),
            (
                "--audit-log=stdout",
                "write journald, stderr or the path of a file",
            ),
            ("--audit-level=most", "write metadata, writes or all"),
            (
                "--audit-log-max-bytes=100",
                "give at least 65536 bytes, or 0",
            ),
            ("--audit-log-keep=0", "give a whole number from 1 to 1000"),
        ] {
            let error = checked(&[flag]).expect_err(flag);
            assert!(error.contains(advice), "{flag}: {error}");
        }
    }
}
