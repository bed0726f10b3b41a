//! A link to one other member: the task that keeps a connection to it.
//!
//! The task dials the member's URLs in turn, says hello, and waits for the end of the stream that
//! it opened. Then it dials again: at once if the connection lasted, and after a pause if it did
//! not. The pause doubles, and has a random part so that members do not dial in step. The longest
//! pause is short, so that a member that comes back is connected before the next election. After
//! an answer from the wrong process the pause is always the longest. A connection that lasted for
//! a moment only counts as a failed attempt.
//!
//! After the member's URLs in the membership, the task dials the URLs that the member announces
//! when it opens a stream to this one: it may have moved while this member was down. Last are the
//! URLs that it had before they were changed. The Hello shows which member was reached in any case,
//! and a mistyped URL must not separate members: two members that cannot connect cannot agree on
//! the right URL either.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use conclave_proto::command::Member;
use conclave_proto::peer::IntroduceRequest;
use conclave_proto::peer::peer_client::PeerClient;
use conclave_storage::MemberId;

use super::dial::{DialError, Dialling, Transport};
use super::hello::{Stranger, says_removed};
use super::queue::Queue;
use super::{Common, probe, reason};
use crate::metrics::OfPeer;
use crate::start::join::has_started;
use conclave_core::clock::Moment;
use conclave_core::fatal::FatalError;
use conclave_core::log_once::LogOnce;
use conclave_core::peers::PeerEvent;

/// The first pause between two attempts.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// A connection shorter than this counts as a failed attempt, so the pauses are not reset.
pub(super) const CONNECTION_MIN: Duration = Duration::from_secs(1);
/// Members started together do not come up at the same instant. Until this long after our own
/// start, an unreachable peer is not worth a warning.
const STARTUP_GRACE: Duration = Duration::from_secs(5);
/// Former URLs of a member that are still dialled.
const FORMER_URLS_MAX: usize = 8;
/// The longest pause, unless half an election timeout is less.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// A link to one other member.
#[derive(Debug)]
pub(super) struct Link {
    id: MemberId,
    urls: Vec<String>,
    /// The URLs it had before, the latest first; none of `urls`.
    former_urls: Vec<String>,
    /// The URLs it announces in its Hello.
    announced_urls: Mutex<Vec<String>>,
    queue: Arc<Queue>,
    stats: Arc<OfPeer>,
    connected: Mutex<Option<Connected>>,
    ending: CancellationToken,
    /// Ends the snapshot that is being sent.
    snapshot: Mutex<Option<CancellationToken>>,
}

/// A connection to the member, from its Hello to its end.
#[derive(Clone, Debug)]
struct Connected {
    client: PeerClient<Transport>,
    since: Moment,
    url: String,
    /// The process that answered, if it did so at a URL the member has now.
    boot_id: Option<u64>,
}

impl Link {
    pub(super) fn new(
        id: MemberId,
        urls: Vec<String>,
        former: Option<&Link>,
        stats: Arc<OfPeer>,
        ending: CancellationToken,
    ) -> Link {
        let mut former_urls = former.map_or_else(Vec::new, |former| {
            let had = former.urls.iter().chain(&former.former_urls);
            had.cloned().collect()
        });
        former_urls.retain(|url| !urls.contains(url));
        former_urls.truncate(FORMER_URLS_MAX);
        Link {
            id,
            urls,
            former_urls,
            announced_urls: Mutex::default(),
            queue: Arc::new(Queue::new(Arc::clone(&stats))),
            stats,
            connected: Mutex::default(),
            ending,
            snapshot: Mutex::default(),
        }
    }

    pub(super) fn urls(&self) -> &[String] {
        &self.urls
    }

    /// Sets the URLs that the member announces, which may differ from those in the membership.
    pub(super) fn set_announced(&self, urls: Vec<String>) {
        *self.announced_urls.lock() = urls;
    }

