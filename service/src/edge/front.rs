//! Dispatch of requests: gRPC calls to the stack of layers around the services ([`stack`]), all
//! others to plain HTTP.
//!
//! A request that is not a gRPC call ([`grpc`]) reaches plain HTTP only, whatever its path.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::Router;
use axum::response::IntoResponse as _;
use http::{Request, Response, StatusCode, header};
use http_body_util::Either;
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tonic::body::Body;
use tower::Service as _;

use super::unread::{Unread, UnreadBody};
use crate::grpc::service_of;
use crate::net::ConnectionInfo;
use crate::rpc::stack::{Parts, Stack, StackBody, StackFuture, stack};
use crate::{grpc, http as plain, rpc};

/// Answers the requests of one connection.
#[derive(Clone)]
pub(super) struct Front {
    sites: Arc<Sites>,
    /// The other end of the connection.
    peer: Arc<rpc::Peer>,
    /// `None` for a probe.
    unread: Option<Arc<Unread>>,
}

/// Destinations of requests.
struct Sites {
    calls: Stack,
    plain: Router,
}

impl Front {
    /// Builds the services; fails only if the descriptors we ship cannot be read.
    pub(super) async fn new(parts: Parts) -> Result<Front, tonic_reflection::server::Error> {
        let (handle, metrics) = (parts.handle.clone(), Arc::clone(&parts.metrics));
        let calls = stack(parts).await?;
        let plain = plain::routes(handle, metrics).fallback(not_found);
        Ok(Front {
            sites: Arc::new(Sites { calls, plain }),
            peer: Arc::default(),
            unread: None,
        })
    }

    /// Returns the front for a connection. `user` is the one that its certificate stands for.
    pub(super) fn on(
        &self,
        info: &ConnectionInfo,
        user: Option<String>,
        unread: Arc<Unread>,
    ) -> Front {
        Front {
            sites: Arc::clone(&self.sites),
            peer: Arc::new(rpc::Peer {
                remote: info.remote,
                common_name: user.map(Arc::from),
            }),
            unread: Some(unread),
        }
    }
}

impl hyper::service::Service<Request<Incoming>> for Front {
    type Response = Response<Either<UnreadBody<StackBody>, Body>>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, mut request: Request<Incoming>) -> Answer {
        if !grpc::is_call(&request) {
            let mut router = self.sites.plain.clone();
            let response = Box::pin(async move { router.call(request).await });
            return Answer::Plain { response };
        }
        request.extensions_mut().insert(Arc::clone(&self.peer));
        Answer::Call {
            response: (&mut &self.sites.calls).call(request),
            unread: self.unread.clone(),
        }
    }
}

type Responding =
    Pin<Box<dyn Future<Output = Result<axum::response::Response, Infallible>> + Send>>;

pin_project! {
    /// The future of a response.
    #[project = AnswerProjection]
    pub(super) enum Answer {
        Call {
            #[pin]
            response: StackFuture,
            unread: Option<Arc<Unread>>,
        },
        Plain {
            response: Responding,
        },
    }
}

impl Future for Answer {
    type Output = Result<Response<Either<UnreadBody<StackBody>, Body>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(match self.project() {
            AnswerProjection::Call { response, unread } => {
                let Ok(response) = ready!(response.poll(cx));
                response.map(|body| Either::Left(UnreadBody::new(body, unread.take())))
            }
            AnswerProjection::Plain { response } => {
                let Ok(response) = ready!(response.as_mut().poll(cx));
                response.map(|body| Either::Right(Body::new(body)))
            }
        }))
    }
}

/// The answer of etcd's JSON gateway to an unknown path, in its format: a gRPC status, here
/// NOT_FOUND.
const NO_GATEWAY: &str = concat!(
    r#"{"code":5,"message":"conclave: the JSON gateway is not available in this version, "#,
    r#"use gRPC","details":[]}"#,
);

/// Returns true if etcd serves JSON at this path; older versions did at the other two.
fn is_gateway_path(path: &str) -> bool {
    ["/v3/", "/v3beta/", "/v3alpha/"]
        .iter()
        .any(|prefix| path.starts_with(prefix))
}

/// The answer of plain HTTP to an unknown path.
pub(super) async fn not_found(request: Request<axum::body::Body>) -> Response<axum::body::Body> {
    // Names of services have a package, hence the dot; no path of plain HTTP has one there.
    if service_of(request.uri().path()).contains('.') {
        return grpc::refuse(&request).map(axum::body::Body::new);
    }
    // A bare 404 would look like a wrong path of an existing API.
    if is_gateway_path(request.uri().path()) {
        let kind = [(header::CONTENT_TYPE, "application/json")];
        return (StatusCode::NOT_FOUND, kind, NO_GATEWAY).into_response();
    }
    grpc::not_found().map(axum::body::Body::new)
}
