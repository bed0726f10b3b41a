//! A disk that fails to sync, for one process and from one moment on. Needs `strace`, which makes
//! system calls of a process it is attached to fail without making them.
//!
//! Of each thread of the process the next sync fails, and every later one is as good as any. That
//! is how Linux goes about a page it cannot write: it says so once and takes the page for clean.
//! A server that tried again would be told that all is well.

use std::process::{Command, Stdio};

use crate::child::Child;

/// What a process whose syncs fail is told, in the system's words.
pub const REASON: &str = "Input/output error";

/// The next syncs of a process fail, until this is dropped.
#[derive(Debug)]
pub struct FailingSyncs {
    _strace: Child,
}

impl FailingSyncs {
    /// Begins with that. `None`, and a line that says why the test proves nothing here, if this
    /// user may not do so to a process.
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
