use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use bytes::Bytes;
use conclave_proto::ApiError;
use conclave_storage::{ClusterId, MemberId};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio_stream::StreamExt as _;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Service, ServiceBuilder};

use super::count::Count;
use super::deadline::{Deadline, DeadlineFuture, DeadlineLayer};
use super::follow::{FollowLayer, FollowedFuture, Following};
use super::map::{Map, MapLayer};
use super::name::Name;
use crate::method::Method;
use crate::metrics::{Call, Calls, Metrics, Settings};
use crate::rpc::status;
use conclave_core::handle::Identity;

type Responding = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;
type Frames = Vec<Result<Frame<Bytes>, Status>>;

/// A service of one function.
struct Stub {
    answer: Box<dyn Fn() -> Responding>,
    begun: Arc<AtomicUsize>,
}

struct Layered {
    stack: Map<Name, Following<Count, Deadline<Stub>>>,
    /// Calls that reached the service.
    begun: Arc<AtomicUsize>,
    calls: Arc<Calls>,
}

impl Service<Request<()>> for &Stub {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Responding;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Responding {
        self.begun.fetch_add(1, Relaxed);
        (self.answer)()
    }
}

fn layered(answer: impl Fn() -> Responding + 'static) -> Layered {
    let identity = Identity {
        cluster_id: ClusterId(1),
        member_id: MemberId(1),
    };
    let metrics = Metrics::new(identity, Settings::default()).expect("distinct names");
    let begun = Arc::new(AtomicUsize::new(0));
    let stub = Stub {
        answer: Box::new(answer),
        begun: Arc::clone(&begun),
    };
    Layered {
        stack: ServiceBuilder::new()
            .layer(MapLayer(Name))
            .layer(FollowLayer(Count::new(&metrics)))
            .layer(DeadlineLayer)
            .service(stub),
        begun,
        calls: Arc::clone(metrics.calls()),
    }
}

impl Layered {
    fn begin(
        &self,
        path: &str,
        timeout: Option<&str>,
    ) -> FollowedFuture<DeadlineFuture<Responding>, Call> {
        let mut request = Request::builder().uri(path);
        if let Some(timeout) = timeout {
            request = request.header("grpc-timeout", timeout);
        }
        (&mut &self.stack).call(request.body(()).expect("a request"))
    }

    fn ended(&self, code: Code) -> u64 {
        self.calls.ended(Method::Put, code)
    }
}

const PUT: &str = "/etcdserverpb.KV/Put";

fn responding(response: Response<Body>) -> Responding {
    Box::pin(async move { Ok(response) })
}

fn body_of(
    frames: impl tokio_stream::Stream<Item = Result<Frame<Bytes>, Status>> + Send + 'static,
) -> Body {
    Body::new(StreamBody::new(frames))
}

fn trailers(code: &'static str) -> Frame<Bytes> {
    let mut trailers = HeaderMap::new();
    trailers.insert(Status::GRPC_STATUS, http::HeaderValue::from_static(code));
    Frame::trailers(trailers)
}

/// Ways in which a call ends, with the code that it counts by.
#[tokio::test]
async fn a_call_counts_by_the_status_that_its_client_gets() {
    type Way = (Code, fn() -> Response<Body>);
    let ways: [Way; 4] = [
        (Code::NotFound, || Status::not_found("x").into_http()),
        (Code::Ok, || {
            let frames: Frames = vec![Ok(Frame::data(Bytes::from("x"))), Ok(trailers("0"))];
            Response::new(body_of(tokio_stream::iter(frames)))
        }),
        (Code::DataLoss, || {
            let frames: Frames = vec![Ok(Frame::data(Bytes::from("x"))), Ok(trailers("15"))];
            Response::new(body_of(tokio_stream::iter(frames)))
        }),
        (Code::Aborted, || {
            let frames: Frames = vec![Err(Status::aborted("x"))];
            Response::new(body_of(tokio_stream::iter(frames)))
        }),
    ];
    for (code, response) in ways {
        let layered = layered(move || responding(response()));
        let Ok(response) = layered.begin(PUT, None).await;
        let _ = response.into_body().collect().await;
        assert_eq!(layered.ended(code), 1, "{code:?}");
        assert_eq!(layered.calls.started(Method::Put), 1);
        assert_eq!(layered.ended(Code::Cancelled), 0);
    }
}

