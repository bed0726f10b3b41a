//! The server's interface for API front ends: propose, read, watch, leases, status.
//!
//! A [`Handle`] is cheap to clone and independent of gRPC. A front end reaches the member only
//! through it, and the code below it does not know which front end a command came from.
//!
//! # A proposal's four ends
//!
//! A proposal is [`Refused`] before it reaches the log, [`Rejected`] by the state machine, its
//! outcome is [`Unknown`], or it has a reply. [`crate::outcome`] describes the first three.
//!
//! # Order
//!
//! Proposals that wait for their outcomes at the same time have no order, even those of one task: a
//! change of leader, or a command that is refused, lets later ones overtake earlier ones, since
//! what met the change of leader is proposed again. A caller that waits for each outcome before its
//! next proposal has its order. A front that promises the order of a connection uses a
//! [`Pipeline`](crate::pipeline::Pipeline).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio_util::sync::CancellationToken;

use conclave_proto::ApiError;
use conclave_proto::command::member_change::Change;
use conclave_proto::command::{
    Command, Header, Member, MemberAttributes, MemberChange, command::Body,
};
use conclave_proto::etcdserverpb::ResponseHeader;
use conclave_storage::machine::{CommandKind, Reply};
use conclave_storage::reader::Reader;
use conclave_storage::{ClusterId, Fault, Index, LeaseId, MemberId, Revision, Term};

use crate::admission::{Admission, Priority};
use crate::caller::Caller;
use crate::clock::{self, Clock, Moment, Stopwatch};
use crate::command::LogCommand;
use crate::consensus::{Node, codec};
use crate::lease::{LeaseError, Leases, TakingBack};
use crate::limits;
use crate::logins::Logins;
use crate::long_reads::LongReads;
use crate::mailbox::{Control, Inspect, Mailbox};
use crate::observe::{Observation, Observer, RequestKind};
use crate::order::Place;
use crate::peers::Peers;
use crate::progress::Progress;
use crate::proposal::{Answer, Payload, Proposal, Slot};
use crate::proposer;
use crate::seed::Seed;
use crate::trace::Span;
use crate::watch::Watches;

pub use crate::consensus::RaftStatus;
pub use crate::lease::Remaining;
pub use crate::outcome::{ProposeError, Refused, Rejected, Unknown};
pub use crate::proposer::Settings;
pub use crate::turns::{Turn, Turns};

/// Threshold above which a linearizable read counts as slow; the same as etcd's.
const SLOW_READ: Duration = Duration::from_millis(500);

/// Ids of this member and its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Id of the cluster.
    pub cluster_id: ClusterId,
    /// Id of this member.
    pub member_id: MemberId,
}

/// Snapshot of the member's state for `Maintenance.Status`, health and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Id of the leader, which may be this member; [`MemberId::NONE`] if there is none.
    pub leader: MemberId,
    /// True if this member is the leader.
    pub is_leader: bool,
    /// True if this member is a learner.
    pub is_learner: bool,
    /// Current raft term.
    pub term: Term,
    /// Last log index known to be committed.
    pub committed_index: Index,
    /// Last log index applied on this member.
    pub applied_index: Index,
    /// Number of leaders seen since the start, for the metrics.
    pub leader_changes: u64,
    /// Number of commands between admission and reply.
    pub proposals_in_flight: usize,
}

/// The server's interface for API front ends, in the name of one caller; cheap to clone.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
    caller: Caller,
    /// Parent of the spans of everything that is done through the handle.
    span: Span,
}

pub(crate) struct Shared {
    pub(crate) identity: Identity,
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) leases: Leases,
    pub(crate) logins: Logins,
    pub(crate) reader: Reader,
    pub(crate) reads: LongReads,
    /// Permits one reclamation at a time; see [`Handle::reclaim`].
    pub(crate) reclaim_turn: Arc<Semaphore>,
    pub(crate) watches: Watches,
    pub(crate) peers: Arc<dyn Peers>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) seed: Arc<dyn Seed>,
    pub(crate) stopping: CancellationToken,
}

