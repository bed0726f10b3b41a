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
    /// Starts a member on a fresh directory, with the configuration these flags make.
    pub async fn start(flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut arguments = own_place(dir.path(), "http://127.0.0.1:0");
        // The data does not outlive this process, so syncing the disk gains nothing.
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

    /// The client URL.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

impl Drop for Server {
    /// Waits until the server has stopped, since its directory is removed next. Every test thus
    /// covers a complete shutdown. The blocked thread is the test's; the server does not run on it.
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

/// Parses a command line into a configuration.
pub fn configuration(arguments: Vec<String>) -> Config {
    match config::parse(arguments, []) {
        Ok(Invocation::Run(config, _)) => *config,
        other => panic!("not a configuration to run with: {other:?}"),
    }
}
