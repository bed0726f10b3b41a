//! All that the code of an API sees of the server: propose, read, watch, leases, status.
//!
//! A [`Handle`] is cheap to clone and knows nothing of gRPC. Whatever a front needs of the member
//! goes through it, and nothing below it knows which front a command came from.
//!
//! # A proposal's four ends
//!
//! *Refused* before it reached the log: nothing happened, another member or a later attempt may do.
//! *Rejected* by the state machine: deterministic and final. *Unknown*: it is or was in the log,
//! and nobody can say yet whether it counts. And the reply. These are three variants of
//! [`ProposeError`] and one `Ok`, and there is no conversion from one to another.
//!
//! Calls of one task reach the log in the order they were made, as long as each is awaited up to
//! its first suspension, since [`Handle::propose`] puts the command into the mailbox before it
//! waits for anything.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio_util::sync::CancellationToken;

use conclave_proto::ApiError;
use conclave_proto::command::member_change::Change;
use conclave_proto::command::{Command, Header, MemberChange, command::Body};
use conclave_proto::etcdserverpb::ResponseHeader;
use conclave_storage::machine::{CommandKind, Rejected, Reply};
use conclave_storage::reader::Reader;
use conclave_storage::{Fault, LeaseId, Revision};

use crate::admission::Admission;
use crate::clock::{self, Clock, Moment, Stopwatch};
use crate::consensus::{Node, codec};
use crate::lease::{LeaseError, Leases, TakingBack};
use crate::limits;
use crate::long_reads::LongReads;
use crate::mailbox::{Control, Inspect, Mailbox};
use crate::observe::{Observation, Observer, RequestKind};
use crate::peers::Peers;
use crate::progress::Progress;
use crate::proposal::{Answer, Payload, Proposal, Slot};
use crate::proposer;
use crate::seed::Seed;
use crate::watch::Watches;

pub use crate::consensus::Standing;
pub use crate::lease::Remaining;
pub use crate::proposer::Settings;

/// A linearizable read that waits longer for its turn is counted as slow: etcd's measure.
const SLOW_READ: Duration = Duration::from_millis(500);

/// Why a proposal has no reply. See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProposeError {
    /// By the state machine: deterministic, final.
    Rejected(ApiError),
    /// Before the log: nothing happened.
    Refused(ApiError),
    /// It may or may not come to pass.
    Unknown(ApiError),
}

impl ProposeError {
    /// What the client is told; the difference between the three is in the code and text.
    pub fn api_error(self) -> ApiError {
        match self {
            ProposeError::Rejected(error)
            | ProposeError::Refused(error)
            | ProposeError::Unknown(error) => error,
        }
    }
}

impl fmt::Display for ProposeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (end, error) = match self {
            ProposeError::Rejected(error) => ("rejected", error),
            ProposeError::Refused(error) => ("refused", error),
            ProposeError::Unknown(error) => ("unknown", error),
        };
        write!(f, "{end}: {error}")
    }
}

impl std::error::Error for ProposeError {}

/// Why a linearizable read may not look: no leader answered in time, too many wait, the server
/// stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadRefused(pub ApiError);

/// Who this member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's id.
    pub cluster_id: u64,
    /// This member's id.
    pub member_id: u64,
}

/// What `Maintenance.Status`, health and metrics ask for, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The leader this member follows, or itself; 0 for none.
    pub leader: u64,
    /// Whether this member leads.
    pub is_leader: bool,
    /// Whether this member is a learner.
    pub is_learner: bool,
    /// Raft's term.
    pub term: u64,
    /// The last log index known to be committed.
    pub committed_index: u64,
    /// The last log index applied here.
    pub applied_index: u64,
    /// Leaders seen since the start, for the metrics.
    pub leader_changes: u64,
    /// Commands between admission and reply.
    pub proposals_in_flight: usize,
}

/// See the module.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) identity: Identity,
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) leases: Leases,
    pub(crate) reader: Reader,
    pub(crate) reads: LongReads,
    /// One at a time; see [`Handle::reclaim`].
    pub(crate) reclaim_turn: Arc<Semaphore>,
    pub(crate) watches: Watches,
    pub(crate) peers: Arc<dyn Peers>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) seed: Arc<dyn Seed>,
    pub(crate) stopping: CancellationToken,
}

impl Handle {
    pub(crate) fn new(shared: Shared) -> Handle {
        Handle {
            shared: Arc::new(shared),
        }
    }

