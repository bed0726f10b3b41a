//! A cluster of Conclaves inside the test's own process, to debug and to inspect.

use std::net::SocketAddr;

use tempfile::TempDir;
use tonic::transport::Channel;

use crate::cluster::all;
use crate::node::connect;
use crate::proxy::free_address;
use crate::server::configuration;
use crate::wait::DEADLINE;
use crate::within;

/// Members that run in this process until they are dropped.
#[derive(Debug)]
pub struct Servers {
    servers: Vec<conclave_service::Server>,
    _dirs: Vec<TempDir>,
}

impl Servers {
    /// Starts `size` members with these additional flags, and waits until all serve.
    pub async fn start(size: usize, flags: &[&str]) -> Self {
        let dirs: Vec<_> = (0..size)
            .map(|_| tempfile::tempdir().expect("a temporary directory"))
            .collect();
        let peers: Vec<_> = (0..size).map(|_| free_address()).collect();
        let started = dirs.iter().enumerate().map(|(number, dir)| {
            let arguments = arguments(number, dir, &peers, flags);
            conclave_service::Server::start(configuration(arguments))
        });
        let mut servers = Vec::new();
        for server in within("the members to start", all(started)).await {
            servers.push(server.expect("a member with a fresh directory starts"));
        }
        let ready = servers.iter().map(conclave_service::Server::ready);
        within("the members to be ready", all(ready)).await;
        Self {
            servers,
            _dirs: dirs,
        }
    }

    /// The client URL of a member.
    pub fn endpoint(&self, number: usize) -> String {
        format!("http://{}", self.servers[number].client_addresses()[0])
    }

    /// A new connection to a member.
    pub fn channel(&self, number: usize) -> Channel {
        connect(&self.endpoint(number))
    }

    /// Stops all members and waits until they have, each without an error.
    pub async fn stop(self) {
        let stopped = self
            .servers
            .into_iter()
            .map(conclave_service::Server::shutdown);
        let outcomes = tokio::time::timeout(DEADLINE, all(stopped)).await;
        for outcome in outcomes.expect("members stop in time") {
            outcome.expect("a healthy member stops without an error");
        }
    }
}

fn arguments(number: usize, dir: &TempDir, peers: &[SocketAddr], flags: &[&str]) -> Vec<String> {
    let entry = |(number, peer): (usize, &SocketAddr)| format!("m{number}=http://{peer}");
    let cluster: Vec<_> = peers.iter().enumerate().map(entry).collect();
    let peer = format!("http://{}", peers[number]);
    let data_dir = dir.path().to_str().expect("a temporary path is text");
    let mut arguments = vec![
        format!("--name=m{number}"),
        format!("--data-dir={data_dir}"),
        "--listen-client-urls=http://127.0.0.1:0".to_owned(),
        "--advertise-client-urls=http://127.0.0.1:0".to_owned(),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster={}", cluster.join(",")),
        "--log-format=json".to_owned(),
        // The data does not outlive this process, so syncing the disk gains nothing.
        "--unsafe-no-fsync".to_owned(),
    ];
    arguments.extend(flags.iter().map(|&flag| flag.to_owned()));
    arguments
}
