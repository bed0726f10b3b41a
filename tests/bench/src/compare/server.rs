//! Starts, stops and kills a server, ours or etcd: the flags are the same.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use conclave_proto::etcdserverpb::{RangeRequest, RangeResponse};

use crate::cleanup::Process;
use crate::wire::{Failure, Wire};
use crate::workload::path;

/// From start to the first answered read, and from SIGTERM to the end of the process.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between looks at a server that is not there yet.
const POLL: Duration = Duration::from_millis(2);
/// Large enough that no run ends in an alarm.
const QUOTA_BYTES: u64 = 32 << 30;
/// Of a log, shown when a server does not start.
const LOG_TAIL_BYTES: usize = 2000;

/// A running server.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) version: String,
    pub(crate) address: SocketAddr,
    pub(crate) data: PathBuf,
    process: Option<Process>,
    binary: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
}

impl Server {
    /// Starts `binary` as a cluster of one with its data in `directory`, and waits until it
    /// answers.
    pub(crate) fn start(
        name: &'static str,
        binary: &Path,
        directory: &Path,
        extra: &[String],
    ) -> Result<Server, Failure> {
        fs::create_dir_all(directory)?;
        let address = free_address()?;
        let data = directory.join("data");
        let mut arguments = arguments(name, address, free_address()?, &data);
        arguments.extend_from_slice(extra);
        let mut server = Server {
            name,
            version: version(binary)?,
            address,
            data,
            process: None,
            binary: binary.to_owned(),
            arguments,
            log: directory.join("server.log"),
        };
        server.launch(b"conclave-bench-nothing")?;
        Ok(server)
    }

    /// The process; 0 while there is none.
    pub(crate) fn id(&self) -> u32 {
        self.process.as_ref().map_or(0, Process::id)
    }

    /// Starts the process and waits for its first answer to a linearizable get of `key`. Returns
    /// the time from the one to the other, and the answer.
    pub(crate) fn launch(&mut self, key: &[u8]) -> Result<(Duration, RangeResponse), Failure> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let begin = Instant::now();
        let mut command = Command::new(&self.binary);
        command.args(&self.arguments);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let process = Process::start(&mut command)
            .map_err(|error| Failure(format!("{}: {error}", self.binary.display())))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        loop {
            let error = match runtime.block_on(first_read(self.address, key)) {
                Ok(answer) => {
                    self.process = Some(process);
                    return Ok((begin.elapsed(), answer));
                }
                Err(error) => error,
            };
            if process.ended() || begin.elapsed() > PATIENCE {
                let tail = tail(&self.log);
                return Err(Failure(format!(
                    "{} did not start: {error}\n{tail}",
                    self.name
                )));
            }
            std::thread::sleep(POLL);
        }
    }

    /// Asks the process to end (SIGTERM) and waits until it has. Returns how long that took.
    pub(crate) fn stop(&mut self) -> Result<Duration, Failure> {
        let Some(process) = self.process.take() else {
            return Ok(Duration::ZERO);
        };
        let begin = Instant::now();
        // The standard library has no signal but SIGKILL. The id is that of a child not yet waited
        // for, so it cannot have passed to another process.
        let id = process.id().to_string();
        let status = Command::new("kill").args(["-TERM", &id]).status()?;
        if !status.success() {
            return Err(Failure(format!(
                "{}: could not be asked to stop",
                self.name
            )));
        }
        while !process.ended() {
            if begin.elapsed() > PATIENCE {
                return Err(Failure(format!("{} does not stop", self.name)));
            }
            std::thread::sleep(POLL);
        }
        Ok(begin.elapsed())
    }

    /// Kills the process (SIGKILL).
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }
}

async fn first_read(address: SocketAddr, key: &[u8]) -> Result<RangeResponse, Failure> {
    let wire = Wire::connect(address).await?;
    let request = RangeRequest {
        key: Bytes::copy_from_slice(key),
        ..Default::default()
    };
    let mut method = wire.method(path::RANGE)?;
    match tokio::time::timeout(PATIENCE, method.call(&request)).await {
        Ok(answer) => answer,
        Err(_) => Err(Failure::new("read: timeout")),
    }
}

/// A port that was free a moment ago. Asking the system and letting go again is a race, lost only
/// against a program that asks in between; the server then does not start, and says so.
fn free_address() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn arguments(name: &str, client: SocketAddr, peer: SocketAddr, data: &Path) -> Vec<String> {
    vec![
        format!("--name={name}"),
        format!("--data-dir={}", data.display()),
        format!("--listen-client-urls=http://{client}"),
        format!("--advertise-client-urls=http://{client}"),
        format!("--listen-peer-urls=http://{peer}"),
        format!("--initial-advertise-peer-urls=http://{peer}"),
        format!("--initial-cluster={name}=http://{peer}"),
        "--initial-cluster-token=conclave-bench".into(),
        "--initial-cluster-state=new".into(),
        format!("--quota-backend-bytes={QUOTA_BYTES}"),
        "--logger=zap".into(),
        "--log-level=warn".into(),
    ]
}

/// The first line of `--version`.
fn version(binary: &Path) -> Result<String, Failure> {
    let output = Command::new(binary)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Failure(format!("{}: {error}", binary.display())))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or("?").trim().to_owned())
}

fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let begin = text.len().saturating_sub(LOG_TAIL_BYTES);
    String::from_utf8_lossy(&text[begin..]).into_owned()
}