#[tokio::test]
async fn a_call_whose_client_went_away_counts_as_canceled() {
    let layered = layered(|| Box::pin(std::future::pending()));
    drop(layered.begin(PUT, None));
    assert_eq!(layered.ended(Code::Cancelled), 1);

    let layered = self::layered(|| responding(Response::new(body_of(tokio_stream::pending()))));
    let Ok(response) = layered.begin(PUT, None).await;
    assert_eq!(layered.ended(Code::Cancelled), 0);
    drop(response);
    assert_eq!(layered.ended(Code::Cancelled), 1);
}

#[tokio::test]
async fn other_paths_do_not_count() {
    let layered = layered(|| responding(Status::unimplemented("x").into_http()));
    let Ok(_) = layered.begin("/etcdserverpb.KV/Putt", None).await;
    assert_eq!(layered.begun.load(Relaxed), 1);
    for method in Method::ALL {
        assert_eq!(layered.calls.started(*method), 0);
    }
}

/// Tells when it is dropped.
struct Work(Arc<AtomicUsize>);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[tokio::test]
async fn a_call_ends_at_its_deadline_and_its_work_is_dropped() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let of_work = Arc::clone(&dropped);
    let layered = layered(move || {
        let work = Work(Arc::clone(&of_work));
        Box::pin(async move {
            let _work = work;
            std::future::pending().await
        })
    });
    let call = layered.begin(PUT, Some("5m"));
    assert_eq!(dropped.load(Relaxed), 0);
    let mut call = std::pin::pin!(call);
    let Ok(response) = call.as_mut().await;
    assert_eq!(dropped.load(Relaxed), 1, "the future is still there");
    let expected = status::of_api(ApiError::DeadlineExceeded);
    let status = Status::from_header_map(response.headers()).expect("a status");
    assert_eq!(
        (status.code(), status.message()),
        (expected.code(), expected.message())
    );
    assert_eq!(response.headers()["content-type"], "application/grpc");
    assert!(hyper::body::Body::is_end_stream(response.body()));
    assert_eq!(layered.ended(Code::DeadlineExceeded), 1);
}

/// A body that has more at any time.
struct Endless;

impl hyper::body::Body for Endless {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_deadline() {
    let quiet = layered(|| {
        let frames: Frames = vec![Ok(Frame::data(Bytes::from_static(b"x")))];
        let frames = tokio_stream::iter(frames).chain(tokio_stream::pending());
        responding(Response::new(body_of(frames)))
    });
    let busy = layered(|| responding(Response::new(Body::new(Endless))));
    for layered in [quiet, busy] {
        let Ok(response) = layered.begin(PUT, Some("50m")).await;
        assert!(!response.headers().contains_key(Status::GRPC_STATUS));
        let collected = response.into_body().collect().await.expect("trailers");
        let status = Status::from_header_map(collected.trailers().expect("trailers"));
        assert_eq!(status.expect("a status").code(), Code::DeadlineExceeded);
        assert!(!collected.to_bytes().is_empty());
        assert_eq!(layered.ended(Code::DeadlineExceeded), 1);
    }
}

#[tokio::test]
async fn nothing_is_begun_without_time() {
    let layered = layered(|| responding(Status::ok("").into_http()));
    let Ok(response) = layered.begin(PUT, Some("0S")).await;
    let status = Status::from_header_map(response.headers()).expect("a status");
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(layered.begun.load(Relaxed), 0);
}