impl Handle {
    /// Creates the handle of the member itself.
    pub(crate) fn new(shared: Shared) -> Handle {
        Handle {
            shared: Arc::new(shared),
            caller: Caller::Member,
            span: Span::none(),
        }
    }

    /// Returns a handle that proposes in the name of this caller.
    pub fn in_the_name_of(&self, caller: Caller) -> Handle {
        Handle {
            shared: Arc::clone(&self.shared),
            caller,
            span: self.span.clone(),
        }
    }

    /// Returns the same handle; this span is the parent of what is done through it.
    pub fn inside(self, span: Span) -> Handle {
        Handle { span, ..self }
    }

    /// Returns the parent span of what is done through this handle.
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// Proposes a command and waits for its outcome, up to [`Settings::request_timeout`]. Fills in
    /// the command's header and the reply's header. A lease grant gets its id and minimum TTL here,
    /// since the state machine may choose neither.
    pub async fn propose<C: LogCommand>(&self, command: C) -> Result<C::Reply, ProposeError> {
        let body = command.into_body();
        let kind = RequestKind::Command(CommandKind::of(&body));
        let begun = Stopwatch::start();
        let result = match self.prepare(body).await {
            Ok(body) => self.propose_prepared(body).await,
            Err(refused) => Err(refused.into()),
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
        result.and_then(reply_to::<C>)
    }

    /// Fills in what the client left to the server, and refuses the command if it exceeds the
    /// quota.
    pub(crate) async fn prepare(&self, body: Body) -> Result<Body, Refused> {
        let body = proposer::prepare(body, &self.shared.settings, &*self.shared.seed);
        if let Err(refused) = self.check_quota(&body) {
            self.raise_no_space().await;
            return Err(refused);
        }
        Ok(body)
    }

    /// Publishes this member's name and client URLs to the cluster. Does not count as a request.
    pub async fn publish(&self, attributes: MemberAttributes) -> Result<(), ProposeError> {
        let reply = self.propose_prepared(attributes.into_body()).await?;
        reply_to::<MemberAttributes>(reply)
    }

    /// Proposes a membership change, waits until it is applied, and returns the members after it.
    pub async fn propose_change(&self, change: Change) -> Result<Vec<Member>, ProposeError> {
        let waiting = self.enqueue_change(change)?;
        match self.outcome(waiting).await? {
            Reply::Members(members) => Ok(members),
            _ => Err(not_ours()),
        }
    }

    /// Proposes a command of the server's own like [`Handle::propose`], without the check of the
    /// quota and without counting it as a request.
    pub(crate) async fn propose_prepared(&self, body: Body) -> Result<Reply, ProposeError> {
        let waiting = self.enqueue(body)?;
        self.outcome(waiting).await
    }

    pub(crate) async fn outcome(
        &self,
        waiting: oneshot::Receiver<Answer>,
    ) -> Result<Reply, ProposeError> {
        let begun = self.shared.clock.now();
        match self.in_time(waiting).await {
            Some(Ok(Answer::Outcome(Ok(mut reply), on_its_way))) => {
                proposer::fill_header(&mut reply, |header| {
                    on_its_way.span.set("revision", header.revision as u64);
                    self.fill(header);
                });
                Ok(reply)
            }
            Some(Ok(Answer::Outcome(Err(rejected), on_its_way))) => {
                on_its_way.span.fail();
                Err(rejected.into())
            }
            Some(Ok(Answer::Refused(refused))) => Err(refused.into()),
            Some(Ok(Answer::Lost(unknown))) => Err(unknown.into()),
            // The slot was dropped: a fault, or the server stopped between log and reply.
            Some(Err(_)) => Err(Unknown(ApiError::Stopped).into()),
            None => Err(Unknown(self.why_late(begun)).into()),
        }
    }

    /// Returns the output of `future`, or `None` if the request timeout expires first.
    async fn in_time<F: Future>(&self, future: F) -> Option<F::Output> {
        let limit = self.shared.settings.request_timeout;
        clock::timeout(&*self.shared.clock, limit, future).await
    }

    /// Returns the error that etcd would return for a command that was proposed at `begun` and has
    /// had no answer.
    fn why_late(&self, begun: Moment) -> ApiError {
        let (raft_status, elected) = self.shared.progress.leader_since();
        let elections = self.shared.settings.request_timeout - limits::REQUEST_TIMEOUT_BASE;
        if begun < elected && elected.since(begun) < elections {
            return ApiError::TimeoutDueToLeaderFail;
        }
        let connected = self.shared.peers.connected_since(raft_status.leader);
        let is_other = raft_status.leader != MemberId::NONE && !raft_status.is_leader;
        if is_other && connected.is_none_or(|since| since > begun) {
            return ApiError::TimeoutDueToConnectionLost;
        }
        ApiError::Timeout
    }

    /// Returns when every view taken from now on includes everything that any member acknowledged
    /// before the call.
    pub async fn linearize(&self) -> Result<(), Refused> {
        self.linearize_with(Priority::Ordinary).await
    }

    /// Does the same for a read of this priority.
    pub(crate) async fn linearize_with(&self, priority: Priority) -> Result<(), Refused> {
        if self.shared.progress.may_read_at_once() {
            return Ok(());
        }
        let span = self.span.child("linearize");
        let begun = Stopwatch::start();
        let result = self.ask_for_turn(priority).await;
        if result.is_err() {
            span.fail();
        }
        drop(span);
        if begun.elapsed() > SLOW_READ {
            self.observe(Observation::SlowRead);
        }
        if result.is_err() {
            self.observe(Observation::ReadFailed);
        }
        result
    }

    async fn ask_for_turn(&self, priority: Priority) -> Result<(), Refused> {
        let round_trip = async {
            let (slot, index) = oneshot::channel();
            self.shared.mailbox.read(slot, priority)?;
            let index = index.await.map_err(|_| Refused(ApiError::Stopped))??;
            self.shared.progress.applied_through(index).await;
            Ok(())
        };
        tokio::select! {
        biased;
            result = self.in_time(round_trip) => {
                result.unwrap_or(Err(Refused(ApiError::Timeout)))
            }
            () = self.shared.stopping.cancelled() => Err(Refused(ApiError::Stopped)),
        }
    }

    /// Returns the read side of the state.
    pub fn reader(&self) -> &Reader {
        &self.shared.reader
    }

    /// Returns the interface for reads that may be long.
    pub fn reads(&self) -> &LongReads {
        &self.shared.reads
    }

    /// Returns the interface for watchers.
    pub fn watches(&self) -> &Watches {
        &self.shared.watches
    }

    /// Returns the leases with their remaining time, which only the leader knows.
    pub fn leases(&self) -> &Leases {
        &self.shared.leases
    }

    /// Returns the users who have logged in.
    pub fn logins(&self) -> &Logins {
        &self.shared.logins
    }

    /// Renews a lease for its full length from now on, and returns that length in seconds. Returns
    /// `None` if there is no such lease or it has ended, which is the same to the client: a TTL of
    /// 0. Only the leader can renew a lease.
    pub async fn keep_alive(&self, id: LeaseId) -> Result<Option<i64>, LeaseError> {
        let renewed = self.shared.leases.renew(id, |body| self.enqueue(body))?;
        if let Some(taking_back) = renewed.taking_back {
            let TakingBack { number, waiting } = taking_back;
            let waiting = waiting.map_err(|Refused(error)| LeaseError::Refused(error))?;
            match self.outcome(waiting).await {
                Ok(Reply::LeaseCheckpoint(true)) => self.shared.leases.taken_back(id, number),
                // The term has changed: the client must renew at the new leader.
                Ok(_) => return Err(LeaseError::Refused(ApiError::NotLeader)),
                // The renewal is not confirmed, whatever became of the withdrawal, which has no
                // effect by itself.
                Err(error) => return Err(LeaseError::Refused(error.api_error())),
            }
        }
        Ok(renewed.ttl_seconds)
    }

    /// Returns the ids of this member and its cluster.
    pub fn identity(&self) -> Identity {
        self.shared.identity
    }

    /// Returns the limits that a request is checked against before it is proposed.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Returns the clock, for front ends that need one (progress notifications, tokens).
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.clock
    }

