//! A disk whose syncs fail or hang for one process. Needs `strace`, which changes system calls of a
//! process it is attached to.
//!
//! With [`FailingSyncs`] the next sync of each thread of the process fails, and every later one
//! succeeds. Linux treats a page it cannot write the same way: it reports the error once and marks
//! the page clean. A server that retried the sync would get a false success.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::child::Child;

/// The system's error text for a failed sync.
pub const REASON: &str = "Input/output error";

/// Makes the next syncs of a process fail, until dropped.
#[derive(Debug)]
pub struct FailingSyncs {
    _strace: Child,
}

/// Makes the syncs of some threads of a process wait, until dropped.
#[derive(Debug)]
pub struct HeldSyncs {
    _strace: Child,
}

impl FailingSyncs {
    /// Attaches to a process. If this user may not do that, prints why the test is skipped and
    /// returns `None`.
    pub fn of(pid: u32) -> Option<Self> {
        let attached = attach(&["-f".to_owned(), format!("-p{pid}")], "error=EIO:when=1");
        attached.map(|strace| Self { _strace: strace })
    }
}

impl HeldSyncs {
    /// Attaches to the threads of a process that have this name. If this user may not do that,
    /// prints why the test is skipped and returns `None`.
    pub fn of(pid: u32, thread: &str) -> Option<Self> {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
        let is_one = |task: &Path| {
            fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim_end() == thread)
        };
        let tasks = tasks.flatten().map(|task| task.path());
        let threads: Vec<_> = tasks
            .filter(|task| is_one(task))
            .map(|task| format!("-p{}", task.file_name().expect("a number").display()))
            .collect();
        assert!(!threads.is_empty(), "no thread {thread}");
        // In microseconds; longer than any test waits.
        let attached = attach(&threads, "delay_enter=600000000");
        attached.map(|strace| Self { _strace: strace })
    }
}

/// Attaches strace to threads, and changes their syncs.
fn attach(threads: &[String], change: &str) -> Option<Child> {
    let mut version = Command::new("strace");
    version.arg("--version").stdout(Stdio::null());
    if !version.status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: there is no strace");
        return None;
    }
    let mut words = threads.to_vec();
    words.extend(["-o/dev/null", "-etrace=fsync,fdatasync"].map(str::to_owned));
    words.push(format!("-einject=fsync,fdatasync:{change}"));
    let strace = Child::spawn("strace", &words, &[]);
    if strace.line("attached").is_some() {
        return Some(strace);
    }
    eprintln!("skipped: {}", strace.lines().join("; "));
    None
}
