//! A raw watch stream: requests and responses, message by message.

use conclave_proto::etcdserverpb as pb;
use pb::watch_request::RequestUnion;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::login::with_token;
use crate::{Node, api, within};

/// Capacity for outstanding requests, more than any test sends.
const REQUESTS_MAX: usize = 1024;

/// An open watch stream.
#[derive(Debug)]
pub struct Watching {
    requests: mpsc::Sender<pb::WatchRequest>,
    responses: Streaming<pb::WatchResponse>,
}

impl Watching {
    /// Opens a stream with these requests on it. At least one must make the server respond, because
    /// etcd sends its headers with the first response.
    pub async fn open(node: &Node, first: impl IntoIterator<Item = RequestUnion>) -> Self {
        Self::open_as(node, "", first).await
    }

    /// Does the same with a token.
    pub async fn open_as(
        node: &Node,
        token: &str,
        first: impl IntoIterator<Item = RequestUnion>,
    ) -> Self {
        let (requests, receiver) = mpsc::channel(REQUESTS_MAX);
        for request in first {
            let request = pb::WatchRequest {
                request_union: Some(request),
            };
            requests
                .try_send(request)
                .expect("fewer than the channel holds");
        }
        let mut stub = node.watches();
        let requests_of = with_token(token, ReceiverStream::new(receiver));
        let answer = within("a watch stream", stub.watch(requests_of)).await;
        Self {
            requests,
            responses: answer.expect("a watch stream").into_inner(),
        }
    }

    /// Opens a stream with one watcher, which the server must accept.
    pub async fn on(node: &Node, create: pb::WatchCreateRequest) -> Self {
        let mut watching = Self::open(node, [create_request(create)]).await;
        watching.expect_created().await;
        watching
    }

    /// Sends a request.
    pub async fn send(&self, request: RequestUnion) {
        let request = pb::WatchRequest {
            request_union: Some(request),
        };
        self.requests
            .send(request)
            .await
            .expect("the stream is open");
    }

    /// Sends an empty request.
    pub async fn send_empty(&self) {
        let request = pb::WatchRequest {
            request_union: None,
        };
        self.requests
            .send(request)
            .await
            .expect("the stream is open");
    }

    /// Adds a watcher, which the server must accept in its next response; returns the
    /// acknowledgement.
    pub async fn create(&mut self, create: pb::WatchCreateRequest) -> pb::WatchResponse {
        self.send(create_request(create)).await;
        self.expect_created().await
    }

    /// Cancels a watcher.
    pub async fn cancel(&self, watch_id: i64) {
        self.send(RequestUnion::CancelRequest(pb::WatchCancelRequest {
            watch_id,
        }))
        .await;
    }

    /// Sends a progress request.
    pub async fn ask_progress(&self) {
        self.send(RequestUnion::ProgressRequest(pb::WatchProgressRequest {}))
            .await;
    }

    /// The next response.
    pub async fn next(&mut self) -> pb::WatchResponse {
        self.result()
            .await
            .expect("a response")
            .expect("the stream is open")
    }

    /// The next response, or the stream's end or error.
    pub async fn result(&mut self) -> Result<Option<pb::WatchResponse>, Status> {
        within("a watch response", self.responses.message()).await
    }

    /// The next response, which must consist of events, as `key=value@revision` and
    /// `-key@revision`.
    pub async fn told(&mut self) -> Vec<String> {
        let response = self.next().await;
        assert!(
            !response.created && !response.canceled,
            "not events: {response:?}"
        );
        assert!(!response.events.is_empty(), "not events: {response:?}");
        api::told(&response.events)
    }

    /// Collects at least `count` events, from one response or several.
    pub async fn told_at_least(&mut self, count: usize) -> Vec<String> {
        let mut all = Vec::new();
        while all.len() < count {
            all.extend(self.told().await);
        }
        all
    }

    async fn expect_created(&mut self) -> pb::WatchResponse {
        let response = self.next().await;
        assert!(
            response.created && !response.canceled,
            "not accepted: {response:?}"
        );
        assert!(
            response.events.is_empty(),
            "an acknowledgement has no events: {response:?}"
        );
        response
    }
}

/// The request that adds a watcher.
pub fn create_request(create: pb::WatchCreateRequest) -> RequestUnion {
    RequestUnion::CreateRequest(create)
}
