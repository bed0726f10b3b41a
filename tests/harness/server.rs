//! Conclave in the test's own process.

use std::sync::mpsc;

use conclave_service::config::{self, Config, Invocation};
use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::process::own_place;
use crate::wait::DEADLINE;
use crate::within;

/// A member that runs in this process until it is dropped.
#[derive(Debug)]
pub struct Server {
    /// `None` once it is being dropped.
    server: Option<conclave_service::Server>,
    endpoint: String,
    _dir: TempDir,
}

impl Server {
    /// Starts one on a fresh directory, with the configuration these flags make.
    pub async fn start(flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut arguments = own_place(dir.path(), "http://127.0.0.1:0");
        // Nothing in this process survives it, so nothing is gained by waiting for the disk.
        arguments.push("--unsafe-no-fsync".to_owned());
        arguments.extend(flags.iter().map(|&flag| flag.to_owned()));
        let server = conclave_service::Server::start(configuration(arguments))
            .await
            .expect("a member with a fresh directory starts");
        within("the server to be ready", server.ready()).await;
        let endpoint = format!("http://{}", server.client_addresses()[0]);
        Self {
            server: Some(server),
            endpoint,
            _dir: dir,
        }
    }

    /// Where clients connect.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

impl Drop for Server {
    /// Waits until it has stopped: its directory goes next, and every test sees a whole life this
    /// way. The thread that is kept waiting is the test's, not one the server runs on.
    fn drop(&mut self) {
        let Some(server) = self.server.take() else {
            return;
        };
        let (stopped, waiting) = mpsc::channel();
        Handle::current().spawn(async move { stopped.send(server.shutdown().await) });
        let outcome = waiting.recv_timeout(DEADLINE);
        if !std::thread::panicking() {
            outcome
                .expect("a member stops in time")
                .expect("a healthy member stops without an error");
        }
    }
}

/// The configuration of a command line.
pub fn configuration(arguments: Vec<String>) -> Config {
    match config::parse(arguments, []) {
        Ok(Invocation::Run(config, _)) => *config,
        other => panic!("not a configuration to run with: {other:?}"),
    }
}