    /// The URLs to dial, in this order; the last URL that worked comes first.
    fn dialled(&self, good: Option<&str>) -> Vec<String> {
        let mut dialled = self.urls.clone();
        let announced = self.announced_urls.lock();
        for url in announced.iter().chain(&self.former_urls) {
            if !dialled.contains(url) {
                dialled.push(url.clone());
            }
        }
        if let Some(at) = dialled.iter().position(|url| Some(url.as_str()) == good) {
            dialled.rotate_left(at);
        }
        dialled
    }

    /// Returns true if the membership lists this URL.
    fn is_current(&self, url: &str) -> bool {
        self.urls.iter().any(|current| current == url)
    }

    fn log_connected(&self, url: &str) {
        let member = self.id.to_string();
        if self.is_current(url) {
            tracing::info!(member, %url, "connected to a member");
        } else {
            let current = self.urls.join(",");
            let text = "connected to a member by a URL that the membership does not list";
            tracing::warn!(member, %url, current, "{text}");
        }
    }

    pub(super) fn queue(&self) -> &Queue {
        &self.queue
    }

    pub(super) fn client(&self) -> Option<PeerClient<Transport>> {
        let connected = self.connected.lock();
        connected.as_ref().map(|connected| connected.client.clone())
    }

    /// A client for the process that this link reaches, if that is not `boot_id`.
    pub(super) fn client_of_another(&self, boot_id: u64) -> Option<PeerClient<Transport>> {
        let connected = self.connected.lock();
        let is_another = |now: &&Connected| now.boot_id.is_some_and(|theirs| theirs != boot_id);
        let other = connected.as_ref().filter(is_another);
        other.map(|now| now.client.clone())
    }

    pub(super) fn connected_since(&self) -> Option<Moment> {
        self.connected
            .lock()
            .as_ref()
            .map(|connected| connected.since)
    }

    /// Ends the task and any snapshot that is being sent.
    pub(super) fn end(&self) {
        self.ending.cancel();
        self.queue.close();
    }

    /// Returns the right to send a snapshot, unless one is being sent.
    pub(super) fn snapshot_turn(self: &Arc<Self>) -> Option<SnapshotTurn> {
        let mut snapshot = self.snapshot.lock();
        if snapshot.is_some() {
            return None;
        }
        let ending = self.ending.child_token();
        *snapshot = Some(ending.clone());
        Some(SnapshotTurn {
            link: Arc::clone(self),
            ending,
        })
    }

    /// Ends the snapshot that is being sent, if there is one.
    pub(super) fn end_snapshot(&self) {
        if let Some(ending) = &*self.snapshot.lock() {
            ending.cancel();
        }
    }
}

/// The right to send a snapshot to a member; one at a time.
#[derive(Debug)]
pub(super) struct SnapshotTurn {
    link: Arc<Link>,
    ending: CancellationToken,
}

impl SnapshotTurn {
    /// The URL at which the member was reached and said hello, then its URLs in the membership.
    pub(super) fn urls(&self) -> Vec<String> {
        let connected = self.link.connected.lock();
        let mut urls: Vec<String> = connected.iter().map(|now| now.url.clone()).collect();
        for url in &self.link.urls {
            if !urls.contains(url) {
                urls.push(url.clone());
            }
        }
        urls
    }

    pub(super) fn ending(&self) -> &CancellationToken {
        &self.ending
    }

    pub(super) fn stats(&self) -> &OfPeer {
        &self.link.stats
    }
}

impl Drop for SnapshotTurn {
    fn drop(&mut self) {
        *self.link.snapshot.lock() = None;
    }
}