    /// Puts a command into the log and waits for its outcome, up to [`Settings::request_timeout`].
    /// Fills the headers: the command's, and that of the reply. A lease grant gets its id and least
    /// TTL here, since neither may be chosen by the state machine.
    pub async fn propose(&self, body: Body) -> Result<Reply, ProposeError> {
        let kind = RequestKind::Command(CommandKind::of(&body));
        let begun = Stopwatch::start();
        let body = proposer::prepare(body, &self.shared.settings, &*self.shared.seed);
        let result = if let Err(error) = self.check_quota(&body) {
            self.raise_no_space().await;
            Err(ProposeError::Refused(error))
        } else {
            self.propose_prepared(body).await
        };
        let is_decided = matches!(result, Ok(_) | Err(ProposeError::Rejected(_)));
        self.observe(Observation::Request {
            kind,
            is_decided,
            took: begun.elapsed(),
        });
        if !is_decided {
            self.observe(Observation::ProposalFailed);
        }
        result
    }

    /// [`Handle::propose`] without the quota: for what must work when space is short.
    pub async fn propose_prepared(&self, body: Body) -> Result<Reply, ProposeError> {
        let waiting = self.enqueue(body).map_err(ProposeError::Refused)?;
        self.outcome(waiting).await
    }

    /// Proposes a membership change and waits until it is made.
    pub async fn propose_change(&self, change: Change) -> Result<Reply, ProposeError> {
        let waiting = self.enqueue_change(change);
        self.outcome(waiting.map_err(ProposeError::Refused)?).await
    }

    pub(crate) async fn outcome(
        &self,
        waiting: oneshot::Receiver<Answer>,
    ) -> Result<Reply, ProposeError> {
        let begun = self.shared.clock.now();
        match self.in_time(waiting).await {
            Some(Ok(Answer::Outcome(Ok(mut reply)))) => {
                proposer::fill_header(&mut reply, |header| self.fill(header));
                Ok(reply)
            }
            Some(Ok(Answer::Outcome(Err(Rejected(error))))) => Err(ProposeError::Rejected(error)),
            Some(Ok(Answer::Refused(error))) => Err(ProposeError::Refused(error)),
            Some(Ok(Answer::Lost(error))) => Err(ProposeError::Unknown(error)),
            // The slot was dropped: a fault, or the stop came between log and reply.
            Some(Err(_)) => Err(ProposeError::Unknown(ApiError::Stopped)),
            None => Err(ProposeError::Unknown(self.why_late(begun))),
        }
    }

    /// The output of `future`, unless a request's time is up before.
    async fn in_time<F: Future>(&self, future: F) -> Option<F::Output> {
        let limit = self.shared.settings.request_timeout;
        clock::timeout(&*self.shared.clock, limit, future).await
    }

    /// What etcd would say of a command proposed at `begun` that has had no answer.
    fn why_late(&self, begun: Moment) -> ApiError {
        let (standing, elected) = self.shared.progress.leader_since();
        let elections = self.shared.settings.request_timeout - limits::REQUEST_TIMEOUT_BASE;
        if begun < elected && elected.since(begun) < elections {
            return ApiError::TimeoutDueToLeaderFail;
        }
        let connected = self.shared.peers.connected_since(standing.leader);
        let is_other = standing.leader != 0 && !standing.is_leader;
        if is_other && connected.is_none_or(|since| since > begun) {
            return ApiError::TimeoutDueToConnectionLost;
        }
        ApiError::Timeout
    }

    /// Returns when a view taken from now on includes everything acknowledged anywhere before the
    /// call.
    pub async fn linearize(&self) -> Result<(), ReadRefused> {
        if self.shared.progress.may_read_at_once() {
            return Ok(());
        }
        let begun = Stopwatch::start();
        let result = self.ask_for_turn().await;
        if begun.elapsed() > SLOW_READ {
            self.observe(Observation::SlowRead);
        }
        if result.is_err() {
            self.observe(Observation::ReadFailed);
        }
        result
    }

    async fn ask_for_turn(&self) -> Result<(), ReadRefused> {
        let round_trip = async {
            let (slot, index) = oneshot::channel();
            self.shared.mailbox.read(slot)?;
            let index = index.await.map_err(|_| ApiError::Stopped)??;
            self.shared.progress.applied_through(index).await;
            Ok(())
        };
        tokio::select! {
        biased;
            result = self.in_time(round_trip) => {
                result.unwrap_or(Err(ApiError::Timeout)).map_err(ReadRefused)
            }
            () = self.shared.stopping.cancelled() => Err(ReadRefused(ApiError::Stopped)),
        }
    }

    /// The read side of the state.
    pub fn reader(&self) -> &Reader {
        &self.shared.reader
    }

