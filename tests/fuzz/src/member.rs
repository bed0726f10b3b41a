//! A running member under test: the whole server, with a disk and sockets, in this process.
//!
//! It processes many inputs and is restarted, on a fresh directory, at the end of its life or when
//! an input has left it in a state in which further inputs would test little (without a majority).
//! After each input it must answer. Occasionally its disk is copied, as a kill would leave it, and
//! a second member started on the copy must come to the same state.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use conclave_core::handle::ProposeError;
use conclave_proto::etcdserverpb::PutRequest;
use conclave_service::{FatalError, Handle, Server};
use conclave_storage::reader::Reader;
use conclave_storage::{Index, Revision};
use harness::proxy::free_address;
use harness::server::configuration;
use harness::{eventually, within};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::panics;

/// The cluster that the member is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cluster {
    /// A cluster of one.
    Sole,
    /// A cluster of three, in which the input plays the other two members.
    OfThree,
}

/// A member with its own runtime.
#[derive(Debug)]
pub struct Member {
    runtime: Runtime,
    running: Option<Running>,
    cluster: Cluster,
    /// The peer addresses of the member, in all its lives, and of a second member on a copy of its
    /// disk. They are reused, since a long run has more lives than there are ports.
    peer_addresses: [String; 2],
}

/// A member between two renewals.
#[derive(Debug)]
struct Running {
    server: Server,
    dir: TempDir,
}

impl Member {
    /// Starts a member on a fresh directory.
    pub fn start(cluster: Cluster) -> Self {
        panics::watch();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime needs nothing but memory and threads");
        let peer_addresses = [free_address().to_string(), free_address().to_string()];
        let running = runtime.block_on(Running::begin(cluster, &peer_addresses[0]));
        Self {
            runtime,
            running: Some(running),
            cluster,
            peer_addresses,
        }
    }

    /// Starts the member again on another fresh directory.
    pub fn renew(&mut self) {
        self.stop();
        let begin = Running::begin(self.cluster, &self.peer_addresses[0]);
        self.running = Some(self.runtime.block_on(begin));
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("it runs until it is dropped")
    }

    /// Runs a client's future.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// The handle of its core.
    pub fn handle(&self) -> &Handle {
        self.running().server.handle()
    }

    /// Its client address: `host:port`.
    pub fn client_address(&self) -> String {
        self.running().server.client_addresses()[0].to_string()
    }

    /// Its peer address: `host:port`.
    pub fn peer_address(&self) -> String {
        self.peer_addresses[0].clone()
    }

    /// The result of the member's run; `None` while it runs.
    pub fn ended(&self) -> Option<Result<(), FatalError>> {
        let stopped = self.running().server.stopped();
        self.block_on(async { tokio::time::timeout(Duration::ZERO, stopped).await.ok() })
    }

    /// Panics unless the member runs and answers: its driver and, on a leader, its state machine.
    pub fn check_alive(&self) {
        panics::none_since();
        let ended = self.ended();
        assert!(ended.is_none(), "the member has ended: {ended:?}");
        let handle = self.handle();
        if self.cluster == Cluster::OfThree {
            // A follower's driver refuses it; a leader's does or refuses it.
            let asked = handle.transfer_leadership(None);
            let _ = self.block_on(within("an answer of the driver", asked));
            return panics::none_since();
        }
        let put = PutRequest {
            key: Bytes::from_static(b"alive"),
            ..PutRequest::default()
        };
        let answer = self.block_on(within("an answer to a put", handle.propose(put)));
        assert!(
            matches!(answer, Ok(_) | Err(ProposeError::Rejected(_))),
            "the member does not serve: {answer:?}"
        );
        panics::none_since();
    }

    /// [`Member::check_alive`] for a member that may be ending: its driver answers, or has ended.
    pub fn check_alive_or_ending(&self) {
        panics::none_since();
        let asked = self.handle().transfer_leadership(None);
        let _ = self.block_on(within("an answer of the driver", asked));
        panics::none_since();
    }

    /// The result of the member's run. Panics if it does not end within `limit`.
    pub fn end(&self, limit: Duration) -> Result<(), FatalError> {
        let stopped = self.running().server.stopped();
        let stopped = self.block_on(async { tokio::time::timeout(limit, stopped).await });
        stopped.expect("a member that is stopping stops")
    }

    /// Returns true if this member decides alone; otherwise it waits for members that do not exist.
    pub fn is_sole_voter(&self) -> bool {
        let members = self.handle().reader().members();
        members.iter().filter(|member| !member.is_learner).count() == 1
    }