/// The reason why an attempt did not lead to a connection.
#[derive(Debug, thiserror::Error)]
enum NotConnected {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("{}", reason(.0))]
    Call(#[from] Status),
    #[error(transparent)]
    Stranger(#[from] Stranger),
    #[error("no answer within {0:?}")]
    Silence(Duration),
    #[error("it knows this member as one that has run, but this member has no data")]
    AlreadyStarted,
}

impl NotConnected {
    /// The error that ends this process, if the answer says that it must not run.
    fn end(&self, common: &Common) -> Option<FatalError> {
        match self {
            NotConnected::Call(status) => says_removed(status).then_some(FatalError::Removed),
            NotConnected::AlreadyStarted => Some(common.already_started.clone()),
            NotConnected::Dial(_) | NotConnected::Stranger(_) | NotConnected::Silence(_) => None,
        }
    }

    /// Returns true if the wrong process answered, which rarely changes soon.
    fn is_final(&self) -> bool {
        match self {
            NotConnected::Call(status) => status.code() == Code::FailedPrecondition,
            NotConnected::Stranger(_) | NotConnected::AlreadyStarted => true,
            NotConnected::Dial(_) | NotConnected::Silence(_) => false,
        }
    }

    /// Returns true if no process listens, as when a cluster starts.
    fn is_absence(&self) -> bool {
        matches!(
            self,
            NotConnected::Dial(DialError::Connect(_) | DialError::Timeout(_))
        )
    }
}

/// Keeps a connection to the member until the link ends.
pub(super) async fn run(link: Arc<Link>, common: Arc<Common>) {
    let ending = link.ending.clone();
    let keeping = common.fatal.guard("peer-link", keep(&link, &common));
    tokio::select! {
        () = keeping => {}
        () = ending.cancelled() => {}
    }
}

async fn keep(link: &Link, common: &Common) {
    let dialling = Dialling::of(common);
    let mut pauses = Pauses::new(common.settings.election_timeout);
    let log_once = LogOnce::default();
    let mut grace_ends = common.clock.now().after(STARTUP_GRACE);
    let mut good = None;
    loop {
        for url in &link.dialled(good.as_deref()) {
            let refused = match session(link, common, &dialling, url, &log_once).await {
                Err(refused) => refused,
                Ok(lasted) => {
                    (good, grace_ends) = (Some(url.clone()), common.clock.now());
                    if lasted >= CONNECTION_MIN {
                        pauses.reset();
                        log_once.forget_all();
                    }
                    break;
                }
            };
            if let Some(end) = refused.end(common) {
                common.fatal.report(end);
                return;
            }
            if refused.is_final() {
                pauses.lengthen();
            }
            let now = common.clock.now();
            if refused.is_absence() && now < grace_ends {
                continue;
            }
            let reason = refused.to_string();
            if log_once.is_new(&format!("{url} {reason}"), now) {
                let member = link.id.to_string();
                tracing::warn!(member, %url, reason, "cannot connect to a member");
            }
        }
        tokio::time::sleep(pauses.next()).await;
    }
}

/// Runs one connection, from dialling to its end. Returns how long it lasted after the Hello.
///
/// No raft message is sent before the other end has proved to be the member meant, and, while this
/// member is blank, that it does not know this member as one that has voted or acknowledged
/// entries. All raft messages to the member take this way.
async fn session(
    link: &Link,
    common: &Common,
    dialling: &Dialling,
    url: &str,
    log_once: &LogOnce,
) -> Result<Duration, NotConnected> {
    let connection = dialling.dial(url).await?;
    let mut client = connection.client();
    let identity = common.settings.identity();
    // Closes the queue on every way out, so that its frames end too.
    let disconnect = Disconnect { link, common };
    let frames = link.queue.start(common.stream_hello(link.id));
    let opening = async {
        let mut hellos = client.stream(frames).await?.into_inner();
        let hello = hellos.message().await?;
        Ok::<_, Status>((hello, hellos))
    };
    let (hello, mut hellos) = answered(opening, dialling.patience).await?;
    let hello = identity.check_answer(hello, link.id)?;
    if common.is_blank() {
        check_has_not_started(&mut client, common, dialling.patience).await?;
    }
    let since = common.clock.now();
    *link.connected.lock() = Some(Connected {
        client,
        since,
        url: url.to_owned(),
        boot_id: link.is_current(url).then_some(hello.boot_id),
    });
    link.stats.active.inc();
    link.queue.open();
    // Connections that end at once do not get a line each.
    let mut is_logged = log_once.is_new(&format!("connected by {url}"), since);
    if is_logged {
        link.log_connected(url);
    }
    let mut probing = std::pin::pin!(probe::run(&connection, url, &link.stats.round_trips));
    let ended = loop {
        tokio::select! {
            ended = hellos.message() => break ended,
            never = &mut probing => match never {},
            () = tokio::time::sleep(CONNECTION_MIN), if !is_logged => {
                link.log_connected(url);
                is_logged = true;
            }
        }
    };
    let reason = match ended {
        Ok(_) => "it closed the stream".to_owned(),
        Err(status) => reason(&status),
    };
    drop(disconnect);
    let member = link.id.to_string();
    let now = common.clock.now();
    let lasted = now.since(since);
    if lasted >= CONNECTION_MIN
        || log_once.is_new(&format!("disconnected from {url}: {reason}"), now)
    {
        tracing::warn!(member, %url, reason, "disconnected from a member");
    }
    Ok(lasted)
}

/// Asks a member whether it knows this one, which is blank, as a member that has run.
async fn check_has_not_started(
    client: &mut PeerClient<Transport>,
    common: &Common,
    patience: Duration,
) -> Result<(), NotConnected> {
    let asking = client.introduce(IntroduceRequest {});
    let introduction = answered(asking, patience).await?.into_inner();
    let own = common.settings.member_id;
    let knows = |member: &Member| MemberId(member.id) == own && has_started(member);
    // This member may have received entries since it asked.
    match introduction.members.iter().any(knows) && common.is_blank() {
        true => Err(NotConnected::AlreadyStarted),
        false => Ok(()),
    }
}

/// Returns the answer of the other end, if it arrives in time.
async fn answered<T>(
    asking: impl Future<Output = Result<T, Status>>,
    patience: Duration,
) -> Result<T, NotConnected> {
    let answer = tokio::time::timeout(patience, asking).await;
    Ok(answer.map_err(|_elapsed| NotConnected::Silence(patience))??)
}

/// Ends a connection when it is dropped: removes it from the link, and notifies the driver that
/// messages may be lost.
struct Disconnect<'a> {
    link: &'a Link,
    common: &'a Common,
}

