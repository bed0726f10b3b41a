//! Server processes.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use conclave_client::{Client, Options};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::wait::until;

/// A member. It is killed when it is dropped.
pub(crate) struct Server {
    name: String,
    pub(crate) endpoint: String,
    peer: String,
    cluster: String,
    dir: TempDir,
    child: Child,
}

impl Server {
    /// One member that is ready.
    pub(crate) async fn start() -> Self {
        Self::cluster(1).await.remove(0)
    }

    /// Members that are ready.
    pub(crate) async fn cluster(count: usize) -> Vec<Self> {
        let ports = free_ports(2 * count);
        let url = |index: usize| format!("http://127.0.0.1:{}", ports[index]);
        let member = |index| format!("m{index}={}", url(count + index));
        let cluster = (0..count).map(member).collect::<Vec<_>>().join(",");
        let servers: Vec<Self> = (0..count)
            .map(|index| {
                let dir = tempfile::tempdir().unwrap();
                let (name, endpoint) = (format!("m{index}"), url(index));
                let child = run(&name, &endpoint, &url(count + index), &cluster, &dir);
                Self {
                    name,
                    endpoint,
                    peer: url(count + index),
                    cluster: cluster.clone(),
                    dir,
                    child,
                }
            })
            .collect();
        for server in &servers {
            server.ready().await;
        }
        servers
    }

    async fn ready(&self) {
        let client = self.client().await;
        until("a server that is ready", async || {
            client.get("ready").await.is_ok()
        })
        .await;
        client.close().await;
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect([&self.endpoint]).await.unwrap()
    }

    /// Stops the process, which keeps its connections and answers nothing.
    pub(crate) fn freeze(&self) {
        kill_process(self.pid(), Signal::STOP).unwrap();
    }

    pub(crate) fn thaw(&self) {
        kill_process(self.pid(), Signal::CONT).unwrap();
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) async fn restart(&mut self) {
        let (name, endpoint) = (&self.name, &self.endpoint);
        self.child = run(name, endpoint, &self.peer, &self.cluster, &self.dir);
        self.ready().await;
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client of all members.
pub(crate) async fn client_of(servers: &[Server]) -> Client {
    let endpoints = servers.iter().map(|server| &server.endpoint);
    Options::new()
        .deadline(Duration::from_secs(10))
        .connect(endpoints)
        .await
        .unwrap()
}

fn run(name: &str, endpoint: &str, peer: &str, cluster: &str, dir: &TempDir) -> Child {
    Command::new(binary())
        .args([
            format!("--name={name}"),
            format!("--data-dir={}", dir.path().display()),
            format!("--listen-client-urls={endpoint}"),
            format!("--advertise-client-urls={endpoint}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster={cluster}"),
            "--bcrypt-cost=4".to_owned(),
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The server's binary.
fn binary() -> PathBuf {
    if let Some(binary) = std::env::var_os("CONCLAVE_BIN") {
        return binary.into();
    }
    // Tests are in `deps`, beside it.
    let test = std::env::current_exe().unwrap();
    let built = test.parent().unwrap().parent().unwrap().join("conclave");
    assert!(built.exists(), "set CONCLAVE_BIN, or build {built:?}");
    built
}

fn free_ports(count: usize) -> Vec<u16> {
    let listeners: Vec<_> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    listeners.iter().map(port).collect()
}
