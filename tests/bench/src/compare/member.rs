//! One process of a server: started, stopped, killed, and queried.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use conclave_client::User;
use conclave_proto::etcdserverpb::{RangeRequest, RangeResponse, StatusRequest, StatusResponse};

use crate::cleanup::Process;
use crate::quota::Quota;
use crate::target::{Login, Target, enable_auth};
use crate::wire::{Failure, Wire};
use crate::workload::path;

/// Time limit from start to the first answered read, and from SIGTERM to the end of the process.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// Polling interval for a server that does not answer yet.
pub(crate) const POLL: Duration = Duration::from_millis(2);
/// Timeout of a request to a member that may be without a leader.
const ANSWER: Duration = Duration::from_secs(2);
/// Size of the log's tail that is shown when a server does not start.
const LOG_TAIL_BYTES: usize = 2000;

/// A member, running or not.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) target: Target,
    /// The address that serves `/metrics`, without TLS.
    pub(crate) metrics: SocketAddr,
    pub(crate) data: PathBuf,
    process: Option<Process>,
    /// Declared after the process, so that it is dropped after the process has ended.
    quota: Option<Quota>,
    binary: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
}

impl Member {
    /// Creates a member that is not started yet. It owns `directory`.
    pub(crate) fn new(
        name: String,
        target: Target,
        metrics: SocketAddr,
        binary: &Path,
        directory: &Path,
        arguments: Vec<String>,
    ) -> Result<Member, Failure> {
        fs::create_dir_all(directory)?;
        Ok(Member {
            name,
            target,
            metrics,
            data: directory.join("data"),
            process: None,
            quota: None,
            binary: binary.to_owned(),
            arguments,
            log: directory.join("server.log"),
        })
    }

    /// Limits its process to this percentage of one processor, from the next start on.
    pub(crate) fn limit(&mut self, percent: u32) -> Result<(), Failure> {
        self.quota = Some(Quota::make(&self.name, percent)?);
        Ok(())
    }

    /// The process id; 0 while there is no process.
    pub(crate) fn id(&self) -> u32 {
        self.process.as_ref().map_or(0, Process::id)
    }

    pub(crate) fn spawn(&mut self) -> Result<(), Failure> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.binary);
        command.args(&self.arguments);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let process = Process::start(&mut command)
            .map_err(|error| Failure(format!("{}: {error}", self.binary.display())))?;
        if let Some(quota) = &self.quota {
            quota.put(process.id())?;
        }
        self.process = Some(process);
        Ok(())
    }

    /// Waits for the first answer to a linearizable get of `key`.
    pub(crate) fn first_read(&self, key: &[u8]) -> Result<RangeResponse, Failure> {
        let begin = Instant::now();
        let runtime = runtime()?;
        loop {
            let error = match runtime.block_on(read(&self.target, key, false)) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let ended = self.process.as_ref().is_none_or(Process::ended);
            if ended || begin.elapsed() > PATIENCE {
                let (name, tail) = (&self.name, tail(&self.log));
                return Err(Failure(format!("{name} did not start: {error}\n{tail}")));
            }
            std::thread::sleep(POLL);
        }
    }

    /// Adds the user root and enables authentication.
    pub(crate) fn enable_auth(&self, root: &User) -> Result<(), Failure> {
        runtime()?.block_on(async {
            let wire = Wire::connect(&self.target).await?;
            enable_auth(&wire, root).await
        })
    }

    /// Makes all requests in the name of a user from now on.
    pub(crate) fn log_in_as(&mut self, login: &Arc<Login>) {
        self.target.access.login = Some(Arc::clone(login));
    }

    /// The member's answer to `Status`.
    pub(crate) fn status(&self) -> Result<StatusResponse, Failure> {
        runtime()?.block_on(async {
            let asked = async {
                let wire = Wire::connect(&self.target).await?;
                wire.method(path::STATUS)?.call(&StatusRequest {}).await
            };
            let answer = tokio::time::timeout(ANSWER, asked).await;
            let answer = answer.unwrap_or_else(|_| Err(Failure::new("status: timeout")));
            known(&self.target, answer).await
        })
    }

    /// The revision of the member's own state.
    pub(crate) fn revision(&self) -> Result<i64, Failure> {
        let answer = runtime()?.block_on(read(&self.target, b"conclave-bench-nothing", true))?;
        Ok(answer.header.map_or(0, |header| header.revision))
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, signal: &str) -> Result<(), Failure> {
        let Some(process) = &self.process else {
            return Err(Failure(format!("{} is not running", self.name)));
        };
        // The standard library can only send SIGKILL. The id is that of a child not yet waited for,
        // so no other process can have it.
        let id = process.id().to_string();
        let status = Command::new("kill").args(["-s", signal, &id]).status()?;
        status
            .success()
            .then_some(())
            .ok_or_else(|| Failure(format!("{}: cannot send SIG{signal}", self.name)))
    }

    /// Stops the process (SIGTERM) and waits until it has ended. Returns how long that took.
    pub(crate) fn stop(&mut self) -> Result<Duration, Failure> {
        let begin = Instant::now();
        if self.process.is_some() {
            self.signal("TERM")?;
        }
        while self
            .process
            .as_ref()
            .is_some_and(|process| !process.ended())
        {
            if begin.elapsed() > PATIENCE {
                return Err(Failure(format!("{} does not stop", self.name)));
            }
            std::thread::sleep(POLL);
        }
        self.process = None;
        Ok(begin.elapsed())
    }

    /// Kills the process (SIGKILL).
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}

async fn read(target: &Target, key: &[u8], serializable: bool) -> Result<RangeResponse, Failure> {
    let request = RangeRequest {
        key: Bytes::copy_from_slice(key),
        serializable,
        ..Default::default()
    };
    let asked = async {
        let wire = Wire::connect(target).await?;
        wire.method(path::RANGE)?.call(&request).await
    };
    let answer = match tokio::time::timeout(PATIENCE, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(Failure::new("read: timeout")),
    };
    known(target, answer).await
}

/// Forgets the token if the member does not know it, so that the next attempt logs in.
async fn known<A>(target: &Target, answer: Result<A, Failure>) -> Result<A, Failure> {
    if answer.as_ref().is_err_and(Failure::is_of_token) {
        target.forget_token().await;
    }
    answer
}

fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let begin = text.len().saturating_sub(LOG_TAIL_BYTES);
    String::from_utf8_lossy(&text[begin..]).into_owned()
}
