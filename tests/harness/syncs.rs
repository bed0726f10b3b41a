//! A disk whose syncs fail for one process. Needs `strace`, which injects errors into system calls
//! of a process it is attached to.
//!
//! The next sync of each thread of the process fails, and every later one succeeds. Linux treats a
//! page it cannot write the same way: it reports the error once and marks the page clean. A server
//! that retried the sync would get a false success.

use std::process::{Command, Stdio};

use crate::child::Child;

/// The system's error text for a failed sync.
pub const REASON: &str = "Input/output error";

/// Makes the next syncs of a process fail, until dropped.
#[derive(Debug)]
pub struct FailingSyncs {
    _strace: Child,
}

impl FailingSyncs {
    /// Attaches to a process. If this user may not do that, prints why the test is skipped and
    /// returns `None`.
    pub fn of(pid: u32) -> Option<Self> {
        let mut version = Command::new("strace");
        version.arg("--version").stdout(Stdio::null());
        if !version.status().is_ok_and(|status| status.success()) {
            eprintln!("skipped: there is no strace");
            return None;
        }
        let pid = pid.to_string();
        let calls = "trace=fsync,fdatasync";
        let fails = "inject=fsync,fdatasync:error=EIO:when=1";
        let words = [
            "-f",
            "-p",
            &pid,
            "-o",
            "/dev/null",
            "-e",
            calls,
            "-e",
            fails,
        ];
        let strace = Child::spawn("strace", &words, &[]);
        if strace.line("attached").is_some() {
            return Some(Self { _strace: strace });
        }
        eprintln!("skipped: {}", strace.lines().join("; "));
        None
    }
}