    /// Builds a reply header with this revision.
    pub fn header(&self, revision: Revision) -> ResponseHeader {
        let mut header = ResponseHeader {
            revision: revision.0,
            ..Default::default()
        };
        self.fill(&mut header);
        header
    }

    /// Returns the member's current status.
    pub fn status(&self) -> Status {
        let raft_status = self.shared.progress.raft_status();
        Status {
            leader: raft_status.leader,
            is_leader: raft_status.is_leader,
            is_learner: raft_status.is_learner,
            term: raft_status.term,
            committed_index: self.shared.progress.committed(),
            applied_index: self.shared.reader.applied().index,
            leader_changes: self.shared.progress.leader_changes(),
            proposals_in_flight: self.shared.admission.commands(),
        }
    }

    /// Returns the turns of the driver and of the applier.
    pub fn turns(&self) -> Turns {
        Turns {
            driver: self.shared.progress.driver_turns().now(),
            applier: self.shared.progress.applier_turns().now(),
        }
    }

    /// Returns the changes of leader and term, for streams that must end when there is no leader.
    pub fn raft_statuses(&self) -> watch::Receiver<RaftStatus> {
        self.shared.progress.raft_statuses()
    }

    /// Waits until the log entry with this index is applied.
    pub async fn applied_through(&self, index: Index) {
        self.shared.progress.applied_through(index).await;
    }

