//! The calls of other members, one function for each call in `conclave/peer.proto`.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use conclave_proto::peer::peer_server::Peer;
use conclave_proto::peer::{
    Answer, Frame, Hello, IntroduceRequest, Introduction, Question, SnapshotChunk, SnapshotReport,
    snapshot_chunk,
};
use conclave_storage::MemberId;

use super::hello::not_the_member;
use super::incoming::Begun;
use super::link::CONNECTION_MIN;
use super::{Answers, Network, reason};
use crate::metrics::OfPeer;
use crate::net::ConnectionInfo;
use conclave_core::peers::PeerEvent;

/// Timeout of the first message of a stream.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// The service that other members call.
#[derive(Clone)]
pub(super) struct PeerService {
    pub(super) network: Arc<Network>,
    pub(super) answers: Arc<dyn Answers>,
    /// Cancelled when the listener stops.
    pub(super) ending: CancellationToken,
}

impl PeerService {
    /// Checks the caller's Hello, and logs a refusal here, too: the caller's own log is on another
    /// machine.
    fn check(&self, hello: Option<&Hello>, caller: Option<&Caller>) -> Result<Hello, Status> {
        if self.ending.is_cancelled() || self.network.common.stopping.is_cancelled() {
            return Err(Status::unavailable("the member is stopping"));
        }
        let identity = self.network.common.settings.identity();
        let checked = identity.check_caller(hello, |id| self.network.refusal(id));
        if let (Ok(hello), Some(caller)) = (&checked, caller) {
            let member = MemberId(hello.member_id);
            self.network.places.hello(caller.number, member);
        }
        checked.inspect_err(|status| self.log_refusal(status, caller))
    }

    /// Returns true if another process answers at the member's URL. Then there are two processes,
    /// most likely on copies of one data directory, and the other members talk to the one at the
    /// URL. (If both were accepted, they would end each other's streams in turn.) A process that
    /// has ended or hangs does not answer, so its successor is accepted.
    async fn another_is_there(&self, hello: &Hello) -> bool {
        let Some(link) = self.network.link(MemberId(hello.member_id)) else {
            return false;
        };
        let Some(mut other) = link.client_of_another(hello.boot_id) else {
            return false;
        };
        // The caller waits for this member's patience; half of it leaves time for the answer.
        let limit = self.network.common.settings.patience() / 2;
        let asked = tokio::time::timeout(limit, other.introduce(IntroduceRequest {})).await;
        // A proxy may have forwarded the question to the caller's own process.
        matches!(asked, Ok(Ok(answer)) if answer.get_ref().boot_id != hello.boot_id)
    }

    fn log_refusal(&self, status: &Status, caller: Option<&Caller>) {
        let reason = status.message();
        let address = caller.and_then(|caller| caller.connection.remote);
        let failure = format!("{:?} {reason}", address.map(|address| address.ip()));
        let now = self.network.common.clock.now();
        if self.network.refusals.is_new(&failure, now) {
            let remote = address.map(|address| address.to_string());
            tracing::warn!(remote, reason, "a call on the peer endpoint was refused");
        }
    }
}

/// The connection that a call comes over.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) connection: Arc<ConnectionInfo>,
    /// The number of the connection's place.
    pub(super) number: u64,
}

impl Caller {
    fn of<M>(request: &Request<M>) -> Option<Caller> {
        request.extensions().get().cloned()
    }
}

/// Returns the first message of a stream, if it arrives in time.
async fn first<M>(messages: &mut Streaming<M>) -> Result<M, Status> {
    tokio::time::timeout(HELLO_TIMEOUT, messages.message())
        .await
        .map_err(|_elapsed| Status::deadline_exceeded("nothing was said"))??
        .ok_or_else(|| Status::invalid_argument("the stream was empty"))
}

#[tonic::async_trait]
impl Peer for PeerService {
    type StreamStream = Pin<Box<ReceiverStream<Result<Hello, Status>>>>;