    /// Panics unless a member started on the files a kill would leave comes to the same state.
    pub fn check_replay(&self) {
        let (image, before) = self.block_on(self.running().image());
        self.block_on(async {
            let twin = start(image.path(), self.cluster, &self.peer_addresses[1]).await;
            let reader = twin.handle().reader().clone();
            let applied = before.index;
            eventually("the log to be applied again", || {
                let index = reader.applied().index;
                async move { (index >= applied).then_some(()) }
            })
            .await;
            before.compare(&reader);
            drop(reader);
            let stopped = within("the second member to stop", twin.shutdown()).await;
            stopped.expect("it stops without a fault");
        });
        panics::none_since();
    }

    fn stop(&mut self) {
        let Some(Running { server, dir, .. }) = self.running.take() else {
            return;
        };
        let stopped = self.runtime.block_on(async {
            tokio::time::timeout(harness::wait::DEADLINE, server.shutdown()).await
        });
        drop(dir);
        if !std::thread::panicking() {
            let _ = stopped.expect("a member stops in time");
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Running {
    async fn begin(cluster: Cluster, peer_address: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let server = start(dir.path(), cluster, peer_address).await;
        Self { server, dir }
    }

    /// Copies the directory as a kill at this instant would leave it; returns it with the matching
    /// state.
    async fn image(&self) -> (TempDir, State) {
        let reader = self.server.handle().reader();
        eventually("a moment at which nothing is written", || async {
            let before = State::of(reader);
            let files = listing(self.dir.path());
            let image = tempfile::tempdir().expect("a temporary directory");
            copy(self.dir.path(), image.path())?;
            let is_still = before == State::of(reader) && files == listing(self.dir.path());
            is_still.then_some((image, before))
        })
        .await
    }
}

/// Starts a member on a directory and waits until it serves, or, in a cluster of three, until it
/// runs.
async fn start(dir: &Path, cluster: Cluster, peer_address: &str) -> Server {
    let dir = dir.to_str().expect("a temporary path is text");
    let peer = format!("http://{peer_address}");
    let mut members = vec![format!("m1={peer}")];
    if cluster == Cluster::OfThree {
        // No process listens there.
        members.extend((2..=3).map(|number| format!("m{number}=http://127.0.0.1:{number}")));
    }
    let server = Server::start(configuration(vec![
        "--name=m1".to_owned(),
        format!("--data-dir={dir}"),
        "--listen-client-urls=http://127.0.0.1:0".to_owned(),
        "--advertise-client-urls=http://127.0.0.1:0".to_owned(),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster={}", members.join(",")),
        // The data does not outlive this process, so syncing the disk gains nothing.
        "--unsafe-no-fsync".to_owned(),
    ]))
    .await
    .expect("a member starts");
    if cluster == Cluster::Sole {
        within("the member to be ready", server.ready()).await;
    }
    server
}

/// The state that must be the same after a replay.
#[derive(Clone, Debug, PartialEq)]
struct State {
    index: Index,
    revision: Revision,
    compacted: Revision,
    hash: u32,
    members: Vec<conclave_proto::command::Member>,
    alarms: Vec<conclave_proto::etcdserverpb::AlarmMember>,
}

impl State {
    fn of(reader: &Reader) -> Self {
        let applied = reader.applied();
        Self {
            index: applied.index,
            revision: applied.revision,
            compacted: applied.compacted,
            hash: reader.hash_kv(0).expect("the state can be read").hash,
            members: reader.members(),
            alarms: reader.alarms(),
        }
    }

    /// Compares, allowing for entries added by the start and for leases expired since.
    fn compare(&self, after: &Reader) {
        let revision = self.revision.0.max(self.compacted.0);
        let hash = after.hash_kv(revision).map(|hash| hash.hash);
        assert_eq!(hash, Ok(self.hash), "the history after a kill");
        assert_eq!(after.applied().compacted, self.compacted);
        assert_eq!(after.members(), self.members, "the members after a kill");
        assert_eq!(after.alarms(), self.alarms, "the alarms after a kill");
    }
}

/// Every file below a folder, with its size.
fn listing(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(listing(&path));
        } else {
            files.push((path, entry.metadata().map_or(0, |data| data.len())));
        }
    }
    files.sort();
    files
}

/// Copies a folder's files. Returns `None` if a file is removed meanwhile.
fn copy(from: &Path, to: &Path) -> Option<()> {
    for entry in fs::read_dir(from).ok()? {
        let path = entry.ok()?.path();
        let copied = to.join(path.file_name()?);
        if path.is_dir() {
            fs::create_dir_all(&copied).ok()?;
            copy(&path, &copied)?;
        } else {
            fs::copy(&path, &copied).ok()?;
        }
    }
    Some(())
}