    /// Returns when the physical part of the compaction at `revision` is done, or fails when the
    /// server stops.
    pub async fn wait_compaction(&self, revision: Revision) -> Result<(), Refused> {
        let mut steps = self.shared.progress.compactions();
        while self.shared.reader.compaction_finished() < revision {
            tokio::select! {
            biased;
                    _ = steps.changed() => {}
                    () = self.shared.stopping.cancelled() => {
                        return Err(Refused(ApiError::Stopped));
                    }
                }
        }
        Ok(())
    }

    /// Reclaims the space of deleted keys (`Maintenance.Defragment`). Reads and writes continue
    /// meanwhile. Concurrent calls wait for their turn here, since each would otherwise occupy a
    /// thread to wait for the same engine.
    pub async fn reclaim(&self) -> Result<(), Fault> {
        let turn = Arc::clone(&self.shared.reclaim_turn).acquire_owned().await;
        let turn = turn.expect("the semaphore is never closed");
        let engine = self.shared.reader.engine();
        let begun = self.shared.clock.now();
        self.observe(Observation::ReclaimBegun);
        let stopwatch = Stopwatch::start();
        tracing::info!("the space of deleted keys is reclaimed");
        let reclaim = move || {
            // The turn ends with the work, even if the client has disconnected meanwhile.
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

    /// Returns the connections to the other members.
    pub fn peers(&self) -> &Arc<dyn Peers> {
        &self.shared.peers
    }

    /// Transfers leadership to this voter, or to the best candidate. Returns once the new leader
    /// leads.
    pub async fn transfer_leadership(&self, to: Option<MemberId>) -> Result<(), ApiError> {
        let (done, outcome) = oneshot::channel();
        self.shared.mailbox.control(Control::Transfer { to, done });
        self.in_time(outcome)
            .await
            .ok_or(ApiError::Timeout)?
            .map_err(|_| ApiError::Stopped)?
    }

    /// Runs a closure against the [`Node`] on the driver's thread.
    pub async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Node) -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let (found, answer) = oneshot::channel();
        let look = Inspect::new(move |node| {
            // The receiver is gone if the caller gave up; the result is then dropped.
            let _ = found.send(look(node));
        });
        self.shared.mailbox.control(Control::Inspect(look));
        answer.await.map_err(|_| Refused(ApiError::Stopped))
    }

    /// Returns the token that is cancelled when the server begins to stop.
    pub fn stopping(&self) -> &CancellationToken {
        &self.shared.stopping
    }

    /// Encodes a command, admits it, and puts it into the mailbox. Does not wait.
    pub(crate) fn enqueue(&self, body: Body) -> Result<oneshot::Receiver<Answer>, Refused> {
        self.enqueue_in(None, body)
    }