    async fn stream(
        &self,
        request: Request<Streaming<Frame>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let caller = Caller::of(&request);
        let mut frames = request.into_inner();
        let frame = first(&mut frames).await?;
        let checked = self.check(frame.hello.as_ref(), caller.as_ref());
        if let (Err(_), Some(hello)) = (&checked, &frame.hello) {
            self.network.ask_whether_removed(hello);
        }
        let hello = checked?;
        let common = &self.network.common;
        if self.another_is_there(&hello).await {
            let status = not_the_member(MemberId(hello.member_id));
            self.log_refusal(&status, caller.as_ref());
            return Err(status);
        }
        // The member may have been removed while the other process was queried.
        let hello = self.check(Some(&hello), caller.as_ref())?;
        let from = MemberId(hello.member_id);
        let begun = self.network.incoming.begin(from, hello.boot_id);
        if begun.restarted {
            common.inbox.deliver(PeerEvent::Closed(from));
            // The snapshot goes to the process that has ended, which its connection may not have
            // noticed yet.
            self.network.end_snapshot(from);
        }
        self.network.learn_urls(&hello, begun.number);
        let (holding, held) = mpsc::channel(1);
        // The channel is new and has space for one message.
        let _ = holding.try_send(Ok(common.settings.identity().hello(MemberId::NONE)));
        let service = self.clone();
        common.spawn(async move {
            service.receive(from, frames, begun, holding).await;
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(held))))
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<SnapshotChunk>>,
    ) -> Result<Response<SnapshotReport>, Status> {
        let caller = Caller::of(&request);
        let mut chunks = request.into_inner();
        let Some(snapshot_chunk::Chunk::Start(start)) = first(&mut chunks).await?.chunk else {
            return Err(Status::invalid_argument("a snapshot begins with its start"));
        };
        let hello = self.check(start.hello.as_ref(), caller.as_ref())?;
        let (report, reported) = oneshot::channel();
        let network = Arc::clone(&self.network);
        // A separate task: once raft has the snapshot, the folder must be handled even if the
        // caller is gone.
        self.network.common.spawn(async move {
            let from = MemberId(hello.member_id);
            let stats = network.stats(from);
            let from = (from, stats.as_deref());
            let receiver = &network.receiver;
            let received = receiver.receive(&network.common, from, start, chunks).await;
            let _ = report.send(received);
        });
        let report = reported
            .await
            .map_err(|_dropped| Status::unavailable("the member is stopping"))?;
        Ok(Response::new(report))
    }

    async fn ask(&self, request: Request<Question>) -> Result<Response<Answer>, Status> {
        let caller = Caller::of(&request);
        let question = request.into_inner();
        self.check(question.hello.as_ref(), caller.as_ref())?;
        let Some(question) = question.question else {
            return Err(Status::unimplemented("a question of a later version"));
        };
        // The caller has the same timeout.
        let patience = self.network.common.settings.patience() * 2;
        let answer = tokio::time::timeout(patience, self.answers.answer(question))
            .await
            .map_err(|_elapsed| Status::deadline_exceeded("no answer in time"))?;
        Ok(Response::new(Answer {
            answer: Some(answer),
        }))
    }

    async fn introduce(
        &self,
        _request: Request<IntroduceRequest>,
    ) -> Result<Response<Introduction>, Status> {
        let boot_id = self.network.common.settings.boot_id;
        Ok(Response::new(Introduction {
            boot_id,
            ..self.answers.introduce()
        }))
    }
}

impl PeerService {
    /// Receives the frames of a member, until its stream ends or must end.
    async fn receive(
        &self,
        from: MemberId,
        mut frames: Streaming<Frame>,
        begun: Begun,
        holding: mpsc::Sender<Result<Hello, Status>>,
    ) {
        let common = &self.network.common;
        let member = from.to_string();
        let log_connected = || tracing::info!(member, "a member connected");
        // As at the other end: a stream that ends at once does not get two lines each time.
        let log_once = &self.network.streams;
        let mut is_logged = log_once.is_new(&member, common.clock.now());
        if is_logged {
            log_connected();
        }
        let mut standing = std::pin::pin!(tokio::time::sleep(CONNECTION_MIN));
        let mut has_stood = false;
        let mut stats = None;
        let reason = loop {
            let frame = tokio::select! {
                frame = frames.message() => frame,
                () = &mut standing, if !has_stood => {
                    has_stood = true;
                    log_once.forget(&member);
                    if !std::mem::replace(&mut is_logged, true) {
                        log_connected();
                    }
                    continue;
                }
                () = holding.closed() => break "it left".to_owned(),
                () = begun.ending.cancelled() => {
                    // The member has opened another stream, or was removed, which is logged
                    // elsewhere.
                    is_logged = false;
                    break String::new();
                }
                () = self.ending.cancelled() => break "this member stops".to_owned(),
                () = common.stopping.cancelled() => break "this member stops".to_owned(),
            };
            match frame {
                Ok(Some(frame)) => {
                    // A member that the membership does not list yet has no counters.
                    stats = stats.or_else(|| self.network.stats(from));
                    self.take_in(from, frame, stats.as_deref());
                }
                Ok(None) => break "it left".to_owned(),
                Err(status) => {
                    stats.inspect(|stats| stats.receive_failures.inc());
                    break reason(&status);
                }
            }
        };
        if is_logged {
            tracing::info!(member, reason, "a member disconnected");
        }
        self.network.forget_urls(from, begun.number);
        let stops = self.ending.is_cancelled() || common.stopping.is_cancelled();
        if self.network.incoming.finish(from, begun.number) && !stops {
            common.inbox.deliver(PeerEvent::Closed(from));
        }
    }

    fn take_in(&self, from: MemberId, frame: Frame, stats: Option<&OfPeer>) {
        let sizes = frame.parcels.iter().map(prost::Message::encoded_len);
        let frame_bytes: usize = sizes.sum();
        if let Some(stats) = stats {
            stats.received_bytes.inc_by(frame_bytes as u64);
        }
        for parcel in frame.parcels {
            let taken = self
                .network
                .common
                .inbox
                .deliver(PeerEvent::Parcel { from, parcel });
            if let Some(stats) = stats.filter(|_| !taken) {
                stats.receive_failures.inc();
            }
        }
    }
}
