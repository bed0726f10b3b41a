//! Networks that talk to each other over loopback, on ports chosen by the system.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use conclave_proto::command::Member;
use conclave_proto::peer::Parcel;
use conclave_proto::peer::parcel::Content;

use super::*;
use crate::metrics::OfPeer;
use conclave_core::clock::SystemClock;
use conclave_core::peers::{PeerEvent, Peers};

mod crowds;
mod secure;
mod snapshots;
mod strangers;
mod streams;
mod unlisted;

const CLUSTER: u64 = 0xc1;

/// Capacity of the event queue before events are dropped, as in a driver's mailbox.
const EVENTS_MAX: usize = conclave_core::limits::PEER_MESSAGES_MAX;

/// Time limit, far longer than any test takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// One member: its network, its listener, and the events for its driver.
pub(super) struct Party {
    pub(super) id: u64,
    pub(super) network: Arc<Network>,
    pub(super) url: String,
    pub(super) events: mpsc::Receiver<PeerEvent>,
    pub(super) heard: Vec<PeerEvent>,
    pub(super) applied: Arc<AtomicU64>,
    pub(super) fatal: Fatal,
    pub(super) shutdown: CancellationToken,
    pub(super) dir: TempDir,
    serving: JoinHandle<io::Result<()>>,
}

/// A member's differences from the default.
#[derive(Clone, Default)]
pub(super) struct Odd {
    pub(super) cluster_id: Option<u64>,
    pub(super) boot_id: u64,
    pub(super) tls: Option<Arc<Tls>>,
    /// Members that it reports as removed.
    pub(super) removed: Vec<u64>,
}

/// Answers with its id and the removed members.
struct Echo(u64, Vec<u64>);

impl Answers for Echo {
    fn answer(&self, question: question::Question) -> BoxFuture<answer::Answer> {
        let answer = match question {
            question::Question::KeepAlive(id) => answer::Answer::KeepAlive(id + 1),
            other => answer::Answer::Error(format!("{other:?}")),
        };
        Box::pin(std::future::ready(answer))
    }

    fn introduce(&self) -> Introduction {
        Introduction {
            cluster_id: CLUSTER,
            member_id: self.0,
            members: vec![member(self.0, "")],
            removed: self.1.clone(),
            ..Introduction::default()
        }
    }
}

impl Party {
    pub(super) async fn start(id: u64) -> Party {
        Party::odd(id, "127.0.0.1:0", Odd::default()).await
    }

    pub(super) async fn odd(id: u64, address: &str, odd: Odd) -> Party {
        let listener = TcpListener::bind(address).await.expect("a port");
        let scheme = if odd.tls.is_some() { "https" } else { "http" };
        let port = listener.local_addr().expect("bound").port();
        let url = format!("{scheme}://localhost:{port}");
        let (deliver, events) = mpsc::channel(EVENTS_MAX);
        let applied = Arc::<AtomicU64>::default();
        let fatal = Fatal::new(CancellationToken::new());
        let dir = tempfile::tempdir().expect("a directory");
        let shutdown = CancellationToken::new();
        let network = Network::new(Parts {
            settings: Settings {
                cluster_id: ClusterId(odd.cluster_id.unwrap_or(CLUSTER)),
                member_id: MemberId(id),
                boot_id: odd.boot_id,
                election_timeout: Duration::from_secs(1),
                max_request_bytes: 1 << 20,
                peer_urls: vec![url.clone()],
                snapshot_bytes_per_second: SNAPSHOT_BYTES_PER_SECOND,
                snapshot_dir: dir.path().to_owned(),
                tls: odd.tls.clone(),
                local_address: None,
            },
            inbox: Inbox::new(move |event| deliver.try_send(event).is_ok()),
            clock: Arc::new(SystemClock::new()),
            applied: {
                let applied = Arc::clone(&applied);
                Arc::new(move || Index(applied.load(Ordering::Relaxed)))
            },
            stats: PeerStats::new(MemberId(id)).expect("distinct names").0,
            began_blank: false,
            already_started: FatalError::Process("this member has run before".to_owned()),
            fatal: fatal.clone(),
            runtime: runtime::Handle::current(),
            stopping: CancellationToken::new(),
        });
        let served = serve(
            listener,
            Arc::clone(&network),
            Arc::new(Echo(id, odd.removed)),
            odd.tls,
            shutdown.clone(),
        );
        Party {
            id,
            network,
            url,
            events,
            heard: Vec::new(),
            applied,
            fatal,
            shutdown,
            dir,
            serving: tokio::spawn(served),
        }
    }

    pub(super) fn address(&self) -> String {
        let port = self.url.rsplit(':').next().expect("a port");
        format!("127.0.0.1:{port}")
    }

    pub(super) fn member(&self) -> Member {
        member(self.id, &self.url)
    }

    /// Adds other members to this member's membership.
    pub(super) fn meet(&self, others: &[&Party]) {
        let mut members: Vec<Member> = others.iter().map(|other| other.member()).collect();
        members.push(self.member());
        self.network.set_members(&members, &[]);
    }

    /// This member's metrics of another.
    pub(super) fn stats(&self, of: u64) -> Arc<OfPeer> {
        self.network.stats(MemberId(of)).expect("it is a member")
    }

    pub(super) async fn connected(&self, to: u64) {
        until(|| self.network.connected_since(MemberId(to)).is_some()).await;
    }

    pub(super) fn send(&self, to: u64, text: &str) {
        self.network.send(MemberId(to), parcel(text));
    }

    /// The next event that `what` selects.
    pub(super) async fn hears<T>(&mut self, what: impl Fn(&PeerEvent) -> Option<T>) -> T {
        let waiting = async {
            loop {
                if let Some(at) = self.heard.iter().position(|heard| what(heard).is_some()) {
                    return what(&self.heard.remove(at)).expect("looked at");
                }
                let event = self.events.recv().await;
                self.heard.push(event.expect("the network lives"));
            }
        };
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .expect("an event in time")
    }

    pub(super) async fn hears_from(&mut self, from: u64) -> String {
        self.hears(|event| match event {
            PeerEvent::Parcel { from: f, parcel } if *f == MemberId(from) => text_of(parcel),
            _ => None,
        })
        .await
    }

    pub(super) async fn stop(self) -> TempDir {
        self.shutdown.cancel();
        self.network.stop().await;
        self.serving.await.expect("no panic").expect("no error");
        self.dir
    }
}

pub(super) fn member(id: u64, url: &str) -> Member {
    Member {
        id,
        peer_urls: vec![url.to_owned()],
        ..Member::default()
    }
}

pub(super) fn parcel(text: &str) -> Parcel {
    Parcel {
        content: Some(Content::Raft(text.to_owned().into())),
    }
}

fn text_of(parcel: &Parcel) -> Option<String> {
    match &parcel.content {
        Some(Content::Raft(bytes)) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    }
}

pub(super) async fn until(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .expect("the condition holds in time");
}