    /// Does the same for a command that has a place in a pipeline.
    pub(crate) fn enqueue_in(
        &self,
        place: Option<Place>,
        body: Body,
    ) -> Result<oneshot::Receiver<Answer>, Refused> {
        let priority = proposer::priority(&body);
        self.submit((place, priority), |header| {
            let command = Command {
                header: Some(header),
                body: Some(body),
            };
            if command.encoded_len() > self.shared.settings.max_request_bytes {
                return Err(Refused(ApiError::RequestTooLarge));
            }
            let framed = codec::frame(&command);
            let bytes = framed.len();
            Ok((Payload::Command(framed), bytes))
        })
    }

    fn enqueue_change(&self, change: Change) -> Result<oneshot::Receiver<Answer>, Refused> {
        self.submit((None, Priority::Ordinary), |header| {
            let change = MemberChange {
                header: Some(header),
                change: Some(change),
            };
            let bytes = change.encoded_len();
            Ok((Payload::Change(Box::new(change)), bytes))
        })
    }

    /// Admits a proposal and puts it into the mailbox. `payload` builds the proposal from its
    /// header and returns its size in bytes.
    fn submit(
        &self,
        (place, priority): (Option<Place>, Priority),
        payload: impl FnOnce(Header) -> Result<(Payload, usize), Refused>,
    ) -> Result<oneshot::Receiver<Answer>, Refused> {
        let shared = &self.shared;
        if shared.stopping.is_cancelled() {
            return Err(Refused(ApiError::Stopped));
        }
        let request_id = shared.admission.next_request_id();
        let mut header = Header {
            request_id: request_id.0,
            member_id: shared.identity.member_id.0,
            wall_time_ms: shared.clock.wall_ms(),
            ..Header::default()
        };
        self.caller.sign(&mut header);
        let (payload, bytes) = payload(header)?;
        let permit = shared.admission.admit(bytes, priority);
        let permit = permit.ok_or(Refused(ApiError::RequestTooManyRequests))?;
        let (reply, waiting) = oneshot::channel();
        let slot = Some(Slot::new(request_id, reply, permit).in_place(place));
        let span = self.span.child("propose");
        span.set("request.bytes", bytes);
        let proposed = Proposal::new(payload, slot, span);
        let proposed = shared.mailbox.propose(proposed);
        proposed.map_err(|_| Refused(ApiError::Stopped))?;
        Ok(waiting)
    }

    fn check_quota(&self, body: &Body) -> Result<(), Refused> {
        let Some(quota) = self.shared.settings.quota_bytes else {
            return Ok(());
        };
        let cost = proposer::quota_cost(body);
        if cost > 0 && self.shared.reader.logical_size().saturating_add(cost) >= quota {
            return Err(Refused(ApiError::NoSpace));
        }
        Ok(())
    }

    /// Raises the NOSPACE alarm for this member, unless it is already raised or being raised.
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
            // The member raises the alarm in its own name, not in that of the client.
            let member = self.in_the_name_of(Caller::Member);
            let alarm = proposer::no_space_alarm(member_id);
            if let Err(error) = member.propose_prepared(alarm).await {
                tracing::warn!(%error, "could not raise the alarm NOSPACE; the next write will");
            }
        }
    }

    fn fill(&self, header: &mut ResponseHeader) {
        header.cluster_id = self.shared.identity.cluster_id.0;
        header.member_id = self.shared.identity.member_id.0;
        header.raft_term = self.shared.progress.raft_status().term.0;
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("identity", &self.shared.identity)
            .finish_non_exhaustive()
    }
}

/// Returns the reply to a command of this type.
pub(crate) fn reply_to<C: LogCommand>(reply: Reply) -> Result<C::Reply, ProposeError> {
    C::reply_from(reply).ok_or_else(not_ours)
}

/// Another command went into the log under the id of ours, whose outcome is therefore unknown.
fn not_ours() -> ProposeError {
    tracing::error!(
        "a proposal was answered with another proposal's kind of reply: the data of this member \
         was replaced by an older copy"
    );
    Unknown(ApiError::Timeout).into()
}

/// Returns the total timeout of a request, by etcd's rule.
pub fn request_timeout(election_timeout: Duration) -> Duration {
    crate::limits::REQUEST_TIMEOUT_BASE + 2 * election_timeout
}
