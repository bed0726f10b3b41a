//! A real etcd, to check the tests against and to compare Conclave with.

use std::net::TcpListener;
use std::path::Path;

use tempfile::TempDir;

use crate::child::Child;

/// Where Debian installs it.
const ETCD: &str = "/usr/bin/etcd";
/// etcd cannot choose its own ports, so another process may take a port between our choice and its
/// start.
const ATTEMPTS: usize = 5;

/// A running etcd of one member.
#[derive(Debug)]
pub struct Etcd {
    child: Child,
    endpoint: String,
    dir: TempDir,
}

impl Etcd {
    /// Returns true if etcd is installed on this machine.
    pub fn is_installed() -> bool {
        Path::new(ETCD).exists()
    }

    /// Starts an etcd with these additional flags, and waits until it serves.
    pub fn start(flags: &[&str]) -> Self {
        for _ in 0..ATTEMPTS {
            let dir = tempfile::tempdir().expect("a temporary directory");
            let client = format!("http://127.0.0.1:{}", free_port());
            let peer = format!("http://127.0.0.1:{}", free_port());
            let mut arguments: Vec<String> = [
                (
                    "data-dir",
                    dir.path().to_str().expect("a temporary path is text"),
                ),
                ("listen-client-urls", &client),
                ("advertise-client-urls", &client),
                ("listen-peer-urls", &peer),
                ("initial-advertise-peer-urls", &peer),
                ("initial-cluster", &format!("default={peer}")),
                ("logger", "zap"),
                ("log-outputs", "stderr"),
            ]
            .iter()
            .map(|(flag, value)| format!("--{flag}={value}"))
            .collect();
            arguments.extend(flags.iter().map(|&flag| as_3_4_names_it(flag)));
            let mut child = Child::spawn(ETCD, &arguments, &[]);
            if child.line("serving client traffic").is_some() {
                return Self {
                    child,
                    endpoint: client,
                    dir,
                };
            }
            child.wait();
            let taken = child
                .lines()
                .iter()
                .any(|line| line.contains("address already in use"));
            assert!(taken, "etcd did not start: {:#?}", child.lines());
        }
        panic!("no free ports for etcd in {ATTEMPTS} attempts");
    }

    /// The client URL.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The process.
    pub fn child(&self) -> &Child {
        &self.child
    }

    /// The data directory.
    pub fn data_dir(&self) -> &Path {
        self.dir.path()
    }

    /// Kills the process.
    pub fn kill(&mut self) {
        self.child.kill();
    }
}

/// Translates a flag to its name before 3.6.
fn as_3_4_names_it(flag: &str) -> String {
    flag.replace(
        "--watch-progress-notify",
        "--experimental-watch-progress-notify",
    )
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener
        .local_addr()
        .expect("a bound socket has an address")
        .port()
}
