//! A child process whose log lines can be waited for, and which does not outlive the test.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child as StdChild, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::wait::DEADLINE;

/// A running (or ended) child. Killed when dropped.
#[derive(Debug)]
pub struct Child {
    child: StdChild,
    log: Arc<Log>,
    readers: Vec<JoinHandle<()>>,
    status: Option<ExitStatus>,
}

/// Every line the child wrote, in order.
#[derive(Debug, Default)]
struct Log {
    state: Mutex<LogState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct LogState {
    lines: Vec<String>,
    open_pipes: usize,
}

impl Child {
    /// Starts `program`; its standard output and error are kept as log lines.
    pub fn spawn<A: AsRef<OsStr>>(
        program: impl AsRef<OsStr>,
        arguments: &[A],
        environment: &[(&str, &str)],
    ) -> Self {
        let mut command = Command::new(program.as_ref());
        command.args(arguments).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs(environment.iter().copied());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {:?}: {error}", program.as_ref()));
        let log = Arc::new(Log::default());
        log.lock().open_pipes = 2;
        let out = child.stdout.take().expect("piped above");
        let err = child.stderr.take().expect("piped above");
        let readers = vec![read_lines(out, &log), read_lines(err, &log)];
        Self {
            child,
            log,
            readers,
            status: None,
        }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The resident memory, in KiB.
    pub fn memory_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(path).expect("the child runs");
        let mut lines = status.lines();
        let kib = lines.find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = kib.expect("a process that runs has memory");
        let kib = kib.trim().trim_end_matches(" kB").parse();
        kib.expect("a number")
    }

    /// Everything written so far.
    pub fn lines(&self) -> Vec<String> {
        self.log.lock().lines.clone()
    }

    /// Waits for the first line that contains `part`; `None` if the child ends without it.
    pub fn line(&self, part: &str) -> Option<String> {
        let deadline = Instant::now() + DEADLINE;
        let mut state = self.log.lock();
        loop {
            if let Some(line) = state.lines.iter().find(|line| line.contains(part)) {
                return Some(line.clone());
            }
            if state.open_pipes == 0 {
                return None;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "no line {part:?} within {DEADLINE:?}: {:#?}",
                state.lines
            );
            state = self.log.wait(state, left);
        }
    }

    /// Asks the child to end (SIGTERM), as a service manager does.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends a signal: `STOP` suspends the child, `CONT` resumes it.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "cannot send {name} to {pid}"
        );
    }

    /// Kills the child (SIGKILL) and waits until it is gone.
    pub fn kill(&mut self) {
        if self.status.is_none() {
            // An error means that the child has already ended.
            let _ = self.child.kill();
            let _ = self.wait();
        }
    }

    /// Waits until the child has ended by itself and returns its exit status.
    pub fn wait(&mut self) -> ExitStatus {
        self.wait_at_most(DEADLINE)
    }

    /// [`Child::wait`] with a limit chosen by the caller.
    pub fn wait_at_most(&mut self, limit: Duration) -> ExitStatus {
        if let Some(status) = self.status {
            return status;
        }
        // The pipes close when the process ends, so the wait for them is the wait for the process.
        let deadline = Instant::now() + limit;
        let mut state = self.log.lock();
        while state.open_pipes > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "still running after {limit:?}: {:#?}",
                state.lines
            );
            state = self.log.wait(state, left);
        }
        drop(state);
        let status = self.child.wait().expect("a child can be waited for");
        self.status = Some(status);
        status
    }

    /// Waits until the server has ended by itself with an error. Its log and the line on its
    /// standard error must name the reason and the place.
    pub fn expect_error(&mut self, reason: &str, place: &Path) {
        let status = self.wait();
        let lines = self.lines();
        assert_eq!(status.code(), Some(1), "{lines:#?}");
        for start in ["{", "conclave: "] {
            let says = |line: &&String| line.starts_with(start) && line.contains(reason);
            let line = lines.iter().find(says);
            let line = line.unwrap_or_else(|| panic!("no {reason:?}: {lines:#?}"));
            assert!(line.contains(place.to_str().expect("UTF-8")), "{line}");
        }
    }

    /// Returns true while the child runs.
    pub fn is_running(&mut self) -> bool {
        self.status.is_none() && matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.status.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        if std::thread::panicking() {
            eprintln!("log of process {}:", self.pid());
            let lines = self.lines();
            for line in lines.iter().skip(lines.len().saturating_sub(20)) {
                eprintln!("  {}", line.chars().take(300).collect::<String>());
            }
        }
    }
}

impl Log {
    /// Ignores poisoning: after a panic the lines are needed most.
    fn lock(&self) -> MutexGuard<'_, LogState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits up to a limit for a line or for the child's end.
    fn wait<'a>(
        &'a self,
        state: MutexGuard<'a, LogState>,
        limit: Duration,
    ) -> MutexGuard<'a, LogState> {
        self.changed
            .wait_timeout(state, limit)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }
}

fn read_lines(pipe: impl Read + Send + 'static, log: &Arc<Log>) -> JoinHandle<()> {
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe
            .read_until(b'\n', &mut line)
            .is_ok_and(|length| length > 0)
        {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            log.lock().lines.push(text);
            log.changed.notify_all();
        }
        log.lock().open_pipes -= 1;
        log.changed.notify_all();
    })
}