impl Drop for Disconnect<'_> {
    fn drop(&mut self) {
        let stats = &self.link.stats;
        let was_connected = self.link.connected.lock().take().is_some();
        stats.active.sub(i64::from(was_connected));
        let was_open = self.link.queue.close();
        if self.link.ending.is_cancelled() {
            return;
        }
        stats.disconnected.inc_by(u64::from(was_connected));
        if was_open {
            self.common
                .inbox
                .deliver(PeerEvent::Unreachable(self.link.id));
        }
    }
}

/// The pauses between attempts.
struct Pauses {
    next: Duration,
    longest: Duration,
}

impl Pauses {
    fn new(election_timeout: Duration) -> Pauses {
        Pauses {
            next: PAUSE_MIN,
            longest: PAUSE_MAX.min(election_timeout / 2).max(PAUSE_MIN),
        }
    }

    fn reset(&mut self) {
        self.next = PAUSE_MIN;
    }

    fn lengthen(&mut self) {
        self.next = self.longest;
    }

    /// Returns the next pause, shortened at random to no less than half.
    fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        pause.mul_f64(0.5 + rand::random::<f64>() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut pauses = Pauses::new(Duration::from_millis(100));
        for expected_ms in [20, 40, 50, 50] {
            let pause = pauses.next();
            let expected = Duration::from_millis(expected_ms);
            assert!(pause >= expected / 2 && pause <= expected, "{pause:?}");
        }
        pauses.reset();
        assert!(pauses.next() <= PAUSE_MIN);
        pauses.lengthen();
        assert!(pauses.next() >= Duration::from_millis(25));
    }
}
