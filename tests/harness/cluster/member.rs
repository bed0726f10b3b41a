//! One process of a cluster, running or not.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::Backend;
use crate::child::Child;
use crate::cluster::ELECTION;
use crate::process::binary;
use crate::proxy::{Network, free_address, give_back};

/// Where Debian installs it.
const ETCD: &str = "/usr/bin/etcd";

/// A member of a cluster.
#[derive(Debug)]
pub struct Member {
    backend: Backend,
    number: usize,
    token: String,
    endpoint: String,
    /// The address it listens on for peers.
    listens: SocketAddr,
    /// The address it advertises to peers: the forwarder's.
    advertises: SocketAddr,
    /// `new` or `existing`, and the list of all members, once known.
    cluster: (&'static str, String),
    flags: Vec<String>,
    /// Flags of this member only.
    own_flags: Vec<String>,
    /// Command prefix that the program runs under.
    wrapper: Vec<String>,
    dir: TempDir,
    /// The data's location, if not `dir`.
    place: Option<PathBuf>,
    child: Option<Child>,
    paused: bool,
    removed: bool,
}

impl Member {
    /// A member that was never started, with its own addresses and directory.
    pub(super) fn new(
        backend: Backend,
        number: usize,
        token: &str,
        network: &Network,
        flags: &[String],
    ) -> Self {
        let listens = free_address();
        Self {
            backend,
            number,
            token: token.to_owned(),
            endpoint: format!("http://{}", free_address()),
            listens,
            advertises: network.forward(number, listens),
            cluster: ("new", String::new()),
            flags: flags.to_vec(),
            own_flags: Vec::new(),
            wrapper: Vec::new(),
            dir: tempfile::tempdir().expect("a temporary directory"),
            place: None,
            child: None,
            paused: false,
            removed: false,
        }
    }

    /// Its name: `m0`.
    pub fn name(&self) -> String {
        format!("m{}", self.number)
    }

    /// Replaces the flags of this member only, from its next start on.
    pub fn set_own_flags<T: ToString>(&mut self, flags: &[T]) {
        self.own_flags = flags.iter().map(ToString::to_string).collect();
    }

    /// Sets the command prefix that the program runs under, from its next start on.
    pub fn set_wrapper(&mut self, words: &[String]) {
        self.wrapper = words.to_vec();
    }

    /// Puts its data below this directory. It must not have data yet.
    pub fn set_place(&mut self, place: &Path) {
        self.place = Some(place.to_owned());
    }

    /// Its client URL.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The peer URL it advertises.
    pub fn peer_url(&self) -> String {
        format!("{}://{}", self.peer_scheme(), self.advertises)
    }

    /// The address it listens on for peers, behind the forwarder.
    pub fn peer_address(&self) -> SocketAddr {
        self.listens
    }

    /// Members that have a certificate use TLS with their peers.
    fn peer_scheme(&self) -> &'static str {
        let is_certificate = |flag: &String| flag.starts_with("--peer-cert-file=");
        match self.own_flags.iter().any(is_certificate) {
            true => "https",
            false => "http",
        }
    }

    /// This member as an entry of `--initial-cluster`.
    pub fn entry(&self) -> String {
        format!("{}={}", self.name(), self.peer_url())
    }

    /// Its data directory.
    pub fn data_dir(&self) -> PathBuf {
        let place = self.place.as_deref().unwrap_or(self.dir.path());
        place.join("data")
    }

    /// Gives it another peer address to advertise; returns the previous one.
    pub(super) fn readdress(&mut self, network: &Network) -> SocketAddr {
        let address = network.forward(self.number, self.listens);
        std::mem::replace(&mut self.advertises, address)
    }

    /// Makes it a founder of a cluster of these members.
    pub fn found(&mut self, all: &str) {
        self.cluster = ("new", all.to_owned());
    }

    /// Makes it join an existing cluster of these members.
    pub fn join(&mut self, all: &str) {
        self.cluster = ("existing", all.to_owned());
    }

    /// Sets the token of the cluster it starts in.
    pub fn set_token(&mut self, token: &str) {
        token.clone_into(&mut self.token);
    }

    /// Its process, running or ended.
    pub fn child(&mut self) -> &mut Child {
        self.child.as_mut().expect("the member was started")
    }