    /// Reads that may be long.
    pub fn reads(&self) -> &LongReads {
        &self.shared.reads
    }

    /// The watchers' side.
    pub fn watches(&self) -> &Watches {
        &self.shared.watches
    }

    /// Leases as only the leader knows them: how much time they have left.
    pub fn leases(&self) -> &Leases {
        &self.shared.leases
    }

    /// Renews a lease: its full length, in seconds, from now on. `None` if there is no such lease
    /// or it has ended, which is the same to the client: a TTL of 0. Only the leader can.
    pub async fn keep_alive(&self, id: LeaseId) -> Result<Option<i64>, LeaseError> {
        let renewed = self.shared.leases.renew(id, |body| self.enqueue(body))?;
        if let Some(taking_back) = renewed.taking_back {
            let TakingBack { number, waiting } = taking_back;
            match self.outcome(waiting.map_err(LeaseError::Refused)?).await {
                Ok(Reply::LeaseCheckpoint(true)) => self.shared.leases.taken_back(id, number),
                // Another term: the renewal is asked of the leader that is now.
                Ok(_) => return Err(LeaseError::Refused(ApiError::NotLeader)),
                Err(error) => return Err(LeaseError::Refused(error.api_error())),
            }
        }
        Ok(renewed.ttl_seconds)
    }

    /// This member and its cluster.
    pub fn identity(&self) -> Identity {
        self.shared.identity
    }

    /// The limits a request is checked against before it is proposed.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// The clock, for fronts that need one (progress notifications, tokens).
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.clock
    }

    /// A reply's header at a revision.
    pub fn header(&self, revision: Revision) -> ResponseHeader {
        let mut header = ResponseHeader {
            revision: revision.0,
            ..Default::default()
        };
        self.fill(&mut header);
        header
    }

    /// Where the member stands now.
    pub fn status(&self) -> Status {
        let standing = self.shared.progress.standing();
        Status {
            leader: standing.leader,
            is_leader: standing.is_leader,
            is_learner: standing.is_learner,
            term: standing.term,
            committed_index: self.shared.progress.committed(),
            applied_index: self.shared.reader.applied().index,
            leader_changes: self.shared.progress.leader_changes(),
            proposals_in_flight: self.shared.admission.commands(),
        }
    }

    /// Changes of leader and term, for streams that must end when there is no leader.
    pub fn standings(&self) -> watch::Receiver<Standing> {
        self.shared.progress.standings()
    }

    /// Waits until the state has the log entry with this index.
    pub async fn applied_through(&self, index: u64) {
        self.shared.progress.applied_through(index).await;
    }

    /// Returns when the physical part of the compaction at `revision` is done, or the server stops.
    pub async fn wait_compaction(&self, revision: Revision) -> Result<(), ReadRefused> {
        let mut steps = self.shared.progress.compactions();
        while self.shared.reader.compaction_finished() < revision {
            tokio::select! {
            biased;
                    _ = steps.changed() => {}
                    () = self.shared.stopping.cancelled() => {
                        return Err(ReadRefused(ApiError::Stopped));
                    }
                }
        }
        Ok(())
    }

    /// Reclaims the space of deleted keys (`Maintenance.Defragment`). Reads and writes go on. Calls
    /// that come meanwhile wait: each would take a thread to wait for the same engine.
    pub async fn reclaim(&self) -> Result<(), Fault> {
        let turn = Arc::clone(&self.shared.reclaim_turn).acquire_owned().await;
        let turn = turn.expect("the semaphore is never closed");
        let engine = self.shared.reader.engine();
        let begun = self.shared.clock.now();
        self.observe(Observation::ReclaimBegun);
        let stopwatch = Stopwatch::start();
        tracing::info!("the space of deleted keys is reclaimed");
        let reclaim = move || {
            // Ends with the work, also if the client has gone meanwhile.
            let _turn = turn;
            engine.reclaim()
        };
        let reclaimed = tokio::task::spawn_blocking(reclaim)
            .await
            .expect("reclaiming does not panic, and blocking tasks are not cancelled once running");
        self.observe(Observation::ReclaimEnded(stopwatch.elapsed()));
        let took_ms = self.shared.clock.now().since(begun).as_millis() as u64;
        reclaimed.inspect(|()| {
            tracing::info!(took_ms, "the space of deleted keys has been reclaimed");
        })
    }

    /// Reports to the observer.
    pub(crate) fn observe(&self, observation: Observation<'_>) {
        self.shared.observer.observe(observation);
    }

    /// The other members.
    pub fn peers(&self) -> &Arc<dyn Peers> {
        &self.shared.peers
    }

    /// Hands leadership to this voter, or to whoever is best placed. Returns when it leads.
    pub async fn transfer_leadership(&self, to: Option<u64>) -> Result<(), ApiError> {
        let (done, outcome) = oneshot::channel();
        self.shared.mailbox.control(Control::Transfer { to, done });
        self.in_time(outcome)
            .await
            .ok_or(ApiError::Timeout)?
            .map_err(|_| ApiError::Stopped)?
    }

    /// Looks at the consensus.
    pub async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Node) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let (found, answer) = oneshot::channel();
        let look = Inspect::new(move |node| {
            // Nobody listening is nobody's loss.
            let _ = found.send(look(node));
        });
        self.shared.mailbox.control(Control::Inspect(look));
        answer.await.map_err(|_| ApiError::Stopped)
    }

    /// Cancelled when the server begins to stop.
    pub fn stopping(&self) -> &CancellationToken {
        &self.shared.stopping
    }

    /// Encodes, asks for admission, puts into the mailbox. Does not wait.
    pub(crate) fn enqueue(&self, body: Body) -> Result<oneshot::Receiver<Answer>, ApiError> {
        self.submit(|header| {
            let command = Command {
                header: Some(header),
                body: Some(body),
            };
            if command.encoded_len() > self.shared.settings.max_request_bytes {
                return Err(ApiError::RequestTooLarge);
            }
            let framed = codec::frame(&command);
            let bytes = framed.len();
            Ok((Payload::Command(framed), bytes))
        })
    }

    fn enqueue_change(&self, change: Change) -> Result<oneshot::Receiver<Answer>, ApiError> {
        self.submit(|header| {
            let change = MemberChange {
                header: Some(header),
                change: Some(change),
            };
            let bytes = change.encoded_len();
            Ok((Payload::Change(Box::new(change)), bytes))
        })
    }

    /// `payload` makes what is proposed of its header, and says its size in bytes.
    fn submit(
        &self,
        payload: impl FnOnce(Header) -> Result<(Payload, usize), ApiError>,
    ) -> Result<oneshot::Receiver<Answer>, ApiError> {
        let shared = &self.shared;
        if shared.stopping.is_cancelled() {
            return Err(ApiError::Stopped);
        }
        let request_id = shared.admission.next_request_id();
        let (payload, bytes) = payload(Header {
            request_id,
            member_id: shared.identity.member_id,
            wall_time_ms: shared.clock.wall_ms(),
            ..Header::default()
        })?;
        let permit = shared.admission.admit(bytes);
        let permit = permit.ok_or(ApiError::RequestTooManyRequests)?;
        let (reply, waiting) = oneshot::channel();
        let slot = Some(Slot::new(request_id, reply, permit));
        let proposed = shared.mailbox.propose(Proposal { payload, slot });
        proposed.map_err(|_| ApiError::Stopped)?;
        Ok(waiting)
    }

    fn check_quota(&self, body: &Body) -> Result<(), ApiError> {
        let Some(quota) = self.shared.settings.quota_bytes else {
            return Ok(());
        };
        let cost = proposer::quota_cost(body);
        if cost > 0 && self.shared.reader.logical_size().saturating_add(cost) >= quota {
            return Err(ApiError::NoSpace);
        }
        Ok(())
    }

    /// Raises the NOSPACE alarm for this member, unless it is raised or on its way.
    async fn raise_no_space(&self) {
        let member_id = self.shared.identity.member_id;
        if !proposer::has_no_space_alarm(&self.shared.reader, member_id)
            && let Some(_turn) = self.shared.admission.alarm_turn()
        {
            tracing::warn!(
                quota_bytes = self.shared.settings.quota_bytes,
                "the storage quota is used up: writes are refused until space is freed and the \
                 alarm is disarmed"
            );
            if let Err(error) = self
                .propose_prepared(proposer::no_space_alarm(member_id))
                .await
            {
                tracing::warn!(%error, "could not raise the alarm NOSPACE; the next write will");
            }
        }
    }

    fn fill(&self, header: &mut ResponseHeader) {
        header.cluster_id = self.shared.identity.cluster_id;
        header.member_id = self.shared.identity.member_id;
        header.raft_term = self.shared.progress.standing().term;
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("identity", &self.shared.identity)
            .finish_non_exhaustive()
    }
}

/// How long a request may take, all told: etcd's rule.
pub fn request_timeout(election_timeout: Duration) -> Duration {
    crate::limits::REQUEST_TIMEOUT_BASE + 2 * election_timeout
}