    /// Returns true if its process runs and is not suspended.
    pub fn is_alive(&self) -> bool {
        self.child.is_some() && !self.paused
    }

    /// Returns true if its process is suspended.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Returns true if it was removed from the membership.
    pub fn is_removed(&self) -> bool {
        self.removed
    }

    /// Starts the process; does not wait until it serves.
    pub fn spawn(&mut self, network: &Network) {
        let (program, arguments) = self.command();
        let program = program.to_str().expect("a path of ours is text").to_owned();
        let mut words = self.wrapper.clone();
        words.push(program);
        words.extend(arguments);
        let child = Child::spawn(&words[0], &words[1..], &[]);
        network.set_process(self.number, child.pid());
        self.child = Some(child);
        self.paused = false;
    }

    /// Waits until the process serves clients.
    pub fn expect_ready(&mut self) {
        let line = match self.backend {
            Backend::Etcd => "serving client traffic",
            Backend::Process | Backend::InProcess => "ready to serve client requests",
        };
        let name = self.name();
        let child = self.child();
        if child.line(line).is_none() {
            let status = child.wait();
            panic!("{name} did not start ({status}): {:#?}", child.lines());
        }
    }

    pub(super) fn kill(&mut self) {
        self.child().kill();
        self.forget_child();
    }

    pub(super) fn terminate(&mut self) {
        self.child().terminate();
        self.child().wait();
        self.forget_child();
    }

    pub(super) fn pause(&mut self) {
        self.child().signal("STOP");
        self.paused = true;
    }

    pub(super) fn resume(&mut self) {
        self.child().signal("CONT");
        self.paused = false;
    }

    pub(super) fn wipe(&mut self) {
        assert!(self.child.is_none(), "its process must have ended");
        // A member that refused to start may have no directory.
        if self.data_dir().exists() {
            fs::remove_dir_all(self.data_dir()).expect("its directory can be removed");
        }
    }

    pub(super) fn set_removed(&mut self) {
        self.removed = true;
    }

    fn forget_child(&mut self) {
        self.child = None;
        self.paused = false;
    }

    /// Program and arguments.
    pub fn command(&self) -> (PathBuf, Vec<String>) {
        let data_dir = self.data_dir();
        let data_dir = data_dir.to_str().expect("a temporary path is text");
        let (state, all) = &self.cluster;
        let mut arguments = vec![
            format!("--name={}", self.name()),
            format!("--data-dir={data_dir}"),
            format!("--listen-client-urls={}", self.endpoint),
            format!("--advertise-client-urls={}", self.endpoint),
            format!(
                "--listen-peer-urls={}://{}",
                self.peer_scheme(),
                self.listens
            ),
            format!("--initial-advertise-peer-urls={}", self.peer_url()),
            format!("--initial-cluster={all}"),
            format!("--initial-cluster-token={}", self.token),
            format!("--initial-cluster-state={state}"),
            format!("--heartbeat-interval={}", ELECTION.as_millis() / 10),
            format!("--election-timeout={}", ELECTION.as_millis()),
        ];
        // A flag that the test sets itself is left out here: not every server accepts it twice.
        let name = |argument: &str| argument.split('=').next().map(str::to_owned);
        let flags = self.flags.iter().chain(&self.own_flags);
        let said: Vec<_> = flags.clone().map(|flag| name(flag)).collect();
        arguments.retain(|argument| !said.contains(&name(argument)));
        if self.backend == Backend::Etcd {
            // etcd 3.4 needs a flag to log as later releases do, has no stable flag for the entries
            // it keeps below a snapshot (5,000), and does not pre-vote by default.
            arguments.extend(["--logger=zap", "--log-outputs=stderr"].map(str::to_owned));
            arguments.push("--pre-vote=true".to_owned());
            let known = |flag: &&String| !flag.starts_with("--snapshot-catchup-entries");
            arguments.extend(flags.filter(known).cloned());
            return (Path::new(ETCD).to_owned(), arguments);
        }
        arguments.push("--log-format=json".to_owned());
        arguments.extend(flags.cloned());
        (binary(), arguments)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // A suspended process does not react to signals, and its pipes would stay open.
        if let Some(child) = &mut self.child {
            child.kill();
        }
        give_back(self.listens);
        if let Ok(client) = self.endpoint.trim_start_matches("http://").parse() {
            give_back(client);
        }
    }
}
